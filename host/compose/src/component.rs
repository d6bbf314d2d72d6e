//! From core modules to components.

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::{Error, Part};

/// A component as it is, or of a core module, which is what cargo leaves for most targets. Its world is in the module's
/// own custom sections, where wit-bindgen has put it.
///
/// # Errors
///
/// It is neither of the two, or of no known world.
pub fn component_of(part: Part) -> Result<Vec<u8>, Error> {
    let Part { name, bytes } = part;
    if Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    if !Parser::is_core_wasm(&bytes) {
        return Err(Error::NotWebAssembly(name));
    }
    let described = Parser::new(0).parse_all(&bytes).any(|part| {
        matches!(part, Ok(Payload::CustomSection(section)) if section.name().starts_with("component-type"))
    });
    if !described {
        return Err(Error::ModuleWithoutWorld(name));
    }
    ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .map_err(|error| Error::ModuleOfAnotherWorld {
            name,
            reason: format!("{error:#}"),
        })
}
