//! What `wit-bindgen` makes of the world `edgepass:credentials-keyvalue/token-store`.

wit_bindgen::generate!({
    path: ["../../wit", "../../wit/keyvalue"],
    world: "edgepass:credentials-keyvalue/token-store",
    generate_all,
});
