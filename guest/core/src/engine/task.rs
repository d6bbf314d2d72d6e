//! Futures that are polled by hand: each has an id and a purpose, and hands over what it ends with. What that means for
//! those who wait is not decided here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::flight::Caller;
use super::key::FlightKey;
use super::{Completed, Engine, Ticket};
#[cfg(feature = "every-credential")]
use crate::AuthorizationRequest;
use crate::cache::Acquired;
use crate::flow::TaskId;
use crate::{ClientAssertion, CredentialTrial, Error};

pub(super) struct Task {
    future: Pin<Box<dyn Future<Output = Ended>>>,
    purpose: Purpose,
}

#[derive(Clone)]
pub(super) enum Purpose {
    Flight(FlightKey),
    /// For one caller.
    Alone(Ticket),
    Patience(FlightKey),
}

pub(super) enum Ended {
    Token(Result<Acquired, Error>),
    Assertion(Result<ClientAssertion, Error>),
    Trials(Vec<CredentialTrial>),
    #[cfg(feature = "every-credential")]
    Authorization(Result<AuthorizationRequest, Error>),
    Patience,
}

impl Engine {
    pub(super) fn start(
        &mut self,
        purpose: Purpose,
        future: Pin<Box<dyn Future<Output = Ended>>>,
    ) -> TaskId {
        self.last_id += 1;
        let id = self.last_id;
        self.tasks.insert(id, Task { future, purpose });
        self.poll(id);
        id
    }

    pub(super) fn start_alone(
        &mut self,
        ticket: Ticket,
        future: Pin<Box<dyn Future<Output = Ended>>>,
    ) {
        let task = self.start(Purpose::Alone(ticket), future);
        if self.tasks.contains_key(&task) {
            self.callers.insert(ticket.0, Caller::Alone(task));
        }
    }

    pub(super) fn poll(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        self.io.set_current(id);
        let Poll::Ready(ended) = task
            .future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        else {
            return;
        };
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        match (task.purpose, ended) {
            (Purpose::Flight(key), Ended::Token(result)) => self.land(&key, result),
            (Purpose::Alone(ticket), Ended::Assertion(result)) => {
                self.answer_alone(ticket, Completed::Assertion(result));
            }
            (Purpose::Alone(ticket), Ended::Trials(trials)) => {
                self.answer_alone(ticket, Completed::Trials(trials));
            }
            #[cfg(feature = "every-credential")]
            (Purpose::Alone(ticket), Ended::Authorization(result)) => {
                self.answer_alone(ticket, Completed::Authorization(result));
            }
            (Purpose::Patience(key), _) => self.patience_over(&key),
            // each purpose is started with a future of its own kind
            (Purpose::Flight(_) | Purpose::Alone(_), _) => {}
        }
    }
}
