//! Environments that are part of a composition.

use std::fmt::Write as _;

/// `wasi:cli/environment` with these variables alone, without arguments and folder, exported under that name. It has the
/// functions of every version of WASI; who imports fewer does not mind.
pub(crate) fn environment(name: &str, variables: &[(&str, &str)]) -> String {
    // memory: nothing at 0 (no text, an empty list), the answers at 16 and 24, then the list, then its texts
    const LIST: usize = 32;
    /// Place and length of name and value, 32 bits each.
    const ENTRY: usize = 16;
    let mut place = LIST + variables.len() * ENTRY;
    let (mut list, mut texts) = (String::new(), String::new());
    for (name, value) in variables {
        for text in [name, value] {
            word(&mut list, place);
            word(&mut list, text.len());
            bytes(&mut texts, text.as_bytes());
            place += text.len();
        }
    }
    let mut answer = String::new();
    word(&mut answer, LIST);
    word(&mut answer, variables.len());
    let pages = place / 65_536 + 1;
    format!(
        r#"(component
            (core module $m
                (memory (export "memory") {pages})
                (data (i32.const 24) "{answer}{list}{texts}")
                (func (export "variables") (result i32) i32.const 24)
                (func (export "nothing") (result i32) i32.const 0)
                (func (export "none") (result i32) i32.const 8))
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $memory))
            (type $variables (func (result (list (tuple string string)))))
            (type $arguments (func (result (list string))))
            (type $folder (func (result (option string))))
            (func $variables (type $variables) (canon lift (core func $i "variables") (memory $memory)))
            (func $arguments (type $arguments) (canon lift (core func $i "nothing") (memory $memory)))
            (func $folder (type $folder) (canon lift (core func $i "none") (memory $memory)))
            (instance $environment
                (export "get-environment" (func $variables))
                (export "get-arguments" (func $arguments))
                (export "get-initial-cwd" (func $folder))
                (export "initial-cwd" (func $folder)))
            (export "{name}" (instance $environment)))"#
    )
}

/// A number as it is in memory. What has no place in 32 bits is no memory either, and the module is refused.
fn word(into: &mut String, number: usize) {
    bytes(
        into,
        &u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes(),
    );
}

fn bytes(into: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // a String takes everything
        let _ = write!(into, "\\{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::environment;

    #[test]
    fn an_environment_is_a_component() {
        let long = "x".repeat(200_000);
        for variables in [
            &[][..],
            &[
                ("A", ""),
                ("EDGEPASS_CONFIG_JSON", "{\"a\": \"\\ \u{e4}\n\"}"),
            ],
            &[("A", long.as_str())],
        ] {
            let text = environment("wasi:cli/environment@0.3.0", variables);
            let bytes = wat::parse_str(text).unwrap();
            wasmparser::Validator::new().validate_all(&bytes).unwrap();
        }
    }
}
