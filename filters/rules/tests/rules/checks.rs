//! What the filter refuses before the first request, and the command before it prints anything.

use edgepass_core::{Config, ConfigError, Environment};
use edgepass_rules::{Inbound, Module, Requirements, Settings};
use serde_json::{Value, json};

use super::support::document;

fn load(document: &Value) -> Config {
    Config::load(Some(&document.to_string()), &Environment::default()).unwrap()
}

fn good() -> Value {
    serde_json::from_str(&document(&json!({}))).unwrap()
}

/// The good document with one value changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = good();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match value {
        Value::Null => _ = parent.as_object_mut().unwrap().remove(field),
        value => parent[field] = value,
    }
    document
}

fn credential(value: Value) -> Value {
    with("/identities/app/credential", value)
}

/// An identity that has nothing besides but scopes.
fn direct(value: &Value) -> Value {
    let scopes = ["https://graph.microsoft.com/.default"];
    with(
        "/identities/app",
        json!({"scopes": scopes, "credential": value}),
    )
}

fn refused(document: &Value) -> ConfigError {
    let error = Settings::check(&load(document), Module::Default).expect_err(&document.to_string());
    assert!(error.hint.is_some(), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    error
}

/// The text of the refusal begins so.
fn each_begins(cases: impl IntoIterator<Item = (Value, &'static str)>) {
    for (document, expected) in cases {
        let error = refused(&document).to_string();
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn what_no_envoy_can_do() {
    let cases = [
        (
            credential(json!({"assertion_source": {}})),
            "identities.app.credential.assertion_source: there is no assertion source in Envoy",
        ),
        (
            direct(&json!({"managed_identity": {"source": "app_service"}})),
            "identities.app.credential.managed_identity.source: is a source that is not available in Envoy",
        ),
        (
            direct(&json!({"managed_identity": {"source": "azure_arc"}})),
            "identities.app.credential.managed_identity.source: is a source that is not available in Envoy",
        ),
        (
            credential(json!({"managed_identity_assertion": {"source": "cloud_shell"}})),
            "identities.app.credential.managed_identity_assertion.source: is a source that is not available in Envoy",
        ),
        (
            credential(json!({"github_actions": {}})),
            "identities.app.credential.github_actions: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm",
        ),
        (
            credential(json!({"azure_pipelines": {}})),
            "identities.app.credential.azure_pipelines: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm",
        ),
        (
            credential(json!({"google_metadata": {}})),
            "identities.app.credential.google_metadata: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm",
        ),
        (
            credential(json!({"aws_web_identity": {}})),
            "identities.app.credential.aws_web_identity: is not available in Envoy",
        ),
        (
            credential(json!({"spiffe": {}})),
            "identities.app.credential.spiffe: is not available in Envoy",
        ),
        (
            credential(json!({"oidc_federation": {
                "tenant_id": "t.example", "client_id": "c",
                "credential": {"client_secret": {"file": "/x"}}
            }})),
            "identities.app.credential.oidc_federation: is not available in Envoy",
        ),
        (
            credential(json!({"federated_token_file": {
                "path": "/token", "token_proxy": {"url": "https://proxy.example"}
            }})),
            "identities.app.credential.federated_token_file.token_proxy: is not available in Envoy",
        ),
        (
            credential(json!({"certificate": {"name": "k"}})),
            "identities.app.credential.certificate.algorithm: is PS256, which Envoy",
        ),
        (
            credential(json!({"bound_certificate": {"name": "k", "mode": "with-assertion"}})),
            "identities.app.credential.bound_certificate.algorithm: is PS256, which Envoy",
        ),
        (
            credential(json!({"client_secret": {"value": "hunter2"}})),
            "identities.app.credential.client_secret.value: is an inline secret",
        ),
        (
            credential(json!({"client_assertion": {"value": "hunter2.a.b"}})),
            "identities.app.credential.client_assertion.value: is an inline secret",
        ),
        (
            credential(json!({"certificate": {"name": "k", "algorithm": "RS256"}})),
            "certificates.k: is missing, but identity `app` signs with it",
        ),
        (
            files_of_k(&json!({"certificate_file": "/v/k.p12", "password_file": "/v/p"})),
            "certificates.k.password_file: is not available in Envoy",
        ),
        (
            files_of_k(&json!({"certificate_file": "/v/k.p12", "password_env": "P"})),
            "certificates.k.password_env: is not available in Envoy",
        ),
        (
            files_of_k(
                &json!({"key_vault": {"url": "https://v.vault.azure.net", "certificate": "k"}}),
            ),
            "certificates.k.key_vault: is not available in Envoy",
        ),
        (
            files_of_k(&json!({"private_key_file": "/v/k.key"})),
            "certificates.k.private_key_file: is not available in Envoy",
        ),
        (
            files_of_k(&json!({"certificate_base64": "aHVudGVyMg=="})),
            "certificates.k.certificate_base64: is an inline private key, which Envoy shows in /config_dump",
        ),
        (
            registered_key(),
            "identities.app.credential.private_key_jwt: is not available in Envoy",
        ),
        (
            with("/identities/app/region", json!("westus2")),
            "identities.app.region: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm (`edgepass envoy-config --module full` is for that), or write the region's host",
        ),
        (
            with(
                "/identities/app/additional_parameters",
                json!({"fmi_path": "a"}),
            ),
            "identities.app.additional_parameters: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm",
        ),
        (
            with(
                "/identities/app/authority_host",
                json!("https://contoso.ciamlogin.com"),
            ),
            "identities.app.authority_host: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm",
        ),
        (
            another_server(json!({"issuer": "https://idp.example"})),
            "identities.app.issuer: is not available in Envoy; set token_endpoint",
        ),
        (
            another_server(
                json!({"token_endpoint": "https://idp.example/token", "resources": ["urn:a"]}),
            ),
            "identities.app.resources: is not in edgepass-envoy.wasm; load edgepass-envoy-full.wasm",
        ),
        (
            another_server(
                json!({"token_endpoint": "https://a.b2clogin.com/a/p/oauth2/v2.0/token"}),
            ),
            "identities.app.token_endpoint: is not available in Envoy; set token_endpoint, and name its host",
        ),
        (
            with("/identities/app/scopes", json!([])),
            "envoy.rules[0].scopes: there are none, neither here nor in identities.app.scopes",
        ),
        (
            with("/envoy/rules", json!([{"identity": "nobody"}])),
            "envoy.rules[0].identity: names no identity",
        ),
    ];
    for (document, expected) in &cases {
        // the command asks for this alone at first, and gets the same answer
        let config = load(document);
        let error = Requirements::of(&config, Module::Default).expect_err(expected);
        assert_eq!(error, refused(document));
    }
    each_begins(cases);
}

/// What the full module has: the other says where it is, and refuses the rest in the same words.
#[test]
fn what_the_full_module_can_do() {
    let mut ps256 = files_of_k(&json!({"certificate_file": "/v/k.pem"}));
    ps256["identities"]["app"]["credential"] = json!({"certificate": {"name": "k"}});
    let google = json!({"google_metadata": {}});
    let mut in_a_list = credential(json!([google, {"certificate": {"name": "k"}}]));
    in_a_list["certificates"] = ps256["certificates"].clone();
    for document in [
        &ps256,
        &credential(google),
        &credential(json!({"github_actions": {}})),
        &credential(json!({"azure_pipelines": {}})),
        &in_a_list,
        &with("/identities/app/region", json!("westus2")),
        &with(
            "/identities/app/authority_host",
            json!("https://contoso.ciamlogin.com"),
        ),
        &with(
            "/identities/app/additional_parameters",
            json!({"fmi_path": "a"}),
        ),
        &another_server(
            json!({"token_endpoint": "https://idp.example/token", "resources": ["urn:a"]}),
        ),
        &another_server(json!({
            "token_endpoint": "https://idp.example/token", "additional_parameters": {"audience": ["a", "b"]},
        })),
    ] {
        let config = load(document);
        let full = Requirements::of(&config, Module::Full);
        assert!(full.is_ok(), "{document}: {:?}", full.err());
        let error = refused(document);
        let text = format!("{error} {}", error.hint.as_deref().unwrap_or_default());
        assert!(text.contains("edgepass-envoy-full.wasm"), "{text}");
    }
    for credential in [
        json!({"assertion_source": {}}),
        json!({"aws_web_identity": {}}),
        json!({"spiffe": {}}),
        json!({"managed_identity_assertion": {"source": "cloud_shell"}}),
        json!({"federated_token_file": {
            "path": "/token", "token_proxy": {"url": "https://proxy.example"}
        }}),
    ] {
        let document = with("/identities/app/credential", credential);
        let config = load(&document);
        let error = Requirements::of(&config, Module::Full).expect_err("it is not in Envoy");
        assert_eq!(error, refused(&document));
        assert!(!error.to_string().contains("full"), "{error}");
    }
    for document in [
        another_server(json!({"issuer": "https://idp.example"})),
        with("/identities/app/client_capabilities", json!(["cp1"])),
        // the credential is none of Envoy's, whatever its parameters
        with(
            "/identities/app/credential",
            json!({"oidc_federation": {
                "token_endpoint": "https://idp.example/token", "client_id": "c", "scope": "s",
                "additional_parameters": {"audience": "a"},
                "credential": {"client_secret": {"file": "/x"}},
            }}),
        ),
    ] {
        let mut document = document;
        document["authority_hosts"] = json!(["idp.example"]);
        let error =
            Requirements::of(&load(&document), Module::Full).expect_err("it is not in Envoy");
        assert!(!error.to_string().contains("full"), "{error}");
    }
}

/// With a certificate of these files, which signs.
fn files_of_k(files: &Value) -> Value {
    let mut document = credential(json!({"certificate": {"name": "k", "algorithm": "RS256"}}));
    document["certificates"] = json!({ "k": files });
    document
}

/// With an identity of another server.
fn another_server(fields: Value) -> Value {
    let mut identity = json!({
        "client_id": "c", "scopes": ["api"], "credential": {"client_secret": {"file": "/x"}},
    });
    if let (Some(identity), Value::Object(fields)) = (identity.as_object_mut(), fields) {
        identity.extend(fields);
    }
    let mut document = with("/identities/app", identity);
    document["authority_hosts"] = json!(["idp.example"]);
    document
}

/// With a key that a server other than Entra ID knows by itself.
fn registered_key() -> Value {
    let mut document = credential(json!({
        "private_key_jwt": {"name": "k", "kid": "one", "algorithm": "RS256"},
    }));
    let identity = &mut document["identities"]["app"];
    for field in ["tenant_id", "authority_host"] {
        if let Some(fields) = identity.as_object_mut() {
            fields.remove(field);
        }
    }
    identity["token_endpoint"] = json!("https://idp.example/token");
    document["authority_hosts"] = json!(["idp.example"]);
    document["certificates"] =
        json!({"k": {"certificate_file": "/v/k.crt", "private_key_file": "/v/k.key"}});
    document
}

#[test]
fn what_is_missing_in_envoys_configuration() {
    let signing = |files: Value| {
        let mut document = with(
            "/identities/app/credential",
            json!({"certificate": {"name": "k", "algorithm": "RS256"}}),
        );
        document["certificates"] =
            json!({"k": {"certificate_file": "/v/k.crt", "private_key_file": "/w/k.key"}});
        document["envoy"]["files"] = files;
        document
    };
    let bound = json!({"bound_certificate": {"name": "k", "mode": "certificate-only"}});
    each_begins([
        (
            with("/envoy", Value::Null),
            "envoy: there is no such section",
        ),
        (
            with("/envoy/token_clusters", json!({"other.example": "idp"})),
            "envoy.token_clusters: names no cluster for login.microsoftonline.com, where identity `app`",
        ),
        (
            credential(bound),
            "envoy.token_clusters: names no cluster for mtlsauth.microsoft.com, where identity `app`",
        ),
        (
            with("/envoy/files", Value::Null),
            "envoy.files: is missing, but identity `app` reads a file",
        ),
        (
            signing(Value::Null),
            "envoy.files: is missing, but identity `app` reads a file",
        ),
        (
            signing(json!({"cluster": "f", "strip_prefix": "/v"})),
            "envoy.files.strip_prefix: is not the beginning of the path that identity `app` reads",
        ),
    ]);
    let settings =
        Settings::check(&load(&signing(json!({"cluster": "f"}))), Module::Default).unwrap();
    assert_eq!(settings.transport.signers.len(), 1);
}

#[test]
fn what_a_setting_may_not_be() {
    each_begins([
        (
            with("/envoy/files", json!({"cluster": ""})),
            "envoy.files.cluster: is not the name of a cluster",
        ),
        (
            with(
                "/envoy/files",
                json!({"cluster": "f", "add_prefix": "/a b"}),
            ),
            "envoy.files.add_prefix: does not begin with /",
        ),
        (
            with("/envoy/token_clusters/x.example", json!("a\nb")),
            "envoy.token_clusters.x.example: is not the name of a cluster",
        ),
        (
            with("/envoy/request_deadline_ms", json!(0)),
            "envoy.request_deadline_ms: is not between 1 and 60000",
        ),
        (
            with("/envoy/upstreams", json!([{"url": "a.example:80"}])),
            "envoy.upstreams: is for `edgepass envoy-config`",
        ),
        (
            with("/envoy/inbound_authorization", json!("keep")),
            "envoy.inbound_authorization: is neither",
        ),
        (
            with("/envoy/inbound_authorization", json!("keep-as:host")),
            "envoy.inbound_authorization: host has a meaning",
        ),
        (
            with("/envoy/rules", json!(vec![json!({}); 257])),
            "envoy.rules: has more than 256 rules",
        ),
        (
            with("/envoy/rules", json!([{}, {"header": "x y"}])),
            "envoy.rules[1].header: is not the name of a header",
        ),
        (
            with("/envoy/rules", json!([{"header": "X-Envoy-Retry-On"}])),
            "envoy.rules[0].header: x-envoy-retry-on has a meaning",
        ),
        (
            with("/envoy/rules", json!([{"format": "{token}{token}"}])),
            "envoy.rules[0].format: is not",
        ),
        (
            with("/envoy/rules", json!([{"match": {"host": "https://a"}}])),
            "envoy.rules[0].match.host: is neither",
        ),
        (
            with("/envoy/rules", json!([{"match": {"path_prefix": "x"}}])),
            "envoy.rules[0].match.path_prefix: does not begin",
        ),
        (
            with(
                "/envoy/rules",
                json!([{"match": {"path_prefix": "/a%2fb"}}]),
            ),
            "envoy.rules[0].match.path_prefix: has something in it that servers read in different ways",
        ),
        (
            with("/envoy/rules", json!([{"match": {"path_prefix": "/a?b="}}])),
            "envoy.rules[0].match.path_prefix: has a query or a fragment",
        ),
        (
            with("/envoy/rules", json!([{"match": {"path_prefix": "/v1/*"}}])),
            "envoy.rules[0].match.path_prefix: has a pattern or a placeholder, and is taken as it stands; write /v1:",
        ),
        (
            with("/envoy/rules", json!([{"scopes": ["a b"]}])),
            "envoy.rules[0].scopes: scope has a blank in it",
        ),
    ]);
}

/// TLS is the cluster's: who authenticates a connection with a certificate, and who with none or another, cannot share one.
#[test]
fn connections_with_and_without_a_certificate_do_not_meet() {
    let generic = |credential: Value| {
        json!({
            "token_endpoint": "https://idp.example/token",
            "client_id": "c",
            "scopes": ["s"],
            "credential": credential,
        })
    };
    let bound = |name: &str| {
        generic(json!({"bound_certificate": {"name": name, "mode": "certificate-only"}}))
    };
    let plain = generic(json!({"client_secret": {"file": "/secret"}}));
    let document = |a: &Value, b: &Value, clusters: Value| {
        json!({
            "authority_hosts": ["idp.example"],
            "identities": {"a": a, "b": b},
            "envoy": {
                "rules": [{"identity": "a"}, {"identity": "b"}],
                "token_clusters": clusters,
                "files": {"cluster": "f"},
            },
        })
    };
    let one = json!({"idp.example": "idp"});
    for (a, b, hint) in [
        (bound("k"), plain.clone(), "k@idp.example"),
        (plain.clone(), bound("k"), "k@idp.example"),
        (bound("k"), bound("l"), "l@idp.example"),
    ] {
        let error = refused(&document(&a, &b, one.clone()));
        let text = error.to_string();
        assert!(
            text.starts_with(
                "envoy.token_clusters.idp.example: is one cluster for the identities `a` and `b`"
            ),
            "{text}"
        );
        assert!(
            error.hint.as_deref().unwrap_or_default().contains(hint),
            "{error:?}"
        );
        let mut clusters = one.clone();
        clusters[hint] = json!("own");
        let settings =
            Settings::check(&load(&document(&a, &b, clusters.clone())), Module::Default).unwrap();
        let name = hint.split('@').next();
        let transport = &settings.transport;
        let cluster = |certificate| transport.token_cluster("idp.example", certificate).unwrap();
        assert_eq!(
            (cluster(name).as_str(), cluster(None).as_str()),
            ("own", "idp")
        );
        // two names of one cluster are one cluster
        clusters[hint] = json!("idp");
        refused(&document(&a, &b, clusters));
    }
    for (a, b) in [(bound("k"), bound("k")), (plain.clone(), plain)] {
        assert!(Settings::check(&load(&document(&a, &b, one.clone())), Module::Default).is_ok());
    }
}

/// The platform's own tokens need a cluster and nothing else.
#[test]
fn a_managed_identity_needs_the_cluster_of_the_metadata_service() {
    let document = |clusters: Value| {
        json!({
            "identities": {"app": {"scopes": ["api://one/.default"], "credential": {"managed_identity": {}}}},
            "envoy": {"token_clusters": clusters},
        })
    };
    let good = load(&document(json!({"169.254.169.254": "imds"})));
    let settings = Settings::check(&good, Module::Default).unwrap();
    assert!(settings.transport.files.is_none() && settings.transport.signers.is_empty());
    assert_eq!(settings.tokens.len(), 1);
    each_begins([(
        document(json!({"login.microsoftonline.com": "idp"})),
        "envoy.token_clusters: names no cluster for 169.254.169.254, where identity `app`",
    )]);
}

#[test]
fn a_token_is_asked_for_once_whatever_the_number_of_rules() {
    let settings = Settings::check(&load(&with(
        "/envoy/rules",
        json!([{"match": {"host": "a.example"}}, {"disabled": true}, {"scopes": ["api://two/.default"]}, {}]),
    )), Module::Default)
    .unwrap();
    let tokens: Vec<_> = settings.rules.iter().map(|rule| rule.token).collect();
    assert_eq!(tokens, [Some(0), None, Some(1), Some(0)]);
    assert_eq!(settings.tokens.len(), 2);
    assert_eq!(settings.inbound, Inbound::Strip);
    assert_eq!(settings.rules[0].before, "Bearer ");
}

#[test]
fn identities_of_no_rule_may_need_what_envoy_has_not() {
    let mut document = with("/default_identity", json!("app"));
    document["identities"]["other"] = document["identities"]["app"].clone();
    document["identities"]["other"]["credential"] = json!({"assertion_source": {}});
    let config = load(&document);
    let requirements = Requirements::of(&config, Module::Default).unwrap();
    assert_eq!(requirements.identities.len(), 1);
    assert_eq!(requirements.identities[0].identity.name, "app");
    assert!(Settings::check(&config, Module::Default).is_ok());
}
