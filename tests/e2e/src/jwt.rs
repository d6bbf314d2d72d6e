//! The parts of a JWT. Who gets an access token reads it as little as anybody may; tests know that it is the emulator's.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::lab::GRAPH;

/// The header of a JWT.
pub fn header(jwt: &str) -> Result<Value> {
    part(jwt, 0)
}

/// The claims of a JWT.
pub fn claims(jwt: &str) -> Result<Value> {
    part(jwt, 1)
}

/// The thumbprint in the header of a JWT (`x5t#S256`, RFC 7515 section 4.1.8): by which certificate it was signed.
pub fn thumbprint(jwt: &str) -> Result<String> {
    let header = header(jwt)?;
    let thumbprint = header.get("x5t#S256").and_then(Value::as_str);
    Ok(thumbprint.context("no x5t#S256")?.to_owned())
}

/// Whether a token is one of that issuer's for Microsoft Graph.
#[must_use]
pub fn is_for_graph(token: &str, issuer: &str) -> bool {
    claims(token).is_ok_and(|claims| {
        let is = |name, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
        is("iss", issuer) && is("aud", GRAPH.trim_end_matches("/.default"))
    })
}

fn part(jwt: &str, number: usize) -> Result<Value> {
    let part = jwt.split('.').nth(number).context("not a JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}
