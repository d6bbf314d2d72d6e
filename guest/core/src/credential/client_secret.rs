//! A client secret (RFC 6749 section 2.3.1), in the form or in the `Authorization` header.

use crate::Secret;
use crate::base64_standard::BASE64;
use crate::config::error::ConfigError;
use crate::config::parse::{Choice, object};
use crate::config::place::Place;
use crate::config::{Client, Environment};
use crate::credential::secret_value::{SecretSource, SecretValue};
use crate::credential::{
    Authenticate, ClientAuth, Credential, Failure, Kind, Purpose, Shortcut, TextFile,
};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::secret::Zeroizing;
use base64::Engine as _;

/// A client secret, bytes. Entra's have 40 characters; what is longer than this is another kind of file.
const MAX_CLIENT_SECRET_BYTES: usize = 4096;

const FILE: TextFile = TextFile {
    what: "the client secret file",
    setting: "client_secret.file",
    max_bytes: MAX_CLIENT_SECRET_BYTES,
};

object! {
    /// A client secret. Exactly one of `value`, `env` and `file`.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ClientSecretFile {
        /// The secret itself. `env` or `file` keep it out of this document.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("writeOnly" = true)))]
        value: Option<Secret> = optional_secret,
        /// The environment variable that holds it.
        env: Option<String> = optional_text,
        /// The absolute path of the file that holds it, read at each exchange.
        file: Option<String> = optional_text,
        /// How it is sent.
        #[cfg_attr(feature = "schema", schemars(default))]
        method: SecretMethod = choice,
    }
}

/// How a client secret is sent (RFC 6749 section 2.3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum SecretMethod {
    /// In the `Authorization` header.
    #[cfg_attr(feature = "schema", schemars(rename = "client_secret_basic"))]
    Basic,
    /// In the form.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "client_secret_post"))]
    Post,
}

impl Choice for SecretMethod {
    const CHOICES: &[(&str, Self)] = &[
        ("client_secret_basic", Self::Basic),
        ("client_secret_post", Self::Post),
    ];
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct ClientSecret {
    value: SecretValue,
    method: SecretMethod,
}

impl Kind for ClientSecret {
    type Document = ClientSecretFile;
    type Of = Client;

    const SHORTCUT: Option<Shortcut> = Some(Shortcut {
        variable: Environment::AZURE_CLIENT_SECRET,
        field: "client_secret",
        is_secret: true,
        environment_only: false,
        check: |secret, _| {
            Ok(Credential::ClientSecret(Self {
                value: SecretValue::inline(
                    Environment::AZURE_CLIENT_SECRET,
                    secret,
                    MAX_CLIENT_SECRET_BYTES,
                )?,
                method: SecretMethod::default(),
            }))
        },
    });

    fn check(
        document: &ClientSecretFile,
        place: &Place<'_>,
        _: &Client,
    ) -> Result<Self, ConfigError> {
        let source = SecretSource {
            value: document.value.as_ref(),
            env: document.env.as_deref(),
            file: document.file.as_deref(),
        };
        Ok(Self {
            value: source.check(place, MAX_CLIENT_SECRET_BYTES)?,
            method: document.method,
        })
    }

    fn describe(&self) -> String {
        format!("client secret, {}", self.value.describe())
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self { value, method } = self;
        value.distinguish(out);
        out.add(match method {
            SecretMethod::Basic => "basic",
            SecretMethod::Post => "post",
        });
    }
}

impl Authenticate for ClientSecret {
    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        let secret = self.value.text(io, &FILE).await?;
        // of a fixed length and not reversible: a token got with an older secret is not served after a rotation
        let generation = matches!(self.value, SecretValue::File(_)).then(|| secret.sha256_hex());
        let basic = basic(purpose.client_id, &secret);
        let auth = ClientAuth {
            generation,
            read: Some(secret.clone()),
            echoes: vec![
                secret.clone(),
                basic.clone(),
                pair(purpose.client_id, secret.expose()),
            ],
            ..ClientAuth::default()
        };
        Ok(match self.method {
            SecretMethod::Post => ClientAuth {
                secret: Some(secret),
                ..auth
            },
            SecretMethod::Basic => ClientAuth {
                authorization: Some(basic),
                ..auth
            },
        })
    }
}

/// Both parts are form-encoded before they are joined (RFC 6749 appendix B).
fn basic(client_id: &str, secret: &Secret) -> Secret {
    let encode = |text: &str| {
        Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>())
    };
    pair(&encode(client_id), &encode(secret.expose()))
}

fn pair(client_id: &str, secret: &str) -> Secret {
    let pair = Zeroizing::new(format!("{client_id}:{secret}"));
    Secret::new(format!("Basic {}", BASE64.encode(pair.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_encodes_each_part_first() {
        let value = basic("a:b", &Secret::new("p+w &%"));
        let decoded = BASE64
            .decode(value.expose().strip_prefix("Basic ").unwrap())
            .unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), "a%3Ab:p%2Bw+%26%25");
    }
}
