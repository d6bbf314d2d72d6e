//! From core modules to components, and from two components to one.

use crate::workspace;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::Path;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, plug};
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

/// Plugs what `provider` exports into what `consumer` imports. The provider's
/// own imports become imports of the whole.
pub(crate) fn compose(consumer: &Path, provider: &Path, output: &Path) -> Result<()> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path| -> Result<_> {
        let bytes =
            fs::read(path).with_context(|| format!("{} is not built", workspace::shown(path)))?;
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())
            .with_context(|| format!("cannot read {}", workspace::shown(path)))?;
        Ok(graph.register_package(package)?)
    };
    let socket = register("test:consumer", consumer)?;
    let provider_id = register("test:provider", provider)?;
    plug(&mut graph, vec![provider_id], socket).with_context(|| {
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
    Ok(())
}
