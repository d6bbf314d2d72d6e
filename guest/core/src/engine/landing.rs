//! What is done when an exchange has ended: the token is kept and handed out, or the failure is remembered and told. It
//! decides nothing about when the next one begins, but for callers whose claims were another's.

use std::rc::Rc;

use super::Engine;
use super::flight::{Flight, Waiter};
use super::hold::is_final;
use super::key::FlightKey;
use crate::acquire::Plan;
use crate::cache::{Acquired, CacheKey};
use crate::{AccessToken, Error, TokenSource};

impl Engine {
    pub(super) fn land(&mut self, flown: &FlightKey, result: Result<Acquired, Error>) {
        let Some(flight) = self.remove_flight(flown) else {
            return;
        };
        match result {
            Ok(acquired) => self.landed_with(flown, flight, acquired),
            Err(error) => {
                let error = self.name_identity(error, Some(&flown.token.identity));
                self.landed_without(flown, flight, &error);
            }
        }
    }

    fn landed_with(&mut self, flown: &FlightKey, flight: Flight, acquired: Acquired) {
        let key = &flown.token;
        #[cfg(feature = "every-credential")]
        let kept_as = self.kept_as(&flight.plan, key);
        let waiters = flight.waiters;
        let holds = self.holds.of_mut(key).map_mut();
        holds.remove(flown);
        holds.remove(&flown.plain(&self.seed));
        #[cfg(feature = "every-credential")]
        let from_store = acquired.from_store;
        #[cfg(not(feature = "every-credential"))]
        let from_store = false;
        if !from_store {
            self.activity
                .count(&key.identity, |counters| counters.exchanges += 1);
        }
        let epoch = self.epochs.get(&key.identity).copied().unwrap_or(0);
        let is_wanted = self.note_generation(key, &acquired)
            && flown.epoch == epoch
            && !key.grant.kind.is_single_use();
        #[cfg(feature = "every-credential")]
        let is_wanted = is_wanted && kept_as.is_some();
        #[cfg(feature = "every-credential")]
        let kept_as = kept_as.as_ref().unwrap_or(key);
        #[cfg(not(feature = "every-credential"))]
        let kept_as = key;
        let (token, lives) = if is_wanted {
            let claims = flown.claims.clone();
            self.cache.insert(&self.io, kept_as, acquired, claims)
        } else {
            (self.cache.hand_out(&self.io, key, acquired), true)
        };
        if let Some(pace) = self.paces.of_mut(key).map_mut().get_mut(&flown.pace()) {
            match lives {
                true => pace.succeeded(self.io.now().mono_ms),
                false => pace.failed(None),
            }
        }
        let old = (!lives).then(|| self.keep_old(flown, None)).flatten();
        let mut source = match from_store {
            true => TokenSource::Cache,
            false => TokenSource::Exchange,
        };
        for ticket in waiters {
            let Some(waiter) = self.waiter(ticket) else {
                continue;
            };
            let old = old.clone().filter(|_| waiter.fallback);
            let token = old.unwrap_or_else(|| AccessToken {
                source,
                ..token.clone()
            });
            if !from_store {
                source = TokenSource::SharedExchange;
            }
            self.answer(ticket, &waiter, Ok(token));
        }
    }

    /// Whether that is a token of the newest state of its credential that was seen: an attempt that began before that
    /// state was seen, and has taken longer, does not bring the older one back.
    fn note_generation(&mut self, key: &CacheKey, acquired: &Acquired) -> bool {
        let Some(generation) = &acquired.generation else {
            return true;
        };
        let of = (key.identity.clone(), generation.credential);
        let known = self.generations.get(&of);
        let is_known = known.is_some_and(|(known, _)| *known == generation.state);
        if !is_known && known.is_some_and(|(_, begun)| *begun > acquired.begun) {
            return false;
        }
        if !is_known {
            self.cache.drop_earlier(key, generation);
        }
        let seen = (generation.state.clone(), acquired.begun);
        self.generations.insert(of, seen);
        true
    }

    fn landed_without(&mut self, flown: &FlightKey, flight: Flight, error: &Error) {
        let key = &flown.token;
        let now = self.io.now();
        self.hold(flown, error);
        self.activity.failed(&key.identity, error, now);
        if let Some(pace) = self.paces.of_mut(key).map_mut().get_mut(&flown.pace()) {
            pace.failed(Some(error));
        }
        let old = self.keep_old(flown, error.detail().retry_after_ms);
        let claims_refused = flown.claims.as_ref().filter(|_| is_final(error));
        if let Some(claims) = claims_refused {
            self.cache.claims_refused(key, claims, now);
        }
        for ticket in flight.waiters {
            let Some(waiter) = self.waiter(ticket) else {
                continue;
            };
            let fallback = old.clone().filter(|_| waiter.fallback);
            match fallback {
                Some(old) => self.answer(ticket, &waiter, Ok(old)),
                // whose claims they were is told; who has none of his own gets what there is without
                None if claims_refused.is_some() && !waiter.own_claims => {
                    self.ask_without_claims(&flight.plan, ticket, waiter);
                }
                None => self.answer(ticket, &waiter, Err(error.clone())),
            }
        }
    }

    fn ask_without_claims(&mut self, plan: &Rc<Plan>, ticket: u64, mut waiter: Waiter) {
        waiter.flight = waiter.flight.plain(&self.seed);
        let wait_ms = match self.flights.contains_key(&waiter.flight) {
            true => Ok(0),
            false => self.begin_exchange(&waiter.flight, self.io.now()),
        };
        match wait_ms {
            Ok(wait_ms) => self.board(Rc::clone(plan), ticket, waiter, wait_ms),
            Err(error) => self.answer(ticket, &waiter, Err(error)),
        }
    }

    /// The cached token, which has got no successor, is served on; the next is looked for later. What was asked for with
    /// claims that a caller has brought says nothing about that.
    fn keep_old(&mut self, flown: &FlightKey, retry_after_ms: Option<u64>) -> Option<AccessToken> {
        let io = self.io.clone();
        let (entry, _) = self.cache.usable(&flown.token, io.now())?;
        if flown.claims.as_deref() == entry.next_claims() {
            entry.refresh_failed(&io, retry_after_ms);
        }
        Some(entry.serve(io.now()))
    }
}
