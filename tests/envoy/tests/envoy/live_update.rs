//! The plugin's configuration changes while Envoy runs: it comes from a file by ECDS.

use std::fs;
use std::path::Path;

use edgepass_emulator::App;
use edgepass_envoy_tests::{Envoy, Lab, Setup, Upstream, filter_path, get, until};
use serde_json::json;

/// Puts another configuration in the place of the one that Envoy has found.
fn replace(setup: &Setup, content: &str) {
    let file = setup.discovery.as_ref().unwrap();
    let staged = file.with_extension("new");
    fs::write(&staged, content).unwrap();
    fs::rename(staged, file).unwrap();
}

fn wasm() -> std::path::PathBuf {
    fs::canonicalize(filter_path().unwrap()).unwrap()
}

/// How many updates Envoy has seen, and how many of them it has refused.
fn updates(envoy: &Envoy) -> (u64, u64) {
    let stat = |name| {
        envoy
            .stat(&format!(
                "extension_config_discovery.http_filter.edgepass.{name}"
            ))
            .unwrap()
    };
    (stat("config_reload"), stat("config_fail"))
}

fn discovered(lab: &Lab, upstream: &Upstream, dir: &Path) -> Setup {
    let mut setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    setup.discovery = Some(dir.join("filter.json"));
    fs::write(dir.join("filter.json"), setup.discovered(&wasm())).unwrap();
    setup
}

#[test]
fn an_update_keeps_the_token_and_a_bad_one_changes_nothing() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let folder = lab.dir().join("ecds");
    fs::create_dir(&folder).unwrap();
    let mut setup = discovered(&lab, &upstream, &folder);
    let envoy = lab.envoy(&setup, 2).unwrap();
    let everywhere = |n: usize| {
        for _ in 0..n {
            let answer = get(envoy.port(), "/").unwrap();
            assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
        }
    };
    everywhere(10);
    let (taken, refused) = updates(&envoy);
    assert_eq!(refused, 0);
    let token = upstream.seen()[0].bearer().unwrap().to_owned();

    // the same identity, another header
    let plugin = lab.plugin(json!({"rules": [{"header": "x-token", "format": "{token}"}]}));
    setup.plugin = plugin.to_string();
    replace(&setup, &setup.discovered(&wasm()));
    until("the update is taken", || updates(&envoy).0 > taken).unwrap();
    until("it has reached the workers", || {
        everywhere(10);
        let seen = upstream.seen();
        seen[seen.len() - 10..]
            .iter()
            .all(|request| request.header("x-token") == Some(token.as_str()))
    })
    .unwrap();
    assert_eq!(lab.emulator.token_requests().len(), 1, "the token was kept");

    // refused by the filter, and by Envoy itself
    let good = setup.plugin.clone();
    setup.plugin = lab.plugin(json!({"request_deadline_ms": 0})).to_string();
    for (n, bad) in [setup.discovered(&wasm()), "{".to_owned()]
        .iter()
        .enumerate()
    {
        let (_, refused) = updates(&envoy);
        replace(&setup, bad);
        if n == 0 {
            until("it is refused", || updates(&envoy).1 > refused).unwrap();
            envoy
                .until_logged("edgepass: envoy.request_deadline_ms: is not between")
                .unwrap();
        }
        everywhere(10);
        let seen = upstream.seen();
        for request in &seen[seen.len() - 10..] {
            assert_eq!(request.header("x-token"), Some(token.as_str()));
        }
    }
    assert_eq!(lab.emulator.token_requests().len(), 1);

    // and it is still open for a good one
    setup.plugin = good.replace("x-token", "x-other-token");
    replace(&setup, &setup.discovered(&wasm()));
    until("it is used", || {
        everywhere(1);
        let seen = upstream.seen();
        seen[seen.len() - 1].header("x-other-token") == Some(token.as_str())
    })
    .unwrap();
    assert_eq!(lab.emulator.token_requests().len(), 1);
}

#[test]
fn another_identity_gets_a_token_of_its_own() {
    let lab = Lab::start().unwrap();
    let other = "0a1b2c3d-0000-4000-8000-000000000001";
    let workload = &lab
        .emulator
        .app(lab.emulator.client_id())
        .unwrap()
        .federated_credentials[0];
    lab.emulator.register_app(App::new(other).federated(
        &workload.issuer,
        &workload.subject,
        &workload.audience,
    ));
    let upstream = Upstream::start().unwrap();
    let folder = lab.dir().join("ecds");
    fs::create_dir(&folder).unwrap();
    let mut setup = discovered(&lab, &upstream, &folder);
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let first = upstream.seen()[0].bearer().unwrap().to_owned();

    setup.plugin = setup.plugin.replace(lab.emulator.client_id(), other);
    replace(&setup, &setup.discovered(&wasm()));
    // so many that each worker is asked: one may hear of it later than the other
    until("the other's token is used", || {
        for _ in 0..20 {
            assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        }
        let seen = upstream.seen();
        let last = seen[seen.len() - 1].bearer();
        last != Some(&first)
            && seen[seen.len() - 20..]
                .iter()
                .all(|request| request.bearer() == last)
    })
    .unwrap();
    let asked: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("client_id").unwrap())
        .collect();
    assert_eq!(asked, [lab.emulator.client_id(), other]);
}
