//! Values that are never printed and are wiped when dropped.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

/// A secret text: a token, an assertion, a client secret.
///
/// `Debug` prints a fixed word, there is no `Display` and no `Serialize`, and clones share one allocation so that
/// there is one place to wipe. Wiping is hygiene, not a guarantee: an allocator may have copied the bytes before.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text. Every use is a place where a secret leaves its wrapper.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// Lower-case hex SHA-256 of the text, the name by which a token may be spoken of.
    pub fn sha256_hex(&self) -> String {
        sha256_hex(self.expose().as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Eq for Secret {}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || same(self.expose(), other.expose())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Secret bytes: a request body that carries an assertion, the content of a token file.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SecretBytes(Arc<Zeroizing<Vec<u8>>>);

impl SecretBytes {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    /// The bytes. Every use is a place where a secret leaves its wrapper.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.expose().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A text or bytes that are wiped when dropped: that of `zeroize`, by [`wipe`].
#[derive(Default, Eq, PartialEq)]
pub struct Zeroizing<T: Default + Into<Vec<u8>>>(T);

impl<T: Default + Into<Vec<u8>>> Zeroizing<T> {
    /// Takes it over.
    pub fn new(buffer: T) -> Self {
        Self(buffer)
    }
}

impl<T: Default + Into<Vec<u8>>> Deref for Zeroizing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default + Into<Vec<u8>>> DerefMut for Zeroizing<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Default + Into<Vec<u8>>> Drop for Zeroizing<T> {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into());
    }
}

/// Overwrites a buffer with zeros, what it has room for included, and leaves it empty. By fills and copies, which WebAssembly
/// has instructions for: writing byte by byte was a quarter of an exchange, and is what becomes of `Vec::resize` where code is
/// optimised for size.
pub fn wipe(bytes: &mut Vec<u8>) {
    const ZEROS: [u8; 128] = [0; 128];

    bytes.fill(0);
    let mut room = bytes.capacity() - bytes.len();
    while let Some(zeros) = ZEROS.get(..room.min(ZEROS.len()))
        && !zeros.is_empty()
    {
        bytes.extend_from_slice(zeros);
        room -= zeros.len();
    }
    // somebody may look at it, as far as the compiler knows
    zeroize::optimization_barrier(bytes.as_slice());
    bytes.clear();
}

/// Whether two texts are the same, eight bytes at a time: the library's comparison goes byte by byte in WebAssembly.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let (words, rest) = one.as_bytes().as_chunks::<8>();
    let (other_words, other_rest) = other.as_bytes().as_chunks::<8>();
    let mut pairs = words.iter().zip(other_words);
    one.len() == other.len()
        && pairs.all(|(one, other)| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other))
        && rest == other_rest
}

/// Lower-case hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256, to find something by.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    // at once, because it may be a secret: growing would leave copies behind
    let mut digits = String::with_capacity(2 * bytes.len());
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.extend(nibbles.filter_map(|nibble| HEX.get(usize::from(nibble))));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in this process's memory there now, whoever it belongs to.
    #[cfg(target_os = "linux")]
    fn memory_at(address: usize, length: usize) -> Vec<u8> {
        use std::os::unix::fs::FileExt as _;
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut bytes = vec![0; length];
        memory.read_exact_at(&mut bytes, address as u64).unwrap();
        bytes
    }

    /// Of each length, with and without spare capacity that once held more of it.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_dropped_is_not_in_memory_any_more() {
        let pattern = |length: usize| "s3cr3t-Zq8Tn5Lw".repeat(length).into_bytes();
        for length in [2, 16, 100, 1_000] {
            for cut in [0, 5] {
                let mut bytes = pattern(length);
                let written = bytes.len();
                bytes.truncate(written - cut);
                let address = bytes.as_ptr().addr();
                assert_eq!(
                    memory_at(address, written),
                    pattern(length),
                    "the search is blind"
                );
                let text = String::from_utf8(bytes).unwrap();
                match cut {
                    0 => drop(Secret::new(text)),
                    _ => drop(SecretBytes::new(text)),
                }
                let left = memory_at(address, written);
                let found = left
                    .windows(8)
                    .any(|window| b"s3cr3t-Zq8Tn5Lw".starts_with(window));
                assert!(!found, "{length} {cut}");
            }
        }
    }

    #[test]
    fn texts_are_compared_to_the_last_byte() {
        for length in 0..40 {
            let text = "x".repeat(length);
            assert!(same(&text, &text.clone()) && !same(&text, &format!("{text}x")));
            for at in 0..length {
                let mut other = text.clone();
                other.replace_range(at..=at, "y");
                assert!(!same(&text, &other) && Secret::new(other) != Secret::from(&*text));
            }
        }
    }

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret:?} {:?}", SecretBytes::new("hunter2")),
            "[redacted] [redacted]"
        );
    }

    #[test]
    fn digest_is_lower_case_hex() {
        assert_eq!(
            sha256_hex(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
