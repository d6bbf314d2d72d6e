//! What the tool makes is what an engine with the shared settings can be asked to load.

use edgepass_precompile::{compile, running};
use wasmtime::{Engine, Precompiled};

/// The smallest component: a header and nothing else.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// The smallest core module.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

#[test]
fn compiles_the_same_component_to_the_same_code() {
    let code = compile(EMPTY).expect("an empty component is a component");
    assert!(code.starts_with(b"\x7fELF"), "wasmtime writes ELF files");
    assert_eq!(code, compile(EMPTY).expect("as before"));
}

#[test]
fn refuses_what_is_not_a_component() {
    assert!(compile(MODULE).is_err(), "a core module");
    assert!(compile(b"").is_err(), "nothing");
    assert!(compile(b"not wasm at all").is_err(), "garbage");
}

#[test]
fn the_code_is_for_engines_and_one_for_running_is_there() {
    Engine::new(&running()).expect("this machine is supported");
    let code = compile(EMPTY).expect("as before");
    assert_eq!(
        Engine::detect_precompiled(&code),
        Some(Precompiled::Component)
    );
}
