//! Records of what got tokens, a line of JSON each.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use edgepass::downstream::{Audit, Record};

use crate::failure::Failure;

/// Where they are written.
pub(crate) enum Log {
    StandardError,
    File(Mutex<File>),
}

impl Log {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return Ok(Self::StandardError);
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|e| {
            Failure::setup(format!(
                "--audit: {} cannot be written: {e}",
                path.display()
            ))
        })?;
        Ok(Self::File(Mutex::new(file)))
    }

    fn line(&self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().lock().write_all(line),
            // in one piece: the file may be several processes'
            Self::File(file) => file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(line),
        }
    }
}

impl Audit for Log {
    fn write(&self, record: &Record) {
        let line = format!("{}\n", record.to_json());
        if let Err(error) = self.line(line.as_bytes()) {
            ::log::error!("a record of the audit cannot be written: {error}");
        }
    }
}
