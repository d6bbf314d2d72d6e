//! An exchange on behalf of a user beside MSAL for Python, and what a token costs that another instance has put into the
//! token store, beside an exchange.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use edgepass_bench::USERS;
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::measure::{Effort, turns};
use crate::peers::{Peer, Programs, Who};
use crate::stats::Samples;

/// Users in a round, each of whom is new to the first instance and to the store.
const USERS_OF_A_ROUND: usize = 10;

/// The table.
pub(crate) fn table(programs: &Programs, emulator: &Emulator, effort: Effort) -> Result<String> {
    let users = users(programs, emulator, effort.rounds * USERS_OF_A_ROUND)?;
    let with_users = |mut command: Command| {
        command.env(USERS, &users);
        Peer::of(Who::Edgepass, command)
    };
    let alone = || emulator.with_secret(&programs.embedder, "grants", &json!({}));
    let mut own = with_users(alone()?)?;
    let mut msal = programs.command(Who::Python, emulator);
    msal.env("EDGEPASS_BENCH_KIND", "on-behalf-of")
        .env("EDGEPASS_BENCH_FILE", emulator.said("secret_file")?)
        .env(USERS, &users);
    let mut msal = Peer::of(Who::Python, msal)?;

    let store = Store::start()?;
    let keys = store.keys(Path::new(&emulator.said("dir")?))?;
    let shared = json!({ "token_store": {
        "url": format!("redis://127.0.0.1:{}", store.port),
        "encryption_keys_file": keys,
        "users": true,
    } });
    let sharing = || emulator.with_secret(&programs.sharing, "sharing", &shared);
    let mut first = with_users(sharing()?)?;
    let mut second = with_users(sharing()?)?;
    let mut without = with_users(alone()?)?;

    let question = format!("exchange {}", effort.exchanges);
    let [mut ours, mut theirs] = [Samples::default(), Samples::default()];
    let [mut exchange, mut put, mut hit] =
        [Samples::default(), Samples::default(), Samples::default()];
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        for who in turns(vec![Who::Edgepass, Who::Python], round) {
            match who {
                Who::Python => theirs.add(round, msal.times(&question)?),
                _ => ours.add(round, own.times(&question)?),
            }
        }
        // each instance has asked for the first user's at its start
        let from = 1 + round * USERS_OF_A_ROUND;
        let of = |source| format!("each {from} {USERS_OF_A_ROUND} {source}");
        if round % 2 == 0 {
            exchange.add(round, without.times(&of("exchange"))?);
        }
        put.add(round, first.times(&of("exchange"))?);
        hit.add(round, second.times(&of("cache"))?);
        if round % 2 == 1 {
            exchange.add(round, without.times(&of("exchange"))?);
        }
    }
    let mut out = String::from("| | median | 99th percentile | to |\n|---|---:|---:|---:|\n");
    let mut row = |name: &str, samples: &Samples, to: &Samples| -> Result<()> {
        let ms =
            |ns: Option<f64>| ns.map_or_else(|| "–".to_owned(), |ns| format!("{:.2} ms", ns / 1e6));
        let ratio = samples.compared(to, |a, b| a / b);
        let ratio = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        writeln!(
            out,
            "| {name} | {} | {} | {ratio} |",
            ms(samples.median()),
            ms(samples.p99())
        )?;
        Ok(())
    };
    row("on-behalf-of, edgepass, to MSAL", &ours, &theirs)?;
    row("on-behalf-of, MSAL for Python", &theirs, &theirs)?;
    row("a new user, no store", &exchange, &exchange)?;
    row(
        "a new user, put into the store, to no store",
        &put,
        &exchange,
    )?;
    row(
        "a user whom another instance has put there, to no store",
        &hit,
        &exchange,
    )?;
    Ok(out)
}

/// A file with so many tokens of a user, and the one that each client begins with.
fn users(programs: &Programs, emulator: &Emulator, count: usize) -> Result<PathBuf> {
    let client_id = emulator.said("client_id")?;
    let wanted = json!({ "resource": format!("api://{client_id}") });
    let mut lines = String::new();
    eprintln!("issuing {} tokens of a user", count + 1);
    for answer in programs.controls(
        emulator,
        "users/alice@edgepass-demo.example/token",
        &wanted,
        count + 1,
    )? {
        let token = answer.get("token").and_then(Value::as_str);
        writeln!(
            lines,
            "{}",
            token.context("the emulator gives no user's token")?
        )?;
    }
    let file = Path::new(&emulator.said("dir")?).join("users");
    std::fs::write(&file, lines).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// A store of this run's own. It ends when this is dropped.
struct Store {
    child: Child,
    port: u16,
}

impl Store {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let port = listener.local_addr().context("no address")?.port();
        drop(listener);
        let (program, libraries) = program()?;
        let mut command = Command::new(program);
        command
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
            ])
            .arg(port.to_string())
            .stdout(Stdio::null());
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let child = command.spawn().context("the store does not start")?;
        let store = Self { child, port };
        let started = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                bail!("the store takes no connections");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(store)
    }

    /// The file of the key that its entries are encrypted with. It is for one run on this machine.
    fn keys(&self, folder: &Path) -> Result<String> {
        let file = folder.join("encryption-keys");
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        std::fs::write(&file, format!("bench {key}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file.display().to_string())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // nothing to be done about failures at the end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Valkey or Redis of this machine, or what `cargo xtask` has unpacked; and the folder of the libraries that came with it.
fn program() -> Result<(PathBuf, Option<PathBuf>)> {
    for installed in ["/usr/bin/valkey-server", "/usr/bin/redis-server"] {
        if Path::new(installed).exists() {
            return Ok((PathBuf::from(installed), None));
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let root = here.context("this crate has been moved")?;
    let home = root.join("target/peers/redis-server/usr");
    let program = home.join("bin/redis-server");
    if !program.is_file() {
        bail!("no redis-server: run `cargo xtask bench`, which unpacks Debian's, or install it");
    }
    let libraries = home.join(format!("lib/{}-linux-gnu", std::env::consts::ARCH));
    Ok((program, Some(libraries)))
}
