//! Real SDKs as clients of the emulator.

use std::path::{Path, PathBuf};

use edgepass_emulator::Emulator;
use serde_json::Value;
use tokio::process::Command;

/// What an SDK for Python says about the token of a managed identity, which
/// it finds by the environment; an error is its own words.
pub(crate) async fn managed_identity(
    emulator: &Emulator,
    sdk: &str,
    resource: &str,
    selector: Option<(&str, &String)>,
) -> Result<Value, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(python(&root));
    command
        .arg(root.join("tests/peers/managed_identity_token.py"))
        .args([sdk, resource])
        .env_clear()
        .env(
            "AZURE_POD_IDENTITY_AUTHORITY_HOST",
            emulator.metadata_authority().unwrap(),
        );
    if let Some((name, value)) = selector {
        command.args([name, value]);
    }
    let output = command.output().await.unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// The interpreter that has the SDKs.
fn python(root: &Path) -> PathBuf {
    let path = std::env::var_os("EDGEPASS_PEERS_PYTHON")
        .map_or_else(|| root.join("target/peers/py/bin/python"), PathBuf::from);
    assert!(
        path.exists(),
        "{} does not exist: `cargo xtask test` installs the Python peers",
        path.display()
    );
    path
}
