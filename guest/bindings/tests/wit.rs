//! The packages in `wit/`: both parse, and they say the same over either version of WASI.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use std::collections::BTreeSet;
use std::fs;

use wit_parser::{FunctionKind, Interface, PackageId, Resolve, WorldItem};

const TYPES: &str = "edgepass:credentials/types@0.2.0";
const STATUS: &str = "edgepass:credentials/status@0.2.0";

/// A package of the tree, with what it needs.
struct Package {
    resolve: Resolve,
    id: PackageId,
}

/// `edgepass:credentials`, over WASI 0.3, and `edgepass:credentials-p2`.
fn packages() -> (Package, Package) {
    let package = |folder: &str| {
        let mut resolve = Resolve::default();
        let (id, _) = resolve.push_dir(folder).unwrap();
        Package { resolve, id }
    };
    (package("../../wit"), package("../../wit/p2"))
}

impl Package {
    fn interfaces(&self) -> BTreeSet<&str> {
        let interfaces = &self.resolve.packages[self.id].interfaces;
        interfaces.keys().map(String::as_str).collect()
    }

    fn interface(&self, name: &str) -> &Interface {
        let id = self.resolve.packages[self.id].interfaces[name];
        &self.resolve.interfaces[id]
    }

    /// What a world imports and exports of ours.
    fn world(&self, name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let world = &self.resolve.worlds[self.resolve.packages[self.id].worlds[name]];
        let ours = |items: &wit_parser::IndexMap<wit_parser::WorldKey, WorldItem>| {
            items
                .keys()
                .map(|key| self.resolve.name_world_key(key))
                .filter(|name| name.starts_with("edgepass:"))
                .map(|name| name.replace("credentials-p2/", "credentials/"))
                .collect()
        };
        (ours(&world.imports), ours(&world.exports))
    }
}

#[test]
fn both_versions_have_the_same_interfaces() {
    let (p3, p2) = packages();
    let mut names = p3.interfaces();
    // one for both
    assert!(names.remove("types") && names.remove("status"));
    assert_eq!(p2.interfaces(), names);
    for name in names {
        let (here, there) = (p3.interface(name), p2.interface(name));
        let functions = |interface: &Interface| -> BTreeSet<String> {
            interface.functions.keys().cloned().collect()
        };
        assert_eq!(functions(here), functions(there), "{name}");
    }
}

#[test]
fn nothing_is_asynchronous_over_wasi_0_2() {
    let (p3, p2) = packages();
    let asynchronous = |interface: &Interface| {
        interface.functions.values().any(|function| {
            matches!(
                function.kind,
                FunctionKind::AsyncFreestanding
                    | FunctionKind::AsyncMethod(_)
                    | FunctionKind::AsyncStatic(_)
            )
        })
    };
    for name in p2.interfaces() {
        assert!(!asynchronous(p2.interface(name)), "{name}");
    }
    assert!(asynchronous(p3.interface("credential-provider")));
}

#[test]
fn what_both_share_is_plain() {
    let (p3, _) = packages();
    for name in ["types", "status"] {
        // of the folder over WASI 0.2 it is the same file, by a link
        let dependency = format!("../../wit/p2/deps/credentials/{name}.wit");
        let (link, file) = (
            fs::read(dependency),
            fs::read(format!("../../wit/{name}.wit")),
        );
        assert_eq!(link.unwrap(), file.unwrap());
        let id = p3.resolve.packages[p3.id].interfaces[name];
        for used in p3.resolve.interface_direct_deps(id) {
            let used = p3.resolve.id_of(used).unwrap();
            assert!(used == TYPES || used == STATUS, "{name} uses {used}");
        }
    }
    assert!(p3.interface("types").functions.is_empty());
}

#[test]
fn both_providers_import_and_export_the_same() {
    let (p3, p2) = packages();
    let (imports, exports) = p3.world("provider");
    assert_eq!((imports.clone(), exports.clone()), p2.world("provider"));
    assert_eq!(
        exports.iter().map(String::as_str).collect::<Vec<_>>(),
        [
            "edgepass:credentials/credential-provider@0.2.0",
            "edgepass:credentials/opaque-tokens@0.2.0",
            STATUS,
        ]
    );
    assert!(imports.contains(TYPES));
}

#[test]
fn the_cases_of_an_error_are_its_classes() {
    let (p3, _) = packages();
    let types = p3.interface("types");
    let definition = |name: &str| &p3.resolve.types[types.types[name]].kind;
    let wit_parser::TypeDefKind::Variant(error) = definition("credential-error") else {
        panic!("credential-error is no variant");
    };
    let wit_parser::TypeDefKind::Enum(class) = definition("error-class") else {
        panic!("error-class is no enum");
    };
    let cases: Vec<_> = error.cases.iter().map(|case| case.name.as_str()).collect();
    let classes: Vec<_> = class.cases.iter().map(|case| case.name.as_str()).collect();
    let names: Vec<_> = edgepass_core::ErrorClass::ALL
        .iter()
        .map(|class| class.name())
        .collect();
    assert_eq!(cases, names);
    assert_eq!(classes, names);
}
