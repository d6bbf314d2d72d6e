//! What an emulator begins with: one tenant, one application with every kind of credential, resources and a user.

use anyhow::Result;

use crate::encoding::guid_from;
use crate::metadata::TOKEN_EXCHANGE;
use crate::pki::ClientCertificate;
use crate::registry::{
    App, Certificate, ManagedIdentity, Registry, Resource, Tenant, impersonation,
};
use crate::scopes::GRAPH;
use crate::users::User;
use crate::world::Identity;

/// The tenant that is there from the start.
pub(super) const TENANT: &str = "8b1f6f3c-0b1e-4a55-9c3f-2f6d1f0a7e11";

/// Its verified domain.
pub(super) const TENANT_DOMAIN: &str = "edgepass-demo.example";

/// The application that is there from the start.
pub(super) const CLIENT_ID: &str = "5d0c8a52-6a0e-4d0b-8a3e-91c3f2b7d4c6";

/// The service account its federated credential trusts.
pub(super) const SUBJECT: &str = "system:serviceaccount:default:edgepass-demo";

/// The user that is there from the start.
pub(super) const USERNAME: &str = "alice@edgepass-demo.example";

/// The audience Entra expects of outside tokens.
pub(super) const AUDIENCE: &str = TOKEN_EXCHANGE;

/// The machine of the metadata service, and the user-assigned identity that
/// it has besides its own.
const MACHINE: &str = "edgepass-demo-machine";

const USER_ASSIGNED: &str = "edgepass-demo";

/// One tenant, one application with every kind of credential, and resources.
pub(super) fn seed(
    identity: &Identity,
    issuer: &str,
    certificate: &ClientCertificate,
) -> Result<Registry> {
    let mut registry = Registry::default();
    registry.put_tenant(Tenant {
        id: identity.tenant.clone(),
        domains: vec![TENANT_DOMAIN.to_owned()],
    });
    registry.put_app(
        App::new(&identity.client_id)
            .federated(issuer, SUBJECT, AUDIENCE)
            .secret(&identity.client_secret)
            .certificate(Certificate::from_pem(&certificate.certificate_pem)?)
            .role("Demo.Read.All"),
    );
    let resource = |identifier: &str, app_id: String, token_version| Resource {
        identifiers: vec![identifier.to_owned()],
        app_id,
        token_version,
        scopes: impersonation(),
    };
    let graph = "00000003-0000-0000-c000-000000000000".to_owned();
    registry.put_resource(Resource {
        // Entra has both among its `servicePrincipalNames`
        identifiers: vec![GRAPH.to_owned(), format!("{GRAPH}/")],
        scopes: GRAPH_SCOPES.map(ToOwned::to_owned).to_vec(),
        ..resource(GRAPH, graph, 1)
    });
    for (identifier, version) in [
        ("api://edgepass-demo", 1),
        ("api://edgepass-demo-v2", 2),
        ("https://vault.azure.net", 1),
        ("https://management.azure.com", 1),
        ("https://storage.azure.com", 1),
        // A managed identity's token as another application's assertion.
        (AUDIENCE, 1),
    ] {
        registry.put_resource(resource(identifier, guid_from(identifier), version));
    }
    // as a resource of its own: the API in front of which users' clients stand
    let own = own_resource(&identity.client_id);
    registry.put_resource(resource(&own, identity.client_id.clone(), 2));
    let mut user = User::new(USERNAME).consent(&identity.client_id, GRAPH, &GRAPH_SCOPES);
    for resource in [
        "api://edgepass-demo",
        "api://edgepass-demo-v2",
        "https://vault.azure.net",
        "https://management.azure.com",
        "https://storage.azure.com",
    ] {
        user = user.consent(&identity.client_id, resource, &["user_impersonation"]);
    }
    registry.put_user(user);
    registry.set_managed_identities(vec![
        ManagedIdentity::system_assigned(MACHINE),
        ManagedIdentity::user_assigned(USER_ASSIGNED),
    ]);
    Ok(registry)
}

/// The scopes of Microsoft Graph that are there.
const GRAPH_SCOPES: [&str; 3] = ["User.Read", "Mail.Read", "Calendars.Read"];

/// The identifier that the portal proposes for an application's own API.
pub(super) fn own_resource(client_id: &str) -> String {
    format!("api://{client_id}")
}
