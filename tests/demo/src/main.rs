//! `edgepass-demo DIST WORK COMPOSED`: the main job of edgepass, shown step by
//! step against the emulator. `edgepass-demo --envoy DIST WORK`: the filter in
//! Envoy, which with `--envoy-keep` is left running until a line comes in. `cargo
//! xtask demo` builds and runs both.

mod command;
mod composed;
mod envoy;
mod library;
mod show;

use anyhow::{Context as _, Result, bail};
use edgepass_emulator::Emulator;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// What the demo needs to know at every step.
struct Stage {
    /// Folder of the `edgepass` command.
    dist: PathBuf,
    /// Folder that the demo may fill.
    work: PathBuf,
    /// A component that calls the provider, with the provider plugged in.
    composed: PathBuf,
    emulator: Emulator,
}

/// The resource that the demo asks tokens for.
const SCOPE: &str = "api://edgepass-demo/.default";

/// Where the commands to try by hand put an emulator: they name files in it.
const BY_HAND_DIR: &str = "/tmp/emulator";

/// Its port, which the configuration to try by hand has to name.
const BY_HAND_PORT: u16 = 8443;

#[tokio::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if let [option, dist, work] = args.as_slice()
        && ["--envoy", "--envoy-keep"]
            .map(OsStr::new)
            .contains(&option.as_os_str())
    {
        fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
        let keep = option.as_os_str() == "--envoy-keep";
        return envoy::run(dist, work, keep).await;
    }
    let [dist, work, composed] = args.as_slice() else {
        bail!("usage: edgepass-demo DIST WORK COMPOSED (run `cargo xtask demo`)");
    };
    fs::create_dir_all(work).with_context(|| format!("cannot create {}", work.display()))?;
    let stage = Stage {
        dist: dist.clone(),
        work: work.clone(),
        composed: composed.clone(),
        emulator: Emulator::builder().log(false).start().await?,
    };
    stage.emulator.write_dir(&stage.work.join("emulator"))?;

    show::title("edgepass gets access tokens for a workload that holds no secret");
    show::text(&format!(
        "An emulator of Entra ID and of a Kubernetes token issuer listens on {}. It checks\n\
         signatures, audiences, times and certificates as strictly as the real ones.",
        stage.emulator.authority()
    ));

    command::identity(&stage)?;
    command::exchange(&stage)?;
    library::cache_and_rotation(&stage).await?;
    command::bound_certificate(&stage)?;
    composed::call(&stage).await?;
    command::refusal(&stage)?;

    show::title("Try it by hand");
    show::text(&by_hand(&stage)?);
    eprintln!("\n(the demo took {:.1} s)", started.elapsed().as_secs_f64());
    Ok(())
}

/// Commands that work as they stand, with an emulator of their own: this demo's
/// ends with it.
fn by_hand(stage: &Stage) -> Result<String> {
    let dist = stage.dist.display();
    let config = stage.work.join("by-hand.json");
    command::write_bound_config(
        stage,
        &config,
        &format!("https://login.localhost:{BY_HAND_PORT}"),
        &format!("{BY_HAND_DIR}/client.pem"),
        &format!("{BY_HAND_DIR}/client.key"),
    )?;
    Ok(format!(
        "{dist}/edgepass-emulator --dir {BY_HAND_DIR} --port {BY_HAND_PORT} &   # a line when it is ready\n\
         . {BY_HAND_DIR}/env                                   # works for any Azure SDK, too\n\
         {dist}/edgepass token --scope {SCOPE}\n\
         {dist}/edgepass token --scope https://graph.microsoft.com/.default --format header\n\
         {dist}/edgepass token --scope {SCOPE} --config {}\n\
         {dist}/edgepass config check\n\
         {dist}/edgepass token --help",
        config.display()
    ))
}
