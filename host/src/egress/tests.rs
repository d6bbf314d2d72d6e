use std::time::Duration;

use edgepass_core::{Config, Environment};
use edgepass_emulator::{BrokenServer, ConnectProxy, Emulator, Manner, Stage};

use super::*;

fn egress() -> Egress {
    let json = r#"{"authority_hosts": ["login.example:8443", "login.other"], "identities": {
        "a": {"token_endpoint": "https://login.example:8443/t", "client_id": "c",
            "credential": {"client_secret": {"value": "s"}}},
        "b": {"token_endpoint": "https://LOGIN.other/t", "client_id": "c",
            "credential": {"client_secret": {"value": "s"}}}}}"#;
    let config = Config::load(Some(json), &Environment::default()).unwrap();
    Egress::new(config.needs().connections, Roots::of_the_system())
}

fn request(method: &str, uri: &str) -> Request<()> {
    Request::builder().method(method).uri(uri).body(()).unwrap()
}

#[test]
fn configured_endpoints_are_permitted_however_they_are_written() {
    for uri in [
        "https://login.example:8443/t",
        "https://LOGIN.example:8443/t",
        "https://login.other:443/t",
    ] {
        assert!(
            egress().permit(&request("POST", uri), None).is_ok(),
            "{uri}"
        );
    }
}

#[test]
fn http_goes_to_the_metadata_service_alone() {
    let json = r#"{"identities": {"a": {"credential": {"managed_identity": {}}}}}"#;
    let config = Config::load(Some(json), &Environment::default()).unwrap();
    let egress = Egress::new(config.needs().connections, Roots::of_the_system());
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=r";
    for (method, url, leaves) in [
        ("GET", format!("http://169.254.169.254{path}"), true),
        ("GET", format!("http://169.254.169.254:80{path}"), true),
        ("POST", format!("http://169.254.169.254{path}"), false),
        ("GET", format!("https://169.254.169.254{path}"), false),
        ("GET", format!("http://169.254.169.254:8080{path}"), false),
        ("GET", format!("http://127.0.0.1{path}"), false),
        (
            "GET",
            "http://169.254.169.254/metadata/instance?x".to_owned(),
            false,
        ),
    ] {
        let result = egress.permit(&request(method, &url), None);
        assert_eq!(result.is_ok(), leaves, "{method} {url}");
    }
}

/// The egress of a machine's identity with these settings and variables.
fn egress_of(identity: &str, variables: &[(&str, &str)]) -> Egress {
    let json = format!(r#"{{"identities": {{"a": {{"credential": {identity}}}}}}}"#);
    let environment = Environment::from_pairs(variables.iter().copied());
    let config = Config::load(Some(&json), &environment).unwrap();
    Egress::new(config.needs().connections, Roots::of_the_system())
}

#[test]
fn a_platform_s_own_process_is_reached_and_nobody_else() {
    const THUMBPRINT: &str = "00112233445566778899aabbccddeeff00112233";
    let imds =
        "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=r";
    /// Source, variables, method, URL, thumbprint.
    type Row<'a> = (
        &'a str,
        &'a [(&'a str, &'a str)],
        &'a str,
        &'a str,
        Option<&'a str>,
    );
    let rows: [Row<'_>; 6] = [
        ("imds", &[], "GET", imds, None),
        (
            "app_service",
            &[
                ("IDENTITY_ENDPOINT", "http://localhost:81/msi/token"),
                ("IDENTITY_HEADER", "s"),
            ],
            "GET",
            "http://localhost:81/msi/token?api-version=2019-08-01&resource=r",
            None,
        ),
        (
            "azure_ml",
            &[
                ("MSI_ENDPOINT", "http://127.0.0.1:82/MSI/auth"),
                ("MSI_SECRET", "s"),
            ],
            "GET",
            "http://127.0.0.1:82/MSI/auth?api-version=2017-09-01&resource=r",
            None,
        ),
        (
            "cloud_shell",
            &[("MSI_ENDPOINT", "http://localhost:83/oauth2/token")],
            "POST",
            "http://localhost:83/oauth2/token",
            None,
        ),
        (
            "azure_arc",
            &[
                ("IDENTITY_ENDPOINT", "http://127.0.0.1:84/token"),
                ("IMDS_ENDPOINT", "x"),
            ],
            "GET",
            "http://127.0.0.1:84/token?api-version=2020-06-01&resource=r",
            None,
        ),
        (
            "service_fabric",
            &[
                ("IDENTITY_ENDPOINT", "https://10.0.0.4:85/token"),
                ("IDENTITY_HEADER", "s"),
                ("IDENTITY_SERVER_THUMBPRINT", THUMBPRINT),
            ],
            "GET",
            "https://10.0.0.4:85/token?api-version=2019-07-01-preview&resource=r",
            Some(THUMBPRINT),
        ),
    ];
    for (source, variables, method, url, thumbprint) in rows {
        for identity in [
            format!(r#"{{"managed_identity": {{"source": "{source}"}}}}"#),
            r#"{"managed_identity": {}}"#.to_owned(),
        ] {
            let egress = egress_of(&identity, variables);
            let request = request(method, url);
            let permitted = egress.permit(&request, None);
            assert_eq!(permitted.ok(), Some(thumbprint), "{source} {url}");
            // not on another connection, by another method, to another path, and not to another source
            assert!(egress.permit(&request, Some("c")).is_err(), "{source}");
            let other = if method == "GET" { "POST" } else { "GET" };
            assert!(egress.permit(&self::request(other, url), None).is_err());
            let (place, _) = url.split_once('?').unwrap_or((url, ""));
            let beside = self::request(method, &format!("{place}/x?api-version=1"));
            assert!(egress.permit(&beside, None).is_err(), "{source}");
            for (another, _, method, url, _) in rows.iter().filter(|row| row.0 != source) {
                let request = self::request(method, url);
                let leaves = egress.permit(&request, None).is_ok();
                assert!(!leaves, "{source} reaches {another}");
            }
        }
    }
}

#[test]
fn a_request_leaves_on_a_connection_with_its_own_certificate_alone() {
    let json = r#"{"authority_hosts": ["login.example"], "identities": {
        "bound": {"token_endpoint": "https://login.example/bound", "client_id": "c",
            "mtls_token_endpoint": "https://login.example/bound",
            "credential": {"bound_certificate": {"name": "one"}}},
        "other": {"token_endpoint": "https://login.example/other", "client_id": "c",
            "mtls_token_endpoint": "https://login.example/other",
            "credential": {"bound_certificate": {"name": "two"}}},
        "plain": {"token_endpoint": "https://login.example/plain", "client_id": "c",
            "credential": {"certificate": {"name": "three", "algorithm": "ES256"}}}}}"#;
    let config = Config::load(Some(json), &Environment::default()).unwrap();
    let egress = Egress::new(config.needs().connections, Roots::of_the_system());
    for (path, own) in [
        ("bound", Some("one")),
        ("other", Some("two")),
        ("plain", None),
    ] {
        for certificate in [None, Some("one"), Some("two"), Some("three"), Some("four")] {
            let request = request("POST", &format!("https://login.example/{path}"));
            let result = egress.permit(&request, certificate);
            assert_eq!(result.is_ok(), certificate == own, "{path} {certificate:?}");
        }
    }
}

#[test]
fn everything_else_is_denied() {
    for (method, uri) in [
        ("POST", "http://login.other/t"),
        ("GET", "https://login.other/t"),
        ("POST", "https://login.other/t/"),
        ("POST", "https://login.other/t?x"),
        ("POST", "https://login.other/u"),
        ("GET", "http://169.254.169.254/t"),
        ("POST", "https://login.example/t"),
        ("POST", "https://login.other.evil/t"),
        ("POST", "https://evil@login.other/t"),
        ("POST", "https://login.other:8443/t"),
        ("POST", "https://169.254.169.254/t"),
        ("PUT", "https://login.other/t"),
        ("CONNECT", "login.other:443"),
    ] {
        let egress = egress();
        let result = egress.permit(&request(method, uri), None);
        assert!(
            matches!(result, Err(Error::HttpRequestDenied)),
            "{method} {uri}"
        );
    }
}

#[test]
fn what_is_lost_after_the_handshake_is_no_missing_connection() {
    let lost = io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset));
    assert!(matches!(
        transport_error(&lost),
        Error::ConnectionTerminated
    ));
    let alert = io::Error::other(rustls::Error::AlertReceived(
        rustls::AlertDescription::CertificateRequired,
    ));
    assert!(matches!(
        transport_error(&alert),
        Error::TlsAlertReceived {
            alert_id: Some(116),
            ..
        }
    ));
}

/// An egress that knows one token endpoint, the authorities of its server and these variables.
fn egress_to(url: &str, ca: &str, variables: &[(&str, &str)]) -> Egress {
    let (authority, _) = url.trim_start_matches("https://").split_once('/').unwrap();
    let json = format!(
        r#"{{"authority_hosts": ["{authority}"], "identities": {{"a": {{"token_endpoint": "{url}",
            "client_id": "c", "credential": {{"client_secret": {{"value": "s"}}}}}}}}}}"#
    );
    let environment = Environment::from_pairs(variables.iter().copied());
    let config = Config::load(Some(&json), &environment).unwrap();
    let roots = Roots::pem(ca.as_bytes(), None, &mut Vec::new()).unwrap();
    Egress::new(config.needs().connections, roots)
        .through(Proxies::new(None, &environment).unwrap())
}

/// For who is silent for ever.
const IMPATIENT: Timeouts = Timeouts {
    tcp: Duration::from_millis(500),
    all: Duration::from_millis(500),
};

async fn post(egress: &Egress, url: &str) -> Result<u16, Error> {
    let body = Full::new(Bytes::from_static(b"grant_type=client_credentials"));
    let body = body.map_err(Error::from).boxed_unsync();
    let request = Request::builder().method("POST").uri(url).body(body);
    let options = RequestOptions {
        connect_timeout: None,
        first_byte_timeout: Some(Duration::from_secs(5)),
        between_bytes_timeout: None,
    };
    let response = egress.send_public(request.unwrap(), Some(options)).await?;
    Ok(response.status().as_u16())
}

/// Whether the component is told that there was no connection, so that nothing was sent (`is_of_the_connection` of the
/// engine).
fn is_no_connection(error: &Error) -> bool {
    match error {
        Error::ConnectionRefused
        | Error::ConnectionTimeout
        | Error::DestinationUnavailable
        | Error::DnsError { .. }
        | Error::TlsAlertReceived { .. } => true,
        Error::InternalError(Some(text)) => ["not-connected: ", "tls-handshake: ", "proxy"]
            .iter()
            .any(|word| text.starts_with(word)),
        _ => false,
    }
}

/// A firewall may end a connection anywhere. Up to the end of the handshake there was none; after it a request may
/// have been received.
#[tokio::test]
async fn a_connection_that_ends_before_the_request_was_none() {
    for stage in Stage::ALL {
        for is_proxied in [false, true] {
            let server = BrokenServer::start(stage, "login.example").unwrap();
            let proxy = ConnectProxy::start().unwrap();
            let port = server.address().port();
            let host = if is_proxied {
                "login.example"
            } else {
                "127.0.0.1"
            };
            let url = format!("https://{host}:{port}/token");
            proxy.route(&format!("{host}:{port}"), server.address());
            let proxy_url = proxy.url();
            let mut egress = egress_to(&url, server.ca_pem(), &[("HTTPS_PROXY", &proxy_url)]);
            if stage == Stage::SilenceAfterHello {
                egress.timeouts = IMPATIENT;
            }
            let error = post(&egress, &url).await.unwrap_err();
            let said = format!("{stage:?}, through a proxy: {is_proxied}: {error:?}");
            assert_eq!(is_no_connection(&error), !stage.has_request(), "{said}");
            assert_eq!(
                server.requests(),
                usize::from(stage.has_request()),
                "{said}"
            );
            assert_eq!(proxy.connections(), usize::from(is_proxied), "{said}");
            let expected = match stage {
                Stage::Refused if is_proxied => "did not reach login.example:",
                Stage::Refused => "ConnectionRefused",
                Stage::SilenceAfterHello => "nothing came of the TLS handshake",
                Stage::Alert => "TlsAlertReceived",
                Stage::NoTls => "does not speak TLS",
                Stage::SilenceAfterRequest => "ConnectionReadTimeout",
                Stage::CloseAfterRequest | Stage::ResetAfterRequest => "ConnectionTerminated",
                // whether the system has it for closed or for reset depends on what it had sent, and what a proxy makes
                // of a reset is its own affair
                _ if is_proxied => "the proxy 127.0.0.1",
                Stage::ResetAtOnce => "not-connected: ",
                _ => "in the TLS handshake",
            };
            assert!(said.contains(expected), "{said}");
        }
    }
}

#[tokio::test]
async fn each_way_in_which_a_proxy_fails_is_said_with_what_to_do() {
    let answer = |text: &str| Manner::Answer(format!("{text}\r\n\r\n"));
    /// What the proxy does; user and password; the reason; what of the hint; whether time may cure it.
    type Row<'a> = (Manner, &'a str, &'a str, &'a str, bool);
    let rows: [Row<'_>; 20] = [
        (
            Manner::Close,
            "",
            "closed the connection in place of an answer; check",
            "NO_PROXY",
            true,
        ),
        (Manner::Reset, "", "reset the connection", "NO_PROXY", true),
        (Manner::Silence, "", "opened no way in", "NO_PROXY", true),
        (
            answer("HTTP/1.1 407 x"),
            "",
            "asks for credentials (407)",
            "write them into HTTPS_PROXY: http://USER:PASSWORD@127.0.0.1:",
            false,
        ),
        (
            answer("HTTP/1.1 407 x\r\nproxy-authenticate: Negotiate, basic realm=x"),
            "",
            "asks for credentials (407)",
            "write them into HTTPS_PROXY",
            false,
        ),
        (
            answer("HTTP/1.1 407 x\r\nproxy-authenticate: NTLM\r\nproxy-authenticate: Negotiate"),
            "u:hunter2@",
            "in a way that is not supported (407)",
            "only Basic is",
            false,
        ),
        (
            answer("HTTP/1.1 407 x\r\nproxy-authenticate: Basic realm=x"),
            "u:hunter2@",
            "does not take its credentials (407)",
            "check user name and password in HTTPS_PROXY",
            false,
        ),
        (
            answer("HTTP/1.1 401 x"),
            "",
            "asks for credentials (401)",
            "write them into HTTPS_PROXY: http://USER:PASSWORD@127.0.0.1:",
            false,
        ),
        (
            answer("HTTP/1.1 401 x\r\nwww-authenticate: Basic realm=x"),
            "u:hunter2@",
            "does not take its credentials (401)",
            "check user name and password in HTTPS_PROXY",
            false,
        ),
        (
            answer("HTTP/1.1 401 x\r\nwww-authenticate: Negotiate"),
            "",
            "in a way that is not supported (401)",
            "only Basic is",
            false,
        ),
        (
            answer("HTTP/1.1 401 x\r\nwww-authenticate: NTLM\r\nproxy-authenticate: Basic realm=x"),
            "",
            "asks for credentials (401)",
            "write them into HTTPS_PROXY",
            false,
        ),
        (
            answer("HTTP/1.1 403 x"),
            "",
            "opens no way to login.example:443 (403)",
            "permit",
            false,
        ),
        (
            answer("HTTP/1.1 400 x"),
            "",
            "opens no way to login.example:443 (400)",
            "permit",
            false,
        ),
        (
            answer("HTTP/1.1 302 x\r\nlocation: http://portal.example/hunter2"),
            "",
            "opens no way to login.example:443 (302)",
            "permit",
            false,
        ),
        (
            answer("HTTP/1.1 502 x"),
            "",
            "did not reach login.example:443 (502)",
            "NO_PROXY",
            true,
        ),
        (
            answer("HTTP/1.0 503 x"),
            "",
            "did not reach login.example:443 (503)",
            "NO_PROXY",
            true,
        ),
        (
            answer("SSH-2.0-OpenSSH_9.2"),
            "",
            "is no HTTP proxy",
            "HTTPS_PROXY",
            false,
        ),
        (
            answer("\u{15}\u{3}\u{3}"),
            "",
            "is no HTTP proxy",
            "HTTPS_PROXY",
            false,
        ),
        (
            answer(&format!("HTTP/1.1 200 {}", "x".repeat(70_000))),
            "",
            "is no HTTP proxy",
            "HTTPS_PROXY",
            false,
        ),
        // who answers before he is asked is no server that speaks TLS
        (
            answer("HTTP/1.1 200 OK\r\n\r\n220 mail.example ESMTP"),
            "",
            "is no HTTP proxy",
            "HTTPS_PROXY",
            false,
        ),
    ];
    let emulator = Emulator::builder().host_name("login.example").start();
    let ca = emulator.await.unwrap().ca_pem();
    let url = "https://login.example/token";
    for (manner, credentials, reason, hint, passes) in rows {
        let proxy = ConnectProxy::start().unwrap();
        proxy.behave(manner.clone());
        let named = format!("http://{credentials}{}", proxy.place());
        let mut egress = egress_to(url, &ca, &[("HTTPS_PROXY", &named)]);
        if manner == Manner::Silence {
            egress.timeouts = IMPATIENT;
        }
        let error = post(&egress, url).await.unwrap_err();
        let Error::InternalError(Some(text)) = &error else {
            panic!("{manner:?}: {error:?}");
        };
        let word = if passes { "proxy: " } else { "proxy-refused: " };
        assert!(text.starts_with(word), "{manner:?}: {text}");
        let named = format!("{} (HTTPS_PROXY)", proxy.place());
        assert!(
            text.contains(&named) && text.contains(reason),
            "{manner:?}: {text}"
        );
        let (_, said) = text.split_once("; ").unwrap();
        assert!(said.contains(hint), "{manner:?}: {text}");
        assert!(
            said.contains("_PROXY"),
            "the hint names the variable: {text}"
        );
        assert!(!format!("{error:?}").contains("hunter2"), "{text}");
    }
    // nobody is there
    let gone = ConnectProxy::start().unwrap().place();
    for (proxy, says) in [
        (gone.as_str(), "refused the connection"),
        ("https://127.0.0.1:1", "refused the connection"),
        ("http://no-such-name.invalid:3128", "has no address: "),
    ] {
        let egress = egress_to(url, &ca, &[("https_proxy", proxy)]);
        let error = format!("{:?}", post(&egress, url).await.unwrap_err());
        assert!(
            error.contains(says) && error.contains("in https_proxy"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_request_goes_through_a_proxy_and_back() {
    let emulator = Emulator::builder().host_name("login.example").start();
    let emulator = emulator.await.unwrap();
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], emulator.port()));
    let url = "https://login.example/token";
    for (credentials, expected) in [
        ("", None),
        ("u:p@", Some("u:p")),
        ("u:p%40%c3%a9%3a@", Some("u:p@é:")),
    ] {
        let proxy = ConnectProxy::start().unwrap();
        proxy.route("login.example:443", to);
        proxy.require(expected);
        let named = format!("http://{credentials}{}", proxy.place());
        let egress = egress_to(url, &emulator.ca_pem(), &[("ALL_PROXY", &named)]);
        for _ in 0..2 {
            // no path of the emulator's
            assert_eq!(post(&egress, url).await.unwrap(), 404);
        }
        let seen = proxy.requests();
        assert_eq!(seen.len(), 1, "a tunnel is used again");
        let found = seen[0].credentials.as_deref().map(String::from_utf8_lossy);
        assert_eq!(found.as_deref(), expected);
    }
}

/// TLS with the proxy, and TLS with the server inside of it.
#[tokio::test]
async fn a_proxy_may_speak_tls_itself() {
    let emulator = Emulator::builder().host_name("login.example").start();
    let emulator = emulator.await.unwrap();
    let url = "https://login.example/token";
    let proxy = ConnectProxy::start_with_tls().unwrap();
    let to = std::net::SocketAddr::from(([127, 0, 0, 1], emulator.port()));
    proxy.route("login.example:443", to);
    let both = format!("{}{}", emulator.ca_pem(), proxy.ca_pem().unwrap());
    let own = proxy.url();
    let egress = egress_to(url, &both, &[("HTTPS_PROXY", &own)]);
    assert_eq!(post(&egress, url).await.unwrap(), 404);
    assert_eq!(proxy.requests().len(), 1);
    // its certificate is not taken from anybody, and who speaks no TLS is told from one that refuses
    let in_clear = ConnectProxy::start().unwrap();
    let plain = format!("https://{}", in_clear.place());
    for (proxy, says) in [
        (own.as_str(), "a signature in its chain is wrong"),
        (plain.as_str(), "does not speak TLS"),
    ] {
        let egress = egress_to(url, &emulator.ca_pem(), &[("HTTPS_PROXY", proxy)]);
        let error = format!("{:?}", post(&egress, url).await.unwrap_err());
        assert!(
            error.contains("proxy-refused: no TLS with the proxy"),
            "{error}"
        );
        assert!(
            error.contains(says) && error.contains("; HTTPS_PROXY has https://"),
            "{error}"
        );
    }
}

/// Nobody else says whose certificate it is.
#[test]
fn what_is_said_of_a_certificate_has_it_as_its_subject() {
    let said = |reason: &str| Said(&Error::InternalError(Some(reason.to_owned()))).to_string();
    for (reason, words) in [
        (
            "tls-certificate-untrusted: it signed itself",
            "its certificate is not trusted: it signed itself",
        ),
        (
            "tls-certificate-name: it is for a.example",
            "its certificate is for another name: it is for a.example",
        ),
        (
            "tls-certificate-name: ",
            "its certificate is for another name",
        ),
        (
            "tls-certificate-date: it has expired",
            "its certificate is outside its validity: it has expired",
        ),
        (
            "tls-certificate-unfit: it was revoked",
            "its certificate cannot be accepted: it was revoked",
        ),
        ("tls-handshake: no", "no"),
        ("something else", "something else"),
    ] {
        assert_eq!(said(reason), words);
    }
}

/// What to do about it is said where authorities are what is missing, and nowhere else.
#[test]
fn a_certificate_that_is_not_trusted_has_a_remedy() {
    let egress = egress();
    let remedy = |reason: &str| egress.remedy(&Error::InternalError(Some(reason.to_owned())));
    let untrusted = remedy("tls-certificate-untrusted: it signed itself").unwrap();
    assert!(
        untrusted.starts_with("give the authority that signed it by ")
            && untrusted.contains("host.extra_ca_file"),
        "{untrusted}"
    );
    for other in [
        "tls-certificate-date: it has expired",
        "tls-handshake: no",
        "no",
    ] {
        assert_eq!(remedy(other), None, "{other}");
    }
}
