//! Whether there is room for one more caller and one more exchange, and how soon that may begin. What is refused here
//! says nothing about the server's answers, for which there is `hold`.

use super::Engine;
use super::key::FlightKey;
use crate::cache::KeyParts;
use crate::limits::{
    MAX_CACHED_TOKENS, MAX_FLIGHTS, MAX_INLINE_RETRY_AFTER_MS, MAX_USER_FLIGHTS, MAX_USER_PACES,
    MAX_USER_WAITING, MAX_WAITING,
};
use crate::pace::ExchangePace;
use crate::{Error, ErrorClass, GrantKind, Now};

impl Engine {
    /// Whether there is room for one more who waits for that, and how long the exchange has to wait if it is to begin.
    pub(super) fn admit(
        &mut self,
        flight: &FlightKey,
        forced: bool,
        now: Now,
    ) -> Result<u64, Error> {
        let waiting = *self.waiting.of(&flight.token);
        match flight.token.is_own() {
            true => check_bound(waiting, MAX_WAITING, "callers")?,
            false => check_bound(waiting, MAX_USER_WAITING, "callers for users")?,
        }
        if self.flights.contains_key(flight) {
            // whoever presents a code a second time is a case for the server, and this is not sent twice at once
            return match flight.token.grant.kind {
                GrantKind::AuthorizationCode => Err(under_redemption()),
                _ => Ok(0),
            };
        }
        self.check_room(flight)?;
        match forced {
            true => Ok(0),
            false => self.begin_exchange(flight, now),
        }
    }

    /// Counts an exchange that is about to begin, and says how long it has to wait before it does.
    pub(super) fn begin_exchange(&mut self, flight: &FlightKey, now: Now) -> Result<u64, Error> {
        let of = flight.pace();
        let bound = match flight.token.is_own() {
            true => 2 * MAX_CACHED_TOKENS,
            false => MAX_USER_PACES,
        };
        let paces = self.paces.of_mut(&flight.token);
        paces.sweep(now.mono_ms);
        if !paces.map().contains_key(&of) {
            if paces.map().len() >= bound {
                // who asks for so many tokens is not to shut out who asks for one more
                return Ok(0);
            }
            paces.insert(flight.pace(), ExchangePace::default());
        }
        let Some(pace) = paces.map_mut().get_mut(&of) else {
            return Ok(0);
        };
        let wait_ms = pace.wait_ms(now.mono_ms);
        if wait_ms > 0
            && let Some(error) = pace.error(wait_ms)
        {
            return Err(error);
        }
        if wait_ms > MAX_INLINE_RETRY_AFTER_MS {
            let KeyParts {
                identity, scopes, ..
            } = &*flight.token;
            let scopes = scopes.join(" ");
            let message = format!(
                "too many exchanges for `{scopes}` of identity `{identity}` brought tokens that did not last"
            );
            let error = Error::new(ErrorClass::Busy, message).retryable();
            return Err(error.edit(|detail| detail.retry_after_ms = Some(wait_ms)));
        }
        pace.begin(now.mono_ms.saturating_add(wait_ms));
        Ok(wait_ms)
    }

    /// Whether another exchange may begin.
    pub(super) fn check_room(&self, key: &FlightKey) -> Result<(), Error> {
        let under_way = *self.under_way.of(&key.token);
        match key.token.is_own() {
            true => check_bound(under_way, MAX_FLIGHTS, "exchanges"),
            false => check_bound(under_way, MAX_USER_FLIGHTS, "exchanges for users"),
        }
    }
}

pub(super) fn check_bound(count: usize, bound: usize, what: &str) -> Result<(), Error> {
    match count < bound {
        true => Ok(()),
        false => Err(Error::new(
            ErrorClass::Busy,
            format!("{bound} {what} are in flight in this instance, its limit"),
        )
        .retryable()
        .hint("ask again when some of them are done, or spread them over several instances")),
    }
}

/// Of a code that is presented while it is being redeemed.
fn under_redemption() -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        "this authorization code is being redeemed by another call, and a code is good for one",
    )
    .hint("redeem each code once: the call that came first gets the tokens")
}
