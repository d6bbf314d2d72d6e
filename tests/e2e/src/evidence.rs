//! What a test saw, and what it must not have seen.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::json;

use crate::paths::{output_root, secrets_root};

/// One test's record: its output goes under `target/e2e-output`, its secrets under `target/e2e-secrets`. A later run of
/// the same test replaces both.
pub struct Evidence {
    output: Mutex<File>,
    secrets: Mutex<File>,
}

impl Evidence {
    /// A new record under that name.
    pub fn new(test: &str) -> Result<Self> {
        capture_log()?;
        Ok(Self {
            output: Mutex::new(create(&output_root().join(format!("{test}.txt")))?),
            secrets: Mutex::new(create(&secrets_root().join(format!("{test}.jsonl")))?),
        })
    }

    /// Records what somebody could read: standard error, an error in words, a `Debug` text.
    pub fn saw(&self, what: &str, text: &str) {
        write(&self.output, &format!("--- {what}\n{text}\n"));
    }

    /// Records an error in both of its forms.
    pub fn saw_error<E: std::fmt::Display + std::fmt::Debug>(&self, what: &str, error: &E) {
        self.saw(what, &format!("{error}\n{error:?}\n{error:#?}"));
    }

    /// Records a secret: no output of any test may have it.
    pub fn secret(&self, kind: &str, value: &str) {
        write(
            &self.secrets,
            &format!("{}\n", json!({ "kind": kind, "value": value })),
        );
    }
}

/// Every log record of this process, of whatever crate, goes into one file.
fn capture_log() -> Result<()> {
    static CAPTURE: OnceLock<Result<(), String>> = OnceLock::new();
    let installed = CAPTURE.get_or_init(|| {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let name = program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // without cargo's hash, so that runs replace each other
        let name = name
            .rsplit_once('-')
            .map_or(name.as_str(), |(name, _)| name);
        let file =
            create(&output_root().join(format!("{name}.log"))).map_err(|e| format!("{e:#}"))?;
        log::set_logger(Box::leak(Box::new(Capture(Mutex::new(file)))))
            .map_err(|e| e.to_string())?;
        log::set_max_level(LevelFilter::Debug);
        Ok(())
    });
    installed.clone().map_err(anyhow::Error::msg)
}

/// What was logged as a warning so far.
static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The warnings of this process so far that have this in them.
pub fn warnings(part: &str) -> Vec<String> {
    let warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    let found = warnings.iter().filter(|warning| warning.contains(part));
    found.cloned().collect()
}

struct Capture(Mutex<File>);

impl Log for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // compilers: millions of lines, and they see code alone
        ![
            "cranelift",
            "wasmtime_internal_cranelift",
            "wasmtime_environ",
        ]
        .iter()
        .any(|compiler| metadata.target().starts_with(compiler))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() == Level::Warn {
            let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
            warnings.push(record.args().to_string());
        }
        write(
            &self.0,
            &format!(
                "{} {}: {}\n",
                record.level(),
                record.target(),
                record.args()
            ),
        );
    }

    fn flush(&self) {}
}

fn create(path: &Path) -> Result<File> {
    let shown = || format!("cannot create {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(shown)?;
    }
    // for its owner alone: the secrets are of an emulator, but habits are habits
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(shown)
}

fn write(file: &Mutex<File>, text: &str) {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = file.write_all(text.as_bytes()) {
        // a record with a hole would make the search for secrets pass for the wrong reason
        eprintln!("cannot record what the test saw: {error}");
        std::process::abort();
    }
}
