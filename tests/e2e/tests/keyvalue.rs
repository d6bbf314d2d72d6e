//! Acceptance: a provider in another runtime shares its tokens by `wasi:keyvalue`. The real provider and the real store
//! component, composed with an application, run under wasmtime with what it has for that interface, and with a store that
//! fails; and what is there is what the host puts into Redis.

// tells the lints that helpers are test code too
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass::{TokenSource, link};
use edgepass_e2e::{GRAPH, Lab, RedisServer, artifact, graph};
use futures::future::try_join_all;
use serde_json::{Value, json};
use wasmparser::{Parser, Payload};
use wasmtime::component::{
    Component, ComponentNamedList, HasData, Instance, Lift, Linker, Lower, Resource, ResourceTable,
};
use wasmtime::{Engine, Store};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::p3::bindings::cli::stderr;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};
use wasmtime_wasi_keyvalue::{WasiKeyValue, WasiKeyValueCtx};

const KEY_ONE: &str = "one AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_TWO: &str = "two ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// The application with provider and store in it.
const COMPOSED: &str = "target/components/consumer-keyvalue.wasm";

/// What the composition imports beside what a provider imports.
const MORE_IMPORTS: [&str; 5] = [
    "wasi:cli/stderr@0.3.0",
    "wasi:cli/types@0.3.0",
    "wasi:filesystem/preopens@0.3.0",
    "wasi:filesystem/types@0.3.0",
    "wasi:keyvalue/store@0.2.0-draft",
];

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/keyvalue/deps/keyvalue",
        world: "wasi:keyvalue/imports",
        imports: { default: trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
    });
}

use bindings::wasi::keyvalue::store;

/// A store of the test's own, which many instances open.
#[derive(Clone, Default)]
pub struct Bucket(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    entries: BTreeMap<String, Vec<u8>>,
    /// What every call answers.
    error: Option<store::Error>,
    is_full: bool,
    /// What a call takes.
    delay: Duration,
    asked: u64,
}

impl Bucket {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> Result<MutexGuard<'_, Content>, store::Error> {
        let mut content = self.content();
        content.asked += 1;
        thread::sleep(content.delay);
        match content.error.clone() {
            Some(error) => Err(error),
            None => Ok(content),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let content = self.content();
        let entries = content.entries.iter();
        entries
            .flat_map(|(key, value)| [key.as_bytes(), value].concat())
            .collect()
    }
}

/// What a store of components has beside the context of the host: a bucket, and a table for its handles.
struct Buckets<'a> {
    bucket: &'a Bucket,
    table: &'a mut ResourceTable,
}

type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for Buckets<'_> {
    fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        if identifier != "tokens" {
            return Ok(Err(store::Error::NoSuchStore));
        }
        if let Err(error) = self.bucket.asked() {
            return Ok(Err(error));
        }
        Ok(Ok(self.table.push(self.bucket.clone())?))
    }
}

impl store::HostBucket for Buckets<'_> {
    fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        let bucket = self.table.get(&bucket)?;
        Ok(bucket
            .asked()
            .map(|content| content.entries.get(&key).cloned()))
    }

    fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        let bucket = self.table.get(&bucket)?;
        Ok(bucket.asked().and_then(|mut content| {
            if content.is_full {
                return Err(store::Error::Other(
                    "OOM of redis://:hunter2@cache".to_owned(),
                ));
            }
            content.entries.insert(key, value);
            Ok(())
        }))
    }

    fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<()> {
        let bucket = self.table.get(&bucket)?;
        Ok(bucket.asked().map(|mut content| {
            content.entries.remove(&key);
        }))
    }

    fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        let bucket = self.table.get(&bucket)?;
        Ok(bucket
            .asked()
            .map(|content| content.entries.contains_key(&key)))
    }

    fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        _: Option<u64>,
    ) -> Answer<store::KeyResponse> {
        let bucket = self.table.get(&bucket)?;
        Ok(bucket.asked().map(|content| store::KeyResponse {
            keys: content.entries.keys().cloned().collect(),
            cursor: None,
        }))
    }

    fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

/// How a linker finds it.
struct InData;

impl HasData for InData {
    type Data<'a> = Buckets<'a>;
}

/// Data of a runtime.
struct Data {
    context: link::Context,
    /// With the variables and folders of the composition.
    wasi: WasiCtx,
    bucket: Bucket,
    /// What the `wasmtime` command has.
    stock: WasiKeyValueCtx,
}

impl WasiView for Data {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: self.context.ctx().table,
        }
    }
}

impl WasiHttpView for Data {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.context.http()
    }
}

impl link::HostView for Data {
    fn edgepass(&mut self) -> link::HostContextView<'_> {
        self.context.edgepass()
    }
}

/// What runs compositions. The component is compiled once.
struct Runtime<'l> {
    lab: &'l Lab,
    engine: Engine,
    component: Component,
    bucket: Bucket,
}

/// One that runs.
struct App {
    store: Store<Data>,
    instance: Instance,
    stderr: MemoryOutputPipe,
}

impl<'l> Runtime<'l> {
    fn new(lab: &'l Lab) -> Result<Self> {
        for key in [KEY_ONE, KEY_TWO] {
            let (_, key) = key.split_once(' ').context("an id and a key")?;
            lab.evidence.secret("key of the store", key);
        }
        let engine = link::engine()?;
        let component = link::compile(&engine, &fs::read(artifact(COMPOSED)?)?)?;
        Ok(Self {
            lab,
            engine,
            component,
            bucket: Bucket::default(),
        })
    }

    /// With a secret, and a file of these keys.
    async fn app(&self, keys: &[&str]) -> Result<App> {
        let file = format!("keys-{}", keys.join("-").len());
        self.lab.write(&file, keys.join("\n"))?;
        let variables = [
            (
                "EDGEPASS_TOKEN_STORE_KEYS_FILE",
                format!("/run/keys/{file}"),
            ),
            ("EDGEPASS_TOKEN_STORE_BUCKET", "tokens".to_owned()),
        ];
        self.with(&secret(self.lab), &variables).await
    }

    async fn with(&self, credential: &Value, variables: &[(&str, String)]) -> Result<App> {
        self.linked(credential, variables, |linker| {
            store::add_to_linker::<_, InData>(linker, |data: &mut Data| Buckets {
                bucket: &data.bucket,
                table: data.context.ctx().table,
            })
        })
        .await
    }

    async fn linked(
        &self,
        credential: &Value,
        variables: &[(&str, String)],
        keyvalue: impl FnOnce(&mut Linker<Data>) -> wasmtime::Result<()>,
    ) -> Result<App> {
        let mut config = self.lab.config(credential);
        config["host"] = json!({ "token_store": {} });
        let stderr = MemoryOutputPipe::new(64 * 1024);
        let mut wasi = WasiCtx::builder();
        wasi.env("EDGEPASS_CONFIG_JSON", config.to_string())
            .stderr(stderr.clone())
            .preopened_dir(self.lab.scratch(), "/run/keys", FsPerms::ReadOnly)?;
        for (name, value) in variables {
            wasi.env(name, value);
        }
        let data = Data {
            context: self.lab.configured(&config).build_host()?.context(),
            wasi: wasi.build(),
            bucket: self.bucket.clone(),
            stock: WasiKeyValueCtx::builder().build(),
        };
        let mut linker = Linker::new(&self.engine);
        link::add_to_linker(&mut linker)?;
        wasmtime_wasi::p3::filesystem::add_to_linker(&mut linker)?;
        // what it prints is looked at here, and does not go where the host's goes
        linker.allow_shadowing(true);
        stderr::add_to_linker::<_, WasiCli>(&mut linker, WasiCliView::cli)?;
        keyvalue(&mut linker)?;
        let mut store = link::store(&self.engine, data);
        let instance = linker
            .instantiate_async(&mut store, &self.component)
            .await?;
        Ok(App {
            store,
            instance,
            stderr,
        })
    }
}

impl App {
    async fn call<P, R>(&mut self, name: &str, arguments: P) -> Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let (store, instance) = (&mut self.store, &self.instance);
        let app = instance.get_export_index(&mut *store, None, "edgepass:consumer/app@0.1.0");
        let app = app.context("no application")?;
        let function = instance.get_export_index(&mut *store, Some(&app), name);
        let function = function.with_context(|| format!("no function `{name}`"))?;
        let function = instance.get_typed_func::<P, R>(&mut *store, function)?;
        Ok(function.call_async(&mut *store, arguments).await?)
    }

    async fn token(&mut self, lab: &Lab) -> Result<String> {
        let (token,): (Result<String, String>,) = self.call("token", (GRAPH.to_owned(),)).await?;
        let token = token.map_err(anyhow::Error::msg)?;
        lab.evidence.secret("access token", &token);
        Ok(token)
    }

    /// What its status says of the store.
    async fn counted(&mut self) -> Result<BTreeMap<String, u64>> {
        let (lines,): (Vec<String>,) = self.call("watch", ()).await?;
        let words: Vec<&str> = lines.first().context("an identity")?.split(' ').collect();
        let pairs = words.windows(2).filter_map(|pair| match pair {
            [name, number] => Some(((*name).to_owned(), number.parse().ok()?)),
            _ => None,
        });
        Ok(pairs.collect())
    }

    /// What it has said on standard error.
    fn said(&self, lab: &Lab) -> Result<String> {
        let said = String::from_utf8(self.stderr.contents().to_vec())?;
        lab.evidence.saw("stderr", &said);
        Ok(said)
    }
}

fn secret(lab: &Lab) -> Value {
    json!({ "client_secret": { "value": lab.emulator.client_secret() } })
}

/// Whether that is anywhere in there, as it is or encoded.
fn is_in(bytes: &[u8], text: &str) -> bool {
    let forms = [
        text.as_bytes().to_vec(),
        STANDARD.encode(text).into_bytes(),
        URL_SAFE_NO_PAD.encode(text).into_bytes(),
    ];
    let found = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window == form);
    forms.iter().any(found)
}

fn imports(path: &str) -> Result<BTreeSet<String>> {
    let wasm = fs::read(artifact(path)?)?;
    let mut found = BTreeSet::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(&wasm) {
        match payload? {
            Payload::ComponentSection { .. } | Payload::ModuleSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.insert(import?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The composition imports what a provider imports but for its store, and in place of that what the store is made of.
#[test]
fn the_composition_imports_a_bucket_in_place_of_a_token_store() -> Result<()> {
    const STORE: &str = "edgepass:credentials/token-store@0.2.0";
    let provider = imports("dist/credential-provider.wasm")?;
    let composed = imports(COMPOSED)?;
    assert!(provider.contains(STORE) && !composed.contains(STORE));
    let more: BTreeSet<&str> = composed.difference(&provider).map(String::as_str).collect();
    let types = ["wasi:clocks/types@0.3.0", "wasi:cli/types@0.3.0"];
    let named = |name: &&str| !types.contains(name);
    assert_eq!(
        more.into_iter().filter(named).collect::<Vec<_>>(),
        MORE_IMPORTS.into_iter().filter(named).collect::<Vec<_>>()
    );
    Ok(())
}

/// The command of docs/components.md makes what the tests run.
#[test]
fn a_store_is_plugged_in_by_compose() -> Result<()> {
    let lab = Lab::new("keyvalue_compose")?;
    let output = lab.scratch().join("composed.wasm");
    let compose = |store: &str| -> Result<(bool, String)> {
        let ran = std::process::Command::new(artifact("target/debug/xtask")?)
            .arg("compose")
            .arg(artifact("target/components/consumer.wasm")?)
            .arg("--token-store")
            .arg(artifact(store)?)
            .arg("--output")
            .arg(&output)
            .output()?;
        let said = String::from_utf8([ran.stdout, ran.stderr].concat())?;
        lab.evidence.saw("compose", &said);
        Ok((ran.status.success(), said))
    };
    let (done, said) = compose("target/components/hostile.wasm")?;
    ensure!(
        !done && said.contains("exports no edgepass:credentials/token-store"),
        "{said}"
    );
    let (done, said) = compose("dist/token-store-keyvalue.wasm")?;
    ensure!(done, "{said}");
    assert!(fs::read(&output)? == fs::read(artifact(COMPOSED)?)?);
    Ok(())
}

/// A second instance's first call is no exchange; and who reads the store reads no token, assertion or claim.
#[tokio::test]
async fn a_second_instance_takes_the_token_and_nobody_else_can() -> Result<()> {
    let lab = Lab::new("keyvalue_two")?;
    let runtime = Runtime::new(&lab)?;
    lab.write("keys", KEY_ONE)?;
    let variables = [
        (
            "EDGEPASS_TOKEN_STORE_KEYS_FILE",
            "/run/keys/keys".to_owned(),
        ),
        ("EDGEPASS_TOKEN_STORE_BUCKET", "tokens".to_owned()),
    ];
    let token_file = json!({ "federated_token_file": { "path": lab.files.token_file() } });
    let certificate = json!({ "certificate": { "name": "demo" } });
    for credential in [secret(&lab), token_file, certificate] {
        runtime.bucket.content().entries.clear();
        lab.emulator.clear_journal();
        let mut first = runtime.with(&credential, &variables).await?;
        let token = first.token(&lab).await?;
        let mut second = runtime.with(&credential, &variables).await?;
        assert!(second.token(&lab).await? == token, "another token");
        let requests = lab.emulator.token_requests();
        assert_eq!(requests.len(), 1);
        let counted = second.counted().await?;
        assert_eq!((counted["exchanges"], counted["store-hits"]), (0, 1));
        // the lease is given back behind the call that it was for
        for _ in 0..100 {
            if runtime.bucket.content().entries.len() == 1 {
                break;
            }
            first.token(&lab).await?;
        }
        assert_eq!(runtime.bucket.content().entries.len(), 1);
        let bytes = runtime.bucket.bytes();
        assert!(bytes.len() > token.len(), "an entry is there");
        let mut hidden = vec![
            lab.emulator.client_secret().to_owned(),
            lab.emulator.client_id().to_owned(),
            lab.emulator.tenant().to_owned(),
            GRAPH.to_owned(),
            token.clone(),
        ];
        // of a token that is taken apart, too
        hidden.extend(
            token
                .split('.')
                .filter(|part| part.len() > 8)
                .map(str::to_owned),
        );
        hidden.extend(
            requests
                .iter()
                .filter_map(|entry| entry.field("client_assertion")),
        );
        for hidden in &hidden {
            assert!(!is_in(&bytes, hidden), "{hidden} is in the store");
        }
        assert_eq!(first.said(&lab)? + &second.said(&lab)?, "");
    }
    Ok(())
}

#[tokio::test]
async fn instances_that_start_together_ask_once() -> Result<()> {
    let lab = Lab::new("keyvalue_fleet")?;
    let runtime = Runtime::new(&lab)?;
    let mut apps = Vec::new();
    for _ in 0..12 {
        apps.push(runtime.app(&[KEY_ONE]).await?);
    }
    let tokens = try_join_all(apps.iter_mut().map(|app| app.token(&lab))).await?;
    assert_eq!(BTreeSet::from_iter(tokens).len(), 1);
    assert_eq!(lab.emulator.token_requests().len(), 1);
    Ok(())
}

/// Each key of the file opens what it has sealed; what none of them opens is as if it were not there, and said once.
#[tokio::test]
async fn keys_are_rotated_and_a_wrong_one_is_said() -> Result<()> {
    let lab = Lab::new("keyvalue_keys")?;
    let runtime = Runtime::new(&lab)?;
    let exchanges = || lab.emulator.token_requests().len();
    runtime.app(&[KEY_ONE]).await?.token(&lab).await?;
    let mut both = runtime.app(&[KEY_TWO, KEY_ONE]).await?;
    both.token(&lab).await?;
    assert_eq!((exchanges(), both.said(&lab)?.as_str()), (1, ""));
    let swapped = KEY_ONE.replace("one", "two");
    for (keys, says) in [
        (KEY_TWO, "whose id is not in the file of keys"),
        (&swapped, "another key than that of its id"),
    ] {
        let before = exchanges();
        let mut other = runtime.app(&[keys]).await?;
        other.token(&lab).await?;
        // his own is there now
        runtime.app(&[keys]).await?.token(&lab).await?;
        assert_eq!(exchanges(), before + 1, "{says}");
        let said = other.said(&lab)?;
        assert!(
            said.starts_with("edgepass token store: an entry is ignored")
                && said.contains(says)
                && said.lines().count() == 1,
            "{said}"
        );
    }
    // where there are no folders
    let variables = [
        ("EDGEPASS_TOKEN_STORE_KEYS", swapped.clone()),
        ("EDGEPASS_TOKEN_STORE_BUCKET", "tokens".to_owned()),
    ];
    let before = exchanges();
    let mut told = runtime.with(&secret(&lab), &variables).await?;
    told.token(&lab).await?;
    assert_eq!(exchanges(), before);
    Ok(())
}

/// What the store does not do costs an exchange, and no request. It is said once, without what the store has written.
#[tokio::test]
async fn no_request_fails_for_the_store() -> Result<()> {
    let lab = Lab::new("keyvalue_faults")?;
    let runtime = Runtime::new(&lab)?;
    let password = "redis://:hunter2@cache";
    type Fault<'f> = (&'f str, fn(&mut Content), &'f str);
    let faults: [Fault<'_>; 4] = [
        (
            "down",
            |content| {
                content.error = Some(store::Error::Other("redis://:hunter2@cache".to_owned()));
            },
            "answers with an error",
        ),
        (
            "forbidden",
            |content| content.error = Some(store::Error::AccessDenied),
            "may not have the bucket `tokens` (EDGEPASS_TOKEN_STORE_BUCKET)",
        ),
        (
            "full",
            |content| content.is_full = true,
            "what is new is not kept",
        ),
        (
            "slow",
            |content| content.delay = Duration::from_millis(600),
            "took more than 500 ms",
        ),
    ];
    for (name, fault, says) in faults {
        let mut app = runtime.app(&[KEY_ONE]).await?;
        *runtime.bucket.content() = Content::default();
        fault(&mut runtime.bucket.content());
        let token = app.token(&lab).await?;
        assert!(app.token(&lab).await? == token, "{name}: it is not cached");
        // again, with the store left alone by then
        let (_,): (u32,) = app.call("forget", ()).await?;
        app.token(&lab).await?;
        let counted = app.counted().await?;
        assert!(counted["store-failures"] > 0, "{name}: {counted:?}");
        let said = app.said(&lab)?;
        assert!(said.contains(says), "{name}: {said}");
        assert!(
            said.lines().count() <= 2 && !said.contains(password),
            "{name}: {said}"
        );
    }
    *runtime.bucket.content() = Content::default();
    let bucket = ("EDGEPASS_TOKEN_STORE_BUCKET", "tokens".to_owned());
    let file = |name: &str| ("EDGEPASS_TOKEN_STORE_KEYS_FILE", name.to_owned());
    lab.write("bad", "one aHVudGVyMg==")?;
    lab.write("long", "#".repeat(20_000))?;
    for (variables, says) in [
        (vec![bucket.clone()], "set EDGEPASS_TOKEN_STORE_KEYS_FILE"),
        (
            vec![bucket.clone(), file("/run/keys/none")],
            "/run/keys/none (EDGEPASS_TOKEN_STORE_KEYS_FILE) cannot be read now: there is no such file",
        ),
        (
            vec![bucket.clone(), file("/elsewhere/keys")],
            "it is in no folder that the runtime has preopened",
        ),
        (
            vec![bucket.clone(), file("/run/keys/bad")],
            "line 1: the key is not 32 bytes",
        ),
        (
            vec![bucket.clone(), file("/run/keys/long")],
            "more than 16384 bytes",
        ),
        (
            vec![
                ("EDGEPASS_TOKEN_STORE_KEYS", KEY_ONE.to_owned()),
                ("EDGEPASS_TOKEN_STORE_BUCKET", "another".to_owned()),
            ],
            "knows no bucket `another` (EDGEPASS_TOKEN_STORE_BUCKET)",
        ),
        (
            vec![
                bucket,
                ("EDGEPASS_TOKEN_STORE_KEYS", KEY_ONE.to_owned()),
                ("EDGEPASS_TOKEN_STORE_KEY_PREFIX", "{x}".to_owned()),
            ],
            "EDGEPASS_TOKEN_STORE_KEY_PREFIX has other characters",
        ),
    ] {
        let mut app = runtime.with(&secret(&lab), &variables).await?;
        app.token(&lab).await?;
        let said = app.said(&lab)?;
        assert!(said.contains(says), "{says}: {said}");
        assert!(
            said.lines().count() == 1 && !said.contains("aHVudGVyMg"),
            "{said}"
        );
    }
    assert!(runtime.bucket.content().entries.is_empty());
    Ok(())
}

/// What somebody else has written under each of the keys.
#[tokio::test]
async fn what_is_hostile_gives_way() -> Result<()> {
    let lab = Lab::new("keyvalue_hostile")?;
    let runtime = Runtime::new(&lab)?;
    runtime.app(&[KEY_ONE]).await?.token(&lab).await?;
    let good = runtime.bucket.content().entries.clone();
    let (_, entry) = good.first_key_value().context("an entry")?;
    let other = [&[2], entry.get(1..).context("more")?].concat();
    let mut flipped = entry.clone();
    *flipped.last_mut().context("a tag")? ^= 1;
    for hostile in [vec![], vec![1], other, flipped, vec![0x31; 2 * 1024 * 1024]] {
        for value in runtime.bucket.content().entries.values_mut() {
            value.clone_from(&hostile);
        }
        let before = lab.emulator.token_requests().len();
        runtime.app(&[KEY_ONE]).await?.token(&lab).await?;
        runtime.app(&[KEY_ONE]).await?.token(&lab).await?;
        assert_eq!(lab.emulator.token_requests().len(), before + 1);
    }
    Ok(())
}

/// The host over Redis and the component over `wasi:keyvalue` read each other's entries.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_puts_into_redis_is_read_here_and_the_other_way_round() -> Result<()> {
    let lab = Lab::new("keyvalue_redis")?;
    let runtime = Runtime::new(&lab)?;
    let redis = RedisServer::start(&[]).await?;
    let mut config = lab.config(&secret(&lab));
    config["host"] = json!({ "token_store": {
        "url": redis.url(), "encryption_keys_file": lab.write("host-keys", KEY_ONE)?,
    } });
    let host = lab.configured(&config).build().await?;
    let token = lab.issued(&host.get_token(&graph()).await?);
    for key in redis.keys()? {
        let value = redis.ask(&["GET", key.as_str()])?.concat();
        runtime.bucket.content().entries.insert(key, value);
    }
    let mut app = runtime.app(&[KEY_ONE]).await?;
    assert!(app.token(&lab).await? == token, "another token");
    assert_eq!(lab.emulator.token_requests().len(), 1);

    runtime.bucket.content().entries.clear();
    redis.ask(&["FLUSHALL"])?;
    let token = runtime.app(&[KEY_ONE]).await?.token(&lab).await?;
    for (key, value) in &runtime.bucket.content().entries {
        redis.ask(&[b"SET", key.as_bytes(), value])?;
    }
    let host = lab.configured(&config).build().await?;
    let shared = host.get_token(&graph()).await?;
    assert_eq!(shared.source, TokenSource::Cache);
    assert!(lab.issued(&shared) == token, "another token");
    assert_eq!(lab.emulator.token_requests().len(), 2);
    Ok(())
}

/// What the `wasmtime` command has for `wasi:keyvalue`: a store in memory, of one instance.
#[tokio::test]
async fn it_runs_with_the_store_of_wasmtime() -> Result<()> {
    let lab = Lab::new("keyvalue_stock")?;
    let runtime = Runtime::new(&lab)?;
    let variables = [("EDGEPASS_TOKEN_STORE_KEYS", KEY_ONE.to_owned())];
    let mut app = runtime
        .linked(&secret(&lab), &variables, |linker| {
            wasmtime_wasi_keyvalue::add_to_linker(linker, |data: &mut Data| {
                WasiKeyValue::new(&data.stock, data.context.ctx().table)
            })
        })
        .await?;
    app.token(&lab).await?;
    let counted = app.counted().await?;
    assert_eq!((counted["store-misses"], counted["store-failures"]), (1, 0));
    assert_eq!(app.said(&lab)?, "");
    Ok(())
}

/// The command and the library have no store but the one that they are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_section_without_a_url_is_for_components() -> Result<()> {
    let lab = Lab::new("keyvalue_section")?;
    let mut config = lab.config(&secret(&lab));
    config["host"] = json!({ "token_store": { "users": true } });
    let error = lab.configured(&config).build().await.err();
    let said = error.context("it is taken")?.to_string();
    lab.evidence.saw("an error", &said);
    ensure!(said.contains("host.token_store.url"), "{said}");
    let problems = lab.configured(&config).build_host()?.problems().join("\n");
    ensure!(problems.contains("host.token_store.url"), "{problems}");
    Ok(())
}
