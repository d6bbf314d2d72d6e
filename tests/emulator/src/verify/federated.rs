//! Assertions of outside issuers, matched with federated credentials.

use jsonwebtoken::Algorithm;

use super::assertion::{algorithm, check_times};
use crate::agents;
use crate::errors::Refusal;
use crate::jose::{Jws, find_key};
use crate::registry::{App, FederatedCredential};
use crate::request::TokenCall;

/// Verifies the assertion; the result is the certificate it is bound to, if
/// it says so. The order is: a credential for the issuer, the issuer's keys,
/// the signature, the times, and only then what the claims say.
pub(super) fn verify(
    ask: &mut TokenCall<'_>,
    app: &App,
    jws: &Jws<'_>,
    issuer: &str,
    subject: &str,
) -> Result<Option<String>, Refusal> {
    let of_tenant = format!("{}/{}/v2.0", ask.world.identity.authority(), ask.tenant.id);
    let blueprint = agents::credential(app, &ask.tenant.id, of_tenant);
    let trusted: Vec<&FederatedCredential> = app
        .federated_credentials
        .iter()
        .chain(&blueprint)
        .filter(|known| known.issuer == issuer)
        .collect();
    if trusted.is_empty() {
        return Err(no_match(700_211, "issuer", issuer, ""));
    }
    check_signature(ask, jws, issuer)?;
    check_times(ask, jws)?;

    let audiences = jws.audiences();
    let meant: Vec<&FederatedCredential> = trusted
        .into_iter()
        .filter(|known| audiences.contains(&known.audience.as_str()))
        .collect();
    if meant.is_empty() {
        return Err(no_match(700_212, "audience", &audiences.join(" "), ""));
    }
    if !meant.iter().any(|known| known.subject == subject) {
        return Err(
            if meant
                .iter()
                .any(|known| known.subject.eq_ignore_ascii_case(subject))
            {
                no_match(
                    7_002_138,
                    "subject",
                    subject,
                    " The subject matches with case-insensitive comparison, but not with case-sensitive \
                 comparison.",
                )
            } else if subject.starts_with(agents::PATH) {
                no_match(7_002_137, "subject", subject, "")
            } else {
                no_match(700_213, "subject", subject, "")
            },
        );
    }
    let thumbprint = jws
        .claims
        .get("cnf")
        .and_then(|cnf| cnf.get("x5t#S256")?.as_str());
    Ok(thumbprint.map(ToOwned::to_owned))
}

fn check_signature(ask: &TokenCall<'_>, jws: &Jws<'_>, issuer: &str) -> Result<(), Refusal> {
    let keys = ask
        .world
        .issuer_keys(issuer)
        .ok_or_else(|| Refusal::plain(90_061))?;
    // The only algorithm that Entra promises to take from outside issuers.
    let algorithm = algorithm(jws, &[Algorithm::RS256])?;
    let key = jws
        .parameter("kid")
        .and_then(|kid| find_key(&keys, kid))
        .ok_or_else(|| {
            Refusal::new(
                700_027,
                "Client assertion contains an invalid signature. [Reason - The key was not found.]",
            )
        })?;
    if jws.verify(&key, algorithm) {
        return Ok(());
    }
    Err(Refusal::new(
        700_027,
        "Client assertion contains an invalid signature. [Reason - The provided signature value \
         did not match the expected signature value.]",
    ))
}

fn no_match(code: u32, what: &str, presented: &str, more: &str) -> Refusal {
    Refusal::new(
        code,
        format!(
            "No matching federated identity record found for presented assertion {what} \
             '{presented}'.{more} Please check your federated identity credential Subject, \
             Audience and Issuer against the presented assertion."
        ),
    )
}
