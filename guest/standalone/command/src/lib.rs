//! Prints a token: the command of the standalone component, over the provider that it is composed with.

mod arguments;
mod bindings;

use bindings::edgepass::credentials::credential_provider::get_token;
use bindings::edgepass::credentials::types::{
    AccessToken, CredentialError, ErrorDetail, Grant, Refresh, TokenRequest, TokenType,
};
use bindings::wasi::cli::{environment, stderr, stdout};
use bindings::{exports, wit_stream};
use serde_json::{Map, Value};

use arguments::{Arguments, Form, USAGE};

struct Command;

impl exports::wasi::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let line = environment::get_arguments();
        let arguments = match Arguments::parse(line.get(1..).unwrap_or_default()) {
            Ok(Some(arguments)) => arguments,
            Ok(None) => return say(USAGE.to_owned()).await,
            Err(message) => return fail(&format!("{message}\n{USAGE}")).await,
        };
        let request = TokenRequest {
            identity: arguments.identity,
            scopes: arguments.scopes,
            tenant: None,
            grant: Grant::ClientCredentials,
            claims: None,
            token_type: TokenType::Bearer,
            refresh: Refresh::IfNeeded,
        };
        match get_token(request).await {
            Ok(token) => say(shown(&token, arguments.form)).await,
            Err(error) => {
                let detail = detail(error);
                let hint = detail.hint.map(|hint| format!("\n  hint: {hint}"));
                fail(&format!("{}{}", detail.message, hint.unwrap_or_default())).await
            }
        }
    }
}

fn shown(token: &AccessToken, form: Form) -> String {
    match form {
        Form::Token => format!("{}\n", token.token),
        Form::Json => {
            let fields = [
                ("access_token", Value::from(token.token.as_str())),
                ("token_type", token.token_type.as_str().into()),
                ("expires_on", token.expires_on.into()),
                ("scope", token.scope.as_str().into()),
                ("identity", token.identity.as_str().into()),
            ];
            let fields = fields.map(|(name, value)| (name.to_owned(), value));
            format!("{}\n", Value::Object(Map::from_iter(fields)))
        }
    }
}

/// What all errors have, whoever can mend them.
fn detail(error: CredentialError) -> ErrorDetail {
    match error {
        CredentialError::Configuration(detail)
        | CredentialError::InvalidRequest(detail)
        | CredentialError::Unsupported(detail)
        | CredentialError::CredentialUnavailable(detail)
        | CredentialError::Network(detail)
        | CredentialError::Timeout(detail)
        | CredentialError::Throttled(detail)
        | CredentialError::Server(detail)
        | CredentialError::InvalidResponse(detail)
        | CredentialError::CredentialRejected(detail)
        | CredentialError::FederationMismatch(detail)
        | CredentialError::InteractionRequired(detail)
        | CredentialError::Refused(detail)
        | CredentialError::Busy(detail)
        | CredentialError::Other(detail) => detail,
    }
}

async fn say(text: String) -> Result<(), ()> {
    let (mut to, from) = wit_stream::new();
    let written = stdout::write_via_stream(from);
    let rest = to.write_all(text.into_bytes()).await;
    drop(to);
    let end = written.await;
    if rest.is_empty() && end.is_ok() {
        Ok(())
    } else {
        Err(())
    }
}

async fn fail(text: &str) -> Result<(), ()> {
    let (mut to, from) = wit_stream::new();
    let written = stderr::write_via_stream(from);
    to.write_all(format!("edgepass: {text}\n").into_bytes())
        .await;
    drop(to);
    // there is nobody to tell that it cannot be said
    _ = written.await;
    Err(())
}

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Command, bindings};

    bindings::export!(Command with_types_in bindings);
}
