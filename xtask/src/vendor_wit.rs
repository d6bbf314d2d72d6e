//! `wit/deps`: the WASI packages, as the crate that ships them has them.
//!
//! The guest's imports and the host's linker must be the same interfaces; the
//! host's come from `wasmtime-wasi-http`, so ours are copied from the version
//! of it that the lock file names.

use crate::sh::{Cmd, step};
use crate::workspace;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crate that ships the WASI packages.
const SOURCE: &str = "wasmtime-wasi-http";

/// Where it has them.
const INSIDE: &str = "src/p3/wit/deps";

/// What our own packages name; the rest follows from these.
const ROOTS: &[&str] = &["cli", "clocks", "http", "random"];

#[derive(Args)]
pub(crate) struct Options {
    /// Change nothing, fail when wit/deps is not what the crate ships
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.check { check() } else { copy() }
}

/// Fails when `wit/deps` differs from what the locked crate ships.
pub(crate) fn check() -> Result<()> {
    step("checking wit/deps against the crate that ships it", || {
        let (version, wanted) = shipped()?;
        let drift = drift(&wanted, &vendored()?);
        if drift.is_empty() {
            return Ok(());
        }
        bail!(
            "wit/deps is not what {SOURCE} {version} ships:\n  {}\nrun `cargo xtask vendor-wit` and review the change",
            drift.join("\n  ")
        )
    })
}

fn copy() -> Result<()> {
    let (version, wanted) = shipped()?;
    let present = vendored()?;
    for line in drift(&wanted, &present) {
        eprintln!("  {line}");
    }
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        let path = folder().join(name);
        fs::remove_file(&path)
            .with_context(|| format!("cannot remove {}", workspace::shown(&path)))?;
    }
    for (name, text) in &wanted {
        workspace::write_if_changed(&folder().join(name), text.as_bytes())?;
    }
    eprintln!(
        "wit/deps holds {} packages of {SOURCE} {version}",
        wanted.len()
    );
    Ok(())
}

/// What differs, a line each; names come in order.
fn drift(wanted: &BTreeMap<String, String>, present: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<&String> = wanted.keys().chain(present.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| match (wanted.get(name), present.get(name)) {
            (Some(_), None) => Some(format!("{name}: missing")),
            (None, Some(_)) => Some(format!("{name}: not needed")),
            (Some(new), Some(old)) if new != old => Some(format!("{name}: differs")),
            _ => None,
        })
        .collect()
}

fn folder() -> PathBuf {
    workspace::root().join("wit").join("deps")
}

fn vendored() -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(folder()) else {
        return Ok(files);
    };
    for entry in entries {
        let path = entry.context("cannot list wit/deps")?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", workspace::shown(&path)))?;
        files.insert(name.to_owned(), text);
    }
    Ok(files)
}

/// Version of the crate, and the files of it that our roots need.
fn shipped() -> Result<(String, BTreeMap<String, String>)> {
    let (version, manifest) = locate()?;
    let source = manifest.parent().unwrap_or(&manifest).join(INSIDE);
    let mut files = BTreeMap::new();
    let mut queue: Vec<String> = ROOTS.iter().map(|&root| root.to_owned()).collect();
    while let Some(package) = queue.pop() {
        let name = format!("{package}.wit");
        if files.contains_key(&name) {
            continue;
        }
        let path = source.join(&name);
        let text = fs::read_to_string(&path).with_context(|| {
            format!(
                "{SOURCE} {version} has no {INSIDE}/{name}: has the crate moved its WIT? see xtask/src/vendor_wit.rs"
            )
        })?;
        queue.extend(mentioned(&text));
        files.insert(name, text);
    }
    Ok((version, files))
}

/// The WASI packages that a WIT text refers to, outside its comments: a world
/// cannot be resolved without the packages that it includes.
fn mentioned(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.split("//").next())
        .flat_map(|code| code.split("wasi:").skip(1))
        .filter_map(|rest| rest.split(['/', '@', ';']).next())
        .map(str::to_owned)
        .collect()
}

fn locate() -> Result<(String, PathBuf)> {
    let text = Cmd::cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .read()
        .context("cannot ask cargo where its crates are")?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).context("cargo metadata printed what is not JSON")?;
    let package = metadata
        .get("packages")
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .find(|package| package.get("name").and_then(|n| n.as_str()) == Some(SOURCE))
        .with_context(|| format!("{SOURCE} is not in the lock file"))?;
    let field = |name: &str| {
        package
            .get(name)
            .and_then(serde_json::Value::as_str)
            .with_context(|| format!("cargo metadata gives no {name} for {SOURCE}"))
    };
    Ok((
        field("version")?.to_owned(),
        Path::new(field("manifest_path")?).to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::{drift, mentioned};
    use std::collections::BTreeMap;

    #[test]
    fn finds_packages_in_code_and_not_in_comments() {
        let text = "package wasi:http@0.3.0;\n/// see wasi:keyvalue/store\nuse wasi:clocks/types@0.3.0.{duration};\nimport wasi:cli/stdout@0.3.0;";
        let found: Vec<String> = mentioned(text).into_iter().collect();
        assert_eq!(found, ["cli", "clocks", "http"]);
    }

    #[test]
    fn drift_names_every_kind_of_difference() {
        let files = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
            list.iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect()
        };
        let wanted = files(&[("a.wit", "1"), ("b.wit", "1"), ("c.wit", "1")]);
        let present = files(&[("b.wit", "2"), ("c.wit", "1"), ("d.wit", "1")]);
        assert_eq!(
            drift(&wanted, &present),
            ["a.wit: missing", "b.wit: differs", "d.wit: not needed"]
        );
    }
}
