//! Client authentication: who asks, and how that was proved.

mod assertion;
mod certificate;
mod federated;
mod secret;

use crate::errors::Refusal;
use crate::lock;
use crate::registry::App;
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
            ask.found.method_of_proof = Some(proof.name());
        }
        (None, None) => return Err(Refusal::plain(7_000_218)),
    }
    Ok(Client {
        app,
        bound_to: None,
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
            ask.found.method_of_proof = Some("bound-assertion");
        }
    }
    Ok(Client {
        app,
        bound_to: Some(tls.sha256),
    })
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
