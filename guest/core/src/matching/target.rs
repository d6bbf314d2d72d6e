//! Where a request goes: the one judge of it, for whoever puts tokens on requests.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::needs::is_loopback;
use crate::{Error, ErrorClass};

/// Whom a request is for, by what it says itself.
#[derive(Debug, Eq, PartialEq)]
pub struct Target {
    /// As rules compare it ([`canonical`]).
    pub host: String,
    /// That of the scheme if none is named.
    pub port: u16,
    is_tls: bool,
}

impl Target {
    /// Of scheme and authority (RFC 3986 section 3.2). Without a scheme a request is one over https.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](ErrorClass::InvalidRequest), where not everybody reads the authority alike: with a user
    /// name, with what is percent-encoded, with a name that some take for an address.
    pub fn of(scheme: Option<&str>, authority: &str) -> Result<Self, Error> {
        let scheme = scheme.unwrap_or("https");
        // a WebSocket begins as a request
        let is_tls = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss");
        let (host, port) = parts(authority).ok_or_else(|| {
            invalid(
                "the address of a request is no host, or host and port, that everybody reads alike"
                    .to_owned(),
                "write host or host:port: without user name and percent-encoding, IPv4 addresses as four numbers, IPv6 addresses in brackets and without zone",
            )
        })?;
        Ok(Self {
            host,
            port: port.unwrap_or(default_port(is_tls)),
            is_tls,
        })
    }

    /// The port of its scheme.
    pub fn default_port(&self) -> u16 {
        default_port(self.is_tls)
    }

    /// `https`, or `http` for whatever goes without TLS.
    pub fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Host, with the port if it is not the scheme's own.
    pub fn authority(&self) -> String {
        match self.port == self.default_port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Refuses what a token must not go to although a rule names it. `hosts`: the values of the header `host`, by which a
    /// server of several hosts goes.
    ///
    /// # Errors
    ///
    /// Of the class [`InvalidRequest`](ErrorClass::InvalidRequest).
    pub fn check<'v>(
        &self,
        hosts: impl IntoIterator<Item = &'v [u8]>,
        http_on_loopback: bool,
    ) -> Result<(), Error> {
        let host = &self.host;
        let is_here = is_loopback(host);
        if !(self.is_tls || (http_on_loopback && is_here)) {
            let hint = match is_here {
                true => "use https, or set http_on_loopback of the rule",
                false => "use https",
            };
            return Err(invalid(
                format!(
                    "a request to {host} goes without TLS, which would show its token to whoever is on the way"
                ),
                hint,
            ));
        }
        let is_same = |named: &[u8]| {
            let named = std::str::from_utf8(named).ok().and_then(parts);
            named.is_some_and(|(named, port)| {
                named == *host && port.unwrap_or(self.default_port()) == self.port
            })
        };
        if hosts.into_iter().all(is_same) {
            return Ok(());
        }
        Err(invalid(
            format!("a request to {host} has the `host` header of another host"),
            "leave that header out: whoever sends the request adds it",
        ))
    }
}

/// A request that must not be sent, and what to do about it.
fn invalid(message: String, hint: &str) -> Error {
    Error::new(ErrorClass::InvalidRequest, message).hint(hint)
}

/// Host, as it is compared, and port, if one is named. `None` of what not everybody reads alike.
fn parts(authority: &str) -> Option<(String, Option<u16>)> {
    let end = match authority.starts_with('[') {
        true => authority.find(']')?.checked_add(1)?,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end)?;
    let port = match rest.strip_prefix(':') {
        // RFC 3986 section 6.2.3: the same as none
        Some("") => None,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
        None if rest.is_empty() => None,
        None => return None,
    };
    is_host(host).then(|| (canonical(host), port))
}

/// Whether it is a name or an address that everybody reads alike: of a name whose last label is a number some make an
/// IPv4 address, whatever it looks like (`2852039166`, `0xa9.254.169.254`, `127.1`).
pub fn is_host(host: &str) -> bool {
    if let Some(bare) = bare(host) {
        return bare.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !label.is_empty() && label.bytes().all(known)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_hex = |label: &str| label.starts_with("0x") || label.starts_with("0X");
    let is_number = is_hex(last) || last.bytes().all(|b| b.is_ascii_digit());
    name.split('.').all(is_label) && (!is_number || name.parse::<Ipv4Addr>().is_ok())
}

/// Whether it is a host, or `*.` and a domain for every host below that: below an address there is none.
pub fn is_host_pattern(text: &str) -> bool {
    match text.strip_prefix("*.") {
        None => is_host(text),
        Some(domain) => {
            is_host(domain) && !domain.starts_with('[') && domain.parse::<Ipv4Addr>().is_err()
        }
    }
}

/// A host as rules compare it: in lower case, without the dot that ends a whole name, addresses in their one spelling.
pub fn canonical(host: &str) -> String {
    let Some(address) = bare(host).and_then(|bare| bare.parse::<Ipv6Addr>().ok()) else {
        return host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    };
    match address.to_ipv4_mapped() {
        // a socket of IPv6 that leads there
        Some(address) => address.to_string(),
        None => format!("[{address}]"),
    }
}

fn bare(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests that say in two ways where they go, or go where a token must not.
    #[test]
    fn what_a_token_must_not_go_to_is_refused() {
        let https = Target::of(None, "api.example").unwrap();
        let port = Target::of(Some("https"), "[::1]:8443").unwrap();
        let plain = |host| Target::of(Some("http"), host).unwrap();
        for (target, hosts, on_loopback, says) in [
            (&https, &[][..], false, ""),
            (&https, &["api.example"], false, ""),
            (&https, &["API.example.:443"], false, ""),
            (&https, &["api.example", "api.example"], false, ""),
            (&https, &["api.example", "evil.test"], false, "another host"),
            (&https, &["api.example:80"], false, "another host"),
            (&https, &["x@api.example"], false, "another host"),
            (&https, &["api.example, evil.test"], false, "another host"),
            (&https, &[""], false, "another host"),
            (&port, &["[0::1]:8443"], false, ""),
            (&port, &["[::1]"], false, "another host"),
            (&plain("api.example"), &[], true, "without TLS"),
            (&plain("localhost"), &[], false, "without TLS"),
            (&plain("localhost"), &[], true, ""),
            (&plain("a.localhost:8080"), &[], true, ""),
            (&plain("127.0.0.2"), &[], true, ""),
            (&plain("[::1]"), &[], true, ""),
            (&plain("[::ffff:127.0.0.1]"), &[], true, ""),
            (&plain("localhost.example"), &[], true, "without TLS"),
        ] {
            let given = hosts.iter().map(|host| host.as_bytes());
            match target.check(given, on_loopback) {
                Ok(()) => assert_eq!(says, "", "{target:?} {hosts:?}"),
                Err(error) => {
                    assert!(
                        !says.is_empty() && error.to_string().contains(says),
                        "{error}"
                    );
                    assert!(error.detail().hint.is_some());
                }
            }
        }
    }
}
