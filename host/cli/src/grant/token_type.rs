//! The names of types of tokens.

use std::str::FromStr;

use edgepass::token_types;
use edgepass_core::config::is_absolute_uri;

/// A type of token: by its short name, or a URI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TokenTypeName(pub(super) String);

impl FromStr for TokenTypeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const NAMES: [(&str, &str); 6] = [
            ("access-token", token_types::ACCESS_TOKEN),
            ("refresh-token", token_types::REFRESH_TOKEN),
            ("id-token", token_types::ID_TOKEN),
            ("jwt", token_types::JWT),
            ("saml1", token_types::SAML1),
            ("saml2", token_types::SAML2),
        ];
        let name = text.replace('_', "-");
        if let Some((_, uri)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self((*uri).to_owned()));
        }
        if is_absolute_uri(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "it is none of {}, and no URI such as urn:ietf:params:oauth:token-type:jwt",
            NAMES.map(|(name, _)| name).join(", ")
        ))
    }
}
