//! From the linked module of the Envoy filter to the one that ships.
//!
//! The SDK exports a function for everything that Envoy could tell a filter, and Envoy calls what is exported: for
//! bodies, trailers and log entries of every request. It also compiles all that they lead to. Here the filter's own
//! functions get the names that Envoy looks for, and whatever nobody needs goes.

use crate::workspace;
use anyhow::{Context as _, Result, anyhow, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use walrus::ir::{Call, Visitor, dfs_in_order};
use walrus::{FunctionBuilder, FunctionId, FunctionKind, Module};

/// What Envoy calls of the filter's own: a function of that name behind `edgepass_`, because the SDK has taken the name
/// itself.
const OWN: &[&str] = &[
    "on_configure",
    "on_context_create",
    "on_delete",
    "on_http_call_response",
    "on_request_headers",
    "on_response_headers",
    "on_tick",
];

/// The SDK's allocator for what Envoy hands over, under the name that it has on this target. Envoy knows both.
const ALLOCATE: (&str, &str) = ("malloc", "proxy_on_memory_allocate");

/// What else Envoy needs of the module.
const KEPT: &[&str] = &[
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    ALLOCATE.1,
];

pub(crate) fn trim(from: &Path, to: &Path) -> Result<()> {
    let mut module = walrus::ModuleConfig::new()
        .generate_name_section(false)
        .generate_producers_section(false)
        .parse_file(from)
        .map_err(|error| anyhow!("cannot read {}: {error:#}", workspace::shown(from)))?;
    for export in module.exports.iter_mut() {
        if export.name == ALLOCATE.0 {
            ALLOCATE.1.clone_into(&mut export.name);
        }
    }
    let unwanted: Vec<_> = module
        .exports
        .iter()
        .filter(|export| {
            let name = export.name.as_str();
            !KEPT.contains(&name)
                && name
                    .strip_prefix("edgepass_")
                    .is_none_or(|own| !OWN.contains(&own))
        })
        .map(walrus::Export::id)
        .collect();
    for export in unwanted {
        module.exports.delete(export);
    }
    for own in OWN {
        let from_name = format!("edgepass_{own}");
        let found = module
            .exports
            .iter_mut()
            .find(|export| export.name == from_name);
        let Some(export) = found else {
            bail!("{} does not export {from_name}", workspace::shown(from));
        };
        export.name = format!("proxy_{own}");
    }
    for name in KEPT {
        if !module.exports.iter().any(|export| export.name == *name) {
            bail!("{} does not export {name}", workspace::shown(from));
        }
    }
    let shorten = || format!("cannot shorten {}", workspace::shown(from));
    let emptied = empty_dispatcher(&mut module).with_context(shorten)?;
    walrus::passes::gc::run(&mut module);
    check_callers(&module, &emptied).with_context(shorten)?;
    let shown = || format!("cannot write {}", workspace::shown(to));
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).with_context(shown)?;
    }
    fs::write(to, module.emit_wasm()).with_context(shown)
}

/// Takes the bodies out of the SDK's dispatcher and of the traits that it calls. Nothing calls them any more, but their
/// addresses are in the module's table, which holds them and all that they call. Says which they are.
fn empty_dispatcher(module: &mut Module) -> Result<BTreeSet<FunctionId>> {
    let unused: Vec<_> = module
        .funcs
        .iter_local()
        .filter(|(id, _)| {
            let name = module.funcs.get(*id).name.as_deref().unwrap_or_default();
            let is_of = |of: &str| name.contains(of);
            // the seed is that of the dispatcher's maps
            is_of("proxy_wasm") && (is_of("dispatcher") || is_of("traits")) || is_of("foldhash")
        })
        .map(|(id, function)| (id, function.ty()))
        .collect();
    if unused.is_empty() {
        bail!("its functions have no names, by which those of the SDK are found");
    }
    let emptied: BTreeSet<_> = unused.iter().map(|(id, _)| *id).collect();
    for (id, signature) in unused {
        let signature = module.types.get(signature);
        let (taken, given) = (signature.params().to_vec(), signature.results().to_vec());
        let arguments = taken.iter().map(|kind| module.locals.add(*kind)).collect();
        let mut body = FunctionBuilder::new(&mut module.types, &taken, &given);
        body.func_body().unreachable();
        module.funcs.get_mut(id).kind = FunctionKind::Local(body.local_func(arguments));
    }
    Ok(emptied)
}

/// Fails where a function that ships calls one that was emptied.
fn check_callers(module: &Module, emptied: &BTreeSet<FunctionId>) -> Result<()> {
    struct Calls<'a> {
        emptied: &'a BTreeSet<FunctionId>,
        found: Option<FunctionId>,
    }
    impl<'instr> Visitor<'instr> for Calls<'_> {
        fn visit_call(&mut self, call: &Call) {
            if self.emptied.contains(&call.func) {
                self.found = Some(call.func);
            }
        }
    }
    let name = |id: FunctionId| {
        let name = module.funcs.get(id).name.as_deref();
        name.unwrap_or("a function without a name").to_owned()
    };
    for (id, function) in module.funcs.iter_local() {
        let mut calls = Calls {
            emptied,
            found: None,
        };
        dfs_in_order(&mut calls, function, function.entry_block());
        if let Some(callee) = calls.found {
            bail!("{} calls {}, which was emptied", name(id), name(callee));
        }
    }
    Ok(())
}
