//! One acquisition from beginning to end, in the order in which it happens.

#[cfg(feature = "every-credential")]
use std::cell::Cell;
use std::sync::Arc;

#[cfg(feature = "every-credential")]
use crate::authority::Authority;
use crate::cache::{Acquired, Generation, KeyParts};
#[cfg(feature = "every-credential")]
use crate::capabilities;
#[cfg(feature = "every-credential")]
use crate::config::Client;
use crate::config::{Exchange, IdentityConfig, Source};
#[cfg(feature = "every-credential")]
use crate::credential::discovery;
use crate::credential::{
    Availability, ClientAuth, Credential, CredentialTrial, Credentials, Direct, DirectRequest,
    Failure, Purpose,
};
use crate::effect::HttpErrorKind;
#[cfg(feature = "every-credential")]
use crate::effect::{HttpError, HttpResponse};
#[cfg(feature = "every-credential")]
use crate::exchange::Granted;
use crate::exchange::{self, Asked, Form, Wanted};
use crate::flow::{Io, race};
use crate::grant;
#[cfg(feature = "every-credential")]
use crate::grant::agent::Agent;
#[cfg(feature = "every-credential")]
use crate::id_token;
use crate::limits::{
    EXPIRED_ASSERTION_GRACE_MS, FLIGHT_TIMEOUT_MS, HOST_CALL_TIMEOUT_MS, HTTP_TIMEOUT_MS,
};
use crate::retry::{Attempts, Next, RetryClass, retry_class};
#[cfg(feature = "every-credential")]
use crate::session::{self, InSession};
#[cfg(feature = "every-credential")]
use crate::text::Needles;
use crate::text::duration;
use crate::{
    Attempt, ClientAssertion, Error, ErrorClass, Grant, Secret, Table, TokenRequest, TokenType,
};

/// A request, resolved against the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) identity: Arc<IdentityConfig>,
    tenant: Option<String>,
    grant: Grant,
    scopes: Vec<String>,
    token_type: TokenType,
}

impl Plan {
    pub(crate) fn for_token(
        identity: Arc<IdentityConfig>,
        request: &TokenRequest,
    ) -> Result<Self, Error> {
        #[cfg(not(feature = "every-credential"))]
        grant::check_supported(&request.grant, request.token_type)?;
        #[cfg(feature = "every-credential")]
        grant::check(request, &identity)?;
        #[cfg(feature = "every-credential")]
        if identity.client().is_none() && request.token_type == TokenType::MtlsPop {
            return Err(unbound(&identity.name));
        }
        if identity.client().is_none() && request.grant != Grant::ClientCredentials {
            return Err(grant::not_of_a_platform(&identity.name));
        }
        let asked = if request.scopes.is_empty() {
            &identity.scopes
        } else {
            &request.scopes
        };
        Ok(Self {
            scopes: identity.check_scopes_of(request.grant.kind(), asked)?,
            tenant: match &request.grant {
                #[cfg(feature = "every-credential")]
                Grant::AuthorizationCode { .. } | Grant::RefreshToken(_) => {
                    identity.check_tenant_of_sign_in(request.tenant.as_deref())?
                }
                _ => identity.check_tenant(request.tenant.as_deref())?,
            },
            identity,
            grant: request.grant.clone(),
            token_type: request.token_type,
        })
    }

    pub(crate) fn for_assertion(identity: Arc<IdentityConfig>) -> Result<Self, Error> {
        Ok(Self {
            tenant: identity.check_tenant(None)?,
            identity,
            grant: Grant::ClientCredentials,
            scopes: Vec::new(),
            token_type: TokenType::Bearer,
        })
    }

    /// What it has in common with others of its kind, whoever they are for.
    pub(crate) fn key_parts(&self) -> KeyParts {
        let mut scopes = self.scopes.clone();
        let client = self.identity.client();
        if client.is_none_or(|client| client.authority.is_entra()) {
            // Entra compares scopes without regard to case; RFC 6749 section 3.3 does not
            scopes
                .iter_mut()
                .for_each(|scope| scope.make_ascii_lowercase());
        }
        KeyParts {
            identity: self.identity.name.clone(),
            tenant: self.tenant.clone(),
            // in order and each once
            scopes: Table::from_iter(scopes.into_iter().map(|scope| (scope, ())))
                .into_iter()
                .map(|(scope, ())| scope)
                .collect(),
            token_type: self.token_type,
        }
    }

    /// Whether the same exchange may be made again: see [`GrantKind::is_single_use`](crate::GrantKind::is_single_use).
    pub(crate) fn is_repeatable(&self) -> bool {
        !self.grant.kind().is_single_use()
    }

    /// Its grant.
    #[cfg(feature = "every-credential")]
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether a session begins with it, or is renewed.
    #[cfg(feature = "every-credential")]
    pub(crate) fn begins_session(&self) -> bool {
        matches!(session::asked_in(&self.grant), Some((Some(_), _)))
    }

    /// Whether it begins a session, or is in one.
    #[cfg(feature = "every-credential")]
    pub(crate) fn is_in_session(&self) -> bool {
        session::asked_in(&self.grant).is_some()
    }

    /// Whether its request can carry the claims of a challenge.
    pub(crate) fn takes_claims(&self) -> bool {
        matches!(self.identity.source, Source::Exchange(_))
    }

    /// That error, as one of that credential.
    fn of_credential(&self, error: Error, at: usize) -> Error {
        self.identity.in_variables(error).edit(|detail| {
            detail.credential = Some(match &self.identity.source {
                Source::Direct(direct) => direct.reference(),
                Source::Exchange(exchange) => exchange.credentials.reference(at),
            });
        })
    }

    /// Who is asked, for messages.
    fn server(&self) -> String {
        match &self.identity.source {
            Source::Direct(direct) => direct.server().to_owned(),
            Source::Exchange(exchange) => {
                let Exchange {
                    client,
                    credentials,
                } = exchange.as_ref();
                let endpoint = credentials
                    .first()
                    .token_endpoint(client, self.tenant.as_deref());
                endpoint.map_or_else(|_| client.authority.network_host(), |url| url.authority)
            }
        }
    }
}

/// Gets a token, trying again where that may help, within [`FLIGHT_TIMEOUT_MS`].
#[cfg(not(feature = "every-credential"))]
pub(crate) async fn acquire(io: &Io, plan: &Plan, claims: Option<&str>) -> Result<Acquired, Error> {
    acquire_within(io, plan, claims, FLIGHT_TIMEOUT_MS).await
}

/// Gets a token, trying again where that may help, within that time.
pub(crate) async fn acquire_within(
    io: &Io,
    plan: &Plan,
    claims: Option<&str>,
    timeout_ms: u64,
) -> Result<Acquired, Error> {
    let mut last = None;
    #[cfg(feature = "every-credential")]
    let spent = Cell::new(false);
    let deadline = io.now().mono_ms.saturating_add(timeout_ms);
    let walk = Walk {
        io,
        plan,
        claims,
        deadline,
        renewed: Vec::new(),
        presented: Vec::new(),
        settled: Vec::new(),
        last: &mut last,
        #[cfg(feature = "every-credential")]
        spent: &spent,
    };
    let outcome = race(walk.rounds(), io.sleep_ms(timeout_ms)).await;
    let outcome = outcome.unwrap_or_else(|()| {
        Err(last.unwrap_or_else(|| {
            let message = format!("no token from {} in time", plan.server());
            let error = Error::new(ErrorClass::Timeout, message).retryable();
            plan.of_credential(error, 0)
        }))
    });
    #[cfg(feature = "every-credential")]
    let outcome = outcome.map_err(|error| match spent.get() {
        true if error.detail().retryable => of_what_is_spent(error),
        _ => error,
    });
    outcome
}

/// A failure after which the server may have taken the code or the refresh token: to present that again is a replay, for
/// which a server may end the whole session (RFC 6749 section 4.1.2, RFC 9700 section 4.14.2).
#[cfg(feature = "every-credential")]
fn of_what_is_spent(error: Error) -> Error {
    const AGAIN: &str =
        "the server may have taken the code or refresh token already: start the sign-in again";
    // what is said of a server that fails is about the same request once more
    let is_of_the_answer = error.class() == ErrorClass::InvalidResponse;
    error.edit(|detail| {
        detail.retryable = false;
        let hint = detail.hint.take().filter(|_| is_of_the_answer);
        detail.hint =
            Some(hint.map_or_else(|| AGAIN.to_owned(), |hint| format!("{hint}; {AGAIN}")));
    })
}

/// Whether the server may have taken what counts once: it has said so, or nobody knows what became of the request. Who
/// answers with an error of his own has not; a gateway does not know.
#[cfg(feature = "every-credential")]
fn may_be_spent(result: &Result<HttpResponse, HttpError>) -> bool {
    match result {
        Ok(response) => !matches!(response.status, 400..=501 | 503 | 505..=599),
        Err(error) => matches!(
            error.kind,
            HttpErrorKind::Reset
                | HttpErrorKind::Timeout
                | HttpErrorKind::BodyTooLarge
                | HttpErrorKind::Protocol
                | HttpErrorKind::Other
        ),
    }
}

/// Of an identity that is asked for a token which is bound to a certificate, and has none on the connection.
#[cfg(feature = "every-credential")]
fn unbound(identity: &str) -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        format!("identity `{identity}` shows no certificate on the connection, so no token is bound to one"),
    )
    .hint("ask for a bearer token, or set use_bound_credential on its certificate")
}

/// An attempt that brought nothing.
#[derive(Clone)]
struct Refused {
    failure: Failure,
    /// Another credential of the list may do better. What a server or a network does to all of them is not hidden by
    /// trying them all.
    gives_way: bool,
    /// The grant went out: what is spent by being sent is spent.
    sent: bool,
    /// Of the material that was presented and refused.
    fingerprint: Option<String>,
    /// Another attempt would build its assertion by a clock that shows something else, or show another certificate.
    differs_anew: bool,
    /// What it presented, which the server may say again in any later answer.
    secrets: Vec<Secret>,
}

impl Refused {
    /// Nothing went out, and no other credential changes that.
    fn of(failure: Failure) -> Self {
        Self {
            secrets: failure.shown.clone(),
            failure,
            gives_way: false,
            sent: false,
            fingerprint: None,
            differs_anew: false,
        }
    }

    fn error(&self) -> &Error {
        &self.failure.error
    }

    /// Of several, the one that says most is reported: what a server refused, what is broken, what is not here.
    fn says(&self) -> u8 {
        match (self.sent, self.failure.availability) {
            (true, _) => 2,
            (false, Availability::Failed) => 1,
            (false, Availability::NotHere) => 0,
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::of(error.into())
    }
}

/// Whether it is the credential that the server refused, and not what was asked with it.
fn is_of_the_credential(error: &Error) -> bool {
    matches!(
        error.class(),
        ErrorClass::CredentialRejected | ErrorClass::FederationMismatch
    )
}

/// Whether a connection that a certificate authenticates was not made because of that: by the certificate itself, or
/// because the host for such connections is another one, which is not reached from everywhere. A request that may have left
/// is none of it.
fn is_of_the_connection(kind: HttpErrorKind) -> bool {
    #[cfg(feature = "every-credential")]
    if matches!(kind, HttpErrorKind::Proxy | HttpErrorKind::ProxyRefused) {
        return true;
    }
    matches!(
        kind,
        HttpErrorKind::Dns
            | HttpErrorKind::Connect
            | HttpErrorKind::ClientCertificate
            | HttpErrorKind::NoClientCertificate
            | HttpErrorKind::Tls
    )
}

/// Whether another round may help.
fn is_cured_by_time(error: &Error) -> bool {
    matches!(
        retry_class(error),
        RetryClass::Time | RetryClass::Propagation
    )
}

/// A round in which no credential brought a token.
struct Failed {
    /// What to report.
    error: Error,
    /// What decides about another round: where time cures one of the failures, it is waited for.
    decides: Error,
    sent: bool,
}

/// An acquisition: rounds through the credentials, and for each an attempt, or two where it was read anew.
struct Walk<'a> {
    io: &'a Io,
    plan: &'a Plan,
    claims: Option<&'a str>,
    /// On the monotonic clock.
    deadline: u64,
    /// The credentials that were read anew. Each is once.
    renewed: Vec<usize>,
    /// What was sent so far, by any credential: the server has seen it all, and may say it again in an answer to another.
    presented: Vec<Secret>,
    /// Those that the server refused for good. Another round is for the others: the same would be refused again.
    settled: Vec<(usize, Refused)>,
    /// What to report if time runs out.
    last: &'a mut Option<Error>,
    /// See [`OneAttempt::spent`].
    #[cfg(feature = "every-credential")]
    spent: &'a Cell<bool>,
}

impl Walk<'_> {
    async fn rounds(mut self) -> Result<Acquired, Error> {
        let mut attempts = Attempts::default();
        loop {
            let failed = match self.round().await {
                Ok(acquired) => return Ok(acquired),
                Err(failed) => failed,
            };
            if failed.sent && !self.plan.is_repeatable() {
                return Err(failed.error);
            }
            let Next::After(ms) = attempts.next(&failed.decides, self.io) else {
                return Err(failed.error);
            };
            if self.io.now().mono_ms.saturating_add(ms) >= self.deadline {
                return Err(failed.error);
            }
            self.io.sleep_ms(ms).await;
        }
    }

    async fn round(&mut self) -> Result<Acquired, Failed> {
        let plan = self.plan;
        let name = &plan.identity.name;
        let credentials = plan.identity.credentials();
        // a direct kind is one
        let count = credentials.map_or(1, Credentials::len);
        let now = self.io.now();
        let order = self
            .io
            .standings(|standings| standings.order(name, count, now));
        let mut refusals = self.settled.clone();
        let is_settled = |at: &usize| refusals.iter().any(|(settled, _)| settled == at);
        let order: Vec<usize> = order.into_iter().filter(|at| !is_settled(at)).collect();
        let mut left = order.len();
        for at in order {
            left -= 1;
            let refused = match self.renewing(at, left).await {
                Ok(acquired) => {
                    if let Some(credentials) = credentials {
                        self.io.credential_worked(name, credentials, at);
                    }
                    return Ok(acquired);
                }
                Err(refused) => refused,
            };
            let gives_way = refused.gives_way && (plan.is_repeatable() || !refused.sent);
            if let Some(credentials) = credentials.filter(|_| gives_way) {
                let error = refused.error();
                self.io.credential_failed(name, credentials, at, error);
            }
            if gives_way && refused.sent && !is_cured_by_time(refused.error()) {
                self.settled.push((at, refused.clone()));
            }
            refusals.push((at, refused));
            if !gives_way {
                let last = refusals.len() - 1;
                return Err(self.failed(refusals, last));
            }
        }
        let says_most = refusals.iter().map(|(_, refused)| refused.says()).max();
        let mut said = refusals.iter().map(|(_, refused)| Some(refused.says()));
        let most = said.position(|says| says == says_most).unwrap_or(0);
        Err(self.failed(refusals, most))
    }

    /// Reports the `n`-th of them with the others beside it.
    fn failed(&mut self, mut refusals: Vec<(usize, Refused)>, n: usize) -> Failed {
        let mut errors = refusals.iter().map(|(_, refused)| refused.error());
        // one that gives no way to others decides alone
        let cure = match refusals.get(n) {
            Some((_, refused)) if refused.gives_way => {
                errors.find(|error| is_cured_by_time(error)).cloned()
            }
            _ => None,
        };
        let sent = refusals.iter().any(|(_, refused)| refused.sent);
        let (at, refused) = refusals.remove(n);
        let others = refusals.into_iter().map(|(at, refused)| {
            let error = self.plan.of_credential(refused.failure.error, at);
            Some(Attempt {
                class: error.class(),
                message: error.detail().message.clone(),
                credential: error.detail().credential.clone()?,
            })
        });
        let others = others.flatten().collect();
        #[cfg(feature = "every-credential")]
        let is_here = refused.failure.availability != Availability::NotHere;
        let error = self.plan.of_credential(refused.failure.error, at);
        let error = error.edit(|detail| detail.attempts = others);
        #[cfg(feature = "every-credential")]
        let error = match is_here {
            true => error,
            false => self.plan.identity.nothing_there(error),
        };
        *self.last = Some(error.clone());
        Failed {
            decides: cure.unwrap_or_else(|| error.clone()),
            error,
            sent,
        }
    }

    /// An attempt with one credential, and a second one where reading it anew may help.
    async fn renewing(&mut self, at: usize, left: usize) -> Result<Acquired, Refused> {
        let mut before = None;
        loop {
            let correlation_id = self.io.uuid();
            let attempt = OneAttempt {
                io: self.io,
                plan: self.plan,
                claims: self.claims,
                correlation_id: &correlation_id,
                deadline: self.deadline,
                at,
                left,
                presented: &self.presented,
                #[cfg(feature = "every-credential")]
                spent: self.spent,
            };
            let result = match &self.plan.identity.source {
                Source::Direct(direct) => attempt.direct(direct).await,
                Source::Exchange(exchange) => attempt.exchange(exchange, before.take()).await,
            };
            let mut refused = match result {
                Ok(acquired) => return Ok(acquired),
                Err(refused) => refused,
            };
            for secret in std::mem::take(&mut refused.secrets) {
                if !self.presented.contains(&secret) {
                    self.presented.push(secret);
                }
            }
            let may_help = match retry_class(refused.error()) {
                RetryClass::Reload => true,
                RetryClass::None => refused.differs_anew,
                RetryClass::Time | RetryClass::Propagation => false,
            };
            // what was not presented was not refused, and is read anew at each attempt
            if !may_help
                || !refused.sent
                || !self.plan.is_repeatable()
                || self.renewed.contains(&at)
            {
                return Err(refused);
            }
            self.renewed.push(at);
            *self.last = Some(self.plan.of_credential(refused.error().clone(), at));
            before = Some(refused);
        }
    }
}

/// What one attempt knows.
struct OneAttempt<'a> {
    io: &'a Io,
    plan: &'a Plan,
    claims: Option<&'a str>,
    correlation_id: &'a str,
    /// On the monotonic clock.
    deadline: u64,
    /// The credential's place in the list.
    at: usize,
    /// How many others come after it.
    left: usize,
    /// What earlier attempts sent.
    presented: &'a [Secret],
    /// What the grant presents counts once, and the server may have taken it.
    #[cfg(feature = "every-credential")]
    spent: &'a Cell<bool>,
}

impl OneAttempt<'_> {
    /// Asks the platform.
    async fn direct(&self, direct: &Direct) -> Result<Acquired, Refused> {
        let (begun, asked_at) = (self.io.number(), self.io.now());
        let request = DirectRequest {
            scopes: &self.plan.scopes,
            correlation_id: self.correlation_id,
            timeout_ms: self.timeout_ms(),
        };
        let granted = direct.token(self.io, &request).await.map_err(Refused::of)?;
        Ok(Acquired {
            granted,
            asked_at,
            begun,
            scope: self.plan.scopes.join(" "),
            generation: None,
            #[cfg(feature = "every-credential")]
            from_store: false,
        })
    }

    /// Authenticates the client and posts the grant. `before` is what was refused and is to be read anew: presenting
    /// the same again would be refused again.
    async fn exchange(
        &self,
        exchange: &Exchange,
        before: Option<Refused>,
    ) -> Result<Acquired, Refused> {
        let begun = self.io.number();
        let Exchange {
            client,
            credentials,
        } = exchange;
        let credential = credentials.get(self.at);
        let tenant = self.plan.tenant.as_deref();
        #[cfg(feature = "every-credential")]
        let agent = Agent::of(&self.plan.grant, client, tenant, credential);
        // the identity vouches for it, and it asks
        #[cfg(feature = "every-credential")]
        let client = agent.as_deref().map_or(client, Agent::client);
        let mut secrets = grant::secrets(&self.plan.grant);
        secrets.extend_from_slice(self.presented);
        let endpoint = {
            let (io, id) = (self.io, self.correlation_id);
            let found = credential.find_token_endpoint(io, client, tenant, id, &secrets);
            #[cfg(feature = "every-credential")]
            match &agent {
                Some(agent) => agent.token_endpoint(),
                None => found.await,
            }
            #[cfg(not(feature = "every-credential"))]
            found.await
        };
        let endpoint = endpoint.map_err(Refused::from)?;
        let purpose = Purpose {
            identity: &self.plan.identity.name,
            client_id: &client.client_id,
            tenant,
            endpoint: &endpoint,
            audience: None,
            claims: self.claims,
            correlation_id: self.correlation_id,
        };
        let before = before.filter(|refused| refused.fingerprint.is_some());
        #[cfg(feature = "every-credential")]
        let gathered = self.gather(agent.as_deref(), credential, &purpose).await;
        #[cfg(not(feature = "every-credential"))]
        let gathered = self.gather(credential, &purpose).await;
        let auth = match (gathered, before) {
            (Ok(auth), Some(refused)) if auth.fingerprint() == refused.fingerprint => {
                return Err(refused);
            }
            // reading it anew did not help: what the server said about the old one says more
            (Err(_), Some(refused)) => return Err(refused),
            (Err(failure), None) => {
                return Err(Refused {
                    gives_way: failure.error.class() != ErrorClass::InvalidRequest,
                    ..Refused::of(failure)
                });
            }
            (Ok(auth), _) => auth,
        };
        #[cfg(feature = "every-credential")]
        let mut auth = auth;
        #[cfg(feature = "every-credential")]
        if let Some(agent) = &agent {
            let stands_in = agent.stand_in(self.io, &purpose, &mut auth).await;
            stands_in.map_err(Refused::of)?;
        }

        #[cfg(feature = "every-credential")]
        let auth = match self.plan.token_type {
            TokenType::Bearer => auth,
            TokenType::MtlsPop if auth.connection.is_none() => {
                return Err(unbound(&self.plan.identity.name).into());
            }
            TokenType::MtlsPop => auth.for_a_bound_token(&client.authority),
        };
        let host = &endpoint.authority;
        let clock_before = self.io.server_clock(host).estimate_ms(self.io.now());
        let own = auth.secrets();
        secrets.extend_from_slice(&own);
        #[cfg(feature = "every-credential")]
        if self.must_have_id_token() {
            // without the means to validate it, the code would be spent for nothing
            let ready = id_token::prepare(self.io, client, tenant, self.correlation_id, &secrets);
            Box::pin(ready).await.map_err(Refused::from)?;
        }
        let Plan { grant, scopes, .. } = self.plan;
        #[cfg(feature = "every-credential")]
        let session = InSession::of(self.io, &self.plan.identity.name, tenant, grant)
            .map_err(Refused::from)?;
        let mut form = Form::default();
        form.add("client_id", client.client_id.as_str());
        auth.add_to(&mut form);
        #[cfg(feature = "every-credential")]
        match &session {
            Some(session) => session.add_to(&mut form, grant, &client.authority, scopes),
            None => grant::add_to(&mut form, grant, &client.authority, scopes),
        }
        #[cfg(not(feature = "every-credential"))]
        grant::add_to(&mut form, grant, &client.authority, scopes);
        #[cfg(feature = "every-credential")]
        client.add_parameters(&mut form);
        #[cfg(feature = "every-credential")]
        let claims = capabilities::merged(&client.capabilities, self.claims);
        #[cfg(not(feature = "every-credential"))]
        let claims = self.claims;
        if let Some(claims) = claims {
            form.add("claims", claims);
        }
        #[cfg(feature = "every-credential")]
        secrets.extend(session.as_ref().and_then(InSession::refresh_token).cloned());

        let asked_at = self.io.now();
        let request = exchange::request(
            &endpoint,
            form,
            auth.authorization.clone(),
            self.correlation_id,
            self.timeout_ms(),
        );
        #[cfg(feature = "every-credential")]
        self.spent.set(!self.plan.is_repeatable());
        let result = self.io.http(request, auth.via()).await;
        #[cfg(feature = "every-credential")]
        self.spent
            .set(!self.plan.is_repeatable() && may_be_spent(&result));
        let asked = Asked {
            endpoint: &endpoint,
            server_unix_s: self.io.server_clock(host).estimate_ms(self.io.now()) / 1000,
            correlation_id: self.correlation_id,
            presented: auth.presented.as_deref(),
            wanted: Wanted {
                token_type: self.plan.token_type,
                token_exchange: matches!(grant, Grant::TokenExchange { .. }),
                has_subject: matches!(grant, Grant::OnBehalfOf { .. } | Grant::AgentUser { .. }),
                certificate_thumbprint: auth.connection.as_ref().and(auth.generation.as_deref()),
            },
            is_entra: client.authority.has_numbers_of_entra(),
            secrets: &secrets,
        };
        #[cfg_attr(
            not(feature = "every-credential"),
            expect(unused_mut, reason = "the other builds change it")
        )]
        let mut granted = match &result {
            Ok(response) => exchange::response(&asked, response),
            Err(error) => {
                let failure = exchange::no_response(&asked, error);
                Err(credential.explain(failure, error.kind))
            }
        };
        // whoever refuses says himself what he has taken
        #[cfg(feature = "every-credential")]
        if self.spent.get() {
            granted = granted.map_err(|error| match &error.detail().oauth_error {
                None => of_what_is_spent(error),
                Some(_) => error,
            });
        }
        let other_clock = exchange::learn_clock(
            self.io,
            host,
            result.as_ref().ok(),
            auth.is_built_by_clock().then_some(clock_before),
            granted.as_ref().err(),
        );
        // whoever answers that was no token server, and may not be the one that the issuer means by now
        #[cfg(feature = "every-credential")]
        if let (Err(error), Authority::Discovered(issuer)) = (&granted, &client.authority)
            && error.detail().oauth_error.is_none()
        {
            discovery::renew(self.io, issuer);
        }
        let other_certificate =
            (result.as_ref().err()).is_some_and(|error| auth.is_issued_anew(error.kind));
        #[cfg(feature = "every-credential")]
        if let Err(error) = &granted
            && exchange::is_refusal(error)
        {
            for presented in auth.read.iter().chain(&auth.for_user) {
                self.io.forget_assertion(presented);
            }
        }
        #[cfg(feature = "every-credential")]
        if let Some(agent) = &agent {
            granted = granted.map_err(|error| agent.explain(error));
        }
        #[cfg(feature = "every-credential")]
        let is_agent = agent.is_some();
        #[cfg(not(feature = "every-credential"))]
        let is_agent = false;
        // before the ID token is looked at: the refresh token is good, whatever is wrong with that
        #[cfg(feature = "every-credential")]
        if let Some(session) = &session {
            granted = match granted {
                Ok(mut answer) => session.keep(self.io, &mut answer).map(|()| answer),
                Err(error) => Err(session.explain(self.io, error)),
            };
        } else if matches!(grant, Grant::RefreshToken(_)) {
            granted = granted.map_err(session::of_refresh_token);
        }
        #[cfg(feature = "every-credential")]
        if let Ok(answer) = granted {
            granted = self
                .with_valid_id_token(&exchange.client, host, answer, &secrets)
                .await;
        }
        match granted {
            Ok(granted) => Ok(Acquired {
                granted,
                asked_at,
                begun,
                scope: scopes.join(" "),
                generation: auth.generation.map(|state| Generation {
                    credential: self.at,
                    state,
                }),
                #[cfg(feature = "every-credential")]
                from_store: false,
            }),
            Err(error) => Err(Refused {
                gives_way: match &result {
                    // what the server says of an agent, no credential of its blueprint changes
                    Ok(_) => !is_agent && is_of_the_credential(&error),
                    Err(error) => auth.connection.is_some() && is_of_the_connection(error.kind),
                },
                sent: true,
                fingerprint: auth.fingerprint(),
                differs_anew: other_clock || other_certificate,
                secrets: own,
                ..Refused::of(error.into())
            }),
        }
    }

    /// Whether an ID token was asked for.
    #[cfg(feature = "every-credential")]
    fn asks_for_id_token(&self) -> bool {
        let Plan { grant, scopes, .. } = self.plan;
        matches!(grant, Grant::AuthorizationCode { nonce: Some(_), .. })
            || scopes.iter().any(|scope| scope == "openid")
    }

    /// Whether it is for the ID token that the code is redeemed.
    #[cfg(feature = "every-credential")]
    fn must_have_id_token(&self) -> bool {
        self.asks_for_id_token() && matches!(self.plan.grant, Grant::AuthorizationCode { .. })
    }

    /// The answer, with its ID token if that is valid. One that is not good, or that nobody can judge, is an error where it
    /// was asked for, and left out where it was not. With a refresh token it is left out as well: an answer to that may be
    /// without one (OpenID Connect Core section 12.2), and the refresh token that it brings may be the only one that is good.
    #[cfg(feature = "every-credential")]
    async fn with_valid_id_token(
        &self,
        client: &Client,
        host: &str,
        mut granted: Granted,
        sent: &[Secret],
    ) -> Result<Granted, Error> {
        let grant = &self.plan.grant;
        let Some(id_token) = &granted.id_token else {
            return id_token::check_present(host, grant).map(|()| granted);
        };
        if !grant.kind().is_of_a_user() {
            granted.id_token = None;
            return Ok(granted);
        }
        // what the token, the metadata and the keys say is the server's, who may repeat what it was sent or has just issued
        let mut secrets = sent.to_vec();
        secrets.push(granted.token.clone());
        secrets.extend(granted.refresh_token.clone());
        let expected = id_token::Expected {
            client,
            tenant: self.plan.tenant.as_deref(),
            grant,
            access_token: &granted.token,
            host,
            correlation_id: self.correlation_id,
            secrets: &secrets,
            known: &Needles::of(&secrets),
        };
        let validated = Box::pin(id_token::validate(self.io, &expected, id_token));
        let result = match self.asks_for_id_token() && !matches!(grant, Grant::RefreshToken(_)) {
            true => validated.await.map_err(Some),
            // whoever does without it does not wait for it until there is no time left for the rest
            false => match race(validated, self.io.sleep_ms(self.timeout_ms() / 2)).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(None),
            },
        };
        let error = match result {
            Ok(()) => return Ok(granted),
            Err(None) => {
                granted.id_token = None;
                return Ok(granted);
            }
            Err(Some(error)) => error,
        };
        Err(error.without(expected.known))
    }

    /// One attempt's client authentication. Where others come after it, it gets its share of the time: one that hangs
    /// must not leave them none.
    async fn gather(
        &self,
        #[cfg(feature = "every-credential")] agent: Option<&Agent>,
        credential: &Credential,
        purpose: &Purpose<'_>,
    ) -> Result<ClientAuth, Failure> {
        let gathered = async {
            #[cfg(feature = "every-credential")]
            if let Some(agent) = agent {
                return agent.authenticate(self.io, purpose).await;
            }
            credential.authenticate(self.io, purpose).await
        };
        if self.left == 0 {
            return gathered.await;
        }
        let rest_ms = self.deadline.saturating_sub(self.io.now().mono_ms);
        let share_ms = rest_ms / (self.left as u64 + 1);
        race(gathered, self.io.sleep_ms(share_ms))
            .await
            .unwrap_or_else(|()| {
                let message = format!("gave nothing in {share_ms} ms");
                Err(Error::new(ErrorClass::Timeout, message).retryable().into())
            })
    }

    fn timeout_ms(&self) -> u64 {
        HTTP_TIMEOUT_MS.min(self.deadline.saturating_sub(self.io.now().mono_ms))
    }
}

/// The client assertion without an exchange.
pub(crate) async fn assertion_alone(
    io: &Io,
    plan: &Plan,
    audience: Option<&str>,
) -> Result<ClientAssertion, Error> {
    let correlation_id = io.uuid();
    let none = || {
        Error::new(
            ErrorClass::InvalidRequest,
            format!(
                "the credential of identity `{}` makes no assertion",
                plan.identity.name
            ),
        )
    };
    let Source::Exchange(exchange) = &plan.identity.source else {
        return Err(none());
    };
    let Exchange {
        client,
        credentials,
    } = exchange.as_ref();
    let tenant = plan.tenant.as_deref();
    let name = &plan.identity.name;
    let now = io.now();
    let mut first = None;
    for at in io.standings(|standings| standings.order(name, credentials.len(), now)) {
        let credential = credentials.get(at);
        let purpose = Purpose {
            identity: name,
            client_id: &client.client_id,
            tenant,
            endpoint: &credential
                .find_token_endpoint(io, client, tenant, &correlation_id, &[])
                .await?,
            audience,
            claims: None,
            correlation_id: &correlation_id,
        };
        match credential.authenticate(io, &purpose).await {
            Ok(ClientAuth {
                assertion: Some(assertion),
                ..
            }) => return Ok(assertion),
            Ok(_) => {
                first.get_or_insert_with(none);
            }
            Err(failure) => {
                first.get_or_insert(plan.of_credential(failure.error, at));
            }
        }
    }
    Err(first.unwrap_or_else(none))
}

/// Loads each credential of an identity, as for an exchange with its own token endpoint, and makes none there.
pub(crate) async fn try_credentials(io: &Io, plan: &Plan) -> Vec<CredentialTrial> {
    let mut trials = Vec::new();
    let Source::Exchange(exchange) = &plan.identity.source else {
        return trials;
    };
    let Exchange {
        client,
        credentials,
    } = exchange.as_ref();
    let tenant = plan.tenant.as_deref();
    let share_ms = FLIGHT_TIMEOUT_MS / credentials.len().max(1) as u64;
    let share_ms = share_ms.min(HOST_CALL_TIMEOUT_MS);
    for (at, credential) in credentials.iter().enumerate() {
        let correlation_id = io.uuid();
        let endpoint = credential
            .find_token_endpoint(io, client, tenant, &correlation_id, &[])
            .await;
        let outcome = match &endpoint {
            Err(error) => Err(error.clone()),
            Ok(endpoint) => {
                let purpose = Purpose {
                    identity: &plan.identity.name,
                    client_id: &client.client_id,
                    tenant,
                    endpoint,
                    audience: None,
                    claims: None,
                    correlation_id: &correlation_id,
                };
                let loaded = race(credential.authenticate(io, &purpose), io.sleep_ms(share_ms));
                loaded
                    .await
                    .unwrap_or_else(|()| {
                        let message = format!("gave nothing in {share_ms} ms");
                        Err(Error::new(ErrorClass::Timeout, message).retryable().into())
                    })
                    .map_err(|failure| failure.error)
                    .and_then(|auth| check_times(&auth, io.now().unix_s()))
            }
        };
        trials.push(CredentialTrial {
            credential: credentials.reference(at),
            description: credential.describe(),
            problem: outcome.err().map(|error| plan.of_credential(error, at)),
        });
    }
    trials
}

/// Whether an assertion that was supplied is good now. An exchange presents one that has ended a moment ago all the same,
/// because the clock here may be the wrong one; who asks whether it is ready is told.
fn check_times(auth: &ClientAuth, now_s: u64) -> Result<(), Error> {
    let Some(summary) = &auth.presented else {
        return Ok(());
    };
    let wrong = |message: String| {
        Err(Error::new(ErrorClass::CredentialUnavailable, message).hint(
            "whoever writes or gives it has to bring a new one; or this machine's clock is wrong",
        ))
    };
    match (summary.exp, summary.nbf) {
        (Some(exp), _) if exp <= now_s => {
            let ago = duration(now_s - exp);
            wrong(format!("the assertion expired {ago} ago"))
        }
        (_, Some(nbf)) if nbf > now_s.saturating_add(EXPIRED_ASSERTION_GRACE_MS / 1000) => {
            let left = duration(nbf - now_s);
            wrong(format!("the assertion becomes valid in {left}"))
        }
        _ => Ok(()),
    }
}
