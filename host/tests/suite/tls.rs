//! Why a handshake failed reaches whoever asks for a token: servers with certificates of every wrong kind.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use edgepass::{ErrorClass, Provider};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;

const NAME: &str = "login.localhost";

/// What answers on a port.
enum Server {
    Tls(Arc<ServerConfig>),
    /// These bytes, whatever was asked.
    Bytes(&'static [u8]),
}

/// A server with that certificate.
fn with(certificate: CertificateDer<'static>, key: &KeyPair) -> Server {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Server::Tls(Arc::new(config))
}

/// A certificate of that authority, changed in one way.
fn signed_by(
    ca: &CertifiedIssuer<'static, KeyPair>,
    change: impl FnOnce(&mut CertificateParams),
) -> Server {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    change(&mut params);
    with(params.signed_by(&key, ca).unwrap().der().clone(), &key)
}

/// A certificate that signed itself, and its PEM.
fn self_signed(is_ca: IsCa) -> (Server, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([NAME.to_owned()]).unwrap();
    params.is_ca = is_ca;
    let certificate = params.self_signed(&key).unwrap();
    (with(certificate.der().clone(), &key), certificate.pem())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl Server {
    /// Starts it, and gives its port.
    fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                self.answer(&mut stream);
            }
        });
        port
    }

    fn answer(&self, stream: &mut TcpStream) {
        match self {
            Self::Tls(config) => {
                let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
                // that it fails is what these tests are about
                _ = connection.complete_io(stream);
            }
            Self::Bytes(bytes) => {
                _ = stream.read(&mut [0; 4096]);
                _ = stream.write_all(bytes);
            }
        }
    }
}

/// What somebody is told who asks for a token there and trusts that authority.
async fn told(lab: &Lab, server: Server, trusted: &str) -> (ErrorClass, String) {
    let authority = format!("{NAME}:{}", server.start());
    let config = json!({"authority_hosts": [authority], "identities": {"app": {
        "token_endpoint": format!("https://{authority}/token"), "client_id": "c",
        "credential": {"client_secret": {"value": "s3cret"}},
    }}});
    let provider = Provider::builder()
        .config_json(config.to_string())
        .ca_file(lab.write("authority.pem", trusted))
        .build()
        .await
        .unwrap();
    let error = provider.get_token(&graph()).await.unwrap_err();
    let hint = error.detail().hint.clone().unwrap_or_default();
    (error.class(), format!("{error}; {hint}"))
}

#[tokio::test]
async fn the_reason_of_a_failed_handshake_reaches_the_person() {
    let lab = Lab::new();
    let ca = authority();
    let (unknown, _) = self_signed(IsCa::NoCa);
    let (as_authority, its_pem) = self_signed(IsCa::Ca(BasicConstraints::Unconstrained));
    let (trusted, trusted_pem) = self_signed(IsCa::NoCa);
    let cases = [
        (
            "expired",
            signed_by(&ca, |params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            }),
            ca.pem(),
            ["outside its validity: it expired", "clock of this machine"],
        ),
        (
            "not valid yet",
            signed_by(&ca, |params| params.not_before = date_time_ymd(2090, 1, 1)),
            ca.pem(),
            ["outside its validity: it becomes valid in", "clock"],
        ),
        (
            "another name",
            signed_by(&ca, |params| {
                *params = CertificateParams::new(["other.example".to_owned()]).unwrap();
            }),
            ca.pem(),
            [
                "for another name: it is for other.example",
                "subject alternative name",
            ],
        ),
        (
            "for clients",
            signed_by(&ca, |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            ca.pem(),
            ["its extended key usage", "for TLS servers"],
        ),
        (
            "unknown",
            unknown,
            ca.pem(),
            ["is not trusted: it signed itself, or", "host.extra_ca_file"],
        ),
        (
            "an authority of the same name",
            signed_by(&authority(), |_| ()),
            ca.pem(),
            [
                "is not trusted: a signature in its chain is wrong",
                "host.extra_ca_file",
            ],
        ),
        (
            "an authority's own",
            as_authority,
            its_pem,
            ["(CA:TRUE)", "a certificate of its own"],
        ),
        (
            "no TLS",
            Server::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            ca.pem(),
            ["what answers there does not speak TLS", "TLS 1.2 or 1.3"],
        ),
        (
            "alert 40",
            Server::Bytes(&[21, 3, 3, 0, 2, 2, 40]),
            ca.pem(),
            ["TLS alert 40, handshake failure", "TLS 1.2 or 1.3"],
        ),
        (
            "signed itself and is trusted for it",
            trusted,
            trusted_pem,
            ["closed the connection before it had answered", ""],
        ),
    ];
    for (name, server, trusted, expected) in cases {
        let (class, text) = told(&lab, server, &trusted).await;
        assert_eq!(class, ErrorClass::Network, "{name}: {text}");
        for part in expected {
            assert!(text.contains(part), "{name}: {text}");
        }
        assert!(!text.contains("client certificate in"), "{name}: {text}");
    }
}
