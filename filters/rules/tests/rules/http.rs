//! The section `http`: what is refused before the first request, and which request gets a token.

use edgepass_core::{Config, Environment, ErrorClass};
use edgepass_rules::http::{HttpRequest, HttpSettings};
use serde_json::{Value, json};

use super::support::document;

/// A request to a place.
#[derive(Clone, Default)]
struct Request {
    method: &'static str,
    scheme: Option<&'static str>,
    authority: Option<String>,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
}

impl HttpRequest for Request {
    fn method(&self) -> &str {
        self.method
    }
    fn scheme(&self) -> Option<&str> {
        self.scheme
    }
    fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }
    fn path(&self) -> Option<&str> {
        Some(self.path)
    }
    fn header(&self, name: &str) -> Vec<Vec<u8>> {
        let named = self.headers.iter().filter(|(known, _)| *known == name);
        named.map(|(_, value)| value.as_bytes().to_vec()).collect()
    }
}

fn get(url: &'static str) -> Request {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    Request {
        method: "GET",
        scheme: Some(scheme),
        authority: Some(authority.to_owned()),
        path,
        headers: Vec::new(),
    }
}

fn check(section: &Value) -> Result<HttpSettings, String> {
    let mut config: Value = serde_json::from_str(&document(&json!({}))).unwrap();
    config["http"] = section.clone();
    let config = Config::load(Some(&config.to_string()), &Environment::default()).unwrap();
    HttpSettings::check(&config).map_err(|error| error.to_string())
}

fn rules(rules: &Value) -> HttpSettings {
    check(&json!({ "rules": rules })).unwrap()
}

#[test]
fn what_is_wrong_is_named_with_what_to_write() {
    let rule = |rule: Value| json!({ "rules": [rule] });
    let host = |host: &str| rule(json!({ "match": { "host": host } }));
    let of = |field: &str, value: Value| {
        let mut matching = json!({ "host": "api.example" });
        matching[field] = value;
        rule(json!({ "match": matching }))
    };
    let with = |field: &str, value: Value| {
        let mut written = json!({ "match": { "host": "api.example" } });
        written[field] = value;
        rule(written)
    };
    for (section, says) in [
        (json!({}), "http.rules: has not 1 to 256 rules"),
        (rule(json!({})), "http.rules[0].match.host: is missing"),
        (
            host("https://api.example"),
            "http.rules[0].match.host: is neither",
        ),
        (
            host("api.example:443"),
            "http.rules[0].match.host: is neither",
        ),
        (
            host("api.example/v1"),
            "http.rules[0].match.host: is neither",
        ),
        (host("*"), "http.rules[0].match.host: is neither"),
        (host("*.*.example"), "http.rules[0].match.host: is neither"),
        (
            host("münchen.example"),
            "http.rules[0].match.host: is neither",
        ),
        (host("::1"), "http.rules[0].match.host: is neither"),
        (host("127.1"), "http.rules[0].match.host: is neither"),
        (
            of("port", json!(0)),
            "http.rules[0].match.port: is not 1 to 65535",
        ),
        (of("port", json!(65_536)), "http.rules[0].match.port: "),
        (
            of("path_prefix", json!("v1")),
            "http.rules[0].match.path_prefix: ",
        ),
        (
            of("path_prefix", json!("/v1/*")),
            "http.rules[0].match.path_prefix: has a pattern",
        ),
        (
            of("path_prefix", json!("/users/{id}")),
            "http.rules[0].match.path_prefix: has a pattern",
        ),
        (
            of("path_prefix", json!("/v1?x=y")),
            "http.rules[0].match.path_prefix: has a query",
        ),
        (
            of("path_prefix", json!("https://api.example/v1")),
            "http.rules[0].match.path_prefix: is a URL",
        ),
        (
            of("path_prefix", json!("/a/../b")),
            "http.rules[0].match.path_prefix: ",
        ),
        (
            of("methods", json!(["get"])),
            "http.rules[0].match.methods: ",
        ),
        (
            of("methods", json!(["GET", "TRACE"])),
            "http.rules[0].match.methods: ",
        ),
        (
            with("identity", json!("nobody")),
            "http.rules[0].identity: names no identity",
        ),
        (with("scopes", json!(["a b"])), "http.rules[0].scopes: "),
        (
            with("header", json!("host")),
            "http.rules[0].header: host has a meaning",
        ),
        (
            with("header", json!("a b")),
            "http.rules[0].header: is not the name",
        ),
        (
            json!({ "rules": [{ "match": { "host": "a.example" } }], "replay_body_bytes": 1_048_577 }),
            "http.replay_body_bytes: is more than 1048576",
        ),
        (
            json!({ "rules": [{ "match": { "host": "a.example" } }], "audit_as": "" }),
            "http.audit_as: is empty",
        ),
    ] {
        let said = check(&section).unwrap_err();
        assert!(said.starts_with(says), "{section}: {said}");
        assert!(said.contains("; "), "no hint: {said}");
    }
    let config = Config::load(Some(&document(&json!({}))), &Environment::default()).unwrap();
    let said = HttpSettings::check(&config).unwrap_err().to_string();
    assert!(said.starts_with("http: there is no such section"), "{said}");
}

#[test]
fn the_first_rule_that_fits_counts() {
    let settings = rules(&json!([
        { "match": { "host": "API.example.", "path_prefix": "/open" }, "disabled": true },
        { "match": { "host": "api.example", "path_prefix": "/v1" }, "header": "X-One" },
        { "match": { "host": "api.example", "port": 8443 }, "header": "x-two" },
        { "match": { "host": "api.example", "methods": ["POST"] }, "header": "x-three" },
        { "match": { "host": "*.vault.example" }, "header": "x-four", "keep_existing": true },
        { "match": { "host": "[0:0::1]", "port": 81 }, "header": "x-five", "http_on_loopback": true },
    ]));
    let post = |url| Request {
        method: "POST",
        ..get(url)
    };
    let with = |url, header| Request {
        headers: vec![header],
        ..get(url)
    };
    let of = |method, url| Request { method, ..get(url) };
    for (request, header) in [
        (get("https://api.example/v1"), Some("x-one")),
        (get("https://API.EXAMPLE.:443/v1/x?y=/../z"), Some("x-one")),
        (get("https://api.example:/v1"), Some("x-one")),
        (get("https://api.example/v10"), None),
        (get("https://api.example/open/x"), None),
        (get("https://api.example:8443/open"), Some("x-two")),
        (get("https://api.example:8444/v1"), None),
        (get("https://api.example/v2"), None),
        (post("https://api.example/v2"), Some("x-three")),
        (of("TRACE", "https://api.example/v1"), None),
        (of("trace", "https://api.example/v1"), None),
        (of("CONNECT", "https://api.example/v1"), None),
        (get("https://a.vault.example/"), Some("x-four")),
        (get("https://a.b.vault.example/"), Some("x-four")),
        (get("https://vault.example/"), None),
        (get("https://evilvault.example/"), None),
        (get("https://api.example.evil.example/v1"), None),
        (with("https://a.vault.example/", ("x-four", "own")), None),
        (
            with("https://api.example/v1", ("x-one", "own")),
            Some("x-one"),
        ),
        (
            with("https://api.example/v1", ("host", "API.example.:443")),
            Some("x-one"),
        ),
        (get("http://[::1]:81/"), Some("x-five")),
        (get("https://[0::0:1]:81/"), Some("x-five")),
    ] {
        let place = format!("{} {:?}{}", request.method, request.authority, request.path);
        let rule = settings.rule_of(&request).unwrap();
        assert_eq!(rule.map(|rule| rule.header.as_str()), header, "{place}");
    }
    // nowhere, and without a scheme, for which https is taken
    let mut request = get("https://api.example/v1");
    request.scheme = None;
    assert!(settings.rule_of(&request).unwrap().is_some());
    request.authority = None;
    assert!(settings.rule_of(&request).unwrap().is_none());
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let settings = rules(&json!([{ "match": { "host": "api.example", "path_prefix": "/v1" } }]));
    let with_host = |url, host| Request {
        headers: vec![("host", host)],
        ..get(url)
    };
    for (request, says) in [
        (get("http://api.example/v1"), "without TLS"),
        (get("http://api.example:80/v1"), "without TLS"),
        (get("ftp://api.example/v1"), "without TLS"),
        (get("https://user@api.example/v1"), "reads alike"),
        (get("https://api.example@evil.example/v1"), "reads alike"),
        (get("https://evil.example\\@api.example/v1"), "reads alike"),
        (get("https://api%2eexample/v1"), "reads alike"),
        (get("https://api.example:+443/v1"), "reads alike"),
        (get("https://api.example:65979/v1"), "reads alike"),
        (get("https://api.example:443:443/v1"), "reads alike"),
        (get("https://api..example/v1"), "reads alike"),
        (get("https:///v1"), "reads alike"),
        (get("https://[::1/v1"), "reads alike"),
        (get("https://[::1]x/v1"), "reads alike"),
        (get("https://[fe80::1%25eth0]/v1"), "reads alike"),
        (get("https://2130706433/v1"), "reads alike"),
        (get("https://0x7f.0x0.0x0.0x1/v1"), "reads alike"),
        (get("https://0177.0.0.1/v1"), "reads alike"),
        (get("https://api.example/v1/../v2"), "several ways"),
        (get("https://api.example/%76%31"), "several ways"),
        (
            with_host("https://api.example/v1", "evil.example"),
            "another host",
        ),
        (
            with_host("https://api.example/v1", "api.example:8443"),
            "another host",
        ),
        (
            with_host("https://api.example/v1", "user@api.example"),
            "another host",
        ),
    ] {
        let place = format!("{:?}{}", request.authority, request.path);
        let error = settings.rule_of(&request).unwrap_err();
        assert_eq!(error.class(), ErrorClass::InvalidRequest, "{place}");
        assert!(error.to_string().contains(says), "{place}: {error}");
        assert!(error.detail().hint.is_some(), "{place}");
    }
}

#[test]
fn where_the_provider_gets_its_tokens_is_not_for_others() {
    let config = json!({
        "identities": { "app": { "credential": { "managed_identity": {} }, "scopes": ["https://graph.microsoft.com/.default"] } },
        "http": { "rules": [{ "match": { "host": "api.example" } }] },
    });
    let config = Config::load(Some(&config.to_string()), &Environment::default()).unwrap();
    let settings = HttpSettings::check(&config).unwrap();
    for url in [
        "http://169.254.169.254/metadata/identity/oauth2/token?resource=x&api-version=2018-02-01",
        "http://169.254.169.254:80/metadata/identity/oauth2/token?x",
        "http://169.254.169.254//metadata/identity;x/oauth2/token",
        "http://169.254.169.254./metadata/instance",
        "http://[::ffff:169.254.169.254]/metadata/identity/oauth2/token?x",
        "http://[::ffff:a9fe:a9fe]/metadata/identity/oauth2/token?x",
    ] {
        let error = settings.rule_of(&get(url)).unwrap_err();
        assert!(
            error.to_string().contains("where the provider gets"),
            "{url}: {error}"
        );
    }
    assert!(
        settings
            .rule_of(&get("https://api.example/"))
            .unwrap()
            .is_some()
    );
    assert!(
        settings
            .rule_of(&get("http://other.example/"))
            .unwrap()
            .is_none()
    );
}

/// The spellings of hosts that are tried with every caller of the one judge.
#[test]
fn addresses_are_judged_as_everywhere() {
    type Spelling = (String, Option<String>);
    let spellings = include_str!("../../../../guest/core/src/matching/spellings.json");
    let spellings: Vec<Spelling> = serde_json::from_str(spellings).unwrap();
    for (url, expected) in spellings {
        let request = get(url.clone().leak());
        let Some(expected) = expected else {
            let settings = rules(&json!([{ "match": { "host": "api.example" } }]));
            let error = settings.rule_of(&request).unwrap_err().to_string();
            assert!(error.contains("reads alike"), "{url}: {error}");
            continue;
        };
        let parts: Vec<&str> = expected.split(' ').collect();
        let [scheme, host, port] = parts[..] else {
            panic!("{expected}");
        };
        let port: u16 = port.parse().unwrap();
        let settings = rules(&json!([{ "match": { "host": host, "port": port } }]));
        match settings.rule_of(&request) {
            Ok(rule) => assert!(rule.is_some() && scheme == "https", "{url}"),
            Err(error) => assert!(
                scheme == "http" && error.to_string().contains("without TLS"),
                "{url}: {error}"
            ),
        }
    }
}
