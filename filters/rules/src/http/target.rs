//! Where a request goes.

use std::net::{Ipv4Addr, Ipv6Addr};

use edgepass_core::Error;

use super::invalid;

/// Whom a request is for, by what it says itself.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// As rules compare it.
    pub(super) host: String,
    pub(super) port: u16,
    is_tls: bool,
}

impl Target {
    /// Of scheme and authority. Without a scheme a request is one over https.
    pub(super) fn of(scheme: Option<&str>, authority: &str) -> Result<Self, Error> {
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
    pub(super) fn default_port(&self) -> u16 {
        default_port(self.is_tls)
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// Host, with the port if it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        match self.port == self.default_port() {
            true => self.host.clone(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Refuses what a token must not go to although a rule names it. `hosts`: the values of the header `host`, by which a
    /// server of several hosts goes.
    pub(super) fn check(&self, hosts: &[Vec<u8>], http_on_loopback: bool) -> Result<(), Error> {
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
        let is_same = |named: &Vec<u8>| {
            let named = std::str::from_utf8(named).ok().and_then(parts);
            named.is_some_and(|(named, port)| {
                named == *host && port.unwrap_or(self.default_port()) == self.port
            })
        };
        if hosts.iter().all(is_same) {
            return Ok(());
        }
        Err(invalid(
            format!("a request to {host} has the `host` header of another host"),
            "leave that header out: whoever sends the request adds it",
        ))
    }
}

/// Host, as it is compared, and port, if one is named. `None` of what not everybody reads alike.
fn parts(authority: &str) -> Option<(String, Option<u16>)> {
    let end = match authority.starts_with('[') {
        true => authority.find(']')? + 1,
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
pub(super) fn is_host(host: &str) -> bool {
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

/// A host as rules compare it: in lower case, without the dot that ends a whole name, addresses in their one spelling.
pub(super) fn canonical(host: &str) -> String {
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

/// Whether it is this machine, by its name alone (RFC 6761 section 6.3).
fn is_loopback(host: &str) -> bool {
    let address = |text: &str| text.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback());
    host == "localhost" || host.ends_with(".localhost") || host == "[::1]" || address(host)
}
