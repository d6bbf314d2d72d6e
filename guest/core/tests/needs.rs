//! What each kind of credential asks of a driver, named as users write it.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use edgepass_core::needs::{
    Authorities, FilePattern, HostSource, Needs, PathPattern, Purpose, Scheme,
};
use edgepass_core::{Algorithm, Config, Environment};

fn config(identity: &str, variables: &[(&str, &str)]) -> Config {
    let json =
        format!(r#"{{"authority_hosts": ["idp.example"], "identities": {{"app": {identity}}}}}"#);
    let environment = Environment::from_pairs(variables.iter().copied());
    Config::load(Some(&json), &environment).unwrap()
}

fn needs(credential: &str) -> Needs {
    let identity = format!(
        r#"{{"tenant_id": "contoso.example", "client_id": "c", "credential": {credential}}}"#
    );
    let config = config(&identity, &[("SECRET", "hunter2")]);
    let needs = config.identities.get("app").unwrap().needs().clone();
    assert!(!format!("{needs:?}").contains("hunter2"));
    assert_eq!(config.needs(), needs);
    needs
}

#[test]
fn every_kind_names_what_it_needs() {
    let file = needs(r#"{"federated_token_file": {"path": "/token"}}"#);
    assert_eq!(
        (file.files[0].setting.as_str(), &file.files[0].path),
        (
            "identities.app.credential.federated_token_file.path",
            &FilePattern::Exact("/token".into())
        )
    );
    let place = "identities.app.credential";
    let signed = needs(r#"{"certificate": {"name": "cert", "algorithm": "RS256"}}"#);
    assert_eq!(
        signed.signatures[0].setting,
        format!("{place}.certificate.algorithm")
    );
    assert_eq!(signed.signatures[0].algorithm, Algorithm::Rs256);
    assert_eq!(
        signed.certificates[0].setting,
        format!("{place}.certificate.name")
    );
    assert_eq!(signed.connections[0].certificate, None);

    let bound = needs(r#"{"bound_certificate": {"name": "cert", "mode": "certificate-only"}}"#);
    assert_eq!(bound.connections[0].certificate.as_deref(), Some("cert"));
    assert!(bound.signatures.is_empty() && bound.certificates.len() == 1);

    let source = needs(r#"{"assertion_source": {}}"#);
    assert_eq!(
        source.assertion_source,
        Some(format!("{place}.assertion_source"))
    );

    let inline = needs(r#"{"client_secret": {"value": "hunter2"}}"#);
    assert_eq!(
        inline.inline_secrets,
        [format!("{place}.client_secret.value")]
    );
    let variable = needs(r#"{"client_assertion": {"env": "SECRET"}}"#);
    assert_eq!(
        (
            variable.variables[0].name.as_str(),
            variable.variables[0].setting.as_str(),
            variable.variables[0].is_secret
        ),
        (
            "SECRET",
            "identities.app.credential.client_assertion.env",
            true
        )
    );
    let in_file = needs(r#"{"client_secret": {"file": "/secret"}}"#);
    assert_eq!(
        in_file.files[0].setting,
        format!("{place}.client_secret.file")
    );
}

/// Method, scheme, host and path of each request besides the exchange, and what else a driver has to have.
#[test]
fn what_a_platform_is_asked_is_named() {
    let place = "identities.app.credential";
    let exchange = "audience=api%3A%2F%2FAzureADTokenExchange";
    let github = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?v=2"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2"),
    ];
    let pipelines = [
        ("SYSTEM_OIDCREQUESTURI", "https://ado.example/t"),
        ("SYSTEM_ACCESSTOKEN", "hunter2"),
        (
            "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
            "66666666-7777-8888-9999-000000000000",
        ),
    ];
    let sts = "POST https sts.eu-central-1.amazonaws.com /";
    let keys = [
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
    ];
    let pod = [
        ("AWS_REGION", "eu-central-1"),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token"),
    ];
    let machine = [("AWS_REGION", "eu-central-1")];
    for (kind, variables, expected, files) in [
        (
            "github_actions",
            &github[..],
            vec![format!("GET https gh.example /t?v=2&{exchange}")],
            0,
        ),
        (
            "azure_pipelines",
            &pipelines,
            vec![
                "POST https ado.example /t?api-version=7.1&serviceConnectionId=66666666-7777-8888-9999-000000000000"
                    .to_owned(),
            ],
            0,
        ),
        (
            "google_metadata",
            &[],
            vec![format!(
                "GET http 169.254.169.254 /computeMetadata/v1/instance/service-accounts/default/identity?{exchange}&format=full"
            )],
            0,
        ),
        ("aws_web_identity", &keys, vec![sts.to_owned()], 0),
        (
            "aws_web_identity",
            &pod,
            vec![
                sts.to_owned(),
                "GET http 169.254.170.23 /v1/credentials".to_owned(),
            ],
            1,
        ),
        (
            "aws_web_identity",
            &machine,
            vec![
                sts.to_owned(),
                "PUT http 169.254.169.254 /latest/api/token".to_owned(),
                "GET http 169.254.169.254 /latest/meta-data/iam/security-credentials/*".to_owned(),
            ],
            0,
        ),
        // away from their platforms they ask nobody
        ("github_actions", &[], vec![], 0),
        ("azure_pipelines", &[], vec![], 0),
        ("aws_web_identity", &[], vec![], 0),
        ("spiffe", &[], vec![], 0),
    ] {
        let identity = format!(
            r#"{{"tenant_id": "contoso.example", "client_id": "c", "credential": {{"{kind}": {{}}}}}}"#
        );
        let config = config(&identity, variables);
        let needs = config.needs();
        let all = format!("{needs:?} {config:?}");
        assert!(!all.contains("hunter2"), "{kind}: {all}");
        assert_eq!(needs.every_credential, [format!("{place}.{kind}")]);
        let asked: Vec<String> = needs
            .connections
            .iter()
            .skip(1)
            .map(|connection| {
                let permission = &connection.permission;
                let path = match &permission.path {
                    PathPattern::Exact(path) => path.clone(),
                    PathPattern::Prefix(path) => format!("{path}*"),
                    other => format!("{other:?}"),
                };
                let scheme = match permission.scheme {
                    Scheme::Https => "https",
                    _ => "http",
                };
                let method = permission.purpose.method();
                format!("{method} {scheme} {} {path}", permission.authority)
            })
            .collect();
        assert_eq!(asked, expected, "{kind}");
        assert_eq!(needs.files.len(), files, "{kind}");
        for variable in &needs.variables {
            let (_, value) = variables.iter().find(|(name, _)| *name == variable.name).unwrap();
            assert_eq!(variable.is_secret, *value == "hunter2", "{}", variable.name);
        }
    }
}

#[test]
fn what_a_host_gets_from_its_machine_is_named() {
    let identity = |kind: &str| {
        format!(r#"{{"tenant_id": "contoso.example", "client_id": "c", "credential": {{{kind}}}}}"#)
    };
    let socket = [("SPIFFE_ENDPOINT_SOCKET", "unix:///run/agent.sock")];
    let spiffe = config(&identity(r#""spiffe": {}"#), &socket).needs();
    let [need] = &spiffe.host_sources[..] else {
        panic!("{spiffe:?}");
    };
    assert_eq!(need.setting, "identities.app.credential.spiffe");
    let HostSource::WorkloadApi(api) = &need.source else {
        panic!("{need:?}");
    };
    assert_eq!(
        (api.socket.as_str(), api.audience.as_str()),
        ("/run/agent.sock", "api://AzureADTokenExchange")
    );

    let allowed = [("EDGEPASS_ALLOW_EXECUTABLES", "1")];
    let command =
        r#""executable": {"command": "/bin/token", "arguments": ["-x"], "audience": "a"}"#;
    let command = config(&identity(command), &allowed).needs();
    let [need] = &command.host_sources[..] else {
        panic!("{command:?}");
    };
    let HostSource::Executable(command) = &need.source else {
        panic!("{need:?}");
    };
    assert_eq!(
        (command.command.as_str(), command.audience.as_str()),
        ("/bin/token", "a")
    );
    assert_eq!(command.arguments, ["-x"]);
}

/// The metadata service is the host's alone to ask, and the token service is the cloud's, of whatever region.
#[test]
fn a_certificate_that_is_issued_is_for_the_host_to_get() {
    let identity = r#"{"tenant_id": "t", "client_id": "c", "credential": {"managed_identity_assertion": {
        "resource_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
        "use_bound_credential": true}}}"#;
    let moved = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:4000")];
    for (variables, service) in [(&[][..], "169.254.169.254"), (&moved, "127.0.0.1:4000")] {
        let needs = config(identity, variables).needs();
        let [issued] = &needs.issued_certificates[..] else {
            panic!("{needs:?}");
        };
        let setting = "identities.app.credential.managed_identity_assertion";
        assert_eq!(issued.setting, setting);
        assert!(issued.name.contains(setting) && issued.name != setting);
        assert_eq!(issued.authority, service);
        assert_eq!(
            issued.query,
            "cred-api-version=2.0&msi_res_id=%2Fsubscriptions%2Fs%2FresourceGroups%2Fg%2Fproviders%2F\
             Microsoft.ManagedIdentity%2FuserAssignedIdentities%2Fi"
        );
        assert!(needs.certificates.is_empty() && needs.signatures.is_empty());
        let setting = format!("{setting}.use_bound_credential");
        assert_eq!(needs.every_credential, [setting]);
        // with the certificate, and to nobody else
        for connection in &needs.connections {
            assert_eq!(connection.certificate.as_ref(), Some(&issued.name));
            assert_eq!(connection.permission.scheme, Scheme::Https);
        }
        let permits = |host: &str, path: &str| {
            let mut permissions = needs.connections.iter().map(|c| &c.permission);
            permissions.any(|permission| permission.permits("https", host, path))
        };
        let token = "/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token";
        for (host, path, good) in [
            ("mtlsauth.microsoft.com", token, true),
            ("mtlsauth.microsoft.com", "/t/oauth2/v2.0/token", true),
            ("westus2.mtlsauth.microsoft.com", token, true),
            ("mtlsauth.microsoft.com", "/a/b/oauth2/v2.0/token", false),
            ("mtlsauth.microsoft.com", "/t/oauth2/v2.0/authorize", false),
            (".mtlsauth.microsoft.com", token, false),
            ("a.b.mtlsauth.microsoft.com", token, false),
            ("a-b.mtlsauth.microsoft.com", token, false),
            ("evilmtlsauth.microsoft.com", token, false),
            ("mtlsauth.microsoft.com.evil.example", token, false),
            ("*.mtlsauth.microsoft.com", token, false),
            ("login.microsoftonline.com", token, false),
        ] {
            assert_eq!(permits(host, path), good, "{host} {path}");
        }
        // what the host asks
        let asked: Vec<_> = issued
            .connections()
            .into_iter()
            .map(|c| {
                (
                    c.permission.purpose.method(),
                    c.permission.authority,
                    c.permission.path,
                )
            })
            .collect();
        let path = |path: &str| PathPattern::Exact(format!("{path}?{}", issued.query));
        assert_eq!(
            asked,
            [
                (
                    "GET",
                    service.to_owned(),
                    path("/metadata/identity/getplatformmetadata")
                ),
                (
                    "POST",
                    service.to_owned(),
                    path("/metadata/identity/issuecredential")
                ),
            ]
        );
    }
}

/// The authority is not among the connections of an identity that has a token proxy.
#[test]
fn a_token_proxy_takes_the_place_of_the_authority() {
    let identity = r#"{"tenant_id": "a", "additionally_allowed_tenants": ["b", "*"], "client_id": "c",
        "credential": {"federated_token_file": {"path": "/token"}}}"#;
    let proxy = [
        // the platform says both
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("AZURE_KUBERNETES_TOKEN_PROXY", "https://10.0.0.1:9443/x/"),
        ("AZURE_KUBERNETES_SNI_NAME", "proxy.internal"),
        ("AZURE_KUBERNETES_CA_FILE", "/ca.crt"),
    ];
    let needs = config(identity, &proxy).needs();
    let exact = |path: &str| PathPattern::Exact(path.into());
    let paths: Vec<PathPattern> = needs
        .connections
        .iter()
        .map(|connection| {
            assert_eq!(connection.permission.authority, "10.0.0.1:9443");
            connection.permission.path.clone()
        })
        .collect();
    assert_eq!(
        paths,
        [
            exact("/x/a/oauth2/v2.0/token"),
            exact("/x/b/oauth2/v2.0/token"),
            PathPattern::AnySegment {
                before: "/x/".into(),
                after: "/oauth2/v2.0/token".into()
            }
        ]
    );
    let [server] = &needs.servers[..] else {
        panic!("{needs:?}");
    };
    assert_eq!(server.authority, "10.0.0.1:9443");
    assert_eq!(server.server_name.as_deref(), Some("proxy.internal"));
    assert_eq!(
        server.authorities,
        Some(Authorities::File("/ca.crt".into()))
    );

    // another server takes nothing from the variables
    let generic = r#"{"token_endpoint": "https://idp.example/token", "client_id": "c",
        "credential": {"federated_token_file": {"path": "/token"}}}"#;
    let needs = config(generic, &proxy).needs();
    assert_eq!(needs.connections[0].permission.authority, "idp.example");
    assert!(needs.servers.is_empty());
}

/// A host knows a server by its address, so two identities cannot have it checked in two ways.
#[test]
fn a_token_proxy_is_the_same_for_all_who_ask_it() {
    let identity = |proxy: &str| {
        format!(
            r#"{{"tenant_id": "t", "client_id": "c", "credential": {{"federated_token_file": {{"path": "/token"{proxy}}}}}}}"#
        )
    };
    let own = r#", "token_proxy": {"url": "https://proxy.example", "ca_file": "/ca.crt"}"#;
    let named = r#", "token_proxy": {"url": "https://proxy.example", "ca_file": "/other.crt"}"#;
    let entra =
        r#", "token_proxy": {"url": "https://login.microsoftonline.com/x", "ca_file": "/ca.crt"}"#;
    for (one, other, is_good) in [
        (own, own, true),
        (own, "", true),
        (own, named, false),
        (entra, "", false),
    ] {
        let json = format!(
            r#"{{"identities": {{"a": {}, "b": {}}}}}"#,
            identity(one),
            identity(other)
        );
        let loaded = Config::load(Some(&json), &Environment::default());
        assert_eq!(loaded.is_ok(), is_good, "{json}");
        if let Err(error) = loaded {
            assert!(error.setting.ends_with(".token_proxy.url"), "{error}");
            assert!(error.hint.is_some(), "{error}");
        }
    }
}

#[test]
fn requests_go_to_the_endpoints_of_the_tenants_that_may_be_named() {
    let credential = r#""credential": {"assertion_source": {}}"#;
    let paths = |identity: &str| -> Vec<PathPattern> {
        let needs = config(identity, &[]).needs();
        for connection in &needs.connections {
            let permission = &connection.permission;
            assert_eq!(permission.scheme, Scheme::Https);
            assert_eq!(permission.purpose, Purpose::TokenEndpoint);
        }
        needs
            .connections
            .into_iter()
            .map(|c| c.permission.path)
            .collect()
    };
    let exact = |path: &str| PathPattern::Exact(path.into());
    let entra = paths(&format!(
        r#"{{"tenant_id": "a", "additionally_allowed_tenants": ["b", "*"], "client_id": "c", {credential}}}"#
    ));
    assert_eq!(
        entra.get(..3).unwrap(),
        [
            exact("/a/oauth2/v2.0/token"),
            exact("/b/oauth2/v2.0/token"),
            PathPattern::AnySegment {
                before: "/".into(),
                after: "/oauth2/v2.0/token".into()
            }
        ]
    );
    let generic = paths(&format!(
        r#"{{"token_endpoint": "https://idp.example/token?p=x", "client_id": "c", {credential}}}"#
    ));
    assert_eq!(generic[0], exact("/token?p=x"));
}

#[test]
fn variables_are_named_that_something_was_taken_from() {
    let webhook = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com"),
        ("HOME", "/root"),
    ];
    let environment = Environment::from_pairs(webhook);
    let needs = Config::load(None, &environment).unwrap().needs();
    let names: Vec<&str> = needs.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "AZURE_TENANT_ID",
            "AZURE_AUTHORITY_HOST",
            "AZURE_CLIENT_ID",
            "AZURE_FEDERATED_TOKEN_FILE"
        ]
    );
    // nothing is written down that could be changed
    assert_eq!(needs.variables[0].setting, "AZURE_TENANT_ID");
    assert!(needs.variables.iter().all(|variable| !variable.is_secret));

    let whole = r#"{"tenant_id": "t", "client_id": "c", "credential": {"federated_token_file": {"path": "/t"}}}"#;
    let variables = [&webhook[..], &[("EDGEPASS_AUTHORITY_HOSTS", "x.example")]].concat();
    let needs = config(whole, &variables).needs();
    let names: Vec<&str> = needs.variables.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(
        names,
        ["AZURE_AUTHORITY_HOST", "EDGEPASS_AUTHORITY_HOSTS"]
            .iter()
            .rev()
            .copied()
            .collect::<Vec<_>>()
    );

    let secret = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_SECRET", "hunter2"),
    ];
    let needs = config("{}", &secret).needs();
    let variable = needs
        .variables
        .iter()
        .find(|variable| variable.is_secret)
        .unwrap();
    assert_eq!(variable.setting, "identities.app.credential.client_secret");
}

#[test]
fn an_environment_of_the_named_variables_alone_is_the_same_configuration() {
    let all = [
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem"),
        ("EDGEPASS_AUTHORITY_HOSTS", "login.contoso.example"),
        ("AZURE_AUTHORITY_HOST", "https://login.contoso.example"),
        ("HOME", "/root"),
    ];
    let config = Config::load(None, &Environment::from_pairs(all)).unwrap();
    let needs = config.needs();
    let fewer = all
        .into_iter()
        .filter(|(name, _)| needs.variables.iter().any(|v| v.name == *name));
    let again = Config::load(None, &Environment::from_pairs(fewer)).unwrap();
    assert_eq!(format!("{again:?}"), format!("{config:?}"));
}

#[test]
fn the_assertion_of_a_managed_identity_is_for_its_audience_alone() {
    let query = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=";
    for (assertion, resource) in [
        ("{}", "api%3A%2F%2FAzureADTokenExchange"),
        (
            r#"{"audience": "api://other/.default", "object_id": "99999999-aaaa-bbbb-cccc-dddddddddddd"}"#,
            "api%3A%2F%2Fother&object_id=99999999-aaaa-bbbb-cccc-dddddddddddd",
        ),
    ] {
        let needs = needs(&format!(r#"{{"managed_identity_assertion": {assertion}}}"#));
        let asked = needs.connections.iter().map(|c| &c.permission);
        let asked: Vec<_> = asked
            .filter(|p| p.purpose == Purpose::ManagedIdentity)
            .map(|p| &p.path)
            .collect();
        assert_eq!(
            asked,
            [&PathPattern::Exact(format!("{query}{resource}"))],
            "{assertion}"
        );
    }
}

#[test]
fn a_managed_identity_asks_the_metadata_service_and_nobody_else() {
    let needs = config(r#"{"credential": {"managed_identity": {}}}"#, &[]).needs();
    let [connection] = needs.connections.as_slice() else {
        panic!("{needs:?}")
    };
    let permission = &connection.permission;
    assert_eq!(permission.scheme, Scheme::LinkLocalHttp);
    assert_eq!(permission.purpose, Purpose::ManagedIdentity);
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=x";
    for (scheme, host, path, is_permitted) in [
        ("http", "169.254.169.254", path, true),
        ("https", "169.254.169.254", path, false),
        ("http", "169.254.169.253", path, false),
        (
            "http",
            "169.254.169.254",
            "/metadata/instance?api-version=2021-02-01",
            false,
        ),
    ] {
        assert_eq!(
            permission.permits(scheme, host, path),
            is_permitted,
            "{scheme}://{host}{path}"
        );
    }
    assert!(needs.files.is_empty() && needs.variables.is_empty());

    let variables = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:8080")];
    let client =
        r#"{"tenant_id": "t", "client_id": "c", "credential": {"managed_identity_assertion": {}}}"#;
    let needs = config(client, &variables).needs();
    let hosts: Vec<_> = needs
        .connections
        .iter()
        .map(|c| c.permission.authority.as_str())
        .collect();
    assert_eq!(hosts, ["login.microsoftonline.com", "127.0.0.1:8080"]);
    assert_eq!(needs.variables[0].name, "AZURE_POD_IDENTITY_AUTHORITY_HOST");
}

#[test]
fn a_managed_identity_is_named_in_one_way() {
    let refused = |credential: &str| {
        let json = format!(
            r#"{{"identities": {{"app": {{"credential": {{"managed_identity": {credential}}}}}}}}}"#
        );
        Config::load(Some(&json), &Environment::default())
            .unwrap_err()
            .to_string()
    };
    let place = "identities.app.credential.managed_identity";
    assert!(
        refused(r#"{"client_id": "99999999-aaaa-bbbb-cccc-dddddddddddd", "object_id": "99999999-aaaa-bbbb-cccc-eeeeeeeeeeee"}"#)
            .starts_with(&format!("{place}: has more than one"))
    );
    assert!(
        refused(r#"{"resource_id": "app"}"#)
            .starts_with(&format!("{place}.resource_id: is not the resource ID"))
    );
    assert!(
        refused(r#"{"client_id": "a b"}"#)
            .starts_with(&format!("{place}.client_id: is not a GUID"))
    );
}
