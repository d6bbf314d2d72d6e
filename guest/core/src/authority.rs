//! Who issues an identity's tokens, and where its token endpoint is: Entra ID in its forms, a generic token endpoint with its
//! mTLS twin, or an issuer. What is known of the clouds, of hosts and of URLs has modules of its own; nothing is asked here.

mod cloud;
#[cfg(feature = "every-credential")]
mod description;
mod endpoint;
mod host;
#[cfg(feature = "every-credential")]
mod issuer;
#[cfg(test)]
mod tests;
mod trust;

use crate::refusal::Refusal;
use crate::{Error, ErrorClass};

#[cfg(feature = "every-credential")]
pub(crate) use cloud::no_name_of_a_cloud;
#[cfg(feature = "every-credential")]
use cloud::{B2C_HOSTS, CIAM_HOSTS, is_tenants, no_mtls_twin, regional};
pub use cloud::{CLOUDS, Cloud, PUBLIC_HOST};
use cloud::{PUBLIC_FEDERATION_AUDIENCE, cloud, mtls_twin};
#[cfg(feature = "every-credential")]
pub use cloud::{host_of_cloud, tenant_of_host};
#[cfg(feature = "every-credential")]
pub(crate) use description::{Description, IssuerRule, TENANT_ID};
pub use endpoint::Endpoint;
use endpoint::HttpsUrl;
pub(crate) use host::canonical_authority;
pub use host::{port_number, split_port};
#[cfg(feature = "every-credential")]
pub use issuer::Issuer;
#[cfg(feature = "every-credential")]
pub(crate) use issuer::issuer;
pub(crate) use trust::TrustedHosts;

/// The path of AD FS, which has no tenants. The Azure SDKs call it a tenant of that name.
#[cfg(feature = "every-credential")]
pub(crate) const ADFS: &str = "adfs";

/// The path that comes before the tenant at dSTS.
#[cfg(feature = "every-credential")]
const DSTS: &str = "/dstsv2";

/// Entra endpoint version.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EndpointVersion {
    /// `/oauth2/token`, with `resource`.
    #[cfg_attr(feature = "schema", schemars(rename = "v1.0"))]
    V1,
    /// `/oauth2/v2.0/token`, with `scope`.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "v2.0"))]
    V2,
}

/// Who issues an identity's tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Authority {
    /// Entra ID, or something that speaks like it.
    Entra {
        /// Canonical network host, with the port if it is not 443.
        host: String,
        /// Endpoint version.
        version: EndpointVersion,
        /// The region whose servers are asked (ESTS-R), in lower case.
        #[cfg(feature = "every-credential")]
        region: Option<String>,
        /// What stands around the tenant in the path.
        #[cfg(feature = "every-credential")]
        path: TenantPath,
    },
    /// Any OAuth 2.0 server by its token endpoint.
    Generic {
        /// `token_endpoint`.
        token_endpoint: Endpoint,
        /// Where requests with a client certificate go (RFC 8705 section 5).
        mtls_token_endpoint: Option<Endpoint>,
    },
    /// Any OAuth 2.0 server by its issuer identifier: where its endpoints are is in its metadata.
    #[cfg(feature = "every-credential")]
    Discovered(Issuer),
}

/// Whether that is a GUID as Azure writes one: the id of a tenant, and not a domain.
pub(crate) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// What stands around the tenant in the path of a token endpoint.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TenantPath {
    /// `/TENANT`.
    #[default]
    Plain,
    /// `/TENANT/POLICY`, of Azure AD B2C.
    Policy(String),
    /// `/dstsv2/TENANT`.
    Dsts,
}

impl Authority {
    /// Entra ID at `https://host[:port]`: aliases become the cloud's network host, and the host of a region is that of its
    /// cloud. `https://host/dstsv2` is dSTS, and `https://host/adfs` is AD FS, which has a token endpoint and no tenants.
    pub(crate) fn entra(authority_host: &str, version: EndpointVersion) -> Result<Self, Refusal> {
        let url = HttpsUrl::parse(authority_host)?;
        if url.fragment || url.rest.contains('?') {
            return Err(Refusal::new(
                "has a query or fragment",
                format!("write https://{}", url.authority),
            ));
        }
        #[cfg(feature = "every-credential")]
        let path = match url.rest.trim_matches('/') {
            path if path.eq_ignore_ascii_case(ADFS) && cloud(&url.authority).is_none() => {
                return Ok(Self::adfs(url.authority));
            }
            path if path.eq_ignore_ascii_case(DSTS.trim_matches('/')) => TenantPath::Dsts,
            _ => TenantPath::Plain,
        };
        #[cfg(feature = "every-credential")]
        let has_path = path == TenantPath::Plain && !matches!(url.rest, "" | "/");
        #[cfg(not(feature = "every-credential"))]
        let has_path = !matches!(url.rest, "" | "/");
        if has_path {
            return Err(Refusal::new(
                format!("has the path `{}`", url.rest),
                format!(
                    "write https://{}, and the tenant as tenant_id",
                    url.authority
                ),
            ));
        }
        #[cfg(feature = "every-credential")]
        if let Some((region, cloud)) = regional(&url.authority) {
            return Ok(Self::Entra {
                host: cloud.network_host.to_owned(),
                version,
                region: Some(region.to_owned()),
                path,
            });
        }
        let host =
            cloud(&url.authority).map_or(url.authority, |cloud| cloud.network_host.to_owned());
        Ok(Self::Entra {
            host,
            version,
            #[cfg(feature = "every-credential")]
            region: None,
            #[cfg(feature = "every-credential")]
            path,
        })
    }

    /// AD FS on that host.
    #[cfg(feature = "every-credential")]
    pub(crate) fn adfs(host: String) -> Self {
        Self::Generic {
            token_endpoint: Endpoint {
                authority: host,
                path: format!("/{ADFS}/oauth2/token"),
            },
            mtls_token_endpoint: None,
        }
    }

    /// Puts it into that region of its cloud.
    #[cfg(feature = "every-credential")]
    pub(crate) fn set_region(&mut self, name: &str) -> Result<(), Refusal> {
        match self {
            Self::Entra {
                host,
                region,
                path: TenantPath::Plain,
                ..
            } if tenant_of_host(host).is_none() => {
                if let Some(region) = region.as_ref().filter(|r| !r.eq_ignore_ascii_case(name)) {
                    return Err(Refusal::new(
                        format!("is `{name}`, and the authority host is that of `{region}`"),
                        "keep one of the two",
                    ));
                }
                *region = Some(name.to_ascii_lowercase());
                Ok(())
            }
            _ => Err(Refusal::new(
                "is for the clouds of Entra ID, and the authority host is none of them",
                "leave it out: that server has no regional endpoints",
            )),
        }
    }

    /// Gives it that policy of Azure AD B2C; without one, that none is needed.
    #[cfg(feature = "every-credential")]
    pub(crate) fn set_policy(&mut self, name: Option<&str>) -> Result<(), Refusal> {
        let is_b2c = matches!(self, Self::Entra { host, .. } if is_tenants(host, B2C_HOSTS));
        let Some(name) = name else {
            return match is_b2c {
                true => Err(Refusal::new(
                    "is not set, and the authority host is one of Azure AD B2C",
                    "write the user flow or custom policy, such as B2C_1_signin",
                )),
                false => Ok(()),
            };
        };
        if let Self::Entra {
            host,
            region: None,
            path: path @ TenantPath::Plain,
            ..
        } = self
            && cloud(host).is_none()
            && !is_tenants(host, CIAM_HOSTS)
        {
            *path = TenantPath::Policy(name.to_owned());
            return Ok(());
        }
        Err(Refusal::new(
            "is for Azure AD B2C, and the authority host is none of its hosts",
            "leave it out, or write https://NAME.b2clogin.com, or a domain of your own, as authority_host",
        ))
    }

    /// The tenant that the host itself names: of Microsoft Entra External ID and of Azure AD B2C.
    #[cfg(feature = "every-credential")]
    pub(crate) fn tenant_of_host(&self) -> Option<String> {
        match self {
            Self::Entra { host, .. } => tenant_of_host(host),
            _ => None,
        }
    }

    /// Whether its path is another than that of the clouds.
    #[cfg(feature = "every-credential")]
    pub(crate) fn has_path_of_its_own(&self) -> bool {
        !matches!(
            self,
            Self::Entra {
                path: TenantPath::Plain,
                ..
            }
        )
    }

    /// Host and port that requests without a client certificate go to.
    pub(crate) fn network_host(&self) -> String {
        match self {
            #[cfg(feature = "every-credential")]
            Self::Entra {
                host,
                region: Some(region),
                ..
            } => {
                let regional = cloud(host).and_then(|cloud| cloud.regional_host);
                format!("{region}.{}", regional.unwrap_or(host))
            }
            Self::Entra { host, .. } => host.clone(),
            Self::Generic { token_endpoint, .. } => token_endpoint.authority.clone(),
            #[cfg(feature = "every-credential")]
            Self::Discovered(issuer) => issuer.hosts.first().cloned().unwrap_or_default(),
        }
    }

    /// Whether it has the token endpoint of AD FS.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_adfs(&self) -> bool {
        let Self::Generic { token_endpoint, .. } = self else {
            return false;
        };
        token_endpoint.path == format!("/{ADFS}/oauth2/token")
    }

    /// Whether this is Entra ID.
    pub fn is_entra(&self) -> bool {
        matches!(self, Self::Entra { .. })
    }

    /// Whether this is Entra ID's first token endpoint.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_version_1(&self) -> bool {
        matches!(
            self,
            Self::Entra {
                version: EndpointVersion::V1,
                ..
            }
        )
    }

    /// Whether the numbers in its errors are Entra ID's: it is that, or its token endpoint is at a host of a Microsoft cloud.
    pub(crate) fn has_numbers_of_entra(&self) -> bool {
        self.is_entra() || cloud(&self.network_host()).is_some()
    }

    /// Whether it is a region's.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_regional(&self) -> bool {
        matches!(
            self,
            Self::Entra {
                region: Some(_),
                ..
            }
        )
    }

    /// Whether its endpoints are known only when its metadata have been asked for them.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_discovered(&self) -> bool {
        matches!(self, Self::Discovered(_))
    }

    /// The Microsoft cloud that this is, if it is a known one.
    pub fn cloud(&self) -> Option<&'static Cloud> {
        match self {
            Self::Entra { host, .. } => cloud(host),
            _ => None,
        }
    }

    /// `aud` of a token that is exchanged there by workload identity federation: that of its cloud, or the public one's.
    pub fn federation_audience(&self) -> &'static str {
        let of_cloud = self.cloud().and_then(|cloud| cloud.federation_audience);
        of_cloud.unwrap_or(PUBLIC_FEDERATION_AUDIENCE)
    }

    /// Where all of its cloud takes requests with a client certificate, whatever region is configured.
    ///
    /// # Errors
    ///
    /// When no such host is known of it.
    #[cfg(feature = "every-credential")]
    pub(crate) fn mtls_host(&self) -> Result<String, Error> {
        let host = self.token_endpoint(Some("common"), true)?.authority;
        let global = host.split_once('.').map(|(_, global)| global);
        let global = global.filter(|global| global.starts_with("mtlsauth."));
        Ok(global.map_or_else(|| host.clone(), str::to_owned))
    }

    /// The token endpoint for that tenant; `mtls` for requests on a connection with a client certificate.
    ///
    /// # Errors
    ///
    /// When an Entra authority is given no tenant, or is asked for an mTLS endpoint that it does not have; and where only
    /// the issuer is known, whose metadata have to be asked for it.
    pub fn token_endpoint(&self, tenant: Option<&str>, mtls: bool) -> Result<Endpoint, Error> {
        match self {
            Self::Entra {
                host,
                version,
                #[cfg(feature = "every-credential")]
                region,
                #[cfg(feature = "every-credential")]
                    path: around,
            } => {
                let tenant = tenant.ok_or_else(|| {
                    Error::new(
                        ErrorClass::Configuration,
                        "an Entra authority needs a tenant",
                    )
                    .hint("set tenant_id")
                })?;
                #[cfg(feature = "every-credential")]
                let authority = match (mtls, around) {
                    (false, _) => self.network_host(),
                    (true, TenantPath::Plain) => {
                        let region = region.as_ref().map(|region| format!("{region}."));
                        format!("{}{}", region.unwrap_or_default(), mtls_twin(host)?)
                    }
                    (true, _) => return Err(no_mtls_twin(host)),
                };
                #[cfg(not(feature = "every-credential"))]
                let authority = if mtls { mtls_twin(host)? } else { host.clone() };
                let path = match version {
                    EndpointVersion::V1 => format!("/{tenant}/oauth2/token"),
                    EndpointVersion::V2 => format!("/{tenant}/oauth2/v2.0/token"),
                };
                #[cfg(feature = "every-credential")]
                let path = match around {
                    TenantPath::Plain => path,
                    TenantPath::Policy(policy) => {
                        path.replacen("/oauth2/", &format!("/{policy}/oauth2/"), 1)
                    }
                    TenantPath::Dsts => format!("{DSTS}{path}"),
                };
                Ok(Endpoint { authority, path })
            }
            Self::Generic {
                token_endpoint,
                mtls_token_endpoint,
            } => {
                let twin = mtls_token_endpoint.as_ref().filter(|_| mtls);
                Ok(twin.unwrap_or(token_endpoint).clone())
            }
            #[cfg(feature = "every-credential")]
            Self::Discovered(issuer) => Err(Error::new(
                ErrorClass::Configuration,
                format!("found in the metadata of {}", issuer.identifier),
            )),
        }
    }
}
