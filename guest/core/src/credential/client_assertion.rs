//! An assertion that somebody else built (RFC 7521 section 4.2), of whatever type the configuration names.

use std::rc::Rc;

use crate::Secret;
use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
#[cfg(feature = "key-vault")]
use crate::credential::JWT_BEARER;
use crate::credential::secret_value::{SecretSource, SecretValue};
use crate::credential::{
    Failure, Kind, Purpose, Supplied, SupplyAssertion, TextFile, assertion_type,
};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::limits::MAX_ASSERTION_BYTES;
#[cfg(feature = "key-vault")]
use crate::{Error, ErrorClass};

const FILE: TextFile = TextFile {
    what: "the client assertion file",
    setting: "client_assertion.file",
    max_bytes: MAX_ASSERTION_BYTES,
};

object! {
    /// An assertion that somebody else built. Exactly one of `value`, `env` and `file`.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ClientAssertionFile {
        /// The compact JWS itself. A secret: `env` or `file` keep it out of this document.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("writeOnly" = true)))]
        value: Option<Secret> = optional_secret,
        /// The environment variable that holds it.
        env: Option<String> = optional_text,
        /// The absolute path of the file that holds it, read at each exchange.
        file: Option<String> = optional_text,
        /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
        assertion_type: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct PrebuiltAssertion {
    value: SecretValue,
    assertion_type: String,
    /// What people have to look at.
    #[cfg(feature = "key-vault")]
    setting: String,
}

impl Kind for PrebuiltAssertion {
    type Document = ClientAssertionFile;
    type Of = Client;

    fn check(
        document: &ClientAssertionFile,
        place: &Place<'_>,
        _: &Client,
    ) -> Result<Self, ConfigError> {
        let source = SecretSource {
            value: document.value.as_ref(),
            env: document.env.as_deref(),
            file: document.file.as_deref(),
        };
        Ok(Self {
            value: source.check(place, MAX_ASSERTION_BYTES)?,
            assertion_type: assertion_type(place, document.assertion_type.as_deref())?,
            #[cfg(feature = "key-vault")]
            setting: place.at(match (&document.env, &document.file) {
                (Some(_), _) => "env",
                (_, Some(_)) => "file",
                _ => "value",
            }),
        })
    }

    fn describe(&self) -> String {
        format!("client assertion, {}", self.value.describe())
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            value,
            assertion_type,
            // where it is written
            #[cfg(feature = "key-vault")]
                setting: _,
        } = self;
        value.distinguish(out);
        out.add(assertion_type);
    }
}

impl SupplyAssertion for PrebuiltAssertion {
    async fn assertion(&self, io: &Io, _: &Purpose<'_>) -> Result<Supplied, Failure> {
        let assertion = self.value.text(io, &FILE).await?;
        #[cfg(feature = "key-vault")]
        if self.assertion_type == JWT_BEARER && !can_be_jwt(assertion.expose()) {
            let message = format!("the client assertion is no JWT ({})", self.setting);
            return Err(Error::new(ErrorClass::CredentialUnavailable, message)
                .hint("three parts with dots between are expected, which others can read; an assertion of another kind needs its assertion_type")
                .into());
        }
        // it need not be a JWT: the type may name SAML
        let presented = inspect_jwt(assertion.expose()).map(Rc::new);
        Ok(Supplied::new(assertion, &self.assertion_type, presented))
    }
}

/// Whether it has the form of a signed JWT (RFC 7515 section 3.1) or of an encrypted one (RFC 7516 section 3.1). What is in it
/// is for the server.
#[cfg(feature = "key-vault")]
fn can_be_jwt(text: &str) -> bool {
    let is_of_a_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    matches!(text.split('.').count(), 3 | 5)
        && text.split('.').all(|part| part.chars().all(is_of_a_part))
        && !text.starts_with('.')
}

#[cfg(all(test, feature = "key-vault"))]
mod tests {
    use super::can_be_jwt;

    #[test]
    fn the_form_of_a_jwt_is_known() {
        for (text, can_be) in [
            ("eyJ.a.b", true),
            ("eyJ.a.", true),
            ("eyJ..a.b-_.c", true),
            ("notajwt", false),
            ("eyJ.a", false),
            ("'eyJ.a.b'", false),
            ("Bearer eyJ.a.b", false),
            ("/var/run/token.a.b", false),
            ("..", false),
            ("", false),
        ] {
            assert_eq!(can_be_jwt(text), can_be, "{text}");
        }
    }
}
