//! The client of a token endpoint.

use super::error::{ConfigError, check};
use super::place::Place;
use super::rules;
use crate::Error;
use crate::authority::{Authority, Endpoint, EndpointVersion};
#[cfg(feature = "every-credential")]
use crate::authority::{Description, Issuer, TenantPath};
use crate::credential::TokenProxy;
use crate::distinction::Distinction;
#[cfg(feature = "every-credential")]
use crate::exchange::Form;
use crate::needs::{Connection, Needs, PathPattern, Permission, Purpose, Scheme};

/// The client of a token endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Client {
    /// Who issues its tokens.
    pub authority: Authority,
    /// `client_id`.
    pub client_id: String,
    /// Its own tenant; `None` for a generic token endpoint.
    pub tenant: Option<String>,
    /// Tenants besides its own that a request may name. `*` allows any.
    pub additionally_allowed_tenants: Vec<String>,
    /// The server's issuer identifier, if it is known.
    #[cfg(feature = "every-credential")]
    pub issuer: Option<String>,
    /// Where a server that is not Entra ID describes itself, if that is known and trusted: by that ID tokens are validated.
    #[cfg(feature = "every-credential")]
    pub described: Option<Issuer>,
    /// Parameters of its token requests besides those of the protocol, in the order in which they are sent: names and
    /// values. A name may be there more than once.
    #[cfg(feature = "every-credential")]
    pub parameters: Vec<(String, String)>,
    /// What it can do (`xms_cc`).
    #[cfg(feature = "every-credential")]
    pub capabilities: Vec<String>,
}

impl Client {
    /// Where a token of that tenant is asked for; `mtls` on a connection with a client certificate.
    ///
    /// # Errors
    ///
    /// As [`Authority::token_endpoint`].
    pub fn token_endpoint(&self, tenant: Option<&str>, mtls: bool) -> Result<Endpoint, Error> {
        self.authority.token_endpoint(tenant, mtls)
    }

    /// Where the server of that tenant describes itself, if it is known.
    #[cfg(feature = "every-credential")]
    pub(crate) fn description(&self, tenant: Option<&str>) -> Option<Description> {
        match &self.described {
            Some(issuer) => Some(Description::of_issuer(issuer)),
            None => match self.authority.user_flow() {
                Some(flow) => Some(flow.description()),
                None => self
                    .authority
                    .description_of_entra(tenant?, &self.client_id),
            },
        }
    }

    /// What is asked where ID tokens are validated: the metadata of every tenant that a request may name, and keys at the
    /// hosts where the server may have them, by whatever path.
    #[cfg(feature = "every-credential")]
    pub(crate) fn need_id_tokens(&self, needs: &mut Needs) {
        let https = |authority: &str, path, purpose| Connection {
            permission: Permission {
                scheme: Scheme::Https,
                authority: authority.to_owned(),
                path,
                purpose,
            },
            certificate: None,
            server_thumbprint: None,
        };
        let others = self.additionally_allowed_tenants.iter();
        let tenants =
            std::iter::once(self.tenant.as_deref()).chain(others.map(|t| Some(t.as_str())));
        let mut out: Vec<Connection> = Vec::new();
        for tenant in tenants {
            let Some(description) = self.description(tenant) else {
                continue;
            };
            for Endpoint { authority, path } in &description.documents {
                let path = match (tenant, path.split_once("/*/")) {
                    (Some("*"), Some((start, after))) => PathPattern::AnySegment {
                        before: format!("{start}/"),
                        after: format!("/{after}"),
                    },
                    _ => PathPattern::Exact(path.clone()),
                };
                out.push(https(authority, path, Purpose::Metadata));
            }
            for host in &description.hosts {
                let any = PathPattern::Prefix("/".to_owned());
                let keys = https(host, any, Purpose::KeySet);
                if !out.contains(&keys) {
                    out.push(keys);
                }
            }
        }
        needs.id_tokens = out;
    }

    /// Its own part of the form.
    #[cfg(feature = "every-credential")]
    pub(crate) fn add_parameters<'a>(&'a self, form: &mut Form<'a>) {
        for (name, value) in &self.parameters {
            form.add(name, value.as_str());
        }
    }

    /// The token endpoints of all tenants that a request may name, the own one first.
    pub(crate) fn need_connections(
        &self,
        certificate: Option<&str>,
        proxy: Option<&TokenProxy>,
        needs: &mut Needs,
    ) {
        let mut own: Vec<Connection> = Vec::new();
        #[cfg(feature = "every-credential")]
        if let Authority::Discovered(issuer) = &self.authority {
            own = discovered(issuer, certificate, proxy);
        }
        let others = self.additionally_allowed_tenants.iter();
        let tenants =
            std::iter::once(self.tenant.as_deref()).chain(others.map(|t| Some(t.as_str())));
        for tenant in tenants {
            let Ok(endpoint) = self.token_endpoint(tenant, certificate.is_some()) else {
                continue;
            };
            let (authority, before) = match proxy {
                Some(proxy) => (proxy.authority().to_owned(), proxy.path()),
                None => (endpoint.authority, ""),
            };
            let path = match (tenant, endpoint.path.split_once("/*/")) {
                (Some("*"), Some((start, after))) => PathPattern::AnySegment {
                    before: format!("{before}{start}/"),
                    after: format!("/{after}"),
                },
                _ => PathPattern::Exact(format!("{before}{}", endpoint.path)),
            };
            own.push(Connection {
                permission: Permission {
                    scheme: Scheme::Https,
                    authority,
                    path,
                    purpose: Purpose::TokenEndpoint,
                },
                certificate: certificate.map(str::to_owned),
                server_thumbprint: None,
            });
        }
        // before those of the credential
        needs.connections.splice(0..0, own);
    }

    /// `aud` of an assertion as it is written there: `issuer` stands for that of the server, and `token_endpoint` for
    /// nothing, which is the URL that the assertion is posted to.
    pub(crate) fn audience(
        &self,
        place: &Place<'_>,
        written: Option<&str>,
    ) -> Result<Option<String>, ConfigError> {
        let Some(written) = written else {
            return Ok(None);
        };
        let setting = place.at("audience");
        check(&setting, rules::audience(written))?;
        if !matches!(written, "token_endpoint" | "issuer") {
            return Ok(Some(written.to_owned()));
        }
        #[cfg(not(feature = "every-credential"))]
        return Err(ConfigError::new(setting, "is not available in Envoy"));
        #[cfg(feature = "every-credential")]
        {
            place.need_every_credential(setting.clone());
            match written {
                "issuer" => match &self.issuer {
                    Some(issuer) => Ok(Some(issuer.clone())),
                    None => Err(ConfigError::new(
                        setting,
                        "is `issuer`, and the identity names none",
                    )
                    .hint("set issuer of the identity, or write the audience itself")),
                },
                _ => Ok(None),
            }
        }
    }

    pub(crate) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            authority,
            client_id,
            tenant,
            additionally_allowed_tenants,
            // where it counts it is in the credential
            #[cfg(feature = "every-credential")]
                issuer: _,
            // follows from the authority and the issuer
            #[cfg(feature = "every-credential")]
                described: _,
            #[cfg(feature = "every-credential")]
            parameters,
            #[cfg(feature = "every-credential")]
            capabilities,
        } = self;
        match authority {
            Authority::Entra {
                host,
                version,
                #[cfg(feature = "every-credential")]
                region,
                #[cfg(feature = "every-credential")]
                path,
            } => {
                out.add("entra");
                out.add(host);
                #[cfg(feature = "every-credential")]
                out.add_optional(region.as_deref());
                #[cfg(feature = "every-credential")]
                match path {
                    TenantPath::Plain => out.add(""),
                    TenantPath::Policy(policy) => out.add(policy),
                    TenantPath::Dsts => out.add("/dstsv2"),
                }
                out.add(match version {
                    EndpointVersion::V1 => "1",
                    EndpointVersion::V2 => "2",
                });
            }
            Authority::Generic {
                token_endpoint,
                mtls_token_endpoint,
            } => {
                out.add("generic");
                out.add(&token_endpoint.url());
                let mtls = mtls_token_endpoint.as_ref().map(Endpoint::url);
                out.add_optional(mtls.as_deref());
            }
            #[cfg(feature = "every-credential")]
            Authority::Discovered(issuer) => {
                out.add("issuer");
                out.add(&issuer.identifier);
                out.add_all(&issuer.hosts);
            }
        }
        #[cfg(feature = "every-credential")]
        out.add_all(capabilities);
        #[cfg(feature = "every-credential")]
        out.add(&parameters.len().to_string());
        #[cfg(feature = "every-credential")]
        for (name, value) in parameters {
            out.add(name);
            out.add(value);
        }
        out.add(client_id);
        out.add_optional(tenant.as_deref());
        out.add_all(additionally_allowed_tenants);
    }
}

/// What is asked of a server that is known by its issuer: its metadata, and token endpoints of any path where it may have
/// them.
#[cfg(feature = "every-credential")]
fn discovered(
    issuer: &Issuer,
    certificate: Option<&str>,
    proxy: Option<&TokenProxy>,
) -> Vec<Connection> {
    let https = |authority: &str, path, purpose, certificate: Option<&str>| Connection {
        permission: Permission {
            scheme: Scheme::Https,
            authority: authority.to_owned(),
            path,
            purpose,
        },
        certificate: certificate.map(str::to_owned),
        server_thumbprint: None,
    };
    let any_path = |before: &str| PathPattern::Prefix(format!("{before}/"));
    let mut out = Vec::new();
    match proxy {
        Some(proxy) => out.push(https(
            proxy.authority(),
            any_path(proxy.path()),
            Purpose::TokenEndpoint,
            certificate,
        )),
        None => {
            let hosts = issuer.hosts.iter();
            let endpoints =
                hosts.map(|host| https(host, any_path(""), Purpose::TokenEndpoint, certificate));
            out.extend(endpoints);
        }
    }
    for document in &issuer.documents {
        let path = PathPattern::Exact(document.path.clone());
        out.push(https(&document.authority, path, Purpose::Metadata, None));
    }
    out
}
