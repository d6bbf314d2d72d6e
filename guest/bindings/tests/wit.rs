//! The packages in `wit/`: both parse, and they say the same over either version of WASI.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests stop at the first surprise, as tests do"
)]

use std::collections::BTreeSet;

use wit_parser::{FunctionKind, Interface, PackageId, Resolve, WorldItem};

const TYPES: &str = "edgepass:credentials/types@0.2.0";
const STATUS: &str = "edgepass:credentials/status@0.2.0";

struct Packages {
    resolve: Resolve,
    /// `edgepass:credentials`, over WASI 0.3.
    p3: PackageId,
    /// `edgepass:credentials-p2`.
    p2: PackageId,
}

fn packages() -> Packages {
    let mut resolve = Resolve::default();
    let (p3, _) = resolve.push_dir("../../wit").unwrap();
    let (p2, _) = resolve.push_dir("../../wit/p2").unwrap();
    Packages { resolve, p3, p2 }
}

impl Packages {
    fn interfaces(&self, package: PackageId) -> BTreeSet<&str> {
        let interfaces = &self.resolve.packages[package].interfaces;
        interfaces.keys().map(String::as_str).collect()
    }

    fn interface(&self, package: PackageId, name: &str) -> &Interface {
        let id = self.resolve.packages[package].interfaces[name];
        &self.resolve.interfaces[id]
    }

    /// What a world imports and exports of ours.
    fn world(&self, package: PackageId, name: &str) -> (BTreeSet<String>, BTreeSet<String>) {
        let world = &self.resolve.worlds[self.resolve.packages[package].worlds[name]];
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
    let all = packages();
    let mut p3 = all.interfaces(all.p3);
    // one for both
    assert!(p3.remove("types") && p3.remove("status"));
    assert_eq!(all.interfaces(all.p2), p3);
    for name in p3 {
        let (here, there) = (all.interface(all.p3, name), all.interface(all.p2, name));
        let functions = |interface: &Interface| -> BTreeSet<String> {
            interface.functions.keys().cloned().collect()
        };
        assert_eq!(functions(here), functions(there), "{name}");
    }
}

#[test]
fn nothing_is_asynchronous_over_wasi_0_2() {
    let all = packages();
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
    for name in all.interfaces(all.p2) {
        assert!(!asynchronous(all.interface(all.p2, name)), "{name}");
    }
    assert!(asynchronous(all.interface(all.p3, "credential-provider")));
}

#[test]
fn what_both_share_is_plain() {
    let all = packages();
    for name in ["types", "status"] {
        let id = all.resolve.packages[all.p3].interfaces[name];
        for used in all.resolve.interface_direct_deps(id) {
            let used = all.resolve.id_of(used).unwrap();
            assert!(used == TYPES || used == STATUS, "{name} uses {used}");
        }
    }
    assert!(all.interface(all.p3, "types").functions.is_empty());
}

#[test]
fn both_providers_import_and_export_the_same() {
    let all = packages();
    let (imports, exports) = all.world(all.p3, "provider");
    assert_eq!(
        (imports.clone(), exports.clone()),
        all.world(all.p2, "provider")
    );
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
    let all = packages();
    let types = all.interface(all.p3, "types");
    let definition = |name: &str| &all.resolve.types[types.types[name]].kind;
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
