//! Acceptance: components in other languages get tokens and typed errors. Each is built by the commands of its README, which
//! compose the provider with it, over WASI 0.2 or 0.3.

#![cfg(test)]

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use edgepass::link;
use edgepass_e2e::{GRAPH, Lab, artifact, go_modules, peers_node, peers_python};
use edgepass_emulator::Fault;
use serde_json::json;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Instance, Linker, Lower};

#[tokio::test]
async fn javascript_gets_tokens_and_typed_errors() -> Result<()> {
    // the case is named as in the interface
    let lab = Lab::new("languages_javascript")?;
    check(&lab, &built(&lab, "javascript")?, "refused").await
}

#[tokio::test]
async fn go_gets_tokens_and_typed_errors() -> Result<()> {
    // the case is a constant, which the example turns into the interface's name
    let lab = Lab::new("languages_go")?;
    check(&lab, &built(&lab, "go")?, "refused").await
}

#[tokio::test]
async fn python_gets_tokens_and_typed_errors() -> Result<()> {
    // the case is a class
    let lab = Lab::new("languages_python")?;
    check(&lab, &built(&lab, "python")?, "Refused").await
}

#[tokio::test]
async fn python_over_wasi_0_3_gets_tokens_typed_errors_and_tokens_it_does_not_see() -> Result<()> {
    let lab = Lab::new("languages_python_async")?;
    let component = built(&lab, "python-async")?;
    check(&lab, &component, "Refused").await?;

    let mut greeter = Greeter::start(&lab, &component).await?;
    let stamped = greeter.stamp().await?.map_err(anyhow::Error::msg)?;
    lab.evidence.saw("stamp", &stamped);
    assert_eq!(
        stamped,
        format!("a Bearer token for {GRAPH} is in authorization")
    );
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_016).on("/token"));
    let mut greeter = Greeter::start(&lab, &component).await?;
    let told = greeter.stamp().await?.expect_err("it is refused");
    assert!(told.starts_with("Refused: "), "{told}");
    Ok(())
}

/// The composition that a README makes.
fn built(lab: &Lab, language: &str) -> Result<Component> {
    run_readme(lab, language)?;
    let path = artifact(&format!("target/test-{language}/composed.wasm"))?;
    Ok(link::compile(&link::engine()?, &std::fs::read(path)?)?)
}

async fn check(lab: &Lab, component: &Component, refused: &str) -> Result<()> {
    let mut greeter = Greeter::start(lab, component).await?;

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

    let mut greeter = Greeter::start(lab, component).await?;
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
    let peers = root.join("target/peers");
    let tools = [
        peers_node()?.join("node_modules/.bin"),
        peers_python()?.with_file_name(""),
        peers.join("go/go/bin"),
        peers.join("wit-bindgen/debug"),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = tools.into_iter().chain(std::env::split_paths(&path));
    let ran = Command::new("sh")
        .args(["-e", "-c", &commands])
        .current_dir(&root)
        .env("PATH", std::env::join_paths(path)?)
        // no modules but those that xtask has put there, and nothing of whoever runs the tests
        .env("GOPROXY", format!("file://{}", go_modules()?.display()))
        .envs([
            ("GOSUMDB", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOENV", "off"),
            ("GOFLAGS", "-modcacherw"),
        ])
        .env("GOPATH", peers.join("go-path"))
        // what Go has compiled for another run serves this one
        .env("GOCACHE", peers.join("go-cache"))
        .output()?;
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    lab.evidence.saw("the commands of the README", &said);
    ensure!(ran.status.success(), "{commands}---\n{said}");
    Ok(())
}

struct Greeter {
    store: Store<link::Context>,
    instance: Instance,
}

impl Greeter {
    async fn start(lab: &Lab, component: &Component) -> Result<Self> {
        let credential = json!({ "federated_token_file": { "path": lab.files.token_file() } });
        let mut config = lab.config(&credential);
        config["identities"]["app"]["scopes"] = json!([GRAPH]);
        let context = lab.configured(&config).build_host()?.context();
        let mut linker = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        // what the provider needs of a host, over both versions of WASI
        link::add_p2_to_linker(&mut linker)?;
        link::add_to_linker(&mut linker)?;
        let mut store = link::store(component.engine(), context);
        let instance = linker.instantiate_async(&mut store, component).await?;
        Ok(Self { store, instance })
    }

    async fn greet(&mut self, name: &str) -> Result<Result<String, String>> {
        self.call("greet", (name.to_owned(),)).await
    }

    async fn stamp(&mut self) -> Result<Result<String, String>> {
        self.call("stamp", ()).await
    }

    async fn call<P>(&mut self, name: &str, arguments: P) -> Result<Result<String, String>>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
    {
        let function = self
            .instance
            .get_typed_func::<P, (Result<String, String>,)>(&mut self.store, name)?;
        let (told,) = function.call_async(&mut self.store, arguments).await?;
        Ok(told)
    }
}
