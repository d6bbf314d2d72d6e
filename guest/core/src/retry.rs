//! Whether, when and how an acquisition is tried again.

use crate::aadsts;
use crate::flow::Io;
use crate::limits::{
    MAX_INLINE_RETRY_AFTER_MS, MAX_PROPAGATION_ATTEMPTS, MAX_TRANSIENT_ATTEMPTS,
    PROPAGATION_BACKOFF_MS, TRANSIENT_BACKOFF_MS,
};
use crate::{Error, ErrorClass};

/// What may cure a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RetryClass {
    /// Nothing that can be done here.
    None,
    /// Time: the network or the server may recover.
    Time,
    /// Time: a federated credential may still be propagating.
    Propagation,
    /// Reading the token file or certificate anew, once.
    Reload,
}

/// The one place that decides it.
pub(crate) fn retry_class(error: &Error) -> RetryClass {
    let codes = &error.detail().aadsts;
    if codes.iter().any(|code| aadsts::is_propagation(*code)) {
        return RetryClass::Propagation;
    }
    if codes
        .iter()
        .any(|code| aadsts::reload_credential_once(*code))
    {
        return RetryClass::Reload;
    }
    match error.class() {
        ErrorClass::Network
        | ErrorClass::Timeout
        | ErrorClass::Throttled
        | ErrorClass::Server
        | ErrorClass::InvalidResponse
        | ErrorClass::CredentialUnavailable
            if error.detail().retryable =>
        {
            RetryClass::Time
        }
        _ => RetryClass::None,
    }
}

/// The rounds of one acquisition.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    transient: u32,
    propagation: u32,
}

/// The next step after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Report the failure.
    GiveUp,
    /// Try again after that many milliseconds.
    After(u64),
}

impl Attempts {
    pub(crate) fn next(&mut self, error: &Error, io: &Io) -> Next {
        match retry_class(error) {
            // reading it anew has been tried
            RetryClass::None | RetryClass::Reload => Next::GiveUp,
            RetryClass::Propagation => {
                self.propagation += 1;
                if self.propagation >= MAX_PROPAGATION_ATTEMPTS {
                    return Next::GiveUp;
                }
                Next::After(backoff(PROPAGATION_BACKOFF_MS, self.propagation, io))
            }
            RetryClass::Time => {
                self.transient += 1;
                if self.transient >= MAX_TRANSIENT_ATTEMPTS {
                    return Next::GiveUp;
                }
                match error.detail().retry_after_ms {
                    Some(wait) if wait > MAX_INLINE_RETRY_AFTER_MS => Next::GiveUp,
                    // never earlier than asked; a little later so that a fleet does not come back in step
                    Some(wait) => Next::After(wait.saturating_add(io.random_below(wait / 10 + 50))),
                    None => Next::After(backoff(TRANSIENT_BACKOFF_MS, self.transient, io)),
                }
            }
        }
    }
}

/// The `n`-th wait (from 1): doubled each time, drawn from 50 to 150 % of that.
pub(crate) fn backoff(first_ms: u64, n: u32, io: &Io) -> u64 {
    backoff_up_to(u64::MAX, first_ms, n, io)
}

/// The same, doubled no further than to `max_ms`.
pub(crate) fn backoff_up_to(max_ms: u64, first_ms: u64, n: u32, io: &Io) -> u64 {
    let doubled = first_ms.saturating_mul(1_u64 << n.saturating_sub(1).min(16));
    let full = doubled.min(max_ms);
    (full / 2).saturating_add(io.random_below(full.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorDetail;

    fn refused(aadsts: u32) -> Error {
        Error::with_detail(
            ErrorClass::CredentialRejected,
            ErrorDetail {
                aadsts: vec![aadsts],
                ..ErrorDetail::default()
            },
        )
    }

    #[test]
    fn each_kind_of_failure_has_its_cure() {
        let transient = |class| Error::new(class, "x").retryable();
        for (error, expected) in [
            (refused(70021), RetryClass::Propagation),
            (refused(700_211), RetryClass::Propagation),
            (refused(700_212), RetryClass::Propagation),
            (refused(700_213), RetryClass::Propagation),
            (refused(7_002_138), RetryClass::None),
            (refused(7_002_381), RetryClass::None),
            (refused(700_024), RetryClass::Reload),
            (refused(700_027), RetryClass::Reload),
            (refused(7_000_215), RetryClass::Reload),
            (refused(90_002), RetryClass::None),
            (transient(ErrorClass::Server), RetryClass::Time),
            (transient(ErrorClass::Throttled), RetryClass::Time),
            (transient(ErrorClass::Timeout), RetryClass::Time),
            (transient(ErrorClass::Network), RetryClass::Time),
            (
                Error::new(ErrorClass::Network, "wrong certificate"),
                RetryClass::None,
            ),
            (Error::new(ErrorClass::Configuration, "x"), RetryClass::None),
        ] {
            assert_eq!(retry_class(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn attempts_are_bounded() {
        let io = Io::new([1; 32]);
        let mut attempts = Attempts::default();
        let error = Error::new(ErrorClass::Server, "x").retryable();
        let waits: Vec<Next> = (0..MAX_TRANSIENT_ATTEMPTS)
            .map(|_| attempts.next(&error, &io))
            .collect();
        assert!(matches!(waits[0], Next::After(200..=600)), "{waits:?}");
        assert!(matches!(waits[1], Next::After(400..=1200)), "{waits:?}");
        assert_eq!(waits[2], Next::GiveUp);
    }

    #[test]
    fn retry_after_is_never_undercut() {
        let io = Io::new([1; 32]);
        let error = |ms| {
            Error::new(ErrorClass::Throttled, "x")
                .retryable()
                .edit(|d| d.retry_after_ms = Some(ms))
        };
        let Next::After(wait) = Attempts::default().next(&error(3_000), &io) else {
            panic!("waits")
        };
        assert!((3_000..3_400).contains(&wait), "{wait}");
        assert_eq!(
            Attempts::default().next(&error(MAX_INLINE_RETRY_AFTER_MS + 1), &io),
            Next::GiveUp
        );
    }
}
