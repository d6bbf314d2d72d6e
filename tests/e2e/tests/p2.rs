//! Acceptance: the provider over WASI 0.2, in this host alone and composed with an application whose exports are plain
//! functions, and in runtimes that have WASI 0.2 alone: wasmtime for Python, and jco on Node.js.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass::Builder;
use edgepass::link;
use edgepass_e2e::{Command, GRAPH, Lab, artifact, peers_node, peers_python, peers_script, until};
use edgepass_emulator::Fault;
use serde_json::{Value, json};
use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower};

const PROVIDER: &str = "dist/credential-provider-p2.wasm";

const COMPOSED: &str = "target/components/consumer-p2-composed.wasm";

/// The imports of the world `edgepass:credentials-p2/provider`. Three of them have types alone, or what others hand out.
const IMPORTS: [&str; 15] = [
    "edgepass:credentials-p2/assertion-source@0.2.0",
    "edgepass:credentials-p2/host-certificates@0.2.0",
    "edgepass:credentials-p2/signatures@0.2.0",
    "edgepass:credentials-p2/token-file@0.2.0",
    "edgepass:credentials-p2/token-store@0.2.0",
    "edgepass:credentials/types@0.2.0",
    "wasi:cli/environment@0.2.12",
    "wasi:clocks/monotonic-clock@0.2.12",
    "wasi:clocks/wall-clock@0.2.12",
    "wasi:http/outgoing-handler@0.2.12",
    "wasi:http/types@0.2.12",
    "wasi:io/error@0.2.12",
    "wasi:io/poll@0.2.12",
    "wasi:io/streams@0.2.12",
    "wasi:random/random@0.2.12",
];

#[test]
fn the_provider_imports_exactly_its_world() -> Result<()> {
    let engine = link::engine()?;
    for path in [PROVIDER, COMPOSED] {
        let component = compile(path)?;
        let kind = component.component_type();
        let imports: BTreeSet<_> = kind.imports(&engine).map(|(name, _)| name).collect();
        assert_eq!(imports, BTreeSet::from(IMPORTS), "{path}");
    }
    let component = compile(PROVIDER)?;
    let kind = component.component_type();
    let exports: Vec<_> = kind.exports(&engine).map(|(name, _)| name).collect();
    assert_eq!(
        exports,
        [
            "edgepass:credentials-p2/credential-provider@0.2.0",
            "edgepass:credentials-p2/opaque-tokens@0.2.0",
            "edgepass:credentials/status@0.2.0",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_application_with_plain_functions_gets_a_token_and_its_header() -> Result<()> {
    let lab = Lab::new("p2_token")?;
    let mut app = App::start(lab.provider()).await?;
    let (told,): (Result<String, String>,) = app.call("run", (GRAPH.to_owned(),)).await?;
    let told = told.map_err(anyhow::Error::msg)?;
    lab.evidence.saw("run", &told);
    assert_eq!(
        told,
        "Bearer token by exchange, header authorization: Bearer"
    );
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn every_way_to_authenticate_goes_over_wasi_0_2() -> Result<()> {
    type Credential = fn(&Lab) -> Value;
    let all: [(&str, Credential); 3] = [
        ("token_file", token_file),
        (
            "certificate",
            |_| json!({ "certificate": { "name": "demo" } }),
        ),
        (
            "bound",
            |_| json!({ "bound_certificate": { "name": "demo" } }),
        ),
    ];
    for (name, credential) in all {
        let lab = Lab::new(&format!("p2_{name}"))?;
        let config = lab.config(&credential(&lab));
        let mut app = App::start(lab.configured(&config)).await?;
        let token = app.token(&lab).await.context(name)?;
        assert!(app.token(&lab).await? == token, "{name}: it is not cached");
        assert_eq!(lab.emulator.token_requests().len(), 1, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_are_typed() -> Result<()> {
    let lab = Lab::new("p2_errors")?;
    let host = lab.provider().build_host()?;
    let component = compile(COMPOSED)?;
    let mut app = App::of(&component, host.context()).await?;
    let (told,): (String,) = app.call("fail", ("nobody".to_owned(),)).await?;
    assert!(
        told.starts_with("invalid-request: ") && told.contains("`nobody`"),
        "{told}"
    );
    for (fault, says) in [
        (Fault::aadsts(700_016), "refused: "),
        (Fault::html(400), "invalid-response: "),
        (Fault::truncate().forever(), "invalid-response: "),
        (Fault::oversize(4 << 20).forever(), "invalid-response: "),
        (Fault::reset().forever(), "network: "),
    ] {
        lab.emulator.faults().clear();
        lab.emulator.faults().push(fault.on("/token"));
        // what was refused is not sent again so soon
        let mut app = App::of(&component, host.context()).await?;
        let (refused,): (Result<String, String>,) = app.call("token", (GRAPH.to_owned(),)).await?;
        let refused = refused.expect_err(says);
        lab.evidence.saw("token", &refused);
        assert!(refused.starts_with(says), "{says}: {refused}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() -> Result<()> {
    let lab = Lab::new("p2_timeout")?;
    let builder = lab.provider().token_timeout(Duration::from_secs(2));
    let mut app = App::start(builder).await?;
    lab.emulator
        .faults()
        .push(Fault::hang().on("/token").forever());
    let (late,): (Result<String, String>,) = app.call("token", (GRAPH.to_owned(),)).await?;
    let late = late.expect_err("nobody answers");
    assert!(late.starts_with("timeout: "), "{late}");
    // what is left of the request is in the way of nothing
    lab.emulator.faults().clear();
    app.token(&lab).await?;
    Ok(())
}

#[tokio::test]
async fn a_plain_function_finds_what_is_cached() -> Result<()> {
    let lab = Lab::new("p2_cached")?;
    let mut app = App::start(lab.provider()).await?;
    let (before,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert_eq!(before, None);
    let token = app.token(&lab).await?;
    let (after,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert!(after == Some(token), "the cached token is another");
    let (dropped,): (u32,) = app.call("forget", ()).await?;
    let (gone,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert_eq!((dropped, gone), (1, None));
    Ok(())
}

#[tokio::test]
async fn a_token_is_used_without_being_read() -> Result<()> {
    let lab = Lab::new("p2_opaque")?;
    let mut app = App::start(lab.provider()).await?;
    let (told,): (Result<bool, String>,) = app.call("opaque", (GRAPH.to_owned(),)).await?;
    assert_eq!(told, Ok(true));
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_replaced() -> Result<()> {
    let lab = Lab::new("p2_reject")?;
    let mut app = App::start(lab.provider()).await?;
    let (told,): (Result<String, String>,) = app.call("reject", (GRAPH.to_owned(),)).await?;
    assert_eq!(told, Ok("invalidated: exchange".to_owned()));
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// Between calls nothing runs: a renewal that takes longer than it may hold up a call goes on in the calls after it.
#[tokio::test]
async fn a_slow_renewal_goes_on_in_later_calls() -> Result<()> {
    /// Calls that a renewal may take, with a pause after each: two minutes on a machine that is busy.
    const CALLS: u32 = 12_000;
    const PAUSE: Duration = Duration::from_millis(10);

    let lab = Lab::new("p2_renewal")?;
    let mut app = App::start(lab.provider()).await?;
    let short = Fault::default().field("refresh_in", json!(1));
    lab.emulator.faults().push(short.on("/token"));
    let first = app.token(&lab).await?;
    lab.emulator.faults().push(Fault::hold().on("/token"));
    for call in 1.. {
        if lab.emulator.token_requests_begun() >= 2 {
            break;
        }
        assert!(call < CALLS, "no renewal has begun");
        assert!(app.token(&lab).await? == first, "it is not renewed yet");
        tokio::time::sleep(PAUSE).await;
    }
    lab.emulator.faults().release();
    for call in 1.. {
        if app.token(&lab).await? != first {
            break;
        }
        assert!(call < CALLS, "the renewal has brought nothing");
        tokio::time::sleep(PAUSE).await;
    }
    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 2, "{requests:#?}");
    Ok(())
}

/// Each instance has a cache of its own, and blocks its own store alone.
#[tokio::test]
async fn instances_work_beside_each_other() -> Result<()> {
    const INSTANCES: usize = 8;
    let lab = Lab::new("p2_instances")?;
    let host = lab.provider().build_host()?;
    let component = compile(COMPOSED)?;
    // none is answered before all have asked
    lab.emulator
        .faults()
        .push(Fault::hold().on("/token").forever());
    let calls: Vec<_> = (0..INSTANCES)
        .map(|_| {
            let (context, component) = (host.context(), component.clone());
            tokio::spawn(async move {
                let mut app = App::of(&component, context).await?;
                let (token,): (Result<String, String>,) =
                    app.call("token", (GRAPH.to_owned(),)).await?;
                token.map_err(anyhow::Error::msg)
            })
        })
        .collect();
    until("all instances have asked", || {
        (lab.emulator.token_requests_begun() == INSTANCES).then_some(())
    })
    .await?;
    lab.emulator.faults().clear();
    let mut tokens = BTreeSet::new();
    for call in calls {
        let token = call.await??;
        lab.evidence.secret("access token", &token);
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), INSTANCES);
    Ok(())
}

/// Its TLS takes the authorities of the web alone, and the emulator's are others: so the machine's identity, by http.
#[test]
fn wasmtime_for_python_runs_the_provider() -> Result<()> {
    let lab = Lab::with_metadata("p2_python")?;
    let config = json!({ "identities": { "vm": { "credential": { "managed_identity": {} } } } });
    let said = lines(
        Command::other(&lab, &peers_python()?)
            .bare()
            .env("EDGEPASS_CONFIG_JSON", config.to_string())
            .env(
                "AZURE_POD_IDENTITY_AUTHORITY_HOST",
                lab.metadata_authority()?,
            )
            .arg(shown(&peers_script("p2_wasmtime.py")?))
            .arg(shown(&artifact(PROVIDER)?))
            .arg(GRAPH)
            .arg(GRAPH)
            .arg(NOT_THERE),
    )?;
    a_token_twice_and_a_refusal(&said);
    let asked = lab.emulator.journal();
    assert_eq!(asked.len(), 2, "{asked:#?}");

    // https reaches the server, and its certificate is looked at
    let config = by_token_file(&lab);
    let said = lines(
        Command::other(&lab, &peers_python()?)
            .bare()
            .env("EDGEPASS_CONFIG_JSON", config.to_string())
            .arg(shown(&peers_script("p2_wasmtime.py")?))
            .arg(shown(&artifact(PROVIDER)?))
            .arg(GRAPH),
    )?;
    assert_eq!(said[0]["error"], "network", "{said:?}");
    let message = said[0]["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("is not trusted"), "{message}");
    assert_eq!(lab.emulator.token_requests().len(), 0);
    Ok(())
}

#[test]
fn jco_runs_the_provider_in_node() -> Result<()> {
    let lab = Lab::new("p2_jco")?;
    let config = by_token_file(&lab);
    let said = lines(
        Command::other(&lab, Path::new("node"))
            .bare()
            .env("EDGEPASS_CONFIG_JSON", config.to_string())
            .env("NODE_EXTRA_CA_CERTS", shown(&lab.files.ca_file()))
            .arg(shown(&peers_script("p2_jco.mjs")?))
            .arg(shown(&peers_node()?))
            .arg(shown(&lab.scratch().join("jco")))
            .arg(shown(&artifact(PROVIDER)?))
            .arg(GRAPH)
            .arg(GRAPH)
            .arg(NOT_THERE),
    )?;
    a_token_twice_and_a_refusal(&said);
    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 2, "{requests:#?}");
    assert_eq!(requests[0].status, Some(200));
    assert_eq!(requests[0].method_of_proof.as_deref(), Some("federated"));
    Ok(())
}

/// A resource that the emulator does not know.
const NOT_THERE: &str = "api://not-there/.default";

fn a_token_twice_and_a_refusal(said: &[Value]) {
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0]["type"], "Bearer");
    assert_eq!(said[0]["source"], "exchange");
    assert_eq!(said[1]["source"], "cache");
    assert_eq!(said[0]["sha256"], said[1]["sha256"]);
    assert_eq!(said[2]["error"], "refused");
    let message = said[2]["message"].as_str().unwrap_or_default();
    assert!(message.contains("AADSTS500011"), "{message}");
}

/// What a program printed, a line of JSON each.
fn lines(command: Command<'_>) -> Result<Vec<Value>> {
    let ran = command.run()?;
    ensure!(ran.code == Some(0), "{}", ran.stderr);
    let lines = ran.stdout.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .context("it printed no JSON")
}

fn token_file(lab: &Lab) -> Value {
    json!({ "federated_token_file": { "path": lab.files.token_file() } })
}

/// A configuration whose server has a name that every resolver knows.
fn by_token_file(lab: &Lab) -> Value {
    let mut config = lab.config(&token_file(lab));
    let authority = format!("https://localhost:{}", lab.emulator.port());
    config["identities"]["app"]["authority_host"] = json!(authority);
    config
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The application with the provider in it, running.
struct App {
    store: Store<link::Context>,
    instance: Instance,
}

impl App {
    async fn start(builder: Builder) -> Result<Self> {
        let context = builder.build_host()?.context();
        Self::of(&compile(COMPOSED)?, context).await
    }

    async fn of(component: &Component, context: link::Context) -> Result<Self> {
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        link::add_p2_to_linker(&mut linker)?;
        let mut store = link::store(component.engine(), context);
        store.limiter(link::Context::limiter);
        let instance = linker.instantiate_async(&mut store, component).await?;
        Ok(Self { store, instance })
    }

    async fn call<P, R>(&mut self, name: &str, arguments: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        const APP: &str = "edgepass:consumer-p2/app@0.1.0";
        let (instance, store) = (self.instance, &mut self.store);
        let app = instance.get_export_index(&mut *store, None, APP);
        let app = app.with_context(|| format!("no export {APP}"))?;
        let function = instance.get_export_index(&mut *store, Some(&app), name);
        let function = function.with_context(|| format!("no function `{name}`"))?;
        let function = instance.get_typed_func::<P, R>(&mut *store, function)?;
        Ok(function.call_async(store, arguments).await?)
    }

    async fn token(&mut self, lab: &Lab) -> Result<String> {
        let (token,): (Result<String, String>,) = self.call("token", (GRAPH.to_owned(),)).await?;
        let token = token.map_err(anyhow::Error::msg)?;
        lab.evidence.secret("access token", &token);
        Ok(token)
    }
}

fn compile(path: &str) -> Result<Component> {
    let engine = link::engine()?;
    let wasm = std::fs::read(artifact(path)?)?;
    Ok(link::compile(&engine, &wasm)?)
}
