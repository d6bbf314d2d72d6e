//! Questions that are not asked again for a while: the server wants it so, or the answer would be the same. Nothing is
//! sent here.

use super::Engine;
use super::key::FlightKey;
use crate::keyed::Ends;
use crate::limits::{MAX_CACHED_TOKENS, MAX_USER_PACES, NEGATIVE_CACHE_MS};
use crate::retry::{RetryClass, retry_class};
use crate::{Error, Now};

/// Why a key is not asked about.
#[derive(Debug)]
pub(super) struct Hold {
    /// On the monotonic clock: a wall clock that is set forward must not cut a wait short that the server asked for.
    until_mono_ms: u64,
    error: Error,
    /// The server asked for it; otherwise a forced request may try all the same.
    by_server: bool,
    /// It is for every question about that token: the server is busy, whatever the claims are.
    for_all: bool,
}

impl Ends for Hold {
    fn end_mono_ms(&self) -> u64 {
        self.until_mono_ms
    }
}

impl Engine {
    /// The error to answer at once with, while that is not to be asked.
    pub(super) fn held(&self, flight: &FlightKey, now: Now, forced: bool) -> Option<Error> {
        let holds = |hold: &&Hold| hold.until_mono_ms > now.mono_ms && (hold.by_server || !forced);
        let known = self.holds.of(&flight.token).map();
        let of_its_own = known.get(flight).filter(holds);
        let for_all = || {
            let hold = known.get(&flight.plain(&self.seed));
            hold.filter(|hold| hold.for_all).filter(holds)
        };
        let hold = of_its_own.or_else(for_all)?;
        let wait_ms = hold.until_mono_ms.saturating_sub(now.mono_ms);
        Some(hold.error.clone().edit(|detail| {
            detail.message = if hold.by_server {
                format!(
                    "not sent: the server asked to wait {} s more; it had said: {}",
                    wait_ms.div_ceil(1000),
                    detail.message
                )
            } else {
                format!("not sent again so soon: {}", detail.message)
            };
            detail.retry_after_ms = Some(wait_ms);
        }))
    }

    /// Remembers not to ask that for a while, where that is right.
    pub(super) fn hold(&mut self, flown: &FlightKey, error: &Error) {
        let now = self.io.now();
        let status = error.detail().http_status;
        let (ms, by_server) = match error.detail().retry_after_ms {
            Some(ms) if ms > 0 => (ms, true),
            _ if is_final(error) => (NEGATIVE_CACHE_MS, false),
            _ => return,
        };
        let for_all = by_server && matches!(status, Some(429 | 503));
        let bound = match flown.token.is_own() {
            true => MAX_CACHED_TOKENS,
            false => MAX_USER_PACES,
        };
        let holds = self.holds.of_mut(&flown.token);
        holds.sweep(now.mono_ms);
        let hold = Hold {
            until_mono_ms: now.mono_ms.saturating_add(ms),
            error: error.clone(),
            by_server,
            for_all,
        };
        let of = if for_all {
            flown.plain(&self.seed)
        } else {
            flown.clone()
        };
        let known = holds.map().get(&of);
        let has_room = known.is_some() || holds.map().len() < bound;
        if has_room && known.is_none_or(|known| known.until_mono_ms <= hold.until_mono_ms) {
            holds.insert(of, hold);
        }
    }
}

/// Whether the server has refused something that time alone does not cure. Never the class that propagation cures.
pub(super) fn is_final(error: &Error) -> bool {
    error.detail().http_status.is_some()
        && matches!(retry_class(error), RetryClass::None | RetryClass::Reload)
}
