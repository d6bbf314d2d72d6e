//! Whether a request is one that a rule names, for whoever puts tokens on requests.

mod path;
mod target;

pub use path::{RequestPath, is_plain};
pub use target::{Target, canonical, is_host};

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
