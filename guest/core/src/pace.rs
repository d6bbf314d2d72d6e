//! How often something may happen: some in a row, then one in a while.

use crate::keyed::Ends;
use crate::limits::{EXCHANGE_BURST, EXCHANGE_INTERVAL_MS, MAX_EXCHANGE_INTERVAL_MS};
use crate::{Error, ErrorDetail};

/// Counts what has happened, on the monotonic clock. It is the generic cell rate algorithm: one number, no history.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When nothing of what has happened counts any more.
    settled_mono_ms: u64,
}

impl Pace {
    /// How long until the next may happen, where what has happened may reach that far ahead.
    pub(crate) fn wait_ms(self, mono_ms: u64, ahead_ms: u64) -> u64 {
        let allowed = mono_ms.saturating_add(ahead_ms);
        self.settled_mono_ms.saturating_sub(allowed)
    }

    /// One has happened, which stands for that much time.
    pub(crate) fn take(&mut self, mono_ms: u64, interval_ms: u64) {
        let from = self.settled_mono_ms.max(mono_ms);
        self.settled_mono_ms = from.saturating_add(interval_ms);
    }

    /// Forgets what would make the next one wait longer than what reaches that far ahead.
    pub(crate) fn ease(&mut self, mono_ms: u64, ahead_ms: u64) {
        let most = mono_ms.saturating_add(ahead_ms);
        self.settled_mono_ms = self.settled_mono_ms.min(most);
    }
}

/// The exchanges of one token.
#[derive(Debug, Default)]
pub(crate) struct ExchangePace {
    pace: Pace,
    /// Exchanges in a row that brought nothing that can be served.
    fruitless: u32,
    last: Option<Error>,
}

impl ExchangePace {
    pub(crate) fn wait_ms(&self, mono_ms: u64) -> u64 {
        self.pace.wait_ms(mono_ms, self.ahead_ms())
    }

    /// One begins.
    pub(crate) fn begin(&mut self, mono_ms: u64) {
        self.pace.take(mono_ms, self.interval_ms());
    }

    /// One has brought a token that can be served.
    pub(crate) fn succeeded(&mut self, mono_ms: u64) {
        self.fruitless = 0;
        self.last = None;
        self.pace
            .ease(mono_ms, self.ahead_ms() + self.interval_ms());
    }

    fn interval_ms(&self) -> u64 {
        let interval = EXCHANGE_INTERVAL_MS << self.fruitless.min(16);
        interval.min(MAX_EXCHANGE_INTERVAL_MS)
    }

    /// As many as may follow each other without a pause.
    fn ahead_ms(&self) -> u64 {
        (EXCHANGE_BURST - 1) * self.interval_ms()
    }

    /// One has brought nothing, or a token that cannot be served.
    pub(crate) fn failed(&mut self, error: Option<&Error>) {
        self.fruitless = self.fruitless.saturating_add(1);
        self.last = error.cloned();
    }

    /// What to answer instead of another one, while it is to wait.
    pub(crate) fn error(&self, wait_ms: u64) -> Option<Error> {
        let said = |detail: &mut ErrorDetail| {
            detail.message = format!("not sent again so soon: {}", detail.message);
            detail.retry_after_ms = Some(wait_ms);
        };
        self.last.clone().map(|error| error.edit(said))
    }
}

impl Ends for ExchangePace {
    /// When it can be forgotten: not before the next exchange of an outage is over.
    fn end_mono_ms(&self) -> u64 {
        let outage_ms = match self.fruitless {
            0 => 0,
            _ => MAX_EXCHANGE_INTERVAL_MS,
        };
        self.pace.settled_mono_ms.saturating_add(outage_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many exchanges somebody makes who never stops asking.
    fn greedy(minutes: u64, fruitful: bool) -> u64 {
        let mut pace = ExchangePace::default();
        let mut begun = 0;
        for mono_ms in (0..minutes * 60_000).step_by(10) {
            if pace.wait_ms(mono_ms) == 0 {
                pace.begin(mono_ms);
                match fruitful {
                    true => pace.succeeded(mono_ms),
                    false => pace.failed(None),
                }
                begun += 1;
            }
        }
        begun
    }

    #[test]
    fn nobody_gets_more_than_the_pace() {
        assert_eq!(greedy(1, true), EXCHANGE_BURST - 1 + 60);
        assert_eq!(greedy(10, true), EXCHANGE_BURST - 1 + 600);
        let fruitless = greedy(10, false);
        let slowest = 600_000 / MAX_EXCHANGE_INTERVAL_MS;
        assert!(
            (slowest..=slowest + EXCHANGE_BURST + 3).contains(&fruitless),
            "{fruitless}"
        );
    }

    #[test]
    fn an_outage_is_not_forgotten_between_two_exchanges() {
        let mut pace = ExchangePace::default();
        let mut begun = 0;
        for mono_ms in (0..600_000).step_by(1_000) {
            if pace.end_mono_ms() <= mono_ms {
                pace = ExchangePace::default();
            }
            if pace.wait_ms(mono_ms) == 0 {
                pace.begin(mono_ms);
                pace.failed(None);
                begun += 1;
            }
        }
        let slowest = 600_000 / MAX_EXCHANGE_INTERVAL_MS;
        assert!(begun <= slowest + EXCHANGE_BURST + 3, "{begun}");
    }

    #[test]
    fn a_success_ends_the_doubling() {
        let mut pace = ExchangePace::default();
        for _ in 0..40 {
            pace.begin(0);
            pace.failed(None);
        }
        let later = pace.wait_ms(0);
        pace.succeeded(later);
        pace.begin(later);
        assert!(pace.wait_ms(later) <= 2 * EXCHANGE_INTERVAL_MS);
        assert!(pace.end_mono_ms() < u64::MAX);
    }
}
