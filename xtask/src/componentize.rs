//! From core modules to components, and from two components to one.

use crate::{application, workspace};
use anyhow::{Context as _, Result, anyhow};
use std::fs;
use std::path::Path;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PackageId, plug};
use wit_component::ComponentEncoder;

/// Makes a component of a core module. Its world is in the module's own custom
/// sections, where wit-bindgen has put it.
pub(crate) fn componentize(module: &Path, output: &Path) -> Result<()> {
    let bytes = fs::read(module)
        .with_context(|| format!("cargo did not write {}", workspace::shown(module)))?;
    let component = ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| {
            format!(
                "{} cannot become a component: does it call wit_bindgen::generate! and export!?",
                workspace::shown(module)
            )
        })?;
    workspace::write_if_changed(output, &component)?;
    Ok(())
}

/// Plugs what `provider` exports into what `consumer` imports. The provider's own imports become imports of the whole,
/// and the consumer's that reach what the provider has are refused, or an empty environment, unless `allowed` names them.
/// Says which environments were emptied.
pub(crate) fn compose(
    consumer: &Path,
    provider: &Path,
    allowed: &[String],
    output: &Path,
) -> Result<Vec<String>> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path| -> Result<_> {
        let bytes =
            fs::read(path).with_context(|| format!("cannot read {}", workspace::shown(path)))?;
        let package = Package::from_bytes(name, None, bytes, graph.types_mut()).map_err(|_| {
            anyhow!(
                "{} is not a WebAssembly component: make one of a module with `wasm-tools component new`",
                workspace::shown(path)
            )
        })?;
        Ok(graph.register_package(package)?)
    };
    let socket = register("test:consumer", consumer)?;
    let provider_id = register("test:provider", provider)?;
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
    Ok(judged.emptied)
}
