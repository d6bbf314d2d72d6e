//! The numbers, and what to do about each.

use super::{Aadsts, Topic};

/// The numbers that workload identities meet, and those of users on whose behalf one asks: of Microsoft's published list
/// (learn.microsoft.com/entra/identity-platform/reference-error-codes) all but those of sign-in pages, devices, SAML
/// and passwords; and what people report besides.
pub(super) const TABLE: &[Aadsts] = &[
    row(70021, Topic::Federation, NO_CREDENTIAL),
    row(
        700211,
        Topic::Federation,
        "no federated credential of the app has this issuer",
    ),
    row(
        700212,
        Topic::Federation,
        "no federated credential of the app has this audience",
    ),
    row(700213, Topic::Federation, NO_SUBJECT),
    row(
        7002137,
        Topic::Federation,
        shorter(
            "the subject has the form of a federated managed identity path, which this app does not take",
            NO_SUBJECT,
        ),
    ),
    row(
        7002138,
        Topic::Federation,
        "the subject differs from the federated credential's in upper and lower case only",
    ),
    row(
        7002381,
        Topic::Federation,
        "the enterprise-claim policy of the GitHub issuer does not let this token in",
    ),
    row(
        700229,
        Topic::Federation,
        shorter(
            "a token of Entra ID as assertion must be an application's or managed identity's, not a user's",
            ISSUER_NOT_TAKEN,
        ),
    ),
    row(70023, Topic::Federation, ISSUER_NOT_TAKEN),
    row(700222, Topic::Federation, ISSUER_NOT_TAKEN),
    row(700226, Topic::Federation, ISSUER_NOT_TAKEN),
    row(700236, Topic::Federation, ISSUER_NOT_TAKEN),
    row(700238, Topic::Federation, ISSUER_NOT_TAKEN),
    row(
        700231,
        Topic::Federation,
        "the assertion was itself got with a federated credential, and those are not chained: use a managed identity of this machine",
    ),
    row(
        7000272,
        Topic::Federation,
        "the key that signed the assertion is not among those that the issuer publishes: look at its jwks_uri",
    ),
    row(
        90061,
        Topic::Federation,
        "Entra ID could not fetch the issuer's discovery document or keys: both must be public over https",
    ),
    row(
        700024,
        Topic::Credential,
        "the assertion is outside its validity: look at the clock, and whether the token file is still being rotated",
    ),
    row(
        700027,
        Topic::Credential,
        "the signing certificate is not registered with the app, or the signature does not fit it",
    ),
    row(7000214, Topic::Credential, REVOKED),
    row(7000277, Topic::Credential, REVOKED),
    row(50017, Topic::Credential, CHAIN),
    row(220501, Topic::Credential, CHAIN),
    row(
        50032,
        Topic::Credential,
        "the RSA key is too short: make one of 2048 bits at least",
    ),
    row(
        1000502,
        Topic::Credential,
        "the certificate is outside its validity: install and register a new one",
    ),
    row(7000274, Topic::Credential, SIGNATURE),
    row(50006, Topic::Credential, SIGNATURE),
    row(
        5002738,
        Topic::Credential,
        "Entra ID does not take the algorithm that the assertion is signed with: it takes RS256, and PS256 of a certificate",
    ),
    row(
        700030,
        Topic::Credential,
        "the certificate's subject and issuer are not among those that the app trusts: set send_x5c, and check its trusted names",
    ),
    row(
        50012,
        Topic::Credential,
        "the certificate was not accepted: check its registration and, for trust by subject name and issuer, send_x5c",
    ),
    row(
        50013,
        Topic::Credential,
        "the user assertion is not acceptable: its audience must be this app, and it must be in date",
    ),
    row(
        50027,
        Topic::Credential,
        "the assertion is not a well-formed JWT: look at what holds it",
    ),
    row(50048, Topic::Credential, SUBJECT),
    row(700021, Topic::Credential, SUBJECT),
    row(
        500181,
        Topic::Credential,
        "the TLS connection used another certificate than the assertion",
    ),
    row(
        51000,
        Topic::Credential,
        "client certificates on the connection are not enabled for this app or tenant",
    ),
    row(
        7000215,
        Topic::Credential,
        "the client secret is wrong: use the secret's value, not its ID",
    ),
    row(
        7000222,
        Topic::Credential,
        "the client secret has expired: make a new one",
    ),
    row(7000218, Topic::Credential, NO_CLIENT_CREDENTIAL),
    row(7000216, Topic::Credential, NO_CLIENT_CREDENTIAL),
    row(
        70002,
        Topic::Credential,
        "the credential is not one that is registered for this client_id",
    ),
    row(
        700025,
        Topic::Credential,
        "the app is registered as a public client, which may not send a credential",
    ),
    row(
        900384,
        Topic::Credential,
        "the signature of a JWT in the request is wrong",
    ),
    row(700016, Topic::Tenant, NO_APP),
    row(
        700011,
        Topic::Tenant,
        shorter(
            "there is no app of this client_id in this tenant: check client_id and tenant_id",
            NO_APP,
        ),
    ),
    row(
        7000229,
        Topic::Tenant,
        "the app has no service principal in this tenant: make it (az ad sp create --id CLIENT_ID), or have an administrator consent to the app there",
    ),
    row(
        65002,
        Topic::Tenant,
        "the client_id is that of an app of Microsoft's: register an app of your own",
    ),
    row(
        90002,
        Topic::Tenant,
        "there is no such tenant: check tenant_id, and authority_host for another cloud",
    ),
    row(
        90038,
        Topic::Tenant,
        "the tenant is in another cloud: set authority_host to that cloud's host",
    ),
    row(900382, Topic::Tenant, CLOUD),
    row(900432, Topic::Tenant, CLOUD),
    row(1000104, Topic::Tenant, CLOUD),
    row(90051, Topic::Tenant, CLOUD),
    row(
        900023,
        Topic::Tenant,
        "tenant_id is neither a GUID nor a domain of a tenant",
    ),
    row(9001023, Topic::Tenant, OWN_TENANT),
    row(90124, Topic::Tenant, OWN_TENANT),
    row(90130, Topic::Tenant, OWN_TENANT),
    row(9002332, Topic::Tenant, OWN_TENANT),
    row(50059, Topic::Tenant, NO_TENANT),
    row(50128, Topic::Tenant, NO_TENANT),
    row(90019, Topic::Tenant, NO_TENANT),
    row(
        50049,
        Topic::Tenant,
        "the authority is not known to Entra ID: check authority_host",
    ),
    row(
        50194,
        Topic::Tenant,
        "the app is single-tenant: set tenant_id to its own tenant",
    ),
    row(70001, Topic::Tenant, DISABLED),
    row(
        7000112,
        Topic::Tenant,
        shorter(
            "the app is disabled in this tenant: an administrator must enable it",
            DISABLED,
        ),
    ),
    row(
        1000031,
        Topic::Tenant,
        "the app cannot be used at this time: ask an administrator of the tenant",
    ),
    row(
        500207,
        Topic::Tenant,
        "a tenant of this kind (External ID, B2C) issues no tokens for that resource",
    ),
    row(70011, Topic::Permission, ONE_DEFAULT_SCOPE),
    row(1002012, Topic::Permission, ONE_DEFAULT_SCOPE),
    row(700022, Topic::Permission, ONE_DEFAULT_SCOPE),
    row(
        700023,
        Topic::Permission,
        "the scope names no resource: write <resource>/.default",
    ),
    row(28002, Topic::Permission, ONE_DEFAULT_SCOPE),
    row(
        28003,
        Topic::Permission,
        "the scope is empty: write <resource>/.default",
    ),
    row(500011, Topic::Permission, NO_RESOURCE),
    row(50001, Topic::Permission, NO_RESOURCE),
    row(650052, Topic::Permission, NO_RESOURCE),
    row(650054, Topic::Permission, NO_RESOURCE),
    row(
        650057,
        Topic::Permission,
        "the app does not list this resource among its permissions: add it to the registration",
    ),
    row(650056, Topic::Permission, NOT_GRANTED),
    row(65005, Topic::Permission, NOT_GRANTED),
    row(50105, Topic::Permission, ASSIGNMENT),
    row(501051, Topic::Permission, ASSIGNMENT),
    row(90008, Topic::Permission, ITSELF),
    row(90009, Topic::Permission, ITSELF),
    row(50146, Topic::Permission, MAPPED_CLAIMS),
    row(
        501461,
        Topic::Permission,
        shorter(
            "acceptMappedClaims is for an audience that is the resource's client_id or in a domain of the tenant: change its identifier URI, or give it a signing key of its own",
            MAPPED_CLAIMS,
        ),
    ),
    row(65001, Topic::Permission, CONSENT),
    row(90099, Topic::Permission, CONSENT),
    row(53003, Topic::Permission, CONDITIONAL_ACCESS),
    row(530032, Topic::Permission, CONDITIONAL_ACCESS),
    row(500021, Topic::Permission, TENANT_RESTRICTIONS),
    row(500022, Topic::Permission, TENANT_RESTRICTIONS),
    row(50002, Topic::Permission, TENANT_RESTRICTIONS),
    row(
        100007,
        Topic::Permission,
        "regional endpoints are closed to this app: use the cloud's global host",
    ),
    row(82001, Topic::Permission, NO_AGENT),
    row(82002, Topic::Permission, NO_AGENT),
    row(70003, Topic::Permission, NO_GRANT),
    row(
        28000,
        Topic::Request,
        "ask for the scopes of one resource at a time",
    ),
    row(
        90014,
        Topic::Request,
        shorter("a required field of the request is missing", NO_FIELD),
    ),
    row(900144, Topic::Request, NO_FIELD),
    row(
        901002,
        Topic::Request,
        "the v2.0 endpoint takes scope, not resource: check endpoint_version",
    ),
    row(90004, Topic::Request, MALFORMED),
    row(90013, Topic::Request, MALFORMED),
    row(90016, Topic::Request, MALFORMED),
    row(90023, Topic::Request, MALFORMED),
    row(90056, Topic::Request, MALFORMED),
    row(90100, Topic::Request, MALFORMED),
    row(90102, Topic::Request, MALFORMED),
    row(90117, Topic::Request, MALFORMED),
    row(90121, Topic::Request, MALFORMED),
    row(900561, Topic::Request, MALFORMED),
    row(9002313, Topic::Request, UNREADABLE),
    row(50007, Topic::Request, SUPPORT),
    row(90036, Topic::Request, SUPPORT),
    row(90092, Topic::Request, SUPPORT),
    row(
        51005,
        Topic::Request,
        "the server wants the request elsewhere; it is not followed, because it would take the credential along: check authority_host",
    ),
    row(
        50196,
        Topic::Throttling,
        "the same request came again and again: keep the token instead of asking for each use",
    ),
    row(
        90055,
        Topic::Throttling,
        "too many requests: wait, and keep tokens for as long as they live",
    ),
    row(
        50003,
        Topic::Transient,
        shorter(
            "no signing key is set up for the app: if it lasts, look at the app's token signing certificate",
            TRANSIENT,
        ),
    ),
    row(50033, Topic::Transient, TRANSIENT),
    row(50000, Topic::Transient, TRANSIENT),
    row(90006, Topic::Transient, TRANSIENT),
    row(90012, Topic::Transient, TRANSIENT),
    row(90024, Topic::Transient, TRANSIENT),
    row(90033, Topic::Transient, TRANSIENT),
    row(90090, Topic::Transient, TRANSIENT),
    row(90091, Topic::Transient, TRANSIENT),
];

/// The same of requests for users, which only a build with their grants makes.
pub(super) const OF_USERS: &[Aadsts] = if cfg!(feature = "every-credential") {
    &[
        row(
            50008,
            Topic::Credential,
            "the SAML assertion is not acceptable: look at its issuer, signature and validity",
        ),
        row(
            500131,
            Topic::Credential,
            "the user assertion is for another audience: it must be a token for this app",
        ),
        row(
            500133,
            Topic::Credential,
            "the user assertion has expired: sign the user in again",
        ),
        row(7000113, Topic::Permission, NO_USER),
        row(7000114, Topic::Permission, NO_USER),
        row(
            82008,
            Topic::Permission,
            "the app is a blueprint of agent identities: ask by the agent's grant, which names the agent",
        ),
        row(
            65004,
            Topic::Permission,
            "the user has declined to consent: ask again, or have an administrator grant the app its permissions",
        ),
        row(50014, Topic::Permission, USER_BLOCKED),
        row(50020, Topic::Permission, USER_BLOCKED),
        row(50034, Topic::Permission, USER_BLOCKED),
        row(50053, Topic::Permission, USER_BLOCKED),
        row(50057, Topic::Permission, USER_BLOCKED),
        row(51004, Topic::Permission, USER_BLOCKED),
        row(50076, Topic::Interaction, MULTI_FACTOR),
        row(50079, Topic::Interaction, ENROLMENT),
        row(50072, Topic::Interaction, ENROLMENT),
        row(50074, Topic::Interaction, MULTI_FACTOR),
        row(50078, Topic::Interaction, MULTI_FACTOR),
        row(53004, Topic::Interaction, ENROLMENT),
        row(50055, Topic::Interaction, SIGN_IN),
        row(50058, Topic::Interaction, SIGN_IN),
        row(50089, Topic::Interaction, SIGN_IN),
        row(50097, Topic::Interaction, SIGN_IN),
        row(50132, Topic::Interaction, SESSION_REVOKED),
        row(50133, Topic::Interaction, SESSION_REVOKED),
        row(50144, Topic::Interaction, SIGN_IN),
        row(50158, Topic::Interaction, SIGN_IN),
        row(50173, Topic::Interaction, SESSION_REVOKED),
        row(70000, Topic::Interaction, SIGN_IN),
        row(70008, Topic::Interaction, SESSION_ENDED),
        row(70043, Topic::Interaction, SESSION_ENDED),
        row(70044, Topic::Interaction, SIGN_IN),
        row(700020, Topic::Interaction, SIGN_IN),
        row(700082, Topic::Interaction, SESSION_ENDED),
        row(700084, Topic::Interaction, SESSION_ENDED),
        row(
            50011,
            Topic::Request,
            "register the redirect URI for the app, to the letter",
        ),
        row(
            500112,
            Topic::Request,
            "redeem the code with the redirect URI of the authorization request, to the letter",
        ),
        row(501481, Topic::Request, VERIFIER),
        row(50148, Topic::Request, VERIFIER),
        row(
            54005,
            Topic::Request,
            "a code is for one redemption: begin a new authorization request, or use the refresh token",
        ),
        row(
            240002,
            Topic::Request,
            "an ID token is not taken for a user: send the user's access token",
        ),
        row(90093, Topic::Permission, CONSENT),
        row(90094, Topic::Permission, CONSENT),
        row(90095, Topic::Permission, CONSENT),
        row(53000, Topic::Permission, CONDITIONAL_ACCESS),
        row(50005, Topic::Permission, CONDITIONAL_ACCESS),
        row(50131, Topic::Permission, CONDITIONAL_ACCESS),
        row(53001, Topic::Permission, CONDITIONAL_ACCESS),
        row(53002, Topic::Permission, CONDITIONAL_ACCESS),
        row(53011, Topic::Permission, CONDITIONAL_ACCESS),
        row(530034, Topic::Permission, CONDITIONAL_ACCESS),
        row(530035, Topic::Permission, CONDITIONAL_ACCESS),
        row(500212, Topic::Permission, CROSS_TENANT),
        row(500213, Topic::Permission, CROSS_TENANT),
        row(50086, Topic::Request, SUPPORT),
        row(50087, Topic::Transient, TRANSIENT),
        row(50166, Topic::Transient, TRANSIENT),
        row(501621, Topic::Transient, TRANSIENT),
    ]
} else {
    &[]
};

pub(super) const NO_CREDENTIAL: &str =
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
const NO_AGENT: &str = shorter(
    "an agent's app gets no tokens with client credentials: use an app of another kind",
    NO_GRANT,
);
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

const NO_SUBJECT: &str = "no federated credential of the app has this subject";
const NO_APP: &str = "there is no app of this client_id in this tenant: check client_id, tenant_id and that it was installed there";
const NO_FIELD: &str =
    "a required field of the request is missing: check the token endpoint's path";
const DISABLED: &str = "the app is disabled: an administrator must enable it";
const NO_GRANT: &str = "the app may not use this grant";

/// The second in the default Envoy filter, which has no room for all of what is rarely met.
const fn shorter(hint: &'static str, in_the_default_filter: &'static str) -> &'static str {
    match cfg!(feature = "every-credential") {
        true => hint,
        false => in_the_default_filter,
    }
}

const fn row(code: u32, topic: Topic, hint: &'static str) -> Aadsts {
    Aadsts { code, topic, hint }
}
