//! What an artifact says of itself: the metadata of the tool conventions' custom sections, where `wkg`, `wasm-tools
//! metadata` and registries look for it. Of components it is what cargo knows of the package, of the packages of
//! interfaces what `wit/wkg.toml` says.

use crate::sh::Cmd;
use crate::workspace;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::fs;
use wasm_metadata::{AddMetadata, AddMetadataField};
use wit_component::encode;
use wit_parser::{PackageId, Resolve};

/// The folders of the interfaces that are packages by themselves, each after those that its `deps` lack.
const INTERFACES: &[&[&str]] = &[&["wit"], &["wit/p2"], &["wit", "wit/keyvalue"]];

/// `component`, with what its package says of itself; under another name and with another description where it is more than
/// that package.
pub(crate) fn component(
    package: &str,
    more: Option<(&str, &str)>,
    component: &[u8],
) -> Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
        description: Option<String>,
        license: Option<String>,
        repository: Option<String>,
    }
    let metadata = Cmd::cargo()
        .args(["metadata", "--locked", "--no-deps"])
        .args(["--format-version", "1"])
        .read()?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).context("cargo metadata printed something else")?;
    let about = metadata
        .packages
        .into_iter()
        .find(|one| one.name == package)
        .with_context(|| format!("there is no package {package}"))?;
    let (name, description) = match more {
        Some((name, description)) => (name, Some(description.to_owned())),
        None => (package, about.description),
    };
    Manifest {
        description,
        licenses: about.license,
        homepage: None,
        source: about.repository,
    }
    .add(name, &about.version, component)
}

/// A package of interfaces as it is published: what it is called, its version, and its binary form.
pub(crate) struct Interfaces {
    /// `namespace:name`.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) content: Vec<u8>,
}

impl Interfaces {
    /// Where `wkg` looks for it below a registry.
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.name.replace(':', "/"), self.version)
    }
}

/// All of them.
pub(crate) fn interfaces() -> Result<Vec<Interfaces>> {
    #[derive(Deserialize)]
    struct File {
        metadata: Manifest,
    }
    let root = workspace::root();
    let text = fs::read_to_string(root.join("wit/wkg.toml")).context("cannot read wit/wkg.toml")?;
    let file: File = toml::from_str(&text).context("wit/wkg.toml")?;
    let mut packages = Vec::new();
    for folders in INTERFACES {
        let mut resolve = Resolve::default();
        let mut last = None;
        for folder in *folders {
            let (package, _) = resolve
                .push_dir(root.join(folder))
                .with_context(|| format!("cannot read {folder}"))?;
            last = Some(package);
        }
        if let Some(package) = last {
            packages.push(file.metadata.package(&resolve, package)?);
        }
    }
    Ok(packages)
}

/// What `wkg.toml` may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    description: Option<String>,
    licenses: Option<String>,
    homepage: Option<String>,
    source: Option<String>,
}

impl Manifest {
    fn package(&self, resolve: &Resolve, package: PackageId) -> Result<Interfaces> {
        let of = resolve.packages.get(package).context("no such package")?;
        let name = format!("{}:{}", of.name.namespace, of.name.name);
        let version = of.name.version.as_ref();
        let version = version
            .with_context(|| format!("{name} has no version"))?
            .to_string();
        let encoded = encode(resolve, package, false)
            .with_context(|| format!("cannot write {name} in its binary form"))?;
        Ok(Interfaces {
            content: self.add(&name, &version, &encoded)?,
            name,
            version,
        })
    }

    fn add(&self, name: &str, version: &str, wasm: &[u8]) -> Result<Vec<u8>> {
        fn field<T>(
            value: Option<&str>,
            parse: impl Fn(&str) -> Result<T>,
        ) -> Result<AddMetadataField<T>>
        where
            T: std::fmt::Debug + Clone,
        {
            Ok(match value {
                None => AddMetadataField::Keep,
                Some(value) => AddMetadataField::Set(parse(value)?),
            })
        }
        let mut add = AddMetadata::default();
        add.name = AddMetadataField::Set(name.to_owned());
        add.version = AddMetadataField::Set(wasm_metadata::Version::new(version.to_owned()));
        add.description = field(self.description.as_deref(), |text| {
            Ok(wasm_metadata::Description::new(text.to_owned()))
        })?;
        add.licenses = field(self.licenses.as_deref(), wasm_metadata::Licenses::new)?;
        add.homepage = field(self.homepage.as_deref(), wasm_metadata::Homepage::new)?;
        add.source = field(self.source.as_deref(), wasm_metadata::Source::new)?;
        add.to_wasm(wasm)
            .with_context(|| format!("cannot write what {name} says of itself"))
    }
}

#[cfg(test)]
mod tests {
    use super::interfaces;
    use wit_component::DecodedWasm;

    #[test]
    fn the_packages_of_interfaces_are_whole_and_say_what_they_are() {
        let packages = interfaces().expect("the packages");
        let names: Vec<&str> = packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "edgepass:credentials",
                "edgepass:credentials-p2",
                "edgepass:credentials-keyvalue"
            ]
        );
        for package in packages {
            let decoded = wit_component::decode(&package.content).expect("a package");
            let DecodedWasm::WitPackage(resolve, id) = decoded else {
                panic!("{} is no package of interfaces", package.name);
            };
            assert_eq!(
                resolve.packages[id].name.to_string(),
                format!("{}@{}", package.name, package.version)
            );
            let said = wasm_metadata::Payload::from_binary(&package.content).expect("metadata");
            let said = said.metadata();
            assert_eq!(said.name.as_deref(), Some(package.name.as_str()));
            assert_eq!(
                said.licenses.as_ref().map(ToString::to_string).as_deref(),
                Some(env!("CARGO_PKG_LICENSE"))
            );
            assert!(said.description.is_some() && said.source.is_some());
        }
    }
}
