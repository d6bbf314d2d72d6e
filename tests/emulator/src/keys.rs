//! The keys of this server's own tokens, which a test may rotate.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::jose::SigningKey;
use crate::lock;

/// Newest last; the newest one signs. Older keys stay published until they are
/// retired, as in a real rotation.
pub(crate) struct TokenKeys(Mutex<Vec<Arc<SigningKey>>>);

impl TokenKeys {
    pub(crate) fn new(first: SigningKey) -> Self {
        Self(Mutex::new(vec![Arc::new(first)]))
    }

    /// Signs with a new key from now on; the others are retired if told so.
    pub(crate) fn rotate(&self, retire: bool) -> Result<()> {
        let fresh = Arc::new(SigningKey::generate("edgepass-emulator token signing")?);
        let mut keys = lock(&self.0);
        if retire {
            keys.clear();
        }
        keys.push(fresh);
        Ok(())
    }

    /// A token with these claims, in Entra's form.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String> {
        let newest = self.newest()?;
        let kid = newest.kid();
        newest.sign(
            &json!({ "typ": "JWT", "alg": "RS256", "x5t": kid, "kid": kid }),
            claims,
        )
    }

    /// The key that signs now.
    pub(crate) fn newest(&self) -> Result<Arc<SigningKey>> {
        let keys = lock(&self.0);
        keys.last().cloned().context("there is no signing key")
    }

    /// The published keys, each of that issuer if one is given.
    pub(crate) fn jwks(&self, issuer: Option<&str>) -> Value {
        let keys = lock(&self.0);
        let keys = keys.iter().map(|key| {
            let mut jwk = key.jwk();
            if let (Some(issuer), Some(fields)) = (issuer, jwk.as_object_mut()) {
                fields.insert("issuer".into(), json!(issuer));
            }
            jwk
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }
}
