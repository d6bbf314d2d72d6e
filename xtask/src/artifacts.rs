//! The artifacts of a release, and what each is made of.

use crate::sbom::{self, Selection};
use crate::{build, workspace};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is WebAssembly in a release.
pub(crate) struct Wasm {
    /// Without `.wasm`.
    pub(crate) name: &'static str,
    /// What it is built of.
    packages: &'static [&'static str],
    features: &'static [&'static str],
}

/// The filter's modules, each an image of its own.
pub(crate) const FILTERS: &[Wasm] = &[
    Wasm {
        name: "edgepass-envoy",
        packages: &["edgepass-envoy"],
        features: &[],
    },
    Wasm {
        name: "edgepass-envoy-full",
        packages: &["edgepass-envoy"],
        features: &["every-credential"],
    },
];

/// The component that the command carries.
const PROVIDER: Wasm = Wasm {
    name: "credential-provider",
    packages: &["edgepass-provider"],
    features: &[],
};

/// The components, each an artifact of its own.
pub(crate) const COMPONENTS: &[Wasm] = &[
    PROVIDER,
    Wasm {
        name: "credential-provider-p2",
        packages: &["edgepass-provider-p2"],
        features: &[],
    },
    Wasm {
        name: "edgepass-secrets",
        packages: &["edgepass-secrets"],
        features: &[],
    },
    Wasm {
        name: "token-store-keyvalue",
        packages: &["edgepass-keyvalue"],
        features: &[],
    },
    Wasm {
        name: "edgepass-http",
        packages: &["edgepass-http"],
        features: &[],
    },
    Wasm {
        name: "edgepass-standalone",
        packages: &[
            "edgepass-provider",
            "edgepass-standalone-adapters",
            "edgepass-standalone-command",
        ],
        features: &[],
    },
];

impl Wasm {
    pub(crate) fn file(&self) -> String {
        format!("{}.wasm", self.name)
    }

    pub(crate) fn content(&self) -> Result<Vec<u8>> {
        let path = workspace::dist().join(self.file());
        fs::read(&path).with_context(|| format!("cannot read {}", workspace::shown(&path)))
    }

    fn selections<'a>(&self) -> impl Iterator<Item = Selection<'a>> + use<'a> {
        self.packages.iter().map(|package| Selection {
            package,
            features: self.features,
            target: sbom::WASM,
        })
    }
}

/// The bill of materials of a program, which carries the provider.
pub(crate) fn bill_of_program(
    (package, program): (&str, &str),
    content: &[u8],
    target: &str,
) -> Result<Vec<u8>> {
    let native = Selection {
        package,
        features: build::COMMAND_FEATURES,
        target,
    };
    let selections: Vec<_> = [native].into_iter().chain(PROVIDER.selections()).collect();
    sbom::of(program, VERSION, content, &selections)
}

/// Writes the bill of materials of each artifact into a folder, and gives those of the WebAssembly by their names.
pub(crate) fn bills(folder: &Path, target: &str) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", workspace::shown(folder)))?;
    let write = |file: &str, bill: &[u8]| {
        fs::write(folder.join(format!("{file}.cdx.json")), bill)
            .with_context(|| format!("cannot write the bill of {file}"))
    };
    for program in [build::COMMAND, build::RUN] {
        let content = fs::read(workspace::dist().join(program.1))
            .with_context(|| format!("cannot read dist/{}", program.1))?;
        write(program.1, &bill_of_program(program, &content, target)?)?;
    }
    let mut bills = BTreeMap::new();
    for wasm in FILTERS.iter().chain(COMPONENTS) {
        let selections: Vec<_> = wasm.selections().collect();
        let bill = sbom::of(&wasm.file(), VERSION, &wasm.content()?, &selections)?;
        write(&wasm.file(), &bill)?;
        bills.insert(wasm.name, bill);
    }
    Ok(bills)
}
