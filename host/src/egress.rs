//! The only place from which requests leave over TCP, and the policy of what may leave: what the configuration needs (https
//! to its token endpoints and platforms, http to this machine and its link), never after a redirect, never more than a
//! bounded number of bytes or seconds. How a connection comes about is in `connect.rs`, and through which proxy in
//! `proxy.rs`. The one socket of another family is in `workload_api.rs`.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use edgepass_core::HttpErrorKind;
use edgepass_core::needs::{Connection, Scheme as Over, ServerNeed};
use http::uri::{Authority, Scheme};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::OnceCell;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::connect::{Connector, NoConnection, Plan, Route, Timeouts, find};
use crate::limits;
use crate::proxy::Proxies;
use crate::roots::Roots;
use crate::servers::Servers;
use crate::tls_failure;

/// What may leave, and the connections that carry no client certificate.
pub(crate) struct Egress {
    connections: Vec<Connection>,
    roots: Roots,
    /// For what goes out without TLS alone.
    no_roots: Arc<RootCertStore>,
    proxies: Arc<Proxies>,
    timeouts: Timeouts,
    public: PoolCell,
    /// The connections to servers that are known by their thumbprint.
    pinned: Vec<(String, OnceCell<Pool>)>,
    servers: Servers,
}

impl Egress {
    /// Where requests go without TLS: who gives credentials on this machine or its link. Host, with the port if it is not 80.
    #[cfg(feature = "tower")]
    pub(crate) fn in_clear(&self) -> impl Iterator<Item = &str> {
        let permissions = self
            .connections
            .iter()
            .map(|connection| &connection.permission);
        let in_clear = permissions.filter(|permission| permission.scheme == Over::LinkLocalHttp);
        in_clear.map(|permission| permission.authority.as_str())
    }

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
            no_roots: Arc::new(RootCertStore::empty()),
            proxies: Arc::default(),
            timeouts: Timeouts::default(),
            public: PoolCell::default(),
            pinned,
            servers: Servers::new(Vec::new()),
        }
    }

    /// Through these proxies, where they are for a host.
    pub(crate) fn through(self, proxies: Proxies) -> Self {
        Self {
            proxies: Arc::new(proxies),
            ..self
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
            let pool = pool.get_or_try_init(async || Pool::pinned(pin.clone(), self.timeouts));
            return exchange(pool.await?, request, options).await;
        }
        let authority = request.uri().authority();
        let authority = authority.map(|authority| canonical("https", authority.as_str()));
        let authority = authority.unwrap_or_default();
        if let Some(pool) = self.servers.pool(&authority, self).await {
            return exchange(&pool?, request, options).await;
        }
        let pool = self.pool(&self.public, None).await?;
        exchange(&pool, request, options).await
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

    /// Connections that are authenticated with that certificate, or with none. They end when the certification authorities
    /// are replaced.
    pub(crate) async fn pool(
        &self,
        cell: &PoolCell,
        certificate: Option<&Arc<CertifiedKey>>,
    ) -> Result<Pool, Error> {
        // a metadata service has no certificate, and a machine that asks no other server may have no authorities
        let has_tls = |connection: &Connection| {
            connection.permission.scheme == Over::Https && connection.server_thumbprint.is_none()
        };
        let roots = if self.connections.iter().any(has_tls) {
            self.roots().await?
        } else {
            Arc::clone(&self.no_roots)
        };
        if let Some(pool) = cell.get(&roots) {
            return Ok(pool);
        }
        let pool = Pool::new(self.connector(certificate, &roots).await?);
        cell.put(&roots, &pool);
        Ok(pool)
    }

    /// What makes connections that are authenticated with that certificate, or with none, to servers that these authorities
    /// vouch for.
    pub(crate) async fn connector(
        &self,
        certificate: Option<&Arc<CertifiedKey>>,
        roots: &Arc<RootCertStore>,
    ) -> Result<Connector, Error> {
        let builder = tls()?.with_root_certificates(Arc::clone(roots));
        let tls = match certificate {
            Some(certificate) => builder.with_client_cert_resolver(Arc::new(
                SingleCertAndKey::from(Arc::clone(certificate)),
            )),
            None => builder.with_no_client_auth(),
        };
        Ok(Connector::new(Plan {
            tls: speaking_http(tls),
            server_name: None,
            // what goes out over http is for `permit` to say
            http: certificate.is_none(),
            route: Some(self.route().await?),
            shuns: None,
            timeouts: self.timeouts,
        }))
    }

    /// Connections to a server that these authorities vouch for, by that name in place of its host's.
    pub(crate) async fn pool_to_server(
        &self,
        roots: Arc<RootCertStore>,
        server_name: Option<ServerName<'static>>,
    ) -> Result<Pool, Error> {
        let tls = tls()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Pool::new(Connector::new(Plan {
            tls: speaking_http(tls),
            server_name,
            http: false,
            route: Some(self.route().await?),
            shuns: None,
            timeouts: self.timeouts,
        })))
    }

    /// The certification authorities as they are now.
    pub(crate) async fn roots(&self) -> Result<Arc<RootCertStore>, Error> {
        self.roots.load().await.map_err(|e| {
            log::error!("certification authorities: {e}");
            Error::InternalError(Some(format!("{}: {e}", HttpErrorKind::NO_AUTHORITIES)))
        })
    }

    /// A hint of the engine's, with what names authorities and has an effect here.
    pub(crate) fn explain(&self, hint: &str) -> String {
        self.roots.explain(hint)
    }

    /// What to do about a failure, where that is known.
    #[cfg(any(test, feature = "tower"))]
    pub(crate) fn remedy(&self, error: &Error) -> Option<String> {
        let Error::InternalError(Some(reason)) = error else {
            return None;
        };
        (of_reason(reason)?.0 == HttpErrorKind::ServerCertificate).then(|| self.roots.remedy())
    }

    async fn route(&self) -> Result<Route, Error> {
        let tls = if self.proxies.has_tls() {
            let tls = tls()?.with_root_certificates(self.roots().await?);
            Some(speaking_http(tls.with_no_client_auth()))
        } else {
            None
        };
        Ok(Route {
            proxies: Arc::clone(&self.proxies),
            tls,
        })
    }

    /// Whether policy lets the request out on a connection without a certificate.
    fn is_public<B>(&self, request: &Request<B>) -> bool {
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.authority();
        let host = host.map(|authority| canonical(scheme, authority.as_str()));
        let host = host.unwrap_or_default();
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        self.connections.iter().any(|c| {
            c.certificate.is_none()
                && request.method().as_str() == c.permission.purpose.method()
                && c.permission.permits(scheme, &host, path)
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
            permissions.filter(|permission| permission.is_of(&host))
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
pub(crate) struct Pool(Client<Connector, Full<Bytes>>);

impl Pool {
    /// HTTP/1.1 alone: HTTP/2 costs an exchange, one small request by itself, a tenth of a millisecond more and gives
    /// nothing; and it would hide the alert by which a server refuses a client certificate (TLS 1.3 sends it after the
    /// handshake).
    fn new(connector: Connector) -> Self {
        Self(
            Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(limits::POOL_IDLE)
                .pool_max_idle_per_host(limits::POOL_IDLE_PER_HOST)
                .build(connector),
        )
    }

    /// Connections to servers with that certificate and no other. They are of the platform, and beside this machine: no
    /// proxy is in between.
    fn pinned(thumbprint: String, timeouts: Timeouts) -> Result<Self, Error> {
        let verifier = Pinned {
            thumbprint,
            provider: default_provider(),
        };
        let tls = tls()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Self::new(Connector::new(Plan {
            tls: speaking_http(tls),
            server_name: None,
            http: false,
            route: None,
            shuns: None,
            timeouts,
        })))
    }
}

/// Connections, and the certification authorities that they were made with: new ones mean new connections, and the end of
/// the old.
#[derive(Default)]
pub(crate) struct PoolCell(Mutex<Option<(Arc<RootCertStore>, Pool)>>);

impl PoolCell {
    fn get(&self, roots: &Arc<RootCertStore>) -> Option<Pool> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = made.as_ref().filter(|(with, _)| Arc::ptr_eq(with, roots));
        made.map(|(_, pool)| pool.clone())
    }

    fn put(&self, roots: &Arc<RootCertStore>, pool: &Pool) {
        let made = Some((Arc::clone(roots), pool.clone()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = made;
    }
}

fn tls() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::InternalError(Some(e.to_string())))
}

/// It says which protocol it speaks (RFC 7301), so that a server with others alone refuses it in the handshake.
fn speaking_http(mut tls: ClientConfig) -> Arc<ClientConfig> {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(tls)
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
pub(crate) struct Hooks {
    egress: Arc<Egress>,
    /// Where a request goes that the policy does not let out.
    beyond: Option<Box<dyn WasiHttpHooks>>,
}

impl Hooks {
    pub(crate) fn new(egress: Arc<Egress>) -> Self {
        Self {
            egress,
            beyond: None,
        }
    }

    pub(crate) fn set_beyond(&mut self, network: impl WasiHttpHooks + 'static) {
        self.beyond = Some(Box::new(network));
    }
}

/// What came of a request of a component's, and what drives its connection until the response has been read.
pub(crate) type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

/// A response whose connection nobody has to drive.
pub(crate) fn sent(response: Response<WasiBody>) -> Sent {
    Ok((response, Box::new(async { Ok(()) })))
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        response_processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if let Some(beyond) = &mut self.beyond
            && !self.egress.is_public(&request)
        {
            return beyond.send_request(request, options, response_processed);
        }
        let egress = Arc::clone(&self.egress);
        Box::new(async move {
            // the response is complete: no connection is left to be driven
            sent(egress.send_public(request, options).await?)
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
        Err(e) => log::warn!("{place}: {} after {took} ms", Said(e)),
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
pub(crate) fn transport_error(error: &(dyn StdError + 'static)) -> Error {
    if let Some(none) = find::<NoConnection>(error) {
        return none.error();
    }
    // from here on a request may have been received
    if let Some(tls) = find::<rustls::Error>(error) {
        return tls_failure::error(tls);
    }
    if let Some(io) = find::<io::Error>(error) {
        return match io.kind() {
            io::ErrorKind::TimedOut => Error::ConnectionReadTimeout,
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

/// The kind of a reason of the host's own, and the reason without the word for it.
fn of_reason(reason: &str) -> Option<(HttpErrorKind, &str)> {
    let mut known = HttpErrorKind::REASONS.iter();
    known.find_map(|(word, kind)| Some((*kind, reason.strip_prefix(word)?.strip_prefix(": ")?)))
}

/// A failure for people. A reason of the host's own begins with a word for its component.
pub(crate) struct Said<'e>(pub(crate) &'e Error);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error::InternalError(Some(reason)) = self.0 else {
            return write!(f, "{}", self.0);
        };
        use HttpErrorKind as Kind;

        let (subject, plain) = match of_reason(reason) {
            Some((Kind::ServerCertificate, plain)) => ("its certificate is not trusted", plain),
            Some((Kind::ServerName, plain)) => ("its certificate is for another name", plain),
            Some((Kind::ServerCertificateDate, plain)) => {
                ("its certificate is outside its validity", plain)
            }
            Some((Kind::ServerCertificateUnfit, plain)) => {
                ("its certificate cannot be accepted", plain)
            }
            Some((_, plain)) => ("", plain),
            None => ("", reason.as_str()),
        };
        match (subject, plain) {
            ("", plain) => f.write_str(plain),
            (subject, "") => f.write_str(subject),
            (subject, plain) => write!(f, "{subject}: {plain}"),
        }
    }
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

#[cfg(test)]
mod tests;
