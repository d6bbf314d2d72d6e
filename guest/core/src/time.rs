//! Time comes in from the driver, with every call.

use crate::limits::SERVER_CLOCK_AGE_MS;

/// The two clocks of a driver, read together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// Milliseconds since the Unix epoch. May jump either way.
    pub unix_ms: u64,
    /// Milliseconds of a clock that never goes back. May stand still while a machine sleeps.
    pub mono_ms: u64,
}

impl Now {
    /// Whole seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.unix_ms / 1000
    }

    /// Both clocks `ms` later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self {
            unix_ms: self.unix_ms.saturating_add(ms),
            mono_ms: self.mono_ms.saturating_add(ms),
        }
    }
}

/// A moment on both clocks. It has come when *either* clock says so: the monotonic clock keeps a token from living
/// too long when the wall clock is set back, the wall clock when the machine has slept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment(Now);

impl Moment {
    /// When either clock shows that.
    pub fn at(clocks: Now) -> Self {
        Self(clocks)
    }

    /// What the clocks show then.
    pub fn clocks(self) -> Now {
        self.0
    }

    /// `ms` from now.
    pub fn after(now: Now, ms: u64) -> Self {
        Self(now.plus_ms(ms))
    }

    /// When the wall clock will show that many seconds since the Unix epoch.
    pub fn at_unix_s(unix_s: u64, now: Now) -> Self {
        let unix_ms = unix_s.saturating_mul(1000);
        let ahead_ms = unix_ms.saturating_sub(now.unix_ms);
        Self(Now {
            unix_ms,
            mono_ms: now.mono_ms.saturating_add(ahead_ms),
        })
    }

    /// The same moment `ms` later.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.plus_ms(ms))
    }

    /// Whether it has come.
    pub fn reached(self, now: Now) -> bool {
        now.unix_ms >= self.0.unix_ms || now.mono_ms >= self.0.mono_ms
    }

    /// How long until then, by the clock that is nearer.
    pub fn remaining_ms(self, now: Now) -> u64 {
        let wall = self.0.unix_ms.saturating_sub(now.unix_ms);
        let mono = self.0.mono_ms.saturating_sub(now.mono_ms);
        wall.min(mono)
    }

    /// What the wall clock will show then, in whole seconds since the Unix epoch, if it goes on as it does now: another
    /// time than that of the beginning where it was set back since.
    pub fn unix_s_seen(self, now: Now) -> u64 {
        let seen_ms = now.unix_ms.saturating_add(self.remaining_ms(now));
        // two clocks never run as one to the millisecond
        if self.reached(now) || self.0.unix_ms.abs_diff(seen_ms) < 1_000 {
            self.unix_s()
        } else {
            seen_ms / 1000
        }
    }

    /// Its whole seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.0.unix_s()
    }
}

/// What a token server's `Date` headers have told about its clock.
///
/// A header is a statement that anybody on the way may have made, so one alone changes nothing: it counts when the next
/// one agrees with it, or when the answer that carries it refuses what the local clock has made. It is forgotten when
/// what it led to is refused, when it is old, and when one of the local clocks has jumped or stood still since.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerClock {
    last: Option<Reading>,
    /// The last reading counts.
    trusted: bool,
}

/// The server's time, and the local time at which it was told.
#[derive(Clone, Copy, Debug)]
struct Reading {
    server_unix_ms: u64,
    at: Now,
}

impl Reading {
    /// What the server's clock shows now, if it shows what it showed then.
    fn carried_ms(self, now: Now) -> u64 {
        let passed = now.mono_ms.saturating_sub(self.at.mono_ms);
        self.server_unix_ms.saturating_add(passed)
    }

    /// Whether the local clocks have run as one since, and not for long.
    fn is_current(self, now: Now) -> bool {
        let mono = now.mono_ms.saturating_sub(self.at.mono_ms);
        let wall = now.unix_ms.saturating_sub(self.at.unix_ms);
        now.unix_ms.saturating_add(DATE_RESOLUTION_MS) >= self.at.unix_ms
            && mono.abs_diff(wall) <= DATE_RESOLUTION_MS
            && mono <= SERVER_CLOCK_AGE_MS
    }
}

/// Differences up to this are the latency of the response and the whole seconds of `Date`, not skew.
const DATE_RESOLUTION_MS: u64 = 5_000;

impl ServerClock {
    /// Takes a reading. `confirmed` says that the answer with it refused something for its times.
    pub(crate) fn measure(&mut self, server_unix_ms: u64, now: Now, confirmed: bool) {
        let agrees = self.last.is_some_and(|last| {
            last.is_current(now)
                && last.carried_ms(now).abs_diff(server_unix_ms) <= DATE_RESOLUTION_MS
        });
        self.trusted = confirmed || agrees;
        self.last = Some(Reading {
            server_unix_ms,
            at: now,
        });
    }

    /// What was learnt has led to something that the server refused, or was not needed.
    pub(crate) fn distrust(&mut self) {
        self.trusted = false;
        self.last = None;
    }

    /// The best estimate of the server's Unix time, milliseconds: the local wall clock unless something else is known.
    pub(crate) fn estimate_ms(&self, now: Now) -> u64 {
        let known = self
            .last
            .filter(|last| self.trusted && last.is_current(now));
        let Some(estimate) = known.map(|last| last.carried_ms(now)) else {
            return now.unix_ms;
        };
        if estimate.abs_diff(now.unix_ms) <= DATE_RESOLUTION_MS {
            now.unix_ms
        } else {
            estimate
        }
    }

    /// The earliest that it may be for the server, Unix milliseconds. It is what a local refusal has to be based on: a
    /// statement from outside, trusted or not, can put off such a refusal but never cause one.
    pub(crate) fn earliest_ms(&self, now: Now) -> u64 {
        let told = self.last.map(|last| last.carried_ms(now));
        told.map_or(now.unix_ms, |told| told.min(now.unix_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(unix_ms: u64, mono_ms: u64) -> Now {
        Now { unix_ms, mono_ms }
    }

    #[test]
    fn a_moment_comes_by_either_clock() {
        let moment = Moment::after(at(1_000_000, 50), 10_000);
        assert!(!moment.reached(at(1_009_999, 10_049)));
        assert!(
            moment.reached(at(1_010_000, 60)),
            "wall clock jumped forward"
        );
        assert!(moment.reached(at(5, 10_050)), "wall clock jumped back");
        assert_eq!(moment.remaining_ms(at(5, 10_000)), 50);
    }

    #[test]
    fn a_moment_is_told_by_the_wall_clock_as_it_is() {
        let moment = Moment::after(at(1_000_000, 50), 60_000);
        assert_eq!(moment.unix_s_seen(at(1_010_000, 10_050)), 1_060);
        assert_eq!(moment.unix_s_seen(at(1_010_000, 10_449)), 1_060, "drift");
        assert_eq!(moment.unix_s_seen(at(410_000, 10_050)), 460, "set back");
        assert_eq!(moment.unix_s_seen(at(1_050_000, 10_050)), 1_060, "slept");
        assert_eq!(moment.unix_s_seen(at(9_000_000, 10_050)), 1_060, "over");
    }

    #[test]
    fn a_moment_of_the_wall_clock_comes_by_either_clock() {
        let moment = Moment::at_unix_s(1_010, at(1_000_000, 50));
        assert_eq!(moment, Moment::after(at(1_000_000, 50), 10_000));
        assert!(Moment::at_unix_s(1_000, at(1_000_000, 50)).reached(at(1_000_000, 50)));
        let past = Moment::at_unix_s(999, at(1_000_000, 50));
        assert!(past.reached(at(1_000_000, 50)) && past.reached(at(5, 50)));
        assert!(!Moment::at_unix_s(u64::MAX, at(1, 1)).reached(at(1_000_000, 50)));
    }

    /// A clock of a server that is so far ahead of the local one, told that often.
    fn told(ahead_ms: u64, times: u64) -> ServerClock {
        let mut clock = ServerClock::default();
        for n in 0..times {
            let now = at(1_000_000 + n * 1_000, n * 1_000);
            clock.measure(now.unix_ms + ahead_ms, now, false);
        }
        clock
    }

    #[test]
    fn one_reading_changes_nothing() {
        let now = at(1_001_000, 1_000);
        for ahead_ms in [60_000, 86_400_000, u64::MAX / 4] {
            assert_eq!(told(ahead_ms, 1).estimate_ms(now), now.unix_ms);
            assert_eq!(
                told(ahead_ms, 2).estimate_ms(now),
                now.unix_ms + ahead_ms,
                "two agree"
            );
            let mut clock = told(ahead_ms, 2);
            clock.measure(now.unix_ms, now, false);
            assert_eq!(clock.estimate_ms(now), now.unix_ms, "two differ");
        }
        let mut clock = ServerClock::default();
        clock.measure(900_000, now, true);
        assert_eq!(clock.estimate_ms(now), 900_000, "a refusal confirms it");
        clock.distrust();
        assert_eq!(clock.estimate_ms(now), now.unix_ms);
    }

    #[test]
    fn what_was_learnt_ends_with_age_sleep_and_jumps() {
        let clock = told(86_400_000, 2);
        let learnt = |now: Now| clock.estimate_ms(now) != now.unix_ms;
        assert!(learnt(at(1_600_000, 600_000)));
        let aged = SERVER_CLOCK_AGE_MS + 2_000;
        assert!(!learnt(at(1_000_000 + aged, aged)), "too old");
        assert!(
            !learnt(at(4_600_000, 600_000)),
            "it slept, or was set forward"
        );
        assert!(!learnt(at(600_000, 600_000)), "set back");
        assert!(!learnt(at(5, 600_000)), "set back very far");
    }

    #[test]
    fn no_reading_makes_it_later_for_a_local_refusal() {
        for (server, times) in [(50, 1), (50, 2), (2_000_000, 1), (2_000_000, 2)] {
            let mut clock = ServerClock::default();
            let now = at(1_000_000, 0);
            for _ in 0..times {
                clock.measure(server, now, false);
            }
            assert_eq!(clock.earliest_ms(now), server.min(1_000_000));
        }
        assert_eq!(ServerClock::default().earliest_ms(at(7, 0)), 7);
    }

    #[test]
    fn latency_is_not_skew() {
        let mut clock = ServerClock::default();
        clock.measure(996_000, at(1_000_000, 0), true);
        assert_eq!(clock.estimate_ms(at(1_000_000, 0)), 1_000_000);
    }
}
