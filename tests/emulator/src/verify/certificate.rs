//! Assertions that an application signs with its own registered key.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::assertion::{ALLOWED_SKEW, algorithm, check_times};
use crate::encoding::from_base64;
use crate::errors::Refusal;
use crate::jose::{Jws, rsa_components};
use crate::registry::{App, Certificate};
use crate::request::TokenCall;

/// Life of an assertion beyond which it is refused. Entra names no limit of
/// its own; a day is what it lets tokens of any kind live.
const LONGEST_LIFE: i64 = 86_400;

/// Life up to which Microsoft's specification calls an assertion well made.
const ADVISED_LIFE: i64 = 600;

/// Verifies the assertion; the result is the certificate's `x5t#S256`.
pub(super) fn verify(ask: &mut TokenCall<'_>, app: &App, jws: &Jws<'_>) -> Result<String, Refusal> {
    let certificate = named_certificate(ask, app, jws)?;
    check_chain(ask, jws, &certificate)?;

    let algorithm = algorithm(jws, &[Algorithm::RS256, Algorithm::PS256])?;
    let key = rsa_components(&certificate.der)
        .ok()
        .and_then(|(n, e)| DecodingKey::from_rsa_components(&n, &e).ok())
        .ok_or_else(|| Refusal::plain(700_027))?;
    if !jws.verify(&key, algorithm) {
        return Err(Refusal::new(
            700_027,
            format!(
                "Client assertion contains an invalid signature. [Reason - The provided signature \
                 value did not match the expected signature value., Thumbprint of key used by \
                 client: '{}']",
                certificate.sha256
            ),
        ));
    }
    check_audience(ask, jws)?;

    let validity = check_times(ask, jws)?;
    let now = ask.call.now;
    // A day in the past when it does not say: such an assertion has no start.
    let life = validity.until.saturating_sub(validity.from.unwrap_or(now));
    if life > LONGEST_LIFE + ALLOWED_SKEW {
        return Err(Refusal::new(
            700_024,
            format!(
                "Client assertion is not within its valid time range: it would be valid for \
                 {life} seconds."
            ),
        ));
    }
    if life > ADVISED_LIFE {
        ask.nonconforming(format!(
            "the assertion lives {life} seconds, more than {ADVISED_LIFE}"
        ));
    }
    if now < certificate.not_before || now > certificate.not_after {
        return Err(Refusal::plain(1_000_502));
    }
    check_replay(ask, app, jws, validity.until)?;
    Ok(certificate.sha256)
}

/// A certificate that comes with the connection must be one of the app's.
pub(super) fn require_registered(app: &App, certificate: &Certificate) -> Result<(), Refusal> {
    if app
        .certificates
        .iter()
        .any(|known| known.sha256 == certificate.sha256)
    {
        return Ok(());
    }
    Err(not_registered(app, &certificate.sha256))
}

/// The registered certificate that the header names.
fn named_certificate(
    ask: &mut TokenCall<'_>,
    app: &App,
    jws: &Jws<'_>,
) -> Result<Certificate, Refusal> {
    let (name, thumbprint) = match (jws.parameter("x5t#S256"), jws.parameter("x5t")) {
        (Some(thumbprint), _) => ("x5t#S256", thumbprint),
        (None, Some(thumbprint)) => ("x5t", thumbprint),
        (None, None) => return Err(not_registered(app, "")),
    };
    let canonical = thumbprint
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    if canonical != thumbprint {
        ask.nonconforming(format!("'{name}' is not unpadded base64url"));
    }
    app.certificates
        .iter()
        .find(|known| {
            canonical
                == if name == "x5t" {
                    &*known.sha1
                } else {
                    &*known.sha256
                }
        })
        .cloned()
        .ok_or_else(|| not_registered(app, thumbprint))
}

/// `x5c`, when sent: the named certificate first, each signed by the next.
fn check_chain(
    ask: &mut TokenCall<'_>,
    jws: &Jws<'_>,
    certificate: &Certificate,
) -> Result<(), Refusal> {
    let texts: Vec<&str> = match jws.header.get("x5c") {
        None => return Ok(()),
        Some(Value::String(one)) => {
            ask.nonconforming("'x5c' is a string, not an array");
            vec![one]
        }
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        Some(_) => return Err(Refusal::plain(7_000_213)),
    };
    let mut chain = Vec::new();
    for text in texts {
        let bare: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        if bare != text {
            ask.nonconforming("'x5c' has white space inside");
        }
        chain.push(from_base64(&bare).ok_or_else(|| Refusal::plain(7_000_213))?);
    }
    if chain.first() != Some(&certificate.der) {
        return Err(Refusal::new(
            7_000_213,
            "Invalid certificate chain: its first certificate is not the one that the thumbprint names.",
        ));
    }
    for (lower, upper) in chain.iter().zip(chain.iter().skip(1)) {
        if !signed_by(lower, upper) {
            return Err(Refusal::plain(7_000_213));
        }
    }
    Ok(())
}

fn signed_by(lower: &[u8], upper: &[u8]) -> bool {
    let (Ok((_, lower)), Ok((_, upper))) = (
        X509Certificate::from_der(lower),
        X509Certificate::from_der(upper),
    ) else {
        return false;
    };
    lower.issuer() == upper.subject() && lower.verify_signature(Some(upper.public_key())).is_ok()
}

/// `aud` is the endpoint called, in either version, or the tenant's issuer.
fn check_audience(ask: &TokenCall<'_>, jws: &Jws<'_>) -> Result<(), Refusal> {
    let origin = ask.call.origin();
    let called = ask.call.segments().first().copied().unwrap_or_default();
    let accepted = [called, ask.tenant.id.as_str()]
        .into_iter()
        .flat_map(|tenant| {
            ["oauth2/v2.0/token", "oauth2/token", "v2.0", ""]
                .into_iter()
                .map(|rest| format!("{origin}/{tenant}/{rest}"))
                .collect::<Vec<_>>()
        });
    // with its query, by which a user flow may be named
    let exact = format!("{origin}{}", ask.call.path);
    let queried = format!("{exact}?{}", ask.call.query);
    let audiences = jws.audiences();
    if accepted
        .chain([exact, queried])
        .any(|url| audiences.contains(&url.as_str()))
    {
        return Ok(());
    }
    Err(Refusal::plain(700_023))
}

fn check_replay(
    ask: &mut TokenCall<'_>,
    app: &App,
    jws: &Jws<'_>,
    until: i64,
) -> Result<(), Refusal> {
    let Some(jti) = jws.claim("jti") else {
        ask.nonconforming("the assertion has no 'jti'");
        return Ok(());
    };
    let world = ask.world;
    let fresh = world.replays.first_use(
        &app.client_id,
        jti,
        until.saturating_add(ALLOWED_SKEW),
        ask.call.now,
    );
    if fresh {
        return Ok(());
    }
    if crate::lock(&world.settings).refuse_replay {
        return Err(Refusal::plain(50_012));
    }
    ask.nonconforming("the assertion's 'jti' was used before");
    Ok(())
}

fn not_registered(app: &App, thumbprint: &str) -> Refusal {
    Refusal::new(
        700_027,
        format!(
            "The certificate with identifier used to sign the client assertion is not registered \
             on application. [Reason - The key was not found., Thumbprint of key used by client: \
             '{thumbprint}', configured keys are those of app Id '{}'.]",
            app.client_id
        ),
    )
}
