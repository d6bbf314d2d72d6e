//! Time comes in from the driver, with every call.

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

    /// Its whole seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.0.unix_s()
    }
}

/// What the token server's `Date` headers have told about its clock.
///
/// The server's time is carried forward on the monotonic clock, so a jump of the local wall clock after the
/// measurement does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerClock {
    measured: Option<(u64, Now)>,
}

/// Differences up to this are the latency of the response and the whole seconds of `Date`, not skew.
const DATE_RESOLUTION_MS: u64 = 5_000;

impl ServerClock {
    pub(crate) fn measure(&mut self, server_unix_ms: u64, now: Now) {
        self.measured = Some((server_unix_ms, now));
    }

    /// The best estimate of the server's Unix time, milliseconds.
    pub(crate) fn estimate_ms(&self, now: Now) -> u64 {
        let Some((server, at)) = self.measured else {
            return now.unix_ms;
        };
        let estimate = server.saturating_add(now.mono_ms.saturating_sub(at.mono_ms));
        if estimate.abs_diff(now.unix_ms) <= DATE_RESOLUTION_MS {
            now.unix_ms
        } else {
            estimate
        }
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
    fn a_moment_of_the_wall_clock_comes_by_either_clock() {
        let moment = Moment::at_unix_s(1_010, at(1_000_000, 50));
        assert_eq!(moment, Moment::after(at(1_000_000, 50), 10_000));
        assert!(Moment::at_unix_s(1_000, at(1_000_000, 50)).reached(at(1_000_000, 50)));
        let past = Moment::at_unix_s(999, at(1_000_000, 50));
        assert!(past.reached(at(1_000_000, 50)) && past.reached(at(5, 50)));
        assert!(!Moment::at_unix_s(u64::MAX, at(1, 1)).reached(at(1_000_000, 50)));
    }

    #[test]
    fn server_time_survives_a_local_jump() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.estimate_ms(at(1_000, 0)), 1_000);
        clock.measure(900_000, at(1_000_000, 0));
        assert_eq!(clock.estimate_ms(at(1_000_000, 0)), 900_000);
        assert_eq!(clock.estimate_ms(at(9_000_000, 20_000)), 920_000);
    }

    #[test]
    fn latency_is_not_skew() {
        let mut clock = ServerClock::default();
        clock.measure(996_000, at(1_000_000, 0));
        assert_eq!(clock.estimate_ms(at(1_000_000, 0)), 1_000_000);
    }
}
