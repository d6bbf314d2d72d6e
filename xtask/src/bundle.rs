//! `cargo xtask bundle`: the component that travels with the library.
//!
//! Who depends on the library by its git address or from a registry has cargo and nothing else: no WebAssembly target, no
//! build tasks. So the component is checked in, and a build script compiles it (host/aot/build.rs). What is checked in
//! must be what the sources make; `cargo xtask test` sees to it, and this renews it.

use crate::digest::{self, Pieces};
use crate::sh::{Cmd, step};
use crate::wasm_targets::{GUEST, Std};
use crate::{build, setup, workspace};
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// Renews it.
pub(crate) fn run() -> Result<()> {
    let _lock = workspace::lock()?;
    build::guests()?;
    let built = fs::read(build::provider()).context("cannot read the component")?;
    let origin = Origin::of(&built)?;
    let changed = workspace::write_if_changed(&folder().join(FILE), &built)?;
    workspace::write_if_changed(&folder().join(ORIGIN), origin.text()?.as_bytes())?;
    eprintln!(
        "{} {}",
        workspace::shown(&folder().join(FILE)),
        if changed {
            "is renewed"
        } else {
            "is as it was"
        }
    );
    Ok(())
}

/// Whether it is what the sources make. The component must have been built.
pub(crate) fn check() -> Result<()> {
    step(
        "comparing the component that is checked in with the one that was built",
        || {
            let kept = fs::read(folder().join(FILE)).context(RENEW)?;
            let origin = fs::read_to_string(folder().join(ORIGIN)).context(RENEW)?;
            let origin: Origin = toml::from_str(&origin).context(RENEW)?;
            let built = fs::read(build::provider()).context("cannot read the component")?;
            let verdict = origin.judge(&kept, &built, &Origin::of(&built)?);
            match verdict {
                Verdict::Same => Ok(()),
                Verdict::SameSources => {
                    eprintln!(
                        "    made of these sources by {} (library: {}): another compiler, or another place, makes other bytes",
                        origin.rustc, origin.library
                    );
                    Ok(())
                }
                Verdict::Edited => bail!("{FILE} is not what {ORIGIN} says: {RENEW}"),
                Verdict::Stale => bail!("{FILE} is not what these sources make: {RENEW}"),
            }
        },
    )
}

const FILE: &str = "credential-provider.wasm";

/// What it was made from.
const ORIGIN: &str = "credential-provider.toml";

const RENEW: &str = "run `cargo xtask bundle` and commit host/aot/component";

fn folder() -> PathBuf {
    workspace::root().join("host/aot/component")
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Origin {
    /// SHA-256 of the component.
    component: String,
    /// SHA-256 of what it is made of.
    sources: String,
    /// The compiler: another makes other bytes of the same sources.
    rustc: String,
    /// Where the compiler's library came from, as [`Std`] has it.
    library: String,
}

#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    Same,
    SameSources,
    Stale,
    Edited,
}

impl Origin {
    fn of(component: &[u8]) -> Result<Self> {
        let library = match setup::std_for(GUEST)? {
            Std::Installed => "installed",
            Std::Private(_) => "source",
        };
        Ok(Self {
            component: digest::sha256(component),
            sources: sources()?,
            rustc: Cmd::new("rustc").arg("--version").read()?.trim().to_owned(),
            library: library.to_owned(),
        })
    }

    /// What to think of the component that is kept with this origin, when the sources now make `built`.
    fn judge(&self, kept: &[u8], built: &[u8], now: &Self) -> Verdict {
        if digest::sha256(kept) != self.component {
            return Verdict::Edited;
        }
        if kept == built {
            return Verdict::Same;
        }
        if self.sources == now.sources {
            return Verdict::SameSources;
        }
        Verdict::Stale
    }

    fn text(&self) -> Result<String> {
        let rows = [
            ("component", &self.component),
            ("sources", &self.sources),
            ("rustc", &self.rustc),
            ("library", &self.library),
        ];
        let mut text = "# Written by `cargo xtask bundle`.\n".to_owned();
        for (name, value) in rows {
            text.push_str(&format!("{name} = {value:?}\n"));
        }
        // it is read again by this program alone
        toml::from_str::<Self>(&text).context("the origin cannot be read again")?;
        Ok(text)
    }
}

/// A digest of what the component is made of: its crates' sources, the interfaces, the versions and features of what it
/// depends on, and how it is compiled.
fn sources() -> Result<String> {
    let mut all = Pieces::default();
    for folder in ["guest/bindings", "guest/core", "guest/provider", "wit"] {
        for path in digest::files(&workspace::root().join(folder))? {
            let name = workspace::shown(&path);
            let counts = name.ends_with(".wit")
                || name.ends_with("Cargo.toml")
                || (name.ends_with(".rs") && !name.contains("/tests/"));
            if counts {
                all.add(name.as_bytes());
                all.add(&fs::read(&path).with_context(|| format!("cannot read {name}"))?);
            }
        }
    }
    let tree = Cmd::cargo()
        .args(["tree", "--locked", "--package", "edgepass-provider"])
        .args(["--target", GUEST, "--edges", "normal,build"])
        .args(["--prefix", "none", "--no-dedupe", "--format", "{p} {f}"])
        .read()?;
    // crates of this tree are shown with their folder
    let root = workspace::root().display().to_string();
    let mut lines: Vec<String> = tree.lines().map(|line| line.replace(&root, "")).collect();
    lines.sort_unstable();
    lines.dedup();
    all.add(lines.join("\n").as_bytes());
    let manifest = fs::read_to_string(workspace::root().join("Cargo.toml"))
        .context("cannot read Cargo.toml")?;
    let manifest: toml::Table = toml::from_str(&manifest).context("Cargo.toml")?;
    let profile = manifest.get("profile").and_then(|all| all.get("release"));
    all.add(format!("{profile:?}").as_bytes());
    Ok(all.finish())
}

#[cfg(test)]
mod tests {
    use super::{Origin, Verdict};
    use crate::digest::sha256;

    fn origin(component: &[u8], sources: &str, rustc: &str) -> Origin {
        Origin {
            component: sha256(component),
            sources: sources.to_owned(),
            rustc: rustc.to_owned(),
            library: "installed".to_owned(),
        }
    }

    #[test]
    fn only_the_same_sources_excuse_other_bytes() {
        let kept = origin(b"a", "s1", "r1");
        for (bytes, built, now, expected) in [
            (b"a", b"a", origin(b"a", "s1", "r1"), Verdict::Same),
            // tests and comments are among the sources, and change nothing
            (b"a", b"a", origin(b"a", "s2", "r2"), Verdict::Same),
            (b"a", b"b", origin(b"b", "s1", "r2"), Verdict::SameSources),
            (b"a", b"b", origin(b"b", "s1", "r1"), Verdict::SameSources),
            (b"a", b"b", origin(b"b", "s2", "r2"), Verdict::Stale),
            (b"x", b"x", origin(b"x", "s1", "r1"), Verdict::Edited),
        ] {
            assert_eq!(kept.judge(bytes, built, &now), expected, "{now:?}");
        }
    }

    #[test]
    fn an_origin_is_read_as_it_was_written() {
        let written = origin(b"a", "s", "rustc 1.95.0 (\"x\" 2026)");
        let read: Origin = toml::from_str(&written.text().expect("text")).expect("toml");
        assert_eq!(read, written);
    }
}
