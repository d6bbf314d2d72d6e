//! A component in the place of the one inside.

use super::{edgepass, text};
use crate::support::{GRAPH, Lab};

#[test]
fn what_is_no_component_is_refused() {
    let lab = Lab::new();
    let text_file = lab.write("text.wasm", "not wasm");
    let cases = if cfg!(feature = "compiler") {
        [
            ("/nowhere.wasm", "/nowhere.wasm"),
            (text_file.to_str().unwrap(), "component"),
        ]
    } else {
        [
            ("/nowhere.wasm", "no compiler"),
            (text_file.to_str().unwrap(), "no compiler"),
        ]
    };
    for (component, says) in cases {
        let output = edgepass(&lab, &["token", "--scope", GRAPH, "--component", component]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{says:?} in {said}");
        assert!(output.stdout.is_empty());
    }
    assert!(lab.emulator.token_requests().is_empty());
}

/// Run as `cargo xtask test` runs it, the command has the compiler; the one that users get has not.
#[cfg(feature = "compiler")]
#[test]
fn another_component_is_compiled_and_run() {
    let lab = Lab::new();
    let component = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../dist/credential-provider.wasm"
    );
    let output = edgepass(&lab, &["token", "--scope", GRAPH, "--component", component]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
