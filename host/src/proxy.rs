//! Which proxy a connection goes through: what the setting `host.proxy` or the environment says. Only what goes out over https
//! to another machine does. What this machine and its link answer is never asked through a proxy: another machine's
//! metadata service would give another machine's tokens.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use edgepass_core::authority::{port_number, split_port};
use edgepass_core::needs::{Connection, Scheme, is_link_local, is_localhost};
use edgepass_core::{ConfigError, Environment, Secret};
use http::Uri;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// The variables that name a proxy. The first that is set counts.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Those that name what is reached without one.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The setting that goes before the variables.
const SETTING: &str = "host.proxy";

/// Its value for connections without one.
const NONE: &str = "none";

/// The port of https.
const HTTPS_PORT: u16 = 443;

/// The proxy, and what is reached without it.
#[derive(Default)]
pub(crate) struct Proxies {
    proxy: Option<Result<Arc<Proxy>, ConfigError>>,
    exceptions: Vec<Exception>,
}

/// A proxy that opens tunnels (CONNECT, RFC 9110 section 9.3.6).
pub(crate) struct Proxy {
    uri: Uri,
    /// Host and port.
    place: String,
    /// What names it.
    source: &'static str,
    /// The value of `proxy-authorization`.
    authorization: Option<Secret>,
}

impl Proxies {
    /// What the setting says, or else the environment.
    ///
    /// # Errors
    ///
    /// When the setting names no proxy that can be used. A variable that does not is an error for those connections alone
    /// that would go through it: whoever set it may have meant other programs.
    pub(crate) fn new(
        setting: Option<&str>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let proxy = match setting {
            Some(NONE) => None,
            Some(url) => Some(Ok(Arc::new(Proxy::of_setting(url)?))),
            None => first(environment, &VARIABLES)
                .map(|(name, url)| Proxy::parse(url, name).map(Arc::new)),
        };
        let exceptions = first(environment, &EXCEPTIONS).map_or("", |(_, list)| list);
        Ok(Self {
            proxy,
            exceptions: exceptions
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter_map(Exception::parse)
                .collect(),
        })
    }

    /// The one for that URL.
    pub(crate) fn of(&self, uri: &Uri) -> Result<Option<&Arc<Proxy>>, &ConfigError> {
        if uri.scheme_str() != Some("https") {
            return Ok(None);
        }
        self.to(
            uri.host().unwrap_or_default(),
            uri.port_u16().unwrap_or(HTTPS_PORT),
        )
    }

    /// Whether one is spoken to by TLS.
    pub(crate) fn has_tls(&self) -> bool {
        matches!(&self.proxy, Some(Ok(proxy)) if proxy.is_tls())
    }

    /// Which of these connections go through one, in words; `None` if there is no proxy.
    pub(crate) fn describe(
        &self,
        connections: &[Connection],
    ) -> Result<Option<String>, ConfigError> {
        let (mut through, mut past) = (None, BTreeSet::new());
        let tls = connections.iter().filter(|connection| {
            connection.permission.scheme == Scheme::Https && connection.server_thumbprint.is_none()
        });
        for connection in tls {
            let authority = &connection.permission.authority;
            let Ok(uri) = format!("https://{authority}/").parse() else {
                continue;
            };
            match self.of(&uri).map_err(Clone::clone)? {
                Some(proxy) => through = Some(proxy),
                None => {
                    past.insert(authority.as_str());
                }
            }
        }
        let past = Vec::from_iter(past).join(", ");
        Ok(match (through, &self.proxy) {
            (_, None | Some(Err(_))) => None,
            (Some(proxy), _) if past.is_empty() => Some(format!("through the proxy {proxy}")),
            (Some(proxy), _) => Some(format!("through the proxy {proxy}, to {past} directly")),
            (None, Some(Ok(proxy))) => Some(format!("directly, and not through the proxy {proxy}")),
        })
    }

    fn to(&self, host: &str, port: u16) -> Result<Option<&Arc<Proxy>>, &ConfigError> {
        let Some(proxy) = &self.proxy else {
            return Ok(None);
        };
        let host = Host::of(host);
        if host.is_local() || self.exceptions.iter().any(|e| e.covers(&host, port)) {
            return Ok(None);
        }
        proxy.as_ref().map(Some)
    }
}

impl Proxy {
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    pub(crate) fn source(&self) -> &'static str {
        self.source
    }

    pub(crate) fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// How credentials are given for it, in words.
    pub(crate) fn how_to_authenticate(&self) -> String {
        let scheme = if self.is_tls() { "https" } else { "http" };
        let example = format!("{scheme}://USER:PASSWORD@{}", self.place);
        if self.source == SETTING {
            format!("set HTTPS_PROXY to {example} and leave {SETTING} out")
        } else {
            format!("write them into {}: {example}", self.source)
        }
    }

    fn of_setting(url: &str) -> Result<Self, ConfigError> {
        let proxy = Self::parse(url, SETTING)?;
        if proxy.authorization.is_some() {
            return Err(ConfigError::new(
                SETTING,
                "has credentials in it, which are not for a configuration",
            )
            .hint("leave it out, and set HTTPS_PROXY to the URL with them"));
        }
        Ok(proxy)
    }

    /// A URL, or host and port alone. Nothing of it is repeated in an error: there may be a password in it.
    fn parse(url: &str, source: &'static str) -> Result<Self, ConfigError> {
        let wrong = |message: &str, hint: &str| Err(ConfigError::new(source, message).hint(hint));
        let form = if source == SETTING {
            "write http://HOST:PORT, or \"none\" for direct connections"
        } else {
            "write http://HOST:PORT, or with credentials http://USER:PASSWORD@HOST:PORT; for direct connections unset it, or set host.proxy to \"none\""
        };
        let url = url.trim();
        let quotes = [
            '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}',
        ];
        if url.starts_with(quotes) || url.ends_with(quotes) {
            return wrong(
                "is in quotes",
                "write it without: outside of a shell, in an env file for example, they are part of the value",
            );
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = scheme.to_ascii_lowercase();
        let own_port = match scheme.as_str() {
            "http" => 80,
            "https" => HTTPS_PORT,
            "socks" | "socks4" | "socks4a" | "socks5" | "socks5h" => {
                return wrong("is a SOCKS proxy, and SOCKS is not supported", form);
            }
            _ => return wrong("is not the URL of an HTTP proxy", form),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if path.contains('@') {
            return wrong(
                "is no URL: its user name or password has a character that ends it",
                "percent-encode it there: / is %2F, ? is %3F, # is %23, @ is %40",
            );
        }
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let Some((host, port)) = host_and_port(place) else {
            return wrong("is not the URL of an HTTP proxy", form);
        };
        let place = format!("{host}:{}", port.unwrap_or(own_port));
        let built = Uri::builder()
            .scheme(scheme.as_str())
            .authority(place.as_str())
            .path_and_query("/")
            .build();
        let uri = match built {
            // what `http` would allow besides is in no name
            Ok(uri) if !host.contains(['@', ';', ',', '%']) => uri,
            _ => return wrong("is not the URL of an HTTP proxy", form),
        };
        Ok(Self {
            uri,
            place,
            source,
            authorization: user.filter(|user| !user.is_empty()).map(basic),
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.place, self.source)
    }
}

/// `Basic …` (RFC 7617) of what stands before the `@`.
fn basic(user: &str) -> Secret {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain = Zeroizing::new(Vec::with_capacity(user.len().saturating_add(1)));
    plain.extend(percent_decode_str(name));
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut value = Zeroizing::new("Basic ".to_owned());
    base64::engine::general_purpose::STANDARD.encode_string(&*plain, &mut value);
    Secret::new(value.as_str())
}

fn first<'e>(
    environment: &'e Environment,
    names: &[&'static str],
) -> Option<(&'static str, &'e str)> {
    let mut names = names.iter();
    names.find_map(|name| Some((*name, environment.get(name)?)))
}

/// `host`, `host:port`, `[address]`, `[address]:port`; the brackets stay with the host.
fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = split_port(place);
    let is_bare_address = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    if host.is_empty() || is_bare_address {
        return None;
    }
    match port {
        None => Some((host, None)),
        Some(port) => Some((host, Some(port_number(port)?))),
    }
}

/// A host as names and addresses are compared.
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    fn of(text: &str) -> Self {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()),
        }
    }

    /// Whether it is this machine or on its link.
    fn is_local(&self) -> bool {
        match self {
            Self::Address(IpAddr::V4(address)) => is_link_local(&address.to_string()),
            Self::Address(IpAddr::V6(address)) => is_link_local(&format!("[{address}]")),
            Self::Name(name) => is_localhost(name),
        }
    }
}

/// One of what `NO_PROXY` lists. curl and Go have no standard in common; this is what either understands, and of a
/// leading dot curl's meaning: the name itself is covered as well.
enum Exception {
    /// `*`
    All,
    /// `10.0.0.0/8`
    Network(IpAddr, u32),
    /// `10.0.0.1`, `[::1]:8443`
    Address(IpAddr, Option<u16>),
    /// `example.com`, `.example.com`, `example.com:8443`; `*.example.com` is what is below it alone.
    Domain {
        name: String,
        is_below: bool,
        port: Option<u16>,
    },
}

impl Exception {
    /// What is none of the forms excepts nothing.
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits: u32 = bits.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return (bits <= most).then_some(Self::Network(address, bits));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical(), None));
        }
        let (host, port) = host_and_port(text)?;
        let (host, is_below) = match host.strip_prefix("*.") {
            Some(below) => (below, true),
            None => (host.strip_prefix('.').unwrap_or(host), false),
        };
        match Host::of(host) {
            Host::Address(address) => Some(Self::Address(address, port)),
            Host::Name(name) if name.is_empty() => None,
            Host::Name(name) => Some(Self::Domain {
                name,
                is_below,
                port,
            }),
        }
    }

    fn covers(&self, host: &Host, port: u16) -> bool {
        let is_port = |own: &Option<u16>| own.is_none_or(|own| own == port);
        match (self, host) {
            (Self::All, _) => true,
            (Self::Network(network, bits), Host::Address(address)) => {
                is_in(*network, *bits, *address)
            }
            (Self::Address(own, port), Host::Address(address)) => own == address && is_port(port),
            (
                Self::Domain {
                    name,
                    is_below,
                    port,
                },
                Host::Name(host),
            ) => {
                let rest = host.strip_suffix(name.as_str());
                let is_covered =
                    rest.is_some_and(|rest| rest.ends_with('.') || rest.is_empty() && !is_below);
                is_covered && is_port(port)
            }
            _ => false,
        }
    }
}

fn is_in(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let environment = Environment::from_pairs(variables.iter().copied());
        Proxies::new(None, &environment).unwrap()
    }

    fn through(proxies: &Proxies, url: &str) -> bool {
        proxies.of(&url.parse().unwrap()).unwrap().is_some()
    }

    #[test]
    fn the_first_variable_that_is_set_counts_and_the_setting_goes_before_all() {
        let all = [
            ("HTTPS_PROXY", "http://a:1"),
            ("https_proxy", "http://b:2"),
            ("ALL_PROXY", "http://c:3"),
            ("all_proxy", "http://d:4"),
        ];
        let uri: Uri = "https://login.example/t".parse().unwrap();
        for skip in 0..=all.len() {
            // blank is unset
            let variables = all.iter().enumerate().map(|(i, (name, value))| {
                let value = if i < skip { " " } else { value };
                (*name, value)
            });
            let environment = Environment::from_pairs(variables);
            let proxies = Proxies::new(None, &environment).unwrap();
            let found = proxies.of(&uri).unwrap().map(ToString::to_string);
            let expected = all.get(skip).map(|(name, url)| {
                let place = url.trim_start_matches("http://");
                format!("{place} ({name})")
            });
            assert_eq!(found, expected);
            let own = Proxies::new(Some("https://own.example"), &environment).unwrap();
            let own = own.of(&uri).unwrap().unwrap();
            assert_eq!(own.to_string(), "own.example:443 (host.proxy)");
            let none = Proxies::new(Some("none"), &environment).unwrap();
            assert!(none.of(&uri).unwrap().is_none());
        }
        // that of plain http is for plain http, of which none is sent through a proxy
        assert!(!through(
            &proxies(&[("HTTP_PROXY", "http://a:1"), ("http_proxy", "http://a:1")]),
            "https://login.example/t"
        ));
    }

    #[test]
    fn urls_of_proxies() {
        /// URL, place, whether TLS, user and password.
        type Row<'a> = (&'a str, &'a str, bool, Option<&'a [u8]>);
        let rows: [Row<'_>; 15] = [
            (
                "http://proxy.example:3128",
                "proxy.example:3128",
                false,
                None,
            ),
            (
                "http://proxy.example:3128/",
                "proxy.example:3128",
                false,
                None,
            ),
            ("proxy.example:3128", "proxy.example:3128", false, None),
            (" proxy.example ", "proxy.example:80", false, None),
            ("HTTP://Proxy.Example", "Proxy.Example:80", false, None),
            ("https://proxy.example", "proxy.example:443", true, None),
            (
                "http://[2001:db8::1]:3128",
                "[2001:db8::1]:3128",
                false,
                None,
            ),
            ("http://[2001:db8::1]", "[2001:db8::1]:80", false, None),
            ("http://@p:1", "p:1", false, None),
            ("http://u:p@p:1", "p:1", false, Some(b"u:p")),
            ("u:p@p:1", "p:1", false, Some(b"u:p")),
            ("http://u@p:1", "p:1", false, Some(b"u:")),
            (
                "http://u:a%40b%3A%2f%25@p:1",
                "p:1",
                false,
                Some(b"u:a@b:/%"),
            ),
            // as curl has it
            ("http://u:a@b:c@p:1", "p:1", false, Some(b"u:a@b:c")),
            (
                "http://caf%E9:%c3%a9@p:1",
                "p:1",
                false,
                Some(b"caf\xe9:\xc3\xa9"),
            ),
        ];
        for (url, place, is_tls, credentials) in rows {
            let proxy = Proxy::parse(url, "HTTPS_PROXY").unwrap();
            assert_eq!(
                (proxy.place.as_str(), proxy.is_tls()),
                (place, is_tls),
                "{url}"
            );
            let expected = credentials.map(|plain| {
                let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
                format!("Basic {encoded}")
            });
            let found = proxy.authorization().map(Secret::expose);
            assert_eq!(found, expected.as_deref(), "{url}");
        }
    }

    #[test]
    fn what_is_no_proxy_is_refused_by_the_variable_s_name_and_not_repeated() {
        for (url, says) in [
            (
                "socks5://u:hunter2@proxy.example:1080",
                "SOCKS is not supported",
            ),
            (
                "SOCKS5H://u:hunter2@proxy.example:1080",
                "SOCKS is not supported",
            ),
            ("ftp://u:hunter2@proxy.example", "is not the URL"),
            ("u:hunter2://proxy.example", "is not the URL"),
            ("http://", "is not the URL"),
            ("http://u:hunter2@", "is not the URL"),
            ("http://u:hunter2@proxy.example:port", "is not the URL"),
            ("http://u:hunter2@proxy.example:0", "is not the URL"),
            ("http://u:hunter2@proxy.example:99999", "is not the URL"),
            ("http://u:hunter2@proxy.example:+80", "is not the URL"),
            ("http://u:hunter2@proxy .example:80", "is not the URL"),
            ("http://u:hunter2@2001:db8::1:80", "is not the URL"),
            (
                "http://u:hunter2@proxy.example:80\r\nX: y",
                "is not the URL",
            ),
            ("http://u:hunter2@a;b:80", "is not the URL"),
            ("'http://u:hunter2@proxy.example:80'", "is in quotes"),
            ("\"http://u:hunter2@proxy.example:80\"", "is in quotes"),
            ("\"http://u:hunter2@proxy.example:80", "is in quotes"),
            (" 'proxy.example:80' ", "is in quotes"),
            (
                "\u{201c}http://u:hunter2@proxy.example:80\u{201d}",
                "is in quotes",
            ),
            ("http://u:hun/ter2@proxy.example:3128", "percent-encode"),
            ("http://u:hun#ter2@proxy.example:3128", "percent-encode"),
            ("http://u:hun?ter2@proxy.example:3128", "percent-encode"),
        ] {
            for source in ["HTTPS_PROXY", "all_proxy", SETTING] {
                let error = Proxy::parse(url, source).err().unwrap();
                let said = format!("{error:#} {error:?}");
                assert_eq!(error.setting, source);
                assert!(said.contains(says), "{url}: {said}");
                assert!(!said.contains("hun") && !said.contains("ter2"), "{said}");
            }
        }
        let error = Proxies::new(Some("http://u:hunter2@p:1"), &Environment::default());
        let said = format!("{:#}", error.err().unwrap());
        assert!(
            said.starts_with("host.proxy") && said.contains("HTTPS_PROXY"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_an_error_of_what_would_need_it() {
        let socks = proxies(&[("ALL_PROXY", "socks5://p:1"), ("NO_PROXY", "login.example")]);
        let of = |url: &str| socks.of(&url.parse::<Uri>().unwrap()).is_err();
        assert!(of("https://login.other/t"));
        assert!(!of("https://login.example/t"));
        assert!(!of("http://169.254.169.254/metadata"));
        assert!(!of("https://localhost:8443/t"));
    }

    /// `NO_PROXY` as curl and Go have it, and where they differ.
    #[test]
    fn what_is_reached_without_a_proxy() {
        for (list, host, is_excepted) in [
            ("", "login.example", false),
            ("*", "login.example", true),
            ("*", "203.0.113.1", true),
            ("login.example", "login.example", true),
            ("LOGIN.Example", "login.EXAMPLE", true),
            ("login.example.", "login.example", true),
            ("login.example", "login.example.", true),
            ("example", "login.example", true),
            (".example", "login.example", true),
            ("*.example", "login.example", true),
            ("*.example", "a.login.example", true),
            // curl: yes, Go: no
            (".login.example", "login.example", true),
            ("*.login.example", "login.example", false),
            ("in.example", "login.example", false),
            ("login.example.com", "login.example", false),
            ("other,login.example", "login.example", true),
            ("other, login.example ,", "login.example", true),
            // curl
            ("other login.example", "login.example", true),
            // Go
            ("login.example:443", "login.example", true),
            ("login.example:8443", "login.example", false),
            ("login.example:8443", "login.example:8443", true),
            (".example:8443", "login.example:8443", true),
            ("login.example", "login.example:8443", true),
            ("203.0.113.1", "203.0.113.1", true),
            ("203.0.113.1", "203.0.113.2", false),
            ("203.0.113.1:8443", "203.0.113.1:8443", true),
            ("203.0.113.1:8443", "203.0.113.1", false),
            ("203.0.113.0/24", "203.0.113.77", true),
            ("203.0.113.0/24", "203.0.114.77", false),
            ("203.0.113.99/24", "203.0.113.77", true),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "[2001:db8::1]", false),
            ("203.0.113.1/32", "203.0.113.1", true),
            ("203.0.113.0/33", "203.0.113.1", false),
            ("203.0.113.0/24", "login.example", false),
            ("2001:db8::1", "[2001:db8::1]", true),
            ("[2001:db8::1]", "[2001:DB8:0::1]", true),
            ("[2001:db8::1]:8443", "[2001:db8::1]", false),
            ("[2001:db8::1]:8443", "[2001:db8::1]:8443", true),
            ("2001:db8::/32", "[2001:db8:9::1]", true),
            ("2001:db8::/32", "[2001:db9::1]", false),
            ("203.0.113.1", "[::ffff:203.0.113.1]", true),
            ("https://login.example", "login.example", false),
            (":443", "login.example", false),
            (".", "login.example", false),
            ("login.example:", "login.example", false),
            ("login.example:x", "login.example", false),
        ] {
            for name in EXCEPTIONS {
                let proxies = proxies(&[("HTTPS_PROXY", "http://p:1"), (name, list)]);
                let found = !through(&proxies, &format!("https://{host}/t"));
                assert_eq!(found, is_excepted, "{name}={list:?}: {host}");
            }
        }
    }

    #[test]
    fn this_machine_and_its_link_are_reached_without_one() {
        let proxies = proxies(&[("ALL_PROXY", "http://p:1")]);
        for url in [
            "http://169.254.169.254/metadata/identity/oauth2/token",
            "http://localhost:81/msi/token",
            "http://127.0.0.1:84/token",
            "http://[fd00:ec2::254]/latest",
            "http://[::1]:80/",
            // never sent; but never to a proxy either
            "http://login.example/t",
            "https://localhost:8443/t",
            "https://login.LOCALHOST/t",
            "https://localhost./t",
            "https://127.0.0.1/t",
            "https://[::1]/t",
            "https://[::ffff:127.0.0.1]/t",
            "https://169.254.169.254/t",
            "https://[fe80::1]/t",
        ] {
            assert!(!through(&proxies, url), "{url}");
        }
        for url in [
            "https://login.example/t",
            "https://10.0.0.1:9443/t",
            "https://localhost.example/t",
            "https://[2001:db8::1]/t",
        ] {
            assert!(through(&proxies, url), "{url}");
        }
    }
}
