//! An application that knows nothing of edgepass: its secrets come by `wasmcloud:secrets`.

use sha2::{Digest, Sha256};

use bindings::wasmcloud::secrets::reveal::{SecretValue, reveal};
use bindings::wasmcloud::secrets::store::{SecretsError, get};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../guest/secrets/wit/deps/secrets.wit", "wit"],
        world: "example:secrets-app/application",
        generate_all,
    });
}

struct App;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{App, bindings};

    bindings::export!(App with_types_in bindings);
}

impl bindings::Guest for App {
    fn digests(key: String) -> Result<(String, String), String> {
        let secret = get(&key).map_err(|error| match error {
            SecretsError::Upstream(text) => format!("upstream: {text}"),
            SecretsError::Io(text) => format!("io: {text}"),
            SecretsError::NotFound => "not-found".to_owned(),
        })?;
        let digest = || match reveal(&secret) {
            SecretValue::String(text) => sha256_hex(text.as_bytes()),
            SecretValue::Bytes(bytes) => sha256_hex(&bytes),
        };
        Ok((digest(), digest()))
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
