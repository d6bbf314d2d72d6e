//! From core modules to components.

use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::imports::is_provider;
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

/// Whether a credential provider is part of a component, as in what is composed with a standalone one. Of bytes that are no
/// component it is not.
pub fn has_provider(bytes: &[u8]) -> bool {
    let mut depth = 0_usize;
    for part in Parser::new(0).parse_all(bytes) {
        match part {
            Ok(Payload::ComponentSection { .. } | Payload::ModuleSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            Ok(Payload::ComponentExportSection(section)) if depth > 0 => {
                let mut names = section.into_iter().flatten();
                if names.any(|export| is_provider(&[export.name.name.to_owned()])) {
                    return true;
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_provider;

    #[test]
    fn a_provider_is_found_inside_of_a_component() {
        let export = r#"(instance $i) (export "edgepass:credentials/credential-provider@0.2.0" (instance $i))"#;
        let p2 = export.replace("credentials/", "credentials-p2/");
        let inside = |text: &str| format!("(component (core module) (component {text}))");
        for (text, expected) in [
            (inside(export), true),
            (inside(&p2), true),
            (inside(&format!("(component {export})")), true),
            (
                format!("(component (component) (component {export}))"),
                true,
            ),
            // it is one itself, or has none
            (
                format!("(component (component) (core module) {export})"),
                false,
            ),
            (inside(""), false),
            (
                inside(r#"(instance $i) (export "a:b/c" (instance $i))"#),
                false,
            ),
        ] {
            let bytes = wat::parse_str(&text).unwrap();
            assert_eq!(has_provider(&bytes), expected, "{text}");
        }
        assert!(!has_provider(b"hello") && !has_provider(b""));
    }
}
