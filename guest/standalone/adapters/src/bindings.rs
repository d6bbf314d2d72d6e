//! What `wit-bindgen` makes of the world `edgepass:standalone-adapters/adapters`.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "edgepass:standalone-adapters/adapters",
    generate_all,
});
