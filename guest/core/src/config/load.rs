//! From what users wrote to what the engine runs on. Everything that can be known to be wrong before the first request
//! is an error here, and each names its setting and the fix.

use std::sync::Arc;

use super::certificate_files::CertificateFiles;
use super::document::{ConfigFile, IdentityFile};
use super::environment::ClientVariables;
use super::error::{ConfigError, check};
use super::parse::OneOrMore;
use super::place::{Loading, Place};
use super::request::{check_direct_scopes, check_scopes};
#[cfg(feature = "every-credential")]
use super::walk;
use super::{
    Client, Config, ENVIRONMENT_IDENTITY, Environment, Exchange, IdentityConfig, Source, rules,
};
#[cfg(feature = "every-credential")]
use super::{entra, parameters};
use crate::Table;
use crate::authority::{Authority, Endpoint, PUBLIC_HOST, Reason, TrustedHosts};
use crate::credential::{Credential, CredentialFile, Credentials, Direct, SHORTCUTS};
use crate::limits::MAX_CREDENTIALS;
#[cfg(feature = "every-credential")]
use crate::limits::{MAX_USER_TOKENS_MIB, USER_TOKENS_MIB};
#[cfg(feature = "every-credential")]
use crate::needs::ServerNeed;

impl Config {
    /// Checks a configuration whole: JSON text, with the environment for what it leaves out. Without a text, or with
    /// one that has no identities, the environment alone describes one identity, which is called `default`.
    ///
    /// # Errors
    ///
    /// With the first setting or variable that is wrong, and what to write in its place.
    // kept out of line: inlined, it makes Envoy's V8 use megabytes more at start
    #[inline(never)]
    pub fn load(json: Option<&str>, environment: &Environment) -> Result<Self, ConfigError> {
        let file = json.map_or_else(|| Ok(ConfigFile::default()), ConfigFile::parse)?;
        let loading = Loading::new(environment);
        for (name, files) in &file.certificates {
            check_certificate_files(name, files, &loading)?;
        }
        #[cfg(feature = "key-vault")]
        let vaults = key_vaults(&file.certificates, &loading)?;
        for (setting, path) in [
            ("host.ca_file", &file.host.ca_file),
            ("host.extra_ca_file", &file.host.extra_ca_file),
        ] {
            if let Some(path) = path {
                check(setting, rules::path(path))?;
            }
        }
        #[cfg(feature = "every-credential")]
        if let Some(store) = &file.host.token_store {
            store.check()?;
        }
        #[cfg(feature = "every-credential")]
        if let Some(mib) = file.host.user_token_cache_mib
            && !(1..=MAX_USER_TOKENS_MIB).contains(&mib)
        {
            let message = format!("is not between 1 and {MAX_USER_TOKENS_MIB}");
            return Err(
                ConfigError::new("host.user_token_cache_mib", message).hint(format!(
                    "write MiB, {USER_TOKENS_MIB} for example, or leave it out"
                )),
            );
        }
        let loader = Loader {
            trusted: trusted_hosts(&file.authority_hosts, &loading)?,
            #[cfg(feature = "every-credential")]
            variables: ClientVariables::AZURE,
        };
        // credentials that have a token endpoint of their own ask it, too
        #[cfg(feature = "every-credential")]
        loading.trusted.get_or_init(|| loader.trusted.clone());
        // so far it is the configuration's own
        let needs = loading.needs.take();
        let mut identities = Table::new();
        let environment_only = file.identities.is_empty();
        if environment_only {
            let place = Place::environment(&loading);
            let identity = loader.of_environment(&place, json.is_some())?;
            identities.insert(ENVIRONMENT_IDENTITY.to_owned(), Arc::new(identity));
        }
        for (name, identity) in &file.identities {
            let place = Place::new(format!("identities.{name}"), &loading);
            check(place.path(), rules::name(name))?;
            let identity = loader.identity(&place, name, identity, None)?;
            identities.insert(name.clone(), Arc::new(identity));
        }
        #[cfg(feature = "every-credential")]
        check_servers(&identities)?;
        let default_identity = default_identity(file.default_identity, &identities)?;
        Ok(Self {
            default_identity,
            identities,
            certificates: all_certificates(file.certificates, &loading)?,
            host: file.host,
            consumers: file.consumers,
            envoy: file.envoy,
            #[cfg(feature = "every-credential")]
            http: file.http,
            needs,
            environment_only,
            #[cfg(feature = "key-vault")]
            vaults,
        })
    }
}

/// The settings of clients of every server.
const CLIENT_FIELDS: &[&str] = &[
    "client_id",
    "token_endpoint",
    "mtls_token_endpoint",
    "issuer",
    "resources",
    "additional_parameters",
];

struct Loader {
    trusted: TrustedHosts,
    /// What names the client where nothing is written.
    #[cfg(feature = "every-credential")]
    variables: &'static ClientVariables,
}

impl Loader {
    /// The one that is written down nowhere.
    #[cfg(feature = "every-credential")]
    fn of_environment(&self, place: &Place<'_>, _: bool) -> Result<IdentityConfig, ConfigError> {
        let found = walk::find(place)?;
        let loader = Self {
            trusted: self.trusted.clone(),
            variables: found.of.variables,
        };
        let identity = loader.identity(place, ENVIRONMENT_IDENTITY, &found.file, found.shortcut);
        Ok(IdentityConfig {
            environment: Some(found.of.clone()),
            ..identity.map_err(|error| found.of.explain_config(error))?
        })
    }

    #[cfg(feature = "every-credential")]
    fn variables(&self) -> &'static ClientVariables {
        self.variables
    }

    #[cfg(not(feature = "every-credential"))]
    fn variables(&self) -> &'static ClientVariables {
        ClientVariables::AZURE
    }

    #[cfg(not(feature = "every-credential"))]
    fn of_environment(
        &self,
        place: &Place<'_>,
        has_document: bool,
    ) -> Result<IdentityConfig, ConfigError> {
        require_any_source(place, has_document)?;
        self.identity(place, ENVIRONMENT_IDENTITY, &IdentityFile::default(), None)
    }

    /// `shortcut` is the variable that stands for its credential, if that is known.
    fn identity(
        &self,
        place: &Place<'_>,
        name: &str,
        file: &IdentityFile,
        shortcut: Option<&'static str>,
    ) -> Result<IdentityConfig, ConfigError> {
        // a proxy has to know before it starts whom it asks, and every byte makes it slower to start
        #[cfg(not(feature = "every-credential"))]
        if let Some((field, is_in_full)) = file.elsewhere() {
            let error = ConfigError::new(place.at(field), "is not available in Envoy");
            return Err(match is_in_full {
                true => error.hint("load edgepass-envoy-full.wasm"),
                false => error,
            });
        }
        let written = written_credentials(place, file)?;
        if let [(credential, written)] = written.as_slice()
            && let Some(direct) = Direct::check(written, credential)?
        {
            return direct_identity(place, name, file, direct);
        }
        let client = self.client(place, file)?;
        let scopes = if file.scopes.is_empty() {
            Vec::new()
        } else {
            check_scopes(&client.authority, &file.scopes)
                .map_err(|error| ConfigError::from_error(place.at("scopes"), &error))?
        };
        let credentials = if written.is_empty() {
            let place_of_one = place.inside("credential");
            environment_credential(place, &place_of_one, file, shortcut)?
                .into_iter()
                .collect()
        } else {
            let checked = written
                .iter()
                .map(|(place, written)| in_list(written, place, &client));
            checked.collect::<Result<Vec<_>, _>>()?
        };
        if file.mtls_token_endpoint.is_some()
            && credentials.iter().all(|c| c.certificate().is_none())
        {
            return Err(ConfigError::new(
                place.at("mtls_token_endpoint"),
                "is never used: the credential has no certificate for the connection",
            )
            .hint("remove it, or use the credential kind bound_certificate"));
        }
        for (index, credential) in credentials.iter().enumerate() {
            if credential.certificate().is_some() {
                let setting = written.get(index).map(|(place, _)| place.path().to_owned());
                self.check_twin(
                    place,
                    &client,
                    &setting.unwrap_or_else(|| place.at("credential")),
                )?;
            }
        }
        #[cfg(feature = "every-credential")]
        check_different(&credentials, &written)?;
        // those of the first come first
        for (index, credential) in credentials.iter().enumerate().rev() {
            let by = |credential: &Credential| {
                let proxy = credential.proxy();
                let proxy =
                    proxy.map(|proxy| (proxy.authority().to_owned(), proxy.path().to_owned()));
                (credential.certificate().map(str::to_owned), proxy)
            };
            let mut earlier = credentials.iter().take(index);
            if !earlier.any(|earlier| by(earlier) == by(credential)) {
                place.need(|needs| {
                    client.need_connections(credential.certificate(), credential.proxy(), needs);
                });
            }
        }
        #[cfg(feature = "every-credential")]
        place.need(|needs| client.need_id_tokens(needs));
        let Some(credentials) = Credentials::new(credentials) else {
            // one kind is there, and it was not a direct one
            return Err(ConfigError::new(place.at("credential"), "names no kind"));
        };
        Ok(IdentityConfig {
            name: name.to_owned(),
            scopes,
            source: Source::Exchange(Box::new(Exchange {
                client,
                credentials,
            })),
            needs: place.take_needs(),
            #[cfg(feature = "every-credential")]
            environment: None,
        })
    }

    /// A rule makes the name of the mTLS host, so it may be somebody else's: outside of the built-in clouds it is
    /// trusted only if somebody has named it too.
    fn check_twin(
        &self,
        place: &Place<'_>,
        client: &Client,
        setting: &str,
    ) -> Result<(), ConfigError> {
        #[cfg(feature = "every-credential")]
        if client.authority.is_discovered() {
            // looked at when it is found
            return Ok(());
        }
        if client.authority.cloud().is_some() {
            // of a region's host every build takes the name alone
            #[cfg(feature = "every-credential")]
            if client.authority.is_regional()
                && let Ok(twin) = client.token_endpoint(client.tenant.as_deref(), true)
            {
                self.trust(place, setting, &twin.authority)?;
            }
            return Ok(());
        }
        let endpoint = client
            .token_endpoint(client.tenant.as_deref(), true)
            .map_err(|error| ConfigError::from_error(setting, &error))?;
        #[cfg(not(feature = "every-credential"))]
        let _ = place;
        self.trusted.check(&endpoint.authority).map_err(|refusal| {
            let Reason { message, hint } = refusal.into_reason();
            let message =
                format!("authenticates connections to the authority's mTLS host, and {message}");
            ConfigError::new(setting, message).hint(hint)
        })
    }

    fn client(&self, place: &Place<'_>, file: &IdentityFile) -> Result<Client, ConfigError> {
        let (authority, tenant) = match file.is_of_another_server() {
            true => (self.other(place, file)?, None),
            false => self.entra(place, file)?,
        };
        let variable = (!file.is_of_another_server()).then_some(self.variables().client_id);
        let client_id = place.required("client_id", file.client_id.as_deref(), variable)?;
        client_id.check(rules::client_id)?;
        if variable.is_some() {
            client_id.check(rules::no_secret_of_entra)?;
        }
        Ok(Client {
            #[cfg(feature = "every-credential")]
            parameters: parameters::of_identity(place, file, &authority)?,
            #[cfg(feature = "every-credential")]
            described: authority.described(file.issuer.as_deref(), &self.trusted),
            #[cfg(feature = "every-credential")]
            capabilities: parameters::capabilities(place, file)?,
            #[cfg(feature = "every-credential")]
            issuer: file.issuer.clone(),
            authority,
            client_id: client_id.value.to_owned(),
            tenant,
            additionally_allowed_tenants: further_tenants(place, file)?,
        })
    }

    fn entra(
        &self,
        place: &Place<'_>,
        file: &IdentityFile,
    ) -> Result<(Authority, Option<String>), ConfigError> {
        if file.mtls_token_endpoint.is_some() {
            return Err(
                ConfigError::new(place.at("mtls_token_endpoint"), "needs token_endpoint").hint(
                    "leave it out for Entra ID, whose mTLS host is known, or set token_endpoint",
                ),
            );
        }
        let variable = Some(self.variables().tenant_id);
        let tenant = place.optional("tenant_id", file.tenant_id.as_deref(), variable);
        let host = place.optional(
            "authority_host",
            file.authority_host.as_deref(),
            Some(Environment::AZURE_AUTHORITY_HOST),
        );
        let public = format!("https://{PUBLIC_HOST}");
        let (name, host) = host
            .as_ref()
            .map_or(("", public.as_str()), |host| (host.name(), host.value));
        check(name, rules::filled_in(host))?;
        // the SDKs take the variable without the scheme as well
        #[cfg(feature = "every-credential")]
        let with_scheme = match name {
            Environment::AZURE_AUTHORITY_HOST if !host.contains("://") => {
                place.need_every_credential(name.to_owned());
                format!("https://{host}")
            }
            _ => host.to_owned(),
        };
        #[cfg(feature = "every-credential")]
        let host = with_scheme.as_str();
        let authority = check(name, Authority::entra(host, file.endpoint_version))?;
        #[cfg(feature = "every-credential")]
        let (authority, tenant) =
            entra::with_tenant(place, file, authority, tenant.as_ref(), variable)?;
        #[cfg(not(feature = "every-credential"))]
        let tenant = {
            let tenant = tenant.ok_or_else(|| place.missing("tenant_id", variable))?;
            tenant.check(rules::tenant)?;
            Some(tenant.value.to_owned())
        };
        // without a host of its own it is a region that leads elsewhere
        #[cfg(feature = "every-credential")]
        let of_region = place.at("region");
        #[cfg(feature = "every-credential")]
        let name = if name.is_empty() { &of_region } else { name };
        self.trust(place, name, &authority.network_host())?;
        Ok((authority, tenant))
    }

    /// That credentials may be sent there. What a build without every credential trusts only by its name is noted.
    fn trust(&self, place: &Place<'_>, setting: &str, host: &str) -> Result<(), ConfigError> {
        #[cfg(feature = "every-credential")]
        if !self.trusted.has(host) {
            place.need_every_credential(setting.to_owned());
        }
        #[cfg(not(feature = "every-credential"))]
        let _ = place;
        check(setting, self.trusted.check(host))
    }

    /// A server other than Entra ID, by its token endpoint or by its issuer.
    fn other(&self, place: &Place<'_>, file: &IdentityFile) -> Result<Authority, ConfigError> {
        let by = match file.token_endpoint {
            Some(_) => "token_endpoint",
            None => "issuer",
        };
        let entra_only = |field: &&str| !CLIENT_FIELDS.contains(field);
        if let Some(field) = file.client_fields().into_iter().find(entra_only) {
            return Err(ConfigError::new(
                place.at(field),
                format!("is for Entra ID, but the identity has {by}"),
            )
            .hint(format!("keep either {field} or {by}")));
        }
        #[cfg(feature = "every-credential")]
        if let Some(issuer) = &file.issuer {
            let setting = place.at("issuer");
            check(&setting, rules::filled_in(issuer))?;
            check(&setting, crate::authority::issuer(issuer))?;
            place.need_every_credential(setting);
        }
        #[cfg(feature = "every-credential")]
        let Some(url) = &file.token_endpoint else {
            return self.discovered(place, file);
        };
        // the issuer alone has been refused
        #[cfg(not(feature = "every-credential"))]
        let url = file.token_endpoint.as_deref().unwrap_or_default();
        let token_endpoint = self.endpoint(place, "token_endpoint", url)?;
        let mtls_token_endpoint = file
            .mtls_token_endpoint
            .as_ref()
            .map(|url| self.endpoint(place, "mtls_token_endpoint", url))
            .transpose()?;
        Ok(Authority::Generic {
            token_endpoint,
            mtls_token_endpoint,
        })
    }

    #[cfg(feature = "every-credential")]
    fn discovered(&self, place: &Place<'_>, file: &IdentityFile) -> Result<Authority, ConfigError> {
        if file.mtls_token_endpoint.is_some() {
            return Err(
                ConfigError::new(place.at("mtls_token_endpoint"), "needs token_endpoint")
                    .hint("leave it out: the issuer's metadata have it, or set token_endpoint"),
            );
        }
        let setting = place.at("issuer");
        let issuer = file.issuer.as_deref().unwrap_or_default();
        check(&setting, Authority::discovered(issuer, &self.trusted))
    }

    fn endpoint(&self, place: &Place<'_>, field: &str, url: &str) -> Result<Endpoint, ConfigError> {
        let setting = place.at(field);
        check(&setting, rules::filled_in(url))?;
        let endpoint = check(&setting, Endpoint::parse(url))?;
        self.trust(place, &setting, &endpoint.authority)?;
        Ok(endpoint)
    }
}

/// The credentials that are written down, each with its place: one that is no list's, or those of a list.
fn written_credentials<'a, 'f>(
    place: &Place<'a>,
    file: &'f IdentityFile,
) -> Result<Vec<(Place<'a>, &'f CredentialFile)>, ConfigError> {
    let whole = place.inside("credential");
    let Some(written) = &file.credential else {
        return Ok(Vec::new());
    };
    let is_list = matches!(written, OneOrMore::More(_));
    let written = written.as_slice();
    if written.is_empty() {
        return Err(ConfigError::new(whole.path(), "is an empty list")
            .hint("write a credential, or leave the field out to have that of the environment"));
    }
    if written.len() > MAX_CREDENTIALS {
        let message = format!(
            "has {} credentials, more than {MAX_CREDENTIALS}",
            written.len()
        );
        return Err(ConfigError::new(whole.path(), message)
            .hint("each of them may be tried within one call: keep those that can be meant"));
    }
    let mut out = Vec::new();
    for (index, credential) in written.iter().enumerate() {
        let place = if is_list {
            whole.item(index)
        } else {
            whole.clone()
        };
        credential.check_one(&place)?;
        out.push((place, credential));
    }
    Ok(out)
}

/// One that is there twice would be refused twice, and the second costs an attempt that cannot help.
#[cfg(feature = "every-credential")]
fn check_different(
    credentials: &[Credential],
    written: &[(Place<'_>, &CredentialFile)],
) -> Result<(), ConfigError> {
    for (index, (credential, (place, _))) in credentials.iter().zip(written).enumerate() {
        let mut earlier = credentials.iter().zip(written).take(index);
        if let Some((_, (first, _))) = earlier.find(|(earlier, _)| earlier.is_same(credential)) {
            return Err(ConfigError::new(
                place.path(),
                format!("is the same credential as {}", first.path()),
            )
            .hint("remove one of the two"));
        }
    }
    Ok(())
}

/// A credential of a client.
fn in_list(
    written: &CredentialFile,
    place: &Place<'_>,
    client: &Client,
) -> Result<Credential, ConfigError> {
    Credential::check(written, place, client)?.ok_or_else(|| {
        let kind = written.present().join(", ");
        ConfigError::new(
            place.at(&kind),
            "gets its tokens from the platform: it cannot be one of several credentials of a client",
        )
        .hint("use managed_identity_assertion, by which the client proves itself, or make another identity of it")
    })
}

/// The tenants of the document, or of an identity that only the environment describes those of the variable: what
/// widens an identity that is written down is written there.
fn further_tenants(place: &Place<'_>, file: &IdentityFile) -> Result<Vec<String>, ConfigError> {
    const FIELD: &str = "additionally_allowed_tenants";
    const VARIABLE: &str = Environment::AZURE_ADDITIONALLY_ALLOWED_TENANTS;

    let one = |setting: &str, tenant: &str| match tenant {
        "*" => Ok(()),
        tenant => check(setting, rules::tenant(tenant)),
    };
    if place.is_environment_only() {
        let listed = place.variable(VARIABLE, FIELD, false).unwrap_or_default();
        let tenants = listed.split(';').map(str::trim).filter(|t| !t.is_empty());
        return tenants
            .map(|tenant| one(VARIABLE, tenant).map(|()| tenant.to_owned()))
            .collect();
    }
    for (index, tenant) in file.additionally_allowed_tenants.iter().enumerate() {
        one(&place.at(&format!("{FIELD}[{index}]")), tenant)?;
    }
    Ok(file.additionally_allowed_tenants.clone())
}

/// An identity whose tokens come from the platform: it is no client of anybody.
fn direct_identity(
    place: &Place<'_>,
    name: &str,
    file: &IdentityFile,
    direct: Direct,
) -> Result<IdentityConfig, ConfigError> {
    if let Some(field) = file.client_fields().first() {
        let written = file.credential.iter().flat_map(OneOrMore::as_slice);
        let kind = written.flat_map(CredentialFile::present).next();
        let kind = kind.unwrap_or_default();
        return Err(ConfigError::new(
            place.at(field),
            format!(
                "is for clients of a token endpoint, but {kind} gets its tokens from the platform"
            ),
        )
        .hint(format!("remove {field}")));
    }
    let scopes = if file.scopes.is_empty() {
        Vec::new()
    } else {
        check_direct_scopes(&file.scopes)
            .map_err(|error| ConfigError::from_error(place.at("scopes"), &error))?
    };
    Ok(IdentityConfig {
        name: name.to_owned(),
        scopes,
        source: Source::Direct(Box::new(direct)),
        needs: place.take_needs(),
        #[cfg(feature = "every-credential")]
        environment: None,
    })
}

/// The credential of an identity that writes none down.
fn environment_credential(
    place: &Place<'_>,
    credential: &Place<'_>,
    file: &IdentityFile,
    only: Option<&'static str>,
) -> Result<Option<Credential>, ConfigError> {
    if file.is_of_another_server() {
        return Err(ConfigError::new(credential.path(), "is not set")
            .hint("set it: with a token_endpoint or an issuer nothing is taken from the AZURE_… variables"));
    }
    let known = || {
        let all = SHORTCUTS.iter().flatten();
        all.filter(|known| place.is_environment_only() || !known.environment_only)
            .filter(|known| only.is_none_or(|only| known.variable == only))
    };
    let mut present = known().filter(|known| place.has_variable(known.variable));
    let Some(shortcut) = present.next() else {
        let names: Vec<&str> = known().map(|known| known.variable).collect();
        let setting = if place.is_environment_only() {
            names.first().copied().unwrap_or_default()
        } else {
            credential.path()
        };
        return Err(
            ConfigError::new(setting, "is not set, and no other credential is there").hint(
                format!(
                    "set exactly one of {}, or a credential in the configuration",
                    names.join(", ")
                ),
            ),
        );
    };
    if let Some(other) = present.next() {
        return Err(ConfigError::new(
            other.variable,
            format!(
                "is set, and so is {}: only one of them can be meant",
                shortcut.variable
            ),
        )
        .hint("unset one of the two, or name the credential in the configuration"));
    }
    shortcut.credential(credential)
}

#[cfg(not(feature = "every-credential"))]
fn require_any_source(place: &Place<'_>, has_document: bool) -> Result<(), ConfigError> {
    let mut starters = SHORTCUTS.iter().flatten().map(|known| known.variable);
    if place.has_variable(Environment::AZURE_TENANT_ID)
        || place.has_variable(Environment::AZURE_CLIENT_ID)
        || starters.any(|name| place.has_variable(name))
    {
        return Ok(());
    }
    let error = if has_document {
        ConfigError::new(
            "configuration",
            "has no identities, and no AZURE_… variables are set either",
        )
        .hint("write one under identities, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE")
    } else {
        ConfigError::new(
            "configuration",
            "there is none: neither a file nor variables",
        )
        .hint(
            "name a file by EDGEPASS_CONFIG (in a component: the document in EDGEPASS_CONFIG_JSON), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and \
             AZURE_FEDERATED_TOKEN_FILE",
        )
    };
    Err(error)
}

/// Those of the document and those that a variable names.
fn all_certificates(
    mut certificates: Table<String, CertificateFiles>,
    loading: &Loading<'_>,
) -> Result<Table<String, CertificateFiles>, ConfigError> {
    for (name, files) in loading.certificates.take() {
        if certificates.insert(name.clone(), files).is_some() {
            return Err(ConfigError::new(
                Environment::AZURE_CLIENT_CERTIFICATE_PATH,
                format!("is set, and the configuration has certificates.{name} as well"),
            )
            .hint("unset it, or write an identity that names the certificate"));
        }
    }
    Ok(certificates)
}

fn check_certificate_files(
    name: &str,
    files: &CertificateFiles,
    loading: &Loading<'_>,
) -> Result<(), ConfigError> {
    let place = Place::new(format!("certificates.{name}"), loading);
    check(place.path(), rules::name(name))?;
    let has_file = !files.certificate_file.is_empty();
    // who reads the configuration for a filter has looked at the rest
    #[cfg(feature = "every-credential")]
    check_sources(&place, files)?;
    let paths = [
        (
            "certificate_file",
            Some(&files.certificate_file).filter(|_| has_file),
        ),
        ("private_key_file", files.private_key_file.as_ref()),
        ("password_file", files.password_file.as_ref()),
    ];
    for (field, path) in paths {
        if let Some(path) = path {
            check(&place.at(field), rules::path(path))?;
        }
    }
    Ok(())
}

/// The identities by which the host reads certificates of Key Vault. What they need is noted for all; they are there only
/// where nobody but the host asks: a component that is composed with this one has no business with its keys.
#[cfg(feature = "key-vault")]
fn key_vaults(
    certificates: &Table<String, CertificateFiles>,
    loading: &Loading<'_>,
) -> Result<Table<String, Arc<IdentityConfig>>, ConfigError> {
    let host_alone = loading.environment.get(Environment::EDGEPASS_CALLER) == Some("host");
    let mut vaults = Table::new();
    for (name, files) in certificates {
        let Some(vault) = &files.key_vault else {
            continue;
        };
        let place = Place::new(format!("certificates.{name}.key_vault"), loading);
        let identity = vault.check(name, &place)?;
        if host_alone {
            vaults.insert(identity.name.clone(), Arc::new(identity));
        }
    }
    Ok(vaults)
}

/// That certificate and password each come from one place.
#[cfg(feature = "every-credential")]
fn check_sources(place: &Place<'_>, files: &CertificateFiles) -> Result<(), ConfigError> {
    if let Some(socket) = &files.spiffe_socket {
        return check_workload_api(place, files, socket);
    }
    #[cfg(feature = "key-vault")]
    if files.key_vault.is_some() {
        return check_alone(
            place,
            files,
            "key_vault",
            "keep one of them: the vault gives certificate and key",
        );
    }
    if files.spiffe_id.is_some() {
        return Err(
            ConfigError::new(place.at("spiffe_id"), "is set without spiffe_socket")
                .hint("name the socket of the Workload API as well, or leave it out"),
        );
    }
    let given =
        u8::from(!files.certificate_file.is_empty()) + u8::from(files.certificate_base64.is_some());
    if given > 1 {
        return Err(
            ConfigError::new(place.path(), "has certificate_file and certificate_base64")
                .hint("keep one of them"),
        );
    }
    if given == 0 && files.private_key_file.is_none() && files.key_vault.is_none() {
        return Err(
            ConfigError::new(place.path(), "missing field `certificate_file`")
                .hint("set certificate_file"),
        );
    }
    if files.password_file.is_some() && files.password_env.is_some() {
        return Err(
            ConfigError::new(place.path(), "has password_file and password_env")
                .hint("keep one of them"),
        );
    }
    Ok(())
}

/// That a certificate of that source has nothing of another.
#[cfg(feature = "every-credential")]
fn check_alone(
    place: &Place<'_>,
    files: &CertificateFiles,
    source: &str,
    hint: &'static str,
) -> Result<(), ConfigError> {
    let CertificateFiles {
        certificate_file,
        certificate_base64,
        private_key_file,
        password_file,
        password_env,
        spiffe_socket,
        spiffe_id,
        #[cfg(feature = "key-vault")]
        key_vault,
        #[cfg(not(feature = "key-vault"))]
            key_vault: _,
    } = files;
    for (field, is_set) in [
        ("certificate_file", !certificate_file.is_empty()),
        ("certificate_base64", certificate_base64.is_some()),
        ("private_key_file", private_key_file.is_some()),
        ("password_file", password_file.is_some()),
        ("password_env", password_env.is_some()),
        ("spiffe_socket", spiffe_socket.is_some()),
        ("spiffe_id", spiffe_id.is_some()),
        #[cfg(feature = "key-vault")]
        ("key_vault", key_vault.is_some()),
    ] {
        // the one field of the Workload API goes with the other
        let goes_with = field == source || (source, field) == ("spiffe_socket", "spiffe_id");
        if is_set && !goes_with {
            let message = format!("has {field} and {source}");
            return Err(ConfigError::new(place.path(), message).hint(hint));
        }
    }
    Ok(())
}

/// That a certificate of the Workload API is that and nothing else.
#[cfg(feature = "every-credential")]
fn check_workload_api(
    place: &Place<'_>,
    files: &CertificateFiles,
    socket: &str,
) -> Result<(), ConfigError> {
    check_alone(
        place,
        files,
        "spiffe_socket",
        "keep one of them: the Workload API gives certificate and key",
    )?;
    let setting = place.at("spiffe_socket");
    check(&setting, rules::filled_in(socket))?;
    check(&setting, rules::unix_socket(socket))?;
    match &files.spiffe_id {
        Some(id) => check(&place.at("spiffe_id"), rules::spiffe_id(id)),
        None => Ok(()),
    }
}

fn trusted_hosts(named: &[String], loading: &Loading<'_>) -> Result<TrustedHosts, ConfigError> {
    let mut trusted = TrustedHosts::default();
    for (index, entry) in named.iter().enumerate() {
        let setting = format!("authority_hosts[{index}]");
        check(&setting, rules::filled_in(entry))?;
        check(&setting, trusted.add(entry))?;
    }
    let variable = Environment::EDGEPASS_AUTHORITY_HOSTS;
    let Some(entries) = loading.environment.get(variable) else {
        return Ok(trusted);
    };
    let mut needs = loading.needs.borrow_mut();
    needs.add_variable(variable, "authority_hosts".to_owned(), false);
    let entries = entries.split(',').map(str::trim);
    for entry in entries.filter(|entry| !entry.is_empty()) {
        check(variable, rules::filled_in(entry))?;
        check(variable, trusted.add(entry))?;
    }
    Ok(trusted)
}

/// A driver knows a server by host and port, so one whose certificate is checked in a way of its own is that for all.
#[cfg(feature = "every-credential")]
fn check_servers(identities: &Table<String, Arc<IdentityConfig>>) -> Result<(), ConfigError> {
    let all = || {
        identities
            .iter()
            .map(|(name, identity)| (name, identity.needs()))
    };
    for (owner, needs) in all() {
        for server in &needs.servers {
            let is_same = |other: &ServerNeed| {
                other.authority == server.authority
                    && other.server_name == server.server_name
                    && other.authorities == server.authorities
            };
            let other = all().find(|(_, needs)| {
                let mut connections = needs.connections.iter();
                connections.any(|c| c.permission.authority == server.authority)
                    && !needs.servers.iter().any(is_same)
            });
            if let Some((other, _)) = other {
                return Err(ConfigError::new(
                    &server.setting,
                    format!(
                        "names {} for identity `{owner}`, which identity `{other}` asks as well, with other certification authorities or another name",
                        server.authority
                    ),
                )
                .hint("give the token proxy a host or port of its own, or both identities the same token_proxy"));
            }
        }
    }
    Ok(())
}

fn default_identity(
    named: Option<String>,
    identities: &Table<String, Arc<IdentityConfig>>,
) -> Result<Option<String>, ConfigError> {
    match named {
        Some(name) if !identities.contains_key(&name) => {
            let known: Vec<&str> = identities.keys().map(String::as_str).collect();
            let known = known.join(", ");
            Err(ConfigError::new(
                "default_identity",
                format!("is `{name}`, which is not among the identities"),
            )
            .hint(format!("name one of: {known}")))
        }
        Some(name) => Ok(Some(name)),
        None if identities.len() == 1 => Ok(identities.keys().next().cloned()),
        None => Ok(None),
    }
}
