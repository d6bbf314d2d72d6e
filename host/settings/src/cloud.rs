//! Which of Microsoft's hosts somebody means who has written something else.

use edgepass_core::authority::{CLOUDS, host_of_cloud};

use crate::draft::{OF_TENANTS, is_microsofts};

/// Whether that is a host of Microsoft's, of which it is known what may be in a path: that of a cloud, also with a region
/// before it, or of a tenant.
pub(crate) fn is_known(host: &str) -> bool {
    let host = host.strip_suffix(":443").unwrap_or(host);
    let is_clouds = |host: &str| {
        let mut clouds = CLOUDS.iter();
        clouds.any(|cloud| cloud.network_host == host || cloud.aliases.contains(&host))
    };
    let global = host.split_once('.').map(|(_, global)| global);
    is_clouds(host) || global.is_some_and(is_clouds) || is_microsofts(host)
}

/// The host of Microsoft's that a text means: it names the cloud, or is the host, alone or in a URL of whatever scheme.
/// `None` of any other, which may be a secret in the wrong place and is not repeated.
pub(crate) fn meant(text: &str) -> Option<String> {
    if let Some(host) = host_of_cloud(text) {
        return Some(host.to_owned());
    }
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.trim_start_matches('/');
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    is_known(&host).then_some(host)
}

/// The host of Microsoft's that an authority begins with, if what has to be behind a slash is behind the host itself, as templates
/// of .NET once wrote it: `contoso.b2clogin.comcontoso.onmicrosoft.com`.
pub(crate) fn without_slash(authority: &str) -> Option<&str> {
    let goes_on = |host: &str| {
        let rest = authority.strip_prefix(host).unwrap_or_default();
        rest.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    let of_tenants = OF_TENANTS.iter().filter_map(|end| {
        let at = authority.find(end)?;
        authority.get(..at + end.len())
    });
    let of_clouds = CLOUDS
        .iter()
        .flat_map(|cloud| cloud.aliases.iter().chain([&cloud.network_host]));
    of_tenants
        .chain(of_clouds.copied())
        .find(|host| goes_on(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_slash_is_seen_behind_a_host_of_microsofts() {
        for (authority, host) in [
            (
                "fabrikam.b2clogin.comfabrikam.onmicrosoft.com",
                Some("fabrikam.b2clogin.com"),
            ),
            (
                "fabrikam.ciamlogin.com11111111-2222-3333-4444-555555555555",
                Some("fabrikam.ciamlogin.com"),
            ),
            (
                "login.microsoftonline.comcontoso.example",
                Some("login.microsoftonline.com"),
            ),
            (
                "login.microsoftonline.us7",
                Some("login.microsoftonline.us"),
            ),
            ("fabrikam.b2clogin.com", None),
            ("fabrikam.b2clogin.com:443", None),
            ("fabrikam.b2clogin.com.example", None),
            ("login.microsoftonline.com", None),
            ("idp.example", None),
            ("", None),
        ] {
            assert_eq!(without_slash(authority), host, "{authority}");
        }
    }

    #[test]
    fn a_name_and_a_host_lead_to_their_own_cloud() {
        for (text, host) in [
            ("AzureUSGovernment", Some("login.microsoftonline.us")),
            ("AzureCloud", Some("login.microsoftonline.com")),
            ("login.microsoftonline.us", Some("login.microsoftonline.us")),
            (
                "Login.MicrosoftOnline.us/",
                Some("login.microsoftonline.us"),
            ),
            (
                "//login.microsoftonline.us",
                Some("login.microsoftonline.us"),
            ),
            (
                "http://login.microsoftonline.us/t",
                Some("login.microsoftonline.us"),
            ),
            (
                "login.partner.microsoftonline.cn/t/v2.0",
                Some("login.partner.microsoftonline.cn"),
            ),
            ("login.chinacloudapi.cn", Some("login.chinacloudapi.cn")),
            ("contoso.b2clogin.com", Some("contoso.b2clogin.com")),
            ("contoso.ciamlogin.com/", Some("contoso.ciamlogin.com")),
            ("login.example", None),
            ("https://u:hunter2@login.microsoftonline.us", None),
            ("hunter2", None),
            ("", None),
        ] {
            assert_eq!(meant(text).as_deref(), host, "{text}");
        }
    }
}
