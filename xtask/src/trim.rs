//! From the linked module of the Envoy filter to the one that ships: without names, and without what nobody calls.

use crate::workspace;
use anyhow::{Context as _, Result, anyhow, bail};
use std::fs;
use std::path::Path;

/// What Envoy needs of the module. It calls what else is exported under a name that it knows: for bodies, trailers and
/// log entries of every request.
const EXPORTS: &[&str] = &[
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_http_call_response",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_tick",
];

pub(crate) fn trim(from: &Path, to: &Path) -> Result<()> {
    let mut module = walrus::ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse_file(from)
        .map_err(|error| anyhow!("cannot read {}: {error:#}", workspace::shown(from)))?;
    let mut exports: Vec<_> = module.exports.iter().map(|e| e.name.as_str()).collect();
    exports.sort_unstable();
    if exports != EXPORTS {
        bail!(
            "{} exports {exports:?} instead of {EXPORTS:?}",
            workspace::shown(from)
        );
    }
    walrus::passes::gc::run(&mut module);
    let shown = || format!("cannot write {}", workspace::shown(to));
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(shown)?;
    }
    fs::write(to, module.emit_wasm()).with_context(shown)
}
