//! `cargo xtask build`: from sources to `dist/`.
//!
//! The order is forced: guests first, then the tool that compiles the component
//! for this machine, then the host that embeds the result.
//!
//! There are two builds of the native packages. What only this tree runs (that
//! tool, tests, the demo) is built together, so that wasmtime has the same
//! features in all of it and is compiled once, with its compiler and with little
//! optimisation. What users get is built as users should build it: small, and
//! without the compiler.

mod guests;
mod interface;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::componentize::{self, Files};
use crate::digest::sha256;
use crate::sh::{Cmd, step};
use crate::stamp::{Stamp, identity};
use crate::wasm_targets::{self, GUEST};
use crate::{about, optimise, setup, trim, workspace};

use guests::{
    ADAPTERS, COMPOSED, GUESTS, Guest, HTTP_FILTER, Output, PROVIDER, STANDALONE_COMMAND,
};
pub(crate) use guests::{Batch, KEYVALUE, PROVIDER_P2, SECRETS, STANDALONE};
pub(crate) use interface::{INTERFACE_P2, interface_file};
use interface::{interface, interface_p2};

/// The composed component that tests and the demo run.
pub(crate) fn composed() -> PathBuf {
    workspace::components().join("consumer-composed.wasm")
}

/// The component that users get.
pub(crate) fn provider() -> PathBuf {
    workspace::dist().join(PROVIDER)
}

/// The HTTP filter for components.
pub(crate) fn http_filter() -> PathBuf {
    workspace::dist().join(HTTP_FILTER)
}

/// The command: package, program.
pub(crate) const COMMAND: (&str, &str) = ("edgepass-cli", "edgepass");

/// The features that both programs are released with.
pub(crate) const COMMAND_FEATURES: &[&str] = &["token-store"];

/// Commands that users get and that have no compiler.
pub(crate) const COMMANDS: &[(&str, &str)] = &[COMMAND, ("edgepass-emulator", "edgepass-emulator")];

/// The program that runs applications, which has the compiler that the others are without: package, program. Tests run the
/// one of their own build.
pub(crate) const RUN: (&str, &str) = ("edgepass-run", "edgepass-run");

/// The tool that compiles the component ahead of time.
const PRECOMPILE: &str = "edgepass-precompile";

/// A test target that needs nothing built before it. Where one is asked for,
/// cargo resolves features as it does for `cargo test`, development dependencies
/// included; without it the tests would build wasmtime again.
const ANCHOR: &str = "engine";

/// The native packages, as this tree runs them. Always selected together:
/// features are unified over the selection, and a smaller one would build
/// wasmtime and others again.
pub(crate) const NATIVE: &[&str] = &[
    "edgepass-core",
    "edgepass-rules",
    "edgepass-emulator",
    "edgepass-settings",
    "edgepass-precompile",
    "edgepass-aot",
    "edgepass",
    "edgepass-cli",
    "edgepass-run",
    "edgepass-e2e",
    "edgepass-demo",
    "edgepass-bench",
    "edgepass-bench-applications",
    "edgepass-bench-envoy",
];

pub(crate) fn run() -> Result<()> {
    let _lock = workspace::lock()?;
    all()?;
    for entry in fs::read_dir(workspace::dist())
        .context("cannot list dist")?
        .flatten()
    {
        let size = entry.metadata().map_or(0, |meta| meta.len());
        eprintln!("  {:>10} {}", size, workspace::shown(&entry.path()));
    }
    Ok(())
}

/// Everything, for a task that holds the lock.
pub(crate) fn all() -> Result<()> {
    component()?;
    let build = |name: &str, cmd: Cmd| step(&format!("building {name}"), || cmd.run());
    commands(COMMANDS, build)?;
    commands(&[RUN], build)
}

/// What users get of programs, after [`component`]. Each is built by itself, as `cargo install` builds it: together they would
/// have each other's features.
pub(crate) fn commands(
    programs: &[(&str, &str)],
    build: impl Fn(&str, Cmd) -> Result<()>,
) -> Result<()> {
    for command in programs {
        let (_, name) = command;
        build(name, release(&[*command]))?;
        install(&released().join(name), &workspace::dist().join(name))?;
    }
    Ok(())
}

/// The components, and the provider compiled for this machine: what the host
/// crate needs before it can be compiled at all.
pub(crate) fn component() -> Result<()> {
    guests()?;
    precompile()
}

/// A cargo invocation over the native packages, for what this tree itself runs.
pub(crate) fn native(subcommand: &str) -> Cmd {
    let mut cmd = Cmd::cargo()
        .args([subcommand, "--locked"])
        // what is embedded is compiled from these sources, by the tool; not what is checked in, by a build script
        .args([
            "--no-default-features",
            "--features",
            "edgepass-cli/compiler",
        ]);
    for package in NATIVE {
        cmd = cmd.args(["-p", package]);
    }
    cmd
}

/// Where [`native`] puts programs.
pub(crate) fn built() -> PathBuf {
    workspace::target().join("debug")
}

/// Builds programs (package, program) as users get them. What is selected here
/// together shares its features: what has the compiler is built by itself.
pub(crate) fn release(programs: &[(&str, &str)]) -> Cmd {
    let mut cmd = Cmd::cargo().args(["build", "--release", "--locked", "--no-default-features"]);
    for (package, program) in programs {
        cmd = cmd.args(["-p", package, "--bin", program]);
        if [COMMAND, RUN].contains(&(*package, *program)) {
            let features = COMMAND_FEATURES.iter();
            let features: Vec<_> = features.map(|name| format!("{package}/{name}")).collect();
            cmd = cmd.args(["--features", &features.join(",")]);
        }
    }
    cmd
}

/// Builds an example of a package, optimised.
pub(crate) fn example(package: &str, name: &str) -> Cmd {
    Cmd::cargo().args([
        "build",
        "--release",
        "--locked",
        "-p",
        package,
        "--example",
        name,
    ])
}

/// Where [`release`] puts programs.
pub(crate) fn released() -> PathBuf {
    workspace::target().join("release")
}

/// Builds programs of the native packages, with the features that tests have.
pub(crate) fn binaries(names: &[&str]) -> Cmd {
    let mut cmd = native("build").args(["--test", ANCHOR]);
    for name in names {
        cmd = cmd.args(["--bin", name]);
    }
    cmd
}

/// A cargo invocation over the guests of one batch.
pub(crate) fn wasm(subcommand: &str, batch: Batch) -> Result<Cmd> {
    let std = setup::std_for(GUEST)?;
    let cmd = Cmd::cargo()
        .args([subcommand, "--locked", "--profile", batch.profile()])
        .args(batch.features())
        .arg("--config")
        .arg(wasm_targets::flags(batch.flags())?);
    let mut cmd = std.apply(cmd.args(["--target", GUEST]), GUEST);
    for guest in GUESTS.iter().filter(|guest| guest.batch == batch) {
        cmd = cmd.args(["-p", guest.package]);
    }
    Ok(cmd)
}

/// The wasm artifacts alone: all that the filter needs.
pub(crate) fn guests() -> Result<()> {
    for batch in Batch::ALL {
        step(&format!("building {}", batch.name()), || {
            wasm("build", batch)?.run()?;
            // at once: both filters are linked to one place
            GUESTS
                .iter()
                .filter(|guest| guest.batch == batch)
                .try_for_each(finish)
        })?;
    }
    step("composing components", || {
        workspace::write_if_changed(&interface_file(), interface()?.as_bytes())?;
        let file = workspace::dist().join(INTERFACE_P2);
        workspace::write_if_changed(&file, interface_p2()?.as_bytes())?;
        let provider = workspace::dist().join(PROVIDER);
        standalone(&provider)?;
        let (store, http) = (workspace::dist().join(KEYVALUE), http_filter());
        for composition in COMPOSED {
            let consumer = workspace::components().join(composition.consumer);
            let provider = workspace::dist().join(composition.provider);
            let output = workspace::components().join(composition.result);
            let filter = composition.has_filter.then_some(http.as_path());
            let token_store = composition.has_store.then_some(store.as_path());
            let stamp = Stamp::new(
                &format!("composed-{}", composition.result),
                &[
                    &identity(&consumer),
                    &identity(&provider),
                    &token_store.map(identity).unwrap_or_default(),
                    &filter.map(identity).unwrap_or_default(),
                    &identity(&this_program()),
                ],
            );
            if !(stamp.is_fresh() && output.exists()) {
                let allowed = composition.allowed.iter();
                let allowed: Vec<_> = allowed.map(ToString::to_string).collect();
                let files = Files {
                    application: &consumer,
                    provider: &provider,
                    token_store,
                    filter,
                    allowed: &allowed,
                };
                componentize::compose(&files, &output)?;
                stamp.set()?;
            }
        }
        Ok(())
    })
}

fn standalone(provider: &Path) -> Result<()> {
    let output = workspace::dist().join(STANDALONE);
    let parts = [ADAPTERS, STANDALONE_COMMAND].map(|name| workspace::components().join(name));
    let [adapters, command] = &parts;
    let stamp = Stamp::new(
        "composed-standalone",
        &[
            &identity(provider),
            &identity(adapters),
            &identity(command),
            &identity(&this_program()),
        ],
    );
    if stamp.is_fresh() && output.exists() {
        return Ok(());
    }
    componentize::standalone(provider, adapters, command, &output)?;
    stamp.set()
}

/// Makes of a linked module what it is for.
fn finish(guest: &Guest) -> Result<()> {
    let module = module(guest);
    let output = output(guest);
    let stamp = Stamp::new(
        &format!(
            "finished-{}",
            output.file_name().unwrap_or_default().display()
        ),
        &[&identity(&module), &identity(&this_program())],
    );
    if stamp.is_fresh() && output.exists() {
        return Ok(());
    }
    match guest.output {
        Output::Filter(_) => {
            let trimmed = workspace::target().join("trimmed.wasm");
            trim::trim(&module, &trimmed)?;
            let how = match guest.batch {
                Batch::FullFilter => optimise::QUICKLY,
                Batch::Components | Batch::Filter => optimise::THOROUGHLY,
            };
            optimise::optimise(&trimmed, &output, how)?;
        }
        Output::Component(_) | Output::Part(_) => {
            let optimised = workspace::target().join("optimised.wasm");
            optimise::optimise(&module, &optimised, optimise::THOROUGHLY)?;
            let component = componentize::component(&optimised)?;
            let component = about::component(guest.package, None, &component)?;
            workspace::write_if_changed(&output, &component)?;
        }
        Output::TestComponent(_) => componentize::componentize(&module, &output)?,
    }
    stamp.set()
}

fn precompile() -> Result<()> {
    step("building the tool that compiles the component", || {
        binaries(&[PRECOMPILE]).run()
    })?;
    let tool = built().join(PRECOMPILE);
    let component = workspace::dist().join(PROVIDER);
    let bytes = fs::read(&component)
        .with_context(|| format!("cannot read {}", workspace::shown(&component)))?;
    let output = workspace::cwasm();
    let stamp = Stamp::new("precompiled", &[&sha256(&bytes), &identity(&tool)]);
    if stamp.is_fresh() && output.exists() {
        return Ok(());
    }
    step("compiling the component for this machine", || {
        Cmd::new(&tool)
            .arg(&component)
            .arg(&output)
            .quiet("precompile")
    })?;
    stamp.set()
}

fn module(guest: &Guest) -> PathBuf {
    workspace::target()
        .join(GUEST)
        .join(guest.batch.profile())
        .join(format!("{}.wasm", guest.package.replace('-', "_")))
}

fn output(guest: &Guest) -> PathBuf {
    match guest.output {
        Output::Component(name) | Output::Filter(name) => workspace::dist().join(name),
        Output::Part(name) | Output::TestComponent(name) => workspace::components().join(name),
    }
}

/// Another version of this crate may make components differently.
fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_default()
}

/// Copies a command unless it is there already. Through a new name: a running
/// command cannot be overwritten, but it can be replaced.
fn install(from: &Path, to: &Path) -> Result<()> {
    let shown = || {
        format!(
            "cannot copy {} to {}",
            workspace::shown(from),
            workspace::shown(to)
        )
    };
    let stamp = Stamp::new(
        &format!(
            "installed-{}",
            to.file_name().unwrap_or_default().to_string_lossy()
        ),
        &[&identity(from)],
    );
    if stamp.is_fresh() && to.exists() {
        return Ok(());
    }
    fs::create_dir_all(workspace::dist()).with_context(shown)?;
    let new = to.with_extension("new");
    fs::copy(from, &new).with_context(shown)?;
    fs::rename(&new, to).with_context(shown)?;
    stamp.set()
}
