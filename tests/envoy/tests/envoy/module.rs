//! What the modules ask of Envoy. What they may weigh is held by `cargo xtask test --only shipped`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use edgepass_envoy_tests::{filter_path, full_filter_path};
use wasmparser::{Parser, Payload};

/// The WASI functions that every Envoy from 1.36 on has.
const WASI: [&str; 4] = [
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

#[test]
fn it_imports_only_what_every_envoy_has() {
    let imports = imports(&filter_path().unwrap());
    assert!(imports.iter().any(|(_, name)| name == "proxy_http_call"));
    for (module, name) in &imports {
        let known = match module.as_str() {
            "env" => name.starts_with("proxy_"),
            "wasi_snapshot_preview1" => WASI.contains(&name.as_str()),
            _ => false,
        };
        assert!(known, "{module}.{name}");
    }
    // so what may be called is the same for both
    assert_eq!(imports, self::imports(&full_filter_path().unwrap()));
}

fn imports(module: &Path) -> BTreeSet<(String, String)> {
    let module = fs::read(module).unwrap();
    let mut imports = BTreeSet::new();
    for payload in Parser::new(0).parse_all(&module) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            for import in section.into_imports() {
                let import = import.unwrap();
                imports.insert((import.module.to_owned(), import.name.to_owned()));
            }
        }
    }
    imports
}
