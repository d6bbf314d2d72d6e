//! The build tasks of edgepass: `cargo xtask <task>`.
//!
//! Every task does its own set-up first, says what it is doing, and does
//! nothing the second time. Nothing in the tree depends on this crate and it
//! depends on nothing in the tree that has to be built in an order (host/compose
//! alone), so it is there before anything is built.

mod about;
mod artifacts;
mod bench;
mod build;
mod bundle;
mod componentize;
mod compose;
mod consumer;
mod demo;
mod dependencies;
mod digest;
mod emulator;
mod interfaces;
mod lint;
mod newcomers;
mod oci;
mod optimise;
mod package;
mod peers;
mod programs;
mod sbom;
mod setup;
mod sh;
mod shipped;
mod stamp;
mod suites;
mod template;
mod test;
mod trim;
mod vendor_wit;
mod wasm_targets;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build tasks of edgepass", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Make the wasm targets usable and install the peers; every other task does what it needs of this by itself
    ///
    /// EDGEPASS_WASM_STD says where the wasm targets' standard library comes from, in every task: `auto` (the
    /// default: the installed toolchain, else `rustup target add`, else built from Debian's rust-src into a sysroot
    /// under target/), `installed` (fail rather than fetch anything) or `source`.
    Setup,
    /// Build everything that users get into dist/
    Build,
    /// Show the main job, step by step, against the emulator; or the filter in Envoy
    Demo(demo::Options),
    /// Run every test: core, emulator, host, component, Python and Node peers
    Test(test::Options),
    /// Print the benchmark table
    Bench(bench::Options),
    /// Plug the provider into an application's component
    Compose(compose::Options),
    /// Renew the component that travels with the library (host/aot/component)
    Bundle,
    /// Pack the crates, and what a release consists of, into dist/release/
    Package(package::Options),
    /// Check formatting, lints and documentation as CI does
    Lint(lint::Options),
    /// Write docs/interfaces.md from the files of wit/
    Interfaces,
    /// Copy the WASI packages that wit/ needs from the crate that ships them
    VendorWit(vendor_wit::Options),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => setup::run(),
        Task::Build => build::run(),
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Compose(options) => compose::run(&options),
        Task::Bundle => bundle::run(),
        Task::Package(options) => package::run(&options),
        Task::Lint(options) => lint::run(&options),
        Task::Interfaces => interfaces::run(),
        Task::VendorWit(options) => vendor_wit::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
