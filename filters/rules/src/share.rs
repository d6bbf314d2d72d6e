//! How the VMs of one process share a token: one of them, which has the lease, asks for it and publishes it; the others
//! take it over. Envoy runs the filter once per worker and once on the main thread, and without this each of them would
//! ask.
//!
//! The lease is a shared value that is only ever replaced by compare-and-swap. It belongs to one VM as long as that
//! renews it, because that VM's engine remembers what has failed and how long the server asked to wait.

use edgepass_core::{Moment, Now, Secret, SecretBytes, sha256_hex};

use crate::host::Host;

/// How long the lease holds without being renewed, milliseconds: when a VM dies, another takes over after that.
pub(crate) const LEASE_MS: u64 = 3_000;

/// How old the lease gets before it is renewed.
const RENEW_MS: u64 = LEASE_MS / 3;

/// How much later than this VM's the clock may have been when another VM wrote its lease, milliseconds: each reads the
/// clock when a tick begins and the lease after that, and may be kept from running in between.
const MAX_APART_MS: u64 = LEASE_MS;

/// The first line of a shared token: another version of the filter with the same `vm_id` may write another form.
const FORM: &str = "edgepass-2";

/// The names of one token's shared values.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    token: String,
    lease: String,
    rejection: String,
    error: String,
}

impl Keys {
    /// Names that are the same for the same question, in whatever plugin or version of its configuration it is asked.
    pub(crate) fn new(identity: &str, scopes: &[String]) -> Self {
        let digest = sha256_hex(format!("{identity}\n{}", scopes.join(" ")).as_bytes());
        let name = |what: &str| format!("edgepass/{digest}/{what}");
        Self {
            token: name("token"),
            lease: name("lease"),
            rejection: name("rejection"),
            error: name("error"),
        }
    }
}

/// A token as it is passed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Shared {
    /// Counts the publications of this token's key.
    pub(crate) version: u64,
    /// On both clocks, so that a VM that starts after the wall clock was set back does not take a dead one for alive.
    pub(crate) expires: Moment,
    /// When a newer one is looked for.
    pub(crate) refresh: Moment,
    /// It was refused and is kept all the same, until these Unix milliseconds: its successor would be refused too.
    pub(crate) kept_until_ms: u64,
    /// The token.
    pub(crate) token: Secret,
}

impl Shared {
    /// The shared form.
    pub(crate) fn encode(&self) -> Secret {
        let (expires, refresh) = (self.expires.clocks(), self.refresh.clocks());
        Secret::new(format!(
            "{FORM}\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
            self.version,
            expires.unix_ms,
            expires.mono_ms,
            refresh.unix_ms,
            refresh.mono_ms,
            self.kept_until_ms,
            self.token.expose()
        ))
    }

    /// Reads the shared form. `None` for anything else.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.splitn(8, '\n');
        if lines.next()? != FORM {
            return None;
        }
        let mut number = || lines.next()?.parse::<u64>().ok();
        let version = number()?;
        let mut moment = || {
            Some(Moment::at(Now {
                unix_ms: number()?,
                mono_ms: number()?,
            }))
        };
        let expires = moment()?;
        let refresh = moment()?;
        let kept_until_ms = number()?;
        let token = lines.next().filter(|token| !token.is_empty())?;
        Some(Self {
            version,
            expires,
            refresh,
            kept_until_ms,
            token: Secret::new(token),
        })
    }
}

/// A report that a resource refused a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Rejection {
    /// The token's lower-case hex SHA-256.
    pub(crate) sha256: String,
    /// The header that came with the refusal.
    pub(crate) www_authenticate: Option<String>,
}

impl Rejection {
    fn encode(&self) -> String {
        let header = self.www_authenticate.as_deref().unwrap_or_default();
        format!("{FORM}\n{}\n{header}", self.sha256)
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.splitn(3, '\n');
        if lines.next()? != FORM {
            return None;
        }
        let sha256 = lines.next()?.to_owned();
        let www_authenticate = lines.next().filter(|header| !header.is_empty());
        Some(Self {
            sha256,
            www_authenticate: www_authenticate.map(str::to_owned),
        })
    }
}

/// What a lease says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Lease {
    owner: u64,
    until_ms: u64,
}

impl Lease {
    fn encode(self) -> String {
        format!("{:016x} {}", self.owner, self.until_ms)
    }

    fn decode(text: &str) -> Option<Self> {
        let (owner, until) = text.split_once(' ')?;
        Some(Self {
            owner: u64::from_str_radix(owner, 16).ok()?,
            until_ms: until.parse().ok()?,
        })
    }

    /// A lease that reaches further than any can was written before the clock was set back.
    fn holds(self, unix_ms: u64) -> bool {
        let furthest = unix_ms.saturating_add(LEASE_MS + MAX_APART_MS);
        (unix_ms..=furthest).contains(&self.until_ms)
    }
}

/// Whether the VM `owner` may take the lease that stands there, and what it then writes.
fn bid(current: Option<Lease>, owner: u64, unix_ms: u64) -> Bid {
    let until_ms = unix_ms.saturating_add(LEASE_MS);
    match current.filter(|lease| lease.holds(unix_ms)) {
        Some(lease) if lease.owner != owner => Bid::Lost,
        Some(lease) if lease.until_ms.saturating_sub(unix_ms) > LEASE_MS - RENEW_MS => Bid::Held,
        _ => Bid::Write(Lease { owner, until_ms }),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bid {
    /// Another VM has it.
    Lost,
    /// It is ours and fresh.
    Held,
    /// To be written.
    Write(Lease),
}

/// Makes the lease known, so that it can be swapped: a first write has nothing to compare with. The plugin is
/// configured on the main thread before any worker is.
pub(crate) fn prepare(host: &impl Host, keys: &Keys) {
    if host.shared(&keys.lease).0.is_none() {
        host.set_shared(&keys.lease, b"free");
    }
}

/// Takes the lease, or renews it. Whether this VM has it.
pub(crate) fn lead(host: &impl Host, keys: &Keys, owner: u64, unix_ms: u64) -> bool {
    let (value, Some(mark)) = host.shared(&keys.lease) else {
        prepare(host, keys);
        return false;
    };
    let current = value.as_deref().and_then(text).and_then(Lease::decode);
    match bid(current, owner, unix_ms) {
        Bid::Lost => false,
        Bid::Held => true,
        Bid::Write(lease) => host.swap_shared(&keys.lease, lease.encode().as_bytes(), mark),
    }
}

/// The token that was published last.
pub(crate) fn token(host: &impl Host, keys: &Keys) -> Option<Shared> {
    let value = SecretBytes::new(host.shared(&keys.token).0?);
    text(value.expose()).and_then(Shared::decode)
}

/// Publishes a token, and forgets what stood in its way.
pub(crate) fn publish(host: &impl Host, keys: &Keys, token: &Shared) {
    host.set_shared(&keys.token, token.encode().expose().as_bytes());
    if error(host, keys).is_some() {
        host.set_shared(&keys.error, b"");
    }
}

/// Reports a refused token to the VM that has the lease.
pub(crate) fn report(host: &impl Host, keys: &Keys, rejection: &Rejection) {
    host.set_shared(&keys.rejection, rejection.encode().as_bytes());
}

/// Takes the report.
pub(crate) fn take_report(host: &impl Host, keys: &Keys) -> Option<Rejection> {
    let value = host.shared(&keys.rejection).0?;
    let rejection = text(&value).and_then(Rejection::decode)?;
    host.set_shared(&keys.rejection, b"");
    Some(rejection)
}

/// Says why no token came, and when the next attempt is due, Unix milliseconds.
pub(crate) fn publish_error(host: &impl Host, keys: &Keys, class: &str, next_unix_ms: u64) {
    host.set_shared(&keys.error, format!("{class} {next_unix_ms}").as_bytes());
}

/// Why no token came, and when the next attempt is due, Unix milliseconds.
pub(crate) fn error(host: &impl Host, keys: &Keys) -> Option<(String, u64)> {
    let value = host.shared(&keys.error).0?;
    let (class, next) = text(&value)?.split_once(' ')?;
    Some((class.to_owned(), next.parse().ok()?))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        let token = Shared {
            version: 7,
            expires: Moment::at(Now {
                unix_ms: 1_790_003_600_000,
                mono_ms: 3_600_007,
            }),
            refresh: Moment::at(Now {
                unix_ms: 1_790_001_800_000,
                mono_ms: 1_800_007,
            }),
            kept_until_ms: 0,
            token: Secret::new("a.b.c"),
        };
        assert_eq!(Shared::decode(token.encode().expose()), Some(token.clone()));
        let text = token.encode();
        for wrong in [
            "",
            "edgepass-1\n1\n2\n3\n4\n5\n6\nt",
            "edgepass-2\n1\n2\n3\n4\nt",
            "edgepass-2\n1\n2\n3\n4\n5\n6\n",
            "edgepass-2\nx",
        ] {
            assert_eq!(Shared::decode(wrong), None, "{wrong}");
        }
        assert!(!format!("{:?}", Shared::decode(text.expose())).contains("a.b.c"));
    }

    #[test]
    fn rejections_come_back_as_they_were() {
        for www_authenticate in [None, Some("Bearer error=\"invalid_token\"".to_owned())] {
            let rejection = Rejection {
                sha256: "00ff".to_owned(),
                www_authenticate,
            };
            assert_eq!(Rejection::decode(&rejection.encode()), Some(rejection));
        }
        assert_eq!(Rejection::decode(""), None);
    }

    #[test]
    fn a_lease_has_one_owner_until_it_ends() {
        let now = 1_000_000;
        let Bid::Write(first) = bid(None, 1, now) else {
            panic!("a free lease is taken");
        };
        assert_eq!(Lease::decode(&first.encode()), Some(first));
        assert_eq!(bid(Some(first), 2, now + 10), Bid::Lost);
        assert_eq!(bid(Some(first), 1, now + 10), Bid::Held);
        assert!(matches!(bid(Some(first), 1, now + RENEW_MS), Bid::Write(_)));
        assert_eq!(bid(Some(first), 2, now + LEASE_MS), Bid::Lost);
        assert!(matches!(
            bid(Some(first), 2, now + LEASE_MS + 1),
            Bid::Write(_)
        ));
    }

    #[test]
    fn a_lease_that_was_written_after_the_clock_was_read_holds() {
        let now = 1_000_000;
        let Bid::Write(lease) = bid(None, 1, now) else {
            panic!("a free lease is taken");
        };
        for behind in [1, 10, 1_000] {
            assert_eq!(bid(Some(lease), 2, now - behind), Bid::Lost);
        }
    }

    #[test]
    fn a_clock_set_back_does_not_keep_a_lease_alive() {
        let Bid::Write(lease) = bid(None, 1, 10_000_000) else {
            panic!("a free lease is taken");
        };
        assert!(matches!(bid(Some(lease), 2, 5_000_000), Bid::Write(_)));
    }

    #[test]
    fn keys_differ_by_what_is_asked() {
        let scopes = ["a".to_owned()];
        assert_ne!(Keys::new("x", &scopes).token, Keys::new("y", &scopes).token);
        assert_ne!(Keys::new("x", &scopes).token, Keys::new("x", &[]).token);
    }
}
