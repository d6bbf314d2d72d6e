//! The client of a token endpoint.

use crate::Error;
use crate::authority::{Authority, Endpoint, EndpointVersion, TenantPath};
use crate::credential::TokenProxy;
use crate::distinction::Distinction;
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

    /// The token endpoints of all tenants that a request may name, the own one first.
    pub(crate) fn need_connections(
        &self,
        certificate: Option<&str>,
        proxy: Option<&TokenProxy>,
        needs: &mut Needs,
    ) {
        let mut own: Vec<Connection> = Vec::new();
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

    pub(crate) fn distinguish(&self, out: &mut Distinction) {
        let Self {
            authority,
            client_id,
            tenant,
            additionally_allowed_tenants,
        } = self;
        match authority {
            Authority::Entra {
                host,
                version,
                region,
                path,
            } => {
                out.add("entra");
                out.add(host);
                out.add_optional(region.as_deref());
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
        }
        out.add(client_id);
        out.add_optional(tenant.as_deref());
        out.add_all(additionally_allowed_tenants);
    }
}
