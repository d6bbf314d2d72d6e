//! `host` and `host:port`: which of them is one, and how it is written so that two can be compared. Whether it is trusted is
//! said elsewhere.

use crate::refusal::Refusal;

/// The port of https.
pub(super) const HTTPS_PORT: u16 = 443;

/// A host name, characters (RFC 1035 section 2.3.4, without the root's dot).
const MAX_HOST_CHARS: usize = 253;

/// One label of a host name, characters (RFC 1035 section 2.3.4).
const MAX_LABEL_CHARS: usize = 63;

/// `host` or `host:port` in lower case, without the port if it is the scheme's own.
pub(crate) fn canonical_authority(authority: &str, own_port: u16) -> Result<String, Refusal> {
    let (host, port) = split_port(authority);
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let valid = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    if !valid {
        return Err(Refusal::new(
            "has a host that is not a host name",
            "use letters, digits, `-` and `.`",
        ));
    }
    let host = host.to_ascii_lowercase();
    let Some(port) = port else { return Ok(host) };
    match port_number(port) {
        Some(number) if number == own_port => Ok(host),
        Some(number) => Ok(format!("{host}:{number}")),
        None => Err(Refusal::new(
            format!("`{port}` is not a port"),
            "use a number from 1 to 65535",
        )),
    }
}

/// The host of `host` or `host:port`, and what stands for the port. The colons inside an IPv6 literal, which is in brackets,
/// come before none. Nothing is checked.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The number of a port, 1 to 65535, in digits.
pub fn port_number(text: &str) -> Option<u16> {
    // what Rust reads as a number may have a sign
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number > 0)
}

fn is_host_name(host: &str) -> bool {
    host.len() <= MAX_HOST_CHARS
        && host.split('.').all(|label| {
            (1..=MAX_LABEL_CHARS).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_stands_behind_the_last_colon_outside_of_brackets() {
        for (authority, host, port) in [
            ("a.example", "a.example", None),
            ("a.example:8443", "a.example", Some("8443")),
            ("a.example:", "a.example", Some("")),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some("80")),
            ("[::1", "[:", Some("1")),
        ] {
            assert_eq!(split_port(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn a_port_is_a_number_in_digits() {
        for (text, number) in [
            ("1", Some(1)),
            ("65535", Some(65_535)),
            ("0443", Some(443)),
            ("0", None),
            ("65536", None),
            ("+443", None),
            ("-1", None),
            (" 443", None),
            ("", None),
        ] {
            assert_eq!(port_number(text), number, "{text}");
        }
    }
}
