//! The application behind the filter, running.

use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};
use edgepass::link;
use edgepass_e2e::{Lab, Network, artifact};
use serde_json::Value;
use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Instance, Lift, Linker, Lower,
};
use wasmtime::{Engine, Store};

use crate::service::Service;

/// What the application exports.
pub(crate) const APP: &str = "edgepass:plain-app/requests@0.1.0";

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Message {
    pub(crate) method: String,
    pub(crate) scheme: Option<String>,
    pub(crate) authority: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) content: Option<Content>,
}

#[derive(Clone, Debug, Default, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Content {
    pub(crate) length: u64,
    pub(crate) announced: bool,
    pub(crate) late: bool,
    pub(crate) trailers: Vec<(String, String)>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) length: u64,
    pub(crate) beginning: String,
    pub(crate) trailers: Vec<(String, String)>,
}
/// The application, running.
pub(crate) struct App {
    pub(crate) store: Store<link::Context>,
    pub(crate) instance: Instance,
}

impl App {
    pub(crate) async fn start(lab: &Lab, config: &Value) -> Result<Self> {
        Self::of("target/components/plain-app-composed.wasm", lab, config).await
    }

    pub(crate) async fn of(path: &'static str, lab: &Lab, config: &Value) -> Result<Self> {
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

    pub(crate) async fn call<P, R>(&mut self, name: &str, arguments: P) -> Result<R>
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

    pub(crate) async fn send(&mut self, message: &Message) -> Result<Result<Answer, String>> {
        let (told,) = self.call("send", (message.clone(),)).await?;
        Ok(told)
    }

    pub(crate) async fn send_many(
        &mut self,
        message: &Message,
        times: u32,
    ) -> Result<Vec<Result<u16, String>>> {
        let (told,) = self.call("send-many", (message.clone(), times)).await?;
        Ok(told)
    }

    /// Sends that many bytes, and gets as many.
    pub(crate) async fn exchange(
        &mut self,
        service: &Service,
        bytes: u64,
        announced: bool,
    ) -> Result<()> {
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
pub(crate) fn compiled(path: &'static str) -> Result<(Engine, Component)> {
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
