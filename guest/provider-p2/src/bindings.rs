//! What `wit-bindgen` makes of the world `edgepass:credentials-p2/provider`; the plain types are those of every guest.

wit_bindgen::generate!({
    path: "../../wit/p2",
    world: "edgepass:credentials-p2/provider",
    with: { "edgepass:credentials/types@0.2.0": edgepass_bindings::types },
    generate_all,
});

pub(crate) use exports::edgepass::credentials_p2::opaque_tokens;
