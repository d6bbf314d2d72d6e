//! When a certificate is good.

use std::time::Duration;

use x509_cert::der::DateTime;

use super::chain::read;
use crate::limits;
use crate::tls_failure::between;

/// When a certificate is good.
#[derive(Clone, Copy, Debug)]
pub(in crate::certificate) struct Validity {
    pub(super) not_before: DateTime,
    pub(super) not_after: DateTime,
}

impl Validity {
    pub(in crate::certificate) fn of(der: &[u8]) -> Option<Self> {
        let certificate = read(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        Some(Self {
            not_before: validity.not_before.to_date_time(),
            not_after: validity.not_after.to_date_time(),
        })
    }

    /// Why it is not good at that time, continuing its name.
    pub(in crate::certificate) fn over(&self, now: Duration) -> Option<String> {
        let (from, to) = (
            self.not_before.unix_duration(),
            self.not_after.unix_duration(),
        );
        if now > to {
            return Some(format!(
                "expired {} ago, {}",
                between(to, now),
                self.not_after
            ));
        }
        (now < from).then(|| {
            format!(
                "becomes valid in {}, {}",
                between(now, from),
                self.not_before
            )
        })
    }

    /// That it ends soon, continuing its name.
    pub(in crate::certificate) fn ending(&self, now: Duration) -> Option<String> {
        let (from, to) = (
            self.not_before.unix_duration(),
            self.not_after.unix_duration(),
        );
        let left = to.checked_sub(now)?;
        let soon = limits::CERTIFICATE_ENDS_SOON.min(to.saturating_sub(from) / 10);
        (left < soon).then(|| format!("expires in {}, {}", between(now, to), self.not_after))
    }
}
