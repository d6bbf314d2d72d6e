//! One acquisition from beginning to end, in the order in which it happens.

use std::sync::Arc;

use crate::cache::{Acquired, CacheKey, KeyParts};
use crate::config::{Exchange, IdentityConfig, Source};
use crate::credential::{Direct, DirectRequest, Failure, Purpose, Step};
use crate::exchange::{self, Asked, Form, Wanted};
use crate::flow::{Io, race};
use crate::grant::{self, GrantKey};
use crate::limits::{CLOCK_SKEW_MS, FLIGHT_TIMEOUT_MS, HTTP_TIMEOUT_MS};
use crate::retry::{Attempts, Next};
use crate::{
    ClientAssertion, Error, ErrorClass, Grant, Secret, Table, TokenRequest, TokenType, http_date,
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
        grant::check_supported(&request.grant, request.token_type)?;
        if identity.client().is_none() && request.grant != Grant::ClientCredentials {
            return Err(Error::new(
                ErrorClass::InvalidRequest,
                format!(
                    "identity `{}` gets its tokens from the platform, which gives none for others",
                    identity.name
                ),
            )
            .hint("name an identity with a client of its own"));
        }
        let asked = if request.scopes.is_empty() {
            &identity.scopes
        } else {
            &request.scopes
        };
        Ok(Self {
            scopes: identity.check_scopes(asked)?,
            tenant: identity.check_tenant(request.tenant.as_deref())?,
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

    pub(crate) fn key(&self, generation: Option<String>) -> CacheKey {
        let mut scopes = self.scopes.clone();
        let client = self.identity.client();
        if client.is_none_or(|client| client.authority.is_entra()) {
            // Entra compares scopes without regard to case; RFC 6749 section 3.3 does not
            scopes
                .iter_mut()
                .for_each(|scope| scope.make_ascii_lowercase());
        }
        CacheKey::new(KeyParts {
            identity: self.identity.name.clone(),
            tenant: self.tenant.clone(),
            grant: GrantKey::of(&self.grant),
            // in order and each once
            scopes: Table::from_iter(scopes.into_iter().map(|scope| (scope, ())))
                .into_iter()
                .map(|(scope, ())| scope)
                .collect(),
            token_type: self.token_type,
            generation,
        })
    }

    /// Whether the same exchange may be made again: see [`grant::is_single_use`].
    pub(crate) fn is_repeatable(&self) -> bool {
        !grant::is_single_use(&self.grant)
    }

    /// Whether its request can carry the claims of a challenge.
    pub(crate) fn takes_claims(&self) -> bool {
        matches!(self.identity.source, Source::Exchange(_))
    }

    /// Who is asked, for messages.
    fn server(&self) -> String {
        match &self.identity.source {
            Source::Direct(direct) => direct.server().to_owned(),
            Source::Exchange(exchange) => {
                let Exchange { client, credential } = exchange.as_ref();
                let mtls = credential.certificate().is_some();
                let endpoint = client.token_endpoint(self.tenant.as_deref(), mtls);
                endpoint.map_or_else(|_| client.client_id.clone(), |url| url.authority)
            }
        }
    }
}

/// Gets a token, trying again where that may help, within [`FLIGHT_TIMEOUT_MS`].
pub(crate) async fn acquire(io: &Io, plan: &Plan, claims: Option<&str>) -> Result<Acquired, Error> {
    let mut last = None;
    let deadline = io.now().mono_ms.saturating_add(FLIGHT_TIMEOUT_MS);
    let outcome = race(
        attempts(io, plan, claims, deadline, &mut last),
        io.sleep_ms(FLIGHT_TIMEOUT_MS),
    )
    .await;
    let outcome = outcome.unwrap_or_else(|()| {
        Err(last.unwrap_or_else(|| {
            Error::new(
                ErrorClass::Timeout,
                format!("no token from {} in time", plan.server()),
            )
            .retryable()
        }))
    });
    outcome.map_err(|error| {
        error.edit(|detail| {
            detail.credential = Some(match &plan.identity.source {
                Source::Direct(direct) => direct.reference(),
                Source::Exchange(exchange) => exchange.credential.reference(),
            });
        })
    })
}

/// An attempt that brought nothing.
#[derive(Clone)]
struct Refused {
    failure: Failure,
    /// Of the material that was presented and refused.
    fingerprint: Option<String>,
    /// Another attempt would build its assertion by a clock that shows something else.
    other_clock: bool,
}

impl<T: Into<Failure>> From<T> for Refused {
    fn from(failure: T) -> Self {
        Self {
            failure: failure.into(),
            fingerprint: None,
            other_clock: false,
        }
    }
}

async fn attempts(
    io: &Io,
    plan: &Plan,
    claims: Option<&str>,
    deadline: u64,
    last: &mut Option<Error>,
) -> Result<Acquired, Error> {
    let mut attempts = Attempts::default();
    let mut before: Option<Refused> = None;
    loop {
        let correlation_id = io.uuid();
        let attempt = Attempt {
            io,
            plan,
            claims,
            correlation_id: &correlation_id,
            deadline,
        };
        let result = match &plan.identity.source {
            Source::Direct(direct) => attempt.direct(direct).await,
            Source::Exchange(exchange) => attempt.exchange(exchange, before.take()).await,
        };
        let refused = match result {
            Ok(acquired) => return Ok(acquired),
            Err(refused) => refused,
        };
        let error = &refused.failure.error;
        *last = Some(error.clone());
        if refused.failure.step() == Step::NextCredential {
            // there is no other
            return Err(error.clone());
        }
        if !plan.is_repeatable() && error.class() != ErrorClass::CredentialUnavailable {
            return Err(error.clone());
        }
        match attempts.next(error, refused.other_clock, io) {
            Next::GiveUp => return Err(error.clone()),
            Next::Reload => before = Some(refused),
            Next::After(ms) => {
                if io.now().mono_ms.saturating_add(ms) >= deadline {
                    return Err(error.clone());
                }
                io.sleep_ms(ms).await;
            }
        }
    }
}

/// What one attempt knows.
struct Attempt<'a> {
    io: &'a Io,
    plan: &'a Plan,
    claims: Option<&'a str>,
    correlation_id: &'a str,
    /// On the monotonic clock.
    deadline: u64,
}

impl Attempt<'_> {
    /// Asks the platform.
    async fn direct(&self, direct: &Direct) -> Result<Acquired, Refused> {
        let (begun, asked_at) = (self.io.number(), self.io.now());
        let request = DirectRequest {
            scopes: &self.plan.scopes,
            correlation_id: self.correlation_id,
            timeout_ms: self.timeout_ms(),
        };
        let granted = direct.token(self.io, &request).await?;
        Ok(Acquired {
            granted,
            asked_at,
            begun,
            scope: self.plan.scopes.join(" "),
            generation: None,
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
        let Exchange { client, credential } = exchange;
        let tenant = self.plan.tenant.as_deref();
        let endpoint = client.token_endpoint(tenant, credential.certificate().is_some())?;
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
        let auth = match (credential.authenticate(self.io, &purpose).await, before) {
            (Ok(auth), Some(refused)) if auth.fingerprint() == refused.fingerprint => {
                return Err(refused);
            }
            // reading it anew did not help: what the server said about the old one says more
            (Err(_), Some(refused)) => return Err(refused),
            (Err(failure), None) => return Err(failure.into()),
            (Ok(auth), _) => auth,
        };

        let host = &endpoint.authority;
        let clock_before = self.io.server_clock(host).estimate_ms(self.io.now());
        let mut form = Form::default();
        form.add("client_id", client.client_id.as_str());
        auth.add_to(&mut form);
        let Plan { grant, scopes, .. } = self.plan;
        grant::add_to(&mut form, grant, &client.authority, scopes)?;
        if let Some(claims) = self.claims {
            form.add("claims", claims);
        }
        let mut secrets: Vec<Secret> = auth.secrets();
        secrets.extend(grant::secrets(grant));

        let asked_at = self.io.now();
        let request = exchange::request(
            &endpoint,
            form,
            auth.authorization.clone(),
            self.correlation_id,
            self.timeout_ms(),
        );
        let result = self.io.http(request, auth.via()).await;
        let asked = Asked {
            endpoint: &endpoint,
            server_unix_s: self.io.server_clock(host).estimate_ms(self.io.now()) / 1000,
            correlation_id: self.correlation_id,
            presented: auth.presented.as_deref(),
            wanted: Wanted {
                token_type: self.plan.token_type,
                token_exchange: matches!(grant, Grant::TokenExchange { .. }),
                certificate_thumbprint: auth.connection.as_ref().and(auth.generation.as_deref()),
            },
            secrets: &secrets,
        };
        let granted = match &result {
            Ok(response) => exchange::response(&asked, response),
            Err(error) => Err(exchange::no_response(&asked, error)),
        };
        let date = result
            .as_ref()
            .ok()
            .and_then(|response| http_date::unix_seconds(response.header("date")?));
        let other_clock = self.learn_clock(
            host,
            date,
            auth.is_built_by_clock().then_some(clock_before),
            granted.as_ref().err(),
        );
        match granted {
            Ok(granted) => Ok(Acquired {
                granted,
                asked_at,
                begun,
                scope: scopes.join(" "),
                generation: auth.generation,
            }),
            Err(error) => Err(Refused {
                failure: error.into(),
                fingerprint: auth.fingerprint(),
                other_clock,
            }),
        }
    }

    /// Takes in what an answer tells about the server's clock, and says whether that makes another attempt worth while.
    /// `built_at_ms` is the Unix time by which an assertion was built for it, `refusal` what came instead of a token.
    fn learn_clock(
        &self,
        host: &str,
        date_unix_s: Option<u64>,
        built_at_ms: Option<u64>,
        refusal: Option<&Error>,
    ) -> bool {
        let now = self.io.now();
        // a page of a proxy says nothing about the server, whatever its headers are
        let is_its_own = refusal.is_none_or(|error| error.detail().oauth_error.is_some());
        let Some(date_ms) = date_unix_s
            .filter(|_| is_its_own)
            .map(|seconds| seconds.saturating_mul(1000))
        else {
            return false;
        };
        let is_off = |by_ms: u64| by_ms.abs_diff(date_ms) > CLOCK_SKEW_MS;
        let refused_assertion = refusal.and(built_at_ms).filter(|_| {
            refusal.is_some_and(|error| error.class() == ErrorClass::CredentialRejected)
        });
        let learnt = built_at_ms.is_some_and(|built| built.abs_diff(now.unix_ms) > CLOCK_SKEW_MS);
        self.io.edit_server_clock(host, |clock, now| {
            match (refusal, built_at_ms) {
                // the server did not want what was built by its supposed clock, or wants what the local clock builds
                (Some(_), Some(_)) if refused_assertion.is_some() && learnt => clock.distrust(),
                (None, Some(built)) if is_off(built) => clock.distrust(),
                _ => clock.measure(date_ms, now, refused_assertion.is_some_and(is_off)),
            }
        });
        let after = self.io.server_clock(host).estimate_ms(now);
        refused_assertion.is_some_and(|built| built.abs_diff(after) > CLOCK_SKEW_MS)
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
    let Exchange { client, credential } = exchange.as_ref();
    let tenant = plan.tenant.as_deref();
    let purpose = Purpose {
        identity: &plan.identity.name,
        client_id: &client.client_id,
        tenant,
        endpoint: &client.token_endpoint(tenant, credential.certificate().is_some())?,
        audience,
        claims: None,
        correlation_id: &correlation_id,
    };
    match credential.authenticate(io, &purpose).await {
        Ok(auth) => auth.assertion.ok_or_else(none),
        Err(failure) => Err(failure.error),
    }
}
