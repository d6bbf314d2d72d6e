//! Who issues tokens: the Microsoft clouds, trusted hosts, generic token endpoints, and their mTLS twins.

use std::fmt;

use crate::{Error, ErrorClass, Table};

/// Network host of the public cloud, the authority of an identity that names none.
pub const PUBLIC_HOST: &str = "login.microsoftonline.com";

/// `aud` of a token that is exchanged in the public cloud, and in any other of which no other is documented.
const PUBLIC_FEDERATION_AUDIENCE: &str = "api://AzureADTokenExchange";

/// The port of https.
const HTTPS_PORT: u16 = 443;

/// A host name, characters (RFC 1035 section 2.3.4, without the root's dot).
const MAX_HOST_CHARS: usize = 253;

/// One label of a host name, characters (RFC 1035 section 2.3.4).
const MAX_LABEL_CHARS: usize = 63;

/// A URL in the configuration, characters. Browsers and proxies stop at about this; an endpoint has a tenth of it.
const MAX_URL_CHARS: usize = 2048;

/// A Microsoft cloud.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cloud {
    /// What people call it.
    pub name: &'static str,
    /// The host that requests go to.
    pub network_host: &'static str,
    /// Other names of it, which the configuration may use.
    pub aliases: &'static [&'static str],
    /// Where requests with a client certificate go, if not to `network_host` with `mtlsauth` for `login`.
    pub mtls_host: Option<&'static str>,
    /// What a region's name is put before, if not `network_host`.
    #[cfg(feature = "every-credential")]
    pub regional_host: Option<&'static str>,
    /// `aud` of a token that is exchanged there by workload identity federation, where Microsoft documents one.
    pub federation_audience: Option<&'static str>,
}

/// The clouds whose hosts are trusted without being named. A new one is a row here.
pub const CLOUDS: &[Cloud] = &[
    Cloud {
        name: "public",
        network_host: PUBLIC_HOST,
        aliases: &[
            "login.windows.net",
            "login.microsoft.com",
            "sts.windows.net",
        ],
        mtls_host: Some("mtlsauth.microsoft.com"),
        #[cfg(feature = "every-credential")]
        regional_host: Some("login.microsoft.com"),
        federation_audience: Some(PUBLIC_FEDERATION_AUDIENCE),
    },
    Cloud {
        name: "China",
        network_host: "login.partner.microsoftonline.cn",
        aliases: &["login.chinacloudapi.cn"],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: Some("api://AzureADTokenExchangeChina"),
    },
    Cloud {
        name: "US Government",
        network_host: "login.microsoftonline.us",
        aliases: &["login.usgovcloudapi.net"],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: Some("api://AzureADTokenExchangeUSGov"),
    },
    Cloud {
        name: "Germany (retired)",
        network_host: "login.microsoftonline.de",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "US (old)",
        network_host: "login-us.microsoftonline.com",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "pre-production",
        network_host: "login.windows-ppe.net",
        aliases: &["sts.windows-ppe.net", "login.microsoft-ppe.com"],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "Bleu (France)",
        network_host: "login.sovcloud-identity.fr",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "Delos (Germany)",
        network_host: "login.sovcloud-identity.de",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "GovSG (Singapore)",
        network_host: "login.sovcloud-identity.sg",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
];

/// How the hosts of Microsoft Entra External ID (CIAM) end, each of which is one tenant's.
#[cfg(feature = "every-credential")]
const CIAM_HOSTS: &str = ".ciamlogin.com";

/// How the hosts of Azure AD B2C end, each of which is one tenant's.
#[cfg(feature = "every-credential")]
const B2C_HOSTS: &str = ".b2clogin.com";

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

/// A server that is known by its issuer identifier.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Issuer {
    /// Its identifier to the letter (RFC 8414 section 2).
    pub identifier: String,
    /// Its metadata, in the order in which they are asked for.
    pub documents: [Endpoint; 2],
    /// The hosts that its endpoints may be at, its own first.
    pub hosts: Vec<String>,
}

/// Where a server describes itself, what it may call itself there, and where what it says may lead.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug)]
pub(crate) struct Description {
    /// For messages: the issuer, or the beginning that the documents have in common.
    pub(crate) name: String,
    /// In the order in which they are asked for.
    pub(crate) documents: Vec<Endpoint>,
    /// The `issuer` that they have to name.
    pub(crate) issuer: IssuerRule,
    /// The hosts that endpoints and keys may be at.
    pub(crate) hosts: Vec<String>,
}

/// A user flow of Azure AD B2C, which has endpoints of its own.
#[cfg(feature = "every-credential")]
pub(crate) struct UserFlow<'a> {
    host: &'a str,
    tenant: &'a str,
    /// What its paths begin with, and the query of all of them.
    before: &'a str,
    query: &'a str,
}

#[cfg(feature = "every-credential")]
impl UserFlow<'_> {
    /// Where its users sign in.
    pub(crate) fn authorization_endpoint(&self) -> Endpoint {
        self.endpoint("/oauth2/v2.0/authorize")
    }

    /// What describes it. It names the tenant by its GUID.
    pub(crate) fn description(&self) -> Description {
        Description {
            name: format!("{}{}/v2.0{}", self.host, self.before, self.query),
            documents: vec![self.endpoint("/v2.0/.well-known/openid-configuration")],
            issuer: IssuerRule::Entra {
                tenant: self.tenant.to_owned(),
            },
            hosts: vec![self.host.to_owned()],
        }
    }

    fn endpoint(&self, end: &str) -> Endpoint {
        let Self { before, query, .. } = self;
        Endpoint {
            authority: self.host.to_owned(),
            path: format!("{before}{end}{query}"),
        }
    }
}

/// What a server may call itself.
#[cfg(feature = "every-credential")]
#[derive(Clone, Debug)]
pub(crate) enum IssuerRule {
    /// To the letter (RFC 8414 section 3.3).
    Exactly(String),
    /// As Entra ID does for that tenant: by its GUID, at one of its hosts.
    Entra {
        /// Of the request, a GUID or a domain.
        tenant: String,
    },
}

/// The hosts of the token service that Entra ID's v1 tokens name as their issuer, in every cloud.
#[cfg(feature = "every-credential")]
const STS_HOSTS: &[&str] = &[
    "sts.windows.net",
    "sts.chinacloudapi.cn",
    "sts.microsoftonline.de",
];

/// What stands in an issuer of Entra ID for the tenant of the token.
#[cfg(feature = "every-credential")]
pub(crate) const TENANT_ID: &str = "{tenantid}";

#[cfg(feature = "every-credential")]
impl Description {
    /// That of an issuer: OpenID Connect's document first, which has the keys.
    pub(crate) fn of_issuer(issuer: &Issuer) -> Self {
        Self {
            name: format!("issuer {}", issuer.identifier),
            documents: issuer.documents.to_vec(),
            issuer: IssuerRule::Exactly(issuer.identifier.clone()),
            hosts: issuer.hosts.clone(),
        }
    }

    /// Whether it may call itself that.
    pub(crate) fn takes(&self, issuer: &str) -> bool {
        match &self.issuer {
            IssuerRule::Exactly(wanted) => issuer == wanted,
            IssuerRule::Entra { tenant } => {
                // the template has braces, which a URL may not have
                let plain = issuer.replace(TENANT_ID, "tenantid");
                let Ok(Endpoint { authority, path }) = Endpoint::parse(&plain) else {
                    return false;
                };
                let has = |segment: &str| {
                    let mut segments = path.split('/');
                    segments.any(|other| other.eq_ignore_ascii_case(segment))
                };
                // each tenant of External ID is an issuer at a host of its own, whatever its domain is
                let is_ciam = authority
                    .strip_suffix(CIAM_HOSTS)
                    .is_some_and(|name| is_guid(name) && has(name));
                let is_its_host = self.hosts.contains(&authority)
                    || STS_HOSTS.contains(&authority.as_str())
                    || is_ciam;
                is_its_host && (!is_guid(tenant) || issuer.contains(TENANT_ID) || has(tenant))
            }
        }
    }
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

/// An https URL in the parts that a request needs.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// Host, with the port if it is not 443.
    pub authority: String,
    /// Path and query, begins with `/`.
    pub path: String,
}

impl Endpoint {
    /// The URL.
    pub fn url(&self) -> String {
        format!("https://{}{}", self.authority, self.path)
    }

    /// Takes an absolute https URL without userinfo and fragment apart.
    pub(crate) fn parse(url: &str) -> Result<Self, Refusal> {
        let url = HttpsUrl::parse(url)?;
        if url.fragment {
            return Err(Refusal::new(
                "has a fragment, which a token endpoint may not have (RFC 6749 section 3.2)",
                "leave out the `#` and what follows",
            ));
        }
        let path = if url.rest.starts_with('/') {
            url.rest.to_owned()
        } else {
            format!("/{}", url.rest)
        };
        if path
            .split(['?', '/'])
            .any(|segment| matches!(segment, "." | ".."))
        {
            return Err(Refusal::new(
                "has `.` or `..` in its path",
                "write the path as the server has it",
            ));
        }
        Ok(Self {
            authority: url.authority,
            path,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
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

    /// The server of that issuer, whose endpoints may be at its own host and at those that are named as trusted.
    #[cfg(feature = "every-credential")]
    pub(crate) fn discovered(identifier: &str, trusted: &TrustedHosts) -> Result<Self, Refusal> {
        let Endpoint { authority, path } = issuer(identifier)?;
        trusted.check(&authority)?;
        let path = path.trim_end_matches('/');
        let documents = [
            format!("/.well-known/oauth-authorization-server{path}"),
            format!("{path}/.well-known/openid-configuration"),
        ];
        let documents = documents.map(|path| Endpoint {
            authority: authority.clone(),
            path,
        });
        let mut hosts = vec![authority];
        for host in trusted.0.keys() {
            if !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        Ok(Self::Discovered(Issuer {
            identifier: identifier.to_owned(),
            documents,
            hosts,
        }))
    }

    /// Whether it has the token endpoint of AD FS.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_adfs(&self) -> bool {
        let Self::Generic { token_endpoint, .. } = self else {
            return false;
        };
        token_endpoint.path == format!("/{ADFS}/oauth2/token")
    }

    /// The user flow of Azure AD B2C that a token endpoint is of. Libraries have it in the path or in the query; either way its
    /// other endpoints are beside it.
    #[cfg(feature = "every-credential")]
    pub(crate) fn user_flow(&self) -> Option<UserFlow<'_>> {
        const END: &str = "/oauth2/v2.0/token";

        let Self::Generic { token_endpoint, .. } = self else {
            return None;
        };
        let (before, query) = token_endpoint.path.split_once(END)?;
        // so begin all of them, and all custom policies
        let is_flow = |name: &str| {
            let start = name.get(..4);
            start.is_some_and(|start| start.eq_ignore_ascii_case("b2c_")) && !name.contains('&')
        };
        let (of_tenant, last) = before.rsplit_once('/')?;
        let tenant = match query.strip_prefix("?p=") {
            Some(flow) if is_flow(flow) => last,
            None if query.is_empty() && is_flow(last) => of_tenant.rsplit_once('/')?.1,
            _ => return None,
        };
        Some(UserFlow {
            host: &token_endpoint.authority,
            tenant,
            before,
            query,
        })
    }

    /// What describes Entra ID to that client of that tenant: beside its token endpoint, at the host of all regions. An
    /// application may have a signing key of its own, which is among the keys if the question names the application
    /// (learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-signature).
    #[cfg(feature = "every-credential")]
    pub(crate) fn description_of_entra(
        &self,
        tenant: &str,
        client_id: &str,
    ) -> Option<Description> {
        let Self::Entra {
            host, path: around, ..
        } = self
        else {
            return None;
        };
        let query = match around {
            TenantPath::Plain if is_guid(client_id) => format!("?appid={client_id}"),
            _ => String::new(),
        };
        let path = self.token_endpoint(Some(tenant), false).ok()?.path;
        let (before, end) = path.rsplit_once("/oauth2/")?;
        let version = end.strip_suffix("token")?.trim_end_matches('/');
        let slash = if version.is_empty() { "" } else { "/" };
        let mut hosts = vec![host.clone()];
        if let Some(cloud) = cloud(host) {
            hosts.extend(cloud.aliases.iter().map(|&alias| alias.to_owned()));
        }
        Some(Description {
            name: format!("{host}{before}{slash}{version}{query}"),
            documents: vec![Endpoint {
                authority: host.clone(),
                path: format!("{before}{slash}{version}/.well-known/openid-configuration{query}"),
            }],
            issuer: IssuerRule::Entra {
                tenant: tenant.to_owned(),
            },
            hosts,
        })
    }

    /// The issuer that stands behind a token endpoint: the one that is named, or that of AD FS, which has its own name for
    /// itself. `None` if none is known, or its host is neither that of the endpoint nor named as trusted.
    #[cfg(feature = "every-credential")]
    pub(crate) fn described(&self, named: Option<&str>, trusted: &TrustedHosts) -> Option<Issuer> {
        let endpoint = match self {
            Self::Discovered(issuer) => return Some(issuer.clone()),
            Self::Generic { token_endpoint, .. } => token_endpoint,
            Self::Entra { .. } => return None,
        };
        let own = &endpoint.authority;
        let adfs = self.is_adfs().then(|| format!("https://{own}/{ADFS}"));
        let mut trusted = trusted.clone();
        trusted.0.insert(own.clone(), ());
        let identifier = named.map(str::to_owned).or(adfs)?;
        match Self::discovered(&identifier, &trusted) {
            Ok(Self::Discovered(mut issuer)) => {
                // the one of OpenID Connect has what is wanted of it
                issuer.documents.reverse();
                Some(issuer)
            }
            _ => None,
        }
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

/// Takes an issuer identifier apart: an https URL without query and fragment (RFC 8414 section 2).
#[cfg(feature = "every-credential")]
pub(crate) fn issuer(identifier: &str) -> Result<Endpoint, Refusal> {
    const FORM: &str = "write it as the server names it in its metadata";
    if identifier.contains(['?', '#']) {
        return Err(Refusal::new(
            "has a query or fragment, which an issuer may not have (RFC 8414 section 2)",
            FORM,
        ));
    }
    if identifier.contains("/.well-known/") {
        return Err(Refusal::new("is the URL of its metadata", FORM));
    }
    Endpoint::parse(identifier)
}

/// The hosts that credentials may be sent to: the built-in clouds and those that the configuration names.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedHosts(Table<String, ()>);

impl TrustedHosts {
    /// Adds `host` or `host:port`. Without a port that is port 443 alone.
    pub(crate) fn add(&mut self, entry: &str) -> Result<(), Refusal> {
        if entry.contains("://") || entry.contains('/') {
            return Err(Refusal::new(
                "is a URL",
                "write host or host:port, without https:// and path",
            ));
        }
        self.0.insert(canonical_authority(entry, HTTPS_PORT)?, ());
        Ok(())
    }

    /// Whether every build trusts that host and port: it is named, or that of a cloud.
    #[cfg(feature = "every-credential")]
    pub(crate) fn has(&self, authority: &str) -> bool {
        self.0.contains_key(authority) || CLOUDS.iter().any(|cloud| cloud.has(authority))
    }

    /// Whether requests may go to that host and port.
    pub(crate) fn check(&self, authority: &str) -> Result<(), Refusal> {
        if self.0.contains_key(authority) || CLOUDS.iter().any(|cloud| cloud.has(authority)) {
            return Ok(());
        }
        #[cfg(feature = "every-credential")]
        if is_of_a_tenant_or_region(authority) {
            return Ok(());
        }
        let mut message =
            format!("`{authority}` is neither a built-in Microsoft cloud nor named as trusted");
        if let Some(host) = strip_port(authority).filter(|host| self.0.contains_key(*host)) {
            message.push_str(&format!(
                " (`{host}` is, but without a port that means 443 alone)"
            ));
        }
        Err(Refusal::new(
            message,
            format!(
                "if it is meant, add \"{authority}\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"
            ),
        ))
    }
}

/// Why a text is refused; the caller knows which setting it was. One pointer, because every rule hands it on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal(Box<Reason>);

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reason {
    /// Continues the name of the setting.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(Box::new(Reason {
            message: message.into(),
            hint: hint.into(),
        }))
    }

    pub(crate) fn into_reason(self) -> Reason {
        *self.0
    }
}

impl std::ops::Deref for Refusal {
    type Target = Reason;

    fn deref(&self) -> &Reason {
        &self.0
    }
}

impl Cloud {
    /// Whether that is one of its hosts, on port 443.
    fn has(&self, authority: &str) -> bool {
        self.network_host == authority
            || self.mtls_host == Some(authority)
            || self.aliases.contains(&authority)
    }
}

/// Whether that is a host of Microsoft's, on port 443, for a region of a cloud or for one tenant.
#[cfg(feature = "every-credential")]
fn is_of_a_tenant_or_region(authority: &str) -> bool {
    is_tenants(authority, CIAM_HOSTS)
        || is_tenants(authority, B2C_HOSTS)
        || without_region(authority)
            .is_some_and(|(_, global)| CLOUDS.iter().any(|cloud| cloud.has(global)))
}

/// Whether that is the host of one tenant: a name and that end.
#[cfg(feature = "every-credential")]
fn is_tenants(authority: &str, end: &str) -> bool {
    let name = authority.strip_suffix(end);
    name.is_some_and(|name| !name.is_empty() && !name.contains(['.', ':']))
}

#[cfg(feature = "every-credential")]
fn tenant_of_host(authority: &str) -> Option<String> {
    let mut ends = [CIAM_HOSTS, B2C_HOSTS].into_iter();
    let end = ends.find(|end| is_tenants(authority, end))?;
    let name = authority.strip_suffix(end)?;
    Some(format!("{name}.onmicrosoft.com"))
}

/// The region before a host, if what stands there can be one, and the host.
fn without_region(authority: &str) -> Option<(&str, &str)> {
    let (region, global) = authority.split_once('.')?;
    let can_be = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric());
    can_be.then_some((region, global))
}

/// The region and the cloud whose host there that is.
#[cfg(feature = "every-credential")]
fn regional(authority: &str) -> Option<(&str, &'static Cloud)> {
    let (region, global) = without_region(authority)?;
    Some((region, cloud(global)?))
}

fn cloud(authority: &str) -> Option<&'static Cloud> {
    CLOUDS
        .iter()
        .find(|cloud| cloud.network_host == authority || cloud.aliases.contains(&authority))
}

/// Where an Entra host takes requests with a client certificate: the public cloud under a name of its own, every other
/// under `mtlsauth` in the place of `login`.
///
/// A region stands before either.
fn mtls_twin(host: &str) -> Result<String, Error> {
    if let Some(twin) = cloud(host).and_then(|cloud| cloud.mtls_host) {
        return Ok(twin.to_owned());
    }
    if let Some((region, global)) = without_region(host)
        && global.starts_with("login.")
    {
        return mtls_twin(global).map(|twin| format!("{region}.{twin}"));
    }
    let twin = host.strip_prefix("login.");
    twin.map(|rest| format!("mtlsauth.{rest}"))
        .ok_or_else(|| no_mtls_twin(host))
}

fn no_mtls_twin(host: &str) -> Error {
    Error::new(
        ErrorClass::Configuration,
        format!("`{host}` has no mTLS endpoint: it is known only for hosts that begin with `login.`"),
    )
    .hint("use the cloud's login.… host, or another credential than a bound certificate; for a server that is not Entra ID set token_endpoint and mtls_token_endpoint")
}

/// The parts of an https URL.
struct HttpsUrl<'a> {
    authority: String,
    /// Path and query.
    rest: &'a str,
    fragment: bool,
}

impl<'a> HttpsUrl<'a> {
    fn parse(url: &'a str) -> Result<Self, Refusal> {
        if url.is_empty() {
            return Err(Refusal::new("is empty", "write https://host"));
        }
        if url.len() > MAX_URL_CHARS {
            return Err(Refusal::new(
                format!("is longer than {MAX_URL_CHARS} characters"),
                "check that it is the URL alone",
            ));
        }
        if url
            .chars()
            .any(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c))
        {
            return Err(Refusal::new(
                "has a space or another character that a URL may not have",
                "write the URL without quotes and line breaks, other characters percent-encoded",
            ));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            // what stands before an `@` would be a password, and is not repeated
            let host = url.rsplit('@').next().unwrap_or_default();
            return Err(Refusal::new(
                "is not an absolute URL",
                format!("write https://{host}"),
            ));
        };
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(Refusal::new(
                format!("has the scheme `{scheme}`, but credentials are sent over https only"),
                "write https://…; for a server with a certificate of its own authority see host.ca_file",
            ));
        }
        let (rest, fragment) = rest
            .split_once('#')
            .map_or((rest, false), |(rest, _)| (rest, true));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or_default();
        if authority.contains('@') {
            return Err(Refusal::new(
                "has a user name or password in it",
                "leave out what stands before the `@`",
            ));
        }
        Ok(Self {
            authority: canonical_authority(authority, HTTPS_PORT)?,
            rest,
            fragment,
        })
    }
}

/// `host` or `host:port` in lower case, without the port if it is the scheme's own.
pub(crate) fn canonical_authority(authority: &str, own_port: u16) -> Result<String, Refusal> {
    let host = strip_port(authority).unwrap_or(authority);
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let valid = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    if !valid {
        return Err(Refusal::new(
            "has a host that is not a host name",
            "use letters, digits, `-` and `.`",
        ));
    }
    let port = authority
        .get(host.len()..)
        .and_then(|rest| rest.strip_prefix(':'));
    let host = host.to_ascii_lowercase();
    let Some(port) = port else { return Ok(host) };
    // what Rust reads as a number may have a sign
    let digits = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse::<u16>().ok()) {
        Some(number) if number == own_port => Ok(host),
        Some(number) if number > 0 => Ok(format!("{host}:{number}")),
        _ => Err(Refusal::new(
            format!("`{port}` is not a port"),
            "use a number from 1 to 65535",
        )),
    }
}

/// The host of `host:port`; `None` if there is no port. The colons inside an IPv6 literal are not one.
fn strip_port(authority: &str) -> Option<&str> {
    let (host, port) = authority.rsplit_once(':')?;
    (!port.contains(']')).then_some(host)
}

fn is_host_name(host: &str) -> bool {
    host.len() <= MAX_HOST_CHARS
        && host.split('.').all(|label| {
            (1..=MAX_LABEL_CHARS).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entra(host: &str) -> Authority {
        Authority::entra(host, EndpointVersion::V2).unwrap()
    }

    fn refused(host: &str) -> String {
        let refusal = Authority::entra(host, EndpointVersion::V2).unwrap_err();
        format!("{}; {}", refusal.message, refusal.hint)
    }

    fn url(authority: &Authority, mtls: bool) -> Result<String, String> {
        authority
            .token_endpoint(Some("t"), mtls)
            .map(|endpoint| endpoint.url())
            .map_err(|error| error.to_string())
    }

    /// Alias, network host, mTLS host, audience: a row for every name of every cloud.
    const ROWS: &[(&str, &str, Option<&str>, Option<&str>)] = &[
        (
            "login.microsoftonline.com",
            "login.microsoftonline.com",
            Some("mtlsauth.microsoft.com"),
            Some("api://AzureADTokenExchange"),
        ),
        (
            "login.windows.net",
            "login.microsoftonline.com",
            Some("mtlsauth.microsoft.com"),
            Some("api://AzureADTokenExchange"),
        ),
        (
            "login.microsoft.com",
            "login.microsoftonline.com",
            Some("mtlsauth.microsoft.com"),
            Some("api://AzureADTokenExchange"),
        ),
        (
            "sts.windows.net",
            "login.microsoftonline.com",
            Some("mtlsauth.microsoft.com"),
            Some("api://AzureADTokenExchange"),
        ),
        (
            "login.partner.microsoftonline.cn",
            "login.partner.microsoftonline.cn",
            Some("mtlsauth.partner.microsoftonline.cn"),
            Some("api://AzureADTokenExchangeChina"),
        ),
        (
            "login.chinacloudapi.cn",
            "login.partner.microsoftonline.cn",
            Some("mtlsauth.partner.microsoftonline.cn"),
            Some("api://AzureADTokenExchangeChina"),
        ),
        (
            "login.microsoftonline.us",
            "login.microsoftonline.us",
            Some("mtlsauth.microsoftonline.us"),
            Some("api://AzureADTokenExchangeUSGov"),
        ),
        (
            "login.usgovcloudapi.net",
            "login.microsoftonline.us",
            Some("mtlsauth.microsoftonline.us"),
            Some("api://AzureADTokenExchangeUSGov"),
        ),
        (
            "login.microsoftonline.de",
            "login.microsoftonline.de",
            Some("mtlsauth.microsoftonline.de"),
            None,
        ),
        (
            "login-us.microsoftonline.com",
            "login-us.microsoftonline.com",
            None,
            None,
        ),
        (
            "login.windows-ppe.net",
            "login.windows-ppe.net",
            Some("mtlsauth.windows-ppe.net"),
            None,
        ),
        (
            "sts.windows-ppe.net",
            "login.windows-ppe.net",
            Some("mtlsauth.windows-ppe.net"),
            None,
        ),
        (
            "login.microsoft-ppe.com",
            "login.windows-ppe.net",
            Some("mtlsauth.windows-ppe.net"),
            None,
        ),
        (
            "login.sovcloud-identity.fr",
            "login.sovcloud-identity.fr",
            Some("mtlsauth.sovcloud-identity.fr"),
            None,
        ),
        (
            "login.sovcloud-identity.de",
            "login.sovcloud-identity.de",
            Some("mtlsauth.sovcloud-identity.de"),
            None,
        ),
        (
            "login.sovcloud-identity.sg",
            "login.sovcloud-identity.sg",
            Some("mtlsauth.sovcloud-identity.sg"),
            None,
        ),
    ];

    #[test]
    fn every_name_of_every_cloud() {
        for (alias, network, mtls, audience) in ROWS {
            let authority = entra(&format!("https://{alias}/"));
            assert_eq!(
                url(&authority, false).unwrap(),
                format!("https://{network}/t/oauth2/v2.0/token"),
                "{alias}"
            );
            assert_eq!(
                url(&authority, true).ok(),
                mtls.map(|host| format!("https://{host}/t/oauth2/v2.0/token")),
                "{alias}"
            );
            assert_eq!(
                authority.cloud().unwrap().federation_audience,
                *audience,
                "{alias}"
            );
            TrustedHosts::default().check(network).unwrap();
        }
        let names: usize = CLOUDS.iter().map(|cloud| 1 + cloud.aliases.len()).sum();
        assert_eq!(names, ROWS.len(), "a name without a row");
    }

    #[test]
    fn unknown_hosts_keep_their_port_under_both_names() {
        let authority = entra("HTTPS://Login.Contoso.Example:8443");
        assert_eq!(
            url(&authority, false).unwrap(),
            "https://login.contoso.example:8443/t/oauth2/v2.0/token"
        );
        assert_eq!(
            url(&authority, true).unwrap(),
            "https://mtlsauth.contoso.example:8443/t/oauth2/v2.0/token"
        );
        assert_eq!(authority.cloud(), None);
        assert_eq!(
            url(&entra("https://login.contoso.example:443"), false).unwrap(),
            "https://login.contoso.example/t/oauth2/v2.0/token"
        );
        let other_port = entra("https://login.microsoftonline.com:8443");
        assert_eq!(other_port.cloud(), None, "another port is another server");
    }

    #[test]
    fn a_region_stands_before_the_mtls_host_too() {
        for (host, twin) in [
            (
                "westus2.login.microsoft.com",
                "westus2.mtlsauth.microsoft.com",
            ),
            (
                "westus2.login.microsoftonline.com",
                "westus2.mtlsauth.microsoft.com",
            ),
            (
                "usgovvirginia.login.microsoftonline.us",
                "usgovvirginia.mtlsauth.microsoftonline.us",
            ),
            (
                "chinaeast2.login.partner.microsoftonline.cn",
                "chinaeast2.mtlsauth.partner.microsoftonline.cn",
            ),
            (
                "r1.login.contoso.example:8443",
                "r1.mtlsauth.contoso.example:8443",
            ),
        ] {
            assert_eq!(
                url(&entra(&format!("https://{host}")), true).unwrap(),
                format!("https://{twin}/t/oauth2/v2.0/token")
            );
        }
    }

    #[test]
    fn a_region_is_that_of_its_cloud() {
        for (host, region, url_of, mtls) in [
            (
                "login.microsoftonline.com",
                "WestUS2",
                "westus2.login.microsoft.com",
                "westus2.mtlsauth.microsoft.com",
            ),
            (
                "sts.windows.net",
                "westus2",
                "westus2.login.microsoft.com",
                "westus2.mtlsauth.microsoft.com",
            ),
            // named twice, and put before the host once
            (
                "westus2.login.microsoftonline.com",
                "westus2",
                "westus2.login.microsoft.com",
                "westus2.mtlsauth.microsoft.com",
            ),
            (
                "login.usgovcloudapi.net",
                "usgovvirginia",
                "usgovvirginia.login.microsoftonline.us",
                "usgovvirginia.mtlsauth.microsoftonline.us",
            ),
            (
                "login.chinacloudapi.cn",
                "chinaeast2",
                "chinaeast2.login.partner.microsoftonline.cn",
                "chinaeast2.mtlsauth.partner.microsoftonline.cn",
            ),
            (
                "login.sovcloud-identity.fr",
                "francecentral",
                "francecentral.login.sovcloud-identity.fr",
                "francecentral.mtlsauth.sovcloud-identity.fr",
            ),
            (
                "login.contoso.example:8443",
                "r1",
                "r1.login.contoso.example:8443",
                "r1.mtlsauth.contoso.example:8443",
            ),
        ] {
            let authority = entra(&format!("https://{host}"));
            let cloud = authority.cloud();
            let mut authority = authority;
            authority.set_region(region).unwrap();
            assert_eq!(authority.cloud(), cloud, "{host}");
            assert_eq!(
                url(&authority, false).unwrap(),
                format!("https://{url_of}/t/oauth2/v2.0/token")
            );
            assert_eq!(
                url(&authority, true).unwrap(),
                format!("https://{mtls}/t/oauth2/v2.0/token")
            );
            let trusted = TrustedHosts::default();
            assert_eq!(
                trusted.check(&authority.network_host()).is_ok(),
                cloud.is_some(),
                "{host}"
            );
        }
        let refusal = entra("https://eastus.login.microsoft.com")
            .set_region("westus2")
            .unwrap_err();
        assert!(refusal.message.contains("eastus"), "{}", refusal.message);
        for host in [
            "https://contoso.ciamlogin.com",
            "https://contoso.b2clogin.com",
            "https://dsts.example/dstsv2",
            "https://adfs.example/adfs",
        ] {
            let refusal = entra(host).set_region("westus2").unwrap_err();
            assert!(
                refusal.message.contains("clouds of Entra ID"),
                "{host}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn servers_that_speak_like_entra_have_paths_of_their_own() {
        let policy = Some("B2C_1_signin");
        for (host, policy, expected) in [
            (
                "https://contoso.ciamlogin.com/",
                None,
                "https://contoso.ciamlogin.com/t/oauth2/v2.0/token",
            ),
            (
                "https://Contoso.b2clogin.com",
                policy,
                "https://contoso.b2clogin.com/t/B2C_1_signin/oauth2/v2.0/token",
            ),
            (
                "https://login.contoso.example",
                policy,
                "https://login.contoso.example/t/B2C_1_signin/oauth2/v2.0/token",
            ),
            (
                "https://co1-dsts.example/dstsv2/",
                None,
                "https://co1-dsts.example/dstsv2/t/oauth2/v2.0/token",
            ),
            (
                "https://adfs.contoso.example/ADFS",
                None,
                "https://adfs.contoso.example/adfs/oauth2/token",
            ),
        ] {
            let mut authority = entra(host);
            authority.set_policy(policy).unwrap();
            assert_eq!(url(&authority, false).unwrap(), expected);
            assert_eq!(authority.cloud(), None, "{host}");
            if authority.is_entra() {
                assert!(url(&authority, true).is_err(), "{host}");
            }
        }
        assert_eq!(
            entra("https://contoso.ciamlogin.com")
                .tenant_of_host()
                .unwrap(),
            "contoso.onmicrosoft.com"
        );
        assert_eq!(
            entra("https://login.microsoftonline.com").tenant_of_host(),
            None
        );
        let missing = entra("https://contoso.b2clogin.com").set_policy(None);
        assert!(missing.unwrap_err().hint.contains("B2C_1_signin"));
        for host in [
            "https://login.microsoftonline.us",
            "https://westus2.login.microsoft.com",
            "https://contoso.ciamlogin.com",
            "https://adfs.example/adfs",
            "https://dsts.example/dstsv2",
        ] {
            let refusal = entra(host).set_policy(policy).unwrap_err();
            assert!(refusal.message.contains("Azure AD B2C"), "{host}");
        }
    }

    #[test]
    fn a_host_that_does_not_begin_with_login_has_no_mtls_endpoint() {
        for host in [
            "https://sts.contoso.example",
            "https://127.0.0.1:8443",
            "https://loginx.example",
        ] {
            let error = entra(host).token_endpoint(Some("t"), true).unwrap_err();
            assert_eq!(error.class(), ErrorClass::Configuration);
            assert!(error.to_string().contains("begin with `login.`"), "{error}");
            assert!(
                error
                    .detail()
                    .hint
                    .as_ref()
                    .unwrap()
                    .contains("mtls_token_endpoint")
            );
        }
    }

    #[test]
    fn version_one_has_another_path_and_entra_needs_a_tenant() {
        let authority = Authority::entra("https://login.windows.net", EndpointVersion::V1).unwrap();
        assert_eq!(
            url(&authority, false).unwrap(),
            "https://login.microsoftonline.com/t/oauth2/token"
        );
        assert_eq!(
            url(&authority, true).unwrap(),
            "https://mtlsauth.microsoft.com/t/oauth2/token"
        );
        assert_eq!(
            authority
                .token_endpoint(None, false)
                .unwrap_err()
                .detail()
                .hint
                .as_deref(),
            Some("set tenant_id")
        );
    }

    #[test]
    fn a_generic_server_has_one_or_two_endpoints() {
        let plain = Endpoint::parse("https://idp.example/realms/a/token?p=b2c_1").unwrap();
        let twin = Endpoint::parse("https://mtls.idp.example:9443/token").unwrap();
        let one = Authority::Generic {
            token_endpoint: plain.clone(),
            mtls_token_endpoint: None,
        };
        let two = Authority::Generic {
            token_endpoint: plain.clone(),
            mtls_token_endpoint: Some(twin.clone()),
        };
        assert_eq!(one.token_endpoint(None, true).unwrap(), plain);
        assert_eq!(two.token_endpoint(None, true).unwrap(), twin);
        assert_eq!(
            two.token_endpoint(None, false).unwrap().url(),
            "https://idp.example/realms/a/token?p=b2c_1"
        );
    }

    #[test]
    fn endpoints_that_are_refused() {
        for (url, expected) in [
            ("http://idp.example/token", "scheme `http`"),
            ("idp.example/token", "not an absolute URL"),
            ("user:pw@idp.example/token", "not an absolute URL"),
            ("https://idp.example/token#x", "fragment"),
            ("https://user:pw@idp.example/token", "user name or password"),
            ("https://idp.example/a/../token", "`..` in its path"),
            ("https://idp.example/to ken", "space"),
            ("https://idp.example\\@evil.example/token", "character"),
            ("https://idp.example:0/token", "not a port"),
            ("https://idp.example:99999/token", "not a port"),
            ("https://idp.example:+1/token", "not a port"),
            ("https://idp.example:+443/token", "not a port"),
            ("https://idp.example:-443/token", "not a port"),
            ("https://idp.example: 443/token", "space"),
            ("https://idp.example:/token", "not a port"),
            ("https:///token", "not a host name"),
            ("https://idp..example/token", "not a host name"),
            ("https://-idp.example/token", "not a host name"),
            ("https://[::g]/token", "not a host name"),
            ("https://idp%2eexample/token", "not a host name"),
            ("https://münchen.example/token", "character"),
            ("", "empty"),
        ] {
            let refusal = Endpoint::parse(url).unwrap_err();
            assert!(
                refusal.message.contains(expected),
                "{url}: {}",
                refusal.message
            );
            assert!(!format!("{refusal:?}").contains("pw"), "{refusal:?}");
        }
        assert_eq!(
            Endpoint::parse("https://[::1]:8443").unwrap().url(),
            "https://[::1]:8443/"
        );
        assert_eq!(
            Endpoint::parse("https://idp.example?p=x").unwrap().url(),
            "https://idp.example/?p=x"
        );
    }

    #[test]
    fn authority_hosts_that_are_refused_say_what_to_write() {
        assert!(refused("http://login.microsoftonline.com").contains("over https only"));
        assert!(
            refused("login.microsoftonline.com")
                .contains("write https://login.microsoftonline.com")
        );
        let with_tenant = refused("https://login.microsoftonline.com/contoso.example/");
        assert!(
            with_tenant.contains("has the path `/contoso.example/`"),
            "{with_tenant}"
        );
        assert!(
            with_tenant.contains("the tenant as tenant_id"),
            "{with_tenant}"
        );
        assert!(refused("https://login.microsoftonline.com?x").contains("query or fragment"));
        assert!(refused("https://login.microsoftonline.com/#x").contains("query or fragment"));
        assert!(refused("https://me@login.microsoftonline.com").contains("before the `@`"));
    }

    #[test]
    fn trust_is_by_host_and_port() {
        let mut trusted = TrustedHosts::default();
        for entry in [
            "login.contoso.example",
            "LOCALHOST:8443",
            "idp.example:443",
            "[::1]:9000",
        ] {
            trusted.add(entry).unwrap();
        }
        for good in [
            "login.contoso.example",
            "localhost:8443",
            "idp.example",
            "[::1]:9000",
            "mtlsauth.microsoft.com",
            "westus2.login.microsoft.com",
            "westus2.mtlsauth.microsoft.com",
            "usgovvirginia.login.microsoftonline.us",
            "contoso.ciamlogin.com",
            "contoso.b2clogin.com",
        ] {
            trusted.check(good).unwrap();
        }
        for bad in [
            "localhost",
            "localhost:8444",
            "contoso.example",
            "login.contoso.example.evil.example",
            "[::1]",
            "login.microsoftonline.com:8443",
            "a.westus2.login.microsoft.com",
            "west-us.login.microsoft.com",
            "westus2.login.microsoft.com:8443",
            "westus2.login.microsoft.com.evil.example",
            "ciamlogin.com",
            "a.b.ciamlogin.com",
            "contoso.ciamlogin.com:8443",
            "contoso.ciamlogin.com.evil.example",
            "evilciamlogin.com",
            "b2clogin.com",
            "a.b.b2clogin.com",
        ] {
            assert!(trusted.check(bad).is_err(), "{bad}");
        }
        let refusal = trusted.check("login.contoso.example:8443").unwrap_err();
        assert!(refusal.message.contains("443 alone"), "{}", refusal.message);
        assert!(refusal.hint.contains(
            "\"login.contoso.example:8443\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"
        ));
        assert!(
            trusted
                .add("https://idp.example")
                .unwrap_err()
                .message
                .contains("is a URL")
        );
        assert!(trusted.add("*").is_err() && trusted.add("a:b:c").is_err());
    }
}
