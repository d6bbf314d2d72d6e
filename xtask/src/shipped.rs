//! What users get: how large it may be, and what must not be in it.

use crate::build::{self, COMMANDS};
use crate::sh::{Cmd, step};
use crate::workspace;
use anyhow::{Context as _, Result, bail};
use std::fs;

/// `dist/edgepass` in bytes. Of a process that gets one token and ends nearly all
/// that is resident is code, so its size is its start-up time and its memory. 0.8 MB of it, which a token does not touch,
/// are the manifests and the reader of YAML of `envoy-config --check`; and only who uses them touches PKCS#12, commands,
/// the SPIFFE Workload API, settings of other programs, TOML, proxies, certificates that a platform issues, the grants for
/// users and their ID tokens, a shared cache in Redis, and certificates of Azure Key Vault.
const COMMAND_BYTES: usize = 13_000_000;

/// `dist/edgepass-run` in bytes. Half of it is the compiler; it runs for as long as an application, and what it takes at its
/// start is the compiling of that.
const RUN_BYTES: usize = 28_000_000;

/// The WebAssembly in bytes. Envoy compiles a filter at its start, once for every thread, and keeps the result; the full
/// one is RSA and the grants for callers. The component is in every process of the host; a fifth of it is of users' tokens.
/// The token store is AES-GCM, files and streams over WASI 0.3. Of the HTTP filter 15 kB are its records.
const WASM_BYTES: &[(&str, usize)] = &[
    ("edgepass-envoy.wasm", 400_000),
    ("edgepass-envoy-full.wasm", 880_000),
    ("credential-provider.wasm", 900_000),
    (build::PROVIDER_P2, 940_000),
    (build::SECRETS, 40_000),
    (build::KEYVALUE, 140_000),
    ("edgepass-http.wasm", 430_000),
    (build::STANDALONE, 1_100_000),
];

/// Crates of a WebAssembly compiler. Three more of the name `cranelift` hold the
/// data structures that wasmtime's runtime shares with it.
const COMPILER: &[&str] = &[
    "cranelift-codegen",
    "cranelift-frontend",
    "regalloc2",
    "wasmtime-internal-cranelift",
    "wasmtime-internal-winch",
    "winch-codegen",
];

pub(crate) fn check() -> Result<()> {
    step("looking at what users get", || {
        for (name, limit) in WASM_BYTES {
            let path = workspace::dist().join(name);
            let bytes = fs::read(&path).with_context(|| {
                format!(
                    "cannot read {}: run `cargo xtask build`",
                    workspace::shown(&path)
                )
            })?;
            eprintln!("    dist/{name} has {} bytes", bytes.len());
            if bytes.len() > *limit {
                bail!(
                    "dist/{name} has {} bytes, {limit} is the limit: what has come in? (`twiggy top` on what cargo links, before it is trimmed)",
                    bytes.len()
                );
            }
        }
        let mut tree = Cmd::cargo().args(["tree", "--locked", "--edges", "normal"]);
        for (package, _) in COMMANDS {
            tree = tree.args(["--package", package]);
        }
        let tree = tree.args(["--prefix", "none", "--format", "{p}"]).read()?;
        let found = named(&tree, COMPILER);
        if !found.is_empty() {
            bail!(
                "the shipped commands depend on {}: they are built without the feature `compiler`, so which dependency asks for it? (`cargo tree -p edgepass-cli -e features -i {}`)",
                found.join(", "),
                found.first().copied().unwrap_or_default()
            );
        }
        let command = program(build::COMMAND, COMMAND_BYTES)?;
        if let Some(name) = compiler_in(&command) {
            bail!("dist/edgepass holds code of {name}: was it built by `cargo xtask build`?");
        }
        // the same look sees the compiler where it is meant to be
        let run = program(build::RUN, RUN_BYTES)?;
        if compiler_in(&run).is_none() {
            bail!(
                "no name of a compiler's crate is found in dist/{} either: this check has become blind",
                build::RUN.1
            );
        }
        Ok(())
    })
}

/// A program (package, program) that is no larger than it may be.
fn program((package, name): (&str, &str), limit: usize) -> Result<Vec<u8>> {
    let path = workspace::dist().join(name);
    let program = fs::read(&path).with_context(|| {
        format!(
            "cannot read {}: run `cargo xtask build`",
            workspace::shown(&path)
        )
    })?;
    eprintln!("    dist/{name} has {} bytes", program.len());
    if program.len() > limit {
        bail!(
            "dist/{name} has {} bytes, {limit} is the limit: what has come in? (`cargo bloat`, `cargo tree -p {package}`)",
            program.len()
        );
    }
    Ok(program)
}

/// The crates of `cargo tree --prefix none` that are among `names`.
pub(crate) fn named<'t>(tree: &'t str, names: &[&str]) -> Vec<&'t str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| names.contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A crate of the compiler that the program has code of. Stripped programs have no
/// symbols, but places of panics, which name the source file of their crate.
pub(crate) fn compiler_in(program: &[u8]) -> Option<&'static str> {
    COMPILER.iter().copied().find(|name| {
        let place = format!("/{name}-");
        program
            .windows(place.len())
            .any(|part| part == place.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::{compiler_in, named};

    #[test]
    fn whole_names_are_looked_for() {
        let tree = "edgepass-core v0.1.0 (/x)\nrand_core v0.10.1\ntokio v1.54.1\nmio v0.2.1 (*)\ntokio v1.54.1 (*)\n";
        assert_eq!(named(tree, &["mio", "rand", "tokio"]), ["mio", "tokio"]);
    }

    #[test]
    fn a_compiler_shows_by_the_places_of_its_panics() {
        assert_eq!(
            compiler_in(b"\0/x/registry/src/y/cranelift-codegen-0.135.8/src/lib.rs\0"),
            Some("cranelift-codegen")
        );
        assert_eq!(compiler_in(b"/x/cranelift-entity-0.135.8/src/lib.rs"), None);
    }
}
