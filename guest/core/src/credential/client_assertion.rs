//! An assertion that somebody else built (RFC 7521 section 4.2), of whatever type the configuration names.

use std::rc::Rc;

use crate::Secret;
use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
use crate::credential::secret_value::{SecretSource, SecretValue};
use crate::credential::{
    Failure, Kind, Purpose, Supplied, SupplyAssertion, TextFile, assertion_type,
};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::limits::MAX_ASSERTION_BYTES;

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
        })
    }

    fn describe(&self) -> String {
        format!("client assertion, {}", self.value.describe())
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            value,
            assertion_type,
        } = self;
        value.distinguish(out);
        out.add(assertion_type);
    }
}

impl SupplyAssertion for PrebuiltAssertion {
    async fn assertion(&self, io: &Io, _: &Purpose<'_>) -> Result<Supplied, Failure> {
        let assertion = self.value.text(io, &FILE).await?;
        // it need not be a JWT: the type may name SAML
        let presented = inspect_jwt(assertion.expose()).map(Rc::new);
        Ok(Supplied::new(assertion, &self.assertion_type, presented))
    }
}
