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
        28002,
        400,
        "invalid_scope",
        "Provided value for the input parameter scope is not valid when requesting an access token. Please specify a valid scope.",
    ),
    row(
        50012,
        401,
        "invalid_client",
        "Authentication failed: the client assertion has been used before.",
    ),
    row(
        50027,
        400,
        "invalid_request",
        "JWT token is invalid or malformed.",
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
    row(
        51000,
        400,
        "unauthorized_client",
        "MtlsClientAuth is/are disabled.",
    ),
    row(
        70003,
        400,
        "unsupported_grant_type",
        "The app requested an unsupported grant type.",
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
        500_181,
        400,
        "invalid_request",
        "The TLS certificate provided does not match the certificate in the assertion.",
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
}

impl Refusal {
    /// A refusal whose text says what exactly was wrong.
    pub(crate) fn new(code: u32, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
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
        let stamp = clock::stamp(now);
        json!({
            "error": lookup(self.code).error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
                self.code, self.text
            ),
            "error_codes": [self.code],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("{authority}/error?code={}", self.code),
        })
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
