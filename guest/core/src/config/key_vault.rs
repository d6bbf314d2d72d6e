//! A certificate that Azure Key Vault keeps.

use super::parse::object;
use crate::credential::ManagedIdentityFile;
#[cfg(feature = "key-vault")]
use {
    super::error::{ConfigError, check},
    super::place::Place,
    super::rules,
    super::{IdentityConfig, Source},
    crate::authority::Endpoint,
    crate::credential::Direct,
    crate::needs::{Connection, Needs, PathPattern, Permission, Purpose, Scheme},
    crate::refusal::Refusal,
};

object! {
    /// A certificate with its key in Azure Key Vault, which the native host reads by a managed identity of its machine.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct KeyVaultFile {
        /// The vault, `https://NAME.vault.azure.net`; in the clouds of China and of the US government
        /// `https://NAME.vault.azure.cn` and `https://NAME.vault.usgovcloudapi.net`.
        pub url: String = text,
        /// The certificate's name there.
        pub certificate: String = text,
        /// Which version of it. Otherwise it is the newest one, and the next when the vault has that.
        pub version: Option<String> = optional_text,
        /// What tokens for the vault are for (`resource`), where its host is in none of these three domains. They are sent
        /// to that host then.
        pub audience: Option<String> = optional_text,
        /// The managed identity that may read it; the system-assigned one unless another is named.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub(crate) identity: ManagedIdentityFile = object_or_default,
    }
}

#[cfg(feature = "key-vault")]
impl KeyVaultFile {
    /// The domains of Azure's vaults. A token for one is for `https://` and the domain.
    pub const DOMAINS: [&str; 3] = [
        "vault.azure.net",
        "vault.azure.cn",
        "vault.usgovcloudapi.net",
    ];

    /// The version of the vault's interface.
    pub const QUERY: &str = "api-version=7.4";

    /// How the names of such identities begin. No identity of a configuration has a colon in its name.
    pub const IDENTITY: &str = "key_vault:";

    /// The identity by which the host gets tokens for the vault of that certificate.
    pub fn identity_of(certificate: &str) -> String {
        format!("{}{certificate}", Self::IDENTITY)
    }

    /// Host and port of the vault, and what its tokens are for. Both have been looked at.
    pub fn server(&self) -> (String, String) {
        let endpoint = Endpoint::parse(&self.url).ok();
        let authority = endpoint.map(|endpoint| endpoint.authority);
        let authority = authority.unwrap_or_default();
        let audience = self.audience.clone().or_else(|| audience_of(&authority));
        (authority, audience.unwrap_or_default())
    }

    /// What the host asks there, and nobody else: the certificate, the secret that has its key, and signatures where the key
    /// does not leave the vault.
    pub fn connections(&self) -> Vec<Connection> {
        let (authority, _) = self.server();
        let connection = |path, purpose| Connection {
            permission: Permission {
                scheme: Scheme::Https,
                authority: authority.clone(),
                path,
                purpose,
            },
            certificate: None,
            server_thumbprint: None,
        };
        let of_a_version = |kind: &str, then: &str| PathPattern::AnySegment {
            before: format!("/{kind}/{}/", self.certificate),
            after: format!("{then}?{}", Self::QUERY),
        };
        let certificate = format!("{}?{}", self.path(), Self::QUERY);
        vec![
            connection(PathPattern::Exact(certificate), Purpose::Platform),
            connection(of_a_version("secrets", ""), Purpose::Platform),
            connection(of_a_version("keys", "/sign"), Purpose::PlatformPost),
        ]
    }

    /// The path of the certificate.
    pub fn path(&self) -> String {
        let path = format!("/certificates/{}", self.certificate);
        match &self.version {
            Some(version) => format!("{path}/{version}"),
            None => path,
        }
    }

    /// Checks all of it, and gives the identity.
    pub(super) fn check(
        &self,
        certificate: &str,
        place: &Place<'_>,
    ) -> Result<IdentityConfig, ConfigError> {
        let Self {
            url,
            certificate: name,
            version,
            audience,
            identity,
        } = self;
        let setting = place.at("url");
        check(&setting, rules::filled_in(url))?;
        let endpoint = check(&setting, endpoint_of(url))?;
        if !matches!(endpoint.path.as_str(), "" | "/") {
            return Err(ConfigError::new(setting, "has a path").hint(
                "write the vault alone, https://NAME.vault.azure.net; what follows is `certificate` and `version`",
            ));
        }
        check(&place.at("certificate"), object_name(name))?;
        if let Some(version) = version {
            check(&place.at("version"), object_name(version))?;
        }
        let resource = match (audience, audience_of(&endpoint.authority)) {
            (None, Some(audience)) => audience,
            (None, None) => {
                return Err(ConfigError::new(setting, "is in no domain of Azure's vaults").hint(
                    "write https://NAME.vault.azure.net; or, if tokens for a vault may go to that host, set `audience` beside it to what they are for (https://vault.azure.net)",
                ));
            }
            (Some(audience), known) => {
                let setting = place.at("audience");
                check(&setting, rules::audience(audience))?;
                if known.is_some_and(|known| known != *audience) {
                    return Err(ConfigError::new(
                        setting,
                        "is another one than the vault's domain has",
                    )
                    .hint("leave it out: it is for vaults in other domains"));
                }
                audience.clone()
            }
        };
        let inside = place.inside("identity");
        let direct = Direct::managed_identity(identity, &resource, &inside)?;
        Ok(IdentityConfig {
            name: Self::identity_of(certificate),
            scopes: vec![format!("{resource}{}", rules::DEFAULT_SCOPE)],
            source: Source::Direct(Box::new(direct)),
            // noted with the configuration's own
            needs: Needs::default(),
            environment: None,
        })
    }
}

/// The vault of a URL, or of what people write in its place.
#[cfg(feature = "key-vault")]
fn endpoint_of(url: &str) -> Result<Endpoint, Refusal> {
    /// Of a vault's name.
    const MAX_CHARS: usize = 24;

    Endpoint::parse(url).map_err(|refusal| {
        if url.len() <= MAX_CHARS && object_name(url).is_ok() {
            return Refusal::new(
                "is the name of a vault, and not its URL",
                format!("write https://{url}.vault.azure.net"),
            );
        }
        match url.starts_with("http://") {
            true => Refusal::new(
                refusal.into_reason().message,
                "write https://NAME.vault.azure.net",
            ),
            false => refusal,
        }
    })
}

/// What tokens for a vault of Azure's are for. Its host is one label in one of the domains, at the port of https.
#[cfg(feature = "key-vault")]
fn audience_of(authority: &str) -> Option<String> {
    let (_, domain) = authority.split_once('.')?;
    let known = KeyVaultFile::DOMAINS.contains(&domain);
    known.then(|| format!("https://{domain}"))
}

/// The name of an object of a vault, or of a version.
#[cfg(feature = "key-vault")]
fn object_name(name: &str) -> Result<(), Refusal> {
    /// <https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#objects-identifiers-and-versioning>
    const MAX_CHARS: usize = 127;
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=MAX_CHARS).contains(&name.len()) && name.bytes().all(is_part) {
        return Ok(());
    }
    Err(Refusal::new(
        "is not the name of an object in a vault",
        "write it as the vault shows it: up to 127 letters, digits and `-`",
    ))
}
