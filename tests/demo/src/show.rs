//! Plain words on standard output, with the secret parts cut.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::Duration;

/// A new step.
pub(crate) fn title(text: &str) {
    println!("\n== {text}");
}

/// An explanation.
pub(crate) fn text(text: &str) {
    for line in text.lines() {
        println!("   {line}");
    }
}

/// One fact.
pub(crate) fn fact(name: &str, value: &str) {
    println!("   {name:<22} {value}");
}

/// Header and claims of a JWT. The signature is what makes it a credential, and
/// is not taken apart here.
pub(crate) fn decode(jwt: &str) -> Result<(Value, Value)> {
    let mut parts = jwt.trim().split('.');
    let mut part = || -> Result<Value> {
        let text = parts.next().context("a JWT has three parts")?;
        let bytes = URL_SAFE_NO_PAD.decode(text).context("a JWT is base64url")?;
        serde_json::from_slice(&bytes).context("a JWT holds JSON")
    };
    Ok((part()?, part()?))
}

/// The named claims of a JWT, a line each, and how much was cut.
pub(crate) fn claims(jwt: &str, names: &[&str]) -> Result<()> {
    let (header, claims) = decode(jwt)?;
    fact("signed with", &plain(header.get("alg")));
    for name in names {
        if let Some(value) = claims.get(*name) {
            fact(name, &plain(Some(value)));
        }
    }
    let signature = jwt.trim().rsplit('.').next().unwrap_or_default();
    fact(
        "signature",
        &format!("(cut, {} characters)", signature.len()),
    );
    Ok(())
}

/// A value without the quotes of JSON.
pub(crate) fn plain(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "(absent)".to_owned(),
    }
}

/// A duration in the unit that suits it.
pub(crate) fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos < 10_000 {
        format!("{nanos} ns")
    } else if nanos < 10_000_000 {
        format!("{:.0} µs", duration.as_secs_f64() * 1e6)
    } else {
        format!("{:.0} ms", duration.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, time};
    use std::time::Duration;

    #[test]
    fn decodes_what_is_not_secret() {
        let (header, claims) = decode("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln\n").unwrap();
        assert_eq!(header["alg"], "RS256");
        assert_eq!(claims["aud"], "x");
        assert!(decode("not a token").is_err());
    }

    #[test]
    fn times_are_short() {
        assert_eq!(time(Duration::from_nanos(91)), "91 ns");
        assert_eq!(time(Duration::from_micros(450)), "450 µs");
        assert_eq!(time(Duration::from_millis(25)), "25 ms");
    }
}
