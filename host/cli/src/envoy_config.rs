//! `edgepass envoy-config`: prints the configuration of an Envoy that runs the filter with a configuration.

mod bootstrap;
mod capabilities;
mod document;
mod envoy;
mod plan;
mod volume;

use edgepass::process_environment;

use self::plan::Plan;
use super::arguments::EnvoyConfigArguments;
use super::failure::{Failure, Warnings};
use super::{config, output};

/// The cluster of the server that requests go to.
const UPSTREAM_CLUSTER: &str = "upstream";

/// The cluster of the listener that serves files to the filter, unless the configuration names one.
const FILES_CLUSTER: &str = "token_files";

/// The longest name that a socket can have, bytes (`sun_path` of Linux with its end).
const SOCKET_NAME_BYTES: usize = 107;

/// Where requests go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Upstream {
    host: String,
    port: u16,
    tls: bool,
}

/// Prints it.
pub(crate) fn run(
    arguments: &EnvoyConfigArguments,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let json = config::required(&arguments.config)?.text;
    let plan = Plan::of(&json, &process_environment())?;
    warnings.add(&plan.warnings);
    let text = match &arguments.certificate {
        None => {
            check(&plan, arguments)?;
            bootstrap::write(&plan, arguments)?
        }
        Some(name) => bootstrap::certificate(&plan, name, arguments)?,
    };
    output::write(text.as_bytes())
}

/// What Envoy would refuse without saying why.
fn check(plan: &Plan, arguments: &EnvoyConfigArguments) -> Result<(), Failure> {
    let Some(files) = &plan.files else {
        return Ok(());
    };
    let socket = bootstrap::socket(files, arguments);
    if socket.len() > SOCKET_NAME_BYTES {
        return Err(Failure::setting(
            "--socket-dir",
            format!("makes the name of the socket longer than {SOCKET_NAME_BYTES} bytes"),
            "choose a folder with a shorter path",
        ));
    }
    let moved = |file: &&plan::ServedFile| {
        let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
        name(&file.path) != name(&file.request_path)
    };
    if arguments.file_server && files.served.iter().any(|file| moved(&file)) {
        return Err(Failure::setting(
            "envoy.files",
            "its prefixes change the name of a file, and with --file-server only its folder can change",
            "end strip_prefix and add_prefix at a folder, or leave them out",
        ));
    }
    Ok(())
}

impl Upstream {
    /// Takes `HOST:PORT`, `http://HOST[:PORT]` or `https://HOST[:PORT]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write HOST:PORT, or https://HOST";
        let (authority, port, tls) = match text.split_once("://") {
            None => (text, None, false),
            Some(("http", rest)) => (rest, Some(80), false),
            Some(("https", rest)) => (rest, Some(443), true),
            Some(_) => return Err(format!("it is neither http nor https; {FORM}")),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            // the colons of a bare IPv6 address have brackets around them
            Some((host, digits)) if !digits.contains(']') => {
                // what Rust reads as a number may have a sign
                let is_number = digits.bytes().all(|b| b.is_ascii_digit());
                let port = digits.parse::<u16>().ok();
                let port = port.filter(|port| is_number && *port > 0);
                (
                    host,
                    port.ok_or(format!("its port is not a number; {FORM}"))?,
                )
            }
            _ => (authority, port.ok_or(format!("it has no port; {FORM}"))?),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_:".contains(&b);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(format!("its host is not a name or address; {FORM}"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams() {
        let good = |text| {
            let upstream = Upstream::parse(text).unwrap();
            (upstream.host, upstream.port, upstream.tls)
        };
        assert_eq!(good("a.example:80"), ("a.example".into(), 80, false));
        assert_eq!(good("http://a.example"), ("a.example".into(), 80, false));
        assert_eq!(good("https://a.example/"), ("a.example".into(), 443, true));
        assert_eq!(good("https://a:8443"), ("a".into(), 8443, true));
        assert_eq!(good("[::1]:8080"), ("::1".into(), 8080, false));
        assert_eq!(good("https://[::1]"), ("::1".into(), 443, true));
        for bad in [
            "a.example",
            "",
            ":80",
            "a:0",
            "a:x",
            "a:65536",
            "a:+80",
            "https://a:+443",
            "ftp://a",
            "https://a/b",
            "a b:80",
            "a\":80",
            "user@a:80",
        ] {
            assert!(Upstream::parse(bad).is_err(), "{bad}");
        }
    }
}
