//! One acquisition from beginning to end, in the order in which it happens.

use std::sync::Arc;

use crate::authority::{Authority, Endpoint};
use crate::cache::{Acquired, CacheKey};
use crate::config::{IdentityConfig, check_scopes, check_tenant};
use crate::credential::{self, ClientAuth, Purpose};
use crate::exchange::{self, Asked, Form};
use crate::flow::{Io, race};
use crate::grant::{self, GrantKey};
use crate::limits::{FLIGHT_TIMEOUT_MS, HTTP_TIMEOUT_MS};
use crate::retry::{Attempts, Next};
use crate::{ClientAssertion, Error, ErrorClass, Grant, Secret, Table, TokenRequest, TokenType};

/// A request, resolved against the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) identity: Arc<IdentityConfig>,
    tenant: Option<String>,
    grant: Grant,
    endpoint: Endpoint,
    scopes: Vec<String>,
    token_type: TokenType,
}

impl Plan {
    pub(crate) fn for_token(
        identity: Arc<IdentityConfig>,
        request: &TokenRequest,
    ) -> Result<Self, Error> {
        grant::check_supported(&request.grant, request.token_type)?;
        let asked = if request.scopes.is_empty() {
            &identity.scopes
        } else {
            &request.scopes
        };
        let scopes = check_scopes(&identity.authority, asked)?;
        let tenant = check_tenant(&identity, request.tenant.as_deref())?;
        let endpoint = endpoint(&identity, tenant.as_deref())?;
        Ok(Self {
            identity,
            tenant,
            grant: request.grant.clone(),
            endpoint,
            scopes,
            token_type: request.token_type,
        })
    }

    pub(crate) fn for_assertion(identity: Arc<IdentityConfig>) -> Result<Self, Error> {
        let tenant = check_tenant(&identity, None)?;
        let endpoint = endpoint(&identity, tenant.as_deref())?;
        Ok(Self {
            identity,
            tenant,
            grant: Grant::ClientCredentials,
            endpoint,
            scopes: Vec::new(),
            token_type: TokenType::Bearer,
        })
    }

    pub(crate) fn key(&self, generation: Option<String>) -> CacheKey {
        let mut scopes = self.scopes.clone();
        if matches!(self.identity.authority, Authority::Entra { .. }) {
            // Entra compares scopes without regard to case; RFC 6749 section 3.3 does not
            scopes
                .iter_mut()
                .for_each(|scope| scope.make_ascii_lowercase());
        }
        CacheKey {
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
        }
    }

    fn purpose<'a>(&'a self, correlation_id: &'a str, claims: Option<&'a str>) -> Purpose<'a> {
        Purpose {
            identity: &self.identity.name,
            client_id: &self.identity.client_id,
            tenant: self.tenant.as_deref(),
            endpoint: &self.endpoint,
            audience: None,
            claims,
            correlation_id,
        }
    }
}

fn endpoint(identity: &IdentityConfig, tenant: Option<&str>) -> Result<Endpoint, Error> {
    identity
        .authority
        .token_endpoint(tenant, credential::is_bound(&identity.credential))
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
    outcome.unwrap_or_else(|()| {
        Err(last.unwrap_or_else(|| {
            Error::new(
                ErrorClass::Timeout,
                format!("no token from {} in time", plan.endpoint.authority),
            )
            .retryable()
        }))
    })
}

async fn attempts(
    io: &Io,
    plan: &Plan,
    claims: Option<&str>,
    deadline: u64,
    last: &mut Option<Error>,
) -> Result<Acquired, Error> {
    let mut attempts = Attempts::default();
    let mut refused_fingerprint = None;
    loop {
        let correlation_id = io.uuid();
        let auth = credential::authenticate(
            io,
            &plan.identity.credential,
            &plan.purpose(&correlation_id, claims),
        )
        .await;
        let error = match auth {
            // reading it anew cured nothing: what the server said about the old one says more
            Err(error) => match last.take_if(|_| refused_fingerprint.is_some()) {
                Some(refused) => return Err(refused),
                None => error,
            },
            Ok(auth) => {
                let fingerprint = auth.fingerprint.clone();
                if let (Some(refused), true) = (
                    last.as_ref(),
                    fingerprint.is_some() && fingerprint == refused_fingerprint,
                ) {
                    // read anew, and it is what the server has just refused
                    return Err(refused.clone());
                }
                match attempt(io, plan, claims, auth, &correlation_id, deadline).await {
                    Ok(acquired) => return Ok(acquired),
                    Err(error) => {
                        refused_fingerprint = fingerprint;
                        error
                    }
                }
            }
        };
        let next = attempts.next(&error, io);
        *last = Some(error.clone());
        match next {
            Next::GiveUp => return Err(error),
            Next::Reload => {}
            Next::After(ms) => {
                if io.now().mono_ms.saturating_add(ms) >= deadline {
                    return Err(error);
                }
                refused_fingerprint = None;
                io.sleep_ms(ms).await;
            }
        }
    }
}

/// One request and its response.
async fn attempt(
    io: &Io,
    plan: &Plan,
    claims: Option<&str>,
    auth: ClientAuth,
    correlation_id: &str,
    deadline: u64,
) -> Result<Acquired, Error> {
    let mut form = Form::default();
    form.add("client_id", plan.identity.client_id.as_str());
    auth.add_to(&mut form);
    grant::add_to(
        &mut form,
        &plan.grant,
        &plan.identity.authority,
        &plan.scopes,
    )?;
    if let Some(claims) = claims {
        form.add("claims", claims);
    }
    let mut secrets: Vec<Secret> = auth.secrets();
    secrets.extend(grant::secrets(&plan.grant));
    let asked_at = io.now();
    let timeout_ms = HTTP_TIMEOUT_MS.min(deadline.saturating_sub(asked_at.mono_ms));
    let request = exchange::request(
        &plan.endpoint,
        form,
        auth.authorization.clone(),
        correlation_id,
        timeout_ms,
    );
    let result = io.http(request, auth.via()).await;
    let host = &plan.endpoint.authority;
    if let Ok(response) = &result
        && let Some(date) = response
            .header("date")
            .and_then(exchange::unix_seconds_of_http_date)
    {
        io.measure_server_clock(host, date.saturating_mul(1000));
    }
    let asked = Asked {
        endpoint: &plan.endpoint,
        server_unix_s: io.server_clock(host).estimate_ms(io.now()) / 1000,
        correlation_id,
        presented: auth.presented.as_ref(),
        secrets: &secrets,
    };
    let granted = match &result {
        Ok(response) => exchange::response(&asked, response),
        Err(error) => Err(exchange::no_response(&asked, error)),
    }?;
    Ok(Acquired {
        granted,
        asked_at,
        scope: plan.scopes.join(" "),
        generation: auth.generation,
    })
}

/// The client assertion without an exchange.
pub(crate) async fn assertion_alone(
    io: &Io,
    plan: &Plan,
    audience: Option<&str>,
) -> Result<ClientAssertion, Error> {
    let correlation_id = io.uuid();
    let purpose = Purpose {
        audience,
        ..plan.purpose(&correlation_id, None)
    };
    let auth = credential::authenticate(io, &plan.identity.credential, &purpose).await?;
    auth.assertion.ok_or_else(|| {
        Error::new(
            ErrorClass::InvalidRequest,
            format!(
                "the credential of identity `{}` makes no assertion",
                plan.identity.name
            ),
        )
    })
}
