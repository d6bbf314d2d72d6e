//! What kind of failure a refusal is, by what the server says and never by what is shown of that. It makes no errors.

use crate::{ErrorClass, aadsts};

/// `error` decides (RFC 6749 section 5.2, and Microsoft's advice); codes only where `error` is too coarse, because
/// Entra answers the same failure with several of them.
pub(super) fn classify(
    status: u16,
    oauth_error: &str,
    codes: &[u32],
    has_claims: bool,
) -> ErrorClass {
    let any = |test: fn(u32) -> bool| codes.iter().any(|code| test(*code));
    if status == 429 {
        return ErrorClass::Throttled;
    }
    // whatever it says besides, it is the server that is ill: another credential would only hide that
    if (500..=599).contains(&status) {
        return ErrorClass::Server;
    }
    if any(aadsts::federation) {
        return ErrorClass::FederationMismatch;
    }
    if has_claims
        || any(aadsts::interaction)
        || matches!(
            oauth_error,
            "interaction_required" | "login_required" | "consent_required"
        )
    {
        return ErrorClass::InteractionRequired;
    }
    if any(aadsts::is_throttling) {
        return ErrorClass::Throttled;
    }
    // Entra says `invalid_client` of many an app whose credential nobody looked at
    let other_cause = any(|code| aadsts::lookup(code).is_some());
    if any(aadsts::credential) || oauth_error == "invalid_client" && !other_cause {
        return ErrorClass::CredentialRejected;
    }
    match status {
        408 => ErrorClass::Timeout,
        _ if oauth_error == "temporarily_unavailable" || any(aadsts::is_transient) => {
            ErrorClass::Server
        }
        _ => ErrorClass::Refused,
    }
}

/// Whether Entra says with `suberror` that somebody has to agree or to sign in: `invalid_grant` is for that as well.
pub(super) fn is_for_a_person(oauth_error: &str, suberror: Option<&str>) -> bool {
    const OF_A_PERSON: [&str; 4] = [
        "additional_action",
        "basic_action",
        "consent_required",
        "user_password_expired",
    ];
    oauth_error == "invalid_grant" && suberror.is_some_and(|said| OF_A_PERSON.contains(&said))
}

pub(super) fn default_hint(class: ErrorClass) -> Option<&'static str> {
    match class {
        ErrorClass::Throttled => Some("too many requests; the server says when to come back"),
        ErrorClass::Server => {
            Some("the server has a fault of its own; the same request may succeed later")
        }
        ErrorClass::CredentialRejected => {
            Some("check the client id and the credential that is registered for it")
        }
        ErrorClass::InteractionRequired => {
            Some("a person, or a claims challenge, must be satisfied first")
        }
        _ => None,
    }
}

/// The digits of every `AADSTS…` in a text.
pub(super) fn aadsts_in(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split("AADSTS").skip(1).filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}
