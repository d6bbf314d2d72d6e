//! Which hosts an application may ask without a token.

use crate::connect::bare;
use crate::repeat::quoted;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use edgepass_core::ConfigError;
use edgepass_core::authority::{port_number, split_port};
use edgepass_core::matching::host_fits;
use edgepass_core::needs::is_localhost;
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
    /// Of texts: a host, `*.` and a domain, each with a port or for the scheme's own, or `*` for every host. An IPv6 address
    /// stands in brackets where it has a port (`[2001:db8::1]:8443`), and may without one.
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
            // without brackets it has no port
            let bracketed = host.parse::<Ipv6Addr>().map(|_| format!("[{host}]"));
            if let Ok(host) = bracketed {
                reach.hosts.push((check_host(setting, &host)?, None));
                continue;
            }
            let (name, port) = match split_port(host) {
                (name, Some(port)) if !host.contains('/') => {
                    let port = port_number(port).ok_or_else(|| {
                        refusal(
                            setting,
                            format!("{} has no number of a port after `:`", quoted(host)),
                            "write host:8443, of an IPv6 address [2001:db8::1]:8443",
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
        target::of(uri).is_ok() && (self.everything || self.lists(uri))
    }

    /// Whether the list has a host that is the request's, not counting `*`.
    pub(super) fn lists(&self, uri: &Uri) -> bool {
        let Ok(target) = target::of(uri) else {
            return false;
        };
        self.hosts.iter().any(|(host, port)| {
            host_fits(host, &target.host) && port.unwrap_or(target.default_port()) == target.port
        })
    }

    /// Whether the list has that address itself.
    pub(super) fn names(&self, address: IpAddr) -> bool {
        let address = of_address(address);
        self.hosts.iter().any(|(host, _)| *host == address)
    }
}

/// Who gives the provider credentials on this machine or its link, and would give them to an application that asks.
pub(super) struct Giver {
    address: IpAddr,
    port: u16,
}

impl Giver {
    /// Of a host and port, as the provider's permissions have them.
    pub(super) fn of(authority: &str) -> Option<Self> {
        let (host, port) = split_port(authority);
        let port = match port {
            Some(port) => port_number(port)?,
            None => 80,
        };
        let address = match is_localhost(host) {
            true => IpAddr::from(Ipv4Addr::LOCALHOST),
            false => bare(host).parse().ok()?,
        };
        Some(Self { address, port })
    }

    /// Whether a connection to that address comes to it. All of this machine's own addresses are one: which of them a service
    /// listens at is not known here.
    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        let is_here = |address: IpAddr| address.is_loopback() || address.is_unspecified();
        let (this, that) = (self.address.to_canonical(), address.ip().to_canonical());
        self.port == address.port() && (this == that || (is_here(this) && is_here(that)))
    }

    /// What a rule or a list may have that means it.
    pub(super) fn spellings(&self) -> impl Iterator<Item = Uri> {
        let port = self.port;
        let others = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let others = others.into_iter().filter(|_| self.address.is_loopback());
        let all = others.chain([of_address(self.address)]);
        all.filter_map(move |host| format!("http://{host}:{port}/").parse().ok())
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
                || carried(address).into_iter().any(of_v4)
        }
    }
}

/// The IPv4 addresses to which a network or this machine may translate it, or carry what is sent to it: by whichever rule one
/// of them is reached, it is reached.
fn carried(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let bits = u128::from(address);
    let mut all = Vec::new();
    let mut is_at =
        |bits: u128| all.extend(u32::try_from(bits & u128::from(u32::MAX)).map(Ipv4Addr::from));
    match address.segments() {
        // 6to4 (RFC 3056 section 2)
        [0x2002, ..] => is_at(bits >> 80),
        // Teredo (RFC 4380 section 4): its server, and the client with all bits turned
        [0x2001, 0, ..] => {
            is_at(bits >> 64);
            is_at(!bits);
        }
        // ISATAP (RFC 5214 section 6.1), and what is translated without state (RFC 2765 section 2.1)
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => is_at(bits),
        _ => {}
    }
    // a network's own prefix may be any, of each of these lengths; bits 64 to 71 are zero, and what follows the address is
    // (RFC 6052 section 2.2). Of the local prefixes (RFC 8215) it need not be. The longest has the old form within it that is
    // compatible with IPv4 (RFC 4291 section 2.5.5.1)
    let is_local = matches!(address.segments(), [0x64, 0xff9b, 1, ..]);
    let low = u128::from(u64::MAX >> 8);
    let without_zeros = ((bits >> 8) & !low) | (bits & low);
    for prefix in [32, 40, 48, 56, 64] {
        // 120 bits without those that are zero
        let after = 120 - prefix - 32;
        let rest = without_zeros & ((1 << after) - 1);
        if (bits >> 56) & 0xff == 0 && (is_local || rest == 0) {
            is_at(without_zeros >> after);
        }
    }
    if is_local || (bits >> 32) & 0xffff_ffff == 0 {
        is_at(bits);
    }
    all
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
            [
                "API.example",
                "*.cdn.example:8443",
                "[::1]",
                "2001:DB8::1",
                "[2001:db8::2]:8443",
            ],
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
            ("https://[2001:db8:0::1]/", true),
            ("https://[2001:db8::1]:8443/", false),
            ("https://[2001:db8::2]:8443/", true),
            ("https://[2001:db8::2]/", false),
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
            "[::1",
            "::1]",
            "[::1]:",
            "fe80::1%eth0",
            "[::1]8443",
            "a/b",
            "a:70000",
        ] {
            let error = Reach::parse("allow_hosts", [wrong]).unwrap_err();
            assert!(error.hint.is_some(), "{wrong}: {error}");
            let shows_form = error.to_string().contains("[2001:db8::1]");
            assert!(shows_form || !wrong.contains("::"), "{wrong}: {error}");
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
            ("64:ff9b::100.100.100.200", true),
            ("64:ff9b::808:808", false),
            // the local prefixes, with the address at each of its places
            ("64:ff9b:1::a9fe:a9fe", true),
            ("64:ff9b:1:2:3:4:a9fe:a9fe", true),
            ("64:ff9b:1:a9fe:a9:fe00::", true),
            ("64:ff9b:1:a9fe:a9:fe00::1", true),
            ("64:ff9b:1:a9:fe:a9fe::", true),
            ("64:ff9b:1:2:a9:fea9:fe00::", true),
            ("64:ff9b:1::808:808", false),
            ("64:ff9b:1:808:8:800::", false),
            // a network's own prefix (RFC 6052 section 2.4 has the forms)
            ("2001:db8:a9fe:a9fe::", true),
            ("2001:db8:1a9:fea9:fe::", true),
            ("2001:db8:122:a9fe:a9:fe00::", true),
            ("2001:db8:122:3a9:fe:a9fe::", true),
            ("2001:db8:122:344:a9:fea9:fe00::", true),
            ("2001:db8:122:344::a9fe:a9fe", true),
            ("2001:db8:122:344::808:808", false),
            ("2001:db8:122:344:8:808:800::", false),
            // the old forms: compatible with IPv4, translated, 6to4, Teredo, ISATAP
            ("::169.254.169.254", true),
            ("::8.8.8.8", false),
            ("::ffff:0:169.254.169.254", true),
            ("::ffff:0:8.8.8.8", false),
            ("2002:a9fe:a9fe::1", true),
            ("2002:a83f:8110:1:2:3:4:5", true),
            ("2002:808:808::1", false),
            ("2001:0:808:808:0:1:5601:5601", true),
            ("2001:0:a9fe:a9fe:0:1:f7f7:f7f7", true),
            ("2001:0:808:808:0:1:f7f7:f7f7", false),
            ("fd00:1::5efe:a9fe:a9fe", true),
            ("fd00:1::200:5efe:169.254.169.254", true),
            ("fd00:1::5efe:808:808", false),
            // a host that has its address by itself
            ("2001:db8::a1b2:c3d4:a9fe:a9fe", false),
            ("2606:4700:4700::1111", false),
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
