//! What every application gets: a store of its own, the hosts it may reach, and bounds.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use edgepass::downstream::{Outgoing, Reach};
use edgepass::link::{self, Bounds, Permitted, ProviderView};
use edgepass::{Builder, Environment, Provider};
use tokio::time::timeout;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::arguments::{ApplicationArguments, Provided};
use crate::audit::Sinks;
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::{provide, read};

/// How often an application that computes gives way to what else its thread has to do.
const TICK: Duration = Duration::from_millis(10);

/// How long requests that nobody waits for any more may take to end.
const ENDING: Duration = Duration::from_secs(1);

/// An application, compiled, with all that it may reach.
pub(crate) struct Application {
    pub(crate) engine: Engine,
    pub(crate) component: Component,
    pub(crate) linker: Linker<State>,
    provider: Provider,
    permitted: Permitted,
    outgoing: Outgoing,
    audit: Arc<Sinks>,
    environment: Vec<(String, String)>,
    directories: Arc<[Directory]>,
    memory_bytes: usize,
}

struct Directory {
    host: String,
    guest: String,
    permissions: FsPerms,
}

impl Application {
    pub(crate) async fn load(
        path: &Path,
        arguments: &ApplicationArguments,
    ) -> Result<Self, Failure> {
        let shown = read::shown(path);
        // before there is anything that it could keep waiting
        let wasm = read::whole(path)?;
        check_is_component(&shown, &wasm)?;
        if edgepass_compose::has_provider(&wasm) {
            ::log::warn!(
                "{shown} has a provider inside, which neither this configuration nor --audit is for: run the application that it \
                 was made of, or this one by `wasmtime run`, which gives it what it reads"
            );
        }

        // what is cheap to be wrong comes before what takes seconds
        let reach = Reach::parse("--allow-host", &arguments.allow_host)
            .map_err(|e| Failure::setup(e.to_string()))?;
        let directories = arguments.dir.iter().map(|text| {
            let (host, guest) = text.split_once("::").unwrap_or((text, text));
            if !Path::new(host).is_dir() {
                let shown = read::shown(Path::new(host));
                let failure = Failure::setup(format!("--dir: {shown} is no directory"));
                return Err(failure.hint(
                    "give a directory that is there, or HOST_PATH::GUEST_PATH: by --dir the application sees it and what is below it",
                ));
            }
            Ok(Directory {
                host: host.to_owned(),
                guest: guest.to_owned(),
                permissions: if arguments.writable {
                    FsPerms::ReadWrite
                } else {
                    FsPerms::ReadOnly
                },
            })
        });
        let directories = directories.collect::<Result<Vec<_>, _>>()?;

        for (option, path) in files(arguments) {
            if let Some(failure) = read::stream(option, path) {
                return Err(failure);
            }
            read::check(option, path)?;
        }
        let mut builder = Builder::from_process().ca_option("--ca-file");
        if let Some(config) = &arguments.config {
            builder = builder.config_file(config);
        }
        if let Some(ca_file) = &arguments.ca_file {
            builder = builder.ca_file(ca_file);
        }
        let provider = builder.build().await.map_err(Failure::from)?;
        // when it is known what is read
        let inputs = inputs(path, arguments, &provider);
        for directory in &directories {
            warn_of_keys(directory, &inputs);
        }
        let audit = Arc::new(Sinks::open(&arguments.audit, &inputs)?);
        let downstream = provider.configured_downstream();
        let downstream = downstream.map_err(|e| Failure::setup(format!("{e:#}")))?;
        let permitted = provide::permitted(&provider, &downstream, &arguments.allow_identity)?;
        let mut outgoing = Outgoing::new(&downstream).reaching(reach);
        if audit.is_wanted() {
            audit.start(&provider);
            let name = path
                .file_stem()
                .map(|name| name.to_string_lossy().into_owned());
            outgoing = outgoing.audited(name.unwrap_or_default(), Arc::clone(&audit) as _);
        }

        let engine = link::engine().map_err(|e| Failure::setup(format!("{e:#}")))?;
        let component = compile(&engine, wasm)
            .await
            .map_err(|e| {
                Failure::setup(format!("{shown} cannot be compiled: {e:#}")).hint(
                    "it has to be a component of WASI 0.2 or 0.3, as `wasm-tools validate` has it: build it anew",
                )
            })?;
        let linker =
            linker(&engine, &arguments.provide).map_err(|e| Failure::setup(format!("{e:#}")))?;
        tick(&engine);
        Ok(Self {
            engine,
            component,
            linker,
            provider,
            permitted,
            outgoing,
            audit,
            environment: arguments.env.clone(),
            directories: directories.into(),
            memory_bytes: usize::try_from(arguments.max_memory).unwrap_or(usize::MAX) * 1024 * 1024,
        })
    }

    /// When its stores have gone: writes down what it has left behind.
    pub(crate) fn finish(&self) -> impl Future<Output = ()> + use<> {
        let (outgoing, audit) = (self.outgoing.clone(), Arc::clone(&self.audit));
        async move {
            // one that takes longer is lost
            let _ = timeout(ENDING, outgoing.recorded()).await;
            audit.finish().await;
        }
    }

    /// Whether it exports an interface of that package and name, of whatever version.
    pub(crate) fn exports(&self, interface: &str) -> Option<String> {
        let kind = self.component.component_type();
        let mut names = kind.exports(&self.engine).map(|(name, _)| name.to_owned());
        names.find(|name| {
            let rest = name.strip_prefix(interface);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        })
    }

    /// The names of all that it exports.
    pub(crate) fn exported(&self) -> Vec<String> {
        let kind = self.component.component_type();
        let names = kind.exports(&self.engine);
        names.map(|(name, _)| name.to_owned()).collect()
    }

    /// What it imports and nobody here has, in words.
    pub(crate) fn explain(&self, error: &wasmtime::Error) -> Failure {
        let message = format!("the application cannot be linked: {error:#}");
        let kind = self.component.component_type();
        let imports = kind.imports(&self.engine).map(|(name, _)| name.to_owned());
        let imports: Vec<String> = imports.collect();
        let find = |beginning: &str| imports.iter().find(|name| name.starts_with(beginning));
        let failure = Failure::setup(message);
        for (import, hint) in [
            (
                "edgepass:credentials/token-file",
                "it has a provider inside, which needs more of a host than WASI: run the application as it was, or compose it with --standalone",
            ),
            (
                "edgepass:credentials-p2/token-file",
                "it has a provider inside, which needs more of a host than WASI: run the application as it was, with --provide credential-provider",
            ),
        ] {
            if find(import).is_some() {
                return failure.hint(hint);
            }
        }
        let mut ours = imports
            .iter()
            .filter(|name| name.starts_with("edgepass:credentials"));
        match ours.find(|name| error_names(error, name)) {
            Some(_) => failure.hint(
                "an application calls edgepass itself only where --provide says so (--provide credential-provider); one whose requests get tokens by the rules needs none of it",
            ),
            None if error_names(error, "exceeds memory limits")
                || error_names(error, "exceeds table limits") =>
            {
                failure.hint("give it more by --max-memory, in MiB")
            }
            None => failure.hint(
                "it may import WASI 0.2 and 0.3, but no sockets of its own: what it sends goes out by wasi:http",
            ),
        }
    }

    /// A store for one instance. What is held is let go when its directories have been opened, also where nobody waits for
    /// that any more.
    pub(crate) async fn store(
        &self,
        held: impl Send + 'static,
        set_up: impl FnOnce(&mut WasiCtxBuilder) + Send,
    ) -> wasmtime::Result<Store<State>> {
        let mut wasi = self.with_directories(WasiCtx::builder(), held).await?;
        wasi.envs(&self.environment);
        set_up(&mut wasi);
        let state = State {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table: ResourceTable::new(),
            outgoing: self.outgoing.clone(),
            provider: self.provider.clone(),
            bounds: Bounds::of_application(self.memory_bytes),
            permitted: self.permitted.clone(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.bounds);
        // an application that computes gives way at each tick, so that it can be ended
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        Ok(store)
    }

    /// Opens the directories on a thread that may wait for them: a server may have them.
    async fn with_directories(
        &self,
        mut wasi: WasiCtxBuilder,
        held: impl Send + 'static,
    ) -> wasmtime::Result<WasiCtxBuilder> {
        if self.directories.is_empty() {
            return Ok(wasi);
        }
        let directories = Arc::clone(&self.directories);
        let opened = tokio::task::spawn_blocking(move || {
            let _held = held;
            for directory in &*directories {
                let Directory {
                    host,
                    guest,
                    permissions,
                } = directory;
                let opened = wasi.preopened_dir(host, guest, *permissions);
                opened.map_err(|error| {
                    wasmtime::Error::msg(format!("--dir: {host} cannot be opened: {error:#}"))
                })?;
            }
            Ok(wasi)
        });
        let opened = opened.await;
        opened.unwrap_or_else(|error| Err(wasmtime::Error::msg(error.to_string())))
    }
}

fn error_names(error: &wasmtime::Error, name: &str) -> bool {
    let name = name.split('@').next().unwrap_or(name);
    format!("{error:#}").contains(name)
}

/// The state of an application's store. Nothing of the provider is in it but a handle.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
    provider: Provider,
    bounds: Bounds,
    permitted: Permitted,
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

impl ProviderView for State {
    fn provider(&self) -> &Provider {
        &self.provider
    }

    fn permitted(&self) -> Permitted {
        self.permitted.clone()
    }
}

/// Says which files an application can read that edgepass reads to get tokens. It is not refused: one with a provider of its own
/// inside reads them itself.
fn warn_of_keys(directory: &Directory, inputs: &Inputs) {
    /// What is no secret: the application itself, and certificates of authorities.
    const OPEN: [&str; 4] = [
        "the application",
        "--ca-file",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ];

    for (named_by, file) in inputs.below(Path::new(&directory.host)) {
        if OPEN.contains(&named_by) || named_by.ends_with("ca_file") {
            continue;
        }
        log::warn!(
            "--dir: {} has {} in it ({named_by}), which the application can read: give it a directory without",
            read::shown(Path::new(&directory.host)),
            read::shown(file),
        );
    }
}

/// The files that options name.
fn files(arguments: &ApplicationArguments) -> impl Iterator<Item = (&'static str, &Path)> {
    let named = [
        ("--config", &arguments.config),
        ("--ca-file", &arguments.ca_file),
    ];
    let named = named.into_iter();
    named.filter_map(|(option, path)| Some((option, path.as_deref()?)))
}

/// What is read of the application and for it.
fn inputs(path: &Path, arguments: &ApplicationArguments, provider: &Provider) -> Inputs {
    let mut inputs = Inputs::default();
    inputs.add("the application", path);
    for (option, path) in files(arguments) {
        inputs.add(option, path);
    }
    let of_variables = [
        (Environment::EDGEPASS_CONFIG, arguments.config.is_none()),
        ("SSL_CERT_FILE", arguments.ca_file.is_none()),
    ];
    let folders = std::env::var_os("SSL_CERT_DIR").filter(|_| arguments.ca_file.is_none());
    for folder in std::env::split_paths(&folders.unwrap_or_default()) {
        // what cannot be listed has no file that is read
        for entry in folder.read_dir().into_iter().flatten().flatten() {
            inputs.add("SSL_CERT_DIR", &entry.path());
        }
    }
    for (variable, is_read) in of_variables {
        if let Some(path) = std::env::var_os(variable).filter(|_| is_read) {
            inputs.add(variable, Path::new(&path));
        }
    }
    inputs.add_all(provider.named_files());
    inputs
}

async fn compile(engine: &Engine, wasm: Vec<u8>) -> wasmtime::Result<Component> {
    let engine = engine.clone();
    let compiled = tokio::task::spawn_blocking(move || link::compile(&engine, &wasm)).await;
    compiled.unwrap_or_else(|e| Err(wasmtime::Error::msg(e.to_string())))
}

fn linker(engine: &Engine, provide: &[Provided]) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    provide::add_to_linker(&mut linker, provide)?;
    Ok(linker)
}

/// Counts epochs for as long as the engine is there.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    thread::spawn(move || {
        loop {
            thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    });
}

/// The first eight bytes say what it is: magic, version, layer.
fn check_is_component(shown: &str, wasm: &[u8]) -> Result<(), Failure> {
    match wasm {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(Failure::setup(format!(
            "{shown} is a module, and not a component"
        ))
        .hint("make one of it by `wasm-tools component new`, or compile for wasm32-wasip2")),
        _ => Err(
            Failure::setup(format!("{shown} is no WebAssembly")).hint(
                "name the component that the build leaves, APP.wasm; its text form (.wat) becomes one by `wasm-tools parse`",
            ),
        ),
    }
}
