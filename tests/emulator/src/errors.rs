//! The AADSTS codes this server answers, and the shape of an error body.

use http::StatusCode;
use serde_json::{Value, json};

use crate::clock;

/// One row of the table of refusals.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Aadsts {
    /// The number after `AADSTS`.
    pub code: u32,
    /// The HTTP status it comes with.
    pub status: u16,
    /// The OAuth `error` it comes with.
    pub error: &'static str,
    /// What it says when nothing more precise is known.
    pub text: &'static str,
}

/// Every code this server can answer by itself, in numeric order.
pub const TABLE: &[Aadsts] = &[
    row(
        28000,
        400,
        "invalid_scope",
        "Provided value for the input parameter scope is not valid because it contains more than one resource.",
    ),
    row(
        28002,
        400,
        "invalid_scope",
        "Provided value for the input parameter scope is not valid when requesting an access token. Please specify a valid scope.",
    ),
    row(
        50000,
        500,
        "server_error",
        "There was an error issuing a token or an issue with our sign-in service.",
    ),
    row(
        50011,
        400,
        "invalid_request",
        "The redirect URI specified in the request does not match the redirect URIs configured for the application.",
    ),
    row(
        50012,
        401,
        "invalid_client",
        "Authentication failed: the client assertion has been used before.",
    ),
    row(
        50013,
        400,
        "invalid_grant",
        "Assertion failed signature validation.",
    ),
    row(
        50020,
        400,
        "invalid_grant",
        "User account does not exist in tenant and cannot access the application in that tenant.",
    ),
    row(
        50027,
        400,
        "invalid_request",
        "JWT token is invalid or malformed.",
    ),
    row(
        50034,
        400,
        "invalid_grant",
        "The user account does not exist in the directory.",
    ),
    row(
        50048,
        401,
        "invalid_client",
        "Subject must match Issuer claim in the client assertion.",
    ),
    row(
        50049,
        400,
        "invalid_instance",
        "Unknown or invalid instance.",
    ),
    row(50057, 400, "invalid_grant", "The user account is disabled."),
    row(
        50058,
        400,
        "login_required",
        "A silent sign-in request was sent but no user is signed in.",
    ),
    row(
        50076,
        400,
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access the resource.",
    ),
    row(
        50147,
        400,
        "invalid_request",
        "Missing code challenge: code_challenge_method needs a code_challenge.",
    ),
    row(
        50148,
        400,
        "invalid_grant",
        "The code_verifier does not match the code_challenge supplied in the authorization request for PKCE.",
    ),
    row(
        50149,
        400,
        "invalid_request",
        "Invalid Code_Challenge_method parameter.",
    ),
    row(
        50173,
        400,
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
    ),
    row(
        51000,
        400,
        "unauthorized_client",
        "MtlsClientAuth is/are disabled.",
    ),
    row(
        54005,
        400,
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
    ),
    row(
        65001,
        400,
        "invalid_grant",
        "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource.",
    ),
    row(
        65004,
        400,
        "access_denied",
        "User declined to consent to access the app.",
    ),
    row(
        70000,
        400,
        "invalid_grant",
        "Provided grant is invalid or malformed.",
    ),
    row(
        70003,
        400,
        "unsupported_grant_type",
        "The app requested an unsupported grant type.",
    ),
    row(
        70005,
        400,
        "unsupported_response_type",
        "The app requested an unsupported response type.",
    ),
    row(
        70007,
        400,
        "invalid_request",
        "The app requested an unsupported response mode.",
    ),
    row(
        70008,
        400,
        "invalid_grant",
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
    ),
    row(
        70011,
        400,
        "invalid_scope",
        "The provided value for the input parameter 'scope' is not valid.",
    ),
    row(
        70021,
        400,
        "invalid_request",
        "No matching federated identity record found for presented assertion.",
    ),
    row(
        82008,
        400,
        "invalid_request",
        "All agentic applications requesting a token exchange token must include the fmipath parameter on the token request.",
    ),
    row(
        90002,
        400,
        "invalid_request",
        "Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.",
    ),
    row(
        90033,
        503,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    row(
        90055,
        429,
        "temporarily_unavailable",
        "The server has terminated this request because there are too many of them.",
    ),
    row(
        90061,
        400,
        "invalid_request",
        "Request to External OIDC endpoint failed.",
    ),
    row(
        392_200,
        400,
        "invalid_request",
        "Client certificate is missing from the request.",
    ),
    row(
        392_204,
        401,
        "invalid_client",
        "The provided client certificate has expired.",
    ),
    row(
        500_011,
        400,
        "invalid_resource",
        "The resource principal was not found in the tenant.",
    ),
    row(
        500_112,
        401,
        "invalid_client",
        "The reply address does not match the reply address provided when requesting Authorization code.",
    ),
    row(
        500_131,
        400,
        "invalid_grant",
        "Assertion audience does not match the Client app presenting the assertion.",
    ),
    row(
        500_133,
        400,
        "invalid_grant",
        "Assertion is not within its valid time range. Ensure that the access token is not expired before using it for user assertion, or request a new token.",
    ),
    row(
        500_181,
        400,
        "invalid_request",
        "The TLS certificate provided does not match the certificate in the assertion.",
    ),
    row(
        501_481,
        400,
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    row(
        501_491,
        400,
        "invalid_request",
        "Invalid size of Code_Challenge parameter.",
    ),
    row(
        650_053,
        400,
        "invalid_client",
        "The application asked for a scope that doesn't exist on the resource.",
    ),
    row(
        700_005,
        400,
        "invalid_grant",
        "Provided Authorization Code is intended to use against other tenant, thus rejected.",
    ),
    row(
        700_016,
        400,
        "unauthorized_client",
        "Application was not found in the directory.",
    ),
    row(
        700_021,
        401,
        "invalid_client",
        "Client assertion application identifier doesn't match 'client_id' parameter.",
    ),
    row(
        700_023,
        401,
        "invalid_client",
        "Client assertion audience claim does not match Realm issuer.",
    ),
    row(
        700_024,
        401,
        "invalid_client",
        "Client assertion is not within its valid time range.",
    ),
    row(
        700_025,
        401,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    row(
        700_027,
        401,
        "invalid_client",
        "Client assertion contains an invalid signature.",
    ),
    row(
        700_082,
        400,
        "invalid_grant",
        "The refresh token has expired due to inactivity.",
    ),
    row(
        700_211,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer.",
    ),
    row(
        700_212,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion audience.",
    ),
    row(
        700_213,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject.",
    ),
    row(
        900_023,
        400,
        "invalid_request",
        "Specified tenant identifier is neither a valid DNS name, nor a valid external domain.",
    ),
    row(
        900_144,
        400,
        "invalid_request",
        "The request body must contain a parameter that is missing.",
    ),
    row(
        900_561,
        400,
        "invalid_request",
        "The endpoint only accepts POST requests.",
    ),
    row(
        900_971,
        400,
        "invalid_request",
        "No reply address provided.",
    ),
    row(
        901_002,
        400,
        "invalid_request",
        "The 'resource' request parameter is not supported.",
    ),
    row(
        1_000_502,
        401,
        "invalid_client",
        "The provided certificate is not within its specified validity window.",
    ),
    row(
        1_002_012,
        400,
        "invalid_scope",
        "Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).",
    ),
    row(
        7_000_112,
        400,
        "unauthorized_client",
        "Application is disabled.",
    ),
    row(
        7_000_114,
        400,
        "invalid_grant",
        "Application is not allowed to make application on-behalf-of calls.",
    ),
    row(
        7_000_213,
        401,
        "invalid_client",
        "Invalid certificate chain.",
    ),
    row(
        7_000_215,
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.",
    ),
    row(
        7_000_218,
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    row(
        7_000_222,
        401,
        "invalid_client",
        "The provided client secret keys are expired.",
    ),
    row(
        7_002_137,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject.",
    ),
    row(
        7_002_138,
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject: only its letter case differs.",
    ),
    row(
        9_001_023,
        400,
        "invalid_request",
        "The grant type is not supported over the /common, /organizations or /consumers endpoints. Please use the tenant-specific endpoint.",
    ),
    row(
        9_002_313,
        400,
        "invalid_request",
        "Invalid request. Request is malformed or invalid.",
    ),
];

/// Why a request is not answered with a token.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    text: String,
    /// Where it is not the one of the table.
    error: Option<&'static str>,
    suberror: Option<&'static str>,
    claims: Option<String>,
}

impl Refusal {
    /// A refusal whose text says what exactly was wrong.
    pub(crate) fn new(code: u32, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            error: None,
            suberror: None,
            claims: None,
        }
    }

    /// With another `error` than the table's: some codes have several.
    pub(crate) fn error(mut self, error: &'static str) -> Self {
        self.error = Some(error);
        self
    }

    /// With a `suberror`.
    pub(crate) fn suberror(mut self, suberror: &'static str) -> Self {
        self.suberror = Some(suberror);
        self
    }

    /// With `claims` that a new sign-in must satisfy.
    pub(crate) fn claims(mut self, claims: String) -> Self {
        self.claims = Some(claims);
        self
    }

    /// What it says, without code and traces.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The `error`.
    pub(crate) fn name(&self) -> &'static str {
        self.error.unwrap_or(lookup(self.code).error)
    }

    /// `error_description` as it goes to a redirect URI or a page.
    pub(crate) fn description(&self, trace: &str, correlation: &str, now: i64) -> String {
        format!(
            "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {}",
            self.code,
            self.text,
            clock::stamp(now)
        )
    }

    /// A refusal with the table's own text; a code outside the table is
    /// answered as `invalid_request`, which lets tests invent codes.
    pub(crate) fn plain(code: u32) -> Self {
        Self::new(code, lookup(code).text)
    }

    /// A required form field is absent or empty.
    pub(crate) fn missing(field: &str) -> Self {
        Self::new(
            900_144,
            format!("The request body must contain the following parameter: '{field}'."),
        )
    }

    /// The status that goes with the code.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(lookup(self.code).status).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// The body in Entra's shape.
    pub(crate) fn body(&self, authority: &str, trace: &str, correlation: &str, now: i64) -> Value {
        let mut body = json!({
            "error": self.name(),
            "error_description": self.description(trace, correlation, now),
            "error_codes": [self.code],
            "timestamp": clock::stamp(now),
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("{authority}/error?code={}", self.code),
        });
        let more = [
            ("suberror", self.suberror),
            ("claims", self.claims.as_deref()),
        ];
        for (name, value) in more {
            if let (Some(value), Some(fields)) = (value, body.as_object_mut()) {
                fields.insert(name.into(), json!(value));
            }
        }
        body
    }
}

const fn row(code: u32, status: u16, error: &'static str, text: &'static str) -> Aadsts {
    Aadsts {
        code,
        status,
        error,
        text,
    }
}

fn lookup(code: u32) -> Aadsts {
    TABLE
        .iter()
        .find(|row| row.code == code)
        .copied()
        .unwrap_or(row(
            code,
            400,
            "invalid_request",
            "The request was refused as the emulator was told to.",
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_documented() {
        let codes: Vec<u32> = TABLE.iter().map(|row| row.code).collect();
        let mut sorted = codes.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(codes, sorted);

        let readme = include_str!("../README.md");
        for code in codes {
            assert!(
                readme.contains(&format!("| {code} |")),
                "README.md does not list {code}"
            );
        }
    }

    #[test]
    fn the_body_has_every_field_of_entras() {
        let body = Refusal::plain(700_213).body("https://a", "t", "c", 1_795_395_723);
        assert_eq!(body["error"], "invalid_client");
        assert_eq!(body["error_codes"], json!([700_213]));
        assert_eq!(body["timestamp"], "2026-11-23 01:02:03Z");
        assert_eq!(body["error_uri"], "https://a/error?code=700213");
        let text = body["error_description"].as_str().unwrap();
        assert!(
            text.starts_with("AADSTS700213: No matching federated identity record"),
            "{text}"
        );
        assert!(
            text.ends_with("Trace ID: t Correlation ID: c Timestamp: 2026-11-23 01:02:03Z"),
            "{text}"
        );
    }
}
