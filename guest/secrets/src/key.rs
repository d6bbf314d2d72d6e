//! What a key asks for.

use edgepass_bindings::types::{Grant, Refresh, TokenRequest, TokenType};

/// The request of a key; none if it is a key of something else.
pub(crate) fn request(key: &str) -> Option<TokenRequest> {
    let rest = key.strip_prefix("token/")?;
    let (identity, scopes) = rest.split_once('/').unwrap_or((rest, ""));
    Some(TokenRequest {
        identity: Some(identity.to_owned()).filter(|name| !name.is_empty()),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        tenant: None,
        grant: Grant::ClientCredentials,
        claims: None,
        token_type: TokenType::Bearer,
        refresh: Refresh::IfNeeded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_identity_and_scopes() {
        let graph = "https://graph.microsoft.com/.default";
        for (key, identity, scopes) in [
            (
                "token/app/api://x/.default",
                Some("app"),
                &["api://x/.default"][..],
            ),
            (&format!("token//{graph}"), None, &[graph]),
            ("token/app", Some("app"), &[]),
            ("token/app/", Some("app"), &[]),
            ("token/", None, &[]),
            (
                "token/app/openid profile",
                Some("app"),
                &["openid", "profile"],
            ),
        ] {
            let request = request(key).unwrap();
            assert_eq!(request.identity.as_deref(), identity, "{key}");
            assert_eq!(request.scopes, scopes, "{key}");
        }
    }

    #[test]
    fn another_key_is_of_something_else() {
        for key in ["", "token", "tokens/app", "password", "/token/app"] {
            assert!(request(key).is_none(), "{key}");
        }
    }
}
