//! Acceptance: another component gets its tokens from ours, composed into one, run by the host; and the provider
//! imports nothing that its world does not name.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use edgepass::{Builder, Provider, link};
use edgepass_e2e::{Command, GRAPH, Lab, artifact};
use edgepass_emulator::Fault;
use serde_json::json;
use wasmparser::{ComponentExternalKind, Parser, Payload};
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Linker, Lower};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::p3::bindings::cli::environment;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// What the application exports.
const APP: &str = "edgepass:consumer/app@0.1.0";

/// Another resource than the usual one.
const OTHER: &str = "https://vault.azure.net/.default";

/// The imports of the world `provider`, and the types that they drag along.
const IMPORTS: [&str; 12] = [
    "edgepass:credentials/assertion-source@0.2.0",
    "edgepass:credentials/host-certificates@0.2.0",
    "edgepass:credentials/signatures@0.2.0",
    "edgepass:credentials/token-file@0.2.0",
    "edgepass:credentials/token-store@0.2.0",
    "edgepass:credentials/types@0.2.0",
    "wasi:cli/environment@0.3.0",
    "wasi:clocks/monotonic-clock@0.3.0",
    "wasi:clocks/system-clock@0.3.0",
    "wasi:http/client@0.3.0",
    "wasi:http/types@0.3.0",
    "wasi:random/random@0.3.0",
];

/// Imports that only carry types, which a componentizer may or may not write down.
const TYPES_ONLY: [&str; 2] = [
    "edgepass:credentials/types@0.2.0",
    "wasi:clocks/types@0.3.0",
];

#[test]
fn the_provider_imports_exactly_its_world() -> Result<()> {
    let without_types = |names: BTreeSet<String>| -> BTreeSet<String> {
        names
            .into_iter()
            .filter(|name| !TYPES_ONLY.contains(&name.as_str()))
            .collect()
    };
    let wanted = without_types(IMPORTS.iter().map(ToString::to_string).collect());
    for path in [
        "dist/credential-provider.wasm",
        "target/components/consumer-composed.wasm",
    ] {
        let found = without_types(names(path, Side::Imports)?);
        assert_eq!(found, wanted, "{path}");
    }
    let exports = without_types(names("dist/credential-provider.wasm", Side::Exports)?);
    assert_eq!(
        exports,
        BTreeSet::from([
            "edgepass:credentials/credential-provider@0.2.0".to_owned(),
            "edgepass:credentials/opaque-tokens@0.2.0".to_owned(),
            "edgepass:credentials/status@0.2.0".to_owned(),
        ])
    );
    Ok(())
}

#[tokio::test]
async fn an_application_gets_a_token_and_its_header() -> Result<()> {
    let lab = Lab::new("consumer_token")?;
    let mut app = App::start(&lab).await?;
    let (told,): (Result<String, String>,) = app.call("run", (GRAPH.to_owned(),)).await?;
    let told = told.map_err(anyhow::Error::msg)?;
    lab.evidence.saw("run", &told);
    assert!(
        told.starts_with("Bearer token of ")
            && told.ends_with("by exchange, header authorization: Bearer"),
        "{told}"
    );
    assert_eq!(
        lab.emulator.token_requests().len(),
        1,
        "the header came from the cache"
    );
    Ok(())
}

#[tokio::test]
async fn an_application_gets_a_typed_error() -> Result<()> {
    let lab = Lab::new("consumer_error")?;
    let mut app = App::start(&lab).await?;
    let (told,): (String,) = app.call("fail", ("nobody".to_owned(),)).await?;
    lab.evidence.saw("fail", &told);
    assert!(
        told.starts_with("invalid-request: ") && told.contains("`nobody`"),
        "{told}"
    );

    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token"));
    let (refused,): (Result<String, String>,) = app.call("token", (GRAPH.to_owned(),)).await?;
    let refused = refused.expect_err("the server refuses");
    lab.evidence.saw("token", &refused);
    assert!(
        refused.starts_with("refused: ") && refused.contains("unauthorized_client"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn a_plain_function_finds_what_is_cached() -> Result<()> {
    let lab = Lab::new("consumer_cached")?;
    let mut app = App::start(&lab).await?;
    let (before,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert_eq!(before, None);
    let token = app.token(&lab).await?;
    let (after,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert!(after == Some(token), "the cached token is another");
    let (dropped,): (u32,) = app.call("forget", ()).await?;
    let (gone,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert_eq!((dropped, gone), (1, None));
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// The cache of the component itself: the handle's own would hide it.
#[tokio::test]
async fn a_token_got_with_a_certificate_is_cached_too() -> Result<()> {
    let lab = Lab::new("consumer_cached_certificate")?;
    let config = lab.config(&json!({ "certificate": { "name": "demo" } }));
    let mut app = App::start_with(lab.configured(&config)).await?;
    let token = app.token(&lab).await?;
    let (cached,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert!(cached == Some(token), "the cache has no token, or another");
    app.token(&lab).await?;
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_follower_gets_the_token_of_a_leader_that_left() -> Result<()> {
    let lab = Lab::new("consumer_race")?;
    let mut app = App::start(&lab).await?;
    let (raced,): (Result<String, String>,) = app.call("race", (GRAPH.to_owned(),)).await?;
    lab.evidence
        .secret("access token", &raced.map_err(anyhow::Error::msg)?);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_replaced() -> Result<()> {
    let lab = Lab::new("consumer_reject")?;
    let mut app = App::start(&lab).await?;
    let (told,): (Result<String, String>,) = app.call("reject", (GRAPH.to_owned(),)).await?;
    assert_eq!(told, Ok("invalidated: exchange".to_owned()));
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_application_uses_a_token_that_it_does_not_see() -> Result<()> {
    let lab = Lab::new("consumer_opaque")?;
    let mut app = App::start(&lab).await?;
    app.uses_opaque_tokens(&lab).await?;
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_provider_says_what_it_has_done() -> Result<()> {
    let lab = Lab::new("consumer_status")?;
    let mut app = App::start(&lab).await?;
    let watch = async |app: &mut App| -> Result<String> {
        let (lines,): (Vec<String>,) = app.call("watch", ()).await?;
        let [line] = lines.as_slice() else {
            anyhow::bail!("not one identity: {lines:?}");
        };
        lab.evidence.saw("watch", line);
        let (_, told) = line.split_once(": ").context("no identity")?;
        Ok(told.to_owned())
    };
    assert_eq!(
        watch(&mut app).await?,
        "exchanges 0 failures 0 cache-hits 0 rejections 0 store-hits 0 store-misses 0 store-failures 0 store-ignored 0"
    );
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token"));
    let (refused,): (Result<String, String>,) = app.call("token", (OTHER.to_owned(),)).await?;
    refused.expect_err("the server refuses");
    app.token(&lab).await?;
    app.token(&lab).await?;
    let one = format!("token of {GRAPH}");
    assert_eq!(
        watch(&mut app).await?,
        format!(
            "exchanges 1 failures 1 cache-hits 1 rejections 0 store-hits 0 store-misses 0 store-failures 0 store-ignored 0 last-failure ErrorClass::Refused {one} fresh"
        )
    );
    Ok(())
}

/// The interfaces answered by a handle of this process, instead of a component inside the application's.
#[tokio::test]
async fn an_application_is_served_by_a_handle() -> Result<()> {
    let lab = Lab::new("consumer_served")?;
    let provider = lab.provider().build().await?;
    let mut app = App::served(&lab, provider.clone()).await?;
    app.uses_opaque_tokens(&lab).await?;
    let token = app.token(&lab).await?;
    let (cached,): (Option<String>,) = app.call("cached", (GRAPH.to_owned(),)).await?;
    assert!(cached == Some(token), "the cached token is another");
    assert_eq!(lab.emulator.token_requests().len(), 2);

    let (lines,): (Vec<String>,) = app.call("watch", ()).await?;
    let status = provider.status().await?;
    let [identity] = status.as_slice() else {
        anyhow::bail!("not one identity: {status:?}");
    };
    lab.evidence.saw("status", &format!("{identity:?}"));
    assert_eq!(
        (identity.counters.exchanges, identity.counters.rejections),
        (2, 1)
    );
    assert!(
        lines.len() == 1 && lines.concat().contains("exchanges 2 "),
        "{lines:?}"
    );
    assert_eq!(identity.tokens.len(), 1);
    assert_eq!(identity.last_failure, None);
    Ok(())
}

/// What an application must not reach without being told: neither composed with the provider nor served by a handle.
#[tokio::test]
async fn an_application_has_tokens_and_nothing_of_what_brings_them() -> Result<()> {
    let lab = Lab::new("consumer_reach")?;
    let mut composed = App::start(&lab).await?;
    let mut served = App::served(&lab, lab.provider().build().await?).await?;
    composed.token(&lab).await?;
    served.token(&lab).await?;
    let surroundings: ((u32, u32),) = composed.call("surroundings", ()).await?;
    assert_eq!(
        surroundings,
        ((0, 0),),
        "the provider's variables are in it"
    );
    let surroundings: ((u32, u32),) = served.call("surroundings", ()).await?;
    assert_eq!(surroundings, ((0, 0),));
    for audience in [None, Some("https://management.azure.com".to_owned())] {
        let ask = (audience.clone(),);
        let (told,): (Result<String, String>,) = composed.call("assertion", ask).await?;
        let (told_served,): (Result<String, String>,) =
            served.call("assertion", (audience,)).await?;
        for told in [told, told_served] {
            let refused = told.expect_err("it was handed out");
            lab.evidence.saw("assertion", &refused);
            assert!(
                refused.starts_with("configuration: ")
                    && refused.contains("consumers.client_assertions"),
                "{refused}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_application_gets_assertions_where_the_configuration_says_so() -> Result<()> {
    let lab = Lab::new("consumer_assertion")?;
    let config = json!({ "consumers": { "client_assertions": true } }).to_string();
    let builder = || lab.provider().config_json(config.clone());
    let mut composed = App::start_with(builder()).await?;
    let mut served = App::served(&lab, builder().build().await?).await?;
    let federated = std::fs::read_to_string(lab.files.token_file())?;
    let ask = (None::<String>,);
    let (told,): (Result<String, String>,) = composed.call("assertion", ask.clone()).await?;
    assert_eq!(told.as_deref(), Ok(federated.trim()));
    let (told,): (Result<String, String>,) = served.call("assertion", ask).await?;
    assert_eq!(told.as_deref(), Ok(federated.trim()));
    // the assertion is the platform's, and for what the platform made it
    let audience = Some("https://management.azure.com".to_owned());
    let (told,): (Result<String, String>,) = composed.call("assertion", (audience,)).await?;
    let refused = told.expect_err("another audience");
    assert!(refused.starts_with("invalid-request: "), "{refused}");
    Ok(())
}

/// The program's own question is not a component's.
#[tokio::test]
async fn a_program_has_its_assertions_without_a_setting() -> Result<()> {
    let lab = Lab::new("library_assertion")?;
    let assertion = lab
        .provider()
        .build()
        .await?
        .client_assertion(None, None)
        .await?;
    let federated = std::fs::read_to_string(lab.files.token_file())?;
    assert_eq!(assertion.assertion.expose(), federated.trim());
    Ok(())
}

/// The component that people start from, as cargo leaves it outside of this workspace, and the host that they are shown.
#[test]
fn the_example_component_runs_in_the_example_host() -> Result<()> {
    let lab = Lab::new("example_component")?;
    let composed = lab.scratch().join("greeter.wasm");
    let ran = std::process::Command::new(artifact("target/debug/xtask")?)
        .arg("compose")
        .arg(artifact("target/components/greeter.wasm")?)
        .arg("--output")
        .arg(&composed)
        .output()?;
    let said = String::from_utf8([ran.stdout, ran.stderr].concat())?;
    lab.evidence.saw("compose", &said);
    ensure!(ran.status.success(), "{said}");
    assert!(
        !said.contains("must link"),
        "it imports nothing else: {said}"
    );

    let config = json!({"identities": {"app": {"scopes": [GRAPH]}}}).to_string();
    let config = lab.write("config.json", &config)?.display().to_string();
    let host = artifact("target/debug/examples/run")?;
    let run = |component: &std::path::Path, rest: &[&str]| {
        let mut command = Command::other(&lab, &host)
            .env("EDGEPASS_CONFIG", &config)
            .arg(component.display().to_string());
        for text in rest {
            command = command.arg(*text);
        }
        command.run()
    };
    let greeted = run(&composed, &["greet", "ann"])?;
    assert_eq!(greeted.code, Some(0), "{}", greeted.stderr);
    assert!(
        greeted
            .stdout
            .starts_with("hello ann, with a Bearer token of ")
            && greeted.stdout.trim_end().ends_with(GRAPH),
        "{}",
        greeted.stdout
    );
    assert_eq!(lab.emulator.token_requests().len(), 1);

    // a component without a provider in it is answered by the host's
    let alone = artifact("target/components/greeter-component.wasm")?;
    let greeted = run(&alone, &["greet", "bob"])?;
    assert_eq!(greeted.code, Some(0), "{}", greeted.stderr);
    assert!(
        greeted.stdout.starts_with("hello bob, "),
        "{}",
        greeted.stdout
    );

    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token"));
    for (texts, says) in [
        (&["greet", "ann"][..], "unauthorized_client"),
        (&["leave", "ann"], "exports no function `leave`"),
        (&["greet"], "takes 1 arguments, and 0 are given"),
    ] {
        let failed = run(&alone, texts)?;
        assert_ne!(failed.code, Some(0), "{texts:?}");
        assert!(failed.stderr.contains(says), "{says}: {}", failed.stderr);
    }
    Ok(())
}

#[test]
fn what_is_no_component_is_named_as_what_it_is() -> Result<()> {
    let lab = Lab::new("consumer_no_component")?;
    let text = lab.write("text.wasm", "(component)")?;
    for (file, says) in [
        (text, "neither a WebAssembly component nor a module"),
        (
            artifact("dist/edgepass-envoy.wasm")?,
            "does not say which world",
        ),
        (
            artifact("dist/credential-provider.wasm")?,
            "is a provider itself",
        ),
        (lab.scratch().join("missing.wasm"), "cannot read"),
    ] {
        let ran = std::process::Command::new(artifact("target/debug/xtask")?)
            .arg("compose")
            .arg(&file)
            .arg("--output")
            .arg(lab.scratch().join("composed.wasm"))
            .output()?;
        let said = String::from_utf8(ran.stderr)?;
        lab.evidence.saw("compose", &said);
        assert!(
            !ran.status.success() && said.contains(says),
            "{says}: {said}"
        );
        assert!(
            !said.contains("edgepass:application"),
            "an internal name: {said}"
        );
    }
    Ok(())
}

#[test]
fn an_application_that_reaches_further_is_not_composed() -> Result<()> {
    let lab = Lab::new("consumer_refused")?;
    let output = lab.scratch().join("composed.wasm");
    let compose = |allowed: &[&str]| -> Result<(bool, String)> {
        let ran = std::process::Command::new(artifact("target/debug/xtask")?)
            .arg("compose")
            .arg(artifact("target/components/hostile.wasm")?)
            .arg("--output")
            .arg(&output)
            .args(allowed.iter().flat_map(|name| ["--allow", name]))
            .output()?;
        let said = [ran.stdout, ran.stderr].concat();
        Ok((ran.status.success(), String::from_utf8(said)?))
    };
    let (done, said) = compose(&[])?;
    lab.evidence.saw("compose", &said);
    assert!(!done && !output.exists(), "{said}");
    let refused = [
        "edgepass:credentials/assertion-source",
        "edgepass:credentials/host-certificates",
        "edgepass:credentials/token-file",
        "wasi:http/client",
    ];
    for name in refused {
        assert!(said.contains(name), "{name} is not named: {said}");
    }
    for missing in 0..refused.len() {
        let mut allowed = refused.to_vec();
        let name = allowed.remove(missing);
        let (done, said) = compose(&allowed)?;
        assert!(!done && said.contains(name), "without {name}: {said}");
    }
    let (done, said) = compose(&refused)?;
    assert!(
        done && output.exists() && said.contains("wasi:cli/environment"),
        "{said}"
    );
    Ok(())
}

/// An application that may share what the provider has still gets no more than the configuration gives the provider.
#[tokio::test]
async fn an_application_that_may_reach_further_is_held_to_the_configuration() -> Result<()> {
    let lab = Lab::new("consumer_hostile")?;
    let mut config =
        lab.config(&json!({ "certificate": { "name": "demo", "algorithm": "PS256" } }));
    // two certificates: nobody uses one, and the other authenticates the connections of one identity alone
    config["certificates"]["spare"] = config["certificates"]["demo"].clone();
    config["certificates"]["wire"] = config["certificates"]["demo"].clone();
    config["identities"]["bound"] = config["identities"]["app"].clone();
    config["identities"]["bound"]["credential"] =
        json!({ "bound_certificate": { "name": "wire", "mode": "certificate-only" } });
    config["default_identity"] = json!("app");
    let context = lab.configured(&config).build_host()?.context();
    let path = "target/components/hostile-composed.wasm";
    let mut app = App::composed(path, context).await?;
    app.interface = "edgepass:hostile/attempts@0.1.0";

    type Told<T> = (Result<T, String>,);
    let (variables,): (Vec<(String, String)>,) = app.call("variables", ()).await?;
    let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["EDGEPASS_CONFIG_JSON"]);
    let token_file = lab.files.token_file().to_string_lossy().into_owned();
    let key_file = lab.files.private_key_file().to_string_lossy().into_owned();
    for path in [token_file, key_file] {
        let (told,): Told<String> = app.call("read", (path,)).await?;
        assert!(told.expect_err("no file is named").contains("Denied"));
    }
    let (told,): Told<String> = app.call("supplied", ()).await?;
    let told = told.expect_err("there is no source");
    assert_eq!(told.matches("NotConfigured").count(), 2, "{told}");
    let (told,): Told<String> = app.call("asserted", (None::<String>,)).await?;
    assert!(
        told.expect_err("off")
            .contains("consumers.client_assertions")
    );

    for (certificate, algorithm, says) in [
        ("demo", "PS256", None),
        (
            "demo",
            "RS256",
            Some("no credential of the configuration signs with RS256"),
        ),
        (
            "wire",
            "PS256",
            Some("no credential of the configuration signs with PS256"),
        ),
        ("spare", "PS256", Some("NotFound")),
        ("none", "PS256", Some("NotFound")),
    ] {
        let arguments = (certificate.to_owned(), algorithm.to_owned());
        let (told,): Told<u32> = app.call("signed", arguments).await?;
        match (says, told) {
            (None, told) => assert_eq!(told, Ok(256), "{certificate} {algorithm}"),
            (Some(says), told) => {
                let refused = told.expect_err(certificate);
                assert!(
                    refused.contains(says),
                    "{certificate} {algorithm}: {refused}"
                );
            }
        }
    }

    let tenant = lab.emulator.tenant();
    let port = lab.emulator.port();
    let url = |host: &str| format!("https://{host}:{port}/{tenant}/oauth2/v2.0/token");
    let (plain, mtls) = (url("login.localhost"), url("mtlsauth.localhost"));
    for (certificate, method, url, leaves) in [
        (None, "POST", &plain, true),
        (Some("wire"), "POST", &mtls, true),
        (None, "POST", &mtls, false),
        (Some("wire"), "POST", &plain, false),
        (Some("demo"), "POST", &plain, false),
        (Some("demo"), "POST", &mtls, false),
        // the keys of its ID tokens are there, and where is not known beforehand
        (None, "GET", &plain, true),
        (Some("wire"), "GET", &mtls, false),
        (
            None,
            "GET",
            &"http://169.254.169.254/metadata/identity/oauth2/token?x".to_owned(),
            false,
        ),
    ] {
        let name = certificate.map(str::to_owned);
        let (told,): Told<u16> = app
            .call("sent", (name, method.to_owned(), url.clone()))
            .await?;
        let place = format!("{method} {url} with {certificate:?}");
        if leaves {
            // nobody authenticates with it
            assert_eq!(told, Ok(400), "{place}");
        } else {
            let refused = told.expect_err(&place);
            assert!(refused.contains("HttpRequestDenied"), "{place}: {refused}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_storm_ends_in_busy_and_not_in_a_trap() -> Result<()> {
    const CALLS: u32 = 6_000;
    let lab = Lab::new("consumer_storm")?;
    let mut app = App::start(&lab).await?;
    let (counts,): ((u32, u32, u32),) = app.call("storm", (CALLS, GRAPH.to_owned())).await?;
    let (tokens, busy, others) = counts;
    assert_eq!(tokens + busy, CALLS, "{others} other errors");
    assert!(tokens > 0 && busy > 0, "{tokens} tokens, {busy} busy");
    assert_eq!(lab.emulator.token_requests().len(), 1);
    // the instance lives on
    app.token(&lab).await?;
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// The application, running.
struct App<T: 'static = link::Context> {
    /// The interface whose functions are called.
    interface: &'static str,
    store: Store<T>,
    instance: Instance,
}

/// Store data of an application that a handle answers.
struct Served {
    context: link::Context,
    /// The application's own: that of `context` has the provider's environment.
    wasi: WasiCtx,
    provider: Provider,
}

impl WasiView for Served {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: self.context.ctx().table,
        }
    }
}

impl WasiHttpView for Served {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.context.http()
    }
}

impl link::ProviderView for Served {
    fn provider(&self) -> &Provider {
        &self.provider
    }
}

impl App {
    async fn start(lab: &Lab) -> Result<Self> {
        Self::start_with(lab.provider()).await
    }

    async fn start_with(builder: Builder) -> Result<Self> {
        let context = builder.build_host()?.context();
        let path = "target/components/consumer-composed.wasm";
        Self::composed(path, context).await
    }

    /// With the bounds of a context.
    async fn composed(path: &str, context: link::Context) -> Result<Self> {
        let bound = |store: &mut Store<link::Context>| store.limiter(link::Context::limiter);
        Self::run(path, context, link::add_to_linker, bound).await
    }
}

impl App<Served> {
    /// The application alone: what it imports of ours is answered by that handle.
    async fn served(lab: &Lab, provider: Provider) -> Result<Self> {
        let served = Served {
            context: lab.provider().build_host()?.context(),
            wasi: WasiCtx::builder().build(),
            provider,
        };
        Self::run(
            "target/components/consumer.wasm",
            served,
            |linker| {
                wasmtime_wasi_http::p3::add_to_linker(linker)?;
                environment::add_to_linker::<_, WasiCli>(linker, WasiCliView::cli)?;
                link::add_provider_to_linker(linker)?;
                link::add_opaque_tokens_to_linker(linker)?;
                link::add_status_to_linker(linker)
            },
            |_| {},
        )
        .await
    }
}

impl<T: Send + 'static> App<T> {
    async fn run(
        path: &str,
        data: T,
        add: impl FnOnce(&mut Linker<T>) -> wasmtime::Result<()>,
        bound: impl FnOnce(&mut Store<T>),
    ) -> Result<Self> {
        let engine = link::engine()?;
        let wasm = std::fs::read(artifact(path)?)?;
        let component = link::compile(&engine, &wasm)?;
        let mut linker = Linker::new(&engine);
        add(&mut linker)?;
        let mut store = Store::new(&engine, data);
        bound(&mut store);
        // nobody advances the epoch here
        store.set_epoch_deadline(1);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        Ok(Self {
            interface: APP,
            store,
            instance,
        })
    }

    async fn call<P, R>(&mut self, name: &str, arguments: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let app = self
            .instance
            .get_export_index(&mut self.store, None, self.interface)
            .with_context(|| format!("no export {}", self.interface))?;
        let function = self
            .instance
            .get_export_index(&mut self.store, Some(&app), name);
        let function = function.with_context(|| format!("no function `{name}`"))?;
        let function = self
            .instance
            .get_typed_func::<P, R>(&mut self.store, function)?;
        Ok(function.call_async(&mut self.store, arguments).await?)
    }

    async fn uses_opaque_tokens(&mut self, lab: &Lab) -> Result<()> {
        let (told,): (Result<String, String>,) = self.call("opaque", (GRAPH.to_owned(),)).await?;
        let told = told.map_err(anyhow::Error::msg)?;
        lab.evidence.saw("opaque", &told);
        ensure!(
            told.starts_with("Bearer token by exchange, later refused (")
                && told.ends_with("), invalidated: exchange"),
            "{told}"
        );
        Ok(())
    }

    async fn token(&mut self, lab: &Lab) -> Result<String> {
        let (token,): (Result<String, String>,) = self.call("token", (GRAPH.to_owned(),)).await?;
        let token = token.map_err(anyhow::Error::msg)?;
        lab.evidence.secret("access token", &token);
        Ok(token)
    }
}

#[derive(Clone, Copy)]
enum Side {
    Imports,
    Exports,
}

/// The names of the instances that a component imports or exports.
fn names(path: &str, side: Side) -> Result<BTreeSet<String>> {
    let wasm = std::fs::read(artifact(path)?)?;
    let mut found = BTreeSet::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(&wasm) {
        match (payload?, &side) {
            (Payload::ComponentSection { .. } | Payload::ModuleSection { .. }, _) => depth += 1,
            (Payload::End(_), _) => depth = depth.saturating_sub(1),
            (Payload::ComponentImportSection(section), Side::Imports) if depth == 0 => {
                for import in section {
                    found.insert(import?.name.name.to_owned());
                }
            }
            (Payload::ComponentExportSection(section), Side::Exports) if depth == 0 => {
                for export in section {
                    let export = export?;
                    ensure!(
                        export.kind == ComponentExternalKind::Instance,
                        "{} is no instance",
                        export.name.name
                    );
                    found.insert(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}
