//! Which hosts an application may ask without a token.

use crate::repeat::quoted;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edgepass_core::ConfigError;
use edgepass_core::authority::{port_number, split_port};
use edgepass_core::matching::host_fits;
use http::Uri;

use super::rule::{check_host, refusal};
use super::target::{self, of_address};

/// Hosts that an application may ask beside those that rules name. By default there is none.
///
/// Addresses at which clouds give tokens to whoever asks from the machine (link-local ones above all) are reached by no name
/// and no `*`: only where a host of the list or of a rule is such an address itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    everything: bool,
    hosts: Vec<(String, Option<u16>)>,
}

impl Reach {
    /// Of texts: a host, `*.` and a domain, each with a port or for the scheme's own, or `*` for every host.
    ///
    /// # Errors
    ///
    /// When one is none of them. It is named by its place in `setting`.
    pub fn parse<S: AsRef<str>>(
        setting: &str,
        hosts: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        let mut reach = Self::default();
        for host in hosts {
            let host = host.as_ref();
            if host == "*" {
                reach.everything = true;
                continue;
            }
            let (name, port) = match split_port(host) {
                (name, Some(port)) if !host.contains('/') => {
                    let port = port_number(port).ok_or_else(|| {
                        refusal(
                            setting,
                            format!("{} has no number of a port after `:`", quoted(host)),
                            "write host:8443, an IPv6 address in brackets",
                        )
                    })?;
                    (name, Some(port))
                }
                _ => (host, None),
            };
            reach.hosts.push((check_host(setting, name)?, port));
        }
        Ok(reach)
    }

    /// Whether a request to that address may leave.
    pub(super) fn permits(&self, uri: &Uri) -> bool {
        let Ok(target) = target::of(uri) else {
            return false;
        };
        let mut hosts = self.hosts.iter();
        self.everything
            || hosts.any(|(host, port)| {
                host_fits(host, &target.host)
                    && port.unwrap_or(target.default_port()) == target.port
            })
    }

    /// Whether the list has that address itself.
    pub(super) fn names(&self, address: IpAddr) -> bool {
        let address = of_address(address);
        self.hosts.iter().any(|(host, _)| *host == address)
    }
}

/// Whether a cloud may give credentials at that address to whoever asks from this machine.
pub(super) fn gives_credentials(address: IpAddr) -> bool {
    let of_v4 = |address: Ipv4Addr| address.is_link_local() || PLATFORMS_V4.contains(&address);
    match address.to_canonical() {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || PLATFORMS_V6.contains(&address)
                || translated(address).is_some_and(of_v4)
        }
    }
}

/// The IPv4 address to which a network may translate it (RFC 6052 section 2.1, RFC 3056 section 2).
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// Azure's wire server, Alibaba's and Oracle's metadata services.
const PLATFORMS_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// AWS: metadata, and credentials of pods. The metadata services of Google, Oracle, Scaleway, Alibaba and Akamai.
const PLATFORMS_V6: [Ipv6Addr; 7] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 0x1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_reached_as_they_are_written() {
        let reach = Reach::parse(
            "allow_hosts",
            ["API.example", "*.cdn.example:8443", "[::1]"],
        );
        let reach = reach.unwrap();
        for (uri, may) in [
            ("https://api.example/x", true),
            ("http://api.example./", true),
            ("https://api.example:8443/", false),
            ("https://a.cdn.example:8443/", true),
            ("https://a.cdn.example/", false),
            ("https://cdn.example:8443/", false),
            ("https://[0:0::1]/", true),
            ("https://[::1]:1/", false),
            ("https://api.example.evil.test/", false),
            ("https://api.example@evil.test/", false),
            ("/x", false),
        ] {
            assert_eq!(reach.permits(&uri.parse().unwrap()), may, "{uri}");
        }
        let every = Reach::parse("allow_hosts", ["*"]).unwrap();
        assert!(every.permits(&"http://whatever.example:1/".parse().unwrap()));
        for wrong in [
            "",
            "a:",
            "a:x",
            "a:0",
            "https://a",
            "*a",
            "::1",
            "a/b",
            "a:70000",
        ] {
            let error = Reach::parse("allow_hosts", [wrong]).unwrap_err();
            assert!(error.hint.is_some(), "{wrong}: {error}");
        }
    }

    #[test]
    fn where_credentials_are_given_is_known_in_every_spelling() {
        for (address, gives) in [
            ("169.254.169.254", true),
            ("169.254.170.2", true),
            ("::ffff:169.254.169.254", true),
            ("fe80::1", true),
            ("168.63.129.16", true),
            ("fd00:ec2::254", true),
            ("100.100.100.200", true),
            ("fd00:c1::a9fe:a9fe", true),
            ("64:ff9b::a9fe:a9fe", true),
            ("2002:a9fe:a9fe::1", true),
            ("64:ff9b::808:808", false),
            ("127.0.0.1", false),
            ("10.0.0.1", false),
            ("::1", false),
            ("8.8.8.8", false),
        ] {
            assert_eq!(
                gives_credentials(address.parse().unwrap()),
                gives,
                "{address}"
            );
        }
    }
}
