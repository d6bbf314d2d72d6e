//! The Microsoft clouds by their hosts: what each is called, where its regions are, and where it takes requests with a client
//! certificate. What an identity was given, and which paths its requests have, is [`Authority`](super::Authority)'s.

#[cfg(feature = "every-credential")]
use super::is_guid;
#[cfg(feature = "every-credential")]
use crate::refusal::Refusal;
use crate::{Error, ErrorClass};

/// Network host of the public cloud, the authority of an identity that names none.
pub const PUBLIC_HOST: &str = "login.microsoftonline.com";

/// `aud` of a token that is exchanged in the public cloud, and in any other of which no other is documented.
pub(super) const PUBLIC_FEDERATION_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A Microsoft cloud.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cloud {
    /// What people call it.
    pub name: &'static str,
    /// What tools call it, small and without `azure` before and `cloud` behind.
    #[cfg(feature = "every-credential")]
    pub names: &'static [&'static str],
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
        #[cfg(feature = "every-credential")]
        names: &["public"],
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
        #[cfg(feature = "every-credential")]
        names: &["china"],
        network_host: "login.partner.microsoftonline.cn",
        aliases: &["login.chinacloudapi.cn"],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: Some("api://AzureADTokenExchangeChina"),
    },
    Cloud {
        name: "US Government",
        #[cfg(feature = "every-credential")]
        names: &["government", "usgovernment", "usgov"],
        network_host: "login.microsoftonline.us",
        aliases: &["login.usgovcloudapi.net"],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: Some("api://AzureADTokenExchangeUSGov"),
    },
    Cloud {
        name: "Germany (retired)",
        #[cfg(feature = "every-credential")]
        names: &["german", "germany"],
        network_host: "login.microsoftonline.de",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "US (old)",
        #[cfg(feature = "every-credential")]
        names: &[],
        network_host: "login-us.microsoftonline.com",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "pre-production",
        #[cfg(feature = "every-credential")]
        names: &[],
        network_host: "login.windows-ppe.net",
        aliases: &["sts.windows-ppe.net", "login.microsoft-ppe.com"],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "Bleu (France)",
        #[cfg(feature = "every-credential")]
        names: &[],
        network_host: "login.sovcloud-identity.fr",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "Delos (Germany)",
        #[cfg(feature = "every-credential")]
        names: &[],
        network_host: "login.sovcloud-identity.de",
        aliases: &[],
        mtls_host: None,
        #[cfg(feature = "every-credential")]
        regional_host: None,
        federation_audience: None,
    },
    Cloud {
        name: "GovSG (Singapore)",
        #[cfg(feature = "every-credential")]
        names: &[],
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
pub(super) const CIAM_HOSTS: &str = ".ciamlogin.com";

/// How the hosts of Azure AD B2C end, each of which is one tenant's.
#[cfg(feature = "every-credential")]
pub(super) const B2C_HOSTS: &str = ".b2clogin.com";

impl Cloud {
    /// Whether that is one of its hosts, on port 443.
    pub(super) fn has(&self, authority: &str) -> bool {
        self.network_host == authority
            || self.mtls_host == Some(authority)
            || self.aliases.contains(&authority)
    }
}

/// The host of a cloud by a name that tools have for it: `AzureUSGovernment` of go-autorest and the CLI, `AzurePublic` of
/// MSAL.NET's `AzureCloudInstance`, `AZURE_CHINA` of the SDKs' `AzureAuthorityHosts`.
#[cfg(feature = "every-credential")]
pub fn host_of_cloud(name: &str) -> Option<&'static str> {
    let after = name.strip_prefix("https://");
    let text = after.unwrap_or(name).trim_end_matches('/');
    let text = text.replace(['_', '-'], "").to_ascii_lowercase();
    let of_azure = text.strip_prefix("azure");
    // behind a scheme a short word may be a host of somebody's own
    if of_azure.is_none() && after.is_some() {
        return None;
    }
    let name = of_azure.unwrap_or(&text);
    let name = name.strip_suffix("cloud").unwrap_or(name);
    // `AzureCloud` is the public one, and `cloud` alone nothing
    if name.is_empty() {
        return of_azure.and(Some(PUBLIC_HOST));
    }
    let cloud = CLOUDS.iter().find(|cloud| cloud.names.contains(&name))?;
    Some(cloud.network_host)
}

/// That this is no name of a cloud where its host belongs. The SDKs would ask a host of that name.
#[cfg(feature = "every-credential")]
pub(crate) fn no_name_of_a_cloud(host: &str) -> Result<(), Refusal> {
    host_of_cloud(host).map_or(Ok(()), |host| {
        Err(Refusal::new(
            "is the name of a cloud, and not its host",
            format!("write https://{host}"),
        ))
    })
}

/// Whether that is a host of Microsoft's, on port 443, for a region of a cloud or for one tenant.
#[cfg(feature = "every-credential")]
pub(super) fn is_of_a_tenant_or_region(authority: &str) -> bool {
    is_tenants(authority, CIAM_HOSTS)
        || is_tenants(authority, B2C_HOSTS)
        || without_region(authority)
            .is_some_and(|(_, global)| CLOUDS.iter().any(|cloud| cloud.has(global)))
}

/// Whether that is the host of one tenant: a name and that end.
#[cfg(feature = "every-credential")]
pub(super) fn is_tenants(authority: &str, end: &str) -> bool {
    let name = authority.strip_suffix(end);
    name.is_some_and(|name| !name.is_empty() && !name.contains(['.', ':']))
}

/// The tenant that a host names: that of External ID (`NAME.ciamlogin.com`) or of Azure AD B2C (`NAME.b2clogin.com`). A name
/// that is a GUID is the tenant's own, which no domain can be called.
#[cfg(feature = "every-credential")]
pub fn tenant_of_host(authority: &str) -> Option<String> {
    let mut ends = [CIAM_HOSTS, B2C_HOSTS].into_iter();
    let end = ends.find(|end| is_tenants(authority, end))?;
    let name = authority.strip_suffix(end)?;
    Some(match is_guid(name) {
        true => name.to_owned(),
        false => format!("{name}.onmicrosoft.com"),
    })
}

/// The region before a host, if what stands there can be one, and the host.
fn without_region(authority: &str) -> Option<(&str, &str)> {
    let (region, global) = authority.split_once('.')?;
    let can_be = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric());
    can_be.then_some((region, global))
}

/// The region and the cloud whose host there that is.
#[cfg(feature = "every-credential")]
pub(super) fn regional(authority: &str) -> Option<(&str, &'static Cloud)> {
    let (region, global) = without_region(authority)?;
    Some((region, cloud(global)?))
}

pub(super) fn cloud(authority: &str) -> Option<&'static Cloud> {
    CLOUDS
        .iter()
        .find(|cloud| cloud.network_host == authority || cloud.aliases.contains(&authority))
}

/// Where an Entra host takes requests with a client certificate: the public cloud under a name of its own, every other
/// under `mtlsauth` in the place of `login`.
///
/// A region stands before either.
pub(super) fn mtls_twin(host: &str) -> Result<String, Error> {
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

pub(super) fn no_mtls_twin(host: &str) -> Error {
    Error::new(
        ErrorClass::Configuration,
        format!("`{host}` has no mTLS endpoint: it is known only for hosts that begin with `login.`"),
    )
    .hint("use the cloud's login.… host, or another credential than a bound certificate; for a server that is not Entra ID set token_endpoint and mtls_token_endpoint")
}
