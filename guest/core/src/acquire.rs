//! One acquisition from beginning to end, in the order in which it happens: rounds through the credentials of an identity.

mod attempt;
mod plan;
mod refused;
#[cfg(feature = "every-credential")]
mod spent;
mod trial;

#[cfg(feature = "every-credential")]
use std::cell::Cell;

use crate::cache::Acquired;
use crate::config::Source;
#[cfg(feature = "every-credential")]
use crate::credential::Availability;
use crate::credential::Credentials;
use crate::flow::{Io, race};
#[cfg(not(feature = "every-credential"))]
use crate::limits::FLIGHT_TIMEOUT_MS;
use crate::retry::{Attempts, Next, RetryClass, retry_class};
use crate::{Attempt, Error, ErrorClass, Secret};

use attempt::OneAttempt;
pub(crate) use plan::Plan;
use refused::Refused;
#[cfg(feature = "every-credential")]
use spent::of_what_is_spent;
pub(crate) use trial::{assertion_alone, try_credentials};

/// Gets a token, trying again where that may help, within [`FLIGHT_TIMEOUT_MS`].
#[cfg(not(feature = "every-credential"))]
pub(crate) async fn acquire(io: &Io, plan: &Plan, claims: Option<&str>) -> Result<Acquired, Error> {
    acquire_within(io, plan, claims, FLIGHT_TIMEOUT_MS).await
}

/// Gets a token, trying again where that may help, within that time.
pub(crate) async fn acquire_within(
    io: &Io,
    plan: &Plan,
    claims: Option<&str>,
    timeout_ms: u64,
) -> Result<Acquired, Error> {
    let mut last = None;
    #[cfg(feature = "every-credential")]
    let spent = Cell::new(false);
    let deadline = io.now().mono_ms.saturating_add(timeout_ms);
    let walk = Walk {
        io,
        plan,
        claims,
        deadline,
        renewed: Vec::new(),
        presented: Vec::new(),
        settled: Vec::new(),
        last: &mut last,
        #[cfg(feature = "every-credential")]
        spent: &spent,
    };
    let outcome = race(walk.rounds(), io.sleep_ms(timeout_ms)).await;
    let outcome = outcome.unwrap_or_else(|()| {
        Err(last.unwrap_or_else(|| {
            let message = format!("no token from {} in time", plan.server());
            let error = Error::new(ErrorClass::Timeout, message).retryable();
            plan.of_credential(error, 0)
        }))
    });
    #[cfg(feature = "every-credential")]
    let outcome = outcome.map_err(|error| match spent.get() {
        true if error.detail().retryable => of_what_is_spent(error),
        _ => error,
    });
    outcome
}

/// Whether another round may help.
fn is_cured_by_time(error: &Error) -> bool {
    matches!(
        retry_class(error),
        RetryClass::Time | RetryClass::Propagation
    )
}

/// A round in which no credential brought a token.
struct Failed {
    /// What to report.
    error: Error,
    /// What decides about another round: where time cures one of the failures, it is waited for.
    decides: Error,
    sent: bool,
}

/// An acquisition: rounds through the credentials, and for each an attempt, or two where it was read anew.
struct Walk<'a> {
    io: &'a Io,
    plan: &'a Plan,
    claims: Option<&'a str>,
    /// On the monotonic clock.
    deadline: u64,
    /// The credentials that were read anew. Each is once.
    renewed: Vec<usize>,
    /// What was sent so far, by any credential: the server has seen it all, and may say it again in an answer to another.
    presented: Vec<Secret>,
    /// Those that the server refused for good. Another round is for the others: the same would be refused again.
    settled: Vec<(usize, Refused)>,
    /// What to report if time runs out.
    last: &'a mut Option<Error>,
    /// See [`OneAttempt::spent`].
    #[cfg(feature = "every-credential")]
    spent: &'a Cell<bool>,
}

impl Walk<'_> {
    async fn rounds(mut self) -> Result<Acquired, Error> {
        let mut attempts = Attempts::default();
        loop {
            let failed = match self.round().await {
                Ok(acquired) => return Ok(acquired),
                Err(failed) => failed,
            };
            if failed.sent && !self.plan.is_repeatable() {
                return Err(failed.error);
            }
            let Next::After(ms) = attempts.next(&failed.decides, self.io) else {
                return Err(failed.error);
            };
            if self.io.now().mono_ms.saturating_add(ms) >= self.deadline {
                return Err(failed.error);
            }
            self.io.sleep_ms(ms).await;
        }
    }

    async fn round(&mut self) -> Result<Acquired, Failed> {
        let plan = self.plan;
        let name = &plan.identity.name;
        let credentials = plan.identity.credentials();
        // a direct kind is one
        let count = credentials.map_or(1, Credentials::len);
        let now = self.io.now();
        let order = self
            .io
            .standings(|standings| standings.order(name, count, now));
        let mut refusals = self.settled.clone();
        let is_settled = |at: &usize| refusals.iter().any(|(settled, _)| settled == at);
        let order: Vec<usize> = order.into_iter().filter(|at| !is_settled(at)).collect();
        let mut left = order.len();
        for at in order {
            left -= 1;
            let refused = match self.renewing(at, left).await {
                Ok(acquired) => {
                    if let Some(credentials) = credentials {
                        self.io.credential_worked(name, credentials, at);
                    }
                    return Ok(acquired);
                }
                Err(refused) => refused,
            };
            let gives_way = refused.gives_way && (plan.is_repeatable() || !refused.sent);
            if let Some(credentials) = credentials.filter(|_| gives_way) {
                let error = refused.error();
                self.io.credential_failed(name, credentials, at, error);
            }
            if gives_way && refused.sent && !is_cured_by_time(refused.error()) {
                self.settled.push((at, refused.clone()));
            }
            refusals.push((at, refused));
            if !gives_way {
                let last = refusals.len() - 1;
                return Err(self.failed(refusals, last));
            }
        }
        let says_most = refusals.iter().map(|(_, refused)| refused.says()).max();
        let mut said = refusals.iter().map(|(_, refused)| Some(refused.says()));
        let most = said.position(|says| says == says_most).unwrap_or(0);
        Err(self.failed(refusals, most))
    }

    /// Reports the `n`-th of them with the others beside it.
    fn failed(&mut self, mut refusals: Vec<(usize, Refused)>, n: usize) -> Failed {
        let mut errors = refusals.iter().map(|(_, refused)| refused.error());
        // one that gives no way to others decides alone
        let cure = match refusals.get(n) {
            Some((_, refused)) if refused.gives_way => {
                errors.find(|error| is_cured_by_time(error)).cloned()
            }
            _ => None,
        };
        let sent = refusals.iter().any(|(_, refused)| refused.sent);
        let (at, refused) = refusals.remove(n);
        let others = refusals.into_iter().map(|(at, refused)| {
            let error = self.plan.of_credential(refused.failure.error, at);
            Some(Attempt {
                class: error.class(),
                message: error.detail().message.clone(),
                credential: error.detail().credential.clone()?,
            })
        });
        let others = others.flatten().collect();
        #[cfg(feature = "every-credential")]
        let is_here = refused.failure.availability != Availability::NotHere;
        let error = self.plan.of_credential(refused.failure.error, at);
        let error = error.edit(|detail| detail.attempts = others);
        #[cfg(feature = "every-credential")]
        let error = match is_here {
            true => error,
            false => self.plan.identity.nothing_there(error),
        };
        *self.last = Some(error.clone());
        Failed {
            decides: cure.unwrap_or_else(|| error.clone()),
            error,
            sent,
        }
    }

    /// An attempt with one credential, and a second one where reading it anew may help.
    async fn renewing(&mut self, at: usize, left: usize) -> Result<Acquired, Refused> {
        let mut before = None;
        loop {
            let correlation_id = self.io.uuid();
            let attempt = OneAttempt {
                io: self.io,
                plan: self.plan,
                claims: self.claims,
                correlation_id: &correlation_id,
                deadline: self.deadline,
                at,
                left,
                presented: &self.presented,
                #[cfg(feature = "every-credential")]
                spent: self.spent,
            };
            let result = match &self.plan.identity.source {
                Source::Direct(direct) => attempt.direct(direct).await,
                Source::Exchange(exchange) => attempt.exchange(exchange, before.take()).await,
            };
            let mut refused = match result {
                Ok(acquired) => return Ok(acquired),
                Err(refused) => refused,
            };
            for secret in std::mem::take(&mut refused.secrets) {
                if !self.presented.contains(&secret) {
                    self.presented.push(secret);
                }
            }
            let may_help = match retry_class(refused.error()) {
                RetryClass::Reload => true,
                RetryClass::None => refused.differs_anew,
                RetryClass::Time | RetryClass::Propagation => false,
            };
            // what was not presented was not refused, and is read anew at each attempt
            if !may_help
                || !refused.sent
                || !self.plan.is_repeatable()
                || self.renewed.contains(&at)
            {
                return Err(refused);
            }
            self.renewed.push(at);
            *self.last = Some(self.plan.of_credential(refused.error().clone(), at));
            before = Some(refused);
        }
    }
}
