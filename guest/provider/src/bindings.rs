//! What `wit-bindgen` makes of the world `edgepass:credentials/provider`; the plain types are those of every guest.

wit_bindgen::generate!({
    path: "../../wit",
    world: "edgepass:credentials/provider",
    with: { "edgepass:credentials/types@0.2.0": edgepass_bindings::types },
    generate_all,
});

pub(crate) use exports::edgepass::credentials::opaque_tokens;
