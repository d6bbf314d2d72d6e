//! Client authentication: who asks, and how that was proved.

mod assertion;
mod certificate;
mod federated;
mod secret;

pub(crate) use assertion::ALLOWED_SKEW;

use crate::errors::Refusal;
use crate::lock;
use crate::registry::{App, ManagedIdentity};
use crate::request::TokenCall;

/// An assertion that is a bearer: whoever holds it may use it.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion bound to the certificate of the connection it comes on.
const JWT_POP: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-pop";

/// A client whose identity is proved.
pub(crate) struct Client {
    pub(crate) app: App,
    /// The connection's certificate, where the proof rests on it.
    pub(crate) bound_to: Option<String>,
    /// Of a managed identity: its service principal.
    pub(crate) object_id: Option<String>,
}

/// Decides who asks.
pub(crate) fn authenticate(ask: &mut TokenCall<'_>) -> Result<Client, Refusal> {
    let presented = secret::presented(ask)?;
    let client_id = match presented
        .as_ref()
        .and_then(|secret| secret.client_id.clone())
    {
        Some(client_id) => client_id,
        None => ask.form.require("client_id")?.to_owned(),
    };
    if let Some(client) = managed_identity(ask, &client_id)? {
        return Ok(client);
    }
    let app = find_app(ask, &client_id)?;
    let assertion = ask.form.get("client_assertion").map(ToOwned::to_owned);

    if app.public && (presented.is_some() || assertion.is_some()) {
        return Err(Refusal::plain(700_025));
    }
    if presented.is_some() && assertion.is_some() {
        return Err(Refusal::new(
            9_002_313,
            "Invalid request. Request is malformed or invalid: it presents a client assertion and a client secret; only one may be used.",
        ));
    }
    if ask.call.mtls {
        return over_mtls(ask, app, presented.is_some(), assertion.as_deref());
    }
    match (presented, assertion) {
        (Some(secret), _) => {
            ask.found.method_of_proof = Some(if secret.basic { "basic" } else { "secret" });
            secret::verify(&app, &secret.value, ask.call.now)?;
        }
        (None, Some(assertion)) => {
            if assertion_type(ask)? == JWT_POP {
                // Nothing to be bound to: the connection has no certificate.
                return Err(Refusal::plain(392_200));
            }
            let proof = assertion::verify(ask, &app, &assertion)?;
            if proof.binding().is_some() {
                // It counts on a connection with its certificate alone.
                return Err(Refusal::plain(392_200));
            }
            ask.found.method_of_proof = Some(proof.name());
        }
        (None, None) => return Err(Refusal::plain(7_000_218)),
    }
    Ok(Client {
        app,
        bound_to: None,
        object_id: None,
    })
}

/// The rules of the endpoint that demands a certificate: it is the client's,
/// and an assertion in the body is about the same certificate.
fn over_mtls(
    ask: &mut TokenCall<'_>,
    app: App,
    secret: bool,
    assertion: Option<&str>,
) -> Result<Client, Refusal> {
    let Some(tls) = ask.call.certificate.clone() else {
        return Err(Refusal::plain(392_200));
    };
    if !app.mtls_enabled {
        return Err(Refusal::plain(51_000));
    }
    if secret {
        return Err(Refusal::new(
            9_002_313,
            "Invalid request. Request is malformed or invalid: a client secret is not taken on this endpoint.",
        ));
    }
    if ask.call.now > tls.not_after {
        return Err(Refusal::plain(392_204));
    }
    let bound_by_assertion = assertion.is_some() && assertion_type(ask)? == JWT_POP;
    if !bound_by_assertion {
        certificate::require_registered(&app, &tls)?;
    }
    match assertion {
        None => ask.found.method_of_proof = Some("tls-certificate"),
        Some(assertion) => {
            let proof = assertion::verify(ask, &app, assertion)?;
            if proof.certificate() != Some(tls.sha256.as_str()) {
                return Err(Refusal::plain(500_181));
            }
            // What an application signs itself is a bearer's; what an outside
            // issuer has bound says so.
            if proof.binding().is_some() != bound_by_assertion {
                return Err(Refusal::new(
                    9_002_313,
                    "Invalid request. Request is malformed or invalid: the client_assertion_type is not that of the assertion.",
                ));
            }
            ask.found.method_of_proof = Some("bound-assertion");
        }
    }
    Ok(Client {
        app,
        bound_to: Some(tls.sha256),
        object_id: None,
    })
}

/// A managed identity is no application: it has the certificate that its
/// machine was issued, and nothing in the body but what it asks for.
fn managed_identity(ask: &mut TokenCall<'_>, client_id: &str) -> Result<Option<Client>, Refusal> {
    let identities = lock(&ask.world.registry).managed_identities().to_vec();
    let mut identities = identities.into_iter();
    let is_this = |one: &ManagedIdentity| one.client_id.eq_ignore_ascii_case(client_id);
    let Some(identity) = identities.find(is_this) else {
        return Ok(None);
    };
    let Some(tls) = ask.call.certificate.clone().filter(|_| ask.call.mtls) else {
        return Err(Refusal::plain(392_200));
    };
    if ask.form.get("client_assertion").is_some() || ask.form.get("client_secret").is_some() {
        return Err(Refusal::new(
            9_002_313,
            "Invalid request. Request is malformed or invalid: a managed identity proves itself by its certificate alone.",
        ));
    }
    if ask.tenant.id != ask.world.identity.tenant
        || !ask.world.pki.credentials.is_of(client_id, &tls.sha256)
    {
        return Err(Refusal::new(
            700_027,
            "The certificate of the connection was not issued for this managed identity.",
        ));
    }
    if ask.call.now > tls.not_after {
        return Err(Refusal::plain(392_204));
    }
    ask.found.method_of_proof = Some("tls-certificate");
    Ok(Some(Client {
        app: App::new(&identity.client_id),
        bound_to: Some(tls.sha256),
        object_id: Some(identity.object_id),
    }))
}

fn find_app(ask: &TokenCall<'_>, client_id: &str) -> Result<App, Refusal> {
    let registry = lock(&ask.world.registry);
    let Some(app) = registry.app_in(client_id, &ask.tenant.id) else {
        return Err(Refusal::new(
            700_016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory '{}'. \
                 This can happen if the application has not been installed by the administrator of \
                 the tenant or consented to by any user in the tenant. You may have sent your \
                 authentication request to the wrong tenant.",
                ask.tenant.id
            ),
        ));
    };
    if app.disabled {
        return Err(Refusal::new(
            7_000_112,
            format!("Application '{client_id}' is disabled."),
        ));
    }
    Ok(app.clone())
}

fn assertion_type(ask: &TokenCall<'_>) -> Result<&'static str, Refusal> {
    let named = ask.form.require("client_assertion_type")?;
    [JWT_BEARER, JWT_POP]
        .into_iter()
        .find(|known| *known == named)
        .ok_or_else(|| {
            Refusal::new(
                9_002_313,
                format!(
                    "Invalid request. Request is malformed or invalid: the client_assertion_type \
                 '{named}' is not supported."
                ),
            )
        })
}
