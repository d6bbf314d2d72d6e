//! What may become part of edgepass: licences, bans and sources, as `deny.toml` says.
//!
//! `cargo deny` reads the same file and sees more, duplicates and advisories for
//! instance. It is no part of a toolchain, though, and building it takes longer than all
//! the lints: a check that runs only where somebody has it is one that CI skips.

use crate::sh::{Cmd, step};
use crate::workspace;
use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use std::fs;

/// The one registry that crates may come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What is read of `deny.toml`.
#[derive(Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// What is read of `cargo metadata`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None for those of this tree.
    source: Option<String>,
}

pub(crate) fn check() -> Result<()> {
    step("licences, bans and sources of dependencies", || {
        let path = workspace::root().join("deny.toml");
        let text = fs::read_to_string(&path).context("cannot read deny.toml")?;
        let rules: Rules = toml::from_str(&text).context("deny.toml")?;
        let mut metadata = Cmd::cargo()
            .args(["metadata", "--locked", "--all-features"])
            .args(["--format-version", "1"]);
        for target in &rules.graph.targets {
            metadata = metadata.args(["--filter-platform", target]);
        }
        let metadata: Metadata = serde_json::from_str(&metadata.read()?)
            .context("cargo metadata printed something else")?;
        let found: Vec<String> = metadata
            .packages
            .iter()
            .flat_map(|package| rules.against(package))
            .collect();
        if found.is_empty() {
            return Ok(());
        }
        bail!(
            "{}\n(`cargo tree -i NAME` shows what brings it; deny.toml says what may be)",
            found.join("\n")
        )
    })
}

impl Ban {
    /// `name`, or `name:<1.2` for the versions before that.
    fn is_of(&self, package: &Package) -> bool {
        let numbers = |version: &str| -> Vec<u64> {
            let parts = version.split(['.', '-', '+']);
            parts.map_while(|part| part.parse().ok()).collect()
        };
        match self.name.split_once(":<") {
            None => self.name == package.name,
            Some((name, version)) => {
                name == package.name && numbers(&package.version) < numbers(version)
            }
        }
    }
}

impl Rules {
    /// What speaks against a package.
    fn against(&self, package: &Package) -> Vec<String> {
        let Some(source) = &package.source else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut say = |what: String| {
            found.push(format!("{} {}: {what}", package.name, package.version));
        };
        if source != CRATES_IO {
            say(format!("comes from {source}, not from crates.io"));
        }
        if let Some(ban) = self.bans.deny.iter().find(|ban| ban.is_of(package)) {
            say(format!("is banned: {}", ban.reason));
        }
        match &package.license {
            None => say("names no licence".to_owned()),
            Some(license) if !self.allows(&package.name, license) => {
                say(format!("its licence {license} is not allowed"));
            }
            Some(_) => {}
        }
        found
    }

    /// Whether some choice that the expression leaves consists of allowed licences.
    fn allows(&self, name: &str, license: &str) -> bool {
        let excepted = self
            .licenses
            .exceptions
            .iter()
            .filter(|exception| exception.name == name)
            .flat_map(|exception| &exception.allow);
        let allowed: Vec<&String> = self.licenses.allow.iter().chain(excepted).collect();
        // LAX: older crates write `MIT/Apache-2.0`
        spdx::Expression::parse_mode(license, spdx::ParseMode::LAX).is_ok_and(|expression| {
            expression.evaluate(|required| {
                let required = required.to_string();
                allowed.iter().any(|allowed| **allowed == required)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CRATES_IO, Package, Rules};

    const RULES: &str = r#"
        [graph]
        targets = []
        [licenses]
        allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        exceptions = [{ crate = "roots", allow = ["CDLA-Permissive-2.0"] }]
        [bans]
        deny = [
            { crate = "openssl-sys", reason = "one TLS" },
            { crate = "leaky:<1.10", reason = "it leaks" },
            { crate = "mended:<0.10", reason = "it leaked" },
        ]
    "#;

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.into(),
            version: "1.0.0".into(),
            license: license.map(Into::into),
            source: source.map(Into::into),
        }
    }

    #[test]
    fn licences_are_expressions() {
        let rules: Rules = toml::from_str(RULES).expect("rules");
        for (name, license, fine) in [
            ("a", Some("MIT"), true),
            ("a", Some("GPL-3.0-only OR MIT"), true),
            ("a", Some("Unlicense/MIT"), true),
            ("a", Some("Apache-2.0 WITH LLVM-exception"), true),
            ("a", Some("MIT AND GPL-3.0-only"), false),
            ("a", Some("GPL-3.0-only"), false),
            ("a", Some("something of our own"), false),
            ("a", None, false),
            ("roots", Some("CDLA-Permissive-2.0"), true),
            ("a", Some("CDLA-Permissive-2.0"), false),
        ] {
            let against = rules.against(&package(name, license, Some(CRATES_IO)));
            assert_eq!(against.is_empty(), fine, "{license:?}: {against:?}");
        }
    }

    #[test]
    fn bans_and_sources_are_held_and_this_tree_is_let_be() {
        let rules: Rules = toml::from_str(RULES).expect("rules");
        let banned = rules.against(&package("openssl-sys", Some("MIT"), Some(CRATES_IO)));
        assert_eq!(banned, ["openssl-sys 1.0.0: is banned: one TLS"]);
        let banned = rules.against(&package("leaky", Some("MIT"), Some(CRATES_IO)));
        assert_eq!(banned, ["leaky 1.0.0: is banned: it leaks"]);
        let mended = package("mended", Some("MIT"), Some(CRATES_IO));
        assert!(rules.against(&mended).is_empty());
        let foreign = rules.against(&package("a", Some("MIT"), Some("git+https://a.example")));
        assert_eq!(foreign.len(), 1, "{foreign:?}");
        assert!(rules.against(&package("ours", None, None)).is_empty());
    }
}
