//! Stores that end, are slow, are full, or flood: no request fails of them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use edgepass::TokenSource;
use edgepass_e2e::{Lab, RedisServer as Store, forced, graph, until, warnings};
use serde_json::{Value, json};

use super::{KEY_ONE, counters, instance, section};

/// The wire to a store: all that goes over it is kept, and it may be slow.
pub(super) struct Wire {
    port: u16,
    seen: Arc<Mutex<Vec<u8>>>,
    delay_ms: Arc<AtomicU64>,
}

impl Wire {
    pub(super) fn to(store: &Store) -> Result<Self> {
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

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn seen(&self) -> Vec<u8> {
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
