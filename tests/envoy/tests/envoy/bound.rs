//! The certificate that authenticates the connection is Envoy's.

use edgepass_envoy_tests::{ClientTls, Lab, Upstream, get};
use serde_json::json;

#[test]
fn the_token_clusters_certificate_is_the_proof() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let port = lab.emulator.port();
    let mut plugin = lab.plugin(json!({}));
    plugin["authority_hosts"] = json!([
        format!("login.localhost:{port}"),
        format!("mtlsauth.localhost:{port}")
    ]);
    plugin["identities"]["app"]["authority_host"] = json!(lab.emulator.login_authority());
    plugin["identities"]["app"]["credential"] =
        json!({"bound_certificate": {"name": "envoy", "mode": "certificate-only"}});
    plugin["envoy"]["token_clusters"] = json!({format!("mtlsauth.localhost:{port}"): "entra"});
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.token_name = "mtlsauth.localhost".to_owned();
    setup.certificate = Some(ClientTls::Files(
        lab.dir().join("client.pem"),
        lab.dir().join("client.key"),
    ));
    let envoy = lab.envoy(&setup, 2).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("tls-certificate"));
    assert!(asked[0].client_certificate.is_some());
    assert_eq!(asked[0].field("client_assertion"), None);
}
