//! Acceptance: another component gets its tokens from ours, composed into one, run by the host; and the provider
//! imports nothing that its world does not name.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use edgepass::{Builder, Provider, link};
use edgepass_e2e::{GRAPH, Lab, artifact};
use edgepass_emulator::Fault;
use serde_json::json;
use wasmparser::{ComponentExternalKind, Parser, Payload};
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Linker, Lower};
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

/// What the application exports.
const APP: &str = "edgepass:consumer/app@0.1.0";

/// Another resource than the usual one.
const OTHER: &str = "https://vault.azure.net/.default";

/// The imports of the world `provider`, and the types that they drag along.
const IMPORTS: [&str; 10] = [
    "edgepass:credentials/assertion-source@0.2.0",
    "edgepass:credentials/host-certificates@0.2.0",
    "edgepass:credentials/token-file@0.2.0",
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
        "exchanges 0 failures 0 cache-hits 0 rejections 0"
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
            "exchanges 1 failures 1 cache-hits 1 rejections 0 last-failure ErrorClass::Refused {one} fresh"
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
    store: Store<T>,
    instance: Instance,
}

/// Store data of an application that a handle answers.
struct Served {
    context: link::Context,
    provider: Provider,
}

impl WasiView for Served {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.context.ctx()
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
        Self::run(path, context, link::add_to_linker).await
    }
}

impl App<Served> {
    /// The application alone: what it imports of ours is answered by that handle.
    async fn served(lab: &Lab, provider: Provider) -> Result<Self> {
        let served = Served {
            context: lab.provider().build_host()?.context(),
            provider,
        };
        Self::run("target/components/consumer.wasm", served, |linker| {
            wasmtime_wasi_http::p3::add_to_linker(linker)?;
            link::add_provider_to_linker(linker)?;
            link::add_opaque_tokens_to_linker(linker)?;
            link::add_status_to_linker(linker)
        })
        .await
    }
}

impl<T: Send + 'static> App<T> {
    async fn run(
        path: &str,
        data: T,
        add: impl FnOnce(&mut Linker<T>) -> wasmtime::Result<()>,
    ) -> Result<Self> {
        let engine = link::engine()?;
        let wasm = std::fs::read(artifact(path)?)?;
        let component = link::compile(&engine, &wasm)?;
        let mut linker = Linker::new(&engine);
        add(&mut linker)?;
        let mut store = Store::new(&engine, data);
        // nobody advances the epoch here
        store.set_epoch_deadline(1);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        Ok(Self { store, instance })
    }

    async fn call<P, R>(&mut self, name: &str, arguments: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let app = self
            .instance
            .get_export_index(&mut self.store, None, APP)
            .context("no export `app`")?;
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
