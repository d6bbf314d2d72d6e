//! The certificate that authenticates the connection is Envoy's.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use edgepass_envoy_tests::{ClientTls, Lab, Setup, Upstream, get, until};
use serde_json::{Value, json};

use crate::secrets::assert_hidden;

/// A plugin with a bound certificate, and a token cluster with that certificate.
pub(crate) fn bound(lab: &Lab, upstream: &Upstream, certificate: ClientTls) -> Setup {
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
    setup.certificate = Some(certificate);
    setup
}

/// An SDS secret: certificate and key out of a folder that is swapped as a whole.
pub(crate) fn sds_secret(name: &str, volume: &Path) -> Value {
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name,
        "tls_certificate": {
            "certificate_chain": {"filename": volume.join("client.pem")},
            "private_key": {"filename": volume.join("client.key")},
            "watched_directory": {"path": volume}}}]})
}

#[test]
fn the_token_clusters_certificate_is_the_proof() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let files = ClientTls::Files(lab.dir().join("client.pem"), lab.dir().join("client.key"));
    let envoy = lab.envoy(&bound(&lab, &upstream, files), 2).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method_of_proof.as_deref(), Some("tls-certificate"));
    assert!(asked[0].client_certificate.is_some());
    assert_eq!(asked[0].field("client_assertion"), None);
}

#[test]
fn a_certificate_rotated_by_sds_is_the_next_proof() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(8, Some(2));
    let upstream = Upstream::start().unwrap();
    let sds = lab.dir().join("sds.yaml");
    let volume = lab.dir().join("identity");
    let secret = sds_secret("client", &volume);
    fs::write(&sds, secret.to_string()).unwrap();
    let setup = bound(&lab, &upstream, ClientTls::Sds("client", sds));
    let envoy = lab.envoy(&setup, 2).unwrap();
    assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
    let before = lab.emulator.client_certificate().thumbprint.clone();

    let done = AtomicBool::new(false);
    let mut after = String::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let answer = get(envoy.port(), "/").unwrap();
                assert_eq!(answer.status, 200, "no request fails meanwhile");
                thread::sleep(Duration::from_millis(20));
            }
        });
        after = lab.emulator.rotate_certificate().unwrap();
        let seen = until("the new certificate is seen", || {
            let asked = lab.emulator.token_requests();
            asked[asked.len() - 1].client_certificate.as_ref() == Some(&after)
        });
        done.store(true, Ordering::Relaxed);
        seen.unwrap();
    });
    assert_ne!(before, after);
    let asked = lab.emulator.token_requests();
    let shown: Vec<_> = asked
        .iter()
        .map(|request| request.client_certificate.clone().unwrap())
        .collect();
    let swapped = shown.iter().position(|shown| *shown == after).unwrap();
    assert!(swapped > 0 && shown[..swapped].iter().all(|shown| *shown == before));
    assert!(shown[swapped..].iter().all(|shown| *shown == after));
    for request in &asked {
        assert_eq!(request.method_of_proof.as_deref(), Some("tls-certificate"));
        assert_eq!(request.status, Some(200));
    }
    let key = fs::read_to_string(volume.join("client.key")).unwrap();
    let key: Vec<String> = key
        .lines()
        .filter(|line| !line.starts_with('-') && line.len() > 32)
        .map(str::to_owned)
        .collect();
    assert_hidden(&envoy, &[get(envoy.port(), "/").unwrap()], &key);
}
