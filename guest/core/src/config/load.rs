//! From what users wrote to what the engine runs on. Everything that can be known to be wrong before the first request
//! is an error here, and each names its setting and the fix.

mod certificates;
mod client;
mod credentials;

use std::sync::Arc;

use super::document::{ConfigFile, IdentityFile};
use super::environment::ClientVariables;
use super::error::{ConfigError, check};
use super::parse::OneOrMore;
use super::place::{Loading, Place};
use super::request::{check_direct_scopes, check_scopes};
#[cfg(feature = "every-credential")]
use super::walk;
use super::{Config, ENVIRONMENT_IDENTITY, Environment, Exchange, IdentityConfig, Source, rules};
use crate::Table;
use crate::authority::TrustedHosts;
use crate::credential::{Credential, CredentialFile, Credentials, Direct};
#[cfg(feature = "every-credential")]
use crate::limits::{MAX_USER_TOKENS_MIB, USER_TOKENS_MIB};
#[cfg(feature = "every-credential")]
use crate::needs::ServerNeed;
use crate::text::shown_name;

#[cfg(feature = "key-vault")]
use certificates::key_vaults;
use certificates::{all_certificates, check_certificate_files};
#[cfg(feature = "every-credential")]
use credentials::check_different;
#[cfg(not(feature = "every-credential"))]
use credentials::require_any_source;
use credentials::{environment_credential, in_list, written_credentials};

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
            #[cfg(feature = "key-vault")]
            if let Some(variable) = &store.password_env {
                certificates::check_variable("host.token_store.password_env", variable, &loading)?;
            }
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
            rules::name(name).or_else(|refusal| {
                let shown = format!("identities.{}", shown_name(name));
                check(&shown, Err(refusal))
            })?;
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
                format!(
                    "is `{}`, which is not among the identities",
                    shown_name(&name)
                ),
            )
            .hint(format!("name one of: {known}")))
        }
        Some(name) => Ok(Some(name)),
        None if identities.len() == 1 => Ok(identities.keys().next().cloned()),
        None => Ok(None),
    }
}
