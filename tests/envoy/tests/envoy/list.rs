//! Several credentials of one identity.

use edgepass_envoy_tests::{Lab, Upstream, get, until};
use serde_json::json;

#[test]
fn a_credential_that_is_not_there_gives_way_and_is_said_once() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(4, Some(1));
    let upstream = Upstream::start().unwrap();
    let mut plugin = lab.plugin(json!({}));
    let absent = lab.token_file().with_file_name("absent");
    plugin["identities"]["app"]["credential"] = json!([
        { "client_secret": { "file": absent } },
        { "federated_token_file": { "path": lab.token_file() } },
    ]);
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    until("tokens come and are renewed", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        lab.emulator.token_requests().len() >= 4
    })
    .unwrap();
    for request in lab.emulator.token_requests() {
        assert_eq!(request.method_of_proof.as_deref(), Some("federated"));
        assert_eq!(request.status, Some(200));
    }
    let log = envoy.log();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("is left aside"))
        .collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].contains("client_secret `credential[0]`"),
        "{said:?}"
    );
}
