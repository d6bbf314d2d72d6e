//! AES-256-GCM in WebAssembly, where there is no aws-lc. It is sliced by bits, so that it takes no time by what it encrypts.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut as _, KeyInit as _};

use super::format::{Cipher, KEY_BYTES, NONCE_BYTES, TAG_BYTES};

pub(super) struct Aes256Gcm(aes_gcm::Aes256Gcm);

impl Cipher for Aes256Gcm {
    fn new(key: &[u8; KEY_BYTES]) -> Option<Self> {
        Some(Self(aes_gcm::Aes256Gcm::new(key.into())))
    }

    fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        authenticated: &[u8],
        value: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]> {
        let value = InOutBuf::from(value);
        let tag = (self.0).encrypt_inout_detached(&nonce.into(), authenticated, value);
        tag.ok().map(Into::into)
    }

    fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        authenticated: &[u8],
        sealed: &mut [u8],
    ) -> Option<()> {
        let (value, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>()?;
        let (value, tag) = (InOutBuf::from(value), (*tag).into());
        (self.0)
            .decrypt_inout_detached(&nonce.into(), authenticated, value, &tag)
            .ok()
    }
}
