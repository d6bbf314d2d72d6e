//! Acceptance: components in other languages get tokens and typed errors. Each is built by the commands of its README, and
//! the provider over WASI 0.2 is composed with it.

#![cfg(test)]

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use edgepass::link;
use edgepass_e2e::{GRAPH, Lab, artifact, peers_node, peers_python};
use edgepass_emulator::Fault;
use serde_json::json;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, TypedFunc};

#[tokio::test]
async fn javascript_gets_tokens_and_typed_errors() -> Result<()> {
    // the case is named as in the interface
    check("javascript", "refused").await
}

#[tokio::test]
async fn python_gets_tokens_and_typed_errors() -> Result<()> {
    // the case is a class
    check("python", "Refused").await
}

async fn check(language: &str, refused: &str) -> Result<()> {
    let lab = Lab::new(&format!("languages_{language}"))?;
    run_readme(&lab, language)?;
    let path = artifact(&format!("target/test-{language}/composed.wasm"))?;
    let component = link::compile(&link::engine()?, &std::fs::read(path)?)?;
    let mut greeter = Greeter::start(&lab, &component).await?;

    let greeted = greeter.greet("ann").await?;
    let greeted = greeted.map_err(anyhow::Error::msg)?;
    lab.evidence.saw("greet", &greeted);
    assert!(
        greeted.starts_with("hello ann, with a Bearer token of ") && greeted.ends_with(GRAPH),
        "{greeted}"
    );
    let again = greeter.greet("bob").await?;
    assert!(again.is_ok_and(|said| said.starts_with("hello bob, ")));
    let requests = lab.emulator.token_requests();
    assert_eq!(requests.len(), 1, "the second token came from the cache");
    assert_eq!(requests[0].status, Some(200));

    let mut greeter = Greeter::start(&lab, &component).await?;
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token"));
    let told = greeter.greet("ann").await?.expect_err("it is refused");
    lab.evidence.saw("greet", &told);
    assert!(
        told.starts_with(&format!("{refused}: ")) && told.contains("unauthorized_client"),
        "{told}"
    );
    // what was refused is not sent again so soon, and the component lives on
    let told = greeter.greet("ann").await?.expect_err("it is refused");
    assert!(told.starts_with(&format!("{refused}: ")), "{told}");
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// Runs the commands that a README shows, with the tools that the tests have.
fn run_readme(lab: &Lab, language: &str) -> Result<()> {
    let root = artifact("dist")?.join("..").canonicalize()?;
    let page = root.join("examples").join(language).join("README.md");
    let page = std::fs::read_to_string(&page)?;
    let commands = page.split_once("```sh\n").context("it shows no commands")?;
    let commands = commands.1.split_once("```").context("they do not end")?.0;
    // what an earlier run has left is not the answer
    let (readers, own) = (
        format!("target/try-{language}"),
        format!("target/test-{language}"),
    );
    ensure!(commands.contains(&readers), "it works in another folder");
    // what somebody who follows the page has there is his
    let commands = commands.replace(&readers, &own);
    let folder = root.join(&own);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let tools = [
        peers_node()?.join("node_modules/.bin"),
        peers_python()?.with_file_name(""),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = tools.into_iter().chain(std::env::split_paths(&path));
    let ran = Command::new("sh")
        .args(["-e", "-c", &commands])
        .current_dir(&root)
        .env("PATH", std::env::join_paths(path)?)
        .output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    lab.evidence.saw("the commands of the README", &said);
    ensure!(ran.status.success(), "{commands}---\n{said}");
    Ok(())
}

struct Greeter {
    store: Store<link::Context>,
    greet: TypedFunc<(String,), (Result<String, String>,)>,
}

impl Greeter {
    async fn start(lab: &Lab, component: &Component) -> Result<Self> {
        let credential = json!({ "federated_token_file": { "path": lab.files.token_file() } });
        let mut config = lab.config(&credential);
        config["identities"]["app"]["scopes"] = json!([GRAPH]);
        let context = lab.configured(&config).build_host()?.context();
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        link::add_p2_to_linker(&mut linker)?;
        let mut store = link::store(component.engine(), context);
        let instance = linker.instantiate_async(&mut store, component).await?;
        let greet = instance.get_typed_func(&mut store, "greet")?;
        Ok(Self { store, greet })
    }

    async fn greet(&mut self, name: &str) -> Result<Result<String, String>> {
        let (told,) = self
            .greet
            .call_async(&mut self.store, (name.to_owned(),))
            .await?;
        Ok(told)
    }
}
