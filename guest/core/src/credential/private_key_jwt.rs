//! An assertion that is built here and signed with a key that the server knows by itself, and not by a certificate
//! (`private_key_jwt` of OpenID Connect Core section 9): the client has registered a JWK, which `kid` names.

use crate::config::Client;
use crate::config::error::{ConfigError, check};
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::signed_assertion::{
    AssertionAlgorithm, KeyName, SignedAssertion, SignedText,
};
use crate::credential::{Authenticate, ClientAuth, Failure, Kind, Purpose};
use crate::distinction::Distinction;
use crate::flow::Io;

object! {
    /// An assertion signed with a registered key.
    #[derive(Clone, Debug)]
    pub(crate) struct PrivateKeyJwtFile {
        /// A name out of `certificates`, or one that the embedding host knows. A key alone will do.
        name: String = text,
        /// `kid`: the name of the key in the JWK set that the client has registered. A server that knows one key of the
        /// client for this algorithm may do without.
        kid: Option<String> = optional_text,
        /// `PS256` or `RS256` for RSA, `ES256` for P-256, `ES384` for P-384, `EdDSA` for Ed25519.
        #[cfg_attr(feature = "schema", schemars(default))]
        algorithm: AssertionAlgorithm = choice,
        /// `aud`; the token endpoint by default. Servers that follow FAPI 2.0 want their issuer identifier.
        audience: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct PrivateKeyJwt(SignedAssertion);

impl Kind for PrivateKeyJwt {
    type Document = PrivateKeyJwtFile;
    type Of = Client;

    fn check(
        document: &PrivateKeyJwtFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        if client.authority.is_entra() {
            return Err(ConfigError::new(
                place.path(),
                "is not for Entra ID, which knows keys by their certificates alone",
            )
            .hint("use the certificate kind, and upload the certificate"));
        }
        if let Some(kid) = &document.kid {
            check(&place.at("kid"), rules::key_id(kid))?;
        }
        let text = SignedText {
            name: &document.name,
            algorithm: document.algorithm,
            key: KeyName::Registered(document.kid.clone()),
            audience: document.audience.as_deref(),
        };
        let signed = SignedAssertion::check(text, place, client)?;
        signed.need_certificate(place);
        signed.need_signature(place);
        Ok(Self(signed))
    }

    fn describe(&self) -> String {
        let Self(signed) = self;
        format!(
            "private key {}, {}",
            signed.certificate,
            signed.algorithm.name()
        )
    }

    fn name(&self) -> Option<&str> {
        Some(&self.0.certificate)
    }

    fn distinguish(&self, out: &mut Distinction) {
        self.0.distinguish(out);
    }
}

impl Authenticate for PrivateKeyJwt {
    async fn authenticate(&self, io: &Io, purpose: &Purpose<'_>) -> Result<ClientAuth, Failure> {
        self.0.gather(io, purpose, true, false).await
    }
}
