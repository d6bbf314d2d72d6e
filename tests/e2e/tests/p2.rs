//! Acceptance: the provider over WASI 0.2, in this host alone and composed with an application whose exports are plain
//! functions, and in runtimes that have WASI 0.2 alone: wasmtime for Python, and jco on Node.js.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass::link::{self, Permitted, ProviderView};
use edgepass::{Builder, Provider};
use edgepass_e2e::{
    Command, GRAPH, Lab, Network, Ran, artifact, edgepass_run_bin, peers_node, peers_python,
    peers_script, until,
};
use edgepass_emulator::Fault;
use serde_json::{Value, json};
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentNamedList, Instance, Lift, Linker, Lower, ResourceTable,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

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

/// The store of an application of WASI 0.2 that a provider of the host answers.
struct Served {
    provider: Provider,
    permitted: Permitted,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    hooks: Network,
}

impl ProviderView for Served {
    fn provider(&self) -> &Provider {
        &self.provider
    }

    fn permitted(&self) -> Permitted {
        self.permitted.clone()
    }
}

impl WasiView for Served {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Served {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

async fn served(provider: &Provider, permitted: Permitted) -> Result<App<Served>> {
    let component = compile("target/components/consumer-p2.wasm")?;
    let mut linker = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    link::add_provider_p2_to_linker(&mut linker)?;
    link::add_opaque_tokens_p2_to_linker(&mut linker)?;
    let state = Served {
        provider: provider.clone(),
        permitted,
        wasi: WasiCtx::builder().build(),
        http: WasiHttpCtx::new(),
        table: ResourceTable::new(),
        hooks: Network::default(),
    };
    let mut store = link::store(component.engine(), state);
    let instance = linker.instantiate_async(&mut store, &component).await?;
    Ok(App { store, instance })
}

/// Without a provider inside: the host's answers, over WASI 0.2.
#[tokio::test]
async fn a_provider_of_the_host_answers_an_application() -> Result<()> {
    let lab = Lab::new("p2_served")?;
    let provider = lab.provider().build().await?;
    let mut app = served(&provider, Permitted::all()).await?;
    let (told,): (Result<String, String>,) = app.call("run", (GRAPH.to_owned(),)).await?;
    assert_eq!(
        told.as_deref(),
        Ok("Bearer token by exchange, header authorization: Bearer")
    );
    let (opaque,): (Result<bool, String>,) = app.call("opaque", (GRAPH.to_owned(),)).await?;
    assert_eq!(opaque, Ok(true));
    let (told,): (Result<String, String>,) = app.call("reject", (GRAPH.to_owned(),)).await?;
    assert_eq!(told, Ok("invalidated: exchange".to_owned()));
    // what one instance has got is there for another
    let mut other = served(&provider, Permitted::all()).await?;
    let (cached,): (Option<String>,) = other.call("cached", (GRAPH.to_owned(),)).await?;
    let cached = cached.context("it is not shared")?;
    lab.evidence.secret("access token", &cached);
    let (dropped,): (u32,) = other.call("forget", ()).await?;
    assert_eq!(dropped, 1);
    let (told,): (String,) = other.call("fail", ("nobody".to_owned(),)).await?;
    assert!(told.starts_with("invalid-request: "), "{told}");
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// It gets tokens of the identities that the store permits.
#[tokio::test]
async fn an_application_asks_for_the_identities_that_it_may_ask_for() -> Result<()> {
    let lab = Lab::new("p2_permitted")?;
    let mut config = lab.config(&token_file(&lab));
    config["identities"]["other"] = config["identities"]["app"].clone();
    config["default_identity"] = json!("app");
    let provider = lab.configured(&config).build().await?;
    let asks = async |permitted: Permitted| -> Result<(String, String, u32)> {
        let mut app = served(&provider, permitted).await?;
        let (default,): (Result<String, String>,) = app.call("run", (GRAPH.to_owned(),)).await?;
        // an identity without scopes of its own: `fail` names none
        let (other,): (String,) = app.call("fail", ("other".to_owned(),)).await?;
        let (dropped,): (u32,) = app.call("forget", ()).await?;
        let case = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        let default = default.map_or_else(|error| case(&error), |_| "a token".to_owned());
        Ok((default, case(&other), dropped))
    };
    let (token, refused, unasked) = ("a token", "configuration", "invalid-request");
    for (names, default, other, dropped) in [
        (vec![None], token, refused, 1),
        (vec![Some("app")], token, refused, 1),
        // permitted, so the provider says what it says to everybody
        (vec![Some("other")], refused, unasked, 0),
        (vec![None, Some("other")], token, unasked, 1),
        (Vec::new(), refused, refused, 0),
    ] {
        let permitted = Permitted::of(&provider, names.clone());
        let told = asks(permitted).await?;
        assert_eq!(
            told,
            (default.to_owned(), other.to_owned(), dropped),
            "{names:?}"
        );
    }
    Ok(())
}

/// A command of WASI 0.2 under `edgepass-run`: what it may ask for are the identities of the rules, and what is allowed.
#[test]
fn a_command_asks_for_the_identities_of_the_rules() -> Result<()> {
    let lab = Lab::new("p2_run")?;
    let mut config = by_token_file(&lab);
    config["identities"]["other"] = config["identities"]["app"].clone();
    config["default_identity"] = json!("app");
    let rule = |identity: &str| json!({ "rules": [{ "match": { "host": "api.example" }, "identity": identity, "scopes": [GRAPH] }] });
    let run = |http: Option<Value>, options: &[&str]| -> Result<Ran> {
        let mut config = config.clone();
        if let Some(http) = http {
            config["http"] = http;
        }
        let config = lab.write("edgepass.json", config.to_string())?;
        let run = Command::other(&lab, &edgepass_run_bin()?).without_azure();
        let run = run.arg("run").arg("--config").arg(shown(&config));
        let run = run.arg("--ca-file").arg(shown(&lab.files.ca_file()));
        let run = options.iter().fold(run, |run, option| run.arg(*option));
        let run = run.arg(shown(&artifact("target/components/asks-0-2.wasm")?));
        ["-", GRAPH, "app", GRAPH, "other", GRAPH, "nobody", GRAPH]
            .into_iter()
            .fold(run, Command::arg)
            .run()
    };
    let provide = ["--provide", "credential-provider"];
    let (app, other, refused) = ("app: ", "other: ", "configuration");
    let mut turned_off = rule("other");
    turned_off["rules"][0]["disabled"] = json!(true);
    // of a name that nobody has, an application is told no more than of one that is not for it
    for (http, options, expected) in [
        (None, &[][..], [app, app, refused, refused]),
        (Some(rule("other")), &[], [refused, refused, other, refused]),
        (Some(turned_off), &[], [refused; 4]),
        (
            Some(rule("other")),
            &["--allow-identity", "app"],
            [app, app, other, refused],
        ),
        (
            None,
            &["--allow-identity", "*"],
            [app, app, other, "invalid-request"],
        ),
    ] {
        let ran = run(http, &[&provide[..], options].concat())?;
        ensure!(ran.code == Some(0), "{}", ran.stderr);
        let lines: Vec<_> = ran.stdout.lines().collect();
        ensure!(lines.len() == expected.len(), "{lines:?}");
        for (line, expected) in lines.iter().zip(expected) {
            ensure!(line.starts_with(expected), "{options:?}: {lines:?}");
        }
    }
    // nothing without being told
    let ran = run(None, &[])?;
    ensure!(
        ran.code == Some(2) && ran.stderr.contains("--provide credential-provider"),
        "{}",
        ran.stderr
    );
    let ran = run(
        None,
        &[&provide[..], &["--allow-identity", "nobody"]].concat(),
    )?;
    ensure!(
        ran.code == Some(2) && ran.stderr.contains("there is no identity \"nobody\""),
        "{}",
        ran.stderr
    );
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
struct App<T: 'static = link::Context> {
    store: Store<T>,
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
}

impl<T: Send> App<T> {
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
