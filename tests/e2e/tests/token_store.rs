//! Acceptance: several instances share their tokens by a real Redis or Valkey. What the store does not do, because it is
//! dead, slow, full or locked, costs an exchange and no request; and nobody reads a token there.

// tells the lints that helpers are test code too
#![cfg(test)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use edgepass::{Builder, Environment, Provider, TokenRequest, TokenSource};
use edgepass_e2e::{
    GRAPH, Lab, RedisServer as Store, artifact, forced, free_port, graph, until, warnings,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

const KEY_ONE: &str = "one AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_TWO: &str = "two ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

const PASSWORD: &str = "hunter2-of-the-store";

const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1793491200"}}}"#;

/// A store that speaks TLS alone.
async fn with_tls(files: &TlsFiles) -> Result<Store> {
    let port = free_port()?;
    let path = |path: &Path| path.display().to_string();
    let options = [
        ("--port", "0".to_owned()),
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", path(&files.certificate)),
        ("--tls-key-file", path(&files.key)),
        ("--tls-ca-cert-file", path(&files.authority)),
        ("--tls-auth-clients", "no".to_owned()),
    ];
    let options = options
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
    Store::at(port, options).await
}

/// The wire to a store: all that goes over it is kept, and it may be slow.
struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
    delay_ms: Arc<AtomicU64>,
}

impl Wire {
    fn to(store: &Store) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let wire = Self {
            port: listener.local_addr()?.port(),
            seen: Arc::default(),
            delay_ms: Arc::default(),
        };
        let (seen, delay_ms) = (Arc::clone(&wire.seen), Arc::clone(&wire.delay_ms));
        let to = store.port;
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, to)) else {
                    continue;
                };
                let ways = [
                    (client.try_clone(), server.try_clone()),
                    (Ok(server), Ok(client)),
                ];
                for (from, to) in ways {
                    let (seen, delay_ms) = (Arc::clone(&seen), Arc::clone(&delay_ms));
                    thread::spawn(move || pass(from?, to?, &seen, &delay_ms));
                }
            }
        });
        Ok(wire)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn seen(&self) -> Vec<u8> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    seen: &Mutex<Vec<u8>>,
    delay_ms: &AtomicU64,
) -> std::io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        if length == 0 {
            return to.shutdown(std::net::Shutdown::Write);
        }
        thread::sleep(Duration::from_millis(delay_ms.load(Ordering::Relaxed)));
        let bytes = buffer.get(..length).unwrap_or_default();
        let mut all = seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        drop(all);
        to.write_all(bytes)?;
    }
}

/// A configuration with that section.
fn config(lab: &Lab, credential: &Value, store: &Value) -> Value {
    let mut config = lab.config(credential);
    config["host"] = json!({ "token_store": store });
    config
}

fn secret(lab: &Lab) -> Value {
    json!({ "client_secret": { "value": lab.emulator.client_secret() } })
}

/// The section, with a file of these keys.
fn section(lab: &Lab, url: &str, name: &str, keys: &[&str]) -> Result<Value> {
    let file = lab.write(name, keys.join("\n"))?;
    for key in keys {
        let (_, key) = key.split_once(' ').context("an id and a key")?;
        lab.evidence.secret("key of the store", key);
    }
    Ok(json!({ "url": url, "encryption_keys_file": file }))
}

fn instance(lab: &Lab, store: &Value) -> Builder {
    lab.configured(&config(lab, &secret(lab), store))
}

async fn counters(provider: &Provider) -> Result<edgepass::Counters> {
    let status = provider.status().await?;
    Ok(status.first().context("an identity")?.counters)
}

/// Whether that is anywhere in there, as it is or encoded.
fn is_in(bytes: &[u8], text: &str) -> bool {
    let forms = [
        text.as_bytes().to_vec(),
        STANDARD.encode(text).into_bytes(),
        STANDARD_NO_PAD.encode(text).into_bytes(),
        URL_SAFE_NO_PAD.encode(text).into_bytes(),
    ];
    let found = |form: &Vec<u8>| bytes.windows(form.len()).any(|window| window == form);
    forms.iter().any(found)
}

/// The second host's first call is no exchange; and what is in the store and on its wire says nothing to who reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_takes_the_token_and_nobody_else_can() -> Result<()> {
    let lab = Lab::new("token_store_two")?;
    let store = Store::start(&[]).await?;
    let wire = Wire::to(&store)?;
    let section = section(&lab, &wire.url(), "keys", &[KEY_ONE])?;
    let token_file = json!({ "federated_token_file": { "path": lab.files.token_file() } });
    let certificate = json!({ "certificate": { "name": "demo" } });
    let mut hidden = vec![
        lab.emulator.client_secret().to_owned(),
        lab.emulator.client_id().to_owned(),
        lab.emulator.tenant().to_owned(),
        GRAPH.to_owned(),
        "essential".to_owned(),
        fs::read_to_string(lab.files.token_file())?
            .trim()
            .to_owned(),
    ];
    for credential in [secret(&lab), token_file, certificate] {
        store.ask(&["FLUSHALL"])?;
        lab.emulator.clear_journal();
        let config = config(&lab, &credential, &section);
        let first = lab.configured(&config).build().await?;
        let token = first.get_token(&graph()).await?;
        assert_eq!(token.source, TokenSource::Exchange);
        let second = lab.configured(&config).build().await?;
        let shared = second.get_token(&graph()).await?;
        assert_eq!(shared.source, TokenSource::Cache);
        assert_eq!(lab.issued(&shared), lab.issued(&token));
        assert_eq!(shared.expires_on, token.expires_on);
        assert_eq!(shared.scope, token.scope);
        assert_eq!(lab.emulator.token_requests().len(), 1);
        let counted = counters(&second).await?;
        assert_eq!((counted.exchanges, counted.store_hits), (0, 1));

        // a challenge is satisfied by the server, and its token takes the place of the other
        let claimed = first.get_token(&graph().with_claims(CLAIMS)).await?;
        let third = lab.configured(&config).build().await?;
        let shared = third.get_token(&graph()).await?;
        assert_eq!(lab.issued(&shared), lab.issued(&claimed));
        assert_ne!(shared.token, token.token);
        for entry in lab.emulator.token_requests() {
            hidden.extend(entry.field("client_assertion"));
            hidden.extend(entry.field("claims"));
        }
        for token in [&token, &claimed] {
            // of a token that is taken apart, too
            let parts = token.token.expose().split('.').map(str::to_owned);
            hidden.extend(parts.filter(|part| part.len() > 8));
            hidden.push(token.token.expose().to_owned());
        }
        let content = store.content()?;
        assert!(
            content.len() > token.token.expose().len(),
            "an entry is there"
        );
        for hidden in &hidden {
            assert!(!is_in(&content, hidden), "{hidden} is in the store");
        }
        for key in store.keys()? {
            let digest = key.strip_prefix("{edgepass}:").context("the prefix")?;
            assert!(digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
    let seen = wire.seen();
    assert!(is_in(&seen, "GETRANGE"), "the wire is watched");
    for hidden in &hidden {
        assert!(!is_in(&seen, hidden), "{hidden} is on the wire");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_instances_that_start_together_ask_once() -> Result<()> {
    let lab = Lab::new("token_store_fifty")?;
    let store = Store::start(&[]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let mut instances = Vec::new();
    for _ in 0..50 {
        instances.push(instance(&lab, &section).build().await?);
    }
    let calls: Vec<_> = instances
        .iter()
        .map(|provider| {
            let provider = provider.clone();
            tokio::spawn(async move { provider.get_token(&graph()).await })
        })
        .collect();
    let mut tokens = Vec::new();
    for call in calls {
        tokens.push(lab.issued(&call.await??));
    }
    tokens.dedup();
    assert_eq!((tokens.len(), lab.emulator.token_requests().len()), (1, 1));
    Ok(())
}

/// Each key of the file opens what it has sealed; what none of them opens is as if it were not there, and said once.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_a_wrong_one_is_said() -> Result<()> {
    let lab = Lab::new("token_store_keys")?;
    let store = Store::start(&[]).await?;
    let of = |name: &str, keys: &[&str]| section(&lab, &store.url(), name, keys);
    let ask = async |section: &Value| -> Result<TokenSource> {
        let provider = instance(&lab, section).build().await?;
        let token = provider.get_token(&graph()).await?;
        lab.issued(&token);
        Ok(token.source)
    };
    assert_eq!(ask(&of("one", &[KEY_ONE])?).await?, TokenSource::Exchange);
    assert_eq!(
        ask(&of("both", &[KEY_TWO, KEY_ONE])?).await?,
        TokenSource::Cache
    );
    // who has not got the key asks, and puts his own there
    for (name, keys, says) in [
        ("two", KEY_TWO.to_owned(), "id is not in the file of keys"),
        (
            "false",
            KEY_ONE.replace("one", "two"),
            "another key than that of its id",
        ),
    ] {
        let section = of(name, &[&keys])?;
        assert_eq!(ask(&section).await?, TokenSource::Exchange, "{name}");
        assert_eq!(ask(&section).await?, TokenSource::Cache, "{name}");
        assert_eq!(warnings(says).len(), 1, "{name}");
    }
    // a running one takes the new key with the file
    let file = lab.write("running", KEY_ONE)?;
    let section = json!({ "url": store.url(), "encryption_keys_file": file });
    let running = instance(&lab, &section).build().await?;
    running.get_token(&graph()).await?;
    fs::write(&file, format!("{KEY_TWO}\n{KEY_ONE}\n"))?;
    running.get_token(&forced()).await?;
    assert_eq!(ask(&of("two", &[KEY_TWO])?).await?, TokenSource::Cache);
    Ok(())
}

/// Instances ask all the time while the store is killed, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_and_restarted_under_load_fails_no_request() -> Result<()> {
    let lab = Lab::new("token_store_killed")?;
    let mut store = Store::start(&[]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let answered = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut callers = Vec::new();
    for _ in 0..4 {
        let provider = instance(&lab, &section).build().await?;
        let (answered, stopped) = (Arc::clone(&answered), stopped.clone());
        callers.push(tokio::spawn(async move {
            while !*stopped.borrow() {
                provider.drop_cached(None).await?;
                provider.get_token(&graph()).await?;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            counters(&provider).await
        }));
    }
    let more = async || {
        let enough = answered.load(Ordering::Relaxed) + 12;
        let look = || (answered.load(Ordering::Relaxed) >= enough).then_some(());
        until("more calls are answered", look).await
    };
    more().await?;
    store.kill()?;
    more().await?;
    store.restart().await?;
    more().await?;
    stop.send(true)?;
    let mut failures = 0;
    for caller in callers {
        failures += caller.await??.store_failures;
    }
    assert!(failures > 0, "nobody asked the dead one");
    // it is used again
    let shared = async || -> Result<bool> {
        let provider = instance(&lab, &section).build().await?;
        Ok(provider.get_token(&graph()).await?.source == TokenSource::Cache)
    };
    ensure!(shared().await? || shared().await?, "it is not used again");
    Ok(())
}

/// What hangs is waited for within bounds, and then left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_slow_fails_no_request() -> Result<()> {
    let lab = Lab::new("token_store_slow")?;
    let store = Store::start(&[]).await?;
    let wire = Wire::to(&store)?;
    let section = section(&lab, &wire.url(), "keys", &[KEY_ONE])?;
    instance(&lab, &section)
        .build()
        .await?
        .get_token(&graph())
        .await?;
    let ask = async |section: &Value| -> Result<()> {
        let provider = instance(&lab, section).build().await?;
        let token = provider.get_token(&graph()).await?;
        assert_eq!(token.source, TokenSource::Exchange);
        for _ in 0..5 {
            assert_eq!(
                provider.get_token(&forced()).await?.source,
                TokenSource::Exchange
            );
        }
        assert!(counters(&provider).await?.store_failures > 0);
        Ok(())
    };
    wire.delay_ms.store(5_000, Ordering::Relaxed);
    ask(&section).await?;
    store.signal("-STOP")?;
    let mut stopped = section.clone();
    stopped["url"] = json!(store.url());
    let asked = ask(&stopped).await;
    store.signal("-CONT")?;
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_full_fails_no_request() -> Result<()> {
    let lab = Lab::new("token_store_full")?;
    let store = Store::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let provider = instance(&lab, &section).build().await?;
    let token = provider.get_token(&graph()).await?;
    lab.issued(&token);
    assert_eq!(token.source, TokenSource::Exchange);
    assert_eq!(store.keys()?.len(), 0);
    assert!(counters(&provider).await?.store_failures > 0);
    Ok(())
}

/// A store that answers whatever it is asked, and nothing, with that and goes on with this for as long as somebody reads.
struct Flood {
    port: u16,
    sent: Arc<AtomicU64>,
    /// Connections on which nobody reads any more.
    ended: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
}

/// So much of it nobody reads who reads within bounds, bytes.
const MOST_FLOOD: u64 = 256 * 1024 * 1024;

impl Flood {
    fn of(begin: &'static [u8], piece: &'static [u8]) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let flood = Self {
            port: listener.local_addr()?.port(),
            sent: Arc::default(),
            ended: Arc::default(),
            connections: Arc::default(),
        };
        let (sent, ended) = (Arc::clone(&flood.sent), Arc::clone(&flood.ended));
        let connections = Arc::clone(&flood.connections);
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::Relaxed);
                let (sent, ended) = (Arc::clone(&sent), Arc::clone(&ended));
                thread::spawn(move || {
                    let many = piece.repeat(64 * 1024 / piece.len());
                    let mut asked = [0; 1024];
                    let mut begun = client.read(&mut asked).map(drop);
                    begun = begun.and_then(|()| client.write_all(begin));
                    while begun.is_ok() && sent.load(Ordering::Relaxed) < MOST_FLOOD {
                        begun = client.write_all(&many);
                        sent.fetch_add(many.len() as u64, Ordering::Relaxed);
                    }
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        Ok(flood)
    }
}

/// Whatever a store sends without an end costs the memory of an answer, and no request.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_floods_fails_no_request() -> Result<()> {
    let lab = Lab::new("token_store_flood")?;
    let floods: [(&str, &[u8], &[u8]); 8] = [
        ("a long string", b"$536870912\r\n", b"xxxxxxxxxxxxxxxx"),
        (
            "a string longer than memory",
            b"$9223372036854775807\r\n",
            b"xxxxxxxxxxxxxxxx",
        ),
        ("a line without an end", b"+", b"xxxxxxxxxxxxxxxx"),
        (
            "an error without an end",
            b"-ERR ",
            b"hunter2-of-the-store ",
        ),
        ("a long list", b"*1000000000\r\n", b":1\r\n"),
        ("lists in lists", b"", b"*1\r\n"),
        ("a long map", b"%1000000000\r\n", b"+a\r\n"),
        ("pushes", b"", b">2\r\n+a\r\n+b\r\n"),
    ];
    for (index, (name, begin, piece)) in floods.into_iter().enumerate() {
        let flood = Flood::of(begin, piece)?;
        let url = format!("redis://127.0.0.1:{}", flood.port);
        let section = section(&lab, &url, &format!("keys-{index}"), &[KEY_ONE])?;
        let provider = instance(&lab, &section).build().await?;
        let token = provider.get_token(&graph()).await.context(name)?;
        lab.issued(&token);
        assert_eq!(token.source, TokenSource::Exchange, "{name}");
        assert!(counters(&provider).await?.store_failures > 0, "{name}");
        until("nobody reads any more", || {
            let connections = flood.connections.load(Ordering::Relaxed);
            (flood.ended.load(Ordering::Relaxed) == connections).then_some(())
        })
        .await?;
        let sent = flood.sent.load(Ordering::Relaxed);
        assert!(sent < MOST_FLOOD, "{name}: {sent} bytes were read");
        let said = warnings(&format!("127.0.0.1:{}", flood.port));
        assert!(!said.is_empty(), "{name}");
        let repeats = said
            .iter()
            .any(|line| line.contains("hunter2") || line.contains("xxxx"));
        assert!(!repeats, "{name}: {said:?}");
    }
    assert!(!warnings("that an answer may have").is_empty());
    Ok(())
}

/// Who is not let in gives a token all the same, and says why without the password.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_needed_and_a_wrong_one_fails_no_request() -> Result<()> {
    let lab = Lab::new("token_store_password")?;
    let store = Store::start(&["--requirepass", PASSWORD]).await?;
    lab.evidence.secret("password of the store", PASSWORD);
    let mut section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let wrong = lab.write("wrong", "hunter3-of-nobody\n")?;
    lab.evidence
        .secret("password of the store", "hunter3-of-nobody");
    let right = lab.write("right", format!("{PASSWORD}\n"))?;
    let ask = async |section: &Value| -> Result<TokenSource> {
        let variables = Environment::from_pairs([("STORE_PASSWORD", PASSWORD)]);
        let provider = instance(&lab, section)
            .environment(variables)
            .build()
            .await?;
        Ok(provider.get_token(&graph()).await?.source)
    };
    for password_file in [None, Some(wrong)] {
        section["password_file"] = json!(password_file);
        assert_eq!(ask(&section).await?, TokenSource::Exchange);
        assert_eq!(ask(&section).await?, TokenSource::Exchange);
    }
    assert!(warnings("refused username or password").len() >= 2);
    section["password_file"] = json!(right);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    assert_eq!(ask(&section).await?, TokenSource::Cache);
    section["password_file"] = Value::Null;
    section["password_env"] = json!("STORE_PASSWORD");
    section["username"] = json!("default");
    assert_eq!(ask(&section).await?, TokenSource::Cache);
    section["database"] = json!(3);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    section["database"] = json!(0);
    section["key_prefix"] = json!("other:fleet");
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    Ok(())
}

/// What a store with TLS needs.
struct TlsFiles {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    fn new(lab: &Lab) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(["localhost".to_owned()])?;
        let leaf = leaf.signed_by(&key, &authority)?;
        Ok(Self {
            authority: lab.write("store-ca.pem", authority.pem())?,
            certificate: lab.write("store.pem", leaf.pem())?,
            key: lab.write("store-key.pem", key.serialize_pem())?,
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_to_a_store_that_its_authority_vouches_for() -> Result<()> {
    let lab = Lab::new("token_store_tls")?;
    let files = TlsFiles::new(&lab)?;
    let store = with_tls(&files).await?;
    let url = format!("rediss://localhost:{}", store.port);
    let mut section = section(&lab, &url, "keys", &[KEY_ONE])?;
    let ask = async |section: &Value| -> Result<TokenSource> {
        let provider = instance(&lab, section).build().await?;
        Ok(provider.get_token(&graph()).await?.source)
    };
    // an authority that nobody here trusts
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    section["ca_file"] = json!(files.authority);
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    assert_eq!(ask(&section).await?, TokenSource::Cache);
    // another name than the certificate's
    section["url"] = json!(format!("rediss://127.0.0.1:{}", store.port));
    assert_eq!(ask(&section).await?, TokenSource::Exchange);
    Ok(())
}

/// What cannot work is said before the first request, without what stands there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_section_is_told() -> Result<()> {
    let lab = Lab::new("token_store_config")?;
    let section = section(&lab, "redis://127.0.0.1:1", "keys", &["one aHVudGVyMg=="])?;
    let with = |field: &str, value: &str| {
        let mut section = section.clone();
        section[field] = json!(value);
        section
    };
    for (section, says) in [
        (
            with("url", "redis://:hunter2@localhost"),
            "has credentials in it",
        ),
        (
            with("url", "redis://localhost/1"),
            "more than host and port",
        ),
        (with("password_env", "UNSET"), "is not set"),
        (with("key_prefix", "{edgepass}"), "other characters"),
        (with("encryption_keys_file", "keys"), "absolute path"),
    ] {
        let error = instance(&lab, &section).build_host().err();
        let said = format!("{:#}", error.context("it is taken")?);
        lab.evidence.saw("an error of the section", &said);
        assert!(
            said.contains("host.token_store") && said.contains(says),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    let missing = with("password_file", "/nowhere/password");
    let problems = instance(&lab, &missing).build_host()?.problems().join("\n");
    for says in ["line 1: the key is not 32 bytes", "/nowhere/password"] {
        assert!(problems.contains(says), "{problems}");
    }
    assert!(!problems.contains("aHVudGVyMg"), "{problems}");
    // without a key nothing goes to the store, and tokens come all the same
    let provider = instance(&lab, &section).build().await?;
    lab.issued(&provider.get_token(&graph()).await?);
    assert!(counters(&provider).await?.store_failures > 0);
    Ok(())
}

/// Several scopes at once are several tokens of one store.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_told_apart() -> Result<()> {
    const VAULT: &str = "https://vault.azure.net/.default";
    let lab = Lab::new("token_store_apart")?;
    let store = Store::start(&[]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let first = instance(&lab, &section).build().await?;
    let second = instance(&lab, &section).build().await?;
    for scope in [GRAPH, VAULT] {
        let request = TokenRequest::for_scopes([scope]);
        let token = first.get_token(&request).await?;
        assert_eq!(token.source, TokenSource::Exchange);
        assert_eq!(second.get_token(&request).await?.token, token.token);
    }
    assert_eq!(
        (store.keys()?.len(), lab.emulator.token_requests().len()),
        (2, 2)
    );
    Ok(())
}

/// A node of a cluster says which one has the keys, and that one is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_asked_by_any_of_its_nodes() -> Result<()> {
    let lab = Lab::new("token_store_cluster")?;
    let folder = |name: &str| -> Result<String> {
        let folder = lab.scratch().join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder.display().to_string())
    };
    let node = async |name: &str| -> Result<(Store, String)> {
        // by which nodes talk to each other
        let bus = free_port()?.to_string();
        let options = ["--cluster-enabled", "yes", "--dir", &folder(name)?];
        let store = Store::start(&[&options[..], &["--cluster-port", &bus]].concat()).await?;
        Ok((store, bus))
    };
    let (with, bus) = node("with").await?;
    let (without, _) = node("without").await?;
    with.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
    let port = with.port.to_string();
    without.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])?;
    until("the cluster is made", || {
        let info = without.ask(&["CLUSTER", "INFO"]).ok()?.concat();
        is_in(&info, "cluster_state:ok").then_some(())
    })
    .await?;
    let mut tokens = Vec::new();
    for node in [&without, &with, &without] {
        let section = section(&lab, &node.url(), "keys", &[KEY_ONE])?;
        let provider = instance(&lab, &section).build().await?;
        for scope in [GRAPH, "https://vault.azure.net/.default"] {
            let token = provider
                .get_token(&TokenRequest::for_scopes([scope]))
                .await?;
            tokens.push(lab.issued(&token));
        }
        assert_eq!(counters(&provider).await?.store_failures, 0);
    }
    assert_eq!(lab.emulator.token_requests().len(), 2);
    tokens.sort();
    tokens.dedup();
    assert_eq!((tokens.len(), with.keys()?.len()), (2, 2));
    Ok(())
}

/// What the documentation says that the store's user may do is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_three_commands_is_enough() -> Result<()> {
    let lab = Lab::new("token_store_user")?;
    let store = Store::start(&[]).await?;
    lab.evidence.secret("password of the store", PASSWORD);
    let page = fs::read_to_string(artifact("docs/shared-cache.md")?)?;
    let rules = page
        .split_once("ACL SETUSER edgepass on >PASSWORD ")
        .and_then(|(_, rest)| rest.split_once('`'));
    let (rules, _) = rules.context("the page shows the user's rules")?;
    let password = format!(">{PASSWORD}");
    let user = ["ACL", "SETUSER", "edgepass", "on", &password];
    let user: Vec<&str> = user.into_iter().chain(rules.split(' ')).collect();
    store.ask(&user)?;
    let mut section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    section["username"] = json!("edgepass");
    section["password_file"] = json!(lab.write("password", PASSWORD)?);
    for source in [TokenSource::Exchange, TokenSource::Cache] {
        let provider = instance(&lab, &section).build().await?;
        assert_eq!(provider.get_token(&graph()).await?.source, source);
        assert_eq!(counters(&provider).await?.store_failures, 0);
    }
    Ok(())
}

/// A store's fault, as a deployment has it.
struct Broken {
    what: &'static str,
    section: Value,
    /// The setting to look at, and what stands of it.
    setting: &'static str,
    says: &'static str,
}

/// Each fault is said once beside the token that comes all the same, and is what a trial fails with; a store that works is not
/// mentioned beside a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_said_beside_the_token_and_found_by_a_trial() -> Result<()> {
    let lab = Lab::new("token_store_said")?;
    lab.evidence.secret("password of the store", PASSWORD);
    let open = Store::start(&[]).await?;
    let locked = Store::start(&["--requirepass", PASSWORD]).await?;
    let full = Store::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await?;
    let replica = Store::start(&["--replicaof", "127.0.0.1", "1"]).await?;
    let hung = Store::start(&[]).await?;
    let tls = TlsFiles::new(&lab)?;
    let tls_alone = with_tls(&tls).await?;
    let right = lab.write("right", PASSWORD)?;
    for (user, rights) in [
        ("reader", "+getrange"),
        ("writer", "+set"),
        ("stranger", "+ping"),
    ] {
        let user = format!("{user} on >{PASSWORD} ~{{edgepass}}:* {rights} +del");
        let rules: Vec<&str> = ["ACL", "SETUSER"]
            .into_iter()
            .chain(user.split(' '))
            .collect();
        open.ask(&rules)?;
    }
    let of = |store: &Store| section(&lab, &store.url(), "keys", &[KEY_ONE]);
    let with = |section: Value, fields: &Value| -> Result<Value> {
        let mut section = section;
        let fields = fields.as_object().context("fields")?.clone();
        section.as_object_mut().context("a section")?.extend(fields);
        Ok(section)
    };
    let broken = |what, section, setting, says| Broken {
        what,
        section,
        setting,
        says,
    };
    let user = |name: &str| json!({ "username": name, "password_file": right });
    let cases = [
        broken(
            "nobody is there",
            with(
                of(&open)?,
                &json!({ "url": format!("redis://127.0.0.1:{}", free_port()?) }),
            )?,
            "url",
            "refused the connection",
        ),
        broken(
            "no password",
            of(&locked)?,
            "password_file",
            "wants a password",
        ),
        broken(
            "a wrong password",
            with(
                of(&locked)?,
                &json!({ "password_file": lab.write("wrong", "hunter3-of-nobody")? }),
            )?,
            "password_file",
            "refused username or password",
        ),
        broken(
            "no file of the password",
            with(
                of(&locked)?,
                &json!({ "password_file": "/nowhere/password" }),
            )?,
            "password_file",
            "/nowhere/password cannot be read now",
        ),
        broken(
            "no file of keys",
            with(
                of(&open)?,
                &json!({ "encryption_keys_file": "/nowhere/keys" }),
            )?,
            "encryption_keys_file",
            "/nowhere/keys cannot be read now",
        ),
        broken(
            "a file of something else",
            with(
                of(&open)?,
                &json!({ "encryption_keys_file": lab.write("no-keys", "one aHVudGVyMg==")? }),
            )?,
            "encryption_keys_file",
            "line 1: the key is not 32 bytes",
        ),
        broken(
            "no such database",
            with(of(&open)?, &json!({ "database": 99 }))?,
            "database",
            "has no database 99",
        ),
        broken("full", of(&full)?, "url", "is full"),
        broken("a replica", of(&replica)?, "url", "is a replica"),
        broken(
            "may not write",
            with(of(&open)?, &user("reader"))?,
            "username",
            "does not let its user run SET",
        ),
        broken(
            "may not read",
            with(of(&open)?, &user("writer"))?,
            "username",
            "does not let its user run GETRANGE",
        ),
        broken(
            "TLS without the authority",
            with(
                of(&open)?,
                &json!({ "url": format!("rediss://localhost:{}", tls_alone.port) }),
            )?,
            "url",
            "certificate",
        ),
        broken(
            "TLS where none is spoken",
            with(
                of(&open)?,
                &json!({ "url": format!("rediss://localhost:{}", open.port), "ca_file": tls.authority }),
            )?,
            "url",
            "did not end the TLS handshake",
        ),
        broken(
            "no TLS where it is spoken",
            with(
                of(&open)?,
                &json!({ "url": format!("redis://localhost:{}", tls_alone.port) }),
            )?,
            "url",
            "rediss://",
        ),
        broken("silent", of(&hung)?, "url", "gave no answer"),
    ];
    hung.signal("-STOP")?;
    let tried = cases.iter().try_for_each(|case| {
        let setting = format!("host.token_store.{}", case.setting);
        let config = config(&lab, &secret(&lab), &case.section);
        let command = |words: &[&str]| lab.edgepass(words)?.config(&config)?.run();
        let ran = command(&["token", "--scope", GRAPH, "--error-format", "text"])?;
        ran.token().context(case.what)?;
        let lines = |text: &str| text.lines().filter(|line| line.contains(case.says)).count();
        let said = lines(&ran.stderr);
        let line = ran.stderr.lines().find(|line| line.contains(case.says));
        let line = line.with_context(|| format!("{}: {}", case.what, ran.stderr))?;
        ensure!(
            said == 1 && line.starts_with("edgepass: warning: "),
            "{}: {}",
            case.what,
            ran.stderr
        );
        ensure!(
            line.contains(&setting) && line.contains("; "),
            "{}: {line}",
            case.what
        );
        // the log has it in its place, and whoever wants no warnings has none
        let logged = command(&["-v", "token", "--scope", GRAPH])?;
        ensure!(lines(&logged.stderr) == 1, "{}", logged.stderr);
        let quiet = command(&["-q", "token", "--scope", GRAPH])?;
        ensure!(
            quiet.token().is_ok() && quiet.stderr.is_empty(),
            "{}",
            quiet.stderr
        );

        let checked = command(&["config", "check", "--try", "--error-format", "json"])?;
        let (code, error) = checked.error().context(case.what)?;
        let text = error.to_string();
        ensure!(
            code == 2 && text.contains(&setting),
            "{}: {text}",
            case.what
        );
        ensure!(
            text.contains(case.says) && text.contains("\"hint\":\""),
            "{}: {text}",
            case.what
        );
        for said in [&ran.stderr, &logged.stderr, &checked.stderr] {
            ensure!(
                !said.contains("hunter") && !said.contains("aHVudGVyMg"),
                "{said}"
            );
        }
        Ok(())
    });
    hung.signal("-CONT")?;
    tried?;

    // several at once are all told, each with its command
    let none = with(of(&open)?, &user("stranger"))?;
    open.ask(&["ACL", "SETUSER", "stranger", "-del"])?;
    let none = config(&lab, &secret(&lab), &none);
    let ran = lab
        .edgepass(&["config", "check", "--try"])?
        .config(&none)?
        .run()?;
    for right in ["GETRANGE", "SET", "DEL"] {
        ensure!(
            ran.stderr.contains(&format!("run {right} ")),
            "{right}: {}",
            ran.stderr
        );
    }

    // what a user who may not delete has left there ends by itself a while later
    open.ask(&["FLUSHALL"])?;
    // what works is said by the trial alone, and leaves nothing
    let good = config(&lab, &secret(&lab), &of(&open)?);
    let ran = lab
        .edgepass(&["config", "check", "--try"])?
        .config(&good)?
        .run()?;
    ensure!(
        ran.code == Some(0) && ran.stdout.contains("the token store is ready"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(open.keys()?.len(), 0);
    let ran = lab
        .edgepass(&["token", "--scope", GRAPH])?
        .config(&good)?
        .run()?;
    ensure!(
        ran.token().is_ok() && ran.stderr.is_empty(),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// Who runs on says a fault once, what it has become, and that it is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_on_says_a_fault_once_and_its_end() -> Result<()> {
    let lab = Lab::new("token_store_once")?;
    lab.evidence.secret("password of the store", PASSWORD);
    let store = Store::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let provider = instance(&lab, &section).build().await?;
    let address = format!("the store 127.0.0.1:{} ", store.port);
    let said = |what: &str| warnings(&format!("{address}{what}")).len();
    for _ in 0..3 {
        lab.issued(&provider.get_token(&forced()).await?);
    }
    assert_eq!((said(""), said("is full")), (1, 1));
    assert_eq!(provider.token_store_faults().len(), 1);
    // another fault
    store.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
    store.ask(&["ACL", "SETUSER", "default", "-set"])?;
    for _ in 0..3 {
        lab.issued(&provider.get_token(&forced()).await?);
    }
    assert_eq!((said(""), said("does not let its user run SET")), (2, 1));
    // none any more
    store.ask(&["ACL", "SETUSER", "default", "+set"])?;
    lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!((said(""), provider.token_store_faults().len()), (2, 0));
    // the same again is news
    store.ask(&["CONFIG", "SET", "maxmemory", "1"])?;
    lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!((said(""), said("is full")), (3, 2));
    assert!(provider.try_token_store().await.context("a store")?.len() == 1);
    Ok(())
}
