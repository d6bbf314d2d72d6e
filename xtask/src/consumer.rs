//! Programs outside this tree that depend on the library as others do: built by cargo alone, from the packed crates.
//!
//! One is the project that `docs/install.md` shows, with its dependency on a git address turned to what was packed just now.
//! In tests the profiles and the target directory are this tree's: what both compile alike is compiled once. Compiling the
//! compiler for the build script takes longer than all the rest, and the machine code is there already, so tests name it
//! (`EDGEPASS_CWASM`), look at the dependencies of the other way, and a test of edgepass-aot compiles what is packed with
//! the same function. The other examples are only compiled: what they do is tested with the rest of this tree's tests.
//! `cargo xtask package --prove` goes the other way, as users do: with cargo's own profiles, from nothing.

use crate::emulator::Emulator;
use crate::sh::{Cmd, step};
use crate::workspace::{self, Outside};
use crate::{digest, package};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// The dependency as users write it.
const GIT: &str = r#"{ git = "https://github.com/edgepass/edgepass" }"#;

/// What is run.
const LIBRARY: Example = Example {
    folder: "examples/library",
    program: "edgepass-example",
};

/// What is compiled.
const OTHERS: &[Example] = &[Example {
    folder: "examples/login-backend",
    program: "login-backend",
}];

/// A project of the tree that is none of its workspace.
struct Example {
    folder: &'static str,
    /// What cargo makes of it.
    program: &'static str,
}

/// What the program asks for.
const SCOPE: &str = "api://edgepass-demo/.default";

/// Where the machine code in the program comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// `EDGEPASS_CWASM`, without the default features.
    Named,
    /// The build script compiles the component that was packed.
    Bundled,
}

/// Builds the program from the packed crates, and runs it.
pub(crate) fn check(code: Code) -> Result<()> {
    let folder = Outside::new("consumer")?;
    let crates = package::unpack(&folder.0.join("crates"))?;
    let built = step(
        "building a program outside this tree from the packed crates",
        || program(&folder.0.join("library"), code, &LIBRARY, &crates),
    )?;
    step("running it", || run(&built, &folder.0))?;
    // with the compiler once is enough
    let mut others = OTHERS.iter().filter(|_| code == Code::Named);
    others.try_for_each(|other| {
        step(&format!("building {}", other.folder), || {
            program(&folder.0.join(other.program), code, other, &crates).map(drop)
        })
    })
}

fn program(
    folder: &Path,
    code: Code,
    example: &Example,
    crates: &[(&str, PathBuf)],
) -> Result<PathBuf> {
    let source = workspace::root().join(example.folder);
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", workspace::shown(path)))
    };
    let manifest = read(&source.join("Cargo.toml"))?;
    ensure!(
        manifest.contains(GIT),
        "the example depends on edgepass otherwise"
    );
    let mut manifest = manifest.replace(
        GIT,
        match code {
            Code::Bundled => r#""0.1.0""#,
            Code::Named => r#"{ version = "0.1.0", default-features = false }"#,
        },
    );
    manifest.push_str("\n[patch.crates-io]\n");
    for (name, path) in crates {
        // what a library does not build on cannot be put in its place
        if ["edgepass-cli", "edgepass-rules"].contains(name) {
            continue;
        }
        manifest.push_str(&format!("{name} = {{ path = {path:?} }}\n"));
    }
    let target = match code {
        Code::Named => workspace::target(),
        Code::Bundled => folder.join("target"),
    };
    if code == Code::Named {
        // for a look at the other way
        manifest.push_str("\n[features]\nbundled = [\"edgepass/bundled\"]\n");
        manifest.push_str(&profile()?);
    }
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("Cargo.toml", &manifest)?;
    for path in digest::files(&source.join("src"))? {
        let inside = path.strip_prefix(&source).context("a file is elsewhere")?;
        write(&inside.to_string_lossy(), &read(&path)?)?;
    }
    write("Cargo.lock", &read(&workspace::root().join("Cargo.lock"))?)?;
    let cargo = |subcommand: &str| {
        Cmd::new(workspace::cargo())
            .args([subcommand, "--offline"])
            .dir(folder)
            .env("CARGO_TARGET_DIR", &target)
    };
    match code {
        Code::Bundled => cargo("build").env_remove("EDGEPASS_CWASM").run()?,
        Code::Named => {
            if example.folder == LIBRARY.folder {
                look_at_dependencies(&cargo)?;
            }
            cargo("build")
                .env("EDGEPASS_CWASM", workspace::cwasm())
                .run()?;
        }
    }
    let program = target.join("debug").join(example.program);
    let bytes = fs::read(&program).context("cargo built no program")?;
    if let Some(name) = crate::shipped::compiler_in(&bytes) {
        bail!("the program has code of {name} in it, which only its build should have");
    }
    Ok(program)
}

/// The profile with which this tree compiles dependencies, for a manifest: what both use is compiled once.
pub(crate) fn profile() -> Result<String> {
    let ours = fs::read_to_string(workspace::root().join("Cargo.toml"))?;
    let profile = ours
        .split_once("[profile.dev]")
        .and_then(|(_, rest)| rest.split_once("[profile.release]"))
        .context("Cargo.toml has no profiles in that order")?;
    Ok(format!("\n[profile.dev]{}", profile.0))
}

/// With the default features the compiler is among what builds the program, and not among what is in it.
fn look_at_dependencies(cargo: &dyn Fn(&str) -> Cmd) -> Result<()> {
    const COMPILER: &[&str] = &["cranelift-codegen"];
    let tree = |edges: &str, features: &[&str]| {
        cargo("tree")
            .args(["--edges", edges, "--prefix", "none", "--format", "{p}"])
            .args(features)
            .read()
    };
    let has = |text: &str| !crate::shipped::named(text, COMPILER).is_empty();
    ensure!(
        has(&tree("normal,build", &["--features", "bundled"])?),
        "the build of the library with its default features has no compiler"
    );
    ensure!(
        !has(&tree("normal", &["--features", "bundled"])?),
        "the library with its default features has a compiler in it"
    );
    ensure!(
        !has(&tree("normal,build", &[])?),
        "the library without `bundled` has a compiler in its build"
    );
    Ok(())
}

fn run(program: &Path, folder: &Path) -> Result<()> {
    let emulator = Emulator::start(&folder.join("emulator"))?;
    let said = emulator
        .workload(&format!("exec '{}' {SCOPE}", program.display()))
        .read()?;
    let seconds = said
        .trim()
        .strip_prefix("good for ")
        .and_then(|rest| rest.strip_suffix(" s"))
        .and_then(|seconds| seconds.parse::<u64>().ok());
    ensure!(
        seconds.is_some_and(|seconds| seconds > 0),
        "it said {said:?}"
    );
    Ok(())
}
