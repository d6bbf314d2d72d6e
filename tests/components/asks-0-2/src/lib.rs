//! A command of WASI 0.2 that asks for tokens itself: `IDENTITY SCOPE`, one token or several. Prints of each the identity
//! and the token's length, or the error's case. `-` is the default identity.

use bindings::edgepass::credentials::types::{Grant, Refresh, TokenType};
use bindings::edgepass::credentials_p2::credential_provider::{
    CredentialError, TokenRequest, get_token,
};
use bindings::exports::wasi::cli::run::Guest;
use bindings::wasi::cli::{environment, stdout};

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit/p2", "wit"],
        world: "edgepass:asks/application",
        generate_all,
    });
}

struct Command;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{Command, bindings};

    bindings::export!(Command with_types_in bindings);
}

impl Guest for Command {
    fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let mut words = arguments.iter().skip(1);
        let out = stdout::get_stdout();
        while let (Some(identity), Some(scope)) = (words.next(), words.next()) {
            let line = match get_token(&request(identity, scope)) {
                Ok(token) => format!("{}: {} bytes\n", token.identity, token.token.len()),
                Err(error) => format!("{}\n", case(&error)),
            };
            out.blocking_write_and_flush(line.as_bytes())
                .map_err(drop)?;
        }
        Ok(())
    }
}

fn request(identity: &str, scope: &str) -> TokenRequest {
    TokenRequest {
        identity: Some(identity.to_owned()).filter(|identity| identity != "-"),
        scopes: vec![scope.to_owned()],
        tenant: None,
        grant: Grant::ClientCredentials,
        claims: None,
        token_type: TokenType::Bearer,
        refresh: Refresh::IfNeeded,
    }
}

fn case(error: &CredentialError) -> &'static str {
    match error {
        CredentialError::Configuration(_) => "configuration",
        CredentialError::InvalidRequest(_) => "invalid-request",
        _ => "another error",
    }
}
