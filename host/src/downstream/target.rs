//! Where a request goes.

#[cfg(feature = "tower")]
use std::net::IpAddr;
use std::net::Ipv6Addr;

use edgepass_core::Error;
use edgepass_core::needs::is_loopback;
use http::Uri;
use http::header::{HOST, HeaderMap};
use http::uri::Authority;

use super::invalid;

/// Whom a request is for, by what it says itself.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    /// What stood before the host.
    has_user: bool,
    is_tls: bool,
}

impl Target {
    /// Of a request's address.
    pub(super) fn of(uri: &Uri) -> Result<Self, Error> {
        let incomplete = || {
            invalid(
                "the address of the request has no scheme or no host, so nobody can say whom a token would go to",
                "make requests with whole addresses (https://host/path)",
            )
        };
        let scheme = uri.scheme_str().ok_or_else(incomplete)?;
        let authority = uri.authority().ok_or_else(incomplete)?;
        // a WebSocket begins as a request
        let is_tls = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss");
        Ok(Self {
            host: canonical(authority.host()),
            port: port(authority).unwrap_or(default_port(is_tls)),
            has_user: authority.as_str().contains('@'),
            is_tls,
        })
    }

    /// The port of its scheme.
    pub(super) fn default_port(&self) -> u16 {
        default_port(self.is_tls)
    }

    /// Refuses what a token must not go to although a rule names it.
    pub(super) fn check(&self, headers: &HeaderMap, http_on_loopback: bool) -> Result<(), Error> {
        let host = &self.host;
        if self.has_user {
            return Err(invalid(
                format!("the address of a request to {host} has a user name in it"),
                "take it out: the token says who is asking",
            ));
        }
        let may_be_plain = http_on_loopback && is_loopback(host);
        if !(self.is_tls || may_be_plain) {
            let hint = if is_loopback(host) {
                "use https, or permit this by Rule::http_on_loopback"
            } else {
                "use https"
            };
            return Err(invalid(
                format!(
                    "a request to {host} goes without TLS, which would show its token to whoever is on the way"
                ),
                hint,
            ));
        }
        // a server of several hosts goes by this header
        for named in headers.get_all(HOST) {
            let named = named.to_str().ok();
            let named = named.and_then(|named| named.parse::<Authority>().ok());
            let is_same = named.is_some_and(|named| {
                let port = port(&named).unwrap_or(self.default_port());
                !named.as_str().contains('@')
                    && canonical(named.host()) == *host
                    && port == self.port
            });
            if !is_same {
                return Err(invalid(
                    format!("a request to {host} has the `host` header of another host"),
                    "leave that header out, which clients add by themselves",
                ));
            }
        }
        Ok(())
    }
}

/// A host as rules compare it: in lower case, without the dot that ends a whole name, addresses in their one spelling.
pub(super) fn canonical(host: &str) -> String {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(address) = bare.and_then(|bare| bare.parse::<Ipv6Addr>().ok()) {
        return format!("[{address}]");
    }
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// An address as a host.
#[cfg(feature = "tower")]
pub(super) fn of_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `http::Uri` takes what is no number of a port for none.
fn port(authority: &Authority) -> Option<u16> {
    authority.port_u16()
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}
