//! A call from its beginning to its end: the only time in which anything runs.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use edgepass_core::Error;
use futures::future::select;

use crate::driver::{internal, pump, with};
use crate::imports::{now, sleep_until};
use crate::tasks::{advance, block_on};

/// How long what was begun may hold up the call that has its answer already, milliseconds from its beginning. A renewal
/// ahead of time is mostly done by then; where it is not, a later call goes on with it, and none is held up by it again.
const LINGER_MS: u64 = 1_000;

/// Answers a call, and does beside it what is due.
pub(crate) fn call<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    catch_up();
    let answer = block_on(work).unwrap_or_else(|| Err(internal("a call waits for nothing")));
    linger();
    answer
}

/// What has become due since the last call, and what has come meanwhile. Answers that have come too late are not taken: the
/// lifetime of a token counts from its arrival.
fn catch_up() {
    let now = now();
    _ = with(|driver| {
        driver.end_late(now);
        driver.engine.wake(now);
    });
    pump(now);
    advance();
}

/// Goes on with what is under way, for a short time.
fn linger() {
    let begun = with(|driver| {
        let running = driver.running.values();
        let begun = running.map(|effect| effect.until_mono_ms.saturating_sub(effect.limit.ms()));
        begun.min()
    });
    let Ok(Some(begun)) = begun else {
        return;
    };
    let until = begun.saturating_add(LINGER_MS);
    if until <= now().mono_ms {
        return;
    }
    let done = poll_fn(|_| match with(|driver| driver.running.is_empty()) {
        Ok(false) => Poll::Pending,
        _ => Poll::Ready(()),
    });
    block_on(select(pin!(sleep_until(until)), done));
}
