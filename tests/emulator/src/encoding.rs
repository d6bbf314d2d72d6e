//! Small encoders shared by every module.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// Base64url without padding (RFC 7515 section 2).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The inverse of [`base64url`]; padding and the other alphabet are refused.
pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Standard base64 with padding, as in `x5c` and HTTP Basic.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The inverse of [`base64()`].
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Base64url of the SHA-256 digest: `x5t#S256` when given a certificate.
pub(crate) fn sha256_url(bytes: &[u8]) -> String {
    base64url(&Sha256::digest(bytes))
}

/// Base64url of the SHA-1 digest: `x5t` when given a certificate.
pub(crate) fn sha1_url(bytes: &[u8]) -> String {
    base64url(&Sha1::digest(bytes))
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The only documented failure is a machine without a random source, on
    // which the TLS listener could not have been built either.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}

/// A random version 4 GUID.
pub(crate) fn guid() -> String {
    let mut n = u128::from_be_bytes(random::<16>());
    n = (n & !(0xf << 76)) | (0x4 << 76);
    n = (n & !(0x3 << 62)) | (0x2 << 62);
    guid_text(n)
}

/// The GUID that always belongs to `seed`.
pub(crate) fn guid_from(seed: &str) -> String {
    let digest = Sha256::digest(seed.as_bytes());
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest.iter()) {
        *to = *from;
    }
    guid_text(u128::from_be_bytes(bytes))
}

/// The bytes of a GUID in the order that Microsoft's have in memory; none of
/// what is no GUID.
pub(crate) fn guid_bytes(guid: &str) -> Vec<u8> {
    let digits: String = guid.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).unwrap_or_default();
    let mut bytes = number.to_be_bytes();
    for (from, to) in [(0, 4), (4, 6), (6, 8)] {
        if let Some(part) = bytes.get_mut(from..to) {
            part.reverse();
        }
    }
    bytes.to_vec()
}

/// Whether `text` has the shape 8-4-4-4-12 of hexadecimal digits.
pub(crate) fn is_guid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn guid_text(n: u128) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        (n >> 80) & 0xffff,
        (n >> 64) & 0xffff,
        (n >> 48) & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guids_are_version_four_and_differ() {
        let (a, b) = (guid(), guid());
        assert_ne!(a, b);
        assert!(is_guid(&a), "{a}");
        assert_eq!(a.chars().nth(14), Some('4'), "{a}");
        assert!(
            matches!(a.chars().nth(19), Some('8' | '9' | 'a' | 'b')),
            "{a}"
        );
    }

    #[test]
    fn a_guid_has_five_hexadecimal_groups() {
        assert!(is_guid(&guid_from("x")));
        assert!(!is_guid("8b1f6f3c-0b1e-4a55-9c3f-2f6d1f0a7e1"));
        assert!(!is_guid("gggggggg-0b1e-4a55-9c3f-2f6d1f0a7e11"));
        assert!(!is_guid("edgepass.example"));
    }
}
