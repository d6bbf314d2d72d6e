//! Telling things apart by all that they are made of.

#[cfg(feature = "every-credential")]
use sha2::{Digest as _, Sha256};

use crate::Secret;
use crate::secret::Zeroizing;
#[cfg(feature = "every-credential")]
use crate::secret::hex;

/// Texts one after the other, each with its length, so that no two lists of them look the same.
#[derive(Default)]
pub(crate) struct Telling<To>(To);

/// The texts, kept.
pub(crate) type Distinction = Telling<Zeroizing<String>>;

/// The digest of them alone, which takes no copy of a user's token.
#[cfg(feature = "every-credential")]
pub(crate) type Digested = Telling<Sha256>;

/// Where the texts go.
pub(crate) trait Sink {
    fn put(&mut self, text: &str);
}

impl Sink for Zeroizing<String> {
    fn put(&mut self, text: &str) {
        self.push_str(text);
    }
}

#[cfg(feature = "every-credential")]
impl Sink for Sha256 {
    fn put(&mut self, text: &str) {
        self.update(text);
    }
}

impl<To: Sink> Telling<To> {
    pub(crate) fn add(&mut self, text: &str) {
        self.0.put(&text.len().to_string());
        self.0.put(":");
        self.0.put(text);
    }

    pub(crate) fn add_optional(&mut self, text: Option<&str>) {
        self.0.put(if text.is_some() { "+" } else { "-" });
        self.add(text.unwrap_or_default());
    }

    pub(crate) fn add_all(&mut self, texts: &[String]) {
        self.add(&texts.len().to_string());
        texts.iter().for_each(|text| self.add(text));
    }
}

impl Distinction {
    /// The texts themselves, for a digest that others make.
    pub(crate) fn into_secret(self) -> Secret {
        Secret::new(self.0.as_str())
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn sha256_hex(&self) -> String {
        hex(&self.sha256())
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn sha256(&self) -> [u8; 32] {
        crate::secret::sha256(self.0.as_bytes())
    }
}

#[cfg(feature = "every-credential")]
impl Digested {
    pub(crate) fn sha256(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
