//! AES-256-GCM of aws-lc-rs.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::format::{Cipher, KEY_BYTES, NONCE_BYTES, TAG_BYTES};

pub(super) struct Aes256Gcm(LessSafeKey);

impl Cipher for Aes256Gcm {
    fn new(key: &[u8; KEY_BYTES]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        authenticated: &[u8],
        value: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = (self.0).seal_in_place_separate_tag(nonce, Aad::from(authenticated), value);
        sealed.ok()?.as_ref().try_into().ok()
    }

    fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        authenticated: &[u8],
        sealed: &mut [u8],
    ) -> Option<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = (self.0).open_in_place(nonce, Aad::from(authenticated), sealed);
        opened.ok().map(drop)
    }
}
