//! `edgepass authorization-url`.

use edgepass::{AuthorizationOptions, AuthorizationRequest, Secret};
use zeroize::Zeroizing;

use super::arguments::{AuthorizationUrlArguments, PlainFormat};
use super::failure::{Failure, Warnings};
use super::output;
use super::token::Session;

pub(crate) fn run(
    arguments: &AuthorizationUrlArguments,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let identity = arguments.identity.as_deref();
    let session = Session::begin(&arguments.config, identity, arguments.timeout);
    let mut options = AuthorizationOptions {
        redirect_uri: arguments.redirect_uri.clone(),
        scopes: arguments.scope.clone(),
        tenant: arguments.tenant.clone(),
        response_mode: arguments.response_mode.clone(),
        prompt: arguments.prompt.clone(),
        login_hint: arguments.login_hint.clone(),
        domain_hint: arguments.domain_hint.clone(),
        claims: arguments.claims.clone(),
        parameters: arguments.parameter.clone(),
    };
    session.run(
        arguments.ca_file.as_deref(),
        None,
        warnings,
        async |provider, about, _| {
            if options.scopes.is_empty() {
                options.scopes.clone_from(&about.scopes_of_users);
            }
            provider.authorization_request(identity, options).await
        },
        |request| print(&request, arguments.format.unwrap_or(PlainFormat::Json)),
    )
}

fn print(request: &AuthorizationRequest, format: PlainFormat) -> Result<(), Failure> {
    #[derive(serde::Serialize)]
    struct Printed<'a> {
        url: &'a str,
        state: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        code_verifier: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        issuer: Option<&'a str>,
        /// Whether an answer without `iss` is none of that server's (RFC 9207 section 3).
        #[serde(skip_serializing_if = "Option::is_none")]
        names_issuer: Option<bool>,
    }
    let printed = Printed {
        url: &request.url,
        state: request.state.expose(),
        nonce: request.nonce.as_ref().map(Secret::expose),
        code_verifier: request.code_verifier.expose(),
        issuer: request.issuer.as_deref(),
        names_issuer: request.names_issuer.then_some(true),
    };
    let text = match format {
        PlainFormat::Json => {
            let mut json = serde_json::to_string(&printed)
                .map_err(|e| Failure::setup(format!("the request cannot be written: {e}")))?;
            json.push('\n');
            json
        }
        PlainFormat::Text => {
            let lines = [
                ("url", Some(printed.url)),
                ("state", Some(printed.state)),
                ("nonce", printed.nonce),
                ("code_verifier", Some(printed.code_verifier)),
                ("issuer", printed.issuer),
                ("names_issuer", printed.names_issuer.map(|_| "true")),
            ];
            let there = lines
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)));
            there
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect()
        }
    };
    output::write(Zeroizing::new(text).as_bytes())
}
