//! Acceptance: a component written for `wasmcloud:secrets` gets tokens unchanged, by composition alone.

#![cfg(test)]

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use edgepass::link;
use edgepass_core::sha256_hex;
use edgepass_e2e::{GRAPH, Lab, artifact, edgepass_run_bin};
use edgepass_emulator::Fault;
use wasmtime::Store;
use wasmtime::component::{Linker, TypedFunc};

type Digests = Result<(String, String), String>;

#[tokio::test]
async fn a_secret_is_a_token() -> Result<()> {
    let lab = Lab::new("wasmcloud_secrets")?;
    let mut app = App::start(&lab).await?;
    for key in [format!("token//{GRAPH}"), format!("token/default/{GRAPH}")] {
        let told = app.digests(&key).await?;
        let (first, again) = told.map_err(anyhow::Error::msg).context(key)?;
        assert_eq!(first, again);
        assert_ne!(first, sha256_hex(b""));
    }
    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 1, "it is one token, and the cache has it");
    assert_eq!(requests[0].status, Some(200));
    Ok(())
}

#[tokio::test]
async fn what_is_no_token_is_said_as_the_interface_has_it() -> Result<()> {
    let lab = Lab::new("wasmcloud_secrets_errors")?;
    let mut app = App::start(&lab).await?;
    for key in ["database-password", "token", ""] {
        assert_eq!(
            app.digests(key).await?,
            Err("not-found".to_owned()),
            "{key}"
        );
    }
    assert_eq!(lab.emulator.token_requests().len(), 0);
    let told = app.digests(&format!("token/nobody/{GRAPH}")).await?;
    let told = told.expect_err("there is no such identity");
    assert!(
        told.starts_with("upstream: ") && told.contains("`nobody`"),
        "{told}"
    );
    lab.emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    let told = app.digests(&format!("token//{GRAPH}")).await?;
    let told = told.expect_err("nobody answers");
    assert!(told.starts_with("io: "), "{told}");
    Ok(())
}

/// Who leaves the first of the two steps out is told that nobody answers the provider, and who takes both is not.
#[test]
fn a_provider_that_asks_somebody_else_is_told_from_one_that_is_whole() -> Result<()> {
    let lab = Lab::new("wasmcloud_secrets_half")?;
    let half = artifact("dist/edgepass-secrets.wasm")?;
    let whole = lab.scratch().join("secrets.wasm");
    compose(
        &half,
        &artifact("dist/credential-provider-p2.wasm")?,
        &whole,
    )?;
    let application = artifact("target/components/secrets-app.wasm")?;
    for (provider, is_told) in [(half, true), (whole, false)] {
        let ran = Command::new(edgepass_run_bin()?)
            .arg("compose")
            .arg(&application)
            .arg("--provider")
            .arg(&provider)
            .arg("--output")
            .arg(lab.scratch().join("app.wasm"))
            .output()?;
        let said = String::from_utf8(ran.stdout)?;
        ensure!(ran.status.success(), "{said}");
        let asks = said.contains("asks for tokens, by edgepass:credentials-p2/credential-provider");
        ensure!(asks == is_told, "{}: {said}", provider.display());
    }
    Ok(())
}

/// Composes as docs/wasi-0-2.md says.
fn compose(application: &Path, provider: &Path, output: &Path) -> Result<()> {
    let ran = Command::new(artifact("target/debug/xtask")?)
        .arg("compose")
        .arg(application)
        .arg("--provider")
        .arg(provider)
        .arg("--output")
        .arg(output)
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "{said}");
    Ok(())
}

struct App {
    store: Store<link::Context>,
    digests: TypedFunc<(String,), (Digests,)>,
}

impl App {
    async fn start(lab: &Lab) -> Result<Self> {
        let provider = lab.scratch().join("secrets.wasm");
        compose(
            &artifact("dist/edgepass-secrets.wasm")?,
            &artifact("dist/credential-provider-p2.wasm")?,
            &provider,
        )?;
        let composed = lab.scratch().join("app.wasm");
        let application = artifact("target/components/secrets-app.wasm")?;
        compose(&application, &provider, &composed)?;

        let engine = link::engine()?;
        let component = link::compile(&engine, &std::fs::read(composed)?)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        link::add_p2_to_linker(&mut linker)?;
        let context = lab.provider().build_host()?.context();
        let mut store = link::store(&engine, context);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let digests = instance.get_typed_func(&mut store, "digests")?;
        Ok(Self { store, digests })
    }

    async fn digests(&mut self, key: &str) -> Result<Digests> {
        let arguments = (key.to_owned(),);
        let (told,) = self.digests.call_async(&mut self.store, arguments).await?;
        Ok(told)
    }
}
