//! What Entra ID's error numbers mean for somebody who has to fix something.
//!
//! Microsoft makes the numbers finer at any time (70021 became 700211, 700213 and 7002138), so they decide over hints
//! and over a few retries, never over security.

use crate::inspect::JwtSummary;

/// One error number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aadsts {
    pub(crate) code: u32,
    pub(crate) kind: Kind,
    pub(crate) hint: &'static str,
}

/// What an error number is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
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

/// The numbers that workload identities meet, and those of users on whose behalf one asks: of Microsoft's published list
/// (learn.microsoft.com/entra/identity-platform/reference-error-codes) all but those of sign-in pages, devices, SAML
/// and passwords; and what people report besides.
const TABLE: &[Aadsts] = &[
    row(70021, Kind::Federation, NO_CREDENTIAL),
    row(
        700211,
        Kind::Federation,
        "no federated credential of the app has this issuer",
    ),
    row(
        700212,
        Kind::Federation,
        "no federated credential of the app has this audience",
    ),
    row(
        700213,
        Kind::Federation,
        "no federated credential of the app has this subject",
    ),
    row(
        7002137,
        Kind::Federation,
        "the subject has the form of a federated managed identity path, which this app does not take",
    ),
    row(
        7002138,
        Kind::Federation,
        "the subject differs from the federated credential's in upper and lower case only",
    ),
    row(
        7002381,
        Kind::Federation,
        "the enterprise-claim policy of the GitHub issuer does not let this token in",
    ),
    row(
        700229,
        Kind::Federation,
        "a token of Entra ID as assertion must be an application's or managed identity's, not a user's",
    ),
    row(70023, Kind::Federation, ISSUER_NOT_TAKEN),
    row(700222, Kind::Federation, ISSUER_NOT_TAKEN),
    row(700226, Kind::Federation, ISSUER_NOT_TAKEN),
    row(700236, Kind::Federation, ISSUER_NOT_TAKEN),
    row(700238, Kind::Federation, ISSUER_NOT_TAKEN),
    row(
        700231,
        Kind::Federation,
        "the assertion was itself got with a federated credential, and those are not chained: use a managed identity of this machine",
    ),
    row(
        7000272,
        Kind::Federation,
        "the key that signed the assertion is not among those that the issuer publishes: look at its jwks_uri",
    ),
    row(
        90061,
        Kind::Federation,
        "Entra ID could not fetch the issuer's discovery document or keys: both must be public over https",
    ),
    row(
        700024,
        Kind::Credential,
        "the assertion is outside its validity: look at the clock, and whether the token file is still being rotated",
    ),
    row(
        700027,
        Kind::Credential,
        "the signing certificate is not registered with the app, or the signature does not fit it",
    ),
    row(7000214, Kind::Credential, REVOKED),
    row(7000277, Kind::Credential, REVOKED),
    row(50017, Kind::Credential, CHAIN),
    row(220501, Kind::Credential, CHAIN),
    row(
        50032,
        Kind::Credential,
        "the RSA key is too short: make one of 2048 bits at least",
    ),
    row(
        1000502,
        Kind::Credential,
        "the certificate is outside its validity: install and register a new one",
    ),
    row(7000274, Kind::Credential, SIGNATURE),
    row(50006, Kind::Credential, SIGNATURE),
    row(
        5002738,
        Kind::Credential,
        "Entra ID does not take the algorithm that the assertion is signed with: it takes RS256, and PS256 of a certificate",
    ),
    row(
        700030,
        Kind::Credential,
        "the certificate's subject and issuer are not among those that the app trusts: set send_x5c, and check its trusted names",
    ),
    row(
        50012,
        Kind::Credential,
        "the certificate was not accepted: check its registration and, for trust by subject name and issuer, send_x5c",
    ),
    row(
        50013,
        Kind::Credential,
        "the user assertion is not acceptable: its audience must be this app, and it must be in date",
    ),
    row(
        50027,
        Kind::Credential,
        "the assertion is not a well-formed JWT: look at what the token file holds",
    ),
    row(50048, Kind::Credential, SUBJECT),
    row(700021, Kind::Credential, SUBJECT),
    row(
        500181,
        Kind::Credential,
        "the TLS connection used another certificate than the assertion",
    ),
    row(
        51000,
        Kind::Credential,
        "client certificates on the connection are not enabled for this app or tenant",
    ),
    row(
        7000215,
        Kind::Credential,
        "the client secret is wrong: use the secret's value, not its ID",
    ),
    row(
        7000222,
        Kind::Credential,
        "the client secret has expired: make a new one",
    ),
    row(7000218, Kind::Credential, NO_CLIENT_CREDENTIAL),
    row(7000216, Kind::Credential, NO_CLIENT_CREDENTIAL),
    row(
        70002,
        Kind::Credential,
        "the credential is not one that is registered for this client_id",
    ),
    row(
        700025,
        Kind::Credential,
        "the app is registered as a public client, which may not send a credential",
    ),
    row(
        900384,
        Kind::Credential,
        "the signature of a JWT in the request is wrong",
    ),
    row(
        700016,
        Kind::Tenant,
        "there is no app of this client_id in this tenant: check client_id, tenant_id and that it was installed there",
    ),
    row(
        700011,
        Kind::Tenant,
        "there is no app of this client_id in this tenant: check client_id and tenant_id",
    ),
    row(
        7000229,
        Kind::Tenant,
        "the app has no service principal in this tenant: make it (az ad sp create --id CLIENT_ID), or have an administrator consent to the app there",
    ),
    row(
        65002,
        Kind::Tenant,
        "the client_id is that of an app of Microsoft's: register an app of your own",
    ),
    row(
        90002,
        Kind::Tenant,
        "there is no such tenant: check tenant_id, and authority_host for another cloud",
    ),
    row(
        90038,
        Kind::Tenant,
        "the tenant is in another cloud: set authority_host to that cloud's host",
    ),
    row(900382, Kind::Tenant, CLOUD),
    row(900432, Kind::Tenant, CLOUD),
    row(1000104, Kind::Tenant, CLOUD),
    row(90051, Kind::Tenant, CLOUD),
    row(
        900023,
        Kind::Tenant,
        "tenant_id is neither a GUID nor a domain of a tenant",
    ),
    row(9001023, Kind::Tenant, OWN_TENANT),
    row(90124, Kind::Tenant, OWN_TENANT),
    row(90130, Kind::Tenant, OWN_TENANT),
    row(9002332, Kind::Tenant, OWN_TENANT),
    row(50059, Kind::Tenant, NO_TENANT),
    row(50128, Kind::Tenant, NO_TENANT),
    row(90019, Kind::Tenant, NO_TENANT),
    row(
        50049,
        Kind::Tenant,
        "the authority is not known to Entra ID: check authority_host",
    ),
    row(
        50194,
        Kind::Tenant,
        "the app is single-tenant: set tenant_id to its own tenant",
    ),
    row(
        70001,
        Kind::Tenant,
        "the app is disabled: an administrator must enable it",
    ),
    row(
        7000112,
        Kind::Tenant,
        "the app is disabled in this tenant: an administrator must enable it",
    ),
    row(
        1000031,
        Kind::Tenant,
        "the app cannot be used at this time: ask an administrator of the tenant",
    ),
    row(
        500207,
        Kind::Tenant,
        "a tenant of this kind (External ID, B2C) issues no tokens for that resource",
    ),
    row(70011, Kind::Permission, ONE_DEFAULT_SCOPE),
    row(1002012, Kind::Permission, ONE_DEFAULT_SCOPE),
    row(700022, Kind::Permission, ONE_DEFAULT_SCOPE),
    row(
        700023,
        Kind::Permission,
        "the scope names no resource: write <resource>/.default",
    ),
    row(28002, Kind::Permission, ONE_DEFAULT_SCOPE),
    row(
        28003,
        Kind::Permission,
        "the scope is empty: write <resource>/.default",
    ),
    row(500011, Kind::Permission, NO_RESOURCE),
    row(50001, Kind::Permission, NO_RESOURCE),
    row(650052, Kind::Permission, NO_RESOURCE),
    row(650054, Kind::Permission, NO_RESOURCE),
    row(
        650057,
        Kind::Permission,
        "the app does not list this resource among its permissions: add it to the registration",
    ),
    row(650056, Kind::Permission, NOT_GRANTED),
    row(65005, Kind::Permission, NOT_GRANTED),
    row(50105, Kind::Permission, ASSIGNMENT),
    row(501051, Kind::Permission, ASSIGNMENT),
    row(90008, Kind::Permission, ITSELF),
    row(90009, Kind::Permission, ITSELF),
    row(50146, Kind::Permission, MAPPED_CLAIMS),
    row(
        501461,
        Kind::Permission,
        "acceptMappedClaims is for an audience that is the resource's client_id or in a domain of the tenant: change its identifier URI, or give it a signing key of its own",
    ),
    row(65001, Kind::Permission, CONSENT),
    row(90099, Kind::Permission, CONSENT),
    row(53003, Kind::Permission, CONDITIONAL_ACCESS),
    row(530032, Kind::Permission, CONDITIONAL_ACCESS),
    row(500021, Kind::Permission, TENANT_RESTRICTIONS),
    row(500022, Kind::Permission, TENANT_RESTRICTIONS),
    row(50002, Kind::Permission, TENANT_RESTRICTIONS),
    row(
        100007,
        Kind::Permission,
        "regional endpoints are closed to this app: use the cloud's global host",
    ),
    row(82001, Kind::Permission, NO_AGENT),
    row(82002, Kind::Permission, NO_AGENT),
    row(70003, Kind::Permission, "the app may not use this grant"),
    row(
        28000,
        Kind::Request,
        "ask for the scopes of one resource at a time",
    ),
    row(
        90014,
        Kind::Request,
        "a required field of the request is missing",
    ),
    row(
        900144,
        Kind::Request,
        "a required field of the request is missing: check the token endpoint's path",
    ),
    row(
        901002,
        Kind::Request,
        "the v2.0 endpoint takes scope, not resource: check endpoint_version",
    ),
    row(90004, Kind::Request, MALFORMED),
    row(90013, Kind::Request, MALFORMED),
    row(90016, Kind::Request, MALFORMED),
    row(90023, Kind::Request, MALFORMED),
    row(90056, Kind::Request, MALFORMED),
    row(90100, Kind::Request, MALFORMED),
    row(90102, Kind::Request, MALFORMED),
    row(90117, Kind::Request, MALFORMED),
    row(90121, Kind::Request, MALFORMED),
    row(900561, Kind::Request, MALFORMED),
    row(9002313, Kind::Request, UNREADABLE),
    row(50007, Kind::Request, SUPPORT),
    row(90036, Kind::Request, SUPPORT),
    row(90092, Kind::Request, SUPPORT),
    row(
        51005,
        Kind::Request,
        "the server wants the request elsewhere; it is not followed, because it would take the credential along: check authority_host",
    ),
    row(
        50196,
        Kind::Throttling,
        "the same request came again and again: keep the token instead of asking for each use",
    ),
    row(
        90055,
        Kind::Throttling,
        "too many requests: wait, and keep tokens for as long as they live",
    ),
    row(
        50003,
        Kind::Transient,
        "no signing key is set up for the app: if it lasts, look at the app's token signing certificate",
    ),
    row(50033, Kind::Transient, TRANSIENT),
    row(50000, Kind::Transient, TRANSIENT),
    row(90006, Kind::Transient, TRANSIENT),
    row(90012, Kind::Transient, TRANSIENT),
    row(90024, Kind::Transient, TRANSIENT),
    row(90033, Kind::Transient, TRANSIENT),
    row(90090, Kind::Transient, TRANSIENT),
    row(90091, Kind::Transient, TRANSIENT),
];

/// The same of requests for users, which only a build with their grants makes.
const OF_USERS: &[Aadsts] = if cfg!(feature = "every-credential") {
    &[
        row(
            50008,
            Kind::Credential,
            "the SAML assertion is not acceptable: look at its issuer, signature and validity",
        ),
        row(
            500131,
            Kind::Credential,
            "the user assertion is for another audience: it must be a token for this app",
        ),
        row(
            500133,
            Kind::Credential,
            "the user assertion has expired: sign the user in again",
        ),
        row(7000113, Kind::Permission, NO_USER),
        row(7000114, Kind::Permission, NO_USER),
        row(
            82008,
            Kind::Permission,
            "the app is a blueprint of agent identities: ask by the agent's grant, which names the agent",
        ),
        row(
            65004,
            Kind::Permission,
            "the user has declined to consent: ask again, or have an administrator grant the app its permissions",
        ),
        row(50014, Kind::Permission, USER_BLOCKED),
        row(50020, Kind::Permission, USER_BLOCKED),
        row(50034, Kind::Permission, USER_BLOCKED),
        row(50053, Kind::Permission, USER_BLOCKED),
        row(50057, Kind::Permission, USER_BLOCKED),
        row(51004, Kind::Permission, USER_BLOCKED),
        row(50076, Kind::Interaction, MULTI_FACTOR),
        row(50079, Kind::Interaction, ENROLMENT),
        row(50072, Kind::Interaction, ENROLMENT),
        row(50074, Kind::Interaction, MULTI_FACTOR),
        row(50078, Kind::Interaction, MULTI_FACTOR),
        row(53004, Kind::Interaction, ENROLMENT),
        row(50055, Kind::Interaction, SIGN_IN),
        row(50058, Kind::Interaction, SIGN_IN),
        row(50089, Kind::Interaction, SIGN_IN),
        row(50097, Kind::Interaction, SIGN_IN),
        row(50132, Kind::Interaction, SESSION_REVOKED),
        row(50133, Kind::Interaction, SESSION_REVOKED),
        row(50144, Kind::Interaction, SIGN_IN),
        row(50158, Kind::Interaction, SIGN_IN),
        row(50173, Kind::Interaction, SESSION_REVOKED),
        row(70000, Kind::Interaction, SIGN_IN),
        row(70008, Kind::Interaction, SESSION_ENDED),
        row(70043, Kind::Interaction, SESSION_ENDED),
        row(70044, Kind::Interaction, SIGN_IN),
        row(700020, Kind::Interaction, SIGN_IN),
        row(700082, Kind::Interaction, SESSION_ENDED),
        row(700084, Kind::Interaction, SESSION_ENDED),
        row(
            50011,
            Kind::Request,
            "register the redirect URI for the app, to the letter",
        ),
        row(
            500112,
            Kind::Request,
            "redeem the code with the redirect URI of the authorization request, to the letter",
        ),
        row(501481, Kind::Request, VERIFIER),
        row(50148, Kind::Request, VERIFIER),
        row(
            54005,
            Kind::Request,
            "a code is for one redemption: begin a new authorization request, or use the refresh token",
        ),
        row(
            240002,
            Kind::Request,
            "an ID token is not taken for a user: send the user's access token",
        ),
        row(90093, Kind::Permission, CONSENT),
        row(90094, Kind::Permission, CONSENT),
        row(90095, Kind::Permission, CONSENT),
        row(53000, Kind::Permission, CONDITIONAL_ACCESS),
        row(50005, Kind::Permission, CONDITIONAL_ACCESS),
        row(50131, Kind::Permission, CONDITIONAL_ACCESS),
        row(53001, Kind::Permission, CONDITIONAL_ACCESS),
        row(53002, Kind::Permission, CONDITIONAL_ACCESS),
        row(53011, Kind::Permission, CONDITIONAL_ACCESS),
        row(530034, Kind::Permission, CONDITIONAL_ACCESS),
        row(530035, Kind::Permission, CONDITIONAL_ACCESS),
        row(500212, Kind::Permission, CROSS_TENANT),
        row(500213, Kind::Permission, CROSS_TENANT),
        row(50086, Kind::Request, SUPPORT),
        row(50087, Kind::Transient, TRANSIENT),
        row(50166, Kind::Transient, TRANSIENT),
        row(501621, Kind::Transient, TRANSIENT),
    ]
} else {
    &[]
};

const NO_CREDENTIAL: &str =
    "no federated credential of the app fits the assertion's issuer, subject and audience";
const ONE_DEFAULT_SCOPE: &str = "the scope must be exactly one <resource>/.default";
const NO_RESOURCE: &str = "there is no such resource in this tenant: check the scope's spelling, and that the API is installed there";
const CONDITIONAL_ACCESS: &str =
    "a Conditional Access policy blocks the app: an administrator must let it in";
const ISSUER_NOT_TAKEN: &str = "tokens of this issuer are not taken as assertions here: of its own, Entra ID takes those of managed identities of the same tenant and cloud";
const REVOKED: &str = "the certificate was revoked: install and register a new one";
const CHAIN: &str =
    "the certificate's chain is not trusted by the tenant, or its revocation list cannot be had";
const SIGNATURE: &str =
    "the assertion's signature is wrong: certificate and private key may not belong together";
const SUBJECT: &str = "subject and issuer of the assertion must both be the app's client_id";
const NO_CLIENT_CREDENTIAL: &str =
    "the request had no client credential, and this app must have one";
const CLOUD: &str =
    "tenant and app are in different clouds: set authority_host to the tenant's cloud";
const OWN_TENANT: &str =
    "this grant needs the app's own tenant: set tenant_id to its GUID or domain instead of common";
const NO_TENANT: &str = "the request names no tenant: set tenant_id";
const NOT_GRANTED: &str =
    "the app lists no permission for this resource, or an administrator has not consented to it";
const ASSIGNMENT: &str = "the resource demands assignment: give the app (or the user) a role of the resource's enterprise application";
const ITSELF: &str = "the app asks for a token for itself: write <client_id>/.default as the scope, and have an administrator consent";
const MAPPED_CLAIMS: &str = "the resource maps claims and has no signing key of its own: give it one, or set acceptMappedClaims in its manifest";
const CONSENT: &str = "consent is missing: an administrator must grant the app its permissions";
const TENANT_RESTRICTIONS: &str = "tenant restrictions of the network do not allow this tenant";
const CROSS_TENANT: &str =
    "cross-tenant access settings of one of the two tenants do not allow this";
const NO_AGENT: &str =
    "an agent's app gets no tokens with client credentials: use an app of another kind";
const USER_BLOCKED: &str = "the user is disabled, locked out or not of this tenant: an administrator must look at the account";
const MULTI_FACTOR: &str = "the user must pass multi-factor authentication: hand the claims to the client that signed the user in";
pub(crate) const SIGN_IN: &str =
    "the user must sign in again: hand this to the client that signed the user in";
const SESSION_REVOKED: &str =
    "the user's sign-in was revoked, with a new password for example: the user must sign in again";
const SESSION_ENDED: &str = "the code or refresh token has ended: the user must sign in again";
const ENROLMENT: &str = "the user must register for multi-factor authentication first";
const NO_USER: &str =
    "on-behalf-of needs a user's token; for an application's own token use client credentials";
const VERIFIER: &str = "the code verifier is none of this code's: keep it with the session in which the authorization request was made";
const MALFORMED: &str =
    "Entra ID cannot read the request: check the token endpoint's path, client_id and scope";
/// Where there are users, what stands for them may be the reason.
const UNREADABLE: &str = match cfg!(feature = "every-credential") {
    true => {
        "Entra ID cannot read the request: what was given as a code or refresh token may be none; check the token endpoint's path, client_id and scope"
    }
    false => MALFORMED,
};
const SUPPORT: &str =
    "a fault of Entra ID that does not pass: ask Microsoft's support, with the correlation id";
const TRANSIENT: &str = "a passing fault of Entra ID: try again";

const fn row(code: u32, kind: Kind, hint: &'static str) -> Aadsts {
    Aadsts { code, kind, hint }
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
    is(code, Kind::Transient)
}

/// Whether the server asks for fewer requests.
pub(crate) fn is_throttling(code: u32) -> bool {
    is(code, Kind::Throttling)
}

/// Whether the app's federated credentials do not fit the assertion.
pub(crate) fn federation(code: u32) -> bool {
    is(code, Kind::Federation)
}

/// Whether the credential itself is bad.
pub(crate) fn credential(code: u32) -> bool {
    is(code, Kind::Credential)
}

/// Whether a person has to do something first.
pub(crate) fn interaction(code: u32) -> bool {
    is(code, Kind::Interaction)
}

fn is(code: u32, kind: Kind) -> bool {
    lookup(code).is_some_and(|row| row.kind == kind)
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
            let kind = format!("{:?}", row.kind).to_lowercase();
            let hint = row.hint.replace('<', r"\<").replace('>', r"\>");
            let line = format!("| {} | {kind} | {hint} |", row.code);
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
