//! What the documentation shows is what works.

use std::fs;
use std::path::Path;

use edgepass_envoy_tests::{Envoy, Lab, Upstream, filter_path, get, validate};

const PAGE: &str = include_str!("../../../../docs/envoy.md");

/// The first listing, with the names of the test in place of the example's.
fn configuration(lab: &Lab, upstream: u16, dir: &Path) -> String {
    let (_, rest) = PAGE.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let mut yaml = yaml.to_owned();
    let mut replace = |from: &str, to: &str| {
        assert!(yaml.contains(from), "the page does not say {from}");
        yaml = yaml.replace(from, to);
    };
    let token_dir = lab.dir().join("token");
    let token_port = lab.emulator.port();
    replace("port_value: 8080", "port_value: 0");
    replace(
        "{address: upstream.example, port_value: 80}",
        &format!("{{address: 127.0.0.1, port_value: {upstream}}}"),
    );
    replace(
        "{address: login.microsoftonline.com, port_value: 443}",
        &format!("{{address: localhost, port_value: {token_port}}}"),
    );
    replace(
        "\"login.microsoftonline.com\": \"entra\"",
        &format!("\"{}\": \"entra\"", lab.host()),
    );
    replace("login.microsoftonline.com", "localhost");
    replace(
        "\"identities\": {",
        &format!(
            "\"authority_hosts\": [\"{}\"], \"identities\": {{",
            lab.host()
        ),
    );
    replace(
        "\"tenant_id\": \"11111111-2222-3333-4444-555555555555\"",
        &format!(
            "\"authority_host\": \"{}\", \"tenant_id\": \"{}\"",
            lab.emulator.authority(),
            lab.emulator.tenant()
        ),
    );
    replace(
        "66666666-7777-8888-9999-000000000000",
        lab.emulator.client_id(),
    );
    replace("/var/run/secrets/azure/tokens", token_dir.to_str().unwrap());
    replace("/run/envoy", dir.to_str().unwrap());
    replace(
        "/etc/ssl/certs/ca-certificates.crt",
        lab.dir().join("ca.pem").to_str().unwrap(),
    );
    let wasm = fs::canonicalize(filter_path().unwrap()).unwrap();
    replace("/etc/envoy/edgepass-envoy.wasm", wasm.to_str().unwrap());
    format!("admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}\n{yaml}")
}

#[test]
fn the_documented_configuration_works() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let (good, text) = validate(|dir| configuration(&lab, upstream.port(), dir)).unwrap();
    assert!(good, "{text}");
    let envoy = Envoy::start(2, |dir| configuration(&lab, upstream.port(), dir)).unwrap();
    assert_eq!(
        get(envoy.port(), "/").unwrap().status,
        200,
        "{}",
        envoy.log()
    );
    assert!(upstream.seen()[0].bearer().is_some());
    assert_eq!(envoy.stat("edgepass_refreshes_succeeded_total").unwrap(), 1);
}

#[test]
fn every_metric_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filters/envoy/src/metrics.rs");
    let text = fs::read_to_string(path).unwrap();
    let names: Vec<&str> = text
        .split('"')
        .filter(|part| part.starts_with("edgepass_"))
        .filter_map(|name| name.split(['{', '.']).next())
        .collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        assert!(PAGE.contains(name), "docs/envoy.md does not name {name}");
    }
}
