//! Settings that people already have, as configuration of edgepass.
//!
//! Each source is a module that reads text and variables and gives an [`Imported`]: the configuration document, which the
//! engine then checks as it checks any other, and what its user should know. Nothing here opens a connection.

pub mod formats;
pub mod init;

use zeroize::Zeroizing;

/// A configuration that was made of other settings.
#[derive(Clone)]
pub struct Imported {
    /// The configuration document, JSON. It may hold secrets.
    pub document: Zeroizing<String>,
    /// What its user should know of it: settings that were left out, and why.
    pub notes: Vec<String>,
}

impl std::fmt::Debug for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Imported")
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}
