//! Sources that are a process of the platform beside this one. Where it listens, and the secret by which it knows those
//! it has started, stand in variables. Each source is a [`Platform`] in a module of its own.

use super::selector::Selector;
use super::source::SourceName;
use super::wire::{self, Cause, Refused};
use super::{answer, app_service, azure_arc, azure_ml, cloud_shell, service_fabric};
use crate::authority::{Endpoint, canonical_authority};
use crate::config::error::ConfigError;
use crate::config::place::Place;
use crate::credential::Failure;
use crate::distinction::Distinction;
use crate::effect::HttpRequest;
use crate::exchange::Granted;
use crate::flow::Io;
use crate::needs::{
    Connection, FileNeed, FilePattern, PathPattern, Permission, Purpose, Scheme, is_this_machine,
};
use crate::{Error, ErrorClass, Secret, SecretBytes};

/// Where that process listens; several platforms use this name.
pub(super) const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";

/// The secret that goes with it.
pub(super) const IDENTITY_HEADER: &str = "IDENTITY_HEADER";

/// The older pair of Cloud Shell and Machine Learning.
pub(super) const MSI_ENDPOINT: &str = "MSI_ENDPOINT";

/// What is particular to a source.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) name: SourceName,
    /// Its name for people, as Microsoft writes it.
    pub(super) title: &'static str,
    /// The variable that says where it listens.
    pub(super) endpoint: &'static str,
    /// Where it listens if the variable is not set.
    pub(super) usual_endpoint: Option<&'static str>,
    pub(super) scheme: Scheme,
    pub(super) purpose: Purpose,
    /// `api-version` of the query; without one there is no query but a form.
    pub(super) api_version: Option<&'static str>,
    /// Whether a request says `Metadata: true`, which nobody can make a browser or a proxy say.
    pub(super) metadata: bool,
    /// The variable with its secret, and the header that carries it.
    pub(super) secret: Option<(&'static str, &'static str)>,
    /// The settings by which a user-assigned identity can be chosen, and the parameters that they are here.
    pub(super) ids: &'static [(&'static str, &'static str)],
    /// The variable with the `client_id` to ask for if no identity is chosen.
    pub(super) usual_client_id: Option<&'static str>,
    /// What it is about the others, after "is not known to …, which …".
    pub(super) limits: &'static str,
    /// The variable with the SHA-1 thumbprint of its certificate, where no authority vouches for it.
    pub(super) thumbprint: Option<&'static str>,
    /// Whether it wants to see that the caller may read a file of its own.
    pub(super) challenges: bool,
    /// What to do when it does not know whoever asks.
    pub(super) stranger: &'static str,
}

const PLATFORMS: [&Platform; 5] = [
    &app_service::PLATFORM,
    &azure_arc::PLATFORM,
    &azure_ml::PLATFORM,
    &cloud_shell::PLATFORM,
    &service_fabric::PLATFORM,
];

/// A managed identity at such a source.
#[derive(Clone, Debug)]
pub(in crate::credential) struct Beside {
    platform: &'static Platform,
    selector: Selector,
    /// What is missing of the variables that the platform sets: this runs elsewhere.
    at: Result<At, &'static str>,
}

/// Where it is and how it is asked.
#[derive(Clone, Debug)]
struct At {
    endpoint: Endpoint,
    /// Nobody has said that it is there: it listens where it usually does.
    is_usual: bool,
    secret: Option<Secret>,
    /// The parameter that chooses the identity.
    id: Option<(&'static str, String)>,
    /// The files of challenges.
    keys: Option<FilePattern>,
    thumbprint: Option<String>,
}

impl Beside {
    /// The source whose variables are set, if one's are. The order is that of MSAL and the Azure SDKs.
    pub(super) fn detect(
        selector: Selector,
        resource: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Option<Self>, ConfigError> {
        let is_set = |names: &[&str]| names.iter().all(|name| place.has_variable(name));
        let platform = if is_set(&[
            IDENTITY_ENDPOINT,
            IDENTITY_HEADER,
            service_fabric::THUMBPRINT,
        ]) {
            &service_fabric::PLATFORM
        } else if is_set(&[IDENTITY_ENDPOINT, IDENTITY_HEADER]) {
            &app_service::PLATFORM
        } else if is_set(&[MSI_ENDPOINT, azure_ml::SECRET]) {
            &azure_ml::PLATFORM
        } else if is_set(&[MSI_ENDPOINT]) {
            &cloud_shell::PLATFORM
        } else if is_set(&[IDENTITY_ENDPOINT, azure_arc::IMDS_ENDPOINT]) {
            // what is found here by it is found in a component by it too
            place.variable_alone(azure_arc::IMDS_ENDPOINT);
            &azure_arc::PLATFORM
        } else {
            return check_halves(place).map(|()| None);
        };
        Self::check(platform, selector, resource, place).map(Some)
    }

    /// The source of that name.
    pub(super) fn named(
        name: SourceName,
        selector: Selector,
        resource: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        let mut platforms = PLATFORMS.iter();
        let Some(platform) = platforms.find(|platform| platform.name == name) else {
            return Err(ConfigError::new(place.at("source"), "is no such source"));
        };
        Self::check(platform, selector, resource, place)
    }

    fn check(
        platform: &'static Platform,
        selector: Selector,
        resource: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        place.need(|needs| {
            needs
                .platform
                .get_or_insert_with(|| place.setting("source"));
        });
        let mut id = None;
        if let Some((field, value)) = selector.id() {
            let known = platform.ids.iter().find(|(known, _)| *known == field);
            let Some((_, parameter)) = known else {
                return Err(ConfigError::new(
                    place.at(field),
                    format!(
                        "is not known to {}, which {}",
                        platform.title, platform.limits
                    ),
                )
                .hint("leave it out, or name another source"));
            };
            id = Some((*parameter, value.to_owned()));
        } else if let Some(variable) = platform.usual_client_id
            && let Some(usual) = place.variable_alone(variable)
            && let Some((_, parameter)) = platform.ids.first()
        {
            id = Some((*parameter, usual.to_owned()));
        }
        let at = At::check(platform, id, place)?;
        if let Ok(at) = &at {
            at.need(platform, resource, place);
        }
        Ok(Self {
            platform,
            selector,
            at,
        })
    }

    pub(super) fn server(&self) -> &str {
        match &self.at {
            Ok(at) => &at.endpoint.authority,
            Err(_) => self.platform.title,
        }
    }

    pub(super) fn describe(&self) -> String {
        format!("{} of {}", self.selector.describe(), self.platform.title)
    }

    pub(super) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            platform,
            selector,
            at,
        } = self;
        out.add(platform.title);
        selector.distinguish(out);
        if let Ok(at) = at {
            out.add(&at.endpoint.url());
            out.add_optional(at.secret.as_ref().map(Secret::expose));
            out.add_optional(at.id.as_ref().map(|(_, id)| id.as_str()));
            out.add_optional(at.thumbprint.as_deref());
        }
    }

    /// One token for that resource.
    pub(super) async fn token(
        &self,
        io: &Io,
        resource: &str,
        correlation_id: &str,
        timeout_ms: u64,
    ) -> Result<Granted, Failure> {
        let Self {
            platform, selector, ..
        } = self;
        let at = match &self.at {
            Ok(at) => at,
            Err(variable) => return Err(not_here(platform, variable)),
        };
        let mut secrets: Vec<Secret> = at.secret.iter().cloned().collect();
        let request = || at.request(platform, resource, correlation_id, timeout_ms);
        let mut result = wire::send(io, request(), correlation_id, &secrets).await;
        if let (
            Some(keys),
            Err(Refused {
                cause: Cause::Answer(response),
                ..
            }),
        ) = (&at.keys, &result)
            && response.status == 401
        {
            let key = azure_arc::key(io, keys, response).await?;
            let mut request = request();
            request.headers.push(("authorization", key.header));
            secrets.push(key.content);
            result = wire::send(io, request, correlation_id, &secrets).await;
        }
        result
            .map_err(|refused| answer::failure(platform, selector, at.is_usual, refused, &secrets))
    }
}

/// What goes with what: of one without the other nobody knows which platform is meant, and to ask the metadata service
/// then would be to ask somebody else.
fn check_halves(place: &Place<'_>) -> Result<(), ConfigError> {
    for (set, others) in [
        (
            IDENTITY_ENDPOINT,
            &[IDENTITY_HEADER, azure_arc::IMDS_ENDPOINT][..],
        ),
        (IDENTITY_HEADER, &[IDENTITY_ENDPOINT]),
        (service_fabric::THUMBPRINT, &[IDENTITY_ENDPOINT]),
        (azure_arc::IMDS_ENDPOINT, &[IDENTITY_ENDPOINT]),
        (azure_ml::SECRET, &[MSI_ENDPOINT]),
    ] {
        if !place.has_variable(set) {
            continue;
        }
        let Some(absent) = others
            .first()
            .filter(|_| others.iter().all(|o| !place.has_variable(o)))
        else {
            continue;
        };
        return Err(ConfigError::new(*absent, format!("is not set, and {set} is")).hint(
            "a platform sets all of its variables: hand all of them to this process, or unset them where the metadata service is meant",
        ));
    }
    Ok(())
}

/// Of a platform whose variables are not set.
fn not_here(platform: &Platform, variable: &str) -> Failure {
    Failure::not_here(
        Error::new(
            ErrorClass::CredentialUnavailable,
            format!("this is not {}: {variable} is not set", platform.title),
        )
        .hint("name the source of the platform that this runs on, or leave source out to have it found"),
    )
}

impl At {
    /// Where the variables say it is, or the one that is missing.
    fn check(
        platform: &Platform,
        id: Option<(&'static str, String)>,
        place: &Place<'_>,
    ) -> Result<Result<Self, &'static str>, ConfigError> {
        let set = place.variable_alone(platform.endpoint);
        let Some(url) = set.or(platform.usual_endpoint) else {
            return Ok(Err(platform.endpoint));
        };
        let endpoint = endpoint(platform, url)?;
        let mut secret = None;
        if let Some((variable, _)) = platform.secret {
            let Some(value) = place.variable_of_platform(variable, true) else {
                return Ok(Err(variable));
            };
            if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(
                    ConfigError::new(variable, "has characters that no header may carry")
                        .hint("leave it as the platform has set it"),
                );
            }
            secret = Some(Secret::new(value));
        }
        let mut thumbprint = None;
        if let Some(variable) = platform.thumbprint {
            let Some(value) = place.variable_alone(variable) else {
                return Ok(Err(variable));
            };
            thumbprint = Some(service_fabric::thumbprint(value)?);
        }
        Ok(Ok(Self {
            endpoint,
            is_usual: set.is_none(),
            secret,
            id,
            keys: platform.challenges.then(|| azure_arc::keys(place)),
            thumbprint,
        }))
    }

    /// Notes what has to be let through.
    fn need(&self, platform: &Platform, resource: Option<&str>, place: &Place<'_>) {
        let path = match (platform.api_version, resource) {
            (None, _) => PathPattern::Exact(self.endpoint.path.clone()),
            (Some(_), Some(resource)) => PathPattern::Exact(self.path(platform, resource)),
            (Some(version), None) => PathPattern::Prefix(format!(
                "{}?api-version={version}&resource=",
                self.endpoint.path
            )),
        };
        place.need(|needs| {
            needs.connections.push(Connection {
                permission: Permission {
                    scheme: platform.scheme,
                    authority: self.endpoint.authority.clone(),
                    path,
                    purpose: platform.purpose,
                },
                certificate: None,
                server_thumbprint: self.thumbprint.clone(),
            });
            needs.files.extend(self.keys.iter().map(|keys| FileNeed {
                setting: place.setting("source"),
                path: keys.clone(),
            }));
        });
    }

    /// With the query that asks for a token for that resource.
    fn path(&self, platform: &Platform, resource: &str) -> String {
        let path = &self.endpoint.path;
        let Some(version) = platform.api_version else {
            return path.clone();
        };
        let mut query = form_urlencoded::Serializer::for_suffix(format!("{path}?"), path.len() + 1);
        query.append_pair("api-version", version);
        query.append_pair("resource", resource);
        if let Some((parameter, id)) = &self.id {
            query.append_pair(parameter, id);
        }
        query.finish()
    }

    fn request(
        &self,
        platform: &Platform,
        resource: &str,
        correlation_id: &str,
        timeout_ms: u64,
    ) -> HttpRequest {
        let endpoint = Endpoint {
            authority: self.endpoint.authority.clone(),
            path: self.path(platform, resource),
        };
        let mut own = Vec::new();
        if platform.metadata {
            own.push(("metadata", Secret::new("true")));
        }
        if let (Some((_, header)), Some(secret)) = (platform.secret, &self.secret) {
            own.push((header, secret.clone()));
        }
        let scheme = match platform.scheme {
            Scheme::Https => "https",
            Scheme::LinkLocalHttp => "http",
        };
        let mut request = wire::request(
            platform.purpose.method(),
            scheme,
            endpoint,
            &own,
            correlation_id,
            timeout_ms,
        );
        if platform.api_version.is_none() {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("resource", resource);
            request.headers.push((
                "content-type",
                Secret::new("application/x-www-form-urlencoded"),
            ));
            request.body = SecretBytes::new(form.finish());
        }
        request
    }
}

/// Host, port and path of a variable's URL.
fn endpoint(platform: &Platform, url: &str) -> Result<Endpoint, ConfigError> {
    let (scheme, own_port) = match platform.scheme {
        Scheme::Https => ("https://", 443),
        Scheme::LinkLocalHttp => ("http://", 80),
    };
    let rest = url.trim().strip_prefix(scheme).unwrap_or_default();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if let Ok(authority) = canonical_authority(authority, own_port)
        && (platform.scheme == Scheme::Https || is_this_machine(&authority))
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && !path.contains(['?', '#'])
    {
        return Ok(Endpoint {
            authority,
            path: path.to_owned(),
        });
    }
    let (what, hint) = match platform.scheme {
        Scheme::Https => (
            "is not an https:// URL without a query",
            "leave it as the platform has set it",
        ),
        Scheme::LinkLocalHttp => (
            "is not http:// and an address of this machine or its link, without a query",
            "leave it as the platform has set it: a secret goes there, and http leaves the machine for nobody",
        ),
    };
    Err(ConfigError::new(platform.endpoint, what).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_of_this_machine_and_has_no_query() {
        let of = |platform, url| endpoint(platform, url).map(|e| (e.authority, e.path));
        let is = |authority: &str, path: &str| Ok((authority.to_owned(), path.to_owned()));
        let http = &app_service::PLATFORM;
        for (url, authority, path) in [
            (
                "http://127.0.0.1:41741/msi/token/",
                "127.0.0.1:41741",
                "/msi/token/",
            ),
            (
                "http://localhost:42356/msi/token",
                "localhost:42356",
                "/msi/token",
            ),
            ("http://169.254.129.2:80/msi", "169.254.129.2", "/msi"),
            ("http://[::1]:8081", "[::1]:8081", "/"),
        ] {
            assert_eq!(of(http, url), is(authority, path), "{url}");
        }
        for url in [
            "https://127.0.0.1/msi",
            "http://10.0.0.4/msi",
            "http://metadata.example/msi",
            "http://localhost.evil.example/msi",
            "http://127.0.0.1/msi?x=y",
            "http://127.0.0.1/m si",
            "http://127.0.0.1/#",
            "http://user@127.0.0.1/msi",
            "http://",
            "127.0.0.1/msi",
        ] {
            let error = endpoint(http, url).unwrap_err();
            assert_eq!(error.setting, IDENTITY_ENDPOINT, "{url}");
        }
        let https = &service_fabric::PLATFORM;
        assert_eq!(
            of(
                https,
                "https://10.0.0.4:2377/metadata/identity/oauth2/token"
            ),
            is("10.0.0.4:2377", "/metadata/identity/oauth2/token")
        );
        assert!(endpoint(https, "http://127.0.0.1:2377/").is_err());
    }
}
