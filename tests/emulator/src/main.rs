//! The command: an emulator with a directory that other programs can use.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use edgepass_emulator::{DEFAULT_LIFETIME, Directory, Emulator, TOKEN_EXCHANGE};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// An Entra ID and workload issuer stand-in for tests and demos. Writes a
/// directory with a CA, a rotating token file, a certificate and, at last,
/// shell exports (`. DIR/env`), prints one JSON line when ready, and serves
/// until SIGINT, SIGTERM or SIGHUP, at which it removes the exports.
#[derive(Parser)]
#[command(name = "edgepass-emulator", version)]
struct Arguments {
    /// The directory to write.
    #[arg(long)]
    dir: PathBuf,

    /// The port to listen on; a free one when 0.
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Serves tokens of managed identities too, as the metadata service of a
    /// machine does: by http on this port, on a free one when 0.
    #[arg(long, value_name = "PORT")]
    metadata_port: Option<u16>,

    /// Writes a new token file every so many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    rotate_every: Option<u64>,

    /// The life of the token in the token file, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_LIFETIME)]
    token_lifetime: i64,

    /// The life of access tokens, in seconds.
    #[arg(long, value_name = "SECONDS")]
    access_token_lifetime: Option<i64>,

    /// The `refresh_in` of token responses, in seconds.
    #[arg(long, value_name = "SECONDS")]
    refresh_in: Option<i64>,

    /// A further DNS name for the server certificate.
    #[arg(long, value_name = "NAME")]
    host_name: Vec<String>,

    /// Where users may be sent back to who sign in to the application.
    #[arg(long, value_name = "URI")]
    redirect_uri: Vec<String>,

    /// Who signs in, without a page, when a request names nobody.
    #[arg(long, value_name = "USER")]
    signed_in: Option<String>,

    /// No line per request on standard error.
    #[arg(long)]
    quiet: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Before anything is announced: a signal may come right after.
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    // First of all: the file of an emulator that is gone leads nowhere.
    Directory::clear(&arguments.dir)?;

    let emulator = start(&arguments).await?;
    let directory = emulator.write_dir(&arguments.dir)?;
    let result = serve(
        &arguments,
        &emulator,
        [&mut interrupt, &mut terminate, &mut hangup],
    )
    .await;
    directory.retire()?;
    emulator.shutdown();
    result
}

/// Until a signal comes, or nothing can be done any more.
async fn serve(
    arguments: &Arguments,
    emulator: &Emulator,
    [interrupt, terminate, hangup]: [&mut Signal; 3],
) -> Result<()> {
    let mut ready = emulator.about();
    if let Some(fields) = ready.as_object_mut() {
        fields.insert("ready".into(), json!(true));
        fields.insert("pid".into(), json!(std::process::id()));
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}")
        .and_then(|()| stdout.flush())
        .context("cannot announce myself")?;

    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        result = rotate(emulator, arguments.rotate_every) => result?,
    }
    Ok(())
}

async fn start(arguments: &Arguments) -> Result<Emulator> {
    let mut builder = Emulator::builder()
        .port(arguments.port)
        .workload_token_lifetime(arguments.token_lifetime)
        .log(!arguments.quiet);
    if let Some(seconds) = arguments.access_token_lifetime {
        builder = builder.access_token_lifetime(seconds);
    }
    if let Some(seconds) = arguments.refresh_in {
        builder = builder.refresh_in(seconds);
    }
    if let Some(port) = arguments.metadata_port {
        builder = builder.metadata_port(port);
    }
    for name in &arguments.host_name {
        builder = builder.host_name(name);
    }
    let emulator = builder.start().await?;
    if !arguments.redirect_uri.is_empty() {
        let app = emulator.app(emulator.client_id());
        let mut app = app.context("the application is not registered")?;
        app.redirect_uris.clone_from(&arguments.redirect_uri);
        emulator.register_app(app);
    }
    emulator.set_signed_in(arguments.signed_in.as_deref());
    if arguments.metadata_port.is_some() {
        trust_machine(&emulator)?;
    }
    Ok(emulator)
}

/// Has the application trust the machine's identities, as somebody sets it up who wants to try them.
fn trust_machine(emulator: &Emulator) -> Result<()> {
    let app = emulator.app(emulator.client_id());
    let mut app = app.context("the application is not registered")?;
    for identity in emulator.managed_identities() {
        app = app.federated(
            &emulator.tenant_issuer(),
            &identity.object_id,
            TOKEN_EXCHANGE,
        );
    }
    emulator.register_app(app);
    Ok(())
}

/// Rotates forever; returns only when it cannot.
async fn rotate(emulator: &Emulator, every: Option<u64>) -> Result<()> {
    let Some(seconds) = every else {
        return std::future::pending().await;
    };
    let mut timer = tokio::time::interval(Duration::from_secs(seconds));
    // The first tick is now, and the file is fresh.
    timer.tick().await;
    loop {
        timer.tick().await;
        emulator.rotate_token()?;
    }
}
