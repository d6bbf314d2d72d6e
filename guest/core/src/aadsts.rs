//! What Entra ID's error numbers mean for somebody who has to fix something.
//!
//! Microsoft makes the numbers finer at any time (70021 became 700211, 700213 and 7002138), so they decide over hints
//! and over a few retries, never over security.

mod table;

use crate::inspect::JwtSummary;

#[cfg(feature = "every-credential")]
pub(crate) use table::SIGN_IN;
use table::{NO_CREDENTIAL, OF_USERS, TABLE};

/// One error number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aadsts {
    pub(crate) code: u32,
    pub(crate) topic: Topic,
    pub(crate) hint: &'static str,
}

/// What an error number is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Topic {
    /// The app's federated credentials do not fit the assertion.
    Federation,
    /// The credential itself is bad.
    Credential,
    /// Tenant, cloud or app registration.
    Tenant,
    /// Scopes, consent, policies.
    Permission,
    /// A person has to do something first.
    Interaction,
    /// The request was malformed.
    Request,
    /// Too many requests.
    Throttling,
    /// The server's own trouble.
    Transient,
}

/// What is known of that number.
pub(crate) fn lookup(code: u32) -> Option<&'static Aadsts> {
    TABLE.iter().chain(OF_USERS).find(|row| row.code == code)
}

/// What to do about it.
pub(crate) fn hint(code: u32) -> Option<&'static str> {
    lookup(code).map(|row| row.hint)
}

/// Whether a federated credential that was made just now explains it. The same numbers also come now and then for
/// one made long ago; either way the same assertion succeeds a little later.
pub(crate) fn is_propagation(code: u32) -> bool {
    matches!(code, 70021 | 700211 | 700212 | 700213)
}

/// Whether the assertion of a user is at fault, where one was presented. What is said of any JWT is about the client's own
/// where the server says `invalid_client` (RFC 7521 sections 4.1.1 and 4.2.1).
pub(crate) fn of_subject(code: u32, oauth_error: &str) -> bool {
    match code {
        50013 | 500131 | 500133 => true,
        50006 | 50008 | 50027 | 900384 => oauth_error != "invalid_client",
        _ => false,
    }
}

/// Whether the credential may have been rotated since it was read, so that reading it again may cure it.
pub(crate) fn reload_credential_once(code: u32) -> bool {
    matches!(
        code,
        700024
            | 700027
            | 7000214
            | 7000215
            | 7000222
            | 1000502
            | 7000272
            | 7000274
            | 7000277
            | 500181
    )
}

/// Whether a refresh token is good no more, whatever it is for: it has ended or was revoked, or its user is gone.
#[cfg(feature = "every-credential")]
pub(crate) fn ends_session(code: u32) -> bool {
    matches!(
        code,
        50014
            | 50034
            | 50057
            | 50089
            | 50132
            | 50133
            | 50173
            | 70000
            | 70008
            | 70043
            | 70044
            | 700082
            | 700084
    )
}

/// Whether the server's own trouble explains it.
pub(crate) fn is_transient(code: u32) -> bool {
    is(code, Topic::Transient)
}

/// Whether the server asks for fewer requests.
pub(crate) fn is_throttling(code: u32) -> bool {
    is(code, Topic::Throttling)
}

/// Whether the app's federated credentials do not fit the assertion.
pub(crate) fn federation(code: u32) -> bool {
    is(code, Topic::Federation)
}

/// Whether the credential itself is bad.
pub(crate) fn credential(code: u32) -> bool {
    is(code, Topic::Credential)
}

/// Whether a person has to do something first.
pub(crate) fn interaction(code: u32) -> bool {
    is(code, Topic::Interaction)
}

fn is(code: u32, topic: Topic) -> bool {
    lookup(code).is_some_and(|row| row.topic == topic)
}

/// What to compare, with what the assertion says of itself; never the assertion.
pub(crate) fn federation_hint(presented: &JwtSummary, code: u32) -> String {
    let cause = hint(code).unwrap_or(NO_CREDENTIAL);
    let mut out = format!(
        "{cause}; the assertion presents issuer {}, subject {}, audience {}",
        quoted(presented.iss.as_deref()),
        quoted(presented.sub.as_deref()),
        if presented.aud.is_empty() {
            quoted(None)
        } else {
            presented
                .aud
                .iter()
                .map(|aud| quoted(Some(aud)))
                .collect::<Vec<_>>()
                .join(" and ")
        },
    );
    if let Some(advice) = advice(presented, code) {
        out.push_str("; ");
        out.push_str(&advice);
    }
    if is_propagation(code) {
        out.push_str("; all three must match exactly, and a new federated credential takes some minutes to work");
    }
    out
}

fn advice(presented: &JwtSummary, code: u32) -> Option<String> {
    match code {
        700211 => Some(match presented.iss.as_deref() {
            Some(iss) if iss.ends_with('/') => {
                "this issuer ends with a slash, and the federated credential's must too".to_owned()
            }
            _ => "this issuer ends without a slash, and the federated credential's must too".to_owned(),
        }),
        700212 if presented.aud.iter().any(|aud| aud.contains("kubernetes.default.svc")) => Some(
            "this is the pod's own service-account token: project one with the audience api://AzureADTokenExchange and \
             name its file in federated_token_file.path"
                .to_owned(),
        ),
        700212 => Some(
            "the usual audience is api://AzureADTokenExchange (with USGov or China at its end in those clouds)".to_owned(),
        ),
        700213 => Some("look at namespace and service account, or at repository, branch and environment".to_owned()),
        7002138 => Some("subjects are compared letter by letter, so write the federated credential's exactly so".to_owned()),
        _ => None,
    }
}

fn quoted(text: Option<&str>) -> String {
    text.map_or_else(|| "(none)".to_owned(), |text| format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn presented(iss: &str, aud: &[&str]) -> JwtSummary {
        JwtSummary {
            iss: Some(iss.into()),
            sub: Some("system:serviceaccount:ns:App".into()),
            aud: aud.iter().map(ToString::to_string).collect(),
            ..JwtSummary::default()
        }
    }

    #[test]
    fn every_number_once_and_every_hint_is_one_line() {
        let rows = || TABLE.iter().chain(OF_USERS);
        let codes: BTreeSet<u32> = rows().map(|row| row.code).collect();
        assert_eq!(codes.len(), rows().count());
        for row in rows() {
            assert!(
                row.hint.len() > 20 && !row.hint.contains('\n') && !row.hint.ends_with('.'),
                "{row:?}"
            );
        }
    }

    /// What Microsoft's list says of numbers that are near each other.
    #[test]
    fn neighbours_are_told_apart() {
        for (code, says) in [
            (7_000_113, "needs a user's token"),
            (7_000_114, "needs a user's token"),
            (50079, "must register"),
            (50072, "must register"),
            (53004, "must register"),
            (50074, "must pass"),
            (50076, "must pass"),
            (50078, "must pass"),
            (50146, "no signing key of its own"),
            (501_461, "acceptMappedClaims is for"),
            (65001, "consent is missing"),
            (65004, "has declined"),
            (9_002_313, "code or refresh token may be none"),
            (90023, "check the token endpoint's path"),
            (700_211, "issuer"),
            (700_212, "audience"),
            (700_213, "subject"),
        ] {
            let hint = hint(code).unwrap();
            assert!(hint.contains(says), "{code}: {hint}");
        }
    }

    #[test]
    fn the_numbers_that_decide_something() {
        for code in [70021, 700_211, 700_212, 700_213] {
            assert!(
                is_propagation(code) && federation(code) && !reload_credential_once(code),
                "{code}"
            );
        }
        for code in [
            7_002_137, 7_002_138, 7_002_381, 70023, 700_222, 700_229, 700_236, 7_000_272, 90061,
        ] {
            assert!(
                !is_propagation(code) && federation(code),
                "{code} does not go away by itself"
            );
        }
        assert!(
            reload_credential_once(7_000_272),
            "the issuer has newer tokens"
        );
        for code in [50076, 50_173, 700_082] {
            assert!(interaction(code) && !credential(code), "{code}");
        }
        for code in [50105, 501_051, 7_000_229, 65001] {
            assert!(
                hint(code).is_some() && !credential(code) && !is_transient(code),
                "{code}"
            );
        }
        for code in [
            700_024, 700_027, 7_000_214, 7_000_215, 7_000_222, 1_000_502, 7_000_274, 7_000_277,
            500_181,
        ] {
            assert!(reload_credential_once(code) && credential(code), "{code}");
        }
        for code in [700_016, 50027] {
            assert!(
                !reload_credential_once(code),
                "{code}: reading the credential again does not help"
            );
        }
        assert!(is_transient(90033) && is_transient(50033) && !is_transient(90055));
        assert!(is_throttling(90055) && is_throttling(50196) && !is_throttling(90033));
        assert!(hint(1).is_none() && !federation(1) && !credential(1) && !is_transient(1));
    }

    #[test]
    fn a_federation_hint_shows_what_was_presented() {
        let hint = federation_hint(
            &presented(
                "https://issuer.example/",
                &["api://AzureADTokenExchange", "b"],
            ),
            70021,
        );
        assert!(hint.starts_with(NO_CREDENTIAL), "{hint}");
        assert!(
            hint.contains(
                r#"issuer "https://issuer.example/", subject "system:serviceaccount:ns:App", audience "api://AzureADTokenExchange" and "b""#
            ),
            "{hint}"
        );
        assert!(hint.contains("takes some minutes"), "{hint}");
        let empty = federation_hint(&JwtSummary::default(), 700_213);
        assert!(
            empty.contains("issuer (none), subject (none), audience (none)"),
            "{empty}"
        );
    }

    #[test]
    fn the_troubleshooting_page_has_the_same_table() {
        let page = include_str!("../../../TROUBLESHOOTING.md");
        for row in TABLE.iter().chain(OF_USERS) {
            let topic = format!("{:?}", row.topic).to_lowercase();
            let hint = row.hint.replace('<', r"\<").replace('>', r"\>");
            let line = format!("| {} | {topic} | {hint} |", row.code);
            assert!(page.contains(&line), "TROUBLESHOOTING.md lacks: {line}");
        }
    }

    #[test]
    fn a_federation_hint_points_at_the_likely_cause() {
        let with = |iss: &str, aud: &str, code| federation_hint(&presented(iss, &[aud]), code);
        assert!(with("https://issuer.example/", "a", 700_211).contains("ends with a slash"));
        assert!(with("https://issuer.example", "a", 700_211).contains("ends without a slash"));
        assert!(
            with("i", "other", 700_212).contains("usual audience is api://AzureADTokenExchange")
        );
        assert!(
            with("i", "https://kubernetes.default.svc.cluster.local", 700_212)
                .contains("service-account token: project one")
        );
        assert!(with("i", "a", 700_213).contains("service account"));
        let case = with("i", "a", 7_002_138);
        assert!(
            case.contains("upper and lower case") && !case.contains("minutes"),
            "{case}"
        );
    }
}
