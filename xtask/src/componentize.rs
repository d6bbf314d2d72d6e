//! From core modules to components, and from two components to one.

use crate::{application, workspace};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, plug};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Makes a component of the core module in a file.
pub(crate) fn componentize(module: &Path, output: &Path) -> Result<()> {
    let bytes = fs::read(module)
        .with_context(|| format!("cargo did not write {}", workspace::shown(module)))?;
    let component = component_of(module, bytes)?;
    workspace::write_if_changed(output, &component)?;
    Ok(())
}

/// A component as it is, or of a core module, which is what cargo leaves for most targets. Its world is in the module's
/// own custom sections, where wit-bindgen has put it.
fn component_of(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>> {
    let shown = workspace::shown(path);
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if !Parser::is_core_wasm(&bytes) {
        bail!("{shown} is neither a WebAssembly component nor a module in the binary format");
    }
    let described = Parser::new(0).parse_all(&bytes).any(|part| {
        matches!(part, Ok(Payload::CustomSection(section)) if section.name().starts_with("component-type"))
    });
    if !described {
        bail!(
            "{shown} is a module that does not say which world it is of: call wit_bindgen::generate! and export! in it, and do not let a tool strip its custom sections"
        );
    }
    ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| {
            format!(
                "{shown} cannot become a component: a module that imports more than its world has (wasm32-wasip1) needs an adapter; build for wasm32-unknown-unknown or wasm32-wasip2"
            )
        })
}

/// What became of a composition.
pub(crate) struct Composed {
    /// Environments that are empty for the application.
    pub(crate) emptied: Vec<String>,
    /// What the application imports beside the provider's own imports: a host must link it for the application.
    pub(crate) further: Vec<String>,
}

/// Plugs what `provider` exports into what `consumer` imports. The provider's own imports become imports of the whole,
/// and the consumer's that reach what the provider has are refused, or an empty environment, unless `allowed` names them.
pub(crate) fn compose(
    consumer: &Path,
    provider: &Path,
    token_store: Option<&Path>,
    allowed: &[String],
    output: &Path,
) -> Result<Composed> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path, bytes: Vec<u8>| -> Result<_> {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())
            .with_context(|| format!("{} is not a valid component", workspace::shown(path)))?;
        Ok(graph.register_package(package)?)
    };
    let socket = register("edgepass:application", consumer, component_at(consumer)?)?;
    let bytes = match token_store {
        Some(store) => with_token_store(provider, store)?,
        None => component_at(provider)?,
    };
    let provider_id = register("edgepass:provider", provider, bytes)?;
    let world = |package: PackageId| &graph.types()[graph[package].ty()];
    let (imports, exported, needed): (Vec<_>, Vec<_>, Vec<_>) = (
        world(socket).imports.keys().cloned().collect(),
        world(provider_id).exports.keys().cloned().collect(),
        world(provider_id).imports.keys().cloned().collect(),
    );
    let judged = application::judge(&imports, &exported, &needed, allowed)
        .with_context(|| format!("cannot compose {}", workspace::shown(consumer)))?;
    let mut plugs = vec![provider_id];
    for (index, name) in judged.emptied.iter().enumerate() {
        let bytes = wat::parse_str(application::empty_environment(name))
            .with_context(|| format!("cannot make an empty {name}"))?;
        let name = format!("empty:environment{index}");
        let package = Package::from_bytes(&name, None, bytes, graph.types_mut())?;
        plugs.push(graph.register_package(package)?);
    }
    plug(&mut graph, plugs, socket).with_context(|| {
        format!(
            "{} imports nothing that {} exports",
            workspace::shown(consumer),
            workspace::shown(provider)
        )
    })?;
    let bytes = graph
        .encode(EncodeOptions::default())
        .context("cannot encode the composed component")?;
    workspace::write_if_changed(output, &bytes)?;
    let further = imports
        .into_iter()
        .filter(|import| {
            !exported.contains(import)
                && !needed.contains(import)
                && !judged.emptied.contains(import)
                && !application::has_types_alone(import)
        })
        .collect();
    Ok(Composed {
        emptied: judged.emptied,
        further,
    })
}

/// The provider with what exports its token store plugged into it. What that imports becomes the provider's.
fn with_token_store(provider: &Path, store: &Path) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path| -> Result<_> {
        let package = Package::from_bytes(name, None, component_at(path)?, graph.types_mut())
            .with_context(|| format!("{} is not a valid component", workspace::shown(path)))?;
        Ok(graph.register_package(package)?)
    };
    let socket = register("edgepass:provider", provider)?;
    let store_id = register("edgepass:token-store", store)?;
    plug(&mut graph, vec![store_id], socket).with_context(|| {
        format!(
            "{} exports no edgepass:credentials/token-store of the version that {} imports",
            workspace::shown(store),
            workspace::shown(provider)
        )
    })?;
    let bytes = graph.encode(EncodeOptions::default());
    bytes.context("cannot encode the provider with its token store")
}

fn component_at(path: &Path) -> Result<Vec<u8>> {
    let bytes =
        fs::read(path).with_context(|| format!("cannot read {}", workspace::shown(path)))?;
    component_of(path, bytes)
}
