//! Tells the crate which machine it is compiled for.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=EDGEPASS_TARGET={target}");
}
