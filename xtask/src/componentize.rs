//! From core modules to components, and from two components to one.

use crate::{application, workspace};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use wac_graph::types::{Package, are_semver_compatible};
use wac_graph::{CompositionGraph, EncodeOptions, NodeId, PackageId, plug};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Makes a component of the core module in a file.
pub(crate) fn componentize(module: &Path, output: &Path) -> Result<()> {
    workspace::write_if_changed(output, &component(module)?)?;
    Ok(())
}

/// The component of the core module in a file.
pub(crate) fn component(module: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(module)
        .with_context(|| format!("cargo did not write {}", workspace::shown(module)))?;
    component_of(module, bytes)
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

/// The parts of a composition.
pub(crate) struct Parts<'a> {
    /// Whose imports are answered.
    pub(crate) consumer: &'a Path,
    /// The one provider of all parts.
    pub(crate) provider: &'a Path,
    /// What the provider shares its tokens by, where that is a component, too.
    pub(crate) token_store: Option<&'a Path>,
    /// What stands between the consumer's requests and the network.
    pub(crate) filter: Option<&'a Path>,
    /// What the consumer may share with the provider.
    pub(crate) allowed: &'a [String],
}

/// Plugs what the provider exports, or with a filter what that exports, into what the consumer imports. What provider and
/// filter import becomes imports of the whole, and the consumer's imports that reach what they have are refused, or an empty
/// environment, unless they are allowed.
pub(crate) fn compose(parts: &Parts<'_>, output: &Path) -> Result<Composed> {
    let (consumer, provider) = (parts.consumer, parts.provider);
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path, bytes: Vec<u8>| -> Result<_> {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut())
            .with_context(|| format!("{} is not a valid component", workspace::shown(path)))?;
        Ok(graph.register_package(package)?)
    };
    let socket = register("edgepass:application", consumer, component_at(consumer)?)?;
    let bytes = match parts.token_store {
        Some(store) => with_token_store(provider, store)?,
        None => component_at(provider)?,
    };
    let provider_id = register("edgepass:provider", provider, bytes)?;
    let filter_id = match parts.filter {
        Some(path) => Some(register("edgepass:http", path, component_at(path)?)?),
        None => None,
    };
    let world = |package: PackageId| &graph.types()[graph[package].ty()];
    let imports: Vec<_> = world(socket).imports.keys().cloned().collect();
    let exports: Vec<_> = world(socket).exports.keys().cloned().collect();
    let tokens: Vec<_> = world(provider_id).exports.keys().cloned().collect();
    let mut needed: Vec<_> = world(provider_id).imports.keys().cloned().collect();
    // behind a filter the tokens themselves are not for the consumer, unless it is said
    let exported = match filter_id {
        Some(filter) => {
            needed.extend(world(filter).imports.keys().cloned());
            world(filter).exports.keys().cloned().collect()
        }
        None => tokens.clone(),
    };
    let judged = application::judge(&imports, &exported, &needed, parts.allowed)
        .with_context(|| format!("cannot compose {}", workspace::shown(consumer)))?;
    let mut plugs = Vec::new();
    let provider_instance = graph.instantiate(provider_id);
    if let Some(filter) = filter_id {
        let filter_instance = graph.instantiate(filter);
        plug_into(
            &mut graph,
            filter,
            filter_instance,
            (provider_instance, &tokens),
        )?;
        plugs.push((filter_instance, exported));
    }
    plugs.push((provider_instance, tokens.clone()));
    for (index, name) in judged.emptied.iter().enumerate() {
        let bytes = wat::parse_str(application::empty_environment(name))
            .with_context(|| format!("cannot make an empty {name}"))?;
        let package = format!("empty:environment{index}");
        let package = Package::from_bytes(&package, None, bytes, graph.types_mut())?;
        let package = graph.register_package(package)?;
        plugs.push((graph.instantiate(package), vec![name.clone()]));
    }
    let instance = graph.instantiate(socket);
    let mut plugged = Vec::new();
    for (plug, names) in &plugs {
        plugged.extend(plug_into(&mut graph, socket, instance, (*plug, names))?);
    }
    if !plugged.iter().any(|name| !judged.emptied.contains(name)) {
        bail!(
            "{} imports nothing that {} exports",
            workspace::shown(consumer),
            workspace::shown(parts.filter.unwrap_or(provider))
        );
    }
    for name in &exports {
        let export = graph.alias_instance_export(instance, name)?;
        graph.export(export, name)?;
    }
    let bytes = graph
        .encode(EncodeOptions::default())
        .context("cannot encode the composed component")?;
    workspace::write_if_changed(output, &bytes)?;
    // of two compatible versions the composition imports one
    let is_needed = |import: &String| {
        let mut needed = needed.iter();
        needed.any(|name| name == import || are_semver_compatible(name, import))
    };
    let further = imports
        .into_iter()
        .filter(|import| {
            !plugged.contains(import) && !is_needed(import) && !application::has_types_alone(import)
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

/// Gives an instance of `socket` what it imports of these exports, by their names, or by names of versions that are
/// compatible. The names that it has for them.
fn plug_into(
    graph: &mut CompositionGraph,
    socket: PackageId,
    instance: NodeId,
    (plug, exports): (NodeId, &[String]),
) -> Result<Vec<String>> {
    let imports = &graph.types()[graph[socket].ty()].imports;
    let pairs: Vec<(String, String)> = exports
        .iter()
        .filter_map(|export| {
            let mut compatible = imports
                .keys()
                .filter(|name| *name == export || are_semver_compatible(name, export));
            Some((export.clone(), compatible.next()?.clone()))
        })
        .collect();
    let mut plugged = Vec::new();
    for (export, import) in pairs {
        let argument = graph.alias_instance_export(plug, &export)?;
        graph
            .set_instantiation_argument(instance, &import, argument)
            .with_context(|| format!("{import} is not as this provider exports it"))?;
        plugged.push(import);
    }
    Ok(plugged)
}
