//! Acceptance: requests to other services get tokens by rules, and a service that refuses one is asked once more with the
//! next. Real sockets, TLS, and the clients that people have.

#![cfg(test)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass::downstream::{Downstream, OnBehalfOf, Rule};
use edgepass::{ErrorClass, Provider, Secret, TokenType};
use edgepass_e2e::{GRAPH, Lab, jwt, until};
use edgepass_emulator::{Fault, Mint, User};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
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
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{Layer as _, Service, ServiceExt as _};

const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}"#;

/// A request as the service got it.
#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    /// `x5t#S256` of the certificate that the connection shows.
    certificate: Option<String>,
}

impl Seen {
    /// Of the certificate that the token is bound to.
    fn bound_to(&self) -> Option<String> {
        let value = self.headers.get("authorization")?.to_str().ok()?;
        let claims = jwt::claims(value.split_once(' ')?.1).ok()?;
        Some(claims.pointer("/cnf/x5t#S256")?.as_str()?.to_owned())
    }

    fn token(&self) -> Option<&str> {
        let value = self.headers.get("authorization")?.to_str().ok()?;
        value.split_once(' ').map(|(_, token)| token)
    }
}

/// How a service answers the first request, or each with one token.
type Judge = dyn Fn(&Seen) -> Response<Full<Bytes>> + Send + Sync;

/// A service that takes tokens of the emulator for Microsoft Graph, and then asks its judge.
struct Resource {
    port: u16,
    certificate: CertificateDer<'static>,
    pem: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Resource {
    async fn start(
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

    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let request = Request::get(self.url("localhost", "/v1/me"));
        request.body(Full::default()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    fn tokens(&self, lab: &Lab) -> Vec<String> {
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

    fn rule(&self) -> Rule {
        Rule::host("localhost").port(self.port).scopes([GRAPH])
    }

    fn tls(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        Ok(ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }

    fn client<B>(&self) -> Result<Client<HttpsConnector<HttpConnector>, B>>
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn good() -> Response<Full<Bytes>> {
    Response::new(Full::from("good"))
}

fn refusal(status: StatusCode, challenge: &str) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header("www-authenticate", "Basic realm=\"no end")
        .header("www-authenticate", challenge);
    response.body(Full::from("refused")).unwrap()
}

/// Refuses the token that comes first, so and whenever it comes.
fn refuses_the_first(
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

fn of_claims(claims: &str) -> String {
    let claims = STANDARD.encode(claims);
    format!("Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{claims}\"")
}

async fn downstream(
    lab: &Lab,
    rules: impl IntoIterator<Item = Rule>,
) -> Result<(Provider, Downstream)> {
    let provider = lab.provider().build().await?;
    let downstream = provider.downstream(rules)?;
    Ok((provider, downstream))
}

fn whole(body: &Full<Bytes>) -> Option<Full<Bytes>> {
    Some(body.clone())
}

async fn text(response: Response<Incoming>) -> Result<(StatusCode, String)> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((parts.status, String::from_utf8(body.to_vec())?))
}

fn ours(error: Box<dyn std::error::Error + Send + Sync>) -> edgepass::Error {
    *error
        .downcast::<edgepass::Error>()
        .expect("an error of edgepass")
}

#[tokio::test]
async fn a_request_has_the_token_of_its_rule_and_no_other_host_sees_one() -> Result<()> {
    let lab = Lab::new("downstream_rule")?;
    let resource = Resource::start(&lab, |seen| match seen.uri.path() {
        "/v1/away" => Response::builder()
            .status(StatusCode::FOUND)
            .header("location", "/v1/me")
            .body(Full::default())
            .unwrap(),
        _ => good(),
    })
    .await?;
    let (_, downstream) = downstream(&lab, [resource.rule().path_prefix("/v1")]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let mut request = resource.request();
    let stale = http::HeaderValue::from_static("Bearer of-the-application");
    request.headers_mut().append("authorization", stale);
    let answer = text(
        client
            .clone()
            .oneshot(request)
            .await
            .map_err(anyhow::Error::from_boxed)?,
    )
    .await?;
    assert_eq!(answer, (StatusCode::OK, "good".to_owned()));
    // the redirect's goal, another host by its name, another path
    for (host, path) in [("127.0.0.1", "/v1/me"), ("localhost", "/v2/me")] {
        let request = Request::get(resource.url(host, path)).body(Full::default())?;
        let answer = client.clone().oneshot(request).await;
        let answer = answer.map_err(anyhow::Error::from_boxed)?;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{host}{path}");
    }
    let request = Request::get(resource.url("localhost", "/v1/away")).body(Full::default())?;
    let away = client
        .clone()
        .oneshot(request)
        .await
        .map_err(anyhow::Error::from_boxed)?;
    assert_eq!(
        away.status(),
        StatusCode::FOUND,
        "it is for the caller to follow"
    );
    let tokens = resource.tokens(&lab);
    let with: Vec<_> = tokens.iter().map(|token| !token.is_empty()).collect();
    assert_eq!(with, [true, false, false, true]);
    let sent = resource.seen();
    let sent: Vec<_> = sent
        .iter()
        .map(|seen| seen.headers.get_all("authorization").iter().count())
        .collect();
    assert_eq!(sent, [1, 0, 0, 1], "what the application put there is gone");
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// In whatever way a service says that it wants another token.
#[tokio::test]
async fn a_refusal_is_answered_by_one_refresh_and_one_replay() -> Result<()> {
    for (name, status, challenge, claims) in [
        ("bare", StatusCode::UNAUTHORIZED, "Bearer".to_owned(), None),
        (
            "claims",
            StatusCode::UNAUTHORIZED,
            of_claims(CLAIMS),
            Some(CLAIMS),
        ),
        (
            "forbidden",
            StatusCode::FORBIDDEN,
            of_claims(CLAIMS),
            Some(CLAIMS),
        ),
    ] {
        let lab = Lab::new(&format!("downstream_{name}"))?;
        let resource = Resource::start(&lab, refuses_the_first(status, challenge)).await?;
        let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
        let client = downstream
            .layer()
            .clone_body(whole)
            .layer(resource.client()?);
        let request = Request::put(resource.url("localhost", "/v1/me?a=b"))
            .header("x-own", "kept")
            .body(Full::from("a body"))?;
        let response = client
            .oneshot(request)
            .await
            .map_err(anyhow::Error::from_boxed)?;
        assert_eq!(
            text(response).await?,
            (StatusCode::OK, "good".to_owned()),
            "{name}"
        );
        let tokens = resource.tokens(&lab);
        ensure!(
            tokens.len() == 2 && tokens.first() != tokens.last(),
            "{name}"
        );
        for seen in resource.seen() {
            assert_eq!(seen.method, Method::PUT);
            assert_eq!(
                seen.uri.path_and_query().map(|path| path.as_str()),
                Some("/v1/me?a=b")
            );
            assert_eq!(
                seen.headers.get("x-own").map(|own| own.as_bytes()),
                Some(&b"kept"[..])
            );
            assert_eq!(&seen.body[..], b"a body");
        }
        let asked = lab.emulator.token_requests();
        let asked: Vec<_> = asked.iter().map(|entry| entry.field("claims")).collect();
        assert_eq!(asked, [None, claims.map(str::to_owned)], "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_always_refuses_is_asked_twice() -> Result<()> {
    let lab = Lab::new("downstream_always")?;
    let resource = Resource::start(&lab, |_| refusal(StatusCode::UNAUTHORIZED, "Bearer")).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let response = client
        .oneshot(resource.request())
        .await
        .map_err(anyhow::Error::from_boxed)?;
    assert_eq!(
        text(response).await?,
        (StatusCode::UNAUTHORIZED, "refused".to_owned())
    );
    assert_eq!(resource.tokens(&lab).len(), 2);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// Another refusal than of the token is the service's answer.
#[tokio::test]
async fn what_is_no_refusal_of_the_token_is_handed_on() -> Result<()> {
    let lab = Lab::new("downstream_other")?;
    let resource = Resource::start(&lab, |_| {
        refusal(StatusCode::FORBIDDEN, "Bearer error=\"insufficient_scope\"")
    })
    .await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let response = client
        .oneshot(resource.request())
        .await
        .map_err(anyhow::Error::from_boxed)?;
    assert_eq!(
        text(response).await?,
        (StatusCode::FORBIDDEN, "refused".to_owned())
    );
    assert_eq!(resource.tokens(&lab).len(), 1);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// A body that is read as it is sent has no second time. Who asks next has another token.
#[tokio::test]
async fn a_streaming_body_is_not_sent_again() -> Result<()> {
    let lab = Lab::new("downstream_stream")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    type Streamed = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;
    let client = downstream.layer().layer(resource.client::<Streamed>()?);
    let send = || {
        let frames = ["in ", "parts"].map(|part| Ok(Frame::data(Bytes::from(part))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let request = Request::post(resource.url("localhost", "/v1/me")).body(body);
        client.clone().oneshot(request.unwrap())
    };
    let response = send().await.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(resource.seen().len(), 1);
    let response = send().await.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(response.status(), StatusCode::OK);
    for seen in resource.seen() {
        assert_eq!(&seen.body[..], b"in parts");
    }
    assert_eq!(resource.tokens(&lab).len(), 2);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_refusals_at_once_cause_one_exchange() -> Result<()> {
    const CALLERS: usize = 100;
    let lab = Lab::new("downstream_hundred")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    // the second exchange waits until everybody has been refused
    provider.get_token(&edgepass_e2e::graph()).await?;
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let calls: Vec<_> = (0..CALLERS)
        .map(|_| tokio::spawn(client.clone().oneshot(resource.request())))
        .collect();
    until("all have been refused", || {
        (resource.seen().len() == CALLERS).then_some(())
    })
    .await?;
    lab.emulator.faults().release();
    for call in calls {
        let response = call.await?.map_err(anyhow::Error::from_boxed)?;
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(resource.tokens(&lab).len(), 2 * CALLERS);
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn without_another_token_the_answer_is_the_services_and_says_why() -> Result<()> {
    let lab = Lab::new("downstream_none")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    provider.get_token(&edgepass_e2e::graph()).await?;
    let refused = Fault::aadsts(7_000_215).on("/token").forever();
    lab.emulator.faults().push(refused);
    let client = downstream.layer().layer(resource.client()?);
    let response = client
        .oneshot(resource.request())
        .await
        .map_err(anyhow::Error::from_boxed)?;
    let why = response.extensions().get::<edgepass::Error>().cloned();
    assert_eq!(
        text(response).await?,
        (StatusCode::UNAUTHORIZED, "refused".to_owned())
    );
    assert_eq!(resource.tokens(&lab).len(), 1);
    let why = why.context("why there is no other")?;
    assert_eq!(why.class(), ErrorClass::CredentialRejected);
    Ok(())
}

/// The claims are the user's to satisfy: whoever made the request is told which.
#[tokio::test]
async fn claims_that_the_server_does_not_grant_are_said() -> Result<()> {
    let lab = Lab::new("downstream_claims_refused")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    provider.get_token(&edgepass_e2e::graph()).await?;
    let mut fault = Fault::aadsts(50_076).on("/token");
    fault.claims = Some("{\"access_token\":{\"polids\":{\"essential\":true}}}".to_owned());
    lab.emulator.faults().push(fault);
    let client = downstream.layer().layer(resource.client()?);
    let response = client
        .oneshot(resource.request())
        .await
        .map_err(anyhow::Error::from_boxed)?;
    let why = response.extensions().get::<edgepass::Error>().cloned();
    let why = why.context("why there is no other")?;
    assert_eq!(
        text(response).await?,
        (StatusCode::UNAUTHORIZED, "refused".to_owned())
    );
    assert_eq!(why.class(), ErrorClass::InteractionRequired);
    assert!(
        why.detail()
            .claims
            .as_deref()
            .is_some_and(|claims| claims.contains("polids"))
    );
    assert_eq!(resource.tokens(&lab).len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_request_that_gets_no_token_is_not_sent() -> Result<()> {
    let lab = Lab::new("downstream_unsent")?;
    let resource = Resource::start(&lab, |_| good()).await?;
    std::fs::remove_file(lab.files.token_file())?;
    let users = resource.rule().path_prefix("/users").on_behalf_of();
    let (_, downstream) = downstream(&lab, [users, resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let named = format!("https://me:word@localhost:{}/v1/me", resource.port);
    for (url, class) in [
        (
            resource.url("localhost", "/v1/me"),
            ErrorClass::CredentialUnavailable,
        ),
        (
            resource.url("localhost", "/users/x"),
            ErrorClass::InvalidRequest,
        ),
        (named, ErrorClass::InvalidRequest),
    ] {
        let request = Request::get(&url).body(Full::<Bytes>::default())?;
        let error = ours(client.clone().oneshot(request).await.unwrap_err());
        assert_eq!(error.class(), class, "{url}: {error:#}");
    }
    assert!(resource.seen().is_empty());
    Ok(())
}

/// The assertion is the request's own, and goes to the token server and nowhere else.
#[tokio::test]
async fn the_users_assertion_does_not_travel_to_the_service() -> Result<()> {
    let lab = Lab::new("downstream_user")?;
    let (_, downstream) = downstream(&lab, [Rule::host("api.example").on_behalf_of()]).await?;
    let mut request = Request::get("https://api.example/").body(())?;
    request
        .extensions_mut()
        .insert(OnBehalfOf(Secret::new("the-user's-assertion")));
    let error = downstream.authorize(&mut request).await.unwrap_err();
    assert!(!format!("{error:?} {request:?}").contains("the-user's-assertion"));
    assert_eq!(request.extensions().get::<OnBehalfOf>(), None);
    assert_eq!(request.headers().len(), 0);
    Ok(())
}

/// A token that is bound to a certificate is good on connections that show it; the key stays in the host. When the
/// certificate is replaced, so are token and connection.
#[tokio::test]
async fn a_bound_token_goes_on_a_connection_with_its_certificate() -> Result<()> {
    let lab = Lab::new("downstream_bound")?;
    let resource = Resource::start(&lab, |seen| match seen.certificate.clone() {
        Some(shown) if seen.bound_to().is_some_and(|bound| bound == shown) => good(),
        None if seen.bound_to().is_none() => good(),
        _ => refusal(StatusCode::UNAUTHORIZED, "mtls_pop error=\"invalid_token\""),
    })
    .await?;
    let trusted = format!("{}{}", lab.emulator.ca_pem(), resource.pem);
    let config = lab.config(&json!({"bound_certificate": {"name": "demo"}}));
    let provider = Provider::builder()
        .config_json(config.to_string())
        .ca_pem(trusted.into_bytes())
        .build()
        .await?;
    let bound = resource.rule().path_prefix("/bound");
    let downstream =
        provider.downstream([bound.token_type(TokenType::MtlsPop), resource.rule()])?;
    let client = downstream.layer().layer(provider.client::<Full<Bytes>>());
    let send = async |path: &str| {
        let request = Request::get(resource.url("localhost", path)).body(Full::default())?;
        let response = client.clone().oneshot(request).await;
        text(response.map_err(anyhow::Error::from_boxed)?).await
    };
    let answer = (StatusCode::OK, "good".to_owned());
    for path in ["/bound", "/plain", "/bound"] {
        assert_eq!(send(path).await?, answer, "{path}");
    }
    lab.rotate_certificate()?;
    provider.drop_cached(None).await?;
    assert_eq!(send("/bound").await?, answer, "after a rotation");
    let seen = resource.seen();
    let shown: Vec<_> = seen.iter().map(|seen| seen.certificate.clone()).collect();
    resource.tokens(&lab);
    let [Some(first), None, Some(again), Some(next)] = shown.as_slice() else {
        anyhow::bail!("a certificate where the token is bound to one: {shown:?}");
    };
    assert_eq!(first, again);
    assert_ne!(first, next);
    let schemes: Vec<_> = seen
        .iter()
        .filter_map(|seen| {
            seen.headers
                .get("authorization")?
                .to_str()
                .ok()?
                .split(' ')
                .next()
        })
        .collect();
    assert_eq!(schemes, ["mtls_pop", "Bearer", "mtls_pop", "mtls_pop"]);
    Ok(())
}

/// In a server: each request is for the user who has made it, and one user's token is never on another's request.
#[tokio::test(flavor = "multi_thread")]
async fn each_users_requests_have_that_users_token() -> Result<()> {
    const EACH: usize = 20;
    let lab = Lab::new("downstream_users")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let own = lab.emulator.own_resource();
    let graph = GRAPH.trim_end_matches("/.default");
    let bob = User::new("bob@edgepass-demo.example");
    let bob = bob.consent(lab.emulator.client_id(), graph, &["User.Read"]);
    let users = [lab.emulator.username().to_owned(), bob.username.clone()];
    lab.emulator.register_user(bob);
    let mut assertions = Vec::new();
    for user in &users {
        let assertion = lab.emulator.user_token(user, &own, &Mint::new())?;
        lab.evidence.secret("user's token", &assertion);
        assertions.push(assertion);
    }
    let (_, downstream) = downstream(&lab, [resource.rule().on_behalf_of()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    let send = |assertion: &str| {
        let mut request = resource.request();
        let id = jwt::claims(assertion)
            .ok()
            .and_then(|claims| Some(claims.get("oid")?.as_str()?.to_owned()));
        let value = http::HeaderValue::from_str(&id.unwrap_or_default()).unwrap();
        request.headers_mut().insert("x-user", value);
        let user = OnBehalfOf(Secret::new(assertion));
        request.extensions_mut().insert(user);
        tokio::spawn(client.clone().oneshot(request))
    };
    let calls: Vec<_> = (0..EACH)
        .flat_map(|_| {
            assertions
                .iter()
                .map(|assertion| send(assertion))
                .collect::<Vec<_>>()
        })
        .collect();
    for call in calls {
        let response = call.await?.map_err(anyhow::Error::from_boxed)?;
        assert_eq!(response.status(), StatusCode::OK);
    }
    resource.tokens(&lab);
    for seen in resource.seen() {
        let claims = jwt::claims(seen.token().context("a token")?)?;
        let of = claims.get("oid").and_then(Value::as_str);
        let by = seen
            .headers
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        assert_eq!(of, by);
    }
    let asked = lab.emulator.token_requests();
    for (assertion, user) in assertions.iter().zip(&users) {
        let its = asked
            .iter()
            .filter(|entry| entry.field("assertion").as_ref() == Some(assertion));
        let claims: Vec<_> = its.map(|entry| entry.field("claims")).collect();
        // one user's token was refused, and that user's alone
        ensure!(
            claims.len() <= 2 && claims.first() == Some(&None),
            "{user}: {claims:?}"
        );
    }
    assert_eq!(asked.len(), 3);
    Ok(())
}

/// A client that takes a request only when it has said that it can.
#[derive(Debug)]
struct Strict<S> {
    inner: S,
    is_ready: bool,
    broken: Arc<AtomicBool>,
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            // what one has reserved is not its clone's
            is_ready: false,
            broken: Arc::clone(&self.broken),
        }
    }
}

impl<S: Service<R>, R> Service<R> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let ready = self.inner.poll_ready(cx);
        self.is_ready = matches!(ready, Poll::Ready(Ok(())));
        ready
    }

    fn call(&mut self, request: R) -> S::Future {
        if !std::mem::take(&mut self.is_ready) {
            self.broken.store(true, Ordering::Relaxed);
        }
        self.inner.call(request)
    }
}

#[tokio::test]
async fn a_client_is_called_when_it_is_ready_the_second_time_too() -> Result<()> {
    let lab = Lab::new("downstream_ready")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let broken = Arc::new(AtomicBool::new(false));
    let strict = Strict {
        inner: resource.client()?,
        is_ready: false,
        broken: Arc::clone(&broken),
    };
    let mut client = downstream.layer().layer(strict);
    for host in ["localhost", "127.0.0.1", "localhost"] {
        let request = Request::get(resource.url(host, "/v1/me")).body(Full::<Bytes>::default())?;
        let client = client.ready().await.map_err(anyhow::Error::from_boxed)?;
        client
            .call(request)
            .await
            .map_err(anyhow::Error::from_boxed)?;
    }
    assert!(
        !broken.load(Ordering::Relaxed),
        "it was called before it was ready"
    );
    assert_eq!(resource.tokens(&lab).len(), 4);
    Ok(())
}

/// Who leaves ends its own request, and the exchange of nobody else.
#[tokio::test]
async fn a_caller_that_leaves_takes_nothing_along() -> Result<()> {
    let lab = Lab::new("downstream_leaves")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, "Bearer".to_owned());
    let resource = Resource::start(&lab, judge).await?;
    let (provider, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = downstream.layer().layer(resource.client()?);
    provider.get_token(&edgepass_e2e::graph()).await?;
    lab.emulator.faults().push(Fault::hold().on("/token"));
    {
        let mut leaves = pin!(client.clone().oneshot(resource.request()));
        let begun = until("the second exchange is under way", || {
            (lab.emulator.token_requests_begun() == 2).then_some(())
        });
        tokio::select! {
            answer = &mut leaves => anyhow::bail!("there is no token yet: {answer:?}"),
            begun = begun => begun?,
        }
    }
    let stays = tokio::spawn(client.oneshot(resource.request()));
    until("the other has been refused too", || {
        (resource.seen().len() == 2).then_some(())
    })
    .await?;
    lab.emulator.faults().release();
    let response = stays.await?.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        resource.tokens(&lab).len(),
        3,
        "who left sent no second request"
    );
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// reqwest's client by an adapter of a few lines, as docs/downstream.md has it.
#[tokio::test]
async fn reqwest_goes_through_the_layer() -> Result<()> {
    let lab = Lab::new("downstream_reqwest")?;
    let judge = refuses_the_first(StatusCode::UNAUTHORIZED, of_claims(CLAIMS));
    let resource = Resource::start(&lab, judge).await?;
    let (_, downstream) = downstream(&lab, [resource.rule()]).await?;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&resource.certificate)?])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let client = tower::service_fn(move |request: Request<reqwest::Body>| {
        let client = client.clone();
        async move {
            let response = client.execute(request.try_into()?).await?;
            Ok::<Response<reqwest::Body>, reqwest::Error>(response.into())
        }
    });
    let whole = |body: &reqwest::Body| body.as_bytes().map(|bytes| bytes.to_vec().into());
    let client = downstream.layer().clone_body(whole).layer(client);
    let request = Request::post(resource.url("localhost", "/v1/me")).body("a body".into())?;
    let response = client
        .oneshot(request)
        .await
        .map_err(anyhow::Error::from_boxed)?;
    let response = reqwest::Response::from(response);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.text().await?, "good");
    let bodies: Vec<_> = resource.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["a body"; 2]);
    assert_eq!(resource.tokens(&lab).len(), 2);
    let asked = lab.emulator.token_requests();
    let claims = asked.last().and_then(|entry| entry.claims.clone());
    assert_eq!(claims, Some(serde_json::from_str(CLAIMS)?));
    let nbf = json!({"essential": true, "value": "1790000000"});
    assert_eq!(
        claims.context("claims")?.pointer("/access_token/nbf"),
        Some(&nbf)
    );
    Ok(())
}
