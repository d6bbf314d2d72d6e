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
