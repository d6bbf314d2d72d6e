//! A small text file that is read at each exchange, and what is said when it cannot be. What is in it means nothing here.

use super::Failure;
#[cfg(feature = "key-vault")]
use crate::effect::NOT_A_FILE;
use crate::effect::ReadError;
use crate::flow::Io;
use crate::text::bytes_without_byte_order_mark;
use crate::{Error, ErrorClass, Secret};

/// A small text file that is read at each exchange.
pub(crate) struct TextFile {
    /// What errors call it.
    pub(crate) what: &'static str,
    /// Who may have its path wrong.
    pub(crate) setting: &'static str,
    pub(crate) max_bytes: usize,
}

impl TextFile {
    /// The text as people mean it: without a byte order mark, and without blanks and line ends around it.
    pub(super) async fn read(&self, io: &Io, path: &str) -> Result<Secret, Failure> {
        let Self {
            what,
            setting,
            max_bytes,
        } = self;
        let unavailable = |message: String| Error::new(ErrorClass::CredentialUnavailable, message);
        let too_large = |limit: u64| {
            unavailable(format!("{what} {path} is larger than {limit} bytes"))
                .hint("this is not such a file")
        };
        let bytes = io.read_file(path).await.map_err(|error| match error {
            ReadError::NotFound => {
                Failure::not_here(unavailable(format!("{what} {path} does not exist")).hint(
                    format!("check the path ({setting}) and that the volume is mounted"),
                ))
            }
            ReadError::Denied(reason) => unavailable(format!(
                "{what} {path} may not be read: {reason}"
            ))
            .hint("see that its owner and mode, and the folders that a runtime is given, permit it")
            .into(),
            ReadError::TooLarge(limit) => too_large(limit).into(),
            // time makes a file of no folder
            #[cfg(feature = "key-vault")]
            ReadError::Other(reason) if reason.starts_with(NOT_A_FILE) => {
                unavailable(format!("{what} {path} cannot be read: {reason}"))
                    .hint("a folder, a pipe and a device are none")
                    .into()
            }
            ReadError::Other(reason) => {
                unavailable(format!("{what} {path} cannot be read: {reason}"))
                    .retryable()
                    .into()
            }
        })?;
        let bytes = bytes_without_byte_order_mark(bytes.expose());
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || bytes.contains(&0) {
            return Err(
                unavailable(format!("{what} {path} is UTF-16, or no text at all"))
                    .hint("write it as UTF-8; `>` of Windows PowerShell writes UTF-16")
                    .into(),
            );
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| unavailable(format!("{what} {path} is not text (UTF-8)")))?
            .trim();
        if text.len() > *max_bytes {
            return Err(too_large(*max_bytes as u64).into());
        }
        if text.is_empty() {
            // in a moment it may not be: a file that is written in place has nothing in it at first
            return Err(unavailable(format!("{what} {path} is empty"))
                .retryable()
                .hint(
                    "whoever writes it has not done so yet, or writes it in place instead of swapping it",
                )
                .into());
        }
        Ok(Secret::new(text))
    }
}
