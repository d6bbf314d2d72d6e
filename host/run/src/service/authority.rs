//! For which host a request is (RFC 9112 section 3.2).

use std::net::{Ipv6Addr, SocketAddr};

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version};

/// Whether it says so as it has to. One of HTTP/1.0 need not: it is for whom it was sent to, which stands in its address then,
/// because an application may ask for it.
pub(super) fn settle<B>(request: &mut Request<B>, local: SocketAddr) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return false;
    }
    let is_bare = match host {
        Some(host) if !host.is_empty() => {
            if !host.to_str().is_ok_and(is_host_and_port) {
                return false;
            }
            false
        }
        // an empty one is that of an address without a host
        Some(_) => true,
        None if request.version() < Version::HTTP_11 => true,
        None => return false,
    };
    if let Some(authority) = request.uri().authority() {
        return is_host_and_port(authority.as_str());
    }
    if !is_bare {
        return true;
    }
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = local.to_string().parse().ok();
    match Uri::from_parts(parts) {
        Ok(uri) => {
            *request.uri_mut() = uri;
            true
        }
        Err(_) => false,
    }
}

/// `uri-host [ ":" port ]`, without a user name (RFC 9110 section 4.2.4).
fn is_host_and_port(text: &str) -> bool {
    let is_port = |rest: &str| {
        let port = rest.strip_prefix(':');
        let is_number = |port: &str| {
            port.is_empty()
                || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
        };
        rest.is_empty() || port.is_some_and(is_number)
    };
    if text.parse::<Authority>().is_err() || text.contains('@') {
        return false;
    }
    match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((address, rest))) => address.parse::<Ipv6Addr>().is_ok() && is_port(rest),
        Some(None) => false,
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            !host.is_empty() && !host.contains(['[', ']']) && is_port(port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_for_one_host() {
        let local = SocketAddr::from(([192, 0, 2, 1], 8080));
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, target, hosts, expected) in [
            (new, "/x", vec!["a.example:1"], Some("/x")),
            (old, "/x", vec!["a.example"], Some("/x")),
            (old, "/x?y", vec![], Some("http://192.0.2.1:8080/x?y")),
            (new, "/x", vec![""], Some("http://192.0.2.1:8080/x")),
            (
                old,
                "http://b.example/x",
                vec![],
                Some("http://b.example/x"),
            ),
            (
                new,
                "http://b.example/x",
                vec!["a.example"],
                Some("http://b.example/x"),
            ),
            (new, "*", vec!["a.example"], Some("*")),
            (new, "/x", vec![], None),
            (new, "/x", vec!["a.example", "a.example"], None),
            (old, "/x", vec!["a.example", "b.example"], None),
            (new, "/x", vec!["user@a.example"], None),
            (new, "/x", vec!["a b"], None),
            (new, "/x", vec!["a.example/y"], None),
            (new, "/x", vec!["\u{e4}.example"], None),
            (new, "/x", vec!["[::1]:80"], Some("/x")),
            (new, "/x", vec!["a.example:"], Some("/x")),
            (new, "/x", vec!["a:x"], None),
            (new, "/x", vec!["a:-1"], None),
            (new, "/x", vec!["a:65536"], None),
            (new, "/x", vec![":80"], None),
            (new, "/x", vec!["[::1]x"], None),
            (new, "/x", vec!["[::1]:x"], None),
            (new, "/x", vec!["[zz]"], None),
            (new, "/x", vec!["[]"], None),
            (new, "http://u:p@b.example/x", vec!["b.example"], None),
        ] {
            let mut request = Request::new(());
            *request.version_mut() = version;
            *request.uri_mut() = target.parse().unwrap();
            for host in &hosts {
                let host = http::HeaderValue::from_bytes(host.as_bytes()).unwrap();
                request.headers_mut().append(HOST, host);
            }
            let is_settled = settle(&mut request, local);
            let uri = is_settled.then(|| request.uri().to_string());
            assert_eq!(uri.as_deref(), expected, "{version:?} {target} {hosts:?}");
        }
    }
}
