//! Where a client is asked for tokens.

use edgepass_core::ConfigError;
use edgepass_core::authority::{PUBLIC_HOST, host_of_cloud, tenant_of_host};

use crate::cloud;
use crate::draft::{Draft, Node, Object};
use crate::layers::Setting;

/// What may come before the tenant in a path of Azure AD B2C.
const TFP: &str = "tfp";

/// How B2C's hosts end, each of which is one tenant's.
const B2C: &str = ".b2clogin.com";

/// What comes last in the path of an authority.
const VERSION: &str = "v2.0";

/// What is behind the host of an authority, for people.
const TENANT: &str = "TENANT/v2.0";

/// How a client is asked for tokens.
pub(super) struct Client {
    pub(super) fields: Object,
    /// Its host, with the port if there is one.
    pub(super) host: String,
    /// Of an Entra tenant, and not of a server that is known by its token endpoint.
    pub(super) is_entra: bool,
    pub(super) is_adfs: bool,
}

/// An https URL in parts.
pub(super) struct Url {
    pub(super) authority: String,
    /// The parts of its path.
    pub(super) path: Vec<String>,
    pub(super) from: String,
}

impl Url {
    /// Whether it is a host of Azure AD B2C's own.
    pub(super) fn is_b2c(&self) -> bool {
        self.authority.ends_with(B2C)
    }

    /// `path` is what has to be behind the host, for people.
    pub(super) fn of(setting: &Setting, path: &str) -> Result<Self, ConfigError> {
        let text = setting.text();
        let rest = text
            .split_at_checked("https://".len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("https://"))
            .map(|(_, rest)| rest);
        let Some(rest) = rest else {
            // whoever names a cloud is led to that one
            let hint = match cloud::meant(text) {
                Some(host) => format!("write it as https://{host}/{path}"),
                None => format!(
                    "write it with https:// and a host, for example https://{PUBLIC_HOST}/{path}"
                ),
            };
            return Err(ConfigError::new(&setting.from, "is no https:// URL").hint(hint));
        };
        let (authority, behind) = rest.split_once('/').unwrap_or((rest, ""));
        let authority = authority.to_lowercase();
        if let Some(host) = cloud::without_slash(&authority) {
            let error = ConfigError::new(&setting.from, "has no / behind its host");
            return Err(error.hint(format!("write it as https://{host}/{path}")));
        }
        let path = behind.split('/').filter(|part| !part.is_empty());
        Ok(Self {
            authority,
            path: path.map(str::to_owned).collect(),
            from: setting.from.clone(),
        })
    }

    pub(super) fn public(from: String) -> Self {
        Self {
            authority: PUBLIC_HOST.to_owned(),
            path: Vec::new(),
            from,
        }
    }

    /// `https://host`, and `https://host/tfp` of B2C: of Microsoft's hosts the tenant comes next.
    pub(super) fn of_instance(setting: &Setting) -> Result<Self, ConfigError> {
        let url = Self::of(setting, "")?;
        let is_bare = match url.path.as_slice() {
            [] => true,
            [part] => part == TFP,
            _ => false,
        };
        if url.is_microsofts() && !is_bare {
            return Err(
                ConfigError::new(&url.from, "has more than a host").hint(format!(
                    "write it as https://{}/, and the tenant as TenantId",
                    url.authority
                )),
            );
        }
        Ok(url)
    }

    /// Whether its host is one of Microsoft's, of which it is known what may be in a path.
    fn is_microsofts(&self) -> bool {
        cloud::is_known(&self.authority)
    }
}

/// Where a client is asked for tokens, in Microsoft's terms.
pub(super) struct ClientAuthority {
    pub(super) url: Url,
    pub(super) tenant: String,
    pub(super) tenant_from: String,
    /// The user flow, of Azure AD B2C.
    pub(super) policy: Option<String>,
}

/// That MSAL.NET's `AzureCloudInstance`, by name or number, means no other cloud than the one that is asked where nothing else
/// names one: it is not read.
pub(super) fn no_other_cloud(instance: &Setting, section: &str) -> Result<(), ConfigError> {
    let name = match instance.text() {
        "2" => "AzureChina",
        "3" => "AzureGermany",
        "4" => "AzureUsGovernment",
        name => name,
    };
    match host_of_cloud(name) {
        Some(host) if host != PUBLIC_HOST => Err(ConfigError::new(
            &instance.from,
            "is not read, and names another cloud than the public one",
        )
        .hint(format!("set {section}:Instance to https://{host}/"))),
        _ => Ok(()),
    }
}

/// `https://host/tenant/v2.0`, `https://host/tenant/policy` of B2C, `https://tenant.ciamlogin.com`.
pub(super) fn of_authority(setting: &Setting) -> Result<ClientAuthority, ConfigError> {
    let mut url = Url::of(setting, TENANT)?;
    let from = setting.from.clone();
    let is_microsofts = url.is_microsofts();
    if is_microsofts {
        url.path.pop_if(|part| part == VERSION);
    } else {
        url.path.retain(|part| part != VERSION);
    }
    if url.path.first().is_some_and(|part| part == TFP) {
        url.path.remove(0);
    }
    let is_policy = |part: &String| part.to_lowercase().starts_with("b2c_");
    let policy = url.path.pop_if(|part| is_policy(part));
    let of_host = tenant_of_host(&url.authority).filter(|_| !url.is_b2c());
    let tenant = match (url.path.pop(), of_host) {
        (Some(tenant), _) => tenant,
        (None, Some(tenant)) => tenant,
        (None, None) => {
            let hint = match is_microsofts {
                true => format!("write it as https://{}/{TENANT}", url.authority),
                false => format!(
                    "write it as https://{PUBLIC_HOST}/{TENANT}; of servers other than Microsoft's write a configuration \
                     with their token_endpoint"
                ),
            };
            return Err(ConfigError::new(&from, "names no tenant").hint(hint));
        }
    };
    // of a token endpoint, or of a document about the server
    if is_microsofts && !url.path.is_empty() {
        let is_b2c = policy.is_some() || url.authority.ends_with(B2C);
        let policy = if is_b2c { "B2C_1_signin/" } else { "" };
        return Err(
            ConfigError::new(&from, "has more in its path than a tenant").hint(format!(
                "write it as https://{}/TENANT/{policy}{VERSION}",
                url.authority
            )),
        );
    }
    Ok(ClientAuthority {
        url,
        tenant,
        tenant_from: from,
        policy,
    })
}

impl ClientAuthority {
    /// Whether it is Azure AD B2C, which issues tokens by a user flow alone, and none is named. Under a domain of somebody's own
    /// it cannot be told from Entra ID.
    pub(super) fn lacks_policy(&self) -> bool {
        self.policy.is_none() && self.url.is_b2c()
    }

    /// The fields of a client that say where it is asked.
    pub(super) fn client(self, at: &str, draft: &mut Draft) -> Client {
        let Self {
            mut url,
            tenant,
            tenant_from,
            policy,
        } = self;
        draft.trust_microsoft(&url.authority);
        if url.path.first().is_some_and(|part| part == TFP) {
            url.path.remove(0);
        }
        let is_adfs = tenant.eq_ignore_ascii_case("adfs");
        let is_entra = url.path.is_empty() && policy.is_none() && !is_adfs;
        if is_entra {
            draft.place(format!("{at}.authority_host"), url.from);
            draft.place(format!("{at}.tenant_id"), tenant_from);
            return Client {
                fields: vec![
                    (
                        "authority_host".to_owned(),
                        Node::text(format!("https://{}", url.authority)),
                    ),
                    ("tenant_id".to_owned(), Node::text(tenant)),
                ],
                host: url.authority,
                is_entra,
                is_adfs,
            };
        }
        let mut path = url.path;
        if policy.is_some() {
            path.push(TFP.to_owned());
        }
        path.push(tenant);
        path.extend(policy);
        let version = if is_adfs { "oauth2" } else { "oauth2/v2.0" };
        let endpoint = format!(
            "https://{}/{}/{version}/token",
            url.authority,
            path.join("/")
        );
        draft.place(format!("{at}.token_endpoint"), url.from);
        Client {
            fields: vec![("token_endpoint".to_owned(), Node::text(endpoint))],
            host: url.authority,
            is_entra,
            is_adfs,
        }
    }
}
