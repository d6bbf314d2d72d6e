//! Acceptance: an unmodified component gets tokens on its requests by composition alone, and never holds one. It is made with
//! public bindings, and runs in the real wasmtime against a real server that wants the emulator's tokens.

#![cfg(test)]

mod application;
mod refusals;
mod service;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::leaks::Secrets;
use edgepass_e2e::{GRAPH, Lab, artifact, memory};
use http::Uri;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use application::{App, Content, Message};
use service::{Service, good};

/// Another token than the filter's.
const OWN: &str = "Bearer of-the-application";

const MEGABYTE: u64 = 1_000_000;

/// What one test measures is the memory of the whole process.
static ALONE: RwLock<()> = RwLock::const_new(());

#[tokio::test]
async fn an_unmodified_application_gets_tokens_and_holds_none() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter")?;
    let service = Service::start(&lab, |_| good()).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    let statuses = app.send_many(&service.get("/v1/me"), 100).await?;
    assert_eq!(statuses, vec![Ok(200); 100]);
    let tokens = service.tokens(&lab);
    assert_eq!(tokens.len(), 100);
    assert_eq!(lab.emulator.token_requests().len(), 1);

    let mut secrets = Secrets::default();
    secrets.add("access token", tokens.first().context("no token")?);
    let file = std::fs::read_to_string(lab.files.token_file())?;
    secrets.add("token file", file.trim());
    let key = std::fs::read_to_string(lab.files.private_key_file())?;
    secrets.add("key", key.lines().nth(1).context("no key")?);
    for (component, has_any) in [
        ("target/components/plain-app.wasm", false),
        ("dist/edgepass-http.wasm", false),
        // the same look finds it where it is
        ("dist/credential-provider.wasm", true),
    ] {
        let memories = memory::of_component(&artifact(component)?)?;
        ensure!(!memories.is_empty(), "{component} does not run");
        let found = memories.iter().find_map(|memory| {
            let text = String::from_utf8_lossy(memory);
            secrets.find_in(&text).map(str::to_owned)
        });
        assert_eq!(found.is_some(), has_any, "{component}: {found:?}");
    }
    Ok(())
}

/// What becomes of requests by one set of rules: what the server sees in two headers.
#[tokio::test]
async fn a_request_has_the_token_of_its_rule_and_no_other() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_rules")?;
    let service = Service::start(&lab, |_| good()).await?;
    let port = service.port;
    let rule = |matching: Value, more: Value| {
        let mut rule = json!({ "match": matching, "http_on_loopback": true, "scopes": [GRAPH] });
        if let (Some(rule), Value::Object(more)) = (rule.as_object_mut(), more) {
            rule.extend(more);
        }
        rule
    };
    let here = |path: &str| json!({ "host": "LOCALHOST.", "port": port, "path_prefix": path });
    let rules = [
        rule(here("/open"), json!({ "disabled": true })),
        rule(here("/kept"), json!({ "keep_existing": true })),
        rule(here("/other"), json!({ "header": "X-Token" })),
        rule(
            json!({ "host": "localhost", "port": port, "path_prefix": "/posted", "methods": ["POST"] }),
            json!({}),
        ),
        rule(here("/v1"), json!({})),
    ];
    let mut app = App::start(&lab, &json!({ "http": { "rules": rules } })).await?;
    let own = ("authorization", OWN);
    let (none, token) = (None, Some("token"));
    for (method, host, path, header, authorization, x_token) in [
        ("GET", "localhost", "/v1/me", None, token, none),
        ("GET", "LocalHost", "/v1?a=b", None, token, none),
        ("GET", "localhost", "/v1/me", Some(own), token, none),
        ("GET", "localhost", "/v10/me", Some(own), Some("own"), none),
        ("GET", "localhost", "/v2/me", None, none, none),
        ("GET", "127.0.0.1", "/v1/me", None, none, none),
        ("GET", "127.0.0.1", "/v1/me", Some(own), Some("own"), none),
        ("TRACE", "localhost", "/v1/me", None, none, none),
        ("GET", "localhost", "/open/x", Some(own), Some("own"), none),
        ("GET", "localhost", "/kept", Some(own), Some("own"), none),
        ("GET", "localhost", "/kept", None, token, none),
        ("GET", "localhost", "/posted", None, none, none),
        ("POST", "localhost", "/posted", None, token, none),
        ("GET", "localhost", "/other", Some(own), Some("own"), token),
        (
            "GET",
            "localhost",
            "/other",
            Some(("x-token", "x")),
            none,
            token,
        ),
    ] {
        let case = format!("{method} {host}{path} with {header:?}");
        let mut message = service.get(path);
        method.clone_into(&mut message.method);
        message.authority = Some(format!("{host}:{port}"));
        let header = header.map(|(name, value)| (name.to_owned(), value.to_owned()));
        message.headers.extend(header);
        app.send(&message).await?.map_err(anyhow::Error::msg)?;
        let seen = service.last()?;
        assert_eq!(seen.method, method, "{case}");
        let of = |name: &str| -> Result<Option<&'static str>> {
            let values: Vec<_> = seen.headers.get_all(name).iter().collect();
            ensure!(values.len() < 2, "{case}: {name} is there twice");
            Ok(values.first().map(|value| match value.as_bytes() {
                value if value == OWN.as_bytes() => "own",
                _ if seen
                    .token_of(name)
                    .is_some_and(|token| service.takes(token)) =>
                {
                    "token"
                }
                _ => "neither",
            }))
        };
        assert_eq!(
            (of("authorization")?, of("x-token")?),
            (authorization, x_token),
            "{case}"
        );
    }
    service.tokens(&lab);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    // what was carried over to another header has not stayed behind
    for memory in memory::of_component(&artifact("dist/edgepass-http.wasm")?)? {
        let mut secrets = Secrets::default();
        for token in service
            .tokens(&lab)
            .iter()
            .filter(|token| !token.is_empty())
        {
            secrets.add("access token", token);
        }
        assert_eq!(secrets.find_in(&String::from_utf8_lossy(&memory)), None);
    }
    Ok(())
}

/// Whatever says in two ways where a request goes. Nothing of it reaches the server with a token.
#[tokio::test]
async fn no_spelling_of_a_host_gets_a_token_elsewhere() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_hosts")?;
    let service = Service::start(&lab, |_| good()).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    let port = service.port;
    let (http, https) = (Some("http"), Some("https"));
    for (scheme, authority, path, expected) in [
        (http, format!("localhost:{port}"), "/v1/me", Ok(true)),
        (http, format!("LOCALHOST:0{port}"), "/v1/me", Ok(true)),
        (http, format!("127.0.0.1:{port}"), "/v1/me", Ok(false)),
        (
            http,
            format!("[::ffff:127.0.0.1]:{port}"),
            "/v1/me",
            Ok(false),
        ),
        // another port is another server
        (http, "localhost:1".to_owned(), "/v1/me", Err("")),
        (http, "localhost".to_owned(), "/v1/me", Err("")),
        (https, format!("localhost:{port}"), "/v1/me", Err("")),
        (None, format!("localhost:{port}"), "/v1/me", Err("")),
        // what is read in two ways
        (
            http,
            format!("user@localhost:{port}"),
            "/v1/me",
            Err("user name"),
        ),
        (
            http,
            format!("localhost:{port}@127.0.0.1:{port}"),
            "/v1/me",
            Err(""),
        ),
        (
            http,
            format!("127.0.0.1:{port}%40localhost"),
            "/v1/me",
            Err(""),
        ),
        (
            http,
            format!("2130706433:{port}"),
            "/v1/me",
            Err("four numbers"),
        ),
        (
            http,
            format!("0x7f.0.0.1:{port}"),
            "/v1/me",
            Err("four numbers"),
        ),
        (http, format!("127.1:{port}"), "/v1/me", Err("four numbers")),
        (http, format!("[::1%25lo]:{port}"), "/v1/me", Err("")),
        (http, format!("localhost%2e:{port}"), "/v1/me", Err("")),
        (
            http,
            format!("localhost:{port}"),
            "/v1/../v2",
            Err("several ways"),
        ),
        (
            http,
            format!("localhost:{port}"),
            "/v2/../v1/me",
            Err("several ways"),
        ),
        (
            http,
            format!("localhost:{port}"),
            "/%76%31/me",
            Err("several ways"),
        ),
        (
            http,
            format!("localhost:{port}"),
            "//v1/me",
            Err("several ways"),
        ),
        (
            http,
            format!("localhost:{port}"),
            "/V1/me",
            Err("several ways"),
        ),
    ] {
        let case = format!("{scheme:?} {authority} {path}");
        let before = service.seen().len();
        let message = Message {
            scheme: scheme.map(str::to_owned),
            authority: Some(authority),
            path: Some(path.to_owned()),
            ..service.get(path)
        };
        let told = app.send(&message).await?;
        lab.evidence.saw(&case, &format!("{told:?}"));
        let seen = service.seen().split_off(before);
        let tokens: Vec<_> = seen.iter().map(|seen| seen.token().is_some()).collect();
        match expected {
            Ok(has_token) => assert_eq!(tokens, [has_token], "{case}: {told:?}"),
            Err(says) => {
                let refused = told.expect_err(&case);
                assert!(refused.contains(says), "{case}: {refused}");
                assert!(tokens.is_empty(), "{case} was sent");
            }
        }
    }
    service.tokens(&lab);
    Ok(())
}

/// Composed, the application's requests leave by the import that the provider's leave by.
#[tokio::test]
async fn an_application_does_not_ask_for_tokens_with_the_permissions_of_the_provider() -> Result<()>
{
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_reserved")?;
    let service = Service::start(&lab, |_| good()).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    let endpoint: Uri = format!(
        "{}/{}/oauth2/v2.0/token",
        lab.emulator.authority(),
        lab.emulator.tenant()
    )
    .parse()?;
    let told = app
        .send(&Message {
            method: "POST".to_owned(),
            scheme: endpoint.scheme_str().map(str::to_owned),
            authority: endpoint.authority().map(ToString::to_string),
            ..service.get(endpoint.path())
        })
        .await?;
    let refused = told.expect_err("it was sent");
    lab.evidence.saw("told", &refused);
    assert!(
        refused.contains("where the provider gets its tokens"),
        "{refused}"
    );
    assert_eq!(lab.emulator.token_requests().len(), 0);
    Ok(())
}

#[tokio::test]
async fn bodies_pass_both_ways_in_bounded_memory() -> Result<()> {
    let _alone = ALONE.write().await;
    let lab = Lab::new("http_filter_bodies")?;
    let service = Service::start(&lab, |_| good()).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    // what is there once
    app.exchange(&service, MEGABYTE, false).await?;
    app.exchange(&service, MEGABYTE, true).await?;
    for announced in [false, true] {
        std::fs::write("/proc/self/clear_refs", "5").context("cannot reset the peak")?;
        let before = peak_kib()?;
        app.exchange(&service, 50 * MEGABYTE, announced).await?;
        let grown = peak_kib()?.saturating_sub(before);
        assert!(grown < 20_000, "{grown} KiB more, announced: {announced}");
    }
    service.tokens(&lab);
    Ok(())
}

/// A response may begin before the request has ended.
#[tokio::test]
async fn a_body_may_come_after_the_response_has_begun() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_late")?;
    let service = Service::start(&lab, |_| good()).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    let mut message = service.get("/v1/early");
    "POST".clone_into(&mut message.method);
    message.content = Some(Content {
        length: 100_000,
        late: true,
        ..Content::default()
    });
    let answer = app.send(&message).await?.map_err(anyhow::Error::msg)?;
    assert_eq!((answer.status, answer.beginning.as_str()), (200, "100000"));
    service.tokens(&lab);
    Ok(())
}

/// But for the token a request arrives as it does without the filter.
#[tokio::test]
async fn what_is_not_the_token_is_untouched() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_untouched")?;
    let service = Service::start(&lab, |_| good()).await?;
    let config = service.config(json!({}));
    let mut composed = App::start(&lab, &config).await?;
    let mut alone = App::of("target/components/plain-app.wasm", &lab, &config).await?;
    let content = |length, announced| {
        Some(Content {
            length,
            announced,
            ..Content::default()
        })
    };
    for (method, content) in [
        ("GET", None),
        ("PUT", None),
        ("POST", content(0, true)),
        ("POST", content(10, false)),
        ("POST", content(10, true)),
        ("POST", content(200_000, true)),
        ("PROPFIND", content(10, true)),
    ] {
        for path in ["/v1/me?a=%20b", "/v2"] {
            let mut message = service.get(path);
            method.clone_into(&mut message.method);
            message.content.clone_from(&content);
            for (name, value) in [
                ("X-One", "1"),
                ("x-two", "a"),
                ("x-two", "b"),
                ("accept", "*/*"),
            ] {
                message.headers.push((name.to_owned(), value.to_owned()));
            }
            let mut arrived = Vec::new();
            for app in [&mut composed, &mut alone] {
                let answer = app.send(&message).await?.map_err(anyhow::Error::msg)?;
                let seen = service.last()?;
                let mut arrived_headers: Vec<_> = (seen.headers.iter())
                    .filter(|(name, _)| *name != "authorization")
                    .collect();
                arrived_headers.sort_by_key(|(name, value)| (name.as_str(), value.as_bytes()));
                let request = format!(
                    "{} {} {} {arrived_headers:?}",
                    seen.method, seen.uri, seen.length
                );
                let mut headers = answer.headers;
                headers.retain(|(name, _)| name != "date");
                let of_token = path.starts_with("/v1");
                arrived.push((request, (!of_token).then_some((headers, answer.trailers))));
            }
            let case = format!("{method} {path} {content:?}");
            let [with, without] = arrived.as_slice() else {
                anyhow::bail!("{case}: not two");
            };
            assert_eq!(with, without, "{case}");
        }
    }
    service.tokens(&lab);
    Ok(())
}

/// A wrong configuration lets no request out, and says what is wrong with it.
#[tokio::test]
async fn a_wrong_configuration_is_told_to_whoever_sends_a_request() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_config")?;
    let service = Service::start(&lab, |_| good()).await?;
    for (config, setting) in [
        (json!({}), "http: "),
        (json!({ "http": { "rules": [] } }), "http.rules: "),
        (
            json!({ "http": { "rules": [{ "match": { "host": "https://localhost" } }] } }),
            "http.rules[0].match.host: ",
        ),
        (
            json!({ "http": { "rules": [{ "match": { "host": "localhost" } }] } }),
            "http.rules[0].scopes: ",
        ),
    ] {
        let mut app = App::start(&lab, &config).await?;
        let refused = app.send(&service.get("/v1/me")).await?;
        let refused = refused.expect_err("it was sent");
        lab.evidence.saw("refused", &refused);
        assert!(
            refused.contains(&format!("edgepass: {setting}")),
            "{refused}"
        );
    }
    assert_eq!(service.seen().len(), 0);
    Ok(())
}

#[test]
fn an_application_behind_the_filter_gets_no_tokens_of_its_own() -> Result<()> {
    let lab = Lab::new("http_filter_compose")?;
    let output = lab.scratch().join("composed.wasm");
    let compose = |application: PathBuf| -> Result<(bool, String)> {
        let ran = std::process::Command::new(artifact("target/debug/xtask")?)
            .args(["compose", "--http"])
            .arg(application)
            .arg("--output")
            .arg(&output)
            .output()?;
        let said = String::from_utf8([ran.stdout, ran.stderr].concat())?;
        lab.evidence.saw("compose", &said);
        Ok((ran.status.success(), said))
    };
    let (done, said) = compose(artifact("target/components/hostile.wasm")?)?;
    assert!(
        !done && said.contains("credential-provider@0.2.0, which is the provider's to use"),
        "{said}"
    );
    let (done, said) = compose(artifact("target/components/consumer.wasm")?)?;
    assert!(!done && said.contains("wasi:http/client"), "{said}");
    let (done, said) = compose(artifact("target/components/plain-app.wasm")?)?;
    assert!(done && !said.contains("must link"), "{said}");
    Ok(())
}

/// The most that this process has had resident.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(peak.parse()?)
}
