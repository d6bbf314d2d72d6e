//! Access tokens and the answers that carry them.

use serde_json::{Map, Value, json};

use crate::encoding::{base64url, random, sha256_url};
use crate::errors::Refusal;
use crate::lock;
use crate::metadata::TOKEN_EXCHANGE;
use crate::registry::{App, Resource};
use crate::request::{TokenCall, Version};
use crate::users::User;
use crate::verify::Client;
use crate::world::World;

/// Who gets the token.
pub(crate) struct Grantee {
    pub(crate) app: App,
    /// The certificate the token is bound to, for `mtls_pop`.
    pub(crate) bound_to: Option<String>,
    /// Of a managed identity: its service principal.
    pub(crate) object_id: Option<String>,
}

/// What a token says.
pub(crate) struct Contents<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) app: &'a App,
    pub(crate) resource: &'a Resource,
    /// The resource as it was asked for.
    pub(crate) requested: &'a str,
    pub(crate) subject: Subject<'a>,
    pub(crate) bound_to: Option<&'a str>,
    pub(crate) capabilities: Option<Value>,
    pub(crate) issued: i64,
    pub(crate) expires: i64,
}

/// About whom a token is.
pub(crate) enum Subject<'a> {
    /// The application itself, by that object ID.
    App(&'a str),
    /// An agent identity that is to come, as a path.
    Path(&'a str),
    /// A user, whom the application serves with these scopes.
    User {
        user: &'a User,
        scopes: &'a [String],
        second_factor: bool,
    },
}

/// How the token is bound that the request asks for: to the certificate, if it
/// is `mtls_pop`.
pub(crate) fn binding(ask: &TokenCall<'_>, client: &Client) -> Result<Option<String>, Refusal> {
    let kind = ask.form.get("token_type").unwrap_or("Bearer");
    if kind.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    if !kind.eq_ignore_ascii_case("mtls_pop") {
        return Err(Refusal::new(
            9_002_313,
            format!(
                "Invalid request. Request is malformed or invalid: the token_type '{kind}' is not \
                 supported."
            ),
        ));
    }
    match &client.bound_to {
        None => Err(Refusal::plain(392_200)),
        bound_to => Ok(bound_to.clone()),
    }
}

/// Issues the application's own token and words the answer for the endpoint's
/// version.
pub(crate) fn respond(
    ask: &TokenCall<'_>,
    grantee: &Grantee,
    requested: &str,
    resource: &Resource,
    path: Option<&str>,
) -> Result<Value, Refusal> {
    let life = lock(&ask.world.settings).access_token_lifetime;
    let expires = ask.call.now.saturating_add(life);
    let object_id = grantee.object_id.clone();
    let object_id = object_id.unwrap_or_else(|| grantee.app.object_id(&ask.tenant.id));
    let token = Contents {
        tenant: &ask.tenant.id,
        app: &grantee.app,
        resource,
        requested,
        subject: path.map_or(Subject::App(&object_id), Subject::Path),
        bound_to: grantee.bound_to.as_deref(),
        capabilities: client_capabilities(ask),
        issued: ask.call.now,
        expires,
    };
    let token = token.issue(ask.world)?;
    Ok(answer(ask, &token, grantee.bound_to.is_some(), requested))
}

/// The answer with an access token, in the endpoint's version.
pub(crate) fn answer(ask: &TokenCall<'_>, token: &str, is_bound: bool, requested: &str) -> Value {
    let settings = lock(&ask.world.settings).clone();
    let life = settings.access_token_lifetime;
    let token_type = if is_bound { "mtls_pop" } else { "Bearer" };
    match ask.version {
        Version::V2 => {
            let mut answer = json!({
                "token_type": token_type,
                "expires_in": life,
                "ext_expires_in": life,
                "access_token": token,
            });
            if let (Some(refresh_in), Some(fields)) = (settings.refresh_in, answer.as_object_mut())
            {
                fields.insert("refresh_in".into(), json!(refresh_in));
            }
            answer
        }
        // The first version writes its numbers as strings.
        Version::V1 => json!({
            "token_type": token_type,
            "expires_in": life.to_string(),
            "ext_expires_in": life.to_string(),
            "expires_on": ask.call.now.saturating_add(life).to_string(),
            "not_before": ask.call.now.to_string(),
            "resource": requested,
            "access_token": token,
        }),
    }
}

impl Contents<'_> {
    /// The claims of the token as the resource wants them, whichever endpoint
    /// was called.
    pub(crate) fn claims(&self, world: &World) -> Map<String, Value> {
        let (app, tenant) = (self.app, self.tenant);
        let authority = world.identity.authority();
        let mut claims = Map::new();
        let mut add = |name: &str, value: Value| {
            claims.insert(name.to_owned(), value);
        };
        // a token that is another application's assertion is of the second version, whose issuer federated credentials name
        let exchange = self.requested.eq_ignore_ascii_case(TOKEN_EXCHANGE);
        let second = exchange || self.resource.token_version >= 2;
        if second {
            let audience = if exchange {
                self.requested
            } else {
                &self.resource.app_id
            };
            add("aud", json!(audience));
            add("iss", json!(format!("{authority}/{tenant}/v2.0")));
            add("azp", json!(app.client_id));
            add("azpacr", json!("2"));
            add("ver", json!("2.0"));
        } else {
            add("aud", json!(self.requested));
            add("iss", json!(format!("{authority}/{tenant}/")));
            add("appid", json!(app.client_id));
            add("appidacr", json!("2"));
            add("ver", json!("1.0"));
        }
        add("iat", json!(self.issued));
        add("nbf", json!(self.issued));
        add("exp", json!(self.expires));
        add("tid", json!(tenant));
        add("uti", json!(base64url(&random::<16>())));
        match self.subject {
            Subject::App(object_id) => {
                add("idtyp", json!("app"));
                add("oid", json!(object_id));
                add("sub", json!(object_id));
                add("roles", json!(app.roles));
            }
            Subject::Path(path) => {
                add("idtyp", json!("app"));
                add("sub", json!(path));
            }
            Subject::User {
                user,
                scopes,
                second_factor,
            } => {
                add("idtyp", json!("user"));
                add("oid", json!(user.object_id));
                add("sub", json!(pairwise(user, &self.resource.app_id)));
                add("scp", json!(scopes.join(" ")));
                add("name", json!(user.name));
                if second {
                    add("preferred_username", json!(user.username));
                } else {
                    add("upn", json!(user.username));
                    add("unique_name", json!(user.username));
                }
                let methods: &[&str] = if second_factor {
                    &["pwd", "mfa"]
                } else {
                    &["pwd"]
                };
                add("amr", json!(methods));
            }
        }
        if let Some(blueprint) = &app.agent_of {
            add("xms_par_app_azp", json!(blueprint));
        }
        if let Some(thumbprint) = self.bound_to {
            add("cnf", json!({ "x5t#S256": thumbprint }));
        }
        if let Some(capabilities) = &self.capabilities {
            add("xms_cc", capabilities.clone());
        }
        claims
    }

    /// The token.
    pub(crate) fn issue(&self, world: &World) -> Result<String, Refusal> {
        let claims = Value::Object(self.claims(world));
        let token = world.keys.sign(&claims);
        token.map_err(|_| Refusal::plain(90_033))
    }
}

/// The name of a user that no two applications share.
pub(crate) fn pairwise(user: &User, client_id: &str) -> String {
    let client_id = client_id.to_ascii_lowercase();
    sha256_url(format!("{} for {client_id}", user.object_id).as_bytes())
}

/// The capabilities that the `claims` parameter declares (`xms_cc`).
pub(crate) fn client_capabilities(ask: &TokenCall<'_>) -> Option<Value> {
    let wanted = ask
        .found
        .claims
        .as_ref()?
        .get("access_token")?
        .get("xms_cc")?
        .get("values")?;
    Some(wanted.clone())
}
