//! Exchanges under way and who waits for them: one exchange for all callers who ask the same. What comes of a flight is
//! dealt with in `landing`.

use std::cell::Cell;
use std::rc::Rc;

use super::key::FlightKey;
use super::task::{Ended, Purpose};
use super::{Completed, Engine, Ticket};
use crate::acquire::Plan;
#[cfg(not(feature = "every-credential"))]
use crate::acquire::acquire;
#[cfg(feature = "every-credential")]
use crate::cache::CacheKey;
use crate::flow::TaskId;
#[cfg(feature = "every-credential")]
use crate::flow::race;
#[cfg(feature = "every-credential")]
use crate::limits::{FLIGHT_TIMEOUT_MS, MAX_USER_EXCHANGES};
#[cfg(feature = "every-credential")]
use crate::token_store::{self, Demands, Known};
use crate::{AccessToken, Error};
#[cfg(feature = "every-credential")]
use crate::{ErrorClass, Refresh};

/// One exchange under way, and who waits for it.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) plan: Rc<Plan>,
    /// The tickets of those who wait, and of some who have gone.
    pub(super) waiters: Vec<u64>,
    /// How many of these have.
    gone: usize,
    task: TaskId,
    /// It has had its turn.
    begun: Rc<Cell<bool>>,
    /// While the cached token lives on, its callers wait for a bounded time only.
    patience: Patience,
    /// What a token of the token store has to be for those who wait.
    #[cfg(feature = "every-credential")]
    demands: Demands,
}

/// How long callers that could have the cached token still wait for a newer one.
#[derive(Debug, Default)]
pub(super) enum Patience {
    /// There is no such caller.
    #[default]
    Unasked,
    /// Until this task ends.
    Until(TaskId),
    /// It has ended; they get the cached token at once.
    Over,
}

/// Who waits for something.
#[derive(Debug)]
pub(super) enum Caller {
    /// For a token.
    Token(Waiter),
    /// For what that task makes for him alone.
    Alone(TaskId),
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) flight: FlightKey,
    /// A failure may be answered with the cached token, which is about to expire or was refused.
    pub(super) fallback: bool,
    /// The caller has brought the claims himself, and is told when the server refuses them.
    pub(super) own_claims: bool,
    #[cfg(feature = "every-credential")]
    pub(super) refresh: Refresh,
}

impl Engine {
    /// Joins that flight, or starts it after `wait_ms`.
    pub(super) fn join(
        &mut self,
        plan: Rc<Plan>,
        waiter: Waiter,
        wait_ms: u64,
        patience_ms: Option<u64>,
    ) -> Ticket {
        let ticket = self.new_ticket();
        let key = waiter.flight.clone();
        *self.waiting.of_mut(&key.token) += 1;
        self.board(plan, ticket.0, waiter, wait_ms);
        if let Some(patience_ms) = patience_ms
            && let Some(Flight {
                patience: Patience::Unasked,
                ..
            }) = self.flights.get(&key)
        {
            let io = self.io.clone();
            let future = Box::pin(async move {
                io.sleep_ms(patience_ms).await;
                Ended::Patience
            });
            let task = self.start(Purpose::Patience(key.clone()), future);
            if let Some(flight) = self.flights.get_mut(&key) {
                flight.patience = Patience::Until(task);
            }
        }
        ticket
    }

    /// Puts somebody on that flight, which is started if it is not under way.
    pub(super) fn board(&mut self, plan: Rc<Plan>, ticket: u64, waiter: Waiter, wait_ms: u64) {
        let key = waiter.flight.clone();
        self.callers.insert(ticket, Caller::Token(waiter));
        if let Some(flight) = self.flights.get_mut(&key) {
            #[cfg(feature = "every-credential")]
            if let Some(Caller::Token(waiter)) = self.callers.get(&ticket) {
                flight.demands.add(&waiter.refresh);
            }
            flight.waiters.push(ticket);
        } else {
            self.launch(plan, &key, vec![ticket], wait_ms);
        }
    }

    /// One of those who wait for it has gone.
    pub(super) fn leave(&mut self, key: &FlightKey) {
        let Some(flight) = self.flights.get_mut(key) else {
            return;
        };
        flight.gone += 1;
        if flight.gone == flight.waiters.len() && !flight.begun.get() {
            // nothing was sent, and nobody wants it any more
            if let Some(flight) = self.remove_flight(key) {
                self.tasks.remove(&flight.task);
            }
        } else if 2 * flight.gone > flight.waiters.len() {
            // so that those who come and go do not add up: a look at each that was there pays for as many that left
            flight.gone = 0;
            let callers = &self.callers;
            flight.waiters.retain(|ticket| callers.contains_key(ticket));
        }
    }

    /// Whether the callers who have a token to fall back on have waited long enough for the flight that is under way.
    pub(super) fn is_impatient(&self, key: &FlightKey) -> bool {
        let flight = self.flights.get(key);
        flight.is_some_and(|flight| matches!(flight.patience, Patience::Over))
    }

    /// Starts a refresh for which nobody waits, unless one is under way, it is too early, or there is no room. For a user's
    /// token the assertion is that of the caller who is served meanwhile: nothing of it is kept for a refresh by itself.
    pub(super) fn refresh_behind(&mut self, plan: &Rc<Plan>, key: &FlightKey) {
        let now = self.io.now();
        if !plan.is_repeatable()
            || self.flights.contains_key(key)
            || self.check_room(key).is_err()
            || self.held(key, now, true).is_some()
        {
            return;
        }
        if let Ok(wait_ms) = self.begin_exchange(key, now) {
            self.launch(Rc::clone(plan), key, Vec::new(), wait_ms);
        }
    }

    fn launch(&mut self, plan: Rc<Plan>, key: &FlightKey, waiters: Vec<u64>, wait_ms: u64) {
        let begun = Rc::new(Cell::new(false));
        #[cfg(feature = "every-credential")]
        let shared = token_store::Flown {
            key: key.token.clone(),
            known: self.cached_as(&key.token),
            demands: Demands::of(waiters.iter().filter_map(|ticket| {
                match self.callers.get(ticket)? {
                    Caller::Token(waiter) => Some(&waiter.refresh),
                    Caller::Alone(_) => None,
                }
            })),
        };
        let flight = Flight {
            plan: Rc::clone(&plan),
            waiters,
            gone: 0,
            task: 0,
            begun: Rc::clone(&begun),
            patience: Patience::default(),
            #[cfg(feature = "every-credential")]
            demands: shared.demands.clone(),
        };
        self.flights.insert(key.clone(), flight);
        *self.under_way.of_mut(&key.token) += 1;
        let io = self.io.clone();
        let flown = key.clone();
        let future = Box::pin(async move {
            if wait_ms > 0 {
                io.sleep_ms(wait_ms).await;
            }
            #[cfg(feature = "every-credential")]
            let _turn = match flown.token.is_own() {
                true => None,
                false => match race(io.users_turn(), io.sleep_ms(FLIGHT_TIMEOUT_MS)).await {
                    Ok(turn) => Some(turn),
                    Err(()) => return Ended::Token(Err(no_turn())),
                },
            };
            begun.set(true);
            let claims = flown.claims.as_deref();
            #[cfg(feature = "every-credential")]
            let acquired = token_store::acquire(&io, &plan, claims, shared).await;
            #[cfg(not(feature = "every-credential"))]
            let acquired = acquire(&io, &plan, claims).await;
            Ended::Token(acquired)
        });
        let task = self.start(Purpose::Flight(key.clone()), future);
        if let Some(flight) = self.flights.get_mut(key) {
            flight.task = task;
        }
    }

    /// The cached token, which one of the token store has to be better than.
    #[cfg(feature = "every-credential")]
    fn cached_as(&mut self, key: &CacheKey) -> Option<Known> {
        let (entry, _) = self.cache.usable(key, self.io.now())?;
        Some(entry.known())
    }

    pub(super) fn remove_flight(&mut self, key: &FlightKey) -> Option<Flight> {
        let flight = self.flights.remove(key)?;
        *self.under_way.of_mut(&key.token) -= 1;
        if let Patience::Until(task) = flight.patience {
            self.tasks.remove(&task);
        }
        Some(flight)
    }

    /// Answers those who can have the cached token with it, before it expires while they wait.
    pub(super) fn patience_over(&mut self, key: &FlightKey) {
        let now = self.io.now();
        let old = self
            .cache
            .usable(&key.token, now)
            .map(|(entry, _)| entry.serve(now));
        let (Some(flight), Some(old)) = (self.flights.get_mut(key), old) else {
            return;
        };
        flight.patience = Patience::Over;
        let (served, waiters) = std::mem::take(&mut flight.waiters)
            .into_iter()
            .filter_map(|ticket| match self.callers.get(&ticket)? {
                Caller::Token(waiter) => Some((ticket, waiter.fallback)),
                Caller::Alone(_) => None,
            })
            .partition::<Vec<_>, _>(|(_, fallback)| *fallback);
        flight.gone = 0;
        flight.waiters = waiters.into_iter().map(|(ticket, _)| ticket).collect();
        for (ticket, _) in served {
            if let Some(waiter) = self.waiter(ticket) {
                self.answer(ticket, &waiter, Ok(old.clone()));
            }
        }
    }

    /// Who waits with that ticket, if he still does.
    pub(super) fn waiter(&mut self, ticket: u64) -> Option<Waiter> {
        match self.callers.remove(&ticket)? {
            Caller::Token(waiter) => Some(waiter),
            Caller::Alone(_) => None,
        }
    }

    pub(super) fn answer(
        &mut self,
        ticket: u64,
        waiter: &Waiter,
        answer: Result<AccessToken, Error>,
    ) {
        let waiting = self.waiting.of_mut(&waiter.flight.token);
        *waiting = waiting.saturating_sub(1);
        self.completed.insert(ticket, Completed::Token(answer));
    }

    pub(super) fn answer_alone(&mut self, ticket: Ticket, completed: Completed) {
        self.callers.remove(&ticket.0);
        self.assertions = self.assertions.saturating_sub(1);
        self.completed.insert(ticket.0, completed);
    }
}

/// Of an exchange for a user whose turn did not come.
#[cfg(feature = "every-credential")]
fn no_turn() -> Error {
    let message = format!(
        "no turn in time: {MAX_USER_EXCHANGES} exchanges for users are under way at once, and others came before"
    );
    Error::new(ErrorClass::Busy, message)
        .retryable()
        .hint("ask again later, or spread the users over several instances")
}
