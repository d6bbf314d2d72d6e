//! A token reaches the upstream.

use edgepass_envoy_tests::{Lab, Upstream, get, get_with};
use serde_json::json;

#[test]
fn a_token_reaches_the_upstream() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let envoy = lab.envoy(&setup, 2).unwrap();

    let answer = get(envoy.port(), "/hello").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let answer = get_with(envoy.port(), "/again", &[("authorization", "Bearer caller")]).unwrap();
    assert_eq!(answer.status, 200);

    let seen = upstream.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        let token = request.bearer().expect("a token");
        assert_eq!(token.split('.').count(), 3, "a JWT");
        assert_eq!(Some(token), seen[0].bearer());
        let values = request.headers.iter().filter(|(name, _)| name == "authorization");
        assert_eq!(values.count(), 1, "the caller's own is gone");
    }
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("federated"));
    assert_eq!(
        asked[0].field("client_assertion"),
        Some(lab.workload_token().unwrap())
    );
    println!("ready after {:?}", envoy.started_in());
}
