//! One request: judged, given its token, sent, and sent once more where the token is refused.

use std::cell::Cell;
use std::rc::Rc;

use edgepass_core::challenge::refused;
use edgepass_core::{Error, ErrorClass};
use edgepass_rules::http::HttpRule;
use wit_bindgen::FutureWriter;

use crate::audit::Recording;
use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Request, Response};
use crate::bindings::wit_future;
use crate::body::{self, Kept, Outgoing};
use crate::head::{Head, Seen};
use crate::settings;
use crate::token::Token;

/// Requests under way at once. Each has some KiB of this component's memory, which ends for all of them when it ends.
const MAX_CALLS: usize = 1_024;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// A request under way: counted until its answer is there and its body has been handed on.
pub(crate) struct Call(());

impl Call {
    fn begin() -> Option<Rc<Self>> {
        let calls = CALLS.get();
        (calls < MAX_CALLS).then(|| {
            CALLS.set(calls + 1);
            Rc::new(Self(()))
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALLS.set(CALLS.get().saturating_sub(1));
    }
}

/// Sends a request, with a token if a rule says so.
pub(crate) async fn send(request: Request) -> Result<Response, ErrorCode> {
    let Some(call) = Call::begin() else {
        return refuse(ErrorCode::ConnectionLimitReached).await;
    };
    let settings = match settings::get() {
        Ok(settings) => settings,
        Err(error) => return refuse(in_words(&error)).await,
    };
    let seen = Seen::of(&request);
    let rule = match settings.rule_of(&seen) {
        Ok(Some(rule)) => rule,
        Ok(None) => return client::send(request).await,
        Err(error) => {
            let recording = Recording::of(&settings, &seen);
            recording.refused(None, error.class()).await;
            return refuse(told(&error)).await;
        }
    };
    let mut recording = Recording::of(&settings, &seen);
    let head = seen.into_head();
    let (token, headers) = match authorized(&head, rule).await {
        Ok(authorized) => authorized,
        Err(error) => {
            recording.refused(Some(rule), error.class()).await;
            return Err(told(&error));
        }
    };
    let (answered, answer) = wit_future::new(|| Ok(()));
    let content = Request::consume_body(request, answer);
    let limit = settings.replay_body_bytes;
    let outgoing = body::hand_on(content, head.content_length(), limit, &call).await;
    let Outgoing {
        content,
        trailers,
        kept,
    } = outgoing;
    let (first, sent) = match head.make(headers, content, trailers) {
        Ok(made) => made,
        Err(code) => {
            recording
                .refused(Some(rule), ErrorClass::InvalidRequest)
                .await;
            return Err(code);
        }
    };
    recording.with(rule, &token).await;
    let mut response = client::send(first).await;
    recording.answered(&response).await;
    let mut sent = sent;
    if let Ok(answer) = &response
        && let Some(next) = next_token(answer, &token, rule, &kept).await
        && let Some(outgoing) = body::again(&kept)
    {
        let headers = head.headers();
        // it was made of the same parts before; where it is not, the refusal is the answer
        if matches!(next.put_on(&headers, rule), Ok(true))
            && let Ok((second, second_sent)) =
                head.make(headers, outgoing.content, outgoing.trailers)
        {
            // nobody reads it on
            drop(response);
            sent = second_sent;
            recording.with(rule, &next).await;
            response = client::send(second).await;
            recording.answered(&response).await;
            // what comes is the answer; who asks next gets another token
            if let Ok(answer) = &response {
                report(answer, &next);
            }
        }
    }
    if let Kept::Copy(copy) = &kept {
        copy.forget();
    }
    match (&response, &kept) {
        // it was sent whole, which is what is told when nothing is; to read that of the host is dear
        (Ok(_), Kept::Empty) => drop(answered),
        _ => tell(sent, answered).await,
    }
    response
}

/// A token, and the headers of the request with it.
async fn authorized(head: &Head, rule: &HttpRule) -> Result<(Token, Fields), Error> {
    // one that has ended between the two calls is replaced by the next
    for _ in 0..2 {
        let token = Token::of(rule).await?;
        let headers = head.headers();
        if token.put_on(&headers, rule)? {
            return Ok((token, headers));
        }
    }
    Err(Error::new(
        ErrorClass::InvalidResponse,
        "tokens of the token endpoint have expired when they come",
    ))
}

/// The token to send the request with once more, if this answer refuses the one that it had and there is another.
async fn next_token(
    answer: &Response,
    token: &Token,
    rule: &HttpRule,
    kept: &Kept,
) -> Option<Token> {
    let outcome = report(answer, token)?;
    // one that cannot be sent again leaves the refusal for the next
    let can_be_sent = body::can_be_sent_again(kept);
    if !(outcome.may_be_another() && can_be_sent) {
        return None;
    }
    let next = Token::of(rule).await.ok()?;
    token.is_followed_by(&next).then_some(next)
}

/// Reports that an answer refuses the token, if it does.
fn report(answer: &Response, token: &Token) -> Option<crate::token::Outcome> {
    let challenges = || answer.get_headers().get("www-authenticate");
    let challenge = refused(answer.get_status_code(), challenges)?;
    token.refused(challenge.as_deref())
}

/// Tells the application what became of its request. Mostly that is known by now, and a task of its own would be turns of the
/// event loop.
async fn tell(
    sent: wit_bindgen::FutureReader<Result<(), ErrorCode>>,
    answered: FutureWriter<Result<(), ErrorCode>>,
) {
    let mut telling = Box::pin(async move {
        let result = sent.await;
        _ = answered.write(result).await;
    });
    if futures::poll!(telling.as_mut()).is_pending() {
        wit_bindgen::spawn_local(telling);
    }
}

/// A call that has nothing to wait for takes one turn of the event loop all the same: wasmtime 48 forgets to delete its
/// record of one that returns at once.
async fn refuse(code: ErrorCode) -> Result<Response, ErrorCode> {
    wit_bindgen::yield_async().await;
    Err(code)
}

/// An error for people: `wasi:http` has one code with a text.
fn told(error: &Error) -> ErrorCode {
    let hint = error.detail().hint.as_deref();
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    in_words(&format!("{error}{hint}"))
}

fn in_words(error: &dyn std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(format!("edgepass: {error}")))
}
