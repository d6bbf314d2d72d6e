//! A TLS client that hides nothing, and shared fixtures.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use edgepass_emulator::{App, CertificateOptions, ClientCertificate, Emulator};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
pub(crate) const JWT_POP: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-pop";
pub(crate) const GRAPH: &str = "https://graph.microsoft.com/.default";
pub(crate) const SUBJECT: &str = "system:serviceaccount:default:edgepass-demo";
pub(crate) const AUDIENCE: &str = "api://AzureADTokenExchange";

/// No test waits longer: one that would is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The emulator of tests that register what they need under a name of their
/// own, so that they can share it.
pub(crate) fn shared() -> &'static Emulator {
    static SHARED: OnceLock<Emulator> = OnceLock::new();
    SHARED.get_or_init(|| Emulator::builder().start_blocking().unwrap())
}

/// Client certificates made once: RSA keys are what costs the time.
pub(crate) fn certificate(index: usize) -> &'static ClientCertificate {
    static MADE: OnceLock<Vec<ClientCertificate>> = OnceLock::new();
    let options = CertificateOptions::default();
    let make = |i| {
        shared()
            .create_client_certificate(&format!("test-{i}"), &options)
            .unwrap()
    };
    &MADE.get_or_init(|| (0..2).map(make).collect())[index]
}

/// A client ID no other test uses.
pub(crate) fn new_client_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "aaaaaaaa-0000-4000-8000-{:012x}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Registers an app made by `change` from an empty one; returns its ID.
pub(crate) fn register(emulator: &Emulator, change: impl FnOnce(App) -> App) -> String {
    let client_id = new_client_id();
    emulator.register_app(change(App::new(&client_id)));
    client_id
}

#[derive(Clone)]
pub(crate) struct Client {
    ca: CertificateDer<'static>,
    identity: Option<ClientCertificate>,
    host: String,
    port: u16,
    http2: bool,
}

impl Client {
    pub(crate) fn new(emulator: &Emulator) -> Self {
        let ca = CertificateDer::from_pem_slice(emulator.ca_pem().as_bytes()).unwrap();
        let host = "localhost".to_owned();
        Self {
            ca,
            identity: None,
            host,
            port: emulator.port(),
            http2: false,
        }
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = host.to_owned();
        self
    }

    /// Calls `https://HOST:PORT`.
    pub(crate) fn at(mut self, authority: &str) -> Self {
        let (host, port) = authority
            .strip_prefix("https://")
            .unwrap()
            .rsplit_once(':')
            .unwrap();
        self.host = host.to_owned();
        self.port = port.parse().unwrap();
        self
    }

    pub(crate) fn identity(mut self, certificate: &ClientCertificate) -> Self {
        self.identity = Some(certificate.clone());
        self
    }

    pub(crate) fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::from_pem_slice(identity.private_key_pem.as_bytes());
                let chain = identity
                    .chain
                    .iter()
                    .map(|der| CertificateDer::from(der.clone()));
                builder
                    .with_client_auth_cert(chain.collect(), key.unwrap())
                    .unwrap()
            }
        };
        let alpn: &[u8] = if self.http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![alpn.to_vec()];
        // The name is for TLS and HTTP; the address is always loopback.
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from(self.host.clone()).unwrap();
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let io = TokioIo::new(tls);
        let host = format!("{}:{}", self.host, self.port);
        let sender = if self.http2 {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                    .await
                    .map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Two(sender)
        } else {
            let (sender, connection) = hyper::client::conn::http1::handshake(io)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::One(sender)
        };
        Ok(Connection { host, sender })
    }

    /// One request on a connection of its own.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        self.connect()
            .await?
            .send(method, path, headers, body)
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_send("GET", path, &[], "").await.unwrap()
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.try_send(method, path, &headers, &body.to_string())
            .await
            .unwrap()
    }

    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.try_post(path, fields).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
        self.try_send("POST", path, &[FORM], &form(fields)).await
    }
}

/// One request by http to `http://HOST:PORT`.
pub(crate) async fn send_plain(
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> io::Result<Answer> {
    send_plain_with(authority, method, path, headers, "").await
}

/// The same with a body.
pub(crate) async fn send_plain_with(
    authority: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<Answer> {
    let host = authority.strip_prefix("http://").unwrap().to_owned();
    let io = TokioIo::new(TcpStream::connect(&host).await?);
    let (sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let sender = Sender::One(sender);
    let mut connection = Connection { host, sender };
    connection.send(method, path, headers, body).await
}

pub(crate) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

enum Sender {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

pub(crate) struct Connection {
    host: String,
    sender: Sender,
}

impl Connection {
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Answer> {
        let exchange = async {
            let (head, body) = self.begin(method, path, headers, body).await?.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        tokio::time::timeout(PATIENCE, exchange).await?
    }

    /// The answer's head; its body is still to be read.
    pub(crate) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Response<Incoming>> {
        let uri = match self.sender {
            Sender::One(_) => path.to_owned(),
            Sender::Two(_) => format!("https://{}{path}", self.host),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self.sender, Sender::One(_)) {
            request = request.header("host", &self.host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        let response = match &mut self.sender {
            Sender::One(sender) => sender.send_request(request).await,
            Sender::Two(sender) => sender.send_request(request).await,
        };
        response.map_err(io::Error::other)
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().unwrap())
            .unwrap_or_default()
    }

    /// The claims of the access token; fails when there is none.
    pub(crate) fn token_claims(&self) -> Value {
        let body = self.json();
        assert_eq!(self.status, StatusCode::OK, "{body}");
        claims_of(body["access_token"].as_str().unwrap())
    }

    /// Fails unless this is the refusal with that code, in its full shape.
    pub(crate) fn refused(&self, code: u32) -> &Self {
        let body = self.json();
        assert_eq!(body["error_codes"], json!([code]), "{body}");
        let row = edgepass_emulator::TABLE
            .iter()
            .find(|row| row.code == code)
            .unwrap();
        assert_eq!(self.status.as_u16(), row.status, "{body}");
        assert_eq!(body["error"], row.error, "{body}");
        let text = body["error_description"].as_str().unwrap();
        assert!(text.starts_with(&format!("AADSTS{code}: ")), "{text}");
        assert!(body.get("access_token").is_none(), "{body}");
        self
    }

    /// Fails unless the refusal's text contains `part`.
    pub(crate) fn saying(&self, part: &str) {
        let body = self.json();
        let text = body["error_description"].as_str().unwrap();
        assert!(text.contains(part), "{text:?} does not contain {part:?}");
    }
}

pub(crate) fn claims_of(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) fn header_of(token: &str) -> Value {
    let part = token.split('.').next().unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub(crate) fn token_path(tenant: &str) -> String {
    format!("/{tenant}/oauth2/v2.0/token")
}

/// Posts a well-made assertion request of the kind every SDK sends.
pub(crate) async fn post_assertion(
    emulator: &Emulator,
    client_id: &str,
    assertion: &str,
) -> Answer {
    post_assertion_to(
        &Client::new(emulator),
        emulator,
        client_id,
        assertion,
        JWT_BEARER,
    )
    .await
}

pub(crate) async fn post_assertion_to(
    client: &Client,
    emulator: &Emulator,
    client_id: &str,
    assertion: &str,
    assertion_type: &str,
) -> Answer {
    let fields = [
        ("client_assertion", assertion),
        ("client_assertion_type", assertion_type),
        ("client_id", client_id),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    client.post(&token_path(emulator.tenant()), &fields).await
}

pub(crate) async fn post_secret(emulator: &Emulator, extra: &[(&str, &str)]) -> Answer {
    let mut fields = vec![
        ("client_id", emulator.client_id()),
        ("client_secret", emulator.client_secret()),
        ("grant_type", "client_credentials"),
    ];
    fields.extend(extra);
    Client::new(emulator)
        .post(&token_path(emulator.tenant()), &fields)
        .await
}

/// An assertion signed by a certificate's key, well made unless changed.
pub(crate) struct Assertion {
    pub(crate) algorithm: Algorithm,
    pub(crate) header: Value,
    pub(crate) claims: Value,
    key: String,
}

impl Assertion {
    pub(crate) fn new(certificate: &ClientCertificate, client_id: &str, audience: &str) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static JTI: AtomicU32 = AtomicU32::new(1);
        let jti = format!("jti-{}", JTI.fetch_add(1, Ordering::Relaxed));
        Self {
            algorithm: Algorithm::PS256,
            header: json!({ "typ": "JWT", "x5t#S256": certificate.thumbprint }),
            claims: json!({
                "aud": audience, "iss": client_id, "sub": client_id, "jti": jti,
                "iat": now(), "nbf": now(), "exp": now() + 600,
            }),
            key: certificate.private_key_pem.clone(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Signed by the key of another certificate.
    pub(crate) fn key_of(mut self, certificate: &ClientCertificate) -> Self {
        self.key = certificate.private_key_pem.clone();
        self
    }

    pub(crate) fn sign(mut self) -> String {
        self.header["alg"] = json!(format!("{:?}", self.algorithm));
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&self.header), part(&self.claims));
        let key = EncodingKey::from_rsa_pem(self.key.as_bytes()).unwrap();
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &key, self.algorithm);
        format!("{input}.{}", signature.unwrap())
    }
}

/// SHA-1 thumbprint of a certificate as `x5t`.
pub(crate) fn x5t(certificate: &ClientCertificate) -> String {
    use sha1::Sha1;
    URL_SAFE_NO_PAD.encode(Sha1::digest(&certificate.chain[0]))
}

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
