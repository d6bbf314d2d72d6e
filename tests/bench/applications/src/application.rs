//! Applications that run: alone with a host's hook, and composed with filter and provider.

use std::pin::Pin;

use anyhow::{Context as _, Result, ensure};

use edgepass::downstream::Outgoing;
use edgepass::link::{self, Host};
use wasmtime::component::{
    Component, ComponentNamedList, ComponentType, Instance, Lift, Linker, Lower, ResourceTable,
};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::network::Network;

const REQUESTS: &str = "edgepass:plain-app/requests@0.1.0";
const CONSUMER: &str = "edgepass:consumer/app@0.1.0";
/// What an application sets itself, in the variants where it has a token of its own.
const OWN_HEADER: &str = "x-token";

const ATTEMPTS: &str = "edgepass:hostile-app/attempts@0.1.0";

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

#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
struct Content {
    length: u64,
    announced: bool,
    late: bool,
    trailers: Vec<(String, String)>,
}

#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
#[expect(
    dead_code,
    reason = "the interface has them; what counts here is the status"
)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    length: u64,
    beginning: String,
    trailers: Vec<(String, String)>,
}

/// An application that sends requests.
pub(crate) trait App {
    /// So many, one after the other, with this header of its own.
    fn send<'a>(
        &'a mut self,
        port: u16,
        path: &'a str,
        header: Option<&'a str>,
        count: usize,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>;
}

/// A component in a store.
struct Running<T: 'static> {
    store: Store<T>,
    instance: Instance,
}

impl<T: Send + 'static> Running<T> {
    async fn call<P, R>(&mut self, interface: &str, name: &str, arguments: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let (store, instance) = (&mut self.store, &self.instance);
        let found = instance.get_export_index(&mut *store, None, interface);
        let found = found.context("no interface")?;
        let function = instance.get_export_index(&mut *store, Some(&found), name);
        let function = function.context("no function")?;
        let function = instance.get_typed_func::<P, R>(&mut *store, function)?;
        Ok(function.call_async(store, arguments).await?)
    }

    async fn send(
        &mut self,
        port: u16,
        path: &str,
        header: Option<&str>,
        count: usize,
    ) -> Result<()> {
        let headers = header.map(|value| (OWN_HEADER.to_owned(), value.to_owned()));
        let message = Message {
            method: "GET".to_owned(),
            scheme: Some("http".to_owned()),
            authority: Some(format!("127.0.0.1:{port}")),
            path: Some(path.to_owned()),
            headers: headers.into_iter().collect(),
            content: None,
        };
        for _ in 0..count {
            let answered = self.call(REQUESTS, "send", (message.clone(),)).await;
            let (answered,): (Result<Answer, String>,) = answered?;
            let answer = answered.map_err(anyhow::Error::msg)?;
            ensure!(
                answer.status == 200,
                "the service answers {}",
                answer.status
            );
        }
        Ok(())
    }
}

/// One that has the host's hook.
pub(crate) struct Plain(Running<State>);

pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.outgoing,
        }
    }
}

impl Plain {
    pub(crate) async fn start(
        engine: &Engine,
        component: &Component,
        outgoing: Outgoing,
    ) -> Result<Self> {
        let mut linker = Linker::new(engine);
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        let state = State {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outgoing,
        };
        let mut store = link::store(engine, state);
        let instance = linker.instantiate_async(&mut store, component).await?;
        Ok(Self(Running { store, instance }))
    }

    pub(crate) async fn attempt(&mut self, what: &str) -> Result<String> {
        let told = self.0.call(ATTEMPTS, "attempt", (what.to_owned(),)).await;
        let (told,) = told?;
        Ok(told)
    }
}

impl App for Plain {
    fn send<'a>(
        &'a mut self,
        port: u16,
        path: &'a str,
        header: Option<&'a str>,
        count: usize,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
        Box::pin(self.0.send(port, path, header, count))
    }
}

/// One whose host has a network, and what the provider imports.
pub(crate) struct Composed(Running<link::Context>);

impl Composed {
    pub(crate) async fn start(engine: &Engine, component: &Component, host: Host) -> Result<Self> {
        let mut linker = Linker::new(engine);
        link::add_to_linker(&mut linker)?;
        let context = host.context().with_network(Network::default());
        let mut store = link::store(engine, context);
        let instance = linker.instantiate_async(&mut store, component).await?;
        Ok(Self(Running { store, instance }))
    }

    /// So many calls of the provider at once.
    pub(crate) async fn storm(&mut self, calls: u32, scope: &str) -> Result<()> {
        let told = self.0.call(CONSUMER, "storm", (calls, scope.to_owned()));
        let ((served, busy, failed),): ((u32, u32, u32),) = told.await?;
        ensure!(
            served == calls,
            "{served} served, {busy} busy, {failed} failed"
        );
        Ok(())
    }

    pub(crate) async fn cached(&mut self, scope: &str) -> Result<()> {
        let told = self.0.call(CONSUMER, "cached", (scope.to_owned(),)).await;
        let (token,): (Option<String>,) = told?;
        ensure!(token.is_some(), "no token is cached");
        Ok(())
    }
}

impl App for Composed {
    fn send<'a>(
        &'a mut self,
        port: u16,
        path: &'a str,
        header: Option<&'a str>,
        count: usize,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>> {
        Box::pin(self.0.send(port, path, header, count))
    }
}
