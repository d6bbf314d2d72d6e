//! `wit/deps`, `wit/p2/deps` and `wit/keyvalue/deps`: the WASI packages, as the crates that ship them have them.
//!
//! The guest's imports and the host's linker must be the same interfaces; the
//! host's come from `wasmtime-wasi-http`, so ours are copied from the version
//! of it that the lock file names. `wasi:keyvalue` comes from the crate with
//! which `wasmtime` runs it.

use crate::sh::{Cmd, step};
use crate::{digest, workspace};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crate that ships the WASI packages.
const WASI: &str = "wasmtime-wasi-http";

/// The one that ships `wasi:keyvalue`.
const KEYVALUE: &str = "wasmtime-wasi-keyvalue";

/// Packages of one crate: one version of WASI, or one of its proposals.
struct Vendored {
    source: &'static str,
    /// Where the crate has its packages.
    inside: &'static str,
    /// Where ours are, below the workspace.
    folder: &'static str,
    /// What our own packages name; the rest follows from these.
    roots: &'static [&'static str],
}

const VERSIONS: &[Vendored] = &[
    Vendored {
        source: WASI,
        inside: "src/p3/wit/deps",
        folder: "wit/deps",
        roots: &["cli", "clocks", "http", "random"],
    },
    Vendored {
        source: WASI,
        inside: "wit/deps",
        folder: "wit/p2/deps",
        roots: &["cli", "clocks", "http", "io", "random"],
    },
    Vendored {
        source: KEYVALUE,
        inside: "wit/deps",
        folder: "wit/keyvalue/deps",
        roots: &["keyvalue"],
    },
];

#[derive(Args)]
pub(crate) struct Options {
    /// Change nothing, fail when what is vendored is not what the crate ships
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.check { check() } else { copy() }
}

/// Fails when what is vendored differs from what the locked crate ships.
pub(crate) fn check() -> Result<()> {
    step("checking wit/ against the crate that ships WASI", || {
        for wasi in VERSIONS {
            let source = locate(wasi.source)?;
            let drift = drift(&wasi.shipped(&source)?, &wasi.present()?);
            if !drift.is_empty() {
                bail!(
                    "{} is not what {} {} ships:\n  {}\nrun `cargo xtask vendor-wit` and review the change",
                    wasi.folder,
                    wasi.source,
                    source.version,
                    drift.join("\n  ")
                )
            }
        }
        Ok(())
    })
}

fn copy() -> Result<()> {
    for wasi in VERSIONS {
        let source = locate(wasi.source)?;
        let (wanted, present) = (wasi.shipped(&source)?, wasi.present()?);
        for line in drift(&wanted, &present) {
            eprintln!("  {line}");
        }
        for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
            let path = wasi.path().join(name);
            fs::remove_file(&path)
                .with_context(|| format!("cannot remove {}", workspace::shown(&path)))?;
        }
        for (name, text) in &wanted {
            workspace::write_if_changed(&wasi.path().join(name), text.as_bytes())?;
        }
        eprintln!(
            "{} holds {} files of {} {}",
            wasi.folder,
            wanted.len(),
            wasi.source,
            source.version
        );
    }
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

impl Vendored {
    fn path(&self) -> PathBuf {
        workspace::root().join(self.folder)
    }

    fn present(&self) -> Result<BTreeMap<String, String>> {
        let root = self.path();
        let mut files = BTreeMap::new();
        if root.exists() {
            for path in digest::files(&root)? {
                // a link leads to a package of ours
                if path.is_symlink() {
                    continue;
                }
                let name = path.strip_prefix(&root)?.display().to_string();
                files.insert(name, read(&path)?);
            }
        }
        Ok(files)
    }

    /// The files of the crate that our roots need: of a package its one file, or those of its folder.
    fn shipped(&self, source: &Source) -> Result<BTreeMap<String, String>> {
        let root = source.folder.join(self.inside);
        let mut files = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut queue: Vec<String> = self.roots.iter().map(|&root| root.to_owned()).collect();
        while let Some(package) = queue.pop() {
            if !seen.insert(package.clone()) {
                continue;
            }
            let folder = root.join(&package);
            let paths = match folder.is_dir() {
                true => digest::files(&folder)?,
                false => vec![root.join(format!("{package}.wit"))],
            };
            for path in paths {
                let text = read(&path).with_context(|| {
                    format!(
                        "{} {} has no {}/{package}: has the crate moved its WIT? see xtask/src/vendor_wit.rs",
                        self.source, source.version, self.inside
                    )
                })?;
                queue.extend(mentioned(&text));
                files.insert(path.strip_prefix(&root)?.display().to_string(), text);
            }
        }
        Ok(files)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", workspace::shown(path)))
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

/// The crate, unpacked.
struct Source {
    version: String,
    folder: PathBuf,
}

fn locate(name: &str) -> Result<Source> {
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
        .find(|package| package.get("name").and_then(|n| n.as_str()) == Some(name))
        .with_context(|| format!("{name} is not in the lock file"))?;
    let field = |field: &str| {
        package
            .get(field)
            .and_then(serde_json::Value::as_str)
            .with_context(|| format!("cargo metadata gives no {field} for {name}"))
    };
    let manifest = Path::new(field("manifest_path")?);
    Ok(Source {
        version: field("version")?.to_owned(),
        folder: manifest.parent().unwrap_or(manifest).to_owned(),
    })
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
