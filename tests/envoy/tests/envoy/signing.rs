//! An assertion that Envoy's own function signs, with a key that comes through the listener of the token files.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass_emulator::{CertificateOptions, JournalEntry};
use edgepass_envoy_tests::{Answer, ClientTls, Lab, Setup, Upstream, get, until};
use serde_json::{Value, json};

use crate::bound::bound;
use crate::faults::class_is;
use crate::secrets::assert_hidden;

/// A plugin whose identity signs with the emulator's client certificate.
pub(crate) fn signing(lab: &Lab, upstream: &Upstream, credential: &Value, one_file: bool) -> Setup {
    let folder = lab.dir().join("identity");
    let (certificate, key) = (folder.join("client.pem"), folder.join("client.key"));
    let mut plugin = lab.plugin(json!({}));
    plugin["identities"]["app"]["credential"] = credential.clone();
    plugin["certificates"] = if one_file {
        json!({"client": {"certificate_file": certificate}})
    } else {
        json!({"client": {"certificate_file": certificate, "private_key_file": key}})
    };
    plugin["envoy"]["files"] = json!({"cluster": "token_files"});
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.more_files = [certificate, key]
        .map(|file| (file.to_str().unwrap().to_owned(), file))
        .into();
    setup
}

fn start(lab: &Lab, setup: &Setup) -> (edgepass_envoy_tests::Envoy, Answer) {
    let envoy = lab.envoy(setup, 2).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    (envoy, answer)
}

#[test]
fn a_signed_assertion_is_the_proof_and_a_renewed_certificate_the_next() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, Some(2));
    let upstream = Upstream::start().unwrap();
    let credential =
        json!({"certificate": {"name": "client", "algorithm": "RS256", "send_x5c": true}});
    let setup = signing(&lab, &upstream, &credential, false);
    let key = fs::read_to_string(lab.dir().join("identity/client.key")).unwrap();
    let before = certificate(&lab);
    let (envoy, answer) = start(&lab, &setup);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(presented(&asked[0]), before);

    lab.emulator.rotate_certificate().unwrap();
    let after = certificate(&lab);
    assert_ne!(before, after);
    until("the next one is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        let asked = lab.emulator.token_requests();
        presented(&asked[asked.len() - 1]) == after
    })
    .unwrap();
    let stat = "edgepass_refreshes_succeeded_total";
    envoy.until_stat(stat, |count| count > 1).unwrap();
    let secrets: Vec<String> = key
        .lines()
        .filter(|line| line.len() > 60)
        .map(str::to_owned)
        .collect();
    assert_hidden(&envoy, &[answer], &secrets);
}

#[test]
fn certificate_and_key_may_be_in_one_file() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let folder = lab.dir().join("identity");
    let key = fs::read_to_string(folder.join("client.key")).unwrap();
    let both = fs::read_to_string(folder.join("client.pem")).unwrap() + &key;
    fs::write(folder.join("client.pem"), both).unwrap();
    let credential =
        json!({"certificate": {"name": "client", "algorithm": "RS256", "send_x5c": true}});
    let (envoy, answer) = start(&lab, &signing(&lab, &upstream, &credential, true));
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
}

#[test]
fn the_certificate_of_the_key_is_the_one_that_is_named() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let file = lab.dir().join("identity/client.pem");
    let own = fs::read_to_string(&file).unwrap();
    let key = lab.dir().join("identity/client.key");
    let own_key = fs::read_to_string(&key).unwrap();
    let options = CertificateOptions {
        issued_by_ca: true,
        ..CertificateOptions::default()
    };
    let pair = lab.emulator.create_client_certificate("issued", &options);
    let pair = pair.unwrap();
    let plugin = lab.plugin(json!({}));
    let client = plugin["identities"]["app"]["client_id"].as_str().unwrap();
    lab.emulator.add_certificate(client, &pair).unwrap();
    let chain = &pair.chain;
    assert!(chain.len() > 1, "what signed it is there");
    fs::write(&key, &pair.private_key_pem).unwrap();
    let pem = |der: &Vec<u8>| {
        let body = STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    // the authority in front, as some files have it
    fs::write(&file, chain.iter().rev().map(pem).collect::<String>()).unwrap();
    let credential =
        json!({"certificate": {"name": "client", "algorithm": "RS256", "send_x5c": true}});
    let setup = signing(&lab, &upstream, &credential, false);
    let (envoy, answer) = start(&lab, &setup);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(presented(&asked[0]), STANDARD.encode(&chain[0]));
    drop(envoy);

    // and where it is not there, nothing is signed
    fs::write(&file, own).unwrap();
    assert_ne!(own_key, pair.private_key_pem);
    let asked = lab.emulator.token_requests().len();
    let envoy = lab.envoy(&setup, 2).unwrap();
    class_is(&envoy, "credential-unavailable");
    envoy
        .until_logged("the private key does not belong to the certificate")
        .unwrap();
    assert_eq!(lab.emulator.token_requests().len(), asked);
}

#[test]
fn on_a_bound_connection_the_assertion_is_of_the_same_certificate() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let folder = lab.dir().join("identity");
    let (chain, key) = (folder.join("client.pem"), folder.join("client.key"));
    let files = ClientTls::Files(chain.clone(), key.clone());
    let mut setup = bound(&lab, &upstream, files);
    let mut plugin: Value = serde_json::from_str(&setup.plugin).unwrap();
    plugin["identities"]["app"]["credential"] = json!({"bound_certificate": {
        "name": "client", "mode": "with-assertion", "algorithm": "RS256"}});
    plugin["certificates"] =
        json!({"client": {"certificate_file": chain, "private_key_file": key}});
    plugin["envoy"]["files"] = json!({"cluster": "token_files"});
    setup.plugin = plugin.to_string();
    setup.more_files = [chain, key]
        .map(|file| (file.to_str().unwrap().to_owned(), file))
        .into();
    let (envoy, answer) = start(&lab, &setup);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].client_certificate.is_some());
    assert_eq!(presented(&asked[0]), certificate(&lab));
}

#[test]
fn what_cannot_sign_is_said() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let credential = json!({"certificate": {"name": "client", "algorithm": "RS256"}});
    let mut setup = signing(&lab, &upstream, &credential, false);
    let mut plugin: Value = serde_json::from_str(&setup.plugin).unwrap();
    plugin["envoy"]["request_deadline_ms"] = json!(200);
    setup.plugin = plugin.to_string();
    let key = lab.dir().join("identity/client.key");
    for (content, words) in [
        ("nothing of the kind", "has a private key in PEM"),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "Envoy cannot sign with its private key",
        ),
    ] {
        fs::write(&key, content).unwrap();
        let envoy = lab.envoy(&setup, 2).unwrap();
        class_is(&envoy, "credential-unavailable");
        envoy.until_logged(words).unwrap();
        assert!(lab.emulator.token_requests().is_empty());
    }
}

/// The certificate that is in the folder, as `x5c` has it.
fn certificate(lab: &Lab) -> String {
    let pem = fs::read_to_string(lab.dir().join("identity/client.pem")).unwrap();
    let lines = pem.lines().skip(1);
    lines.take_while(|line| !line.starts_with('-')).collect()
}

/// The certificate that an assertion was signed with.
fn presented(request: &JournalEntry) -> String {
    let assertion = request.field("client_assertion").unwrap();
    let (header, _) = assertion.split_once('.').unwrap();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], "RS256");
    header["x5c"][0].as_str().unwrap().to_owned()
}
