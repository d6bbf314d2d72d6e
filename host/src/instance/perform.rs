//! A call, as the component's exports are called.

use std::time::{SystemTime, UNIX_EPOCH};

use edgepass_core::{AccessToken, Error, Refresh, TokenRequest, printable};
use wasmtime::component::Accessor;

use super::{Answer, Call};
use crate::bindings::{Provider as Exports, types};
use crate::context::Context;
use crate::limits;

pub(super) async fn perform(
    store: &Accessor<Context>,
    exports: &Exports,
    call: &Call,
) -> wasmtime::Result<Result<Answer, Error>> {
    let provider = exports.edgepass_credentials_credential_provider();
    Ok(match call {
        Call::Token(request) => {
            if let Some(token) = cached(store, exports, request).await? {
                return Ok(Ok(Answer::Token(token)));
            }
            match request.clone().try_into() {
                Ok(request) => {
                    let answer = provider.call_get_token(store, request).await?;
                    take_notice(store, exports).await?;
                    answer
                        .map(|token| Answer::Token(token.into()))
                        .map_err(Into::into)
                }
                Err(e) => Err(e),
            }
        }
        Call::Assertion { identity, audience } => provider
            .call_get_client_assertion(store, identity.clone(), audience.clone())
            .await?
            .map(|assertion| Answer::Assertion(assertion.into()))
            .map_err(Into::into),
        Call::Trials { identity } => provider
            .call_try_credentials(store, identity.clone())
            .await?
            .map(|trials| Answer::Trials(trials.into_iter().map(Into::into).collect()))
            .map_err(Into::into),
        Call::Authorization { identity, options } => provider
            .call_authorization_url(store, identity.clone(), options.clone().into())
            .await?
            .map(|request| Answer::Authorization(request.into()))
            .map_err(Into::into),
        Call::Rejection {
            request,
            token_sha256,
            www_authenticate,
        } => match request.clone().try_into() {
            Ok(request) => {
                let rejection = types::Rejection {
                    token_sha256: token_sha256.clone(),
                    www_authenticate: www_authenticate.clone(),
                };
                provider
                    .call_report_rejection(store, request, rejection)
                    .await?
                    .map(|outcome| Answer::Rejection(outcome.into()))
                    .map_err(Into::into)
            }
            Err(e) => Err(e),
        },
        Call::Forget { identity } => Ok(Answer::Forgotten(
            provider.call_drop_cached(store, identity.clone()).await?,
        )),
        Call::EndSession {
            identity,
            session_key,
        } => {
            let key = session_key.expose().to_owned();
            let ended = provider.call_end_session(store, identity.clone(), key);
            Ok(Answer::Ended(ended.await?))
        }
        Call::Status => {
            let status = exports.edgepass_credentials_status();
            let identities = status.call_identities(store).await?;
            Ok(Answer::Status(
                identities.into_iter().map(Into::into).collect(),
            ))
        }
    })
}

/// Says in the log what has become of credentials that stand in for each other, and of what the token store has. It costs the
/// same however many identities there are: the component tells what is new.
async fn take_notice(store: &Accessor<Context>, exports: &Exports) -> wasmtime::Result<()> {
    if !store.with(|mut store| store.get().host().has_notices()) {
        return Ok(());
    }
    let status = exports.edgepass_credentials_status();
    for _ in 0..limits::NOTICES_AT_ONCE {
        let Some(notice) = status.call_next_notice(store).await? else {
            break;
        };
        log::warn!("{}", printable(&notice, limits::NOTICE_CHARS));
    }
    Ok(())
}

/// What `get-token` would answer at once, by the plain function, which costs a third less: an asynchronous call is a task
/// for the component and for wasmtime.
///
/// The provider gives nothing to a host that calls alone while there is more to do than to serve the token, a refresh
/// above all. A component of another make need not know that, so a token whose refresh is due is not taken.
async fn cached(
    store: &Accessor<Context>,
    exports: &Exports,
    request: &TokenRequest,
) -> wasmtime::Result<Option<AccessToken>> {
    if request.refresh != Refresh::IfNeeded || request.claims.is_some() {
        return Ok(None);
    }
    // what cannot be passed on is reported by the call that follows
    let Ok(request) = request.clone().try_into() else {
        return Ok(None);
    };
    let provider = exports.edgepass_credentials_credential_provider();
    let token = provider.call_cached_token(store, request).await?;
    let unix_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    Ok(token
        .filter(|token| unix_s <= token.refresh_on)
        .map(Into::into))
}
