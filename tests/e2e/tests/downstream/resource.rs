//! A service that wants tokens, and what it has seen.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass::downstream::Rule;
use edgepass_e2e::{GRAPH, Lab, jwt};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as the service got it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// `x5t#S256` of the certificate that the connection shows.
    pub(super) certificate: Option<String>,
}

impl Seen {
    /// Of the certificate that the token is bound to.
    pub(super) fn bound_to(&self) -> Option<String> {
        let value = self.headers.get("authorization")?.to_str().ok()?;
        let claims = jwt::claims(value.split_once(' ')?.1).ok()?;
        Some(claims.pointer("/cnf/x5t#S256")?.as_str()?.to_owned())
    }

    pub(super) fn token(&self) -> Option<&str> {
        let value = self.headers.get("authorization")?.to_str().ok()?;
        value.split_once(' ').map(|(_, token)| token)
    }
}

/// How a service answers the first request, or each with one token.
pub(super) type Judge = dyn Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync;

/// A service that takes tokens of the emulator for Microsoft Graph, and then asks its judge.
pub(super) struct Resource {
    pub(super) port: u16,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
}

impl Resource {
    pub(super) async fn start(
        lab: &Lab,
        judge: impl Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let key = KeyPair::generate()?;
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names)?.self_signed(&key)?;
        let pem = certificate.pem();
        let certificate = certificate.der().clone();
        let private_key =
            PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let tls = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(AnyCertificate(provider())))
            .with_single_cert(vec![certificate.clone()], private_key)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        // `localhost` may be either address
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let service = Arc::new(Backend {
            issuer: format!("{}/{}/", lab.emulator.authority(), lab.emulator.tenant()),
            judge: Box::new(judge),
            seen: Arc::clone(&seen),
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), Arc::clone(&service));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let shown = stream.get_ref().1.peer_certificates();
                    let shown = shown.and_then(|chain| chain.first());
                    let shown = shown.map(|leaf| URL_SAFE_NO_PAD.encode(Sha256::digest(leaf)));
                    let answer = service_fn(move |request| {
                        let (service, shown) = (Arc::clone(&service), shown.clone());
                        async move { service.answer(request, shown).await }
                    });
                    // a client that goes away is no failure of the service
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self {
            port,
            certificate,
            pem,
            seen,
        })
    }

    pub(super) fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let request = Request::get(self.url("localhost", "/v1/me"));
        request.body(Full::default()).unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    pub(super) fn tokens(&self, lab: &Lab) -> Vec<String> {
        let tokens = self
            .seen()
            .into_iter()
            .map(|seen| seen.token().unwrap_or_default().to_owned());
        let tokens: Vec<_> = tokens.collect();
        for token in tokens.iter().filter(|token| !token.is_empty()) {
            lab.evidence.secret("access token", token);
        }
        tokens
    }

    pub(super) fn rule(&self) -> Rule {
        Rule::host("localhost").port(self.port).scopes([GRAPH])
    }

    pub(super) fn tls(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        Ok(ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }

    pub(super) fn client<B>(&self) -> Result<Client<HttpsConnector<HttpConnector>, B>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls()?)
            .https_only()
            .enable_http1()
            .build();
        Ok(Client::builder(TokioExecutor::new()).build(connector))
    }
}

struct Backend {
    issuer: String,
    judge: Box<Judge>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend {
    async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<String>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let seen = Seen {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            body: body.collect().await?.to_bytes(),
            certificate,
        };
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(seen.clone());
        let token = seen.token();
        let is_ours = token.is_some_and(|token| jwt::is_for_graph(token, &self.issuer));
        if !is_ours {
            return Ok(refusal(StatusCode::UNAUTHORIZED, "Bearer"));
        }
        Ok((self.judge)(&seen))
    }
}

/// Whoever shows whatever: the token says which it has to be.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(super) fn good() -> Response<Full<Bytes>> {
    Response::new(Full::from("good"))
}

pub(super) fn refusal(status: StatusCode, challenge: &str) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("www-authenticate", "Basic realm=\"no end")
        .header("www-authenticate", challenge);
    response.body(Full::from("refused")).unwrap()
}

/// Refuses the token that comes first, so and whenever it comes.
pub(super) fn refuses_the_first(
    status: StatusCode,
    challenge: String,
) -> impl Fn(&Seen) -> Response<Full<Bytes>> {
    let first = Mutex::new(None);
    move |seen| {
        let token = seen.token().map(str::to_owned);
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.get_or_insert_with(|| token.clone()) == &token {
            return refusal(status, &challenge);
        }
        good()
    }
}

pub(super) fn of_claims(claims: &str) -> String {
    let claims = STANDARD.encode(claims);
    format!("Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{claims}\"")
}
