//! Acceptance: an unmodified component gets tokens on its requests by composition alone, and never holds one. It is made with
//! public bindings, and runs in the real wasmtime against a real server that wants the emulator's tokens.

#![cfg(test)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass::link;
use edgepass_e2e::leaks::Secrets;
use edgepass_e2e::{GRAPH, Lab, Network, artifact, jwt, memory};
use edgepass_emulator::Fault;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::RwLock;
use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Instance, Lift, Linker, Lower,
};
use wasmtime::{Engine, Store};

/// What the application exports.
const APP: &str = "edgepass:plain-app/requests@0.1.0";

/// Another token than the filter's.
const OWN: &str = "Bearer of-the-application";

const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}"#;

const MEGABYTE: u64 = 1_000_000;

/// What one test measures is the memory of the whole process.
static ALONE: RwLock<()> = RwLock::const_new(());

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
struct Message {
    method: String,
    scheme: Option<String>,
    authority: Option<String>,
    path: Option<String>,
    headers: Vec<(String, String)>,
    content: Option<Content>,
}

#[derive(Clone, Debug, Default, ComponentType, Lower)]
#[component(record)]
struct Content {
    length: u64,
    announced: bool,
    late: bool,
    trailers: Vec<(String, String)>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    length: u64,
    beginning: String,
    trailers: Vec<(String, String)>,
}

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

/// In whatever way a service says that it wants another token, and whatever the request had in it.
#[tokio::test]
async fn a_refusal_is_answered_by_one_refresh_and_one_replay() -> Result<()> {
    let _others = ALONE.read().await;
    let of_claims = format!(
        "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"{}\"",
        STANDARD.encode(CLAIMS)
    );
    let content = |length, announced| {
        Some(Content {
            length,
            announced,
            ..Content::default()
        })
    };
    let unauthorized = StatusCode::UNAUTHORIZED;
    for (name, status, challenge, content, is_replayed) in [
        ("bare", unauthorized, "Bearer", None, true),
        ("claims", unauthorized, of_claims.as_str(), None, true),
        (
            "forbidden",
            StatusCode::FORBIDDEN,
            of_claims.as_str(),
            None,
            true,
        ),
        ("permission", StatusCode::FORBIDDEN, "Bearer", None, false),
        (
            "small",
            unauthorized,
            "Bearer",
            content(50_000, false),
            true,
        ),
        (
            "announced",
            unauthorized,
            "Bearer",
            content(50_000, true),
            true,
        ),
        (
            "large",
            unauthorized,
            "Bearer",
            content(100_000, false),
            false,
        ),
        (
            "large_announced",
            unauthorized,
            "Bearer",
            content(100_000, true),
            false,
        ),
    ] {
        let lab = Lab::new(&format!("http_filter_refused_{name}"))?;
        let service = Service::start(&lab, refuses_the_first(status, challenge)).await?;
        let mut app = App::start(&lab, &service.config(json!({}))).await?;
        let mut message = service.get("/v1/me");
        if content.is_some() {
            "POST".clone_into(&mut message.method);
        }
        let length = content.as_ref().map_or(0, |content| content.length);
        message.content = content;
        let answer = app.send(&message).await?.map_err(anyhow::Error::msg)?;
        let requests = lab.emulator.token_requests();
        let seen = service.seen();
        assert!(
            seen.iter().all(|seen| seen.length == length),
            "{name}: {seen:?}"
        );
        let tokens = service.tokens(&lab);
        if is_replayed {
            assert_eq!(
                (answer.status, seen.len(), requests.len()),
                (200, 2, 2),
                "{name}"
            );
            assert_ne!(tokens.first(), tokens.last(), "{name}");
            let claims = requests.last().and_then(|request| request.field("claims"));
            let asked = (!challenge.ends_with("Bearer")).then(|| CLAIMS.to_owned());
            assert_eq!(claims.is_some(), asked.is_some(), "{name}: {claims:?}");
            continue;
        }
        assert_eq!((answer.status, seen.len()), (status.as_u16(), 1), "{name}");
        // who asks next gets another, where the refusal was about the token
        let next = app.send(&service.get("/v1/me")).await?;
        let next = next.map_err(anyhow::Error::msg)?.status;
        let is_about_tokens = status == unauthorized;
        assert_eq!(next == 200, is_about_tokens, "{name}");
        service.tokens(&lab);
    }
    Ok(())
}

/// A service that refuses every token is asked twice, and its answer handed on.
#[tokio::test]
async fn a_service_that_takes_no_token_is_asked_twice() -> Result<()> {
    let _others = ALONE.read().await;
    let lab = Lab::new("http_filter_never")?;
    let refuse = |_: &Seen| refusal(StatusCode::UNAUTHORIZED, "Bearer");
    let service = Service::start(&lab, refuse).await?;
    let mut app = App::start(&lab, &service.config(json!({}))).await?;
    let answer = app.send(&service.get("/v1/me")).await?;
    let answer = answer.map_err(anyhow::Error::msg)?;
    assert_eq!((answer.status, answer.beginning.as_str()), (401, "refused"));
    assert_eq!(service.tokens(&lab).len(), 2);
    Ok(())
}

/// What is refused is not sent again: neither where the token endpoint issues the same once more, nor where it has no answer.
#[tokio::test]
async fn a_token_that_was_refused_is_not_sent_again() -> Result<()> {
    let _others = ALONE.read().await;
    for name in ["same", "down"] {
        let lab = Lab::new(&format!("http_filter_again_{name}"))?;
        let asked = AtomicUsize::new(0);
        let service = Service::start(&lab, move |_: &Seen| {
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => good(),
                _ => refusal(StatusCode::UNAUTHORIZED, "Bearer"),
            }
        })
        .await?;
        let mut app = App::start(&lab, &service.config(json!({}))).await?;
        let answer = app.send(&service.get("/v1/me")).await?;
        assert_eq!(answer.map_err(anyhow::Error::msg)?.status, 200, "{name}");
        let tokens = service.tokens(&lab);
        let [token] = tokens.as_slice() else {
            anyhow::bail!("{name}: not one request");
        };
        let fault = match name {
            "same" => Fault::omit("ext_expires_in").field("access_token", json!(token)),
            _ => Fault::status(503),
        };
        lab.emulator.faults().push(fault.forever());
        let answer = app.send(&service.get("/v1/me")).await?;
        assert_eq!(answer.map_err(anyhow::Error::msg)?.status, 401, "{name}");
        assert_eq!(service.tokens(&lab).len(), 2, "{name}");
        assert!(
            lab.emulator.token_requests().len() > 1,
            "{name}: it is asked for another"
        );
    }
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

/// The application, running.
struct App {
    store: Store<link::Context>,
    instance: Instance,
}

impl App {
    async fn start(lab: &Lab, config: &Value) -> Result<Self> {
        Self::of("target/components/plain-app-composed.wasm", lab, config).await
    }

    async fn of(path: &'static str, lab: &Lab, config: &Value) -> Result<Self> {
        let (engine, component) = compiled(path)?;
        let builder = lab.provider().config_json(config.to_string());
        let context = builder
            .build_host()?
            .context()
            .with_network(Network::default());
        let mut linker = Linker::new(&engine);
        link::add_to_linker(&mut linker)?;
        let mut store = link::store(&engine, context);
        store.limiter(link::Context::limiter);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        Ok(Self { store, instance })
    }

    async fn call<P, R>(&mut self, name: &str, arguments: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let (store, instance) = (&mut self.store, &self.instance);
        let app = instance.get_export_index(&mut *store, None, APP);
        let app = app.context("no interface")?;
        let function = instance.get_export_index(&mut *store, Some(&app), name);
        let function = function.context("no function")?;
        let function = instance.get_typed_func::<P, R>(&mut *store, function)?;
        Ok(function.call_async(store, arguments).await?)
    }

    async fn send(&mut self, message: &Message) -> Result<Result<Answer, String>> {
        let (told,) = self.call("send", (message.clone(),)).await?;
        Ok(told)
    }

    async fn send_many(
        &mut self,
        message: &Message,
        times: u32,
    ) -> Result<Vec<Result<u16, String>>> {
        let (told,) = self.call("send-many", (message.clone(), times)).await?;
        Ok(told)
    }

    /// Sends that many bytes, and gets as many.
    async fn exchange(&mut self, service: &Service, bytes: u64, announced: bool) -> Result<()> {
        let mut message = service.get(&format!("/v1/bytes?{bytes}"));
        "POST".clone_into(&mut message.method);
        message.content = Some(Content {
            length: bytes,
            announced,
            ..Content::default()
        });
        let answer = self.send(&message).await?.map_err(anyhow::Error::msg)?;
        assert_eq!((answer.status, answer.length), (200, bytes));
        assert_eq!(service.last()?.length, bytes);
        Ok(())
    }
}

/// Each component is compiled once.
fn compiled(path: &'static str) -> Result<(Engine, Component)> {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    static COMPILED: Mutex<Vec<(&str, Component)>> = Mutex::new(Vec::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = match ENGINE.get() {
        Some(engine) => engine.clone(),
        None => ENGINE
            .get_or_init(|| link::engine().expect("no engine"))
            .clone(),
    };
    if let Some((_, component)) = compiled.iter().find(|(known, _)| *known == path) {
        return Ok((engine, component.clone()));
    }
    let component = link::compile(&engine, &std::fs::read(artifact(path)?)?)?;
    compiled.push((path, component.clone()));
    Ok((engine, component))
}

/// A request as the service got it.
#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Of the body.
    length: u64,
}

impl Seen {
    fn token(&self) -> Option<&str> {
        self.token_of("authorization")
    }

    fn token_of(&self, header: &str) -> Option<&str> {
        let value = self.headers.get(header)?.to_str().ok()?;
        value.split_once(' ').map(|(_, token)| token)
    }
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

/// How a service answers a request with a token.
type Judge = dyn Fn(&Seen) -> Response<Body> + Send + Sync;

/// A service that takes tokens of the emulator for Microsoft Graph, and then asks its judge.
struct Service {
    port: u16,
    backend: Arc<Backend>,
}

struct Backend {
    issuer: String,
    judge: Box<Judge>,
    seen: Mutex<Vec<Seen>>,
}

impl Service {
    async fn start(
        lab: &Lab,
        judge: impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let port = listener.local_addr()?.port();
        let backend = Arc::new(Backend {
            issuer: format!("{}/{}/", lab.emulator.authority(), lab.emulator.tenant()),
            judge: Box::new(judge),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&backend);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let backend = Arc::clone(&shared);
                tokio::spawn(async move {
                    let answer = service_fn(move |request| {
                        let backend = Arc::clone(&backend);
                        async move { backend.answer(request).await }
                    });
                    // a client that goes away is no failure of the service
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(Self { port, backend })
    }

    /// A configuration by which requests to it below `/v1` get tokens.
    fn config(&self, more: Value) -> Value {
        let mut section = json!({ "rules": [{
            "match": { "host": "localhost", "port": self.port, "path_prefix": "/v1" },
            "http_on_loopback": true,
            "scopes": [GRAPH],
        }] });
        if let (Some(section), Value::Object(more)) = (section.as_object_mut(), more) {
            section.extend(more);
        }
        json!({ "http": section })
    }

    fn get(&self, path: &str) -> Message {
        Message {
            method: "GET".to_owned(),
            scheme: Some("http".to_owned()),
            authority: Some(format!("localhost:{}", self.port)),
            path: Some(path.to_owned()),
            headers: Vec::new(),
            content: None,
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.backend.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last(&self) -> Result<Seen> {
        self.seen().pop().context("nothing has come")
    }

    fn takes(&self, token: &str) -> bool {
        self.backend.takes(token)
    }

    /// The tokens that have come, which no output may have.
    fn tokens(&self, lab: &Lab) -> Vec<String> {
        let mut tokens = Vec::new();
        for seen in self.seen() {
            for header in ["authorization", "x-token"] {
                let token = seen.token_of(header).filter(|token| self.takes(token));
                tokens.extend(token.map(str::to_owned));
            }
        }
        for token in &tokens {
            lab.evidence.secret("access token", token);
        }
        tokens
    }
}

impl Backend {
    fn takes(&self, token: &str) -> bool {
        jwt::is_for_graph(token, &self.issuer)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
        let (parts, mut body) = request.into_parts();
        if parts.uri.path() == "/v1/early" {
            return Ok(counted(body));
        }
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, |data| data.len() as u64);
        }
        let seen = Seen {
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
            length,
        };
        let all = self.seen.lock();
        all.unwrap_or_else(PoisonError::into_inner)
            .push(seen.clone());
        if seen.uri.path() == "/v1/bytes" {
            return Ok(bytes(seen.uri.query().unwrap_or_default()));
        }
        let has_token = ["authorization", "x-token"].iter().any(|header| {
            let token = seen.token_of(header);
            token.is_some_and(|token| self.takes(token))
        });
        match has_token {
            true => Ok((self.judge)(&seen)),
            false => Ok(refusal(StatusCode::UNAUTHORIZED, "Bearer")),
        }
    }
}

/// As many bytes, piece by piece.
fn bytes(count: &str) -> Response<Body> {
    const PIECE: usize = 64 * 1024;
    let left: usize = count.parse().unwrap_or_default();
    let pieces = futures::stream::unfold(left, |left| async move {
        let now = left.min(PIECE);
        let frame = Frame::data(Bytes::from(vec![b'y'; now]));
        (left > 0).then_some((Ok(frame), left - now))
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

/// An answer that begins at once, and ends with how much the request had in it.
fn counted(body: Incoming) -> Response<Body> {
    let content = futures::stream::once(async move {
        let body = body.collect().await.map(|body| body.to_bytes().len());
        let said = body.map_or_else(|error| error.to_string(), |length| length.to_string());
        Ok(Frame::data(Bytes::from(said)))
    });
    Response::new(StreamBody::new(content).boxed_unsync())
}

fn good() -> Response<Body> {
    Response::new(Full::<Bytes>::from("good").boxed_unsync())
}

fn refusal(status: StatusCode, challenge: &str) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header("www-authenticate", "Basic realm=\"no end")
        .header("www-authenticate", challenge);
    let body = Full::<Bytes>::from("refused").boxed_unsync();
    response.body(body).expect("a response")
}

/// Refuses the token that comes first, so and whenever it comes.
fn refuses_the_first(
    status: StatusCode,
    challenge: &str,
) -> impl Fn(&Seen) -> Response<Body> + use<> {
    let challenge = challenge.to_owned();
    let first = Mutex::new(None);
    move |seen| {
        let token = seen.token().map(str::to_owned);
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.get_or_insert_with(|| token.clone()) == &token {
            return refusal(status, &challenge);
        }
        good()
    }
}

/// The most that this process has had resident.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(peak.parse()?)
}
