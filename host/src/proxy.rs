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
mod tests;
