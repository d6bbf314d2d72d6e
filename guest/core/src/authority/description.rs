//! Where a server describes itself, and what it may call itself there. It neither asks for the documents nor reads them.

use crate::authority::cloud::{CIAM_HOSTS, cloud};
use crate::authority::endpoint::Endpoint;
use crate::authority::issuer::Issuer;
use crate::authority::{Authority, TenantPath, is_guid};

/// The hosts of the token service that Entra ID's v1 tokens name as their issuer, in every cloud.
const STS_HOSTS: &[&str] = &[
    "sts.windows.net",
    "sts.chinacloudapi.cn",
    "sts.microsoftonline.de",
];

/// What stands in an issuer of Entra ID for the tenant of the token.
pub(crate) const TENANT_ID: &str = "{tenantid}";

/// Where a server describes itself, what it may call itself there, and where what it says may lead.
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

/// What a server may call itself.
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

/// A user flow of Azure AD B2C, which has endpoints of its own.
pub(crate) struct UserFlow<'a> {
    host: &'a str,
    tenant: &'a str,
    /// What its paths begin with, and the query of all of them.
    before: &'a str,
    query: &'a str,
}

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

impl Authority {
    /// The user flow of Azure AD B2C that a token endpoint is of. Libraries have it in the path or in the query; either way its
    /// other endpoints are beside it.
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
}
