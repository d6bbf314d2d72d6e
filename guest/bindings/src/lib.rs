//! The plain types of `edgepass:credentials` for guests, and the one set of conversions between them and the engine's.
//!
//! Every guest says to `wit_bindgen::generate!` that it takes [`types`] from here:
//!
//! ```text
//! wit_bindgen::generate!({
//!     // …
//!     with: { "edgepass:credentials/types@0.2.0": edgepass_bindings::types },
//! });
//! ```
//!
//! so that a guest over another version of WASI, whose own interfaces are others, has these conversions too: they are
//! `From` (or `TryFrom`, where the engine may know more than the interface) in both directions. Everything else that
//! wit-bindgen makes stays in the guest.

mod conv;
#[expect(
    missing_docs,
    reason = "wit-bindgen documents the types and not the modules around them"
)]
mod generated {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package edgepass:bindings;
            world bindings {
                import edgepass:credentials/types@0.2.0;
            }
        ",
        world: "edgepass:bindings/bindings",
        generate_all,
        generate_unused_types: true,
    });
}

pub use generated::edgepass::credentials::types;
