//! The Envoy filter at work: the real Envoy with what `edgepass envoy-config` prints, between a client and an upstream
//! that shows what reaches it.

use crate::{SCOPE, show};
use anyhow::{Context as _, Result, bail, ensure};
use edgepass_emulator::{Emulator, Fault};
use edgepass_envoy_tests::{Envoy, Reply, Seen, Upstream, get, until};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the emulator takes for the first exchange: long enough that the first request visibly waits.
const SLOW: Duration = Duration::from_millis(500);

/// Requests that are answered from the cache.
const CACHED_REQUESTS: u32 = 300;

/// When the first token is renewed, seconds. The cached requests are over by then.
const FIRST_REFRESH_S: i64 = 4;

/// When the token after the 401 is renewed, seconds: soon, because the server is down by then.
const LAST_REFRESH_S: i64 = 2;

/// The life of every token, seconds, of which the demo sees little.
const LIFETIME_S: i64 = 3600;

/// Workers of Envoy: with more than one it shows that one of them asks for all.
const WORKERS: u32 = 2;

/// Requests with the last token after which it is taken that all workers have it: each goes to any of them.
const IN_A_ROW: u32 = 30;

/// What the steps share.
struct Scene {
    /// Folder of the `edgepass` command and of the filter.
    dist: PathBuf,
    /// Folder that the demo may fill.
    work: PathBuf,
    emulator: Emulator,
    upstream: Upstream,
    /// What the upstream knows and is told.
    knowledge: Arc<Mutex<Knowledge>>,
}

/// What the upstream knows and is told.
#[derive(Default)]
struct Knowledge {
    /// Tokens in the order in which they came.
    tokens: Vec<String>,
    /// The number of the one that came last.
    last: usize,
    /// One that it refuses.
    refused: Option<String>,
    /// Whether it keeps quiet.
    quiet: bool,
}

/// Shows it all.
pub(crate) async fn run(dist: &Path, work: &Path, keep: bool) -> Result<()> {
    let began = Instant::now();
    let knowledge = Arc::new(Mutex::new(Knowledge::default()));
    let known = Arc::clone(&knowledge);
    let scene = Scene {
        dist: dist.to_owned(),
        work: work.to_owned(),
        emulator: Emulator::builder().log(false).start().await?,
        upstream: Upstream::answering(move |request| answer(&known, request))?,
        knowledge,
    };
    scene.emulator.write_dir(&scene.work.join("emulator"))?;
    scene
        .emulator
        .set_token_lifetime(LIFETIME_S, Some(FIRST_REFRESH_S));
    scene
        .emulator
        .faults()
        .push(Fault::delay(SLOW).on("/token"));

    show::title("edgepass in Envoy: requests get access tokens on their way");
    let envoy = start(&scene)?;
    held(&scene, &envoy)?;
    cached(&scene, &envoy)?;
    rotation(&scene, &envoy)?;
    rejection(&scene, &envoy)?;
    outage(&scene, &envoy)?;
    numbers(&envoy)?;
    if keep {
        left_running(&envoy)?;
    }
    drop(envoy);

    show::title("Try it by hand");
    show::text(&by_hand(&scene)?);
    eprintln!("\n(the demo took {:.1} s)", began.elapsed().as_secs_f64());
    Ok(())
}

/// Until somebody has played enough.
fn left_running(envoy: &Envoy) -> Result<()> {
    show::title("It is left running");
    show::text(&format!(
        "curl -i http://127.0.0.1:{}/     # the upstream gets a token\n\
         curl 'http://127.0.0.1:{}/stats?filter=edgepass_'\n\
         its configuration and its log are in {}; Enter ends it",
        envoy.port(),
        envoy.admin_port(),
        envoy.dir().display()
    ));
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .context("nobody can be waited for: standard input cannot be read")?;
    Ok(())
}

fn start(scene: &Scene) -> Result<Envoy> {
    show::title("1. The configuration: edgepass envoy-config");
    let config = scene.work.join("edgepass.json");
    write_config(
        &config,
        &scene.emulator,
        &scene.emulator.authority(),
        &scene.work.join("emulator/token/azure-identity-token"),
    )?;
    let mut written = Ok(());
    let envoy = Envoy::start(WORKERS, |dir| {
        printed(scene, &config, dir).unwrap_or_else(|error| {
            written = Err(error);
            String::new()
        })
    });
    written?;
    let envoy = envoy?;
    let yaml = fs::read_to_string(envoy.dir().join("envoy.yaml")).unwrap_or_default();
    show::text(&format!(
        "$ edgepass envoy-config --config {} --upstream-filter … > envoy.yaml",
        config.display()
    ));
    show::fact("it printed", &format!("{} lines", yaml.lines().count()));
    show::text("$ envoy -c envoy.yaml");
    show::fact("ready after", &show::time(envoy.started_in()));
    Ok(envoy)
}

/// What the command prints for an Envoy that may write into that folder.
fn printed(scene: &Scene, config: &Path, dir: &Path) -> Result<String> {
    let program = scene.dist.join("edgepass");
    let output = Command::new(&program)
        .args(["envoy-config", "--upstream-filter"])
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .arg("--upstream")
        .arg(format!("127.0.0.1:{}", scene.upstream.port()))
        .arg("--from")
        .arg(config)
        .arg("--wasm")
        .arg(scene.dist.join("edgepass-envoy.wasm"))
        .arg("--ca-file")
        .arg(scene.work.join("emulator/ca.pem"))
        .arg("--socket-dir")
        .arg(dir)
        .env_clear()
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!(
            "edgepass envoy-config failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    String::from_utf8(output.stdout).context("edgepass printed what is not UTF-8")
}

fn held(scene: &Scene, envoy: &Envoy) -> Result<()> {
    show::title("2. The first request waits for the first token");
    show::text(&format!(
        "The emulator takes {} for the first exchange.",
        show::time(SLOW)
    ));
    let took = request(envoy)?;
    show::fact(
        if took < SLOW / 10 {
            "not held (busy machine)"
        } else {
            "held, and answered in"
        },
        &show::time(took),
    );
    let made = scene.emulator.token_requests().len();
    show::fact(
        "exchanges made",
        &format!("{made}, for {WORKERS} workers and the main thread"),
    );
    let token = scene
        .known()
        .tokens
        .first()
        .cloned()
        .context("no token came")?;
    show::text("What the upstream got will be taken by that resource alone:");
    show::claims(&token, &["aud", "iss", "appid", "exp"])
}

fn cached(scene: &Scene, envoy: &Envoy) -> Result<()> {
    show::title("3. The others get it from the cache");
    scene.known().quiet = true;
    let before = scene.emulator.token_requests().len();
    let began = Instant::now();
    for _ in 0..CACHED_REQUESTS {
        request(envoy)?;
    }
    show::fact(
        "requests",
        &format!("{CACHED_REQUESTS}, each on a new connection"),
    );
    show::fact(
        "one takes",
        &format!(
            "{} (mean, through Envoy to the upstream and back)",
            show::time(began.elapsed() / CACHED_REQUESTS)
        ),
    );
    scene.known().quiet = false;
    show::fact(
        "exchanges made",
        &scene
            .emulator
            .token_requests()
            .len()
            .saturating_sub(before)
            .to_string(),
    );
    Ok(())
}

fn rotation(scene: &Scene, envoy: &Envoy) -> Result<()> {
    show::title("4. The platform rotates the token file");
    show::fact("assertion before", &assertion(scene)?);
    scene.emulator.set_token_lifetime(LIFETIME_S, None);
    scene.emulator.rotate_token()?;
    let began = Instant::now();
    let before = scene.emulator.token_requests().len();
    until("the token is renewed", || {
        scene.emulator.token_requests().len() > before
    })?;
    show::fact("renewed after", &show::time(began.elapsed()));
    show::fact("assertion now", &assertion(scene)?);
    let tokens = scene.known().tokens.len();
    scene.until_request("another token comes", envoy, || {
        scene.known().tokens.len() > tokens
    })?;
    request(envoy)?;
    Ok(())
}

fn rejection(scene: &Scene, envoy: &Envoy) -> Result<()> {
    show::title("5. The upstream refuses a token");
    show::text(
        "It answers 401. The filter has the token replaced, and Envoy's own retry carries the new one:",
    );
    scene
        .emulator
        .set_token_lifetime(LIFETIME_S, Some(LAST_REFRESH_S));
    everywhere(scene, envoy)?;
    let before = scene.emulator.token_requests().len();
    {
        let mut known = scene.known();
        known.refused = known.tokens.last().cloned();
    }
    let took = request(envoy)?;
    show::fact("the client saw", &format!("200 after {}", show::time(took)));
    // on a busy machine the new token has been renewed already
    ensure!(
        scene.emulator.token_requests().len() > before,
        "no exchange was made"
    );
    everywhere(scene, envoy)
}

fn outage(scene: &Scene, envoy: &Envoy) -> Result<()> {
    show::title("6. The token server is down");
    scene
        .emulator
        .faults()
        .push(Fault::reset().on("/token").forever());
    scene.known().quiet = true;
    let began = Instant::now();
    let mut served = 0_u32;
    let mut failed = None;
    until("a refresh fails", || {
        failed = request(envoy).err();
        served += 1;
        failed.is_some()
            || envoy
                .stat("edgepass_refreshes_failed_total")
                .is_ok_and(|failed| failed > 0)
    })?;
    failed.map_or(Ok(()), Err)?;
    show::fact(
        "a refresh has failed",
        &format!("after {}", show::time(began.elapsed())),
    );
    let tokens = scene.known().tokens.len();
    scene.known().quiet = false;
    request(envoy)?;
    ensure!(
        scene.known().tokens.len() == tokens,
        "a token came from nowhere"
    );
    show::fact(
        "meanwhile",
        &format!("{served} requests, all of them 200: the old token is good to its end"),
    );
    Ok(())
}

fn numbers(envoy: &Envoy) -> Result<()> {
    show::title("7. What the operator sees: /stats");
    let stats = envoy.admin("/stats?filter=edgepass_&usedonly")?;
    ensure!(
        stats.contains("edgepass_requests_injected_total"),
        "there are no numbers:\n{stats}"
    );
    for (name, value) in stats.lines().filter_map(|line| line.split_once(": ")) {
        let value = quantiles(value);
        println!(
            "   {:<48} {}",
            name.trim_start_matches("wasmcustom."),
            value
        );
    }
    Ok(())
}

/// Of a histogram, which Envoy shows by interval and in all, the middle and the end.
fn quantiles(value: &str) -> String {
    let of = |name: &str| {
        let quantile = value.split(' ').find_map(|part| part.strip_prefix(name))?;
        let (_, all) = quantile.strip_suffix(')')?.split_once(',')?;
        Some(all.parse::<f64>().ok()?.round().to_string())
    };
    match (of("P50("), of("P100(")) {
        (Some(middle), Some(end)) => format!("{middle} (median), {end} (longest)"),
        _ => value.trim().to_owned(),
    }
}

impl Scene {
    fn known(&self) -> MutexGuard<'_, Knowledge> {
        lock(&self.knowledge)
    }

    /// Makes requests that the upstream does not show until something is so.
    fn until_request(&self, what: &str, envoy: &Envoy, mut so: impl FnMut() -> bool) -> Result<()> {
        self.known().quiet = true;
        let mut failed = None;
        let done = until(what, || {
            failed = request(envoy).err();
            failed.is_some() || so()
        });
        self.known().quiet = false;
        failed.map_or(done, Err)
    }
}

/// One request, which must succeed, and how long it took.
fn request(envoy: &Envoy) -> Result<Duration> {
    let began = Instant::now();
    let answer = get(envoy.port(), "/")?;
    ensure!(
        answer.status == 200,
        "Envoy answered {}: {}",
        answer.status,
        answer.body
    );
    Ok(began.elapsed())
}

/// Waits until the last token is the one that every worker puts on: they take it over one after the other.
fn everywhere(scene: &Scene, envoy: &Envoy) -> Result<()> {
    let mut in_a_row = 0;
    let mut failed = None;
    scene.known().quiet = true;
    until("every worker has the last token", || {
        failed = request(envoy).err();
        let known = scene.known();
        in_a_row = if known.last == known.tokens.len() {
            in_a_row + 1
        } else {
            0
        };
        failed.is_some() || in_a_row >= IN_A_ROW
    })?;
    scene.known().quiet = false;
    failed.map_or(Ok(()), Err)
}

/// What tells the last assertion from another: its number and when it was issued.
fn assertion(scene: &Scene) -> Result<String> {
    let request = scene
        .emulator
        .token_requests()
        .pop()
        .context("there was no exchange")?;
    let assertion = request
        .field("client_assertion")
        .context("the exchange had no assertion")?;
    let (_, claims) = show::decode(&assertion)?;
    Ok(format!(
        "jti {}, issued {}",
        show::plain(claims.get("jti")),
        show::plain(claims.get("iat"))
    ))
}

/// The upstream: shows what it received, with the token cut.
fn answer(knowledge: &Mutex<Knowledge>, request: &Seen) -> Reply {
    let mut known = lock(knowledge);
    let Some(token) = request.bearer().map(str::to_owned) else {
        println!(
            "   upstream               GET {}, without a token",
            request.path
        );
        return Reply::status(200);
    };
    let number = match known.tokens.iter().position(|known| *known == token) {
        Some(index) => index + 1,
        None => {
            known.tokens.push(token.clone());
            known.tokens.len()
        }
    };
    known.last = number;
    let status = if known.refused.as_ref() == Some(&token) {
        401
    } else {
        200
    };
    if !known.quiet {
        let start: String = token.chars().take(6).collect();
        println!(
            "   {:<22} GET {}, authorization: Bearer {start}… (token {number}, {} characters) -> {status}",
            "upstream",
            request.path,
            token.len()
        );
    }
    Reply::status(status)
}

fn lock(knowledge: &Mutex<Knowledge>) -> MutexGuard<'_, Knowledge> {
    knowledge.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_config(
    path: &Path,
    emulator: &Emulator,
    authority: &str,
    token_file: &Path,
) -> Result<()> {
    let host = authority.trim_start_matches("https://");
    let config = json!({
        "authority_hosts": [host],
        "identities": {"app": {
            "tenant_id": emulator.tenant(),
            "client_id": emulator.client_id(),
            "authority_host": authority,
            "scopes": [SCOPE],
            "credential": {"federated_token_file": {"path": token_file}},
        }},
    });
    fs::write(path, format!("{config:#}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Commands that work as they stand, with an emulator and an upstream of their own.
fn by_hand(scene: &Scene) -> Result<String> {
    let folder = crate::BY_HAND_DIR;
    let dist = scene.dist.display();
    let config = scene.work.join("by-hand.json");
    write_config(
        &config,
        &scene.emulator,
        &format!("https://localhost:{}", crate::BY_HAND_PORT),
        &Path::new(folder).join("token/azure-identity-token"),
    )?;
    let envoy = std::env::var("EDGEPASS_ENVOY").unwrap_or_else(|_| "envoy".to_owned());
    Ok(format!(
        "{dist}/edgepass-emulator --dir {folder} --port {} &   # a line when it is ready\n\
         python3 -m http.server 8081 --bind 127.0.0.1 &               # an upstream\n\
         {dist}/edgepass envoy-config --config {} \\\n  \
           --upstream 127.0.0.1:8081 --admin 127.0.0.1:9901 --wasm {dist}/edgepass-envoy.wasm \\\n  \
           --ca-file {folder}/ca.pem --socket-dir {folder} > {folder}/envoy.yaml\n\
         {envoy} --mode validate -c {folder}/envoy.yaml\n\
         {envoy} -c {folder}/envoy.yaml &\n\
         curl -i http://127.0.0.1:8080/                               # the upstream gets a token\n\
         curl 'http://127.0.0.1:9901/stats?filter=edgepass_'",
        crate::BY_HAND_PORT,
        config.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::quantiles;

    #[test]
    fn a_histogram_in_short() {
        assert_eq!(
            quantiles(" P0(nan,2.03) P50(nan,2.06) P99(1,305) P100(nan,305.4)"),
            "2 (median), 305 (longest)"
        );
        assert_eq!(quantiles(" 17"), "17");
    }
}
