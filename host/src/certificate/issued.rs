//! Certificates that a platform issues for keys of the host's: those of managed identities, from the metadata service of an
//! Azure virtual machine (its credential protocol, version 2).
//!
//! The host asks the platform itself. A component that could ask would get a certificate for a key of its own, and the point
//! of it is that the key is nowhere but here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use edgepass_core::needs::IssuedCertificateNeed;
use edgepass_core::{Issuance, printable};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use wasmtime_wasi_http::{Error, RequestOptions};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode as _;

use super::csr::{self, Requested};
use super::pair::Pair;
use super::{OpenError, Snapshot};
use crate::egress::Egress;
use crate::limits;
use crate::roots::Roots;

/// Characters of a platform's words that are shown.
const MAX_WORDS_CHARS: usize = 400;

/// One managed identity's certificate: the one there is now, and who gets the next.
pub(crate) struct Issued {
    need: IssuedCertificateNeed,
    /// Lets out what is asked there, and nothing else.
    egress: Egress,
    kept: Mutex<Option<Kept>>,
    /// Held while the platform is asked.
    turn: tokio::sync::Mutex<()>,
}

/// A certificate and how long it is good.
#[derive(Clone)]
struct Kept {
    snapshot: Arc<Snapshot>,
    /// When the next is asked for.
    renew: Instant,
    end: Instant,
    /// Since when it is there in the place of one that a server has refused.
    replaces_refused: Option<Instant>,
}

impl Kept {
    /// Half of what is left of its validity when it comes, by the clock of this machine; where that says that it has ended, which
    /// servers know better, half of the whole.
    fn of(
        snapshot: Arc<Snapshot>,
        validity: IssuedValidity,
        wall: SystemTime,
        now: Instant,
    ) -> Self {
        let whole = validity
            .not_after
            .duration_since(validity.not_before)
            .unwrap_or_default();
        let left = validity.not_after.duration_since(wall).unwrap_or(whole);
        Self {
            snapshot,
            renew: now + left / 2,
            end: now + left,
            replaces_refused: None,
        }
    }

    /// Whether the next is to be asked for. One that came for a refused one, and is refused as well, is not at fault.
    fn is_due(&self, now: Instant) -> bool {
        let is_refused = self.snapshot.is_refused()
            && self
                .replaces_refused
                .is_none_or(|since| now.duration_since(since) >= limits::REISSUE_INTERVAL);
        now >= self.renew || is_refused
    }
}

/// From when to when a certificate that somebody issues is good, on the wall clock.
#[derive(Clone, Copy)]
pub(super) struct IssuedValidity {
    not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Issued {
    pub(crate) fn new(need: IssuedCertificateNeed) -> Self {
        Self {
            egress: Egress::new(need.connections(), Roots::none()),
            need,
            kept: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The certificate as it is now. The first is waited for; while the next is asked for, the one before serves.
    pub(crate) async fn current(&self) -> Result<Arc<Snapshot>, OpenError> {
        if let Some(snapshot) = self.good() {
            return Ok(snapshot);
        }
        let usable = || self.kept().filter(|kept| Instant::now() < kept.end);
        let _turn = match (self.turn.try_lock(), usable()) {
            (Ok(turn), _) => turn,
            (Err(_), Some(kept)) => return Ok(kept.snapshot),
            (Err(_), None) => self.turn.lock().await,
        };
        // it may have come while this waited for its turn
        if let Some(snapshot) = self.good() {
            return Ok(snapshot);
        }
        let before = usable();
        match (self.issue().await, before) {
            (Ok(mut kept), before) => {
                let is_refused = before.is_some_and(|before| before.snapshot.is_refused());
                kept.replaces_refused = is_refused.then(Instant::now);
                let snapshot = Arc::clone(&kept.snapshot);
                self.keep(kept);
                Ok(snapshot)
            }
            (Err(error), Some(mut before)) => {
                log::warn!(
                    "certificate of {}: {error}; the one before stays in use",
                    self.need.setting
                );
                before.renew = Instant::now() + limits::RENEW_AGAIN;
                before.replaces_refused = Some(Instant::now());
                let snapshot = Arc::clone(&before.snapshot);
                self.keep(before);
                Ok(snapshot)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The one that there is, if no other is due.
    fn good(&self) -> Option<Arc<Snapshot>> {
        let now = Instant::now();
        let kept = self.kept().filter(|kept| !kept.is_due(now))?;
        Some(kept.snapshot)
    }

    fn kept(&self) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    fn keep(&self, kept: Kept) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// Asks the platform who this is, and for a certificate for a new key.
    async fn issue(&self) -> Result<Kept, OpenError> {
        let metadata = self
            .ask(
                Method::GET,
                IssuedCertificateNeed::METADATA_PATH,
                Bytes::new(),
            )
            .await?;
        let metadata = Metadata::of(&metadata).ok_or_else(|| self.odd("its metadata"))?;
        let requested = tokio::task::spawn_blocking(move || {
            csr::new(&metadata.client_id, &metadata.tenant_id, &metadata.cu_id)
        });
        let Requested { key, request } = requested
            .await
            .map_err(|e| OpenError::Temporary(e.to_string()))?
            .map_err(OpenError::Unavailable)?;
        // without `attestation_token`: that is for keys in hardware
        let body = json!({ "csr": STANDARD.encode(request) }).to_string();
        let answer = self
            .ask(Method::POST, IssuedCertificateNeed::ISSUE_PATH, body.into())
            .await?;
        let issuance = Issuance {
            client_id: filled(&answer, "client_id").ok_or_else(|| self.odd("client_id"))?,
            tenant_id: filled(&answer, "tenant_id").ok_or_else(|| self.odd("tenant_id"))?,
            token_service: filled(&answer, "mtls_authentication_endpoint")
                .ok_or_else(|| self.odd("mtls_authentication_endpoint"))?,
        };
        let certificate = filled(&answer, "certificate")
            .and_then(|text| STANDARD.decode(text).ok())
            .map(CertificateDer::from)
            .ok_or_else(|| self.odd("certificate"))?;
        let validity = validity(&certificate).ok_or_else(|| self.odd("certificate"))?;
        let pair = Pair::of(&[certificate], &key, "the platform's answer", "the host");
        let pair = pair.map_err(|e| OpenError::Unavailable(e.to_string()))?;
        let snapshot = Snapshot::issued(&self.need.name, pair, issuance);
        let (wall, now) = (SystemTime::now(), Instant::now());
        Ok(Kept::of(Arc::new(snapshot), validity, wall, now))
    }

    /// One question to the metadata service, and the object that it answers with.
    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value, OpenError> {
        let IssuedCertificateNeed {
            authority, query, ..
        } = &self.need;
        let deadline = match method {
            Method::GET => limits::METADATA_DEADLINE,
            _ => limits::ISSUE_DEADLINE,
        };
        let request = Request::builder()
            .method(&method)
            .uri(format!("http://{authority}{path}?{query}"))
            .header("accept", "application/json")
            .header("metadata", "true");
        let request = match method {
            Method::GET => request,
            _ => request.header("content-type", "application/json"),
        };
        let body = Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync();
        let request = request
            .body(body)
            .map_err(|e| OpenError::Unavailable(e.to_string()))?;
        let options = RequestOptions {
            first_byte_timeout: Some(deadline),
            ..RequestOptions::default()
        };
        let response = self.egress.send_public(request, Some(options)).await;
        let response = response.map_err(|e| self.silent(&e))?;
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|e| self.silent(&e))?
            .to_bytes();
        let answer = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        let server = head.headers.get("server").and_then(|v| v.to_str().ok());
        let is_service = server.is_some_and(|name| name.to_ascii_uppercase().contains("IMDS"));
        match head.status {
            StatusCode::OK if is_service => Ok(answer),
            status => Err(self.refused(&method, status, is_service, &answer)),
        }
    }

    /// Nobody has answered.
    fn silent(&self, error: &Error) -> OpenError {
        let authority = &self.need.authority;
        OpenError::Temporary(format!(
            "the metadata service at {authority} did not answer ({error})"
        ))
    }

    fn refused(
        &self,
        method: &Method,
        status: StatusCode,
        is_service: bool,
        answer: &Value,
    ) -> OpenError {
        let service = format!("the metadata service at {}", self.need.authority);
        let code = status.as_u16();
        let words = words(answer);
        let lower = words.to_ascii_lowercase();
        let why = match status {
            // it is being updated, or throttles
            StatusCode::REQUEST_TIMEOUT | StatusCode::GONE | StatusCode::TOO_MANY_REQUESTS => {
                return OpenError::Temporary(format!("{service} is not ready (HTTP {code})"));
            }
            _ if status.is_server_error() => {
                return OpenError::Temporary(format!("{service} failed (HTTP {code}): {words}"));
            }
            _ if !is_service => format!(
                "who answers at {} (HTTP {code}) is no metadata service of Azure",
                self.need.authority
            ),
            StatusCode::NOT_FOUND if *method == Method::GET => format!(
                "{service} knows version 1 alone (HTTP 404): it issues no certificates on this machine"
            ),
            _ if ["attest", "keyguard"]
                .iter()
                .any(|word| lower.contains(word)) =>
            {
                format!(
                    "{service} issues certificates on this machine only for keys in hardware that are attested (KeyGuard), and this host's are in its memory (HTTP {code}: {words})"
                )
            }
            _ => format!("{service} refused (HTTP {code}): {words}"),
        };
        OpenError::Unavailable(why)
    }

    /// An answer that lacks something.
    fn odd(&self, what: &str) -> OpenError {
        OpenError::Unavailable(format!(
            "the answer of the metadata service at {} has no {what} that can be used",
            self.need.authority
        ))
    }
}

/// Who the machine is.
struct Metadata {
    client_id: String,
    tenant_id: String,
    /// JSON, as it goes into the request.
    cu_id: String,
}

impl Metadata {
    fn of(answer: &Value) -> Option<Self> {
        let mut cu_id = Map::new();
        for name in ["vmId", "vmssId"] {
            if let Some(id) = filled(answer.get("cuId")?, name) {
                cu_id.insert(name.to_owned(), id.into());
            }
        }
        let is_plain = |id: &String| {
            id.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        };
        Some(Self {
            client_id: filled(answer, "clientId").filter(is_plain)?,
            tenant_id: filled(answer, "tenantId").filter(is_plain)?,
            cu_id: Some(cu_id)
                .filter(|ids| !ids.is_empty())
                .map(|ids| Value::Object(ids).to_string())?,
        })
    }
}

fn filled(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// What a refusal says, in either of the forms of Azure's platforms.
fn words(answer: &Value) -> String {
    let inner = answer.get("error").filter(|inner| inner.is_object());
    let object = inner.unwrap_or(answer);
    let said = ["error", "code", "error_description", "message"]
        .into_iter()
        .filter_map(|name| filled(object, name))
        .collect::<Vec<_>>();
    if said.is_empty() {
        return "without words".to_owned();
    }
    printable(&said.join(": "), MAX_WORDS_CHARS)
}

pub(super) fn validity(certificate: &[u8]) -> Option<IssuedValidity> {
    let certificate = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    Some(IssuedValidity {
        not_before: UNIX_EPOCH + validity.not_before.to_unix_duration(),
        not_after: UNIX_EPOCH + validity.not_after.to_unix_duration(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn snapshot() -> Arc<Snapshot> {
        let Requested { key, .. } = csr::new("client", "tenant", "{}").unwrap();
        let pair = rcgen::KeyPair::try_from(key.secret_der()).unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&pair)
            .unwrap();
        let pair = Pair::of(&[certificate.der().clone()], &key, "", "").unwrap();
        let issuance = Issuance {
            client_id: String::new(),
            tenant_id: String::new(),
            token_service: String::new(),
        };
        Arc::new(Snapshot::issued("issued:x", pair, issuance))
    }

    /// Whatever the clocks of both sides show, there is a time until which it serves, and an earlier one for the next.
    #[test]
    fn a_certificate_is_renewed_at_half_of_what_is_left_of_it() {
        let (snapshot, now, wall) = (snapshot(), Instant::now(), SystemTime::now());
        let seconds = Duration::from_secs;
        for (before, after, expected) in [
            // ago, from now, and what is left
            (0, 1000, 1000),
            (900, 100, 100),
            // the clock here is an hour behind: it begins in the future
            (-3600, 4600, 4600),
            // it is ahead, and the certificate over
            (2000, -1000, 1000),
        ] {
            let at = |offset: i64| match u64::try_from(offset) {
                Ok(offset) => wall + seconds(offset),
                Err(_) => wall - seconds(offset.unsigned_abs()),
            };
            let validity = IssuedValidity {
                not_before: at(-before),
                not_after: at(after),
            };
            let kept = Kept::of(Arc::clone(&snapshot), validity, wall, now);
            assert_eq!(kept.end, now + seconds(expected), "{before} {after}");
            let half = now + seconds(expected) / 2;
            assert!(!kept.is_due(half - seconds(1)) && kept.is_due(half));
        }
    }

    #[test]
    fn a_refused_one_is_replaced_once_in_a_while() {
        let (snapshot, now) = (snapshot(), Instant::now());
        let validity = IssuedValidity {
            not_before: SystemTime::now(),
            not_after: SystemTime::now() + Duration::from_secs(86_400),
        };
        let mut kept = Kept::of(Arc::clone(&snapshot), validity, SystemTime::now(), now);
        assert!(!kept.is_due(now));
        use wasmtime_wasi_http::Error as E;
        for (error, refuses) in [
            (E::ConnectionRefused, false),
            (E::ConnectionReadTimeout, false),
            (E::HttpRequestDenied, false),
            (E::InternalError(Some("not-connected: x".to_owned())), false),
            (
                E::InternalError(Some("tls-certificate-untrusted: x".to_owned())),
                false,
            ),
            (E::InternalError(Some("tls-handshake: x".to_owned())), true),
        ] {
            snapshot.note(&error);
            assert_eq!(kept.is_due(now), refuses, "{error}");
        }
        kept.replaces_refused = Some(now);
        assert!(!kept.is_due(now));
        assert!(kept.is_due(now + limits::REISSUE_INTERVAL));
    }

    #[test]
    fn metadata_is_whole_or_none() {
        let whole = json!({ "clientId": "c", "tenantId": "t", "cuId": { "vmId": "v", "vmssId": "s" },
            "attestationEndpoint": "https://x" });
        let read = Metadata::of(&whole).unwrap();
        assert_eq!(read.cu_id, r#"{"vmId":"v","vmssId":"s"}"#);
        for (pointer, value, good) in [
            ("/cuId/vmssId", Value::Null, true),
            ("/cuId/vmssId", json!(""), true),
            ("/attestationEndpoint", Value::Null, true),
            ("/cuId", Value::Null, false),
            ("/cuId", json!({}), false),
            ("/clientId", json!(""), false),
            ("/clientId", json!(7), false),
            // nothing that a name could be made of otherwise
            ("/clientId", json!("c,DC=x"), false),
            ("/tenantId", json!("t+CN=x"), false),
        ] {
            let mut answer = whole.clone();
            *answer.pointer_mut(pointer).unwrap() = value;
            assert_eq!(Metadata::of(&answer).is_some(), good, "{answer}");
        }
    }

    #[test]
    fn the_words_of_a_refusal_are_shown_in_either_form() {
        for (answer, expected) in [
            (json!({ "error": "e", "error_description": "d" }), "e: d"),
            (json!({ "error": { "code": "c", "message": "m" } }), "c: m"),
            (json!({ "message": "a\u{1b}b" }), "ab"),
            (json!("text"), "without words"),
            (Value::Null, "without words"),
        ] {
            assert_eq!(words(&answer), expected);
        }
    }
}
