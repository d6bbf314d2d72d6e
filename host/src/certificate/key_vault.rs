//! Certificates that Azure Key Vault keeps: read with their keys, as `DefaultCertificateLoader` of Microsoft.Identity.Web reads
//! them, or only signed with where the key does not leave the vault.
//!
//! The token for the vault is a managed identity's, which the component gets as any other. The vault is asked by the host: a
//! component that could ask would have the key. Sources: the reference of Key Vault's interface, version 7.4 (Get
//! Certificate, Get Secret, Sign; <https://learn.microsoft.com/rest/api/keyvault/>).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest::{self, SHA256, SHA384};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use edgepass_core::config::KeyVaultFile;
use edgepass_core::{Algorithm, Refresh, Secret, TokenRequest, printable, without_secrets};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use wasmtime_wasi_http::{Error, RequestOptions};
use zeroize::Zeroizing;

use super::issued::validity;
use super::pair::{Given, LoadError, Pair, SignError};
use super::source::decode;
use super::{OpenError, Snapshot};
use crate::egress::Egress;
use crate::instance::OwnCalls;
use crate::limits;
use crate::secret_json::SecretJson;

/// Characters of a vault's words that are shown.
const MAX_WORDS_CHARS: usize = 400;

/// One certificate: the version that there is now, and who gets the next.
pub(crate) struct KeyVault {
    vault: Arc<Vault>,
    state: Mutex<State>,
    /// Held while the vault is asked.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// What was refused, and until when it is not asked for again.
    refused: Option<(Instant, OpenError)>,
}

/// A version and when the vault is asked for the next.
#[derive(Clone)]
struct Kept {
    snapshot: Arc<Snapshot>,
    version: String,
    ask: Instant,
    /// Since when the vault has no other for one that a server has refused.
    refused_since: Option<Instant>,
}

impl Kept {
    fn of(snapshot: Arc<Snapshot>, version: String, now: Instant) -> Self {
        let ask = now + poll(&snapshot);
        let refused_since = snapshot.is_refused().then_some(now);
        Self {
            snapshot,
            version,
            ask,
            refused_since,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let is_refused = self.snapshot.is_refused()
            && self
                .refused_since
                .is_none_or(|since| now.duration_since(since) >= limits::REISSUE_INTERVAL);
        now >= self.ask || is_refused
    }
}

/// Until the vault is asked for a new version: a while, or half of what is left of this one.
fn poll(snapshot: &Snapshot) -> Duration {
    let end = snapshot.chain.first().and_then(|leaf| validity(leaf));
    let left = end.and_then(|validity| validity.not_after.duration_since(SystemTime::now()).ok());
    let half = left.unwrap_or_default() / 2;
    half.clamp(limits::VAULT_POLL_LEAST, limits::VAULT_POLL)
}

/// Why there is none.
struct Failure {
    error: OpenError,
    /// How long the vault is left alone.
    alone: Duration,
    /// The vault says that what it has given before is not to be used.
    is_gone: bool,
}

impl Failure {
    fn refused(reason: String) -> Self {
        Self {
            error: OpenError::Unavailable(reason),
            alone: limits::VAULT_REFUSED,
            is_gone: false,
        }
    }

    /// Of which the engine says when it is asked again.
    fn passing(reason: String) -> Self {
        Self {
            error: OpenError::Temporary(reason),
            alone: Duration::ZERO,
            is_gone: false,
        }
    }

    fn gone(reason: String) -> Self {
        Self {
            is_gone: true,
            ..Self::refused(reason)
        }
    }
}

impl KeyVault {
    pub(crate) fn new(
        name: &str,
        file: KeyVaultFile,
        egress: Arc<Egress>,
        tokens: Arc<OnceLock<OwnCalls>>,
    ) -> Self {
        let (authority, audience) = file.server();
        Self {
            vault: Arc::new(Vault {
                name: name.to_owned(),
                file,
                authority,
                audience,
                egress,
                tokens,
            }),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// The version that there is, whatever the vault has now.
    pub(crate) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.kept().map(|kept| kept.snapshot)
    }

    /// The certificate as it is now. The first is waited for. Later ones are waited for a moment only, so that a vault that
    /// does not answer holds nobody up who has one.
    pub(crate) async fn current(self: Arc<Self>) -> Result<Arc<Snapshot>, OpenError> {
        let kept = self.kept();
        let patience = match &kept {
            Some(kept) if !kept.is_due(Instant::now()) || self.turn.try_lock().is_err() => {
                return Ok(Arc::clone(&kept.snapshot));
            }
            Some(_) => limits::VAULT_PATIENCE,
            None => limits::VAULT_WAIT,
        };
        // a task of its own: what comes after its caller has left is there for the next
        let asks = Arc::clone(&self);
        let asked = tokio::spawn(async move { asks.renew().await });
        match (tokio::time::timeout(patience, asked).await, kept) {
            (Ok(Ok(renewed)), _) => renewed,
            (Ok(Err(_)) | Err(_), Some(kept)) => Ok(kept.snapshot),
            (Ok(Err(error)), None) => Err(OpenError::Temporary(error.to_string())),
            (Err(_), None) => Err(OpenError::Temporary(format!(
                "{} has not given it yet",
                self.vault
            ))),
        }
    }

    async fn renew(&self) -> Result<Arc<Snapshot>, OpenError> {
        let _turn = self.turn.lock().await;
        let now = Instant::now();
        let before = self.kept();
        match (&before, self.refusal(now)) {
            // it may have come while this waited for its turn
            (Some(kept), _) if !kept.is_due(now) => return Ok(Arc::clone(&kept.snapshot)),
            (None, Some(refused)) => return Err(refused),
            _ => {}
        }
        let fetched = self.vault.fetch(before.as_ref()).await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match fetched {
            Ok((snapshot, version)) => {
                *state = State {
                    kept: Some(Kept::of(Arc::clone(&snapshot), version, now)),
                    refused: None,
                };
                Ok(snapshot)
            }
            Err(failure) => {
                let Failure {
                    error,
                    alone,
                    is_gone,
                } = failure;
                if let Some(mut kept) = before.filter(|_| !is_gone) {
                    let name = &self.vault.name;
                    log::warn!("certificate {name}: {error}; the one before stays in use");
                    kept.ask = now + alone.max(limits::RENEW_AGAIN);
                    kept.refused_since = kept.snapshot.is_refused().then_some(now);
                    let snapshot = Arc::clone(&kept.snapshot);
                    state.kept = Some(kept);
                    return Ok(snapshot);
                }
                *state = State {
                    kept: None,
                    refused: Some((now + alone, error.clone())),
                };
                Err(error)
            }
        }
    }

    fn kept(&self) -> Option<Kept> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.kept.clone()
    }

    fn refusal(&self, now: Instant) -> Option<OpenError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, error) = state.refused.as_ref()?;
        (now < *until).then(|| error.clone())
    }
}

/// Where the vault is and how it is asked.
struct Vault {
    /// Of the certificate in the configuration.
    name: String,
    file: KeyVaultFile,
    authority: String,
    /// What its tokens are for.
    audience: String,
    /// Lets out what is asked there, and nothing else.
    egress: Arc<Egress>,
    tokens: Arc<OnceLock<OwnCalls>>,
}

/// A key that does not leave its vault.
pub(crate) struct Remote {
    vault: Arc<Vault>,
    version: String,
}

/// What is asked for, as errors say it, and what it takes.
#[derive(Clone, Copy)]
struct Asked {
    what: &'static str,
    role: &'static str,
    permission: &'static str,
}

const CERTIFICATE: Asked = Asked {
    what: "certificate",
    role: "Key Vault Certificate User",
    permission: "`get` of certificates and of secrets",
};

/// Its private key is there.
const SECRET: Asked = Asked {
    what: "secret of the certificate",
    role: "Key Vault Certificate User",
    permission: "`get` of certificates and of secrets",
};

const KEY: Asked = Asked {
    what: "key of the certificate",
    role: "Key Vault Crypto User",
    permission: "`sign` of keys",
};

/// An answer, which may have a key in it.
struct Answer(SecretJson);

impl Answer {
    fn text(&self, pointer: &str) -> Option<&str> {
        let text = self.0.0.pointer(pointer)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    fn flag(&self, pointer: &str) -> Option<bool> {
        self.0.0.pointer(pointer)?.as_bool()
    }
}

impl std::fmt::Display for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the Key Vault {}", self.authority)
    }
}

impl Vault {
    /// A setting of this certificate.
    fn setting(&self, field: &str) -> String {
        format!("certificates.{}.key_vault.{field}", self.name)
    }

    /// The version that counts now, which may be the one before.
    async fn fetch(
        self: &Arc<Self>,
        before: Option<&Kept>,
    ) -> Result<(Arc<Snapshot>, String), Failure> {
        let path = self.file.path();
        let certificate = self.ask(CERTIFICATE, Method::GET, &path, None).await?;
        let version = certificate.text("/id").and_then(version_of);
        let version = version.ok_or_else(|| self.odd("id"))?;
        if certificate.flag("/attributes/enabled") == Some(false) {
            return Err(Failure::gone(format!(
                "{self} has disabled version {version} of it: enable it there, or a newer one"
            )));
        }
        if let Some(before) = before.filter(|before| before.version == version) {
            return Ok((Arc::clone(&before.snapshot), before.version.clone()));
        }
        let der = certificate.text("/cer");
        let der = der.and_then(|text| STANDARD.decode(text).ok());
        let der = CertificateDer::from(der.ok_or_else(|| self.odd("cer"))?);
        let exportable = certificate.flag("/policy/key_props/exportable");
        let pair = match exportable {
            Some(false) => None,
            _ => self.with_key(version, &der, exportable).await?,
        };
        let snapshot = match pair {
            Some(pair) => Snapshot::new(&self.name, pair),
            None => {
                log::info!(
                    "certificate {}: its key does not leave {self}, which signs",
                    self.name
                );
                let pair = Pair::certificate_alone(der, &self.to_string());
                let remote = Remote {
                    vault: Arc::clone(self),
                    version: version.to_owned(),
                };
                let pair = pair.map_err(|e| Failure::refused(e.to_string()))?;
                Snapshot::in_a_vault(&self.name, pair, remote)
            }
        };
        Ok((Arc::new(snapshot), version.to_owned()))
    }

    /// That version with its key, which its secret has. `None` if there is no key in that, and nobody says that there is.
    async fn with_key(
        &self,
        version: &str,
        der: &CertificateDer<'static>,
        exportable: Option<bool>,
    ) -> Result<Option<Pair>, Failure> {
        let path = format!("/secrets/{}/{version}", self.file.certificate);
        let secret = self.ask(SECRET, Method::GET, &path, None).await?;
        let value = secret.text("/value").ok_or_else(|| self.odd("value"))?;
        let is_pem = secret.text("/contentType") == Some("application/x-pem-file")
            || value.trim_start().starts_with("-----BEGIN");
        let content = match is_pem {
            true => Some(Zeroizing::new(value.as_bytes().to_vec())),
            false => decode(value),
        };
        let content = content.ok_or_else(|| self.odd("value"))?;
        drop(secret);
        let place = format!("the secret {} of {self}", self.file.certificate);
        // keys are derived for PKCS#12
        let parsed = tokio::task::spawn_blocking(move || {
            let given = Given {
                place: &place,
                content: &content,
            };
            Pair::parse(given, None, None)
        });
        let parsed = parsed.await.map_err(|e| Failure::passing(e.to_string()))?;
        match parsed {
            Ok(pair) if pair.chain.first() == Some(der) => Ok(Some(pair)),
            Ok(_) => Err(Failure::refused(format!(
                "the secret {} of {self} has another certificate than the one of that name and version",
                self.file.certificate
            ))),
            Err(LoadError::NoKey { .. }) if exportable.is_none() => Ok(None),
            Err(error) => Err(Failure::refused(error.to_string())),
        }
    }

    /// One question, with a token that is asked for anew if the vault does not take it.
    async fn ask(
        &self,
        asked: Asked,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let token = self.token(Refresh::IfNeeded).await?;
        let (mut status, mut headers, mut answer) = self.send(&method, path, body, &token).await?;
        let mut sent = token;
        let mut before = Vec::new();
        if status == StatusCode::UNAUTHORIZED
            && self
                .challenge(&headers, std::slice::from_ref(&sent))?
                .is_some()
        {
            let digest = sent.sha256_hex();
            let fresh = self.token(Refresh::IfTokenIs(digest)).await?;
            if fresh != sent {
                before.push(std::mem::replace(&mut sent, fresh));
                (status, headers, answer) = self.send(&method, path, body, &sent).await?;
            }
        }
        before.push(sent);
        if status == StatusCode::OK {
            return match answer {
                Answer(SecretJson(Value::Object(_))) => Ok(answer),
                _ => Err(Failure::refused(format!(
                    "who answers at {} is no Key Vault: check {}",
                    self.authority,
                    self.setting("url")
                ))),
            };
        }
        Err(self.refused(asked, status, &headers, &answer, &before))
    }

    async fn token(&self, refresh: Refresh) -> Result<Secret, Failure> {
        let request = TokenRequest {
            identity: Some(KeyVaultFile::identity_of(&self.name)),
            refresh,
            ..TokenRequest::default()
        };
        let Some(tokens) = self.tokens.get() else {
            return Err(Failure::refused(format!(
                "certificates.{}.key_vault is read by a provider alone, which has a component of its own that gets tokens for the \
                 vault; serve the components by a Provider (link::add_provider_to_linker), or name files",
                self.name
            )));
        };
        tokens.token(request).await.map_err(|error| {
            let reason = format!(
                "no token for {self} by the managed identity of {}: {error:#}",
                self.setting("identity")
            );
            match error.detail().retryable {
                true => Failure::passing(reason),
                false => Failure::refused(reason),
            }
        })
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        token: &Secret,
    ) -> Result<(StatusCode, HeaderMap, Answer), Failure> {
        let refused = |e: &dyn std::fmt::Display| Failure::refused(format!("{self}: {e}"));
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|e| refused(&e))?;
        bearer.set_sensitive(true);
        let url = format!("https://{}{path}?{}", self.authority, KeyVaultFile::QUERY);
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, bearer);
        let body = body.map(Value::to_string);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(body.unwrap_or_default()))
            .map_err(|never| match never {})
            .boxed_unsync();
        let request = request.body(body).map_err(|e| refused(&e))?;
        let options = RequestOptions {
            first_byte_timeout: Some(limits::VAULT_DEADLINE),
            ..RequestOptions::default()
        };
        let response = self.egress.send_public(request, Some(options)).await;
        let response = response.map_err(|e| self.silent(&e))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|e| self.silent(&e))?;
        let body = Zeroizing::new(Vec::from(body.to_bytes()));
        let answer = Answer(SecretJson(
            serde_json::from_slice(&body).unwrap_or_default(),
        ));
        Ok((head.status, head.headers, answer))
    }

    /// Nobody has answered, or more than a vault has to say.
    fn silent(&self, error: &Error) -> Failure {
        let url = self.setting("url");
        match error {
            Error::DnsError { .. } => Failure::passing(format!(
                "{self} has no address: check {url}, and the private DNS zone if it has a private endpoint"
            )),
            Error::HttpResponseBodySize(_) => Failure::refused(format!(
                "what {self} answers is larger than a certificate with its chain: check {url}"
            )),
            Error::InternalError(Some(reason)) => {
                Failure::passing(format!("{self} was not reached: {reason}"))
            }
            error => Failure::passing(format!("{self} did not answer ({error})")),
        }
    }

    /// Who is meant to have given the token, if a refusal says so (RFC 9110 section 11.6.1; the parameters `authorization`
    /// and `resource` are Azure's). Tokens for what the vault is not for are not asked for, whoever wants them.
    /// `sent` are the tokens that it was shown, which it may repeat.
    fn challenge(&self, headers: &HeaderMap, sent: &[Secret]) -> Result<Option<String>, Failure> {
        let Some(challenge) = headers.get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok()) else {
            return Ok(None);
        };
        let parameter = |name: &str| {
            let (_, rest) = challenge.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let resource = parameter("resource").or_else(|| parameter("scope"));
        let resource = resource.map(|resource| {
            let resource = resource.trim_end_matches("/.default");
            resource.trim_end_matches('/').to_ascii_lowercase()
        });
        let own = self.audience.trim_end_matches('/').to_ascii_lowercase();
        if let Some(other) = resource.filter(|resource| *resource != own) {
            let other = said(&other, sent);
            return Err(Failure::refused(format!(
                "{self} wants tokens for {other}, and gets none but for {}: check {} and {}",
                self.audience,
                self.setting("url"),
                self.setting("audience")
            )));
        }
        let issuer = parameter("authorization").or_else(|| parameter("authorization_uri"));
        Ok(Some(issuer.map_or_else(
            || "unknown".to_owned(),
            |issuer| said(&issuer, sent),
        )))
    }

    fn refused(
        &self,
        asked: Asked,
        status: StatusCode,
        headers: &HeaderMap,
        answer: &Answer,
        sent: &[Secret],
    ) -> Failure {
        let Asked {
            what,
            role,
            permission,
        } = asked;
        let code = status.as_u16();
        let inner = answer.text("/error/innererror/code");
        let inner = inner.or_else(|| answer.text("/error/code"));
        let inner = said(inner.unwrap_or_default(), sent);
        let inner = inner.as_str();
        let said = said(
            answer.text("/error/message").unwrap_or("without words"),
            sent,
        );
        let identity = self.setting("identity");
        match status {
            StatusCode::UNAUTHORIZED => match self.challenge(headers, sent) {
                Err(failure) => failure,
                Ok(issuer) => Failure::refused(format!(
                    "{self} does not take the token of the managed identity (HTTP 401); it takes those of {}: {said}",
                    issuer.as_deref().unwrap_or("its own tenant")
                )),
            },
            StatusCode::FORBIDDEN if matches!(inner, "SecretDisabled" | "KeyDisabled") => {
                Failure::gone(format!("{self} has disabled the {what}: {said}"))
            }
            StatusCode::FORBIDDEN
                if matches!(inner, "ForbiddenByFirewall" | "ForbiddenByConnection") =>
            {
                Failure::refused(format!(
                    "the network rules of {self} keep this machine out (HTTP 403, {inner}): permit its address or network there, or reach it by a private endpoint: {said}"
                ))
            }
            StatusCode::FORBIDDEN => Failure::refused(format!(
                "{self} does not let the managed identity of {identity} have the {what} (HTTP 403): give it the role {role}, or {permission} by an access policy: {said}"
            )),
            StatusCode::NOT_FOUND => {
                let version = match &self.file.version {
                    Some(version) => format!(" in version {version}"),
                    None => String::new(),
                };
                Failure::gone(format!(
                    "{self} has no {what} `{}`{version} (HTTP 404): check {}, and whether it was deleted",
                    self.file.certificate,
                    self.setting("certificate")
                ))
            }
            StatusCode::TOO_MANY_REQUESTS => Failure {
                alone: retry_after(headers),
                ..Failure::passing(format!("{self} asks to be left alone (HTTP 429)"))
            },
            _ if status.is_server_error() => Failure {
                alone: retry_after(headers),
                ..Failure::passing(format!("{self} failed (HTTP {code}): {said}"))
            },
            _ if status.is_redirection() => Failure::refused(format!(
                "{self} answers with a redirect (HTTP {code}), and none is followed: check {}",
                self.setting("url")
            )),
            _ => Failure::refused(format!(
                "{self} refused the {what} (HTTP {code}, {inner}): {said}"
            )),
        }
    }

    /// An answer that lacks something.
    fn odd(&self, field: &str) -> Failure {
        Failure::refused(format!(
            "the answer of {self} has no `{field}` that can be used"
        ))
    }
}

/// The version at the end of a certificate's identifier, `https://VAULT/certificates/NAME/VERSION`: letters and digits, which
/// are put into paths.
fn version_of(id: &str) -> Option<&str> {
    let (_, version) = id.rsplit_once('/')?;
    let is_name = !version.is_empty() && version.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then_some(version)
}

/// What a vault says, without the tokens that it was shown: it may repeat them, in lower case too.
fn said(text: &str, sent: &[Secret]) -> String {
    printable(&without_secrets(text, sent), MAX_WORDS_CHARS)
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let asked = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
    let seconds = asked.and_then(|text| text.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or_default()).min(limits::MAX_VAULT_ALONE)
}

impl Remote {
    /// A JWS signature of the vault: it gets a digest, and nothing of what is signed.
    pub(super) async fn sign(
        &self,
        algorithm: Algorithm,
        input: &[u8],
    ) -> Result<Vec<u8>, SignError> {
        let hash = match algorithm {
            Algorithm::Ps256 | Algorithm::Rs256 | Algorithm::Es256 => &SHA256,
            Algorithm::Es384 => &SHA384,
            _ => return Err(SignError::Unsupported),
        };
        let vault = &self.vault;
        let digest = digest::digest(hash, input);
        let body = json!({ "alg": algorithm.name(), "value": URL_SAFE_NO_PAD.encode(digest) });
        let path = format!("/keys/{}/{}/sign", vault.file.certificate, self.version);
        let answer = vault.ask(KEY, Method::POST, &path, Some(&body)).await;
        let answer = answer.map_err(|failure| match failure.error {
            OpenError::Unavailable(reason) => SignError::Refused(reason),
            OpenError::Temporary(reason) => SignError::Failed(reason),
        })?;
        let signature = answer.text("/value");
        let signature = signature.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        signature.ok_or_else(|| SignError::Refused(vault.odd("value").error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_name() {
        let at = "https://v.vault.azure.net/certificates/app";
        for (end, version) in [
            (
                "/0123456789abcdef0123456789abcdef",
                Some("0123456789abcdef0123456789abcdef"),
            ),
            ("/", None),
            ("//", None),
            ("/a.b", None),
            ("/..", None),
            ("/a?b", None),
            ("/a%2f", None),
            ("/é", None),
            ("/ ", None),
        ] {
            assert_eq!(version_of(&format!("{at}{end}")), version, "{end}");
        }
        assert_eq!((version_of("app"), version_of("")), (None, None));
    }

    #[test]
    fn a_vault_repeats_no_token() {
        let sent = [
            Secret::new("eyJ0eXAi.the-Token_of.the-MACHINE"),
            Secret::new("an-older-one-0123456789"),
        ];
        for token in &sent {
            let token = token.expose();
            for text in [
                token.to_owned(),
                token.to_lowercase(),
                format!("Bearer {token}"),
            ] {
                let shown = said(&format!("no '{text}' here"), &sent);
                assert!(
                    shown.starts_with("no '") && shown.contains("[redacted]"),
                    "{shown}"
                );
                assert!(
                    !shown.to_lowercase().contains("machine") && !shown.contains("0123"),
                    "{shown}"
                );
            }
        }
    }
}
