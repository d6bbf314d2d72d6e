//! What all grants of a user's token have in common.

use serde_json::{Value, json};

use crate::encoding::{base64url, guid_from};
use crate::errors::Refusal;
use crate::id_token;
use crate::lock;
use crate::request::{TokenCall, Version};
use crate::scopes::Wanted;
use crate::sessions::{Asked, Granted, RefreshToken};
use crate::token::{Contents, Subject, answer, binding, client_capabilities};
use crate::users::{DEFAULT_SCOPE, User};
use crate::verify::Client;

/// A user's token about to be issued.
pub(super) struct Delegation {
    pub(super) user: User,
    pub(super) granted: Granted,
    /// What of it this token is for; none is for OpenID Connect alone.
    pub(super) asked: Option<Asked>,
    /// The code that it goes back to.
    pub(super) code: Option<String>,
}

/// Issues all that was asked for.
pub(super) fn respond(
    ask: &TokenCall<'_>,
    client: &Client,
    of: Delegation,
) -> Result<Value, Refusal> {
    let bound_to = binding(ask, client)?;
    let asked = match of.asked {
        Some(asked) => asked,
        None => Asked {
            scopes: of.granted.oidc.names(),
            ..Wanted::of_resource(ask.world, &ask.tenant.id, crate::scopes::GRAPH)?
        },
    };
    // a user flow whose scopes name no API has no access token
    let has_access_token = of.granted.policy.is_none() || !of.granted.asked.is_empty();
    let scopes = check_consent(client, &of.user, &of.granted, &asked)?;
    let second_factor = of.granted.second_factor;
    if of.user.needs_second_factor(&asked.resource) && !second_factor {
        return Err(second_factor_needed(&asked.resource.app_id));
    }
    let life = lock(&ask.world.settings).access_token_lifetime;
    let token = Contents {
        tenant: &ask.tenant.id,
        app: &client.app,
        resource: &asked.resource,
        requested: &asked.name,
        subject: Subject::User {
            user: &of.user,
            scopes: &scopes,
            second_factor,
        },
        bound_to: bound_to.as_deref(),
        capabilities: client_capabilities(ask),
        issued: ask.call.now,
        expires: ask.call.now.saturating_add(life),
    }
    .issue(ask.world)?;
    let mut body = answer(ask, &token, bound_to.is_some(), &asked.name);
    let Some(fields) = body.as_object_mut() else {
        return Ok(body);
    };
    if !has_access_token {
        for name in ["access_token", "expires_in", "ext_expires_in", "refresh_in"] {
            fields.remove(name);
        }
    }
    fields.insert(
        "scope".into(),
        json!(shown(ask.version, &asked, &scopes, &of.granted)),
    );
    let oidc = of.granted.oidc;
    if oidc.openid {
        let id_token = id_token::issue(ask, &of.user, &of.granted)?;
        fields.insert("id_token".into(), json!(id_token));
        if of.granted.policy.is_some() {
            fields.insert("id_token_expires_in".into(), json!(life));
        }
    }
    // the first version always gives one
    if oidc.offline_access || ask.version == Version::V1 {
        let token = ask.world.sessions.put_refresh_token(RefreshToken {
            granted: Granted {
                nonce: None,
                ..of.granted.clone()
            },
            code: of.code,
            issued: ask.call.now,
            used: ask.call.now,
            revoked: false,
        });
        fields.insert("refresh_token".into(), json!(token));
    }
    if ask.form.get("client_info").is_some() {
        let info = json!({ "uid": of.user.object_id, "utid": ask.tenant.id });
        let info = base64url(info.to_string().as_bytes());
        fields.insert("client_info".into(), json!(info));
    }
    Ok(body)
}

/// The user of a grant, if they may still have tokens for what was granted
/// then.
pub(super) fn find_user(
    ask: &TokenCall<'_>,
    name: &str,
    granted_at: Option<i64>,
) -> Result<User, Refusal> {
    let found = lock(&ask.world.registry).user(name);
    let user = found.ok_or_else(|| {
        Refusal::new(
            50_034,
            format!(
                "The user account {name} does not exist in the {} directory. To sign into this \
                 application, the account must be added to the directory.",
                ask.tenant.id
            ),
        )
    })?;
    let home = user.tenant.as_deref().unwrap_or(&ask.world.identity.tenant);
    if !home.eq_ignore_ascii_case(&ask.tenant.id) {
        return Err(Refusal::new(
            50_020,
            format!(
                "User account '{}' from identity provider '{home}' does not exist in tenant '{}' \
                 and cannot access the application in that tenant. The account needs to be added \
                 as an external user in the tenant first.",
                user.username, ask.tenant.id
            ),
        ));
    }
    if user.disabled {
        return Err(Refusal::plain(50_057));
    }
    // a second is as precise as times are here
    if let (Some(from), Some(at)) = (user.tokens_valid_from, granted_at)
        && at < from
    {
        return Err(Refusal::plain(50_173));
    }
    Ok(user)
}

/// The scopes that the token has.
fn check_consent(
    client: &Client,
    user: &User,
    granted: &Granted,
    asked: &Asked,
) -> Result<Vec<String>, Refusal> {
    let client_id = &client.app.client_id;
    // its own API, and OpenID Connect alone, need no consent
    let own = asked.resource.app_id.eq_ignore_ascii_case(client_id);
    if own || asked.scopes == granted.oidc.names() {
        let mut scopes = asked.scopes.clone();
        if own {
            scopes.retain(|scope| scope != DEFAULT_SCOPE);
            if scopes.is_empty() {
                scopes.clone_from(&asked.resource.scopes);
            }
        }
        return Ok(scopes);
    }
    let consented = user.granted(client_id, &asked.resource);
    let refusal = || {
        Refusal::new(
            65_001,
            format!(
                "The user or administrator has not consented to use the application with ID \
                 '{client_id}' named 'edgepass-emulator'. Send an interactive authorization request \
                 for this user and resource."
            ),
        )
        .suberror("consent_required")
    };
    if asked.scopes.iter().any(|scope| scope == DEFAULT_SCOPE) {
        if consented.is_empty() {
            return Err(refusal());
        }
        return Ok(consented.into_iter().map(ToOwned::to_owned).collect());
    }
    let has = |scope: &String| consented.iter().any(|one| one.eq_ignore_ascii_case(scope));
    if asked.scopes.iter().all(has) {
        return Ok(asked.scopes.clone());
    }
    Err(refusal())
}

/// The refusal that only a new sign-in cures, with the claims for it.
pub(super) fn second_factor_needed(resource: &str) -> Refusal {
    let policy = guid_from("second factor");
    let claims =
        json!({ "access_token": { "capolids": { "essential": true, "values": [policy] } } });
    Refusal::new(
        50_076,
        format!(
            "Due to a configuration change made by your administrator, or because you moved to a \
             new location, you must use multi-factor authentication to access '{resource}'."
        ),
    )
    .suberror("basic_action")
    .claims(claims.to_string())
}

/// The `scope` of the answer.
fn shown(version: Version, asked: &Asked, scopes: &[String], granted: &Granted) -> String {
    if version == Version::V1 {
        return scopes.join(" ");
    }
    let oidc = granted.oidc.names();
    let of_resource = scopes.iter().filter(|scope| !oidc.contains(scope));
    let of_resource = of_resource.map(|scope| format!("{}/{scope}", asked.name));
    oidc.iter()
        .cloned()
        .chain(of_resource)
        .collect::<Vec<_>>()
        .join(" ")
}
