//! What the rules need of the proxy that they run in.

use edgepass_core::{Effect, EffectId, Error, Now, Outcome, TokenRequest};

use crate::matching::Properties;

/// The proxy, as one instance of the filter sees it. Each call is a call into the proxy and costs as much, so none is
/// made that is not needed. A call that fails does so with `None` or `false`.
pub trait Host: Properties {
    /// Both clocks. All instances of this process have the same ones.
    fn now(&self) -> Now;

    /// Writes one line.
    fn log(&self, level: Level, line: &str);

    /// Sets the time between ticks. With each tick the instance calls [`Lifecycle::advance`](crate::Lifecycle::advance).
    fn tick_every(&self, ms: u64);

    /// A value that the instances of this process share, and its mark for [`Self::swap_shared`].
    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>);

    /// Sets a shared value whatever it was.
    fn set_shared(&self, key: &str, value: &[u8]) -> bool;

    /// Sets a shared value if nobody has since `mark` was read.
    fn swap_shared(&self, key: &str, value: &[u8], mark: u32) -> bool;

    /// Whether every attempt at a request passes the filter, so that a retry can carry another token. Asked while a
    /// request is at hand.
    fn sees_each_attempt(&self) -> bool;

    /// A header of the request at hand.
    fn request_header(&self, name: &str) -> Option<String>;

    /// Puts a header on it in place of any of that name, or takes it off.
    fn set_request_header(&self, name: &str, value: Option<&str>);

    /// A header of the response at hand.
    fn response_header(&self, name: &str) -> Option<String>;

    /// Whether the response at hand is the upstream's own, and not one that the proxy or another filter made in its
    /// place.
    fn answered_by_upstream(&self) -> bool;

    /// Makes a paused request the one at hand. `false` if it is gone. [`Self::leave`] follows in either case.
    fn enter(&self, request: u32) -> bool;

    /// Ends what [`Self::enter`] began.
    fn leave(&self);

    /// Lets the paused request at hand go on.
    fn resume(&self);

    /// Answers the request at hand in place of the upstream.
    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &str);
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// What happens in the ordinary course.
    Info,
    /// Something is wrong, and it goes on.
    Warn,
}

/// What performs the engine's effects, and counts.
pub trait Driver {
    /// Begins an effect. What is known at once comes back at once; everything else by
    /// [`Lifecycle::complete`](crate::Lifecycle::complete).
    fn begin(&mut self, id: EffectId, effect: Effect) -> Option<Outcome>;

    /// A token came that was asked for so, after so many milliseconds.
    fn refreshed(&mut self, asked: &TokenRequest, expires_on: u64, took_ms: u64);

    /// None came.
    fn failed(&mut self, asked: &TokenRequest, error: &Error);
}
