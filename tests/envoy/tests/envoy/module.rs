//! What the module asks of Envoy, and what it weighs.

use edgepass_envoy_tests::filter_path;
use wasmparser::{Parser, Payload};

/// The WASI functions that every Envoy from 1.36 on has.
const WASI: [&str; 4] = [
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

/// Start-up time and memory grow with it: what the filter may weigh.
const MAX_BYTES: usize = 400_000;

#[test]
fn it_imports_only_what_every_envoy_has() {
    let module = std::fs::read(filter_path().unwrap()).unwrap();
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(&module) {
        if let Payload::ImportSection(section) = payload.unwrap() {
            for import in section.into_imports() {
                let import = import.unwrap();
                imports.push((import.module.to_owned(), import.name.to_owned()));
            }
        }
    }
    assert!(imports.iter().any(|(_, name)| name == "proxy_http_call"));
    for (module, name) in &imports {
        let known = match module.as_str() {
            "env" => name.starts_with("proxy_"),
            "wasi_snapshot_preview1" => WASI.contains(&name.as_str()),
            _ => false,
        };
        assert!(known, "{module}.{name}");
    }
}

#[test]
fn it_is_small() {
    let bytes = std::fs::metadata(filter_path().unwrap()).unwrap().len();
    let bytes = usize::try_from(bytes).unwrap();
    println!("{bytes} bytes");
    assert!(bytes < MAX_BYTES, "{bytes} bytes");
}
