//! What each artifact of a release is made of: a bill of materials in CycloneDX 1.5, JSON (ECMA-424), for each.
//!
//! They are read from what cargo resolves for the selection of packages, features and target that the artifact was built
//! with, without what only tests or builds need. Nothing in them depends on the day or the machine: the same tree gives
//! the same bytes.

use crate::digest::sha256;
use crate::sh::Cmd;
use crate::workspace;
use anyhow::{Context as _, Result, bail, ensure};
use cyclonedx_bom::external_models::spdx::SpdxExpression;
use cyclonedx_bom::external_models::uri::Purl;
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::validation::Validate as _;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const SPEC: SpecVersion = SpecVersion::V1_5;

/// The target of every artifact that is WebAssembly.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// One selection that cargo resolves.
pub(crate) struct Selection<'a> {
    pub(crate) package: &'a str,
    pub(crate) features: &'a [&'a str],
    pub(crate) target: &'a str,
}

/// Writes the bill of `content`, an artifact of that file name that those selections are in.
pub(crate) fn of(
    file: &str,
    version: &str,
    content: &[u8],
    selections: &[Selection<'_>],
) -> Result<Vec<u8>> {
    let checksums = checksums()?;
    let mut graph = Graph::default();
    for selection in selections {
        graph.read(&tree(selection)?)?;
    }
    ensure!(!graph.packages.is_empty(), "{file} is made of nothing");
    let kind = if file.ends_with(".wasm") {
        Classification::Library
    } else {
        Classification::Application
    };
    let mut subject = Component::new(kind, file, version, Some(file.to_owned()));
    subject.licenses = license(env!("CARGO_PKG_LICENSE"));
    subject.hashes = hashes(&sha256(content));
    let mut dependencies = vec![Dependency {
        dependency_ref: file.to_owned(),
        dependencies: graph.roots.iter().cloned().collect(),
    }];
    let mut components = Vec::new();
    for (reference, package) in &graph.packages {
        let mut component = Component::new(
            Classification::Library,
            &package.name,
            &package.version,
            Some(reference.clone()),
        );
        component.licenses = license(&package.license);
        // no registry has what is of this tree
        if !package.local {
            let purl = Purl::new("cargo", &package.name, &package.version)
                .with_context(|| format!("{reference} has no package URL"))?;
            component.purl = Some(purl);
            let checksum = checksums
                .get(&(package.name.clone(), package.version.clone()))
                .with_context(|| format!("Cargo.lock has no checksum of {reference}"))?;
            component.hashes = hashes(checksum);
        }
        components.push(component);
        dependencies.push(Dependency {
            dependency_ref: reference.clone(),
            dependencies: package.needs.iter().cloned().collect(),
        });
    }
    let bom = Bom {
        // `Bom::default` makes a serial number at random
        serial_number: None,
        metadata: Some(Metadata {
            timestamp: None,
            tools: None,
            authors: None,
            component: Some(subject),
            manufacture: None,
            supplier: None,
            licenses: None,
            properties: None,
            lifecycles: None,
        }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(dependencies)),
        spec_version: SPEC,
        ..Bom::default()
    };
    let judged = bom.validate_version(SPEC);
    ensure!(judged.passed(), "the bill of {file}: {judged:?}");
    let mut text = Vec::new();
    bom.output_as_json(&mut text, SPEC)
        .with_context(|| format!("cannot write the bill of {file}"))?;
    text.push(b'\n');
    Ok(text)
}

fn hashes(sha256: &str) -> Option<Hashes> {
    Some(Hashes(vec![Hash {
        alg: HashAlgorithm::SHA_256,
        content: HashValue(sha256.to_owned()),
    }]))
}

fn license(expression: &str) -> Option<Licenses> {
    // older crates write `MIT/Apache-2.0` for "either"
    let choice = SpdxExpression::parse_lax(expression.to_owned());
    Some(Licenses(vec![match choice {
        Ok(expression) => LicenseChoice::Expression(expression),
        Err(_) => LicenseChoice::license(expression),
    }]))
}

/// The checksums that the lock file holds the crates to, by name and version.
fn checksums() -> Result<BTreeMap<(String, String), String>> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
        checksum: Option<String>,
    }
    let path = workspace::root().join("Cargo.lock");
    let text = fs::read_to_string(path).context("cannot read Cargo.lock")?;
    let lock: Lock = toml::from_str(&text).context("Cargo.lock")?;
    Ok(lock
        .package
        .into_iter()
        .filter_map(|locked| Some(((locked.name, locked.version), locked.checksum?)))
        .collect())
}

/// What cargo prints of a selection: a line for each package, its depth before it.
fn tree(selection: &Selection<'_>) -> Result<String> {
    let mut cmd = Cmd::cargo()
        .args(["tree", "--locked", "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "depth", "--format", "|{p}|{l}"])
        .args(["--package", selection.package, "--target", selection.target])
        .arg("--no-default-features");
    if !selection.features.is_empty() {
        cmd = cmd.args(["--features", &selection.features.join(",")]);
    }
    cmd.read()
}

#[derive(Default)]
struct Graph {
    /// What the artifact itself names.
    roots: BTreeSet<String>,
    packages: BTreeMap<String, Package>,
}

#[derive(Default)]
struct Package {
    name: String,
    version: String,
    license: String,
    /// Whether it is of this tree.
    local: bool,
    needs: BTreeSet<String>,
}

impl Graph {
    fn read(&mut self, tree: &str) -> Result<()> {
        // the packages above the line that is read, outermost first
        let mut above: Vec<String> = Vec::new();
        for line in tree.lines().filter(|line| !line.trim().is_empty()) {
            let mut fields = line.split('|');
            let (Some(depth), Some(package), Some(license)) =
                (fields.next(), fields.next(), fields.next())
            else {
                bail!("cargo tree printed {line:?}");
            };
            // what a package needs is printed where it comes first
            let license = license.trim_end_matches(" (*)");
            let depth: usize = depth
                .parse()
                .with_context(|| format!("cargo tree printed {line:?}"))?;
            ensure!(
                depth <= above.len(),
                "cargo tree left out a level: {line:?}"
            );
            let mut words = package.split(' ');
            let name = words.next().unwrap_or_default();
            let version = words.next().unwrap_or_default().trim_start_matches('v');
            let reference = format!("{name}@{version}");
            above.truncate(depth);
            match above.last() {
                None => {
                    self.roots.insert(reference.clone());
                }
                Some(parent) => {
                    if let Some(parent) = self.packages.get_mut(parent) {
                        parent.needs.insert(reference.clone());
                    }
                }
            }
            self.packages
                .entry(reference.clone())
                .or_insert_with(|| Package {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    license: license.to_owned(),
                    local: package.contains("(/"),
                    needs: BTreeSet::new(),
                });
            above.push(reference);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, Selection, WASM, of};

    #[test]
    fn a_tree_becomes_a_graph() {
        let mut graph = Graph::default();
        graph
            .read("0|ours v0.1.0 (/tree/ours)|Apache-2.0\n1|a v1.0.0|MIT\n2|b v2.0.0|MIT/Apache-2.0\n1|b v2.0.0|MIT/Apache-2.0 (*)\n")
            .expect("a tree");
        let needs = |name: &str| -> Vec<&str> {
            graph.packages[name]
                .needs
                .iter()
                .map(String::as_str)
                .collect()
        };
        assert_eq!(needs("ours@0.1.0"), ["a@1.0.0", "b@2.0.0"]);
        assert_eq!(needs("a@1.0.0"), ["b@2.0.0"]);
        assert!(needs("b@2.0.0").is_empty());
        assert!(graph.packages["ours@0.1.0"].local && !graph.packages["b@2.0.0"].local);
        assert_eq!(graph.roots.iter().collect::<Vec<_>>(), ["ours@0.1.0"]);
        for strange in ["2|a v1.0.0|MIT", "a v1.0.0", "x|a v1.0.0|MIT"] {
            assert!(Graph::default().read(strange).is_err(), "{strange}");
        }
    }

    #[test]
    fn a_bill_names_what_is_in_the_filter_and_is_the_same_twice() {
        let bill = |features: &[&str]| {
            let part = Selection {
                package: "edgepass-envoy",
                features,
                target: WASM,
            };
            of("edgepass-envoy.wasm", "0.1.0", b"wasm", &[part]).expect("a bill")
        };
        let first = bill(&[]);
        assert_eq!(first, bill(&[]));
        let json: serde_json::Value = serde_json::from_slice(&first).expect("JSON");
        assert_eq!(json["bomFormat"], "CycloneDX");
        assert_eq!(json["specVersion"], "1.5");
        let named = |name: &str| {
            let components = json["components"].as_array().expect("components");
            components
                .iter()
                .find(|component| component["name"] == name)
        };
        let serde = named("serde_json").expect("serde_json is in the filter");
        assert!(
            serde["purl"]
                .as_str()
                .expect("a package URL")
                .starts_with("pkg:cargo/serde_json@")
        );
        assert_eq!(serde["hashes"][0]["alg"], "SHA-256");
        assert!(
            named("edgepass-core")
                .expect("the core")
                .get("purl")
                .is_none()
        );
        // neither what only tests need nor what another target does
        assert!(named("tokio").is_none() && named("wasmtime").is_none());
    }
}
