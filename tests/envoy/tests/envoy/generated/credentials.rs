//! Each credential that Envoy can serve gets tokens with what is printed for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use edgepass_envoy_tests::{Envoy, Lab, Upstream, get, until, validate};
use serde_json::{Value, json};

use super::{envoy_config, generated, plain, signing, start, text, with_secret};

#[test]
fn a_workload_token_becomes_the_request_s_token() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, None);
    let upstream = Upstream::start().unwrap();
    let envoy = start(&lab, &upstream, &plain(&lab), &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    assert!(upstream.seen()[0].bearer().is_some());

    let socket = envoy.dir().join("token_files.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    lab.emulator.rotate_token().unwrap();
    let rotated = lab.workload_token().unwrap();
    until("the new file is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        let asked = lab.emulator.token_requests();
        asked[asked.len() - 1].field("client_assertion").as_ref() == Some(&rotated)
    })
    .unwrap();
}

#[test]
fn a_secret_in_a_file_becomes_the_request_s_token() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let config = with_secret(&lab, &lab.dir().join("client.secret"));
    let envoy = start(&lab, &upstream, &config, &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(
        asked[0].field("client_secret").as_deref(),
        Some(lab.emulator.client_secret())
    );
    let shown = envoy.admin("/config_dump?include_eds").unwrap();
    assert!(shown.contains("client.secret"));
    assert!(!shown.contains(lab.emulator.client_secret()));
}

#[test]
fn two_identities_read_two_folders() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["default_identity"] = json!("app");
    let secret = with_secret(&lab, &lab.dir().join("client.secret"));
    config["identities"]["partner"] = secret["identities"]["app"].clone();
    config["identities"]["partner"]["scopes"] = json!(["https://graph.microsoft.com/.default"]);
    // for another driver: no rule uses it, so nobody minds that Envoy cannot do it
    config["identities"]["other"] = config["identities"]["app"].clone();
    config["identities"]["other"]["credential"] = json!({"assertion_source": {}});
    config["envoy"] = json!({"rules": [
        {"match": {"path_prefix": "/partner"}, "identity": "partner"},
        {"match": {"path_prefix": "/open"}, "disabled": true},
        {},
    ]});
    let envoy = start(&lab, &upstream, &config, &[]);
    for path in ["/", "/partner/x", "/open"] {
        assert_eq!(get(envoy.port(), path).unwrap().status, 200, "{path}");
    }
    let tokens: Vec<_> = upstream
        .seen()
        .iter()
        .map(|seen| seen.bearer().map(str::to_owned))
        .collect();
    assert!(tokens[0].is_some() && tokens[1].is_some() && tokens[0] != tokens[1]);
    assert_eq!(tokens[2], None);
    let mut asked: Vec<_> = lab
        .emulator
        .token_requests()
        .iter()
        .map(|request| request.field("client_secret").is_some())
        .collect();
    asked.sort_unstable();
    assert_eq!(asked, [false, true], "one each");
}

#[test]
fn a_bound_certificate_is_the_cluster_s_and_rotates() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, None);
    let upstream = Upstream::start().unwrap();
    let port = lab.emulator.port();
    // the folder of the emulator that is swapped as a whole
    let volume = lab.dir().join("identity");
    let mut config = plain(&lab);
    config["authority_hosts"] = json!([
        format!("login.localhost:{port}"),
        format!("mtlsauth.localhost:{port}")
    ]);
    config["identities"]["app"]["authority_host"] = json!(lab.emulator.login_authority());
    config["identities"]["app"]["credential"] =
        json!({"bound_certificate": {"name": "envoy", "mode": "certificate-only"}});
    config["certificates"]["envoy"] = json!({
        "certificate_file": volume.join("client.pem"),
        "private_key_file": volume.join("client.key"),
    });
    let write = |dir: &Path| {
        let folder = dir.to_str().unwrap();
        let secret = envoy_config(dir, &config, &["--certificate", "envoy"], &[]);
        fs::write(dir.join("envoy.yaml.new"), text(&secret)).unwrap();
        fs::create_dir_all(dir.join("secrets")).unwrap();
        fs::rename(dir.join("envoy.yaml.new"), dir.join("secrets/envoy.yaml")).unwrap();
        let secrets = format!("{folder}/secrets");
        let more = ["--secrets-dir", secrets.as_str()];
        generated(&lab, upstream.port(), dir, &config, &more)
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("tls-certificate"));
    let before = asked[0].client_certificate.clone();
    assert!(before.is_some());

    let rotated = lab.emulator.rotate_certificate().unwrap();
    until("the new one is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        let asked = lab.emulator.token_requests();
        asked[asked.len() - 1].client_certificate.as_ref() == Some(&rotated)
    })
    .unwrap();
    assert_ne!(before, Some(rotated));
}

#[test]
fn a_key_in_a_file_signs() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let envoy = start(&lab, &upstream, &signing(&lab), &[]);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].field("client_assertion").is_some());
    assert_eq!(asked[0].client_certificate, None);
    let shown = envoy.admin("/config_dump?include_eds").unwrap();
    assert!(shown.contains("client.key") && !shown.contains("PRIVATE KEY"));
}

/// Where two identities ask one server, each connection shows the certificate of its own identity, or none.
#[test]
fn who_has_no_certificate_shows_nobody_else_s() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let host = lab.host();
    let volume = lab.dir().join("identity");
    let generic = |credential: Value| {
        json!({
            "token_endpoint": format!("https://{host}/{}/oauth2/v2.0/token", lab.emulator.tenant()),
            "client_id": lab.emulator.client_id(),
            "scopes": ["api://edgepass-demo/.default"],
            "credential": credential,
        })
    };
    let bound = json!({"bound_certificate": {
        "name": "app", "mode": "with-assertion", "algorithm": "RS256"}});
    let secret = json!({"client_secret": {"file": lab.dir().join("client.secret")}});
    let config = json!({
        "authority_hosts": [host],
        "identities": {"bound": generic(bound), "plain": generic(secret)},
        "certificates": {"app": {
            "certificate_file": volume.join("client.pem"),
            "private_key_file": volume.join("client.key"),
        }},
        "envoy": {"rules": [
            {"match": {"path_prefix": "/bound"}, "identity": "bound"},
            {"identity": "plain"},
        ]},
    });
    let write = |dir: &Path| {
        let secret = envoy_config(dir, &config, &["--certificate", "app"], &[]);
        fs::write(dir.join("app.yaml"), text(&secret)).unwrap();
        let more = ["--secrets-dir", dir.to_str().unwrap()];
        generated(&lab, upstream.port(), dir, &config, &more)
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    until("both have asked", || {
        lab.emulator.token_requests().len() > 1
    })
    .unwrap();
    for asked in lab.emulator.token_requests() {
        let secret = asked.field("client_secret");
        let shown = asked.client_certificate.as_ref();
        assert_eq!(secret.is_none(), shown.is_some(), "{asked:?}");
    }
    assert_eq!(get(envoy.port(), "/bound").unwrap().status, 200);
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
}

/// A machine's own identity: no file, no certificate, and the only cluster without TLS.
#[test]
fn a_managed_identity_gets_its_token_from_the_metadata_service() {
    let lab = Lab::start_with_metadata().unwrap();
    let upstream = Upstream::start().unwrap();
    let config = json!({"identities": {"app": {
        "scopes": ["https://graph.microsoft.com/.default"],
        "credential": {"managed_identity": {}},
    }}});
    // the address is the same on every machine, and on none of ours
    let there = "address: \"169.254.169.254\"\n                port_value: 80\n";
    let authority = lab.emulator.metadata_authority().unwrap();
    let (_, port) = authority.rsplit_once(':').unwrap();
    let here = format!("address: \"127.0.0.1\"\n                port_value: {port}\n");
    let write = |dir: &Path| {
        let printed = generated(&lab, upstream.port(), dir, &config, &[]);
        assert!(printed.contains(there), "{printed}");
        assert!(!printed.contains("token_files") && !printed.contains("tls"));
        printed.replace(there, &here)
    };
    let (good, said) = validate(write).unwrap();
    assert!(good, "{said}");
    let envoy = Envoy::start(2, write).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    assert!(upstream.seen()[0].bearer().is_some());
    let asked = lab.emulator.metadata_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].status, Some(200));
    assert!(lab.emulator.token_requests().is_empty());
}
