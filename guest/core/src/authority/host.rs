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
    let host = strip_port(authority).unwrap_or(authority);
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
    let port = authority
        .get(host.len()..)
        .and_then(|rest| rest.strip_prefix(':'));
    let host = host.to_ascii_lowercase();
    let Some(port) = port else { return Ok(host) };
    // what Rust reads as a number may have a sign
    let digits = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse::<u16>().ok()) {
        Some(number) if number == own_port => Ok(host),
        Some(number) if number > 0 => Ok(format!("{host}:{number}")),
        _ => Err(Refusal::new(
            format!("`{port}` is not a port"),
            "use a number from 1 to 65535",
        )),
    }
}

/// The host of `host:port`; `None` if there is no port. The colons inside an IPv6 literal are not one.
pub(super) fn strip_port(authority: &str) -> Option<&str> {
    let (host, port) = authority.rsplit_once(':')?;
    (!port.contains(']')).then_some(host)
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
