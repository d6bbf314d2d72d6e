//! The only place that opens connections over TCP, and the policy of what may leave: what the configuration needs (https to
//! its token endpoints and platforms, http to this machine and its link), never after a redirect, never more than a bounded
//! number of bytes or seconds. The one socket of another family is in `workload_api.rs`.
//!
//! Proxies (`HTTPS_PROXY`) are not supported: connections are direct.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use edgepass_core::HttpErrorKind;
use edgepass_core::needs::{Connection, Scheme as Over, ServerNeed};
use http::uri::{Authority, Scheme};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::builderstates::{WantsProtocols1, WantsSchemes};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::OnceCell;
use tower_service::Service;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::limits;
use crate::roots::Roots;
use crate::servers::Servers;
use crate::tls_failure;

/// What may leave, and the connections that carry no client certificate.
pub(crate) struct Egress {
    connections: Vec<Connection>,
    roots: Roots,
    public: OnceCell<Pool>,
    /// The connections to servers that are known by their thumbprint.
    pinned: Vec<(String, OnceCell<Pool>)>,
    servers: Servers,
}

impl Egress {
    /// Requests that one of these lets out, on a connection with its certificate, and no other.
    pub(crate) fn new(connections: Vec<Connection>, roots: Roots) -> Self {
        let mut thumbprints: Vec<&String> = connections
            .iter()
            .filter_map(|connection| connection.server_thumbprint.as_ref())
            .collect();
        thumbprints.sort();
        thumbprints.dedup();
        let pinned = thumbprints
            .into_iter()
            .map(|thumbprint| (thumbprint.clone(), OnceCell::new()))
            .collect();
        Self {
            connections,
            roots,
            public: OnceCell::new(),
            pinned,
            servers: Servers::new(Vec::new()),
        }
    }

    /// With servers whose certificates are checked otherwise.
    pub(crate) fn with_servers(self, servers: Vec<ServerNeed>) -> Self {
        Self {
            servers: Servers::new(servers),
            ..self
        }
    }

    /// What is named for connections and cannot be used now, in words. Reads files.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.servers.problems()
    }

    /// Sends a request on a connection without a client certificate.
    pub(crate) async fn send_public(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let thumbprint = self.permit(&request, None)?;
        let mut pinned = self.pinned.iter();
        if let Some((pin, pool)) = pinned.find(|(pin, _)| Some(pin.as_str()) == thumbprint) {
            let pool = pool.get_or_try_init(async || Pool::pinned(pin.clone()));
            return exchange(pool.await?, request, options).await;
        }
        let authority = request.uri().authority();
        let authority = authority.map(|authority| canonical("https", authority.as_str()));
        let authority = authority.unwrap_or_default();
        if let Some(pool) = self.servers.pool(&authority, &self.roots).await {
            return exchange(&pool?, request, options).await;
        }
        let pool = self.public.get_or_try_init(|| self.pool(None)).await?;
        exchange(pool, request, options).await
    }

    /// Sends a request on a connection of that pool, which authenticates with the certificate of that name.
    pub(crate) async fn send_on(
        &self,
        pool: &Pool,
        certificate: &str,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        self.permit(&request, Some(certificate))?;
        exchange(pool, request, options).await
    }

    /// Connections that are authenticated with that certificate, or with none.
    pub(crate) async fn pool(&self, certificate: Option<Arc<CertifiedKey>>) -> Result<Pool, Error> {
        // a metadata service has no certificate, and a machine that asks no other server may have no authorities
        let has_tls = |connection: &Connection| {
            connection.permission.scheme == Over::Https && connection.server_thumbprint.is_none()
        };
        let roots = if self.connections.iter().any(has_tls) {
            self.roots.load().await.map_err(|e| {
                log::error!("certification authorities: {e}");
                Error::InternalError(Some(format!("{}: {e}", HttpErrorKind::NO_AUTHORITIES)))
            })?
        } else {
            Arc::new(RootCertStore::empty())
        };
        let builder = tls()?.with_root_certificates(roots);
        Ok(match certificate {
            Some(certificate) => Pool::new(
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate))),
                HttpsConnectorBuilder::https_only,
            ),
            // what goes out over http is for `permit` to say
            None => Pool::new(
                builder.with_no_client_auth(),
                HttpsConnectorBuilder::https_or_http,
            ),
        })
    }

    /// Whether policy lets the request out on a connection that is authenticated with that certificate, or with none; and
    /// the thumbprint by which the server is known, if it is.
    fn permit<B>(
        &self,
        request: &Request<B>,
        certificate: Option<&str>,
    ) -> Result<Option<&str>, Error> {
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri
            .authority()
            .map(|authority| canonical(scheme, authority.as_str()))
            .unwrap_or_default();
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        let here = || {
            let permissions = self.connections.iter().map(|c| &c.permission);
            permissions.filter(|permission| permission.authority == host)
        };
        let fitting = || {
            let connections = self.connections.iter();
            connections.filter(|c| c.permission.permits(scheme, &host, path))
        };
        let is_method = |c: &Connection| request.method().as_str() == c.permission.purpose.method();
        let is_certificate = |c: &Connection| c.certificate.as_deref() == certificate;
        let mut permitted = fitting().filter(|c| is_method(c) && is_certificate(c));
        let refusal = if let Some(first) = permitted.next() {
            let mut thumbprints = std::iter::once(first)
                .chain(permitted)
                .filter_map(|c| c.server_thumbprint.as_deref());
            return Ok(thumbprints.next());
        } else if fitting().any(is_method) {
            "not on a connection with that certificate"
        } else if fitting().next().is_some() {
            "the method is not the one of that purpose"
        } else if scheme != "https" && here().all(|p| p.scheme == Over::Https) {
            "only https leaves"
        } else if here().next().is_none() {
            "not a token endpoint of the configuration"
        } else {
            "not what is asked for there"
        };
        log::warn!(
            "egress denied: {} to {host} with {}: {refusal}",
            request.method(),
            certificate.map_or_else(
                || "no certificate".to_owned(),
                |name| format!("certificate {name}")
            )
        );
        Err(Error::HttpRequestDenied)
    }
}

/// Connections that authenticate in one way. Requests of two identities never meet on one, because each has a pool of
/// its own.
#[derive(Clone)]
pub(crate) struct Pool(Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>);

type WithTls = HttpsConnectorBuilder<WantsSchemes>;
type WithSchemes = HttpsConnectorBuilder<WantsProtocols1>;

impl Pool {
    /// HTTP/1.1 alone: HTTP/2 costs an exchange, one small request by itself, a tenth of a millisecond more and gives
    /// nothing; and it would hide the alert by which a server refuses a client certificate (TLS 1.3 sends it after the
    /// handshake).
    fn new(tls: ClientConfig, schemes: fn(WithTls) -> WithSchemes) -> Self {
        Self::named(tls, schemes, None)
    }

    /// To a server that these authorities vouch for, by that name in place of its host's.
    pub(crate) fn to_server(
        roots: Arc<RootCertStore>,
        name: Option<ServerName<'static>>,
    ) -> Result<Self, Error> {
        let provider = Arc::new(default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::InternalError(Some(e.to_string())))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::named(tls, HttpsConnectorBuilder::https_only, name))
    }

    fn named(
        tls: ClientConfig,
        schemes: fn(WithTls) -> WithSchemes,
        name: Option<ServerName<'static>>,
    ) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limits::CONNECT_TIMEOUT));
        let https = schemes(HttpsConnectorBuilder::new().with_tls_config(tls));
        let https = match name {
            Some(name) => https.with_server_name_resolver(FixedServerNameResolver::new(name)),
            None => https,
        };
        let https = https.enable_http1().wrap_connector(tcp);
        Self(
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(limits::POOL_IDLE)
                .pool_max_idle_per_host(limits::POOL_IDLE_PER_HOST)
                .build(https),
        )
    }
}

impl Pool {
    /// Connections to servers with that certificate and no other.
    fn pinned(thumbprint: String) -> Result<Self, Error> {
        let verifier = Pinned {
            thumbprint,
            provider: default_provider(),
        };
        let tls = tls()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self::new(tls, HttpsConnectorBuilder::https_only))
    }
}

fn tls() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::InternalError(Some(e.to_string())))
}

/// Takes one certificate, by its SHA-1 thumbprint, for who has its key: no authority vouches for it, and no name in it
/// counts. Another certificate of that thumbprint would take a second preimage of SHA-1, which nobody has.
#[derive(Debug)]
struct Pinned {
    thumbprint: String,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, end_entity);
        let found: String = digest.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        if found == self.thumbprint {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The hook by which a component's `wasi:http` requests come here.
pub(crate) struct Hooks(pub(crate) Arc<Egress>);

type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let egress = Arc::clone(&self.0);
        Box::new(async move {
            let response = egress.send_public(request, options).await?;
            // the response is complete: no connection is left to be driven
            Ok((
                response,
                Box::new(async { Ok(()) }) as Box<dyn Future<Output = _> + Send>,
            ))
        })
    }

    /// The client writes `host` itself.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn is_supported_scheme(&mut self, scheme: &Scheme) -> bool {
        *scheme == Scheme::HTTPS || *scheme == Scheme::HTTP
    }
}

/// One request and its whole response, inside the bounds. Bodies are small and bounded, so they are read whole: one
/// deadline then covers everything.
async fn exchange(
    pool: &Pool,
    request: Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<Response<WasiBody>, Error> {
    let asked = options
        .and_then(|options| options.first_byte_timeout)
        .unwrap_or(limits::HTTP_DEADLINE);
    // for the log alone
    let place = if log::log_enabled!(log::Level::Warn) {
        format!(
            "{} {}://{}{}",
            request.method(),
            request.uri().scheme_str().unwrap_or_default(),
            place_of(&request),
            request.uri().path()
        )
    } else {
        String::new()
    };
    let started = Instant::now();
    let result = tokio::time::timeout(asked.min(limits::HTTP_DEADLINE), whole(pool, request))
        .await
        .unwrap_or(Err(Error::ConnectionReadTimeout));
    let took = started.elapsed().as_millis();
    match &result {
        Ok(response) => log::debug!("{place}: {} in {took} ms", response.status().as_u16()),
        Err(e) => log::warn!("{place}: {e} after {took} ms"),
    }
    result.map(|response| response.map(|body| Full::new(body).map_err(Error::from).boxed_unsync()))
}

async fn whole(pool: &Pool, request: Request<WasiBody>) -> Result<Response<Bytes>, Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, limits::REQUEST_BODY_BYTES)
        .collect()
        .await
        .map_err(request_body_error)?
        .to_bytes();
    let response = pool
        .0
        .request(Request::from_parts(head, Full::new(body)))
        .await
        .map_err(|e| transport_error(&e))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, limits::RESPONSE_BODY_BYTES)
        .collect()
        .await
        .map_err(|e| response_body_error(e.as_ref()))?
        .to_bytes();
    Ok(Response::from_parts(head, body))
}

fn request_body_error(error: Box<dyn StdError + Send + Sync>) -> Error {
    if error.is::<LengthLimitError>() {
        return Error::HttpRequestBodySize(Some(limits::REQUEST_BODY_BYTES as u64));
    }
    error
        .downcast::<Error>()
        .map_or(Error::HttpProtocolError, |e| *e)
}

fn response_body_error(error: &(dyn StdError + 'static)) -> Error {
    if error.is::<LengthLimitError>() {
        return Error::HttpResponseBodySize(Some(limits::RESPONSE_BODY_BYTES as u64));
    }
    match transport_error(error) {
        Error::ConnectionTerminated | Error::HttpProtocolError => Error::HttpResponseIncomplete,
        other => other,
    }
}

/// What went wrong on the wire, as precisely as `wasi:http` can say it.
fn transport_error(error: &(dyn StdError + 'static)) -> Error {
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_failure::error(tls);
    }
    if let Some(unresolvable) = find::<Unresolvable>(error) {
        return Error::DnsError {
            rcode: Some(unresolvable.to_string()),
            info_code: None,
        };
    }
    let is_connecting = find::<hyper_util::client::legacy::Error>(error)
        .is_some_and(hyper_util::client::legacy::Error::is_connect);
    if let Some(io) = find::<io::Error>(error) {
        return match io.kind() {
            io::ErrorKind::TimedOut => Error::ConnectionTimeout,
            io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Error::DestinationUnavailable
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Error::ConnectionTerminated,
            // this machine itself did not let it happen: no server has ended anything
            _ if is_connecting => {
                Error::InternalError(Some(format!("{}: {io}", HttpErrorKind::NOT_CONNECTED)))
            }
            _ => Error::ConnectionTerminated,
        };
    }
    match find::<hyper::Error>(error) {
        Some(e) if e.is_incomplete_message() || e.is_closed() || e.is_canceled() => {
            Error::ConnectionTerminated
        }
        _ => Error::HttpProtocolError,
    }
}

/// The first error of that type in the chain. Errors of rustls hide under `io::Error`s, whose `source` skips what they
/// wrap.
fn find<'e, T: StdError + 'static>(error: &'e (dyn StdError + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            // an io::Error that only wraps another is not the one that knows the kind
            let wrapped = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            return wrapped.and_then(|inner| find::<T>(inner)).or(Some(found));
        }
        if let Some(inner) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Host names compare in lower case, and the scheme's own port goes without saying.
fn canonical(scheme: &str, authority: &str) -> String {
    let lower = authority.to_ascii_lowercase();
    let port = if scheme == "http" { ":80" } else { ":443" };
    match lower.strip_suffix(port) {
        Some(host) => host.to_owned(),
        None => lower,
    }
}

fn place_of<B>(request: &Request<B>) -> &str {
    request.uri().authority().map_or("", Authority::as_str)
}

/// The system's resolver, but `localhost` and names below it are this machine (RFC 6761 section 6.3), whatever a
/// search domain or a resolver in between would answer.
#[derive(Clone)]
struct Resolver(GaiResolver);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolvable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolvable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolvable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if is_localhost(name.as_str()) {
            let loopback = [
                IpAddr::from(Ipv4Addr::LOCALHOST),
                IpAddr::from(Ipv6Addr::LOCALHOST),
            ];
            let addresses: Vec<_> = loopback.map(|address| SocketAddr::new(address, 0)).into();
            return Box::pin(async { Ok(addresses.into_iter()) });
        }
        let host = name.as_str().to_owned();
        let lookup = self.0.call(name);
        Box::pin(async move {
            match lookup.await {
                Ok(addresses) => Ok(addresses.collect::<Vec<_>>().into_iter()),
                Err(e) => Err(Unresolvable {
                    host,
                    reason: e.to_string(),
                }),
            }
        })
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// A name that has no address.
#[derive(Debug)]
struct Unresolvable {
    host: String,
    reason: String,
}

impl fmt::Display for Unresolvable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no address: {}", self.host, self.reason)
    }
}

impl StdError for Unresolvable {}

#[cfg(test)]
mod tests {
    use edgepass_core::{Config, Environment};

    use super::*;

    fn egress() -> Egress {
        let json = r#"{"authority_hosts": ["login.example:8443", "login.other"], "identities": {
            "a": {"token_endpoint": "https://login.example:8443/t", "client_id": "c",
                "credential": {"client_secret": {"value": "s"}}},
            "b": {"token_endpoint": "https://LOGIN.other/t", "client_id": "c",
                "credential": {"client_secret": {"value": "s"}}}}}"#;
        let config = Config::load(Some(json), &Environment::default()).unwrap();
        Egress::new(config.needs().connections, Roots::System(OnceCell::new()))
    }

    fn request(method: &str, uri: &str) -> Request<()> {
        Request::builder().method(method).uri(uri).body(()).unwrap()
    }

    #[test]
    fn configured_endpoints_are_permitted_however_they_are_written() {
        for uri in [
            "https://login.example:8443/t",
            "https://LOGIN.example:8443/t",
            "https://login.other:443/t",
        ] {
            assert!(
                egress().permit(&request("POST", uri), None).is_ok(),
                "{uri}"
            );
        }
    }

    #[test]
    fn http_goes_to_the_metadata_service_alone() {
        let json = r#"{"identities": {"a": {"credential": {"managed_identity": {}}}}}"#;
        let config = Config::load(Some(json), &Environment::default()).unwrap();
        let egress = Egress::new(config.needs().connections, Roots::System(OnceCell::new()));
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=r";
        for (method, url, leaves) in [
            ("GET", format!("http://169.254.169.254{path}"), true),
            ("GET", format!("http://169.254.169.254:80{path}"), true),
            ("POST", format!("http://169.254.169.254{path}"), false),
            ("GET", format!("https://169.254.169.254{path}"), false),
            ("GET", format!("http://169.254.169.254:8080{path}"), false),
            ("GET", format!("http://127.0.0.1{path}"), false),
            (
                "GET",
                "http://169.254.169.254/metadata/instance?x".to_owned(),
                false,
            ),
        ] {
            let result = egress.permit(&request(method, &url), None);
            assert_eq!(result.is_ok(), leaves, "{method} {url}");
        }
    }

    /// The egress of a machine's identity with these settings and variables.
    fn egress_of(identity: &str, variables: &[(&str, &str)]) -> Egress {
        let json = format!(r#"{{"identities": {{"a": {{"credential": {identity}}}}}}}"#);
        let environment = Environment::from_pairs(variables.iter().copied());
        let config = Config::load(Some(&json), &environment).unwrap();
        Egress::new(config.needs().connections, Roots::System(OnceCell::new()))
    }

    #[test]
    fn a_platform_s_own_process_is_reached_and_nobody_else() {
        const THUMBPRINT: &str = "00112233445566778899aabbccddeeff00112233";
        let imds = "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=r";
        /// Source, variables, method, URL, thumbprint.
        type Row<'a> = (
            &'a str,
            &'a [(&'a str, &'a str)],
            &'a str,
            &'a str,
            Option<&'a str>,
        );
        let rows: [Row<'_>; 6] = [
            ("imds", &[], "GET", imds, None),
            (
                "app_service",
                &[
                    ("IDENTITY_ENDPOINT", "http://localhost:81/msi/token"),
                    ("IDENTITY_HEADER", "s"),
                ],
                "GET",
                "http://localhost:81/msi/token?api-version=2019-08-01&resource=r",
                None,
            ),
            (
                "azure_ml",
                &[
                    ("MSI_ENDPOINT", "http://127.0.0.1:82/MSI/auth"),
                    ("MSI_SECRET", "s"),
                ],
                "GET",
                "http://127.0.0.1:82/MSI/auth?api-version=2017-09-01&resource=r",
                None,
            ),
            (
                "cloud_shell",
                &[("MSI_ENDPOINT", "http://localhost:83/oauth2/token")],
                "POST",
                "http://localhost:83/oauth2/token",
                None,
            ),
            (
                "azure_arc",
                &[
                    ("IDENTITY_ENDPOINT", "http://127.0.0.1:84/token"),
                    ("IMDS_ENDPOINT", "x"),
                ],
                "GET",
                "http://127.0.0.1:84/token?api-version=2020-06-01&resource=r",
                None,
            ),
            (
                "service_fabric",
                &[
                    ("IDENTITY_ENDPOINT", "https://10.0.0.4:85/token"),
                    ("IDENTITY_HEADER", "s"),
                    ("IDENTITY_SERVER_THUMBPRINT", THUMBPRINT),
                ],
                "GET",
                "https://10.0.0.4:85/token?api-version=2019-07-01-preview&resource=r",
                Some(THUMBPRINT),
            ),
        ];
        for (source, variables, method, url, thumbprint) in rows {
            for identity in [
                format!(r#"{{"managed_identity": {{"source": "{source}"}}}}"#),
                r#"{"managed_identity": {}}"#.to_owned(),
            ] {
                let egress = egress_of(&identity, variables);
                let request = request(method, url);
                let permitted = egress.permit(&request, None);
                assert_eq!(permitted.ok(), Some(thumbprint), "{source} {url}");
                // not on another connection, by another method, to another path, and not to another source
                assert!(egress.permit(&request, Some("c")).is_err(), "{source}");
                let other = if method == "GET" { "POST" } else { "GET" };
                assert!(egress.permit(&self::request(other, url), None).is_err());
                let (place, _) = url.split_once('?').unwrap_or((url, ""));
                let beside = self::request(method, &format!("{place}/x?api-version=1"));
                assert!(egress.permit(&beside, None).is_err(), "{source}");
                for (another, _, method, url, _) in rows.iter().filter(|row| row.0 != source) {
                    let request = self::request(method, url);
                    let leaves = egress.permit(&request, None).is_ok();
                    assert!(!leaves, "{source} reaches {another}");
                }
            }
        }
    }

    #[test]
    fn a_request_leaves_on_a_connection_with_its_own_certificate_alone() {
        let json = r#"{"authority_hosts": ["login.example"], "identities": {
            "bound": {"token_endpoint": "https://login.example/bound", "client_id": "c",
                "mtls_token_endpoint": "https://login.example/bound",
                "credential": {"bound_certificate": {"name": "one"}}},
            "other": {"token_endpoint": "https://login.example/other", "client_id": "c",
                "mtls_token_endpoint": "https://login.example/other",
                "credential": {"bound_certificate": {"name": "two"}}},
            "plain": {"token_endpoint": "https://login.example/plain", "client_id": "c",
                "credential": {"certificate": {"name": "three", "algorithm": "ES256"}}}}}"#;
        let config = Config::load(Some(json), &Environment::default()).unwrap();
        let egress = Egress::new(config.needs().connections, Roots::System(OnceCell::new()));
        for (path, own) in [
            ("bound", Some("one")),
            ("other", Some("two")),
            ("plain", None),
        ] {
            for certificate in [None, Some("one"), Some("two"), Some("three"), Some("four")] {
                let request = request("POST", &format!("https://login.example/{path}"));
                let result = egress.permit(&request, certificate);
                assert_eq!(result.is_ok(), certificate == own, "{path} {certificate:?}");
            }
        }
    }

    #[test]
    fn everything_else_is_denied() {
        for (method, uri) in [
            ("POST", "http://login.other/t"),
            ("GET", "https://login.other/t"),
            ("POST", "https://login.other/t/"),
            ("POST", "https://login.other/t?x"),
            ("POST", "https://login.other/u"),
            ("GET", "http://169.254.169.254/t"),
            ("POST", "https://login.example/t"),
            ("POST", "https://login.other.evil/t"),
            ("POST", "https://evil@login.other/t"),
            ("POST", "https://login.other:8443/t"),
            ("POST", "https://169.254.169.254/t"),
            ("PUT", "https://login.other/t"),
            ("CONNECT", "login.other:443"),
        ] {
            let egress = egress();
            let result = egress.permit(&request(method, uri), None);
            assert!(
                matches!(result, Err(Error::HttpRequestDenied)),
                "{method} {uri}"
            );
        }
    }

    #[test]
    fn localhost_is_loopback_with_anything_before_it() {
        for name in [
            "localhost",
            "login.localhost",
            "A.B.LOCALHOST",
            "localhost.",
        ] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["localhost.example", "notlocalhost", ""] {
            assert!(!is_localhost(name), "{name}");
        }
    }

    #[test]
    fn the_innermost_cause_is_found() {
        let refused = io::Error::other(io::Error::other(rustls::Error::NoCertificatesPresented));
        assert!(
            matches!(transport_error(&refused), Error::InternalError(Some(text)) if text.starts_with("tls-handshake: "))
        );
        let kind = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert!(matches!(transport_error(&kind), Error::ConnectionRefused));
        let unresolvable = Unresolvable {
            host: "h".into(),
            reason: "r".into(),
        };
        assert!(matches!(
            transport_error(&unresolvable),
            Error::DnsError { .. }
        ));
    }
}
