//! The upstream verifies what it gets: Envoy's own `jwt_authn`, with the keys of the token server.

use edgepass_envoy_tests::{Lab, Upstream, cluster, get, get_with, http_listener, tls_context};
use serde_json::json;

#[test]
fn a_verifying_upstream_takes_the_token_and_no_request_without_it() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"rules": [
        {"match": {"path_prefix": "/without"}, "disabled": true},
        {"match": {"path_prefix": "/vault"}, "scopes": ["https://vault.azure.net/.default"]},
        {},
    ]}));
    let mut setup = lab.setup(&plugin, upstream.port());
    let (tenant, authority) = (lab.emulator.tenant(), lab.emulator.authority());

    // the filter's upstream is a listener that verifies, and has the real upstream behind it
    let socket = json!({"pipe": {"path": lab.dir().join("verify.sock")}});
    let verifier = json!({"name": "jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"entra": {
            "issuer": format!("{authority}/{tenant}/"),
            "audiences": ["api://edgepass-demo"],
            "remote_jwks": {"http_uri": {
                "uri": format!("{authority}/{tenant}/discovery/v2.0/keys"),
                "cluster": "keys", "timeout": "5s"}},
            "forward": true}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "entra"}}],
    }});
    let host = json!({"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]});
    setup.listeners = vec![http_listener("verifier", &socket, &host, vec![verifier])];
    let mut keys = cluster(
        "keys",
        &json!({"socket_address": {"address": "127.0.0.1", "port_value": lab.emulator.port()}}),
    );
    keys["transport_socket"] = tls_context("localhost", &setup.ca_file);
    setup.clusters = vec![cluster("verifier", &socket), keys];
    setup.routes = vec![json!({"match": {"prefix": "/"}, "route": {"cluster": "verifier"}})];
    let envoy = lab.envoy(&setup, 2).unwrap();

    for n in 0..10 {
        let answer = get(envoy.port(), &format!("/{n}")).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    }
    let answer = get(envoy.port(), "/without").unwrap();
    assert_eq!(answer.status, 401, "{answer:?}");
    let answer = get(envoy.port(), "/vault").unwrap();
    assert_eq!(answer.status, 403, "for another audience: {answer:?}");

    // the same token with another signature
    let good = upstream.seen()[0]
        .header("authorization")
        .unwrap()
        .to_owned();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let answer =
        |value: &str| get_with(envoy.port(), "/without", &[("authorization", value)]).unwrap();
    assert_eq!(answer(&good).status, 200);
    assert_eq!(answer(&forged).status, 401);
    assert_eq!(upstream.seen().len(), 11, "nothing else has passed");
}
