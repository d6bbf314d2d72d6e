//! What `wit-bindgen` makes of the world `edgepass:credentials/provider`.

wit_bindgen::generate!({
    path: "../../wit",
    world: "edgepass:credentials/provider",
    generate_all,
});
