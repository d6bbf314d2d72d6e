//! What `wit-bindgen` makes of the world `edgepass:standalone-command/command`.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "edgepass:standalone-command/command",
    generate_all,
});
