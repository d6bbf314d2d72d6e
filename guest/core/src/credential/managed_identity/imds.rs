//! The instance metadata service of an Azure virtual machine (version 1).
//!
//! It answers over http at a link-local address that leaves the machine for its hypervisor and no further. There is no
//! secret in the request: `Metadata: true` only shows that nobody made the machine forward somebody else's.

use super::selector::Selector;
use super::wire::{self, Cause, Refused};
use crate::authority::{Endpoint, canonical_authority};
use crate::config::error::ConfigError;
use crate::config::place::Place;
use crate::credential::Failure;
use crate::distinction::Distinction;
use crate::effect::{HttpErrorKind, HttpResponse};
use crate::exchange::Granted;
use crate::flow::Io;
use crate::needs::{Connection, PathPattern, Permission, Purpose, Scheme, is_link_local};
use crate::{Error, ErrorClass, Secret};
#[cfg(feature = "every-credential")]
use crate::{credential::silence, flow::race};

/// The same address on every machine.
const ADDRESS: &str = "169.254.169.254";

const PATH: &str = "/metadata/identity/oauth2/token";

/// The first one, which every SDK asks for.
const API_VERSION: &str = "2018-02-01";

/// Replaces the address, as in the Azure SDKs: `http://host[:port]`.
const VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The port of http.
const HTTP_PORT: u16 = 80;

/// How long Microsoft asks to wait after a 404 at least, which also means "not yet", milliseconds.
const NOT_YET_MS: u64 = 2_000;

/// The same after a 410: the service is being updated, which takes up to 70 s, milliseconds. It is as long as a call
/// waits at most.
const UPDATING_MS: u64 = 5_000;

/// A managed identity at the metadata service.
#[derive(Clone, Debug)]
pub(in crate::credential) struct Imds {
    selector: Selector,
    /// Host, with the port if it is not 80.
    authority: String,
}

impl Imds {
    /// Tokens for that resource alone, or for any.
    pub(in crate::credential) fn check(
        selector: Selector,
        resource: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let authority = authority(place)?;
        let imds = Self {
            selector,
            authority,
        };
        place.need(|needs| {
            needs.connections.push(Connection {
                permission: Permission {
                    scheme: Scheme::LinkLocalHttp,
                    authority: imds.authority.clone(),
                    path: resource.map_or_else(
                        || PathPattern::Prefix(format!("{PATH}?")),
                        |resource| PathPattern::Exact(imds.path(resource)),
                    ),
                    purpose: Purpose::ManagedIdentity,
                },
                certificate: None,
                server_thumbprint: None,
            });
        });
        Ok(imds)
    }

    pub(in crate::credential) fn server(&self) -> &str {
        &self.authority
    }

    pub(in crate::credential) fn describe(&self) -> String {
        self.selector.describe()
    }

    pub(in crate::credential) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            selector,
            authority,
        } = self;
        selector.distinguish(out);
        out.add(authority);
    }

    /// One token for that resource.
    pub(in crate::credential) async fn token(
        &self,
        io: &Io,
        resource: &str,
        correlation_id: &str,
        timeout_ms: u64,
    ) -> Result<Granted, Failure> {
        let endpoint = Endpoint {
            authority: self.authority.clone(),
            path: self.path(resource),
        };
        let metadata = [("metadata", Secret::new("true"))];
        let method = Purpose::ManagedIdentity.method();
        let request = wire::request(
            method,
            "http",
            endpoint,
            &metadata,
            correlation_id,
            timeout_ms,
        );
        // the filter has no room for the probe: who is silent there has its share of the time
        #[cfg(not(feature = "every-credential"))]
        let result = wire::send(io, request, correlation_id, &[]).await;
        #[cfg(feature = "every-credential")]
        let silence = silence::silence(io, &request);
        #[cfg(feature = "every-credential")]
        let Ok(result) = race(wire::send(io, request, correlation_id, &[]), silence).await else {
            let silent = Error::new(
                ErrorClass::Timeout,
                format!("nobody has answered there for {} ms", silence::PROBE_MS),
            );
            return Err(Failure::not_here(self.nothing_there(silent).retryable()));
        };
        let Err(Refused { error, cause }) = result else {
            return result.map_err(|refused| refused.error.into());
        };
        Err(match cause {
            Cause::Answer(response) => self.refused(error, &response),
            // a service that restarts refuses connections, too
            Cause::NoAnswer(HttpErrorKind::Connect) => {
                Failure::not_here(self.nothing_there(error).retryable())
            }
            Cause::NoAnswer(HttpErrorKind::Dns) => Failure::not_here(self.nothing_there(error)),
            Cause::NoAnswer(_) => error
                .hint("the metadata service of a machine answers without a proxy, and to this machine alone")
                .into(),
        })
    }

    /// With the query that asks for a token for that resource.
    fn path(&self, resource: &str) -> String {
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{PATH}?"), PATH.len() + 1);
        query.append_pair("api-version", API_VERSION);
        query.append_pair("resource", resource);
        if let Some((name, id)) = parameter(&self.selector) {
            query.append_pair(name, id);
        }
        query.finish()
    }

    /// The service's own dialect of refusals.
    fn refused(&self, error: Error, response: &HttpResponse) -> Failure {
        let said = |words| error.detail().message.contains(words);
        match response.status {
            404 if is_service(&error, response) => again_later(error, NOT_YET_MS).into(),
            410 if is_service(&error, response) || response.body.is_empty() => {
                again_later(error, UPDATING_MS).into()
            }
            // a web server, a proxy that answers for everybody, or the metadata service of another cloud
            400..=499 if !matches!(response.status, 408 | 429) && !is_service(&error, response) => {
                Failure::not_here(self.nothing_there(error))
            }
            400 if said("ultiple user assigned") => error
                .reclassify(ErrorClass::Configuration)
                .hint("set client_id, object_id or resource_id to say which one")
                .into(),
            400 if said("dentity not found") => {
                Failure::not_here(error.reclassify(ErrorClass::CredentialUnavailable).hint(
                    format!(
                        "assign the {} to this machine, or name one that is",
                        self.selector.describe()
                    ),
                ))
            }
            // what a container runtime that intercepts the address says for it
            403 if said("unreachable") => Failure::not_here(self.nothing_there(error)),
            _ => error.into(),
        }
    }

    fn nothing_there(&self, error: Error) -> Error {
        let error = error.edit(|detail| {
            detail.message = format!(
                "no metadata service answers at {}: {}",
                self.authority, detail.message
            );
            detail.retryable = false;
        });
        error.reclassify(ErrorClass::CredentialUnavailable).hint(
            "a managed identity is there on Azure's machines alone; elsewhere use another credential",
        )
    }
}

/// Whether the service itself answers, with an error object, or the web server of the hypervisor in its place.
fn is_service(error: &Error, response: &HttpResponse) -> bool {
    let server = response.header("server").unwrap_or_default();
    server.starts_with("IMDS/")
        || server.starts_with("Microsoft-")
        || error.detail().oauth_error.is_some()
}

/// A state of the service that passes.
fn again_later(error: Error, wait_ms: u64) -> Error {
    let error = error.edit(|detail| {
        detail.retryable = true;
        detail.retry_after_ms.get_or_insert(wait_ms);
    });
    error
        .reclassify(ErrorClass::Server)
        .hint("the metadata service is starting or being updated, which takes about a minute")
}

/// Where the service is: at the same address on every machine, unless the variable says otherwise.
pub(super) fn authority(place: &Place<'_>) -> Result<String, ConfigError> {
    let replaced = place.variable_alone(VARIABLE).map(authority_of);
    replaced.unwrap_or_else(|| Ok(ADDRESS.to_owned()))
}

/// The parameter by which the service knows which identity is meant.
pub(super) fn parameter(selector: &Selector) -> Option<(&'static str, &str)> {
    let (field, id) = selector.id()?;
    let name = match field {
        "resource_id" => "msi_res_id",
        other => other,
    };
    Some((name, id))
}

/// `host[:port]` of the URL that replaces the service's.
fn authority_of(url: &str) -> Result<String, ConfigError> {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Ok(authority) = canonical_authority(rest, HTTP_PORT)
        && is_link_local(&authority)
    {
        return Ok(authority);
    }
    Err(ConfigError::new(
        VARIABLE,
        "is not http:// and an address of this machine or its link",
    )
    .hint("unset it for http://169.254.169.254, or write for example http://127.0.0.1:8080"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_replaced_by_one_that_is_as_near() {
        for (url, expected) in [
            ("http://169.254.169.254", "169.254.169.254"),
            ("http://169.254.169.254:80/", "169.254.169.254"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[FE80::1]:8080/", "[fe80::1]:8080"),
        ] {
            assert_eq!(authority_of(url).unwrap(), expected, "{url}");
        }
        for url in [
            "https://169.254.169.254",
            "169.254.169.254",
            "http://metadata.example",
            "http://localhost:8080",
            "http://10.0.0.4",
            "http://169.254.169.254/x",
            "http://169.254.169.254:8080:8080",
            "http://169.254.169.254:",
            "http://169.254.169.254:http",
            "http://169.254.169.254:+80",
            "http://user@169.254.169.254",
            "http://169.254.169.254@evil.example",
            "http://169.254.169.254:1@evil.example",
            "http://",
        ] {
            let error = authority_of(url).unwrap_err();
            assert_eq!(error.setting, VARIABLE, "{url}");
        }
    }
}
