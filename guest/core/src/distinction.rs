//! Telling things apart by all that they are made of.

use sha2::{Digest as _, Sha256};

use crate::Secret;
use crate::secret::Zeroizing;
#[cfg(feature = "every-credential")]
use crate::secret::hex;

/// Texts one after the other, each with its length, so that no two lists of them look the same.
#[derive(Default)]
pub(crate) struct Distinction(Zeroizing<String>);

impl Distinction {
    pub(crate) fn add(&mut self, text: &str) {
        self.0.push_str(&text.len().to_string());
        self.0.push(':');
        self.0.push_str(text);
    }

    pub(crate) fn add_optional(&mut self, text: Option<&str>) {
        self.0.push(if text.is_some() { '+' } else { '-' });
        self.add(text.unwrap_or_default());
    }

    pub(crate) fn add_all(&mut self, texts: &[String]) {
        self.add(&texts.len().to_string());
        texts.iter().for_each(|text| self.add(text));
    }

    /// The texts themselves, for a digest that others make.
    pub(crate) fn into_secret(self) -> Secret {
        Secret::new(self.0.as_str())
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn sha256_hex(&self) -> String {
        hex(&self.sha256())
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}
