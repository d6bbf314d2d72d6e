use super::*;
use crate::authority::cloud::CLOUDS;

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
    const GUID: &str = "11111111-2222-3333-4444-555555555555";
    for (host, tenant) in [
        ("contoso.ciamlogin.com", Some("contoso.onmicrosoft.com")),
        ("contoso.b2clogin.com", Some("contoso.onmicrosoft.com")),
        (
            "11111111-2222-3333-4444-555555555555.ciamlogin.com",
            Some(GUID),
        ),
        (
            "11111111-2222-3333-4444-555555555555.b2clogin.com",
            Some(GUID),
        ),
        ("login.microsoftonline.com", None),
    ] {
        let found = entra(&format!("https://{host}")).tenant_of_host();
        assert_eq!(found.as_deref(), tenant, "{host}");
    }
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
fn authority_hosts_that_are_refused_say_what_to_write() {
    assert!(refused("http://login.microsoftonline.com").contains("but https only is taken"));
    assert!(
        refused("login.microsoftonline.com").contains("write https://login.microsoftonline.com")
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
