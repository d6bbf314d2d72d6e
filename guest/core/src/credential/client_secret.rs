//! A client secret (RFC 6749 section 2.3.1), in the form or in the `Authorization` header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::config::SecretValue;
use crate::config::file::SecretMethod;
use crate::credential::{ClientAuth, Purpose, secret_text};
use crate::flow::Io;
use crate::{Error, Secret};

pub(super) async fn authenticate(
    io: &Io,
    value: &SecretValue,
    method: SecretMethod,
    purpose: &Purpose<'_>,
) -> Result<ClientAuth, Error> {
    let secret = secret_text(io, value, "the client secret file").await?;
    // of a fixed length and not reversible: a token got with an older secret is not served after a rotation
    let generation = matches!(value, SecretValue::File(_)).then(|| secret.sha256_hex());
    let auth = ClientAuth {
        generation,
        fingerprint: Some(secret.sha256_hex()),
        ..ClientAuth::default()
    };
    Ok(match method {
        SecretMethod::Post => ClientAuth {
            secret: Some(secret),
            ..auth
        },
        SecretMethod::Basic => ClientAuth {
            authorization: Some(basic(purpose.client_id, &secret)),
            ..auth
        },
    })
}

/// Both parts are form-encoded before they are joined (RFC 6749 appendix B).
fn basic(client_id: &str, secret: &Secret) -> Secret {
    let encode = |text: &str| {
        Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>())
    };
    let pair = Zeroizing::new(format!(
        "{}:{}",
        *encode(client_id),
        *encode(secret.expose())
    ));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_encodes_each_part_first() {
        let value = basic("a:b", &Secret::new("p+w &%"));
        let decoded = STANDARD
            .decode(value.expose().strip_prefix("Basic ").unwrap())
            .unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), "a%3Ab:p%2Bw+%26%25");
    }
}
