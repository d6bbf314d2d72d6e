//! What a hostile application tries, and what comes of it.

/// The ports that attempts name.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    /// Of the service that rules name.
    pub(crate) named: u16,
    /// Of one that the application may ask, and gets no token for.
    pub(crate) other: u16,
    /// Of one that rules name, whose answers have trailers.
    pub(crate) trailing: u16,
    /// Of the token server.
    pub(crate) tokens: u16,
}

/// What comes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expected {
    /// So many requests have the token of their rule, once, and the application is told something that has this in it.
    Token(usize, &'static str),
    /// A request arrives somewhere, without a token.
    NoToken(&'static str),
    /// No request arrives anywhere, and the application is told something that has this in it.
    Refused(&'static str),
    /// The service repeats the token, and the application has it: what a service answers is the service's to say.
    Repeated,
}

use Expected::{NoToken, Refused, Repeated, Token};

/// One attempt. `hook`: put on by `edgepass-run`; `filter`: by the filter of a composition, whose host lets everything else
/// out. `None`: it is not the filter's to prevent, but the host's that runs the composition.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) attempt: String,
    pub(crate) hook: Expected,
    pub(crate) filter: Option<Expected>,
}

/// All of them.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(crate) fn all(ports: Ports) -> Vec<Case> {
    let Ports {
        named,
        other,
        trailing,
        tokens,
    } = ports;
    let get = |path: &str| format!("send GET http localhost:{named} {path}");
    let at = |authority: String| format!("send GET http {authority} /v1/ok");
    let with = |header: &str| format!("{}\nh {header}", get("/v1/ok"));
    let both = |name, attempt: String, expected| Case {
        name,
        attempt,
        hook: expected,
        filter: Some(expected),
    };
    let each = |name, attempt: String, hook, filter| Case {
        name,
        attempt,
        hook,
        filter,
    };
    let ok = Token(1, "200 own []");
    let denied = Refused("HttpRequestDenied");
    let ways = Some(Refused("several ways"));
    vec![
        // its own request
        both(
            "the headers of a request after it was sent",
            get("/v1/ok"),
            ok,
        ),
        both(
            "a header of its own in the place of the token's",
            with("authorization=Bearer mine"),
            Token(1, "Bearer mine"),
        ),
        both(
            "that header twice",
            format!(
                "{}\nh authorization=Bearer other",
                with("authorization=Bearer mine")
            ),
            Token(1, "200"),
        ),
        both(
            "that header in other letters",
            with("AuThOrIzAtIoN=Bearer mine"),
            Token(1, "200"),
        ),
        both(
            "a line break in a value",
            with("x-a=b\\r\\nauthorization: Bearer mine"),
            Refused("InvalidSyntax"),
        ),
        both(
            "a line feed in a value",
            with("x-a=b\\nx: y"),
            Refused("InvalidSyntax"),
        ),
        both(
            "a zero in a value",
            with("x-a=b\\0"),
            Refused("InvalidSyntax"),
        ),
        both(
            "a line break in a name",
            with("x-a\\r\\nx: y=b"),
            Refused("InvalidSyntax"),
        ),
        both(
            "a space in a name",
            with("authorization\\s=Bearer mine"),
            Refused("InvalidSyntax"),
        ),
        both(
            "credentials for a proxy",
            with("proxy-authorization=Basic eA=="),
            Refused("Forbidden"),
        ),
        both(
            "the token's header as one of the connection's",
            with("connection=authorization"),
            Refused("Forbidden"),
        ),
        both(
            "a second framing",
            with("transfer-encoding=chunked"),
            Refused("Forbidden"),
        ),
        both("an upgrade", with("upgrade=h2c"), Refused("Forbidden")),
        both(
            "the token's header as a trailer",
            format!(
                "{}\nh trailer=authorization\nt authorization=Bearer mine",
                get("/v1/ok").replace("GET", "POST")
            ),
            Token(1, "200"),
        ),
        both(
            "a header of another host",
            with("host=localhost:1"),
            Refused("Forbidden"),
        ),
        both(
            "another identity by a header",
            with("x-identity=vault"),
            Token(1, "x-identity"),
        ),
        each(
            "a header that a rule puts the token into",
            format!("{}\nh x-token=mine", get("/v1/x-token")),
            Token(1, "x-token"),
            Some(Token(1, "x-token")),
        ),
        // answers
        both(
            "a service that repeats the token in its body",
            get("/v1/echo-body"),
            Repeated,
        ),
        each(
            "one that repeats it in headers, in three spellings",
            get("/v1/echo-headers"),
            Token(1, "session=[redacted]"),
            Some(Repeated),
        ),
        each(
            "one that repeats it in trailers",
            format!("send GET http localhost:{trailing} /v1/ok"),
            Token(1, "[redacted]"),
            Some(Repeated),
        ),
        each(
            "one that repeats it where it refuses it",
            get("/v1/refused"),
            // and once more with the next one
            Token(2, "[redacted]"),
            Some(Repeated),
        ),
        each(
            "a redirect with the token in its address",
            format!(
                "{} follow=1",
                get(&format!("/v1/redirect-echo?http://localhost:{other}/"))
            ),
            Token(1, "[redacted]"),
            None,
        ),
        both(
            "a redirect to another host, with all headers",
            format!(
                "{} follow=1",
                get(&format!("/v1/redirect?http://localhost:{other}/x"))
            ),
            Token(1, "200"),
        ),
        each(
            "a redirect to the same service by another name",
            format!(
                "{} follow=1",
                get(&format!("/v1/redirect?http://127.0.0.1:{named}/v1/ok"))
            ),
            Token(1, "HttpRequestDenied"),
            Some(Token(1, "307")),
        ),
        both(
            "a redirect out of the rule's path",
            format!("{} follow=1", get("/v1/redirect?/other")),
            Token(1, "200"),
        ),
        both(
            "TRACE",
            get("/v1/ok").replace("GET", "TRACE"),
            NoToken("200"),
        ),
        both(
            "CONNECT",
            format!("send CONNECT http localhost:{named} -"),
            Refused("HttpRequestUriInvalid"),
        ),
        // hosts
        both(
            "another host",
            at(format!("localhost:{other}")),
            NoToken("200"),
        ),
        each(
            "a host that nobody names",
            at(format!("127.0.0.1:{other}")),
            denied,
            Some(NoToken("200")),
        ),
        each(
            "another port",
            at("localhost:1".to_owned()),
            denied,
            Some(Refused("Connect")),
        ),
        each(
            "a name that leads to the same place",
            at(format!("127.0.0.1:{named}")),
            denied,
            Some(NoToken("200")),
        ),
        each(
            "IPv6 with IPv4 in it",
            at(format!("[::ffff:127.0.0.1]:{named}")),
            denied,
            Some(NoToken("200")),
        ),
        both(
            "IPv6 with a zone",
            at(format!("[::1%25lo]:{named}")),
            Refused(""),
        ),
        each(
            "an address as one number",
            at(format!("2130706433:{named}")),
            denied,
            Some(Refused("four numbers")),
        ),
        each(
            "an address in octal",
            at(format!("0177.0.0.1:{named}")),
            denied,
            Some(Refused("four numbers")),
        ),
        each(
            "an address in hexadecimal",
            at(format!("0x7f.1:{named}")),
            denied,
            Some(Refused("four numbers")),
        ),
        each(
            "a user name",
            at(format!("user@localhost:{named}")),
            denied,
            Some(Refused("user name")),
        ),
        each(
            "the host as a user name of another",
            at(format!("localhost:{named}@localhost:{other}")),
            denied,
            Some(Refused("")),
        ),
        // who resolves names resolves this one, or does not: the token is for the host of the rule
        each(
            "the host with a dot at its end",
            at(format!("localhost.:{named}")),
            ok,
            None,
        ),
        both(
            "the host in capital letters",
            at(format!("LOCALHOST:{named}")),
            ok,
        ),
        both(
            "the host in full width letters",
            at(format!("ｌｏｃａｌｈｏｓｔ:{named}")),
            Refused(""),
        ),
        both(
            "the host with a letter percent-encoded",
            at(format!("localhos%74:{named}")),
            Refused(""),
        ),
        both(
            "the host below another",
            at(format!("localhost.attacker.test:{named}")),
            Refused(""),
        ),
        both(
            "a port that is none",
            at(format!("localhost:{named}0000")),
            Refused(""),
        ),
        both(
            "a port with a zero before it",
            at(format!("localhost:0{named}")),
            ok,
        ),
        both("no host", "send GET http - /v1/ok".to_owned(), Refused("")),
        both(
            "TLS to a service without it",
            format!("send GET https localhost:{named} /v1/ok"),
            Refused(""),
        ),
        both(
            "a scheme that is none",
            format!("send GET ftp localhost:{named} /v1/ok"),
            Refused(""),
        ),
        // paths
        both("a path beside the rule's", get("/v10/ok"), NoToken("200")),
        each(
            "dot segments into the rule's path",
            get("/x/../v1/ok"),
            denied,
            ways,
        ),
        each("dot segments out of it", get("/v1/../x"), denied, ways),
        each(
            "dot segments, percent-encoded",
            get("/v1/%2e%2e/x"),
            denied,
            ways,
        ),
        each("a letter percent-encoded", get("/%76%31/ok"), denied, ways),
        each("a slash percent-encoded", get("/v1%2fok"), denied, ways),
        each("two slashes", get("//v1/ok"), denied, ways),
        each("a path parameter", get("/v1;x/ok"), denied, ways),
        each("a path in capital letters", get("/V1/ok"), denied, ways),
        both("a backslash", get("/v1\\..\\x"), Refused("")),
        both(
            "a whole address as the path",
            get(&format!("http://localhost:{other}/v1/ok")),
            Refused(""),
        ),
        // the ways around
        both(
            "the token server",
            format!("send POST https localhost:{tokens} /x/oauth2/v2.0/token"),
            Refused(""),
        ),
        each(
            "the metadata service of a cloud",
            "send GET http 169.254.169.254 /metadata/identity/oauth2/token\nh metadata=true"
                .to_owned(),
            denied,
            None,
        ),
        both(
            "variables, arguments, folder",
            "environment".to_owned(),
            Refused("[] "),
        ),
        both(
            "memory that was another's",
            "fill 64".to_owned(),
            Refused("it is zero"),
        ),
        // much, large, long
        both(
            "two hundred requests at once",
            format!("{} times=200", get("/v1/ok")),
            Token(200, "200"),
        ),
        both(
            "a body of 20 MB",
            format!("{} bytes=20000000", get("/v1/ok").replace("GET", "POST")),
            Token(1, "200"),
        ),
        both(
            "answers that are not read",
            format!("{} times=20 then=hold", get("/v1/endless")),
            Token(20, "200"),
        ),
        both(
            "requests that are given up",
            format!(
                "{} times=5 then=drop until=/arrived",
                get("/v1/never/given-up")
            ),
            Token(5, "dropped"),
        ),
        each(
            "an answer whose rest does not come in time",
            format!("{} between=100", get("/v1/endless")),
            Token(1, "ConnectionReadTimeout"),
            None,
        ),
        each(
            "a loop with an answer in hand",
            format!("{} then=spin", get("/v1/ok")),
            Token(1, "504"),
            None,
        ),
        each(
            "a trap with an answer in hand",
            format!("{} then=trap", get("/v1/ok")),
            Token(1, "500"),
            Some(Token(1, "unreachable")),
        ),
    ]
}
