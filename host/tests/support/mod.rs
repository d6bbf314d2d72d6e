//! An emulator with its files: what the tests of the library and those of the command share.

#[cfg(target_os = "linux")]
pub(crate) mod silent;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use edgepass_emulator::{Directory, Emulator};
use serde_json::{Value, json};

/// The resource that most tests ask for.
pub(crate) const GRAPH: &str = "https://graph.microsoft.com/.default";

/// One test's world. Its files go with it.
pub(crate) struct Lab {
    pub(crate) emulator: Emulator,
    pub(crate) files: Directory,
    root: PathBuf,
}

impl Lab {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "edgepass-host-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = std::env::temp_dir().join(name);
        // a name that only a proxy knows
        let emulator = Emulator::builder()
            .metadata_port(0)
            .host_name("login.example")
            .start_blocking()
            .unwrap();
        let files = emulator.write_dir(&root.join("emulator")).unwrap();
        Self {
            emulator,
            files,
            root,
        }
    }

    /// A file of the test's own.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Where [`Self::write`] puts files.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A configuration with one identity of that credential, whose authority has an mTLS twin.
    pub(crate) fn config(&self, credential: &Value) -> Value {
        let port = self.emulator.port();
        json!({
            "authority_hosts": [format!("login.localhost:{port}"), format!("mtlsauth.localhost:{port}")],
            "identities": { "app": {
                "tenant_id": self.emulator.tenant(),
                "client_id": self.emulator.client_id(),
                "authority_host": self.emulator.login_authority(),
                "credential": credential,
            } },
            "certificates": { "demo": {
                "certificate_file": self.files.certificate_file(),
                "private_key_file": self.files.private_key_file(),
            } },
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
