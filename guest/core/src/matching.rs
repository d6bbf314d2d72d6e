//! Whether a request is one that a rule names, for whoever puts tokens on requests.

mod path;
mod prefix;
mod target;

pub use path::{RequestPath, is_plain};
pub use prefix::{NoPrefix, check_prefix};
pub use target::{Target, canonical, is_host, is_host_pattern};

/// Methods whose requests get no token: one opens a tunnel, and the answer of the other repeats the request (RFC 9110
/// sections 9.3.6 and 9.3.8).
pub const METHODS_WITHOUT_TOKEN: [&str; 2] = ["CONNECT", "TRACE"];

/// Headers that decide where a request goes or how long it is, or that have others in them; a token in one of them would
/// break it.
pub const RESERVED_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "cookie",
    "host",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whether a rule may be for that method: in capitals, as methods are compared, and one that a token goes with.
pub fn is_method_of_rule(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_uppercase() || b == b'-';
    !name.is_empty() && name.bytes().all(is_letter) && !METHODS_WITHOUT_TOKEN.contains(&name)
}

/// Whether that is the host of a rule, or one below the domain of a rule that begins with `*.`: without port and letter
/// case.
pub fn host_fits(pattern: &str, authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        // the colons of an IPv6 address stand before its bracket
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    match pattern.strip_prefix('*') {
        // at least one character before the dot
        Some(domain) => host
            .len()
            .checked_sub(domain.len())
            .filter(|at| *at > 0)
            .and_then(|at| host.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(domain)),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert!(host_fits("a.example", "A.EXAMPLE:80"));
        assert!(host_fits("*.example", "a.b.example"));
        assert!(!host_fits("*.example", ".example"));
        assert!(!host_fits("*.example", "example"));
        assert!(!host_fits("*.example", "evilexample"));
        assert!(host_fits("[::1]", "[::1]:80"));
        assert!(host_fits("[::1]", "[::1]"));
    }
}
