//! From the linked module of the Envoy filter to the one that ships.
//!
//! The SDK exports a function for everything that Envoy could tell a filter, and Envoy calls what is exported: for
//! bodies, trailers and log entries of every request. It also compiles all that they lead to. Here the filter's own
//! functions for requests get the names that Envoy looks for, and whatever nobody needs goes.

use crate::workspace;
use anyhow::{Context as _, Result, anyhow, bail};
use std::fs;
use std::path::Path;

/// The filter's own functions, and the names under which Envoy calls them.
const OWN: &[(&str, &str)] = &[
    ("edgepass_on_context_create", "proxy_on_context_create"),
    ("edgepass_on_delete", "proxy_on_delete"),
    ("edgepass_on_request_headers", "proxy_on_request_headers"),
    ("edgepass_on_response_headers", "proxy_on_response_headers"),
];

/// What else Envoy needs of the module.
const KEPT: &[&str] = &[
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

pub(crate) fn trim(from: &Path, to: &Path) -> Result<()> {
    let mut module = walrus::ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse_file(from)
        .map_err(|error| anyhow!("cannot read {}: {error:#}", workspace::shown(from)))?;
    let unwanted: Vec<_> = module
        .exports
        .iter()
        .filter(|export| {
            let name = export.name.as_str();
            !KEPT.contains(&name) && !OWN.iter().any(|(own, _)| *own == name)
        })
        .map(walrus::Export::id)
        .collect();
    for export in unwanted {
        module.exports.delete(export);
    }
    for (own, name) in OWN {
        let found = module.exports.iter_mut().find(|export| export.name == *own);
        let Some(export) = found else {
            bail!("{} does not export {own}", workspace::shown(from));
        };
        (*name).clone_into(&mut export.name);
    }
    for name in KEPT {
        if !module.exports.iter().any(|export| export.name == *name) {
            bail!("{} does not export {name}", workspace::shown(from));
        }
    }
    walrus::passes::gc::run(&mut module);
    let shown = || format!("cannot write {}", workspace::shown(to));
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(shown)?;
    }
    fs::write(to, module.emit_wasm()).with_context(shown)
}
