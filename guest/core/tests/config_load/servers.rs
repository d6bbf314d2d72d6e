//! Who issues tokens, for which tenant and client, and which hosts are trusted with that.

use super::*;

#[test]
fn entra_settings_beside_a_token_endpoint() {
    for (field, value) in [
        ("tenant_id", r#""t""#),
        ("authority_host", r#""https://login.microsoftonline.com""#),
        ("endpoint_version", r#""v1.0""#),
        ("additionally_allowed_tenants", r#"["*"]"#),
    ] {
        let json = generic(SECRET, &format!(r#", "{field}": {value}"#));
        refused(
            load(&json),
            &format!("identities.app.{field}"),
            &["is for Entra ID", "token_endpoint"],
        );
    }
}

#[test]
fn tenants() {
    for (tenant, word) in [
        ("contoso/../x", "letters, digits"),
        ("..", "not a domain name"),
        ("a..b", "not a domain name"),
        ("common", "AADSTS9001023"),
        ("organizations", "AADSTS9001023"),
        ("consumers", "AADSTS9001023"),
        ("ténant", "letters, digits"),
        ("x y", "letters, digits"),
    ] {
        refused(
            load_environment(&[("AZURE_TENANT_ID", tenant)]),
            "AZURE_TENANT_ID",
            &[word, "GUID or one of its domains"],
        );
        let json = format!(
            r#"{{"identities": {{"app": {{"tenant_id": "{tenant}", "client_id": "c", "credential": {SECRET}}}}}}}"#
        );
        refused(load(&json), "identities.app.tenant_id", &[word]);
        let json = entra(
            SECRET,
            &format!(r#", "additionally_allowed_tenants": ["*", "{tenant}"]"#),
        );
        refused(
            load(&json),
            "identities.app.additionally_allowed_tenants[1]",
            &[word],
        );
    }
    let json = format!(
        r#"{{"identities": {{"app": {{"tenant_id": "", "client_id": "c", "credential": {SECRET}}}}}}}"#
    );
    refused(load(&json), "identities.app.tenant_id", &["is empty"]);
}

#[test]
fn client_ids() {
    refused(
        load_environment(&[("AZURE_CLIENT_ID", "a b")]),
        "AZURE_CLIENT_ID",
        &["space"],
    );
    refused(
        load_environment(&[("AZURE_CLIENT_ID", "id\n")]),
        "AZURE_CLIENT_ID",
        &["a line break at its", "take it away"],
    );
}

#[test]
fn authority_hosts() {
    let host = |host: &str| load_environment(&[("AZURE_AUTHORITY_HOST", host)]);
    refused(
        host("http://login.microsoftonline.com/"),
        "AZURE_AUTHORITY_HOST",
        &["scheme `http`", "https"],
    );
    // a document says it whole; the SDKs take the variable without the scheme
    refused(
        load(&entra(
            SECRET,
            r#", "authority_host": "login.microsoftonline.com""#,
        )),
        "identities.app.authority_host",
        &["write https://login.microsoftonline.com"],
    );
    assert_eq!(
        hosts(&host("login.microsoftonline.us").unwrap()),
        BTreeSet::from(["login.microsoftonline.us".to_owned()])
    );
    let tenant = format!("https://login.microsoftonline.com/{TENANT}");
    refused(
        host(&tenant),
        "AZURE_AUTHORITY_HOST",
        &["has the path", "AZURE_TENANT_ID"],
    );
    refused(
        host("https://a@login.microsoftonline.com"),
        "AZURE_AUTHORITY_HOST",
        &["user name"],
    );
    refused(
        host("https://login.microsoftonline.com?x=y"),
        "AZURE_AUTHORITY_HOST",
        &["query"],
    );
    refused(
        host("https://login.microsoftonline.com.evil.example"),
        "AZURE_AUTHORITY_HOST",
        &[
            "neither a built-in Microsoft cloud",
            "if it is meant, add \"login.microsoftonline.com.evil.example\" to EDGEPASS_AUTHORITY_HOSTS",
        ],
    );
    let json = entra(
        SECRET,
        r#", "authority_host": "https://sts.contoso.example:8443""#,
    );
    refused(
        load(&json),
        "identities.app.authority_host",
        &["\"sts.contoso.example:8443\" to authority_hosts or EDGEPASS_AUTHORITY_HOSTS"],
    );
    let config = host("https://LOGIN.windows.net/").unwrap();
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["login.microsoftonline.com".to_owned()])
    );
}

#[test]
fn hosts_are_trusted_by_name_and_port() {
    let with = |list: &str, host: &str| {
        load_environment(&[
            ("EDGEPASS_AUTHORITY_HOSTS", list),
            ("AZURE_AUTHORITY_HOST", host),
        ])
    };
    for (list, host) in [
        ("login.contoso.example", "https://login.contoso.example"),
        (
            "a.example, Login.Contoso.Example:8443,",
            "https://login.contoso.example:8443/",
        ),
        ("127.0.0.1:9443", "https://127.0.0.1:9443"),
        ("[::1]:9443", "https://[::1]:9443"),
    ] {
        with(list, host).unwrap_or_else(|error| panic!("{list} {host}: {error}"));
    }
    refused(
        with(
            "login.contoso.example",
            "https://login.contoso.example:8443",
        ),
        "AZURE_AUTHORITY_HOST",
        &["443 alone", "\"login.contoso.example:8443\""],
    );
    refused(
        with("https://a.example", "https://a.example"),
        "EDGEPASS_AUTHORITY_HOSTS",
        &["is a URL"],
    );
    refused(
        with("a_b", "https://a.example"),
        "EDGEPASS_AUTHORITY_HOSTS",
        &["not a host name"],
    );
    refused(
        load(r#"{"authority_hosts": ["a.example", "b:0"]}"#),
        "authority_hosts[1]",
        &["not a port"],
    );
}

#[test]
fn token_endpoints_need_trust_and_https_too() {
    let at = |url: &str| load(&generic(SECRET, "").replace("https://idp.example/token", url));
    refused(
        at("http://idp.example/token"),
        "identities.app.token_endpoint",
        &["https only"],
    );
    refused(
        at("https://other.example/token"),
        "identities.app.token_endpoint",
        &["\"other.example\" to authority_hosts"],
    );
    refused(
        at("https://idp.example/token#x"),
        "identities.app.token_endpoint",
        &["fragment"],
    );
    let mtls = |url: &str| {
        load(&generic(
            BOUND,
            &format!(r#", "mtls_token_endpoint": "{url}""#),
        ))
    };
    refused(
        mtls("https://evil.example/t"),
        "identities.app.mtls_token_endpoint",
        &["\"evil.example\" to authority_hosts"],
    );
    let config = mtls("https://mtls.idp.example:8443/token").unwrap();
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["mtls.idp.example:8443".to_owned()])
    );
}

#[test]
fn mtls_endpoints_are_for_certificates() {
    let setting = "identities.app.mtls_token_endpoint";
    let mtls = r#", "mtls_token_endpoint": "https://mtls.idp.example:8443/token""#;
    for credential in [SECRET, SOURCE] {
        refused(
            load(&generic(credential, mtls)),
            setting,
            &["never used", "bound_certificate"],
        );
    }
    refused(
        load(&entra(BOUND, mtls)),
        setting,
        &["needs token_endpoint"],
    );
    refused(
        load(&generic(SOURCE, mtls)),
        setting,
        &["never used", "bound_certificate"],
    );
}

#[test]
fn a_host_that_a_rule_has_made_is_named_too() {
    let bound = |hosts: &str, host: &str| {
        let json = entra(BOUND, &format!(r#", "authority_host": "https://{host}""#));
        load(&json.replacen('{', &format!(r#"{{"authority_hosts": [{hosts}], "#), 1))
    };
    for (hosts, host) in [
        (r#""login.contoso.example""#, "login.contoso.example"),
        (
            r#""login.contoso.example:8443", "mtlsauth.contoso.example""#,
            "login.contoso.example:8443",
        ),
    ] {
        refused(
            bound(hosts, host),
            "identities.app.credential",
            &["`mtlsauth.contoso.example", "neither", "to authority_hosts"],
        );
    }
    let config = bound(
        r#""login.contoso.example", "mtlsauth.contoso.example""#,
        "login.contoso.example",
    )
    .unwrap();
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["mtlsauth.contoso.example".to_owned()])
    );
    // Microsoft's own, and a server whose mTLS endpoint is written down, need no more
    for cloud in ["login.microsoftonline.us", "login.sovcloud-identity.fr"] {
        bound("", cloud).unwrap();
    }
    load(&generic(BOUND, "")).unwrap();
}

#[test]
fn bound_certificates_need_a_login_host() {
    let config = load(&entra(BOUND, "")).unwrap();
    assert_eq!(
        credential(&config, "app"),
        "certificate cert on the connection (mTLS)"
    );
    let distinction = config.identities.get("app").unwrap().distinction();
    assert!(
        distinction
            .expose()
            .contains("with-assertion4:cert5:PS2563:x5c")
    );
    assert_eq!(
        hosts(&config),
        BTreeSet::from(["mtlsauth.microsoft.com".to_owned()])
    );
    assert_eq!(
        config.unresolved_certificates(),
        BTreeSet::from(["cert".to_owned()])
    );

    let json = entra(
        BOUND,
        r#", "authority_host": "https://login-us.microsoftonline.com""#,
    );
    refused(
        load(&json),
        "identities.app.credential.bound_certificate",
        &["begin with `login.`"],
    );
}
