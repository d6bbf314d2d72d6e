//! What an identity's credentials give without an exchange: the client assertion alone, and whether each can be loaded. No
//! token is got here.

use crate::acquire::plan::Plan;
use crate::config::{Exchange, Source};
use crate::credential::{ClientAuth, CredentialTrial, Purpose};
use crate::flow::{Io, race};
use crate::limits::{EXPIRED_ASSERTION_GRACE_MS, FLIGHT_TIMEOUT_MS, HOST_CALL_TIMEOUT_MS};
use crate::text::duration;
use crate::{ClientAssertion, Error, ErrorClass};

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
