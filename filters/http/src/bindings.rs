//! What `wit-bindgen` makes of the world `edgepass:http-filter/filter`; the plain types are those of every guest.

wit_bindgen::generate!({
    path: ["../../wit", "wit"],
    world: "edgepass:http-filter/filter",
    with: { "edgepass:credentials/types@0.2.0": edgepass_bindings::types },
    generate_all,
});
