//! For which host a request is (RFC 9112 section 3.2).

use std::net::SocketAddr;

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
            let authority = host.to_str().ok();
            let authority = authority.and_then(|host| host.parse::<Authority>().ok());
            if authority.is_none_or(|authority| authority.as_str().contains('@')) {
                return false;
            }
            false
        }
        // an empty one is that of an address without a host
        Some(_) => true,
        None if request.version() < Version::HTTP_11 => true,
        None => return false,
    };
    if !is_bare || request.uri().authority().is_some() {
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
