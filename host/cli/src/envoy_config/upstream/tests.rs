use super::*;

#[test]
fn a_host_is_a_name_or_an_address() {
    for good in [
        "api.example",
        "api",
        "a-b.c",
        "3scale.net",
        "_srv.example",
        "10.0.0.1",
        "xn--bcher-kva.example",
    ] {
        assert!(is_host(good), "{good}");
    }
    for bad in [
        "",
        "-",
        "...",
        "a..b",
        "a.",
        "-a",
        "a-",
        "256.1.1.1",
        "1.2.3",
        "12.5",
        "a:b",
        "a b",
        "bücher",
    ] {
        assert!(!is_host(bad), "{bad}");
    }
    for bad in [
        "http://::1",
        "http://a::80",
        "https://h:443:443",
        "http://[h]:80",
        "http://[::1",
        "http://-",
    ] {
        assert!(Server::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Server::parse("http://[::1]:80").unwrap().host, "::1");
}

#[test]
fn upstreams_of_the_command_line() {
    let good = |text: &str| {
        let Upstream { place, server } = text.parse().unwrap();
        let Server {
            host,
            port,
            tls,
            path,
        } = server;
        let place = format!("{}{}", place.host.unwrap_or_default(), place.prefix);
        (place, host, port, tls, path)
    };
    let of = |place: &str, host: &str, port, tls, path: Option<&str>| {
        (
            place.to_owned(),
            host.to_owned(),
            port,
            tls,
            path.map(str::to_owned),
        )
    };
    for (text, expected) in [
        ("a.example:80", of("/", "a.example", 80, false, None)),
        ("http://a.example", of("/", "a.example", 80, false, None)),
        (
            "https://a.example/",
            of("/", "a.example", 443, true, Some("/")),
        ),
        ("https://a:8443", of("/", "a", 8443, true, None)),
        ("[::1]:8080", of("/", "::1", 8080, false, None)),
        ("https://[::1]", of("/", "::1", 443, true, None)),
        ("/g/=https://a", of("/g/", "a", 443, true, None)),
        ("/g/=https://a/", of("/g/", "a", 443, true, Some("/"))),
        ("/g=https://a/v1", of("/g", "a", 443, true, Some("/v1"))),
        ("B.example=a:80", of("b.example/", "a", 80, false, None)),
        ("*.b/x/=a:80", of("*.b/x/", "a", 80, false, None)),
    ] {
        assert_eq!(good(text), expected, "{text}");
    }
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
        "https://a/?q",
        "https://a//",
        "a b:80",
        "a\":80",
        "user@a:80",
        "a:80/",
        "=a:80",
        "/g/=",
        "/g=https://a/",
        "/g/=https://a/v1",
        "/a%20/=a:80",
        "b:80/=a:80",
        "*=a:80",
        "http://b/=a:80",
    ] {
        assert!(bad.parse::<Upstream>().is_err(), "{bad}");
    }
}

#[test]
fn places_hold_and_meet() {
    let place = |host: &str, prefix: &str| Place {
        host: (!host.is_empty()).then(|| host.to_owned()),
        prefix: prefix.to_owned(),
    };
    for (one, other, holds, meets) in [
        (("", "/"), ("a.b", "/x"), true, true),
        (("a.b", "/"), ("", "/x"), false, true),
        (("*.b", "/"), ("a.b", "/"), true, true),
        (("*.b", "/"), ("*.a.b", "/"), true, true),
        (("a.b", "/"), ("*.b", "/"), false, true),
        (("*.b", "/"), ("b", "/"), false, false),
        (("*.b", "/"), ("ab", "/"), false, false),
        (("", "/x/y"), ("", "/x/"), false, true),
        (("", "/x"), ("", "/y"), false, false),
    ] {
        let (one, other) = (place(one.0, one.1), place(other.0, other.1));
        assert_eq!(one.holds(&other), holds, "{one:?} {other:?}");
        assert_eq!(one.meets(&other), meets, "{one:?} {other:?}");
    }
}
