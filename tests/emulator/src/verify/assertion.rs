//! Assertions in general: which kind one is, and the times of both kinds.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{certificate, federated};
use crate::clock::precise_stamp;
use crate::encoding::is_guid;
use crate::errors::Refusal;
use crate::jose::Jws;
use crate::registry::App;
use crate::request::TokenCall;

/// The difference between clocks that Entra lets pass, in seconds.
pub(crate) const ALLOWED_SKEW: i64 = 300;

/// What a verified assertion rests on.
pub(super) enum Proof {
    /// A key registered with the application, named by its certificate.
    Certificate(String),
    /// An outside issuer's word, possibly about a certificate (`cnf`).
    Federated(Option<String>),
}

impl Proof {
    /// `x5t#S256` of the certificate the assertion is about.
    pub(super) fn certificate(&self) -> Option<&str> {
        match self {
            Self::Certificate(thumbprint) => Some(thumbprint),
            Self::Federated(thumbprint) => thumbprint.as_deref(),
        }
    }

    /// The same where it is an outside issuer that says so.
    pub(super) fn binding(&self) -> Option<&str> {
        match self {
            Self::Certificate(_) => None,
            Self::Federated(thumbprint) => thumbprint.as_deref(),
        }
    }

    /// The journal's word for it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate",
            Self::Federated(_) => "federated",
        }
    }
}

/// Verifies an assertion of either kind: the `iss` tells which.
pub(super) fn verify(
    ask: &mut TokenCall<'_>,
    app: &App,
    assertion: &str,
) -> Result<Proof, Refusal> {
    let jws = Jws::parse(assertion).ok_or_else(|| Refusal::plain(50_027))?;
    let issuer = jws
        .claim("iss")
        .ok_or_else(|| malformed("the 'iss' claim is missing"))?;
    let subject = jws
        .claim("sub")
        .ok_or_else(|| malformed("the 'sub' claim is missing"))?;
    // Outside issuers are URLs; an application signs in its own name, a GUID.
    if issuer.eq_ignore_ascii_case(&app.client_id) || is_guid(issuer) {
        if issuer != subject {
            return Err(Refusal::new(
                50_048,
                format!(
                    "Subject '{subject}' must match Issuer '{issuer}' claim in the client assertion."
                ),
            ));
        }
        if !issuer.eq_ignore_ascii_case(&app.client_id) {
            return Err(Refusal::plain(700_021));
        }
        return certificate::verify(ask, app, &jws).map(Proof::Certificate);
    }
    federated::verify(ask, app, &jws, issuer, subject).map(Proof::Federated)
}

/// The validity of an assertion.
pub(super) struct Validity {
    pub(super) from: Option<i64>,
    pub(super) until: i64,
}

/// Reads and checks `nbf` and `exp`.
pub(super) fn check_times(ask: &mut TokenCall<'_>, jws: &Jws<'_>) -> Result<Validity, Refusal> {
    let until = time_claim(ask, jws, "exp")?;
    let until = until.ok_or_else(|| malformed("the 'exp' claim is missing"))?;
    let from = time_claim(ask, jws, "nbf")?;
    let now = ask.call.now;
    let early = from.is_some_and(|from| now.saturating_add(ALLOWED_SKEW) < from);
    let late = until.saturating_add(ALLOWED_SKEW) <= now;
    if early || late {
        return Err(Refusal::new(
            700_024,
            format!(
                "Client assertion is not within its valid time range. Current time: {}, assertion \
                 valid from {}, expiry time of assertion {}.",
                precise_stamp(now),
                precise_stamp(from.unwrap_or_default()),
                precise_stamp(until)
            ),
        ));
    }
    Ok(Validity { from, until })
}

/// The algorithm of the header, one of those in `allowed`.
pub(super) fn algorithm(jws: &Jws<'_>, allowed: &[Algorithm]) -> Result<Algorithm, Refusal> {
    let named = jws
        .parameter("alg")
        .ok_or_else(|| malformed("the header has no 'alg'"))?;
    allowed.iter().find(|known| format!("{known:?}") == named).copied().ok_or_else(|| {
        Refusal::new(
            700_027,
            format!(
                "Client assertion contains an invalid signature. [Reason - The algorithm '{named}' \
                 is not supported.]"
            ),
        )
    })
}

/// 50027 with its reason.
pub(super) fn malformed(why: &str) -> Refusal {
    Refusal::new(50_027, format!("JWT token is invalid or malformed: {why}."))
}

/// A NumericDate. Strings of digits and fractions come from real libraries
/// and are taken, but noted.
fn time_claim(ask: &mut TokenCall<'_>, jws: &Jws<'_>, name: &str) -> Result<Option<i64>, Refusal> {
    let wrong = || malformed(&format!("the '{name}' claim is not a time"));
    match jws.claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => {
            if let Some(whole) = number.as_i64() {
                return Ok(Some(whole));
            }
            ask.nonconforming(format!("'{name}' has a fraction"));
            // A NumericDate that does not fit is saturated by the cast, which
            // is as far in the future as any.
            number
                .as_f64()
                .map(|fraction| Some(fraction as i64))
                .ok_or_else(wrong)
        }
        Some(Value::String(text)) => {
            ask.nonconforming(format!("'{name}' is a string"));
            text.parse().map(Some).map_err(|_| wrong())
        }
        Some(_) => Err(wrong()),
    }
}
