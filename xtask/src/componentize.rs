//! From core modules to components, and from two components to one.

use crate::{about, workspace};
use anyhow::{Context as _, Result};
use edgepass_compose::{Composed, Part, Parts, component_of};
use std::fs;
use std::path::Path;

/// Makes a component of the core module in a file.
pub(crate) fn componentize(module: &Path, output: &Path) -> Result<()> {
    workspace::write_if_changed(output, &component(module)?)?;
    Ok(())
}

/// The component of the core module in a file.
pub(crate) fn component(module: &Path) -> Result<Vec<u8>> {
    let part = part(module)
        .with_context(|| format!("cargo did not write {}", workspace::shown(module)))?;
    Ok(component_of(part)?)
}

/// The files of a composition.
pub(crate) struct Files<'a> {
    /// Whose imports are answered.
    pub(crate) application: &'a Path,
    /// The one provider of all parts.
    pub(crate) provider: &'a Path,
    /// What the provider shares its tokens by, where that is a component, too.
    pub(crate) token_store: Option<&'a Path>,
    /// What stands between the application's requests and the network.
    pub(crate) filter: Option<&'a Path>,
    /// What the application may share with the provider.
    pub(crate) allowed: &'a [String],
}

/// Composes them into a file.
pub(crate) fn compose(files: &Files<'_>, output: &Path) -> Result<Composed> {
    let parts = Parts {
        application: part(files.application)?,
        provider: part(files.provider)?,
        token_store: files.token_store.map(part).transpose()?,
        filter: files.filter.map(part).transpose()?,
        allowed: files.allowed.to_vec(),
        config: None,
    };
    let composed = edgepass_compose::compose(parts)?;
    workspace::write_if_changed(output, &composed.bytes)?;
    Ok(composed)
}

/// What the standalone component says of itself: it is the provider and what it imports, and the command over both.
const STANDALONE: (&str, &str) = (
    "edgepass-standalone",
    "The credential provider with nothing but WASI under it, and a command that prints a token",
);

/// Makes the standalone component.
pub(crate) fn standalone(
    provider: &Path,
    adapters: &Path,
    command: &Path,
    output: &Path,
) -> Result<()> {
    let bytes = edgepass_compose::standalone(part(provider)?, part(adapters)?, part(command)?)?;
    let bytes = about::component("edgepass-standalone-command", Some(STANDALONE), &bytes)?;
    workspace::write_if_changed(output, &bytes)?;
    Ok(())
}

/// A file with the name that messages have for it.
fn part(path: &Path) -> Result<Part> {
    let name = workspace::shown(path);
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    Ok(Part { name, bytes })
}
