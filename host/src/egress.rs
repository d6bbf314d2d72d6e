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
            tls: Arc::new(tls),
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
            tls: Arc::new(tls),
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

    async fn route(&self) -> Result<Route, Error> {
        let tls = if self.proxies.has_tls() {
            let tls = tls()?.with_root_certificates(self.roots().await?);
            Some(Arc::new(tls.with_no_client_auth()))
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
            tls: Arc::new(tls),
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
        response_processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if let Some(beyond) = &mut self.beyond
            && !self.egress.is_public(&request)
        {
            return beyond.send_request(request, options, response_processed);
        }
        let egress = Arc::clone(&self.egress);
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

/// A failure for people. A reason of the host's own begins with a word for its component.
pub(crate) struct Said<'e>(pub(crate) &'e Error);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Error::InternalError(Some(reason)) = self.0 else {
            return write!(f, "{}", self.0);
        };
        let plain = HttpErrorKind::REASONS
            .iter()
            .find_map(|(word, _)| reason.strip_prefix(word)?.strip_prefix(": "));
        f.write_str(plain.unwrap_or(reason))
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
mod tests {
    use std::time::Duration;

    use edgepass_core::{Config, Environment};
    use edgepass_emulator::{BrokenServer, ConnectProxy, Emulator, Manner, Stage};

    use super::*;

    fn egress() -> Egress {
        let json = r#"{"authority_hosts": ["login.example:8443", "login.other"], "identities": {
            "a": {"token_endpoint": "https://login.example:8443/t", "client_id": "c",
                "credential": {"client_secret": {"value": "s"}}},
            "b": {"token_endpoint": "https://LOGIN.other/t", "client_id": "c",
                "credential": {"client_secret": {"value": "s"}}}}}"#;
        let config = Config::load(Some(json), &Environment::default()).unwrap();
        Egress::new(config.needs().connections, Roots::of_the_system())
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
        let egress = Egress::new(config.needs().connections, Roots::of_the_system());
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
        Egress::new(config.needs().connections, Roots::of_the_system())
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
        let egress = Egress::new(config.needs().connections, Roots::of_the_system());
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
    fn what_is_lost_after_the_handshake_is_no_missing_connection() {
        let lost = io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(matches!(
            transport_error(&lost),
            Error::ConnectionTerminated
        ));
        let alert = io::Error::other(rustls::Error::AlertReceived(
            rustls::AlertDescription::CertificateRequired,
        ));
        assert!(matches!(
            transport_error(&alert),
            Error::TlsAlertReceived {
                alert_id: Some(116),
                ..
            }
        ));
    }

    /// An egress that knows one token endpoint, the authorities of its server and these variables.
    fn egress_to(url: &str, ca: &str, variables: &[(&str, &str)]) -> Egress {
        let (authority, _) = url.trim_start_matches("https://").split_once('/').unwrap();
        let json = format!(
            r#"{{"authority_hosts": ["{authority}"], "identities": {{"a": {{"token_endpoint": "{url}",
                "client_id": "c", "credential": {{"client_secret": {{"value": "s"}}}}}}}}}}"#
        );
        let environment = Environment::from_pairs(variables.iter().copied());
        let config = Config::load(Some(&json), &environment).unwrap();
        let roots = Roots::pem(ca.as_bytes(), None, &mut Vec::new()).unwrap();
        Egress::new(config.needs().connections, roots)
            .through(Proxies::new(None, &environment).unwrap())
    }

    /// For who is silent for ever.
    const IMPATIENT: Timeouts = Timeouts {
        tcp: Duration::from_millis(500),
        all: Duration::from_millis(500),
    };

    async fn post(egress: &Egress, url: &str) -> Result<u16, Error> {
        let body = Full::new(Bytes::from_static(b"grant_type=client_credentials"));
        let body = body.map_err(Error::from).boxed_unsync();
        let request = Request::builder().method("POST").uri(url).body(body);
        let options = RequestOptions {
            connect_timeout: None,
            first_byte_timeout: Some(Duration::from_secs(5)),
            between_bytes_timeout: None,
        };
        let response = egress.send_public(request.unwrap(), Some(options)).await?;
        Ok(response.status().as_u16())
    }

    /// Whether the component is told that there was no connection, so that nothing was sent (`is_of_the_connection` of the
    /// engine).
    fn is_no_connection(error: &Error) -> bool {
        match error {
            Error::ConnectionRefused
            | Error::ConnectionTimeout
            | Error::DestinationUnavailable
            | Error::DnsError { .. }
            | Error::TlsAlertReceived { .. } => true,
            Error::InternalError(Some(text)) => ["not-connected: ", "tls-handshake: ", "proxy"]
                .iter()
                .any(|word| text.starts_with(word)),
            _ => false,
        }
    }

    /// A firewall may end a connection anywhere. Up to the end of the handshake there was none; after it a request may
    /// have been received.
    #[tokio::test]
    async fn a_connection_that_ends_before_the_request_was_none() {
        for stage in Stage::ALL {
            for is_proxied in [false, true] {
                let server = BrokenServer::start(stage, "login.example").unwrap();
                let proxy = ConnectProxy::start().unwrap();
                let port = server.address().port();
                let host = if is_proxied {
                    "login.example"
                } else {
                    "127.0.0.1"
                };
                let url = format!("https://{host}:{port}/token");
                proxy.route(&format!("{host}:{port}"), server.address());
                let proxy_url = proxy.url();
                let mut egress = egress_to(&url, server.ca_pem(), &[("HTTPS_PROXY", &proxy_url)]);
                if stage == Stage::SilenceAfterHello {
                    egress.timeouts = IMPATIENT;
                }
                let error = post(&egress, &url).await.unwrap_err();
                let said = format!("{stage:?}, through a proxy: {is_proxied}: {error:?}");
                assert_eq!(is_no_connection(&error), !stage.has_request(), "{said}");
                assert_eq!(
                    server.requests(),
                    usize::from(stage.has_request()),
                    "{said}"
                );
                assert_eq!(proxy.connections(), usize::from(is_proxied), "{said}");
                let expected = match stage {
                    Stage::Refused if is_proxied => "did not reach login.example:",
                    Stage::Refused => "ConnectionRefused",
                    Stage::SilenceAfterHello => "nothing came of the TLS handshake",
                    Stage::Alert => "TlsAlertReceived",
                    Stage::NoTls => "does not speak TLS",
                    Stage::SilenceAfterRequest => "ConnectionReadTimeout",
                    Stage::CloseAfterRequest | Stage::ResetAfterRequest => "ConnectionTerminated",
                    // whether the system has it for closed or for reset depends on what it had sent, and what a proxy makes
                    // of a reset is its own affair
                    _ if is_proxied => "the proxy 127.0.0.1",
                    Stage::ResetAtOnce => "not-connected: ",
                    _ => "in the TLS handshake",
                };
                assert!(said.contains(expected), "{said}");
            }
        }
    }

    #[tokio::test]
    async fn each_way_in_which_a_proxy_fails_is_said_with_what_to_do() {
        let answer = |text: &str| Manner::Answer(format!("{text}\r\n\r\n"));
        /// What the proxy does; user and password; the reason; what of the hint; whether time may cure it.
        type Row<'a> = (Manner, &'a str, &'a str, &'a str, bool);
        let rows: [Row<'_>; 20] = [
            (
                Manner::Close,
                "",
                "closed the connection in place of an answer; check",
                "NO_PROXY",
                true,
            ),
            (Manner::Reset, "", "reset the connection", "NO_PROXY", true),
            (Manner::Silence, "", "opened no way in", "NO_PROXY", true),
            (
                answer("HTTP/1.1 407 x"),
                "",
                "asks for credentials (407)",
                "write them into HTTPS_PROXY: http://USER:PASSWORD@127.0.0.1:",
                false,
            ),
            (
                answer("HTTP/1.1 407 x\r\nproxy-authenticate: Negotiate, basic realm=x"),
                "",
                "asks for credentials (407)",
                "write them into HTTPS_PROXY",
                false,
            ),
            (
                answer(
                    "HTTP/1.1 407 x\r\nproxy-authenticate: NTLM\r\nproxy-authenticate: Negotiate",
                ),
                "u:hunter2@",
                "in a way that is not supported (407)",
                "only Basic is",
                false,
            ),
            (
                answer("HTTP/1.1 407 x\r\nproxy-authenticate: Basic realm=x"),
                "u:hunter2@",
                "does not take its credentials (407)",
                "check user name and password in HTTPS_PROXY",
                false,
            ),
            (
                answer("HTTP/1.1 401 x"),
                "",
                "asks for credentials (401)",
                "write them into HTTPS_PROXY: http://USER:PASSWORD@127.0.0.1:",
                false,
            ),
            (
                answer("HTTP/1.1 401 x\r\nwww-authenticate: Basic realm=x"),
                "u:hunter2@",
                "does not take its credentials (401)",
                "check user name and password in HTTPS_PROXY",
                false,
            ),
            (
                answer("HTTP/1.1 401 x\r\nwww-authenticate: Negotiate"),
                "",
                "in a way that is not supported (401)",
                "only Basic is",
                false,
            ),
            (
                answer(
                    "HTTP/1.1 401 x\r\nwww-authenticate: NTLM\r\nproxy-authenticate: Basic realm=x",
                ),
                "",
                "asks for credentials (401)",
                "write them into HTTPS_PROXY",
                false,
            ),
            (
                answer("HTTP/1.1 403 x"),
                "",
                "opens no way to login.example:443 (403)",
                "permit",
                false,
            ),
            (
                answer("HTTP/1.1 400 x"),
                "",
                "opens no way to login.example:443 (400)",
                "permit",
                false,
            ),
            (
                answer("HTTP/1.1 302 x\r\nlocation: http://portal.example/hunter2"),
                "",
                "opens no way to login.example:443 (302)",
                "permit",
                false,
            ),
            (
                answer("HTTP/1.1 502 x"),
                "",
                "did not reach login.example:443 (502)",
                "NO_PROXY",
                true,
            ),
            (
                answer("HTTP/1.0 503 x"),
                "",
                "did not reach login.example:443 (503)",
                "NO_PROXY",
                true,
            ),
            (
                answer("SSH-2.0-OpenSSH_9.2"),
                "",
                "is no HTTP proxy",
                "HTTPS_PROXY",
                false,
            ),
            (
                answer("\u{15}\u{3}\u{3}"),
                "",
                "is no HTTP proxy",
                "HTTPS_PROXY",
                false,
            ),
            (
                answer(&format!("HTTP/1.1 200 {}", "x".repeat(70_000))),
                "",
                "is no HTTP proxy",
                "HTTPS_PROXY",
                false,
            ),
            // who answers before he is asked is no server that speaks TLS
            (
                answer("HTTP/1.1 200 OK\r\n\r\n220 mail.example ESMTP"),
                "",
                "is no HTTP proxy",
                "HTTPS_PROXY",
                false,
            ),
        ];
        let emulator = Emulator::builder().host_name("login.example").start();
        let ca = emulator.await.unwrap().ca_pem();
        let url = "https://login.example/token";
        for (manner, credentials, reason, hint, passes) in rows {
            let proxy = ConnectProxy::start().unwrap();
            proxy.behave(manner.clone());
            let named = format!("http://{credentials}{}", proxy.place());
            let mut egress = egress_to(url, &ca, &[("HTTPS_PROXY", &named)]);
            if manner == Manner::Silence {
                egress.timeouts = IMPATIENT;
            }
            let error = post(&egress, url).await.unwrap_err();
            let Error::InternalError(Some(text)) = &error else {
                panic!("{manner:?}: {error:?}");
            };
            let word = if passes { "proxy: " } else { "proxy-refused: " };
            assert!(text.starts_with(word), "{manner:?}: {text}");
            let named = format!("{} (HTTPS_PROXY)", proxy.place());
            assert!(
                text.contains(&named) && text.contains(reason),
                "{manner:?}: {text}"
            );
            let (_, said) = text.split_once("; ").unwrap();
            assert!(said.contains(hint), "{manner:?}: {text}");
            assert!(
                said.contains("_PROXY"),
                "the hint names the variable: {text}"
            );
            assert!(!format!("{error:?}").contains("hunter2"), "{text}");
        }
        // nobody is there
        let gone = ConnectProxy::start().unwrap().place();
        for (proxy, says) in [
            (gone.as_str(), "refused the connection"),
            ("https://127.0.0.1:1", "refused the connection"),
            ("http://no-such-name.invalid:3128", "has no address: "),
        ] {
            let egress = egress_to(url, &ca, &[("https_proxy", proxy)]);
            let error = format!("{:?}", post(&egress, url).await.unwrap_err());
            assert!(
                error.contains(says) && error.contains("in https_proxy"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_request_goes_through_a_proxy_and_back() {
        let emulator = Emulator::builder().host_name("login.example").start();
        let emulator = emulator.await.unwrap();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], emulator.port()));
        let url = "https://login.example/token";
        for (credentials, expected) in [
            ("", None),
            ("u:p@", Some("u:p")),
            ("u:p%40%c3%a9%3a@", Some("u:p@é:")),
        ] {
            let proxy = ConnectProxy::start().unwrap();
            proxy.route("login.example:443", to);
            proxy.require(expected);
            let named = format!("http://{credentials}{}", proxy.place());
            let egress = egress_to(url, &emulator.ca_pem(), &[("ALL_PROXY", &named)]);
            for _ in 0..2 {
                // no path of the emulator's
                assert_eq!(post(&egress, url).await.unwrap(), 404);
            }
            let seen = proxy.requests();
            assert_eq!(seen.len(), 1, "a tunnel is used again");
            let found = seen[0].credentials.as_deref().map(String::from_utf8_lossy);
            assert_eq!(found.as_deref(), expected);
        }
    }

    /// TLS with the proxy, and TLS with the server inside of it.
    #[tokio::test]
    async fn a_proxy_may_speak_tls_itself() {
        let emulator = Emulator::builder().host_name("login.example").start();
        let emulator = emulator.await.unwrap();
        let url = "https://login.example/token";
        let proxy = ConnectProxy::start_with_tls().unwrap();
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], emulator.port()));
        proxy.route("login.example:443", to);
        let both = format!("{}{}", emulator.ca_pem(), proxy.ca_pem().unwrap());
        let own = proxy.url();
        let egress = egress_to(url, &both, &[("HTTPS_PROXY", &own)]);
        assert_eq!(post(&egress, url).await.unwrap(), 404);
        assert_eq!(proxy.requests().len(), 1);
        // its certificate is not taken from anybody, and who speaks no TLS is told from one that refuses
        let in_clear = ConnectProxy::start().unwrap();
        let plain = format!("https://{}", in_clear.place());
        for (proxy, says) in [
            (own.as_str(), "a signature in its chain is wrong"),
            (plain.as_str(), "does not speak TLS"),
        ] {
            let egress = egress_to(url, &emulator.ca_pem(), &[("HTTPS_PROXY", proxy)]);
            let error = format!("{:?}", post(&egress, url).await.unwrap_err());
            assert!(
                error.contains("proxy-refused: no TLS with the proxy"),
                "{error}"
            );
            assert!(
                error.contains(says) && error.contains("; HTTPS_PROXY has https://"),
                "{error}"
            );
        }
    }
}
