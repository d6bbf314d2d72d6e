//! Moves data between Envoy's callbacks and the engine: effects become calls to clusters, time comes with the ticks,
//! and what the engine brings home is published and put on requests.
//!
//! A VM asks only while it has the lease of a token ([`crate::share`]). One that takes over begins with an empty
//! engine and the token that was published, which it serves and renews when that is due.

use edgepass_core::config::IdentityConfig;
use edgepass_core::config::envoy::EnvoySharing;
use edgepass_core::config::file::CertificateFiles;
use edgepass_core::{
    AccessToken, AssertionError, CertificateError, Completed, Config, Effect, EffectId, Engine,
    Error, HttpError, HttpErrorKind, HttpRequest, HttpResponse, Now, Outcome, ReadError, Refresh,
    RejectionOutcome, Reply, Secret, SecretBytes, Table, Ticket, TokenRequest, challenge, limits,
};

use crate::certificates::{Identities, Opening, Step};
use crate::config::{Settings, identity_of};
use crate::filter::Filter;
use crate::host::{self, CallError};
use crate::metrics::Metrics;
use crate::share::{self, Keys, Rejection, Shared};
use crate::synthetic;

/// A token file, milliseconds: it comes from this very process.
const FILE_TIMEOUT_MS: u64 = 2_000;

/// First wait after an acquisition that failed while there is no token at all, milliseconds; it doubles up to
/// [`MAX_RETRY_MS`], each drawn from 50 to 150 %. The engine has made its own attempts before that.
const RETRY_MS: u64 = 500;

/// The longest such wait, milliseconds: how late at most an outage's end is seen.
const MAX_RETRY_MS: u64 = 8_000;

/// How often a VM reminds the one with the lease of a refused token, milliseconds: that one may have died meanwhile.
const REPORT_AGAIN_MS: u64 = 1_000;

/// How long after the start the ticks come fast whether or not a request waits, milliseconds.
const START_MS: u64 = 2_000;

/// Headers without which a response is not a server's but Envoy's own.
const SERVER_HEADERS: [&str; 2] = ["x-envoy-upstream-service-time", "server"];

pub(crate) struct Driver {
    engine: Engine,
    tokens: Vec<TokenState>,
    /// Calls under way, by Envoy's number.
    calls: Table<u32, Call>,
    /// The files of the certificates that sign.
    signers: Table<String, CertificateFiles>,
    identities: Identities,
    sharing: EnvoySharing,
    /// This VM's name in leases.
    owner: u64,
    metrics: Metrics,
}

/// One token that the rules need.
struct TokenState {
    keys: Keys,
    request: TokenRequest,
    /// For messages and metrics.
    identity: String,
    current: Option<Current>,
    /// The current one was refused.
    rejected: Option<Rejection>,
    reported_at_mono_ms: Option<u64>,
    flight: Option<Flight>,
    retry_at_mono_ms: u64,
    failures: u32,
    error: Option<&'static str>,
}

struct Current {
    shared: Shared,
    sha256: String,
    expires_mono_ms: u64,
}

struct Flight {
    ticket: Ticket,
    since_mono_ms: u64,
}

struct Call {
    effect: EffectId,
    purpose: Purpose,
}

enum Purpose {
    Http { max_response_bytes: usize },
    File,
    Identity(Opening),
}

impl Driver {
    pub(crate) fn new(config: Config, settings: &Settings, seed: [u8; 32]) -> Self {
        let tokens: Vec<TokenState> = settings
            .tokens
            .iter()
            .map(|request| TokenState::new(request, &config))
            .collect();
        if settings.sharing == EnvoySharing::PerProcess {
            tokens.iter().for_each(|token| share::prepare(&token.keys));
        }
        let owner = seed
            .first_chunk::<8>()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Self {
            engine: Engine::new(config, seed),
            tokens,
            calls: Table::new(),
            signers: settings.signers.clone(),
            identities: Identities::default(),
            sharing: settings.sharing,
            owner,
            metrics: Metrics::default(),
        }
    }

    /// Lets time pass, and does all that can be done now.
    pub(crate) fn advance(&mut self, filter: &Filter) {
        let now = filter.now();
        if self
            .engine
            .next_deadline()
            .is_some_and(|at| at <= now.mono_ms)
        {
            self.engine.wake(now);
        }
        for index in 0..self.tokens.len() {
            self.look_after(index, filter, now);
        }
        self.pump(filter, now);
        for (index, token) in self.tokens.iter_mut().enumerate() {
            if token.expire(now) {
                filter.withdraw(index);
            }
        }
        let (tokens, sharing) = (&self.tokens, self.sharing);
        filter.answer_overdue(now.mono_ms, |index| {
            let token = tokens.get(index)?;
            match (token.error, sharing) {
                (Some(class), _) => Some(class.to_owned()),
                (None, EnvoySharing::PerProcess) => share::error(&token.keys),
                (None, EnvoySharing::PerVm) => None,
            }
        });
        self.metrics.flush(&filter.requests);
        let starting =
            now.mono_ms < START_MS && self.tokens.iter().any(|token| token.current.is_none());
        filter.pace(starting || self.engine.has_work() || filter.has_held());
    }

    /// The response to one of the filter's own calls has come.
    pub(crate) fn answered(&mut self, filter: &Filter, id: u32, headers: usize, body: usize) {
        // nobody waits for a call that was cancelled
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        let outcome = match call.purpose {
            Purpose::Http { max_response_bytes } => {
                Some(Outcome::Http(response(headers, body, max_response_bytes)))
            }
            Purpose::File => Some(Outcome::File(file(headers, body))),
            Purpose::Identity(opening) => {
                let content = file(headers, body);
                self.go_on_opening(call.effect, opening, content, filter.settings())
            }
        };
        if let Some(outcome) = outcome {
            self.engine.complete(call.effect, outcome, filter.now());
            self.advance(filter);
        }
    }
}

impl Driver {
    fn look_after(&mut self, index: usize, filter: &Filter, now: Now) {
        let Some(token) = self.tokens.get_mut(index) else {
            return;
        };
        if let Some(rejection) = filter.take_rejection(index) {
            token.refused(rejection);
        }
        if self.sharing == EnvoySharing::PerProcess {
            if let Some(shared) = share::token(&token.keys)
                && token.take_over(shared, now)
            {
                token.serve(index, filter, now);
            }
            if !share::lead(&token.keys, self.owner, now.unix_ms) {
                token.remind(now);
                return;
            }
            if let Some(rejection) = share::take_report(&token.keys) {
                token.refused(rejection);
            }
        }
        if token.flight.is_some() || now.mono_ms < token.retry_at_mono_ms {
            return;
        }
        if let Some(rejection) = token.rejected.clone() {
            self.replace(index, &rejection, filter, now);
        } else if token.is_due(now) {
            let request = token.question();
            self.ask(index, &request, filter, now);
        }
    }

    /// Finds another token in place of one that was refused.
    fn replace(&mut self, index: usize, rejection: &Rejection, filter: &Filter, now: Now) {
        let Some(token) = self.tokens.get_mut(index) else {
            return;
        };
        let request = token.request.clone();
        let header = rejection.www_authenticate.as_deref();
        let outcome = self
            .engine
            .report_rejection(now, &request, &rejection.sha256, header);
        match outcome {
            Ok(RejectionOutcome::Kept) => {
                self.publish_kept(index, filter, now);
                return;
            }
            Ok(RejectionOutcome::Invalidated) => {
                self.ask(index, &request, filter, now);
                return;
            }
            // another VM got it, so this engine does not know it
            Ok(RejectionOutcome::AlreadyReplaced) | Err(_) => {}
        }
        let claims = header
            .and_then(challenge::from_www_authenticate)
            .and_then(|challenge| challenge.claims);
        let request = TokenRequest {
            refresh: Refresh::IfTokenIs(rejection.sha256.clone()),
            claims,
            ..request
        };
        self.ask(index, &request, filter, now);
    }

    fn ask(&mut self, index: usize, request: &TokenRequest, filter: &Filter, now: Now) {
        match self.engine.request(now, request) {
            Reply::Ready(result) => self.landed(index, result, now.mono_ms, filter, now),
            Reply::Pending(ticket) => {
                if let Some(token) = self.tokens.get_mut(index) {
                    token.flight = Some(Flight {
                        ticket,
                        since_mono_ms: now.mono_ms,
                    });
                }
            }
        }
    }

    fn landed(
        &mut self,
        index: usize,
        result: Result<AccessToken, Error>,
        since_mono_ms: u64,
        filter: &Filter,
        now: Now,
    ) {
        let Some(token) = self.tokens.get_mut(index) else {
            return;
        };
        token.flight = None;
        match result {
            Ok(granted) => {
                token.failures = 0;
                token.error = None;
                let sha256 = granted.token.sha256_hex();
                if let Some(current) = token.current.as_mut().filter(|old| old.sha256 == sha256) {
                    // the one that is served already, for want of a newer one
                    current.shared.refresh_on = granted.refresh_on;
                    token.retry_at_mono_ms = now.mono_ms.saturating_add(RETRY_MS);
                    return;
                }
                let took_ms = now.mono_ms.saturating_sub(since_mono_ms);
                self.metrics
                    .refreshed(&token.identity, granted.expires_on, took_ms);
                let lasts_s = granted.expires_on.saturating_sub(now.unix_s());
                host::info(&format!(
                    "edgepass: identity {}: a new access token, good for {lasts_s} s",
                    token.identity
                ));
                let version = token.next_version(self.sharing);
                let shared = Shared {
                    version,
                    expires_on: granted.expires_on,
                    refresh_on: granted.refresh_on,
                    kept_until_ms: 0,
                    token: granted.token,
                };
                self.publish(index, shared, filter, now);
            }
            Err(error) => {
                let cached = self.engine.cached(now, &token.request);
                let nth = token.failures.saturating_add(1);
                let wait_ms = self.engine.backoff_ms(RETRY_MS, MAX_RETRY_MS, nth);
                token.failed(&error, cached.as_ref(), now, wait_ms);
                if self.sharing == EnvoySharing::PerProcess {
                    share::publish_error(&token.keys, error.class().name());
                }
                self.metrics.failed(&error);
                let hint = error.detail().hint.as_deref().unwrap_or_default();
                let separator = if hint.is_empty() { "" } else { "; " };
                host::warn(&format!(
                    "edgepass: identity {}: no new access token ({}): {error}{separator}{hint}",
                    token.identity,
                    error.class().name()
                ));
            }
        }
    }

    fn publish_kept(&mut self, index: usize, filter: &Filter, now: Now) {
        let Some(token) = self.tokens.get(index) else {
            return;
        };
        let Some(current) = &token.current else {
            return;
        };
        let shared = Shared {
            version: token.next_version(self.sharing),
            kept_until_ms: now.unix_ms.saturating_add(limits::REJECTION_COOLDOWN_MS),
            ..current.shared.clone()
        };
        host::warn(&format!(
            "edgepass: identity {}: the upstream refuses fresh access tokens too; their age is not the cause, so this one is kept",
            token.identity
        ));
        self.publish(index, shared, filter, now);
    }

    fn publish(&mut self, index: usize, shared: Shared, filter: &Filter, now: Now) {
        let Some(token) = self.tokens.get_mut(index) else {
            return;
        };
        if self.sharing == EnvoySharing::PerProcess {
            share::publish(&token.keys, &shared);
        }
        token.take_over(shared, now);
        token.serve(index, filter, now);
    }

    /// Performs effects and hands out answers until there are none of either.
    fn pump(&mut self, filter: &Filter, now: Now) {
        loop {
            if let Some((ticket, completed)) = self.engine.next_completed() {
                let found = self.tokens.iter().enumerate().find_map(|(index, token)| {
                    let flight = token.flight.as_ref().filter(|f| f.ticket == ticket)?;
                    Some((index, flight.since_mono_ms))
                });
                if let (Some((index, since)), Completed::Token(result)) = (found, completed) {
                    self.landed(index, result, since, filter, now);
                }
            } else if let Some((id, effect)) = self.engine.next_effect() {
                if let Some(outcome) = self.perform(id, effect, filter.settings()) {
                    self.engine.complete(id, outcome, now);
                }
            } else {
                return;
            }
        }
    }

    /// Begins an effect. What is known at once comes back at once.
    fn perform(&mut self, id: EffectId, effect: Effect, settings: &Settings) -> Option<Outcome> {
        match effect {
            // a bound request goes to another host, whose cluster has the certificate in its TLS context
            Effect::Http { request, via: _ } => self
                .send(id, &request, settings)
                .err()
                .map(|error| Outcome::Http(Err(error))),
            Effect::ReadFile { path } => self
                .read(id, &path, Purpose::File, settings)
                .err()
                .map(|error| Outcome::File(Err(error))),
            Effect::OpenCertificate { name } => match self.signers.get(&name) {
                Some(files) => {
                    let opening = Opening::new(files.clone());
                    let path = opening.path().to_owned();
                    let purpose = Purpose::Identity(opening);
                    self.read(id, &path, purpose, settings)
                        .err()
                        .map(cannot_open)
                }
                // it is for the connection alone: certificate and key are Envoy's
                None => Some(Outcome::Certificate(Ok(Identities::of_the_connection()))),
            },
            Effect::Sign {
                certificate,
                algorithm,
                input,
            } => Some(Outcome::Signature(self.identities.sign(
                certificate,
                algorithm,
                &input,
            ))),
            Effect::CloseCertificate { certificate } => {
                self.identities.close(certificate);
                None
            }
            Effect::Assert { .. } => Some(Outcome::Assertion(Err(AssertionError::NotConfigured))),
            Effect::Cancel { effect } => {
                self.calls.retain(|_, call| call.effect != effect);
                None
            }
            // the engine ends a flow that waits for something unknown
            _ => None,
        }
    }

    fn send(
        &mut self,
        effect: EffectId,
        request: &HttpRequest,
        settings: &Settings,
    ) -> Result<(), HttpError> {
        let denied = |detail: String| HttpError {
            kind: HttpErrorKind::Denied,
            detail,
        };
        let Some(cluster) = settings.token_clusters.get(&request.authority) else {
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
        let body = Some(request.body.expose()).filter(|body| !body.is_empty());
        let call = host::call(cluster, &headers, body, request.timeout_ms)
            .map_err(|error| denied(not_sent(error, cluster)))?;
        let purpose = Purpose::Http {
            max_response_bytes: request.max_response_bytes,
        };
        self.calls.insert(call, Call { effect, purpose });
        Ok(())
    }

    /// Takes in a file of an identity, and reads the next one or ends with the identity.
    fn go_on_opening(
        &mut self,
        effect: EffectId,
        opening: Opening,
        content: Result<SecretBytes, ReadError>,
        settings: &Settings,
    ) -> Option<Outcome> {
        let content = match content {
            Ok(content) => content,
            Err(error) => return Some(cannot_open(error)),
        };
        match opening.read(content, &mut self.identities) {
            Ok(Step::Done(opened)) => Some(Outcome::Certificate(Ok(opened))),
            Ok(Step::Read(path, opening)) => self
                .read(effect, &path, Purpose::Identity(opening), settings)
                .err()
                .map(cannot_open),
            Err(error) => Some(Outcome::Certificate(Err(error))),
        }
    }

    fn read(
        &mut self,
        effect: EffectId,
        path: &str,
        purpose: Purpose,
        settings: &Settings,
    ) -> Result<(), ReadError> {
        let Some(files) = &settings.files else {
            return Err(ReadError::Denied("envoy.files is not set".to_owned()));
        };
        let rest = path.strip_prefix(&files.strip_prefix).unwrap_or(path);
        let path = format!("{}{rest}", files.add_prefix);
        let headers = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "edgepass"),
            (":path", path.as_str()),
        ];
        let call = host::call(&files.cluster, &headers, None, FILE_TIMEOUT_MS)
            .map_err(|error| ReadError::Other(not_sent(error, &files.cluster)))?;
        self.calls.insert(call, Call { effect, purpose });
        Ok(())
    }
}

impl TokenState {
    fn new(request: &TokenRequest, config: &Config) -> Self {
        let identity = identity_of(request, config);
        let described = identity.map(IdentityConfig::distinction);
        let described = described.as_ref().map_or("", Secret::expose);
        Self {
            keys: Keys::new(described, &request.scopes),
            request: request.clone(),
            identity: request.identity.clone().unwrap_or_default(),
            current: None,
            rejected: None,
            reported_at_mono_ms: None,
            flight: None,
            retry_at_mono_ms: 0,
            failures: 0,
            error: None,
        }
    }

    /// Takes a published token unless it has that one, or a later one.
    fn take_over(&mut self, shared: Shared, now: Now) -> bool {
        let known = self.current.as_ref().map(|current| current.shared.version);
        let lasts_ms = shared
            .expires_on
            .saturating_mul(1000)
            .saturating_sub(now.unix_ms);
        if known.is_some_and(|version| version >= shared.version) || lasts_ms == 0 {
            return false;
        }
        self.current = Some(Current {
            sha256: shared.token.sha256_hex(),
            expires_mono_ms: now.mono_ms.saturating_add(lasts_ms),
            shared,
        });
        self.rejected = None;
        self.reported_at_mono_ms = None;
        self.retry_at_mono_ms = 0;
        true
    }

    fn serve(&self, index: usize, filter: &Filter, now: Now) {
        if let Some(current) = &self.current {
            let kept = current.shared.kept_until_ms > now.unix_ms;
            filter.serve(index, &current.shared.token, kept);
        }
    }

    fn refused(&mut self, rejection: Rejection) {
        let is_current = self
            .current
            .as_ref()
            .is_some_and(|current| current.sha256 == rejection.sha256);
        if is_current && self.rejected.is_none() {
            self.rejected = Some(rejection);
        }
    }

    /// Tells the VM that has the lease about a refused token.
    fn remind(&mut self, now: Now) {
        let recently = self
            .reported_at_mono_ms
            .is_some_and(|at| now.mono_ms < at.saturating_add(REPORT_AGAIN_MS));
        if let Some(rejection) = self.rejected.as_ref().filter(|_| !recently) {
            share::report(&self.keys, rejection);
            self.reported_at_mono_ms = Some(now.mono_ms);
        }
    }

    fn is_due(&self, now: Now) -> bool {
        self.current
            .as_ref()
            .is_none_or(|current| now.unix_s() >= current.shared.refresh_on)
    }

    /// What the engine is asked: for another token than the one there is.
    fn question(&self) -> TokenRequest {
        let refresh = self
            .current
            .as_ref()
            .map(|current| Refresh::IfTokenIs(current.sha256.clone()));
        TokenRequest {
            refresh: refresh.unwrap_or_default(),
            ..self.request.clone()
        }
    }

    fn next_version(&self, sharing: EnvoySharing) -> u64 {
        let published = match sharing {
            EnvoySharing::PerProcess => share::token(&self.keys).map(|shared| shared.version),
            EnvoySharing::PerVm => None,
        };
        let known = self.current.as_ref().map(|current| current.shared.version);
        published.max(known).unwrap_or(0).saturating_add(1)
    }

    fn failed(&mut self, error: &Error, cached: Option<&AccessToken>, now: Now, backoff_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error.class().name());
        let asked_ms = error.detail().retry_after_ms.unwrap_or(0);
        // the engine has set the pace for renewing the token it knows
        let paced = cached.zip(self.current.as_mut());
        let wait_ms = match paced {
            Some((cached, current)) if self.rejected.is_none() => {
                current.shared.refresh_on = cached.refresh_on;
                0
            }
            _ => backoff_ms,
        };
        self.retry_at_mono_ms = now.mono_ms.saturating_add(wait_ms.max(asked_ms));
    }

    /// Drops a token that has expired by either clock.
    fn expire(&mut self, now: Now) -> bool {
        let expired = self.current.as_ref().is_some_and(|current| {
            now.mono_ms >= current.expires_mono_ms || now.unix_s() >= current.shared.expires_on
        });
        if expired {
            self.current = None;
            self.rejected = None;
        }
        expired
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
        response(headers, body_bytes, limits::MAX_ASSERTION_BYTES).map_err(
            |error| match error.kind {
                HttpErrorKind::BodyTooLarge => {
                    ReadError::TooLarge(u64::try_from(body_bytes).unwrap_or(u64::MAX))
                }
                _ => ReadError::Other(format!(
                    "the cluster of envoy.files did not answer {}",
                    error.detail
                )),
            },
        )?;
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
    match synthetic::failure(status, from_server, &body) {
        Some(error) => Err(error),
        None => Ok(HttpResponse {
            status,
            headers,
            body: SecretBytes::new(body),
        }),
    }
}
