//! Performs the engine's effects: each becomes a call to one of Envoy's clusters, or to its function `sign`.

use edgepass_core::{
    AssertionError, CertificateError, Effect, EffectId, Error, HttpError, HttpErrorKind,
    HttpRequest, HttpResponse, Outcome, ReadError, SecretBytes, Table, TokenRequest, Via, limits,
};
use edgepass_rules::{Counts, Driver, Transport, request_path};

use crate::certificates::{Certificates, Opening, Step};
use crate::host::{self, CallError};
use crate::metrics::Metrics;
use crate::synthetic;

/// A token file, milliseconds: it comes from this very process.
const FILE_TIMEOUT_MS: u64 = 2_000;

/// Headers without which a response is not a server's but Envoy's own.
const SERVER_HEADERS: [&str; 2] = ["x-envoy-upstream-service-time", "server"];

/// The calls of one plugin in one VM.
pub(crate) struct Calls {
    /// Those under way, by Envoy's number.
    under_way: Table<u32, Call>,
    transport: Transport,
    certificates: Certificates,
    metrics: Metrics,
}

struct Call {
    effect: EffectId,
    purpose: Purpose,
}

enum Purpose {
    Http {
        max_response_bytes: usize,
        /// A client certificate authenticates its connection.
        is_bound: bool,
    },
    File,
    Certificate(Opening),
}

impl Calls {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            under_way: Table::new(),
            transport,
            certificates: Certificates::default(),
            metrics: Metrics::default(),
        }
    }

    /// The response to a call has come. What that means for its effect, unless there is more to do.
    pub(crate) fn answered(
        &mut self,
        id: u32,
        headers: usize,
        body: usize,
    ) -> Option<(EffectId, Outcome)> {
        // nobody waits for a call that was cancelled
        let call = self.under_way.remove(&id)?;
        let outcome = match call.purpose {
            Purpose::Http {
                max_response_bytes,
                is_bound,
            } => Some(Outcome::Http(response(
                headers,
                body,
                max_response_bytes,
                is_bound,
            ))),
            Purpose::File => Some(Outcome::File(file(headers, body))),
            Purpose::Certificate(opening) => {
                self.go_on_opening(call.effect, opening, file(headers, body))
            }
        };
        Some((call.effect, outcome?))
    }

    /// Passes on what was counted.
    pub(crate) fn count(&mut self, requests: &Counts) {
        self.metrics.flush(requests);
    }
}

impl Driver for Calls {
    fn begin(&mut self, id: EffectId, effect: Effect) -> Option<Outcome> {
        match effect {
            Effect::Http { request, via } => self
                .send(id, &request, via)
                .err()
                .map(|error| Outcome::Http(Err(error))),
            Effect::ReadFile { path } => self
                .read(id, &path, Purpose::File)
                .err()
                .map(|error| Outcome::File(Err(error))),
            Effect::OpenCertificate { name } => match self.transport.signers.get(&name) {
                Some(files) => {
                    let opening = Opening::new(name, files.clone());
                    let path = opening.path().to_owned();
                    let purpose = Purpose::Certificate(opening);
                    self.read(id, &path, purpose).err().map(cannot_open)
                }
                // it is for the connection alone: certificate and key are Envoy's
                None => {
                    let opened = self.certificates.on_the_connection(name);
                    Some(Outcome::Certificate(Ok(opened)))
                }
            },
            Effect::Sign {
                certificate,
                algorithm,
                input,
            } => Some(Outcome::Signature(self.certificates.sign(
                certificate,
                algorithm,
                &input,
            ))),
            Effect::CloseCertificate { certificate } => {
                self.certificates.close(certificate);
                None
            }
            Effect::Assert { .. } => Some(Outcome::Assertion(Err(AssertionError::NotConfigured))),
            Effect::Cancel { effect } => {
                self.under_way.retain(|_, call| call.effect != effect);
                None
            }
            // the engine ends a flow that waits for something unknown
            _ => None,
        }
    }

    fn refreshed(&mut self, asked: &TokenRequest, expires_on: u64, took_ms: u64) {
        self.metrics.refreshed(asked, expires_on, took_ms);
    }

    fn failed(&mut self, asked: &TokenRequest, error: &Error) {
        self.metrics.failed(asked, error);
    }
}

impl Calls {
    fn send(&mut self, effect: EffectId, request: &HttpRequest, via: Via) -> Result<(), HttpError> {
        let denied = |detail: String| HttpError {
            kind: HttpErrorKind::Denied,
            detail,
        };
        // the certificate is in the TLS context of the cluster
        let certificate = match via {
            Via::Public => None,
            Via::Certificate(opened) => match self.certificates.name(opened) {
                None => return Err(denied("its certificate is not open".to_owned())),
                name => name,
            },
        };
        let host = &request.authority;
        let Some(cluster) = self.transport.token_cluster(host, certificate) else {
            return Err(denied(
                "envoy.token_clusters names no cluster for it".to_owned(),
            ));
        };
        let mut headers = vec![
            (":method", request.method),
            (":scheme", request.scheme),
            (":authority", request.authority.as_str()),
            (":path", request.path.as_str()),
        ];
        headers.extend(
            request
                .headers
                .iter()
                .map(|(name, value)| (*name, value.expose())),
        );
        let body = request.body.expose();
        let call = host::call(cluster, &headers, body, request.timeout_ms)
            .map_err(|error| denied(not_sent(error, cluster)))?;
        let purpose = Purpose::Http {
            max_response_bytes: request.max_response_bytes,
            is_bound: via != Via::Public,
        };
        self.under_way.insert(call, Call { effect, purpose });
        Ok(())
    }

    /// Takes in a file of a certificate, and reads the next one or ends with the open certificate.
    fn go_on_opening(
        &mut self,
        effect: EffectId,
        opening: Opening,
        content: Result<SecretBytes, ReadError>,
    ) -> Option<Outcome> {
        let content = match content {
            Ok(content) => content,
            Err(error) => return Some(cannot_open(error)),
        };
        match opening.read(content, &mut self.certificates) {
            Ok(Step::Done(opened)) => Some(Outcome::Certificate(Ok(opened))),
            Ok(Step::Read(path, opening)) => self
                .read(effect, &path, Purpose::Certificate(opening))
                .err()
                .map(cannot_open),
            Err(error) => Some(Outcome::Certificate(Err(error))),
        }
    }

    fn read(&mut self, effect: EffectId, path: &str, purpose: Purpose) -> Result<(), ReadError> {
        let Some(files) = &self.transport.files else {
            return Err(ReadError::Denied("envoy.files is not set".to_owned()));
        };
        let Some(path) = request_path(files, path) else {
            return Err(ReadError::Denied(
                "it is not below envoy.files.strip_prefix".to_owned(),
            ));
        };
        let headers = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "edgepass"),
            (":path", path.as_str()),
        ];
        let call = host::call(&files.cluster, &headers, &[], FILE_TIMEOUT_MS)
            .map_err(|error| ReadError::Other(not_sent(error, &files.cluster)))?;
        self.under_way.insert(call, Call { effect, purpose });
        Ok(())
    }
}

fn not_sent(error: CallError, cluster: &str) -> String {
    match error {
        CallError::UnknownCluster => format!("Envoy has no cluster `{cluster}`"),
        CallError::Refused => {
            format!(
                "Envoy refused a call to cluster `{cluster}`; is proxy_http_call among the plugin's capabilities?"
            )
        }
    }
}

fn cannot_open(error: ReadError) -> Outcome {
    let reason = match error {
        ReadError::NotFound => "one of its files is not there".to_owned(),
        ReadError::TooLarge(bytes) => format!("one of its files has {bytes} bytes"),
        ReadError::Denied(reason) | ReadError::Other(reason) => {
            format!("one of its files cannot be read: {reason}")
        }
        _ => "one of its files cannot be read".to_owned(),
    };
    Outcome::Certificate(Err(CertificateError::Unavailable(reason)))
}

fn file(headers: usize, body_bytes: usize) -> Result<SecretBytes, ReadError> {
    let response =
        response(headers, body_bytes, limits::MAX_ASSERTION_BYTES, false).map_err(|error| {
            match error.kind {
                HttpErrorKind::BodyTooLarge => {
                    ReadError::TooLarge(u64::try_from(body_bytes).unwrap_or(u64::MAX))
                }
                _ => ReadError::Other(format!(
                    "the cluster of envoy.files did not answer {}",
                    error.detail
                )),
            }
        })?;
    match response.status {
        200 => Ok(response.body),
        404 => Err(ReadError::NotFound),
        status @ (401 | 403) => Err(ReadError::Denied(format!(
            "the cluster of envoy.files answered {status}"
        ))),
        status => Err(ReadError::Other(format!(
            "the cluster of envoy.files answered {status}"
        ))),
    }
}

fn response(
    headers: usize,
    body_bytes: usize,
    max_bytes: usize,
    is_bound: bool,
) -> Result<HttpResponse, HttpError> {
    let failed = |kind| HttpError {
        kind,
        detail: String::new(),
    };
    if headers == 0 {
        return Err(failed(HttpErrorKind::Reset));
    }
    let headers = host::call_headers();
    let status = headers
        .iter()
        .find(|(name, _)| name == ":status")
        .and_then(|(_, status)| status.parse().ok())
        .ok_or_else(|| failed(HttpErrorKind::Protocol))?;
    if body_bytes > max_bytes {
        return Err(failed(HttpErrorKind::BodyTooLarge));
    }
    let body = host::call_body(max_bytes);
    let from_server = headers
        .iter()
        .any(|(name, _)| SERVER_HEADERS.contains(&name.as_str()));
    match synthetic::failure(status, from_server, is_bound, &body) {
        Some(error) => Err(error),
        None => Ok(HttpResponse {
            status,
            headers,
            body: SecretBytes::new(body),
        }),
    }
}
