//! Calls that wait for the component, and those that are in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use edgepass_core::{Error, ErrorClass};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Answer, Call, Failed, Job, no_answer, spent};

/// Calls inside the component. They survive its instance.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<BTreeMap<u64, Job>>>);

impl InFlight {
    pub(super) fn insert(&self, id: u64, job: Job) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, job);
    }

    pub(super) fn complete(&self, id: u64, result: Result<Answer, Error>) {
        let job = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        if let Some(mut job) = job {
            job.answer(result.map_err(Failed::Component));
        }
    }

    /// Tells those whose time is up, and says when it is up for the next.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next: Option<Instant> = None;
        for job in jobs.values_mut() {
            if job.deadline <= now {
                let error = no_answer();
                let is_repeatable = job.call.is_repeatable();
                job.fail(match is_repeatable {
                    true => error,
                    false => spent(ErrorClass::Timeout, error.to_string()),
                });
            } else if next.is_none_or(|next| job.deadline < next) {
                next = Some(job.deadline);
            }
        }
        next
    }

    /// How many of them are made for users.
    pub(super) fn of_users(&self) -> usize {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.values().filter(|job| job.call.is_of_a_user()).count()
    }

    /// What is asked by one of them.
    pub(super) fn call(&self, id: u64) -> Option<Arc<Call>> {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.get(&id).map(|job| Arc::clone(&job.call))
    }

    pub(super) fn take(&self) -> Vec<Job> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
            .into_values()
            .collect()
    }
}

/// Calls that wait for the component, in the order of their deadlines.
pub(super) struct Queue {
    jobs: mpsc::Receiver<Job>,
    /// One that has been taken from the queue, which cannot be looked into otherwise. The next instance has it, if this one
    /// has not come to it.
    pub(super) held: Option<Job>,
}

impl Queue {
    pub(super) fn new(jobs: mpsc::Receiver<Job>) -> Self {
        Self { jobs, held: None }
    }

    /// The next call; `None` when all handles are gone. Nothing is lost when it is not waited for to the end.
    pub(super) async fn recv(&mut self) -> Option<Job> {
        match self.held.take() {
            Some(job) => Some(job),
            None => self.jobs.recv().await,
        }
    }

    /// The next call that waits, if there is one.
    pub(super) fn next(&mut self) -> Option<Job> {
        self.held.take().or_else(|| self.jobs.try_recv().ok())
    }

    /// Tells those whose time is up while the queue is not moving.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(mut job) = self.next() {
            if job.deadline > now {
                self.held = Some(job);
                return;
            }
            job.fail(no_answer());
        }
    }
}

/// The application's own calls, which go first, and those for its users. Before both go the host's, for which they may wait.
pub(super) struct Queues {
    pub(super) host: mpsc::Receiver<Job>,
    pub(super) own: Queue,
    pub(super) users: Queue,
}

impl Queues {
    pub(super) fn both(&mut self) -> [&mut Queue; 2] {
        [&mut self.own, &mut self.users]
    }

    pub(super) fn expire(&mut self, now: Instant) {
        for queue in self.both() {
            queue.expire(now);
        }
    }

    /// When the time is up for the next of those that have been looked at.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        let held = self.both().map(|queue| queue.held.as_ref());
        held.into_iter().flatten().map(|job| job.deadline).min()
    }
}
