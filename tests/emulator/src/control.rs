//! The control endpoint: everything the library offers, for programs in any
//! language. README.md documents it.

use anyhow::{Context as _, Result};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::encoding::base64;
use crate::faults::Fault;
use crate::issuer::Mint;
use crate::lock;
use crate::misbehave::reissue;
use crate::pki::CertificateOptions;
use crate::registry::{App, Certificate, ManagedIdentity, Resource, Tenant};
use crate::reply::Reply;
use crate::request::Call;
use crate::token::{Contents, Subject};
use crate::users::User;
use crate::world::{Settings, World};

/// Answers requests below `/_emulator`; `None` for others.
pub(crate) fn answer(world: &World, call: &Call) -> Option<Reply> {
    let segments = call.segments();
    let ["_emulator", rest @ ..] = segments.as_slice() else {
        return None;
    };
    let rest: Vec<&str> = rest
        .iter()
        .copied()
        .filter(|segment| !segment.is_empty())
        .collect();
    Some(match dispatch(world, call, &rest) {
        Ok(Some(value)) => Reply::json(StatusCode::OK, &value),
        Ok(None) => {
            let text = format!(
                "no such control: {} {}; see README.md",
                call.method, call.path
            );
            Reply::json(StatusCode::NOT_FOUND, &json!({ "error": text }))
        }
        Err(error) => Reply::json(
            StatusCode::BAD_REQUEST,
            &json!({ "error": format!("{error:#}") }),
        ),
    })
}

fn dispatch(world: &World, call: &Call, rest: &[&str]) -> Result<Option<Value>> {
    let done = || Ok(Some(json!({ "ok": true })));
    let get = call.method == Method::GET;
    let post = call.method == Method::POST;
    let delete = call.method == Method::DELETE;
    match rest {
        [] if get => Ok(Some(about(world))),
        ["journal"] if get => Ok(Some(serde_json::to_value(world.journal.entries())?)),
        ["journal"] if delete => {
            world.journal.clear();
            done()
        }
        ["faults"] if get => Ok(Some(serde_json::to_value(world.faults.waiting())?)),
        ["faults"] if post => {
            let OneOrMany::<Fault>(faults) = body(call)?;
            for fault in faults {
                world.faults.push(fault);
            }
            done()
        }
        ["faults"] if delete => {
            world.faults.clear();
            done()
        }
        ["release"] if post => {
            world.faults.release();
            done()
        }
        ["settings"] if get => Ok(Some(settings(world)?)),
        ["settings"] if post => {
            change_settings(world, body(call)?)?;
            Ok(Some(settings(world)?))
        }
        ["apps"] if get => {
            let registry = lock(&world.registry);
            Ok(Some(serde_json::to_value(
                registry.apps().collect::<Vec<_>>(),
            )?))
        }
        ["apps"] if post => {
            lock(&world.registry).put_app(body::<App>(call)?);
            done()
        }
        ["apps", client_id, "certificates"] if post => {
            let NewCertificate {
                certificate,
                replace,
            } = body(call)?;
            let thumbprint = certificate.sha256.clone();
            let mut registry = lock(&world.registry);
            let app = registry.app_mut(client_id).context("no such app")?;
            if replace {
                app.certificates.clear();
            }
            app.certificates.push(certificate);
            Ok(Some(json!({ "thumbprint": thumbprint })))
        }
        ["apps", client_id, "certificates"] if delete => {
            let mut registry = lock(&world.registry);
            registry
                .app_mut(client_id)
                .context("no such app")?
                .certificates
                .clear();
            done()
        }
        ["tenants"] if post => {
            lock(&world.registry).put_tenant(body::<Tenant>(call)?);
            done()
        }
        ["resources"] if post => {
            lock(&world.registry).put_resource(body::<Resource>(call)?);
            done()
        }
        ["users"] if get => {
            let registry = lock(&world.registry);
            Ok(Some(serde_json::to_value(
                registry.users().collect::<Vec<_>>(),
            )?))
        }
        ["users"] if post => {
            lock(&world.registry).put_user(body::<User>(call)?);
            done()
        }
        ["users", name, "revoke"] if post => {
            revoke_user(world, name)?;
            done()
        }
        ["users", name, "token"] if post => {
            let wanted: WantedToken = body(call)?;
            let token = user_token(world, name, &wanted)?;
            Ok(Some(json!({ "token": token })))
        }
        ["refresh-tokens", "revoke"] if post => {
            let Revoked { refresh_token } = body(call)?;
            anyhow::ensure!(
                world.sessions.revoke(&refresh_token),
                "there is no such refresh token"
            );
            done()
        }
        ["rotate-signing-key"] if post => {
            let Rotation { retire } = body(call)?;
            world.keys.rotate(retire)?;
            done()
        }
        ["managed-identities"] if get => {
            let registry = lock(&world.registry);
            Ok(Some(serde_json::to_value(registry.managed_identities())?))
        }
        ["managed-identities"] if post => {
            let OneOrMany::<ManagedIdentity>(identities) = body(call)?;
            world.metadata_tokens.clear();
            lock(&world.registry).set_managed_identities(identities);
            done()
        }
        ["issuers"] if post => {
            let OutsideIssuer { issuer, jwks } = body(call)?;
            lock(&world.registry).put_issuer(&issuer, jwks);
            done()
        }
        ["mint"] if post => Ok(Some(
            json!({ "token": world.issuer.mint(&body::<Mint>(call)?)? }),
        )),
        ["issuer", "rotate-key"] if post => {
            world.issuer.rotate_key()?;
            done()
        }
        ["certificates"] if post => {
            let wanted: WantedCertificate = body(call)?;
            let made = world
                .pki
                .client_certificate(&wanted.common_name, &wanted.options)?;
            if let Some(client_id) = &wanted.register_with {
                let certificate = Certificate::from_pem(&made.certificate_pem)?;
                let mut registry = lock(&world.registry);
                let app = registry.app_mut(client_id).context("no such app")?;
                app.certificates.push(certificate);
            }
            let chain: Vec<String> = made.chain.iter().map(|der| base64(der)).collect();
            Ok(Some(json!({
                "certificate_pem": made.certificate_pem,
                "private_key_pem": made.private_key_pem,
                "thumbprint": made.thumbprint,
                "x5c": chain,
            })))
        }
        ["rotate"] if post => {
            let directory = lock(&world.directory);
            let directory = directory.as_ref().context(NO_DIRECTORY)?;
            directory.rotate_token(world, &body::<Mint>(call)?)?;
            Ok(Some(json!({ "token_file": directory.token_file() })))
        }
        ["rotate-certificate"] if post => {
            let directory = lock(&world.directory);
            let directory = directory.as_ref().context(NO_DIRECTORY)?;
            Ok(Some(
                json!({ "thumbprint": directory.rotate_certificate(world)? }),
            ))
        }
        _ => Ok(None),
    }
}

/// Rotation needs files to rotate.
const NO_DIRECTORY: &str = "the emulator writes no directory; start it with --dir";

/// An empty body means the defaults.
fn body<T: DeserializeOwned>(call: &Call) -> Result<T> {
    let text: &[u8] = if call.body.is_empty() {
        b"{}"
    } else {
        &call.body
    };
    serde_json::from_slice(text).context("the request's JSON does not fit")
}

struct OneOrMany<T>(Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        // By hand and not by an untagged enum, whose errors name no field.
        let many = match Value::deserialize(deserializer)? {
            Value::Array(many) => many,
            one => vec![one],
        };
        let parsed: Result<Vec<T>, _> = many.into_iter().map(serde_json::from_value).collect();
        parsed.map(Self).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCertificate {
    certificate: Certificate,
    #[serde(default)]
    replace: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    retire: bool,
}

/// A user's access token, as a client in front of an API would send it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedToken {
    /// The client that has got it; the first application when absent.
    #[serde(default)]
    pub(crate) client_id: Option<String>,
    /// An identifier of the API.
    pub(crate) resource: String,
    /// Its scopes; all of the resource's when empty.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    #[serde(default)]
    pub(crate) second_factor: bool,
    /// How it differs from an ordinary one.
    #[serde(default)]
    pub(crate) mint: Mint,
}

/// Makes void what that user has granted until now.
pub(crate) fn revoke_user(world: &World, name: &str) -> Result<()> {
    // of the same second: what was granted in it may be meant
    let from = world.clock.now().saturating_add(1);
    let mut registry = lock(&world.registry);
    let user = registry.user_mut(name).context("no such user")?;
    user.tokens_valid_from = Some(from);
    Ok(())
}

/// Issues an access token of a user's without a sign-in.
pub(crate) fn user_token(world: &World, name: &str, wanted: &WantedToken) -> Result<String> {
    let client_id = wanted.client_id.as_ref();
    let client_id = client_id.unwrap_or(&world.identity.client_id);
    let mut registry = lock(&world.registry);
    let user = registry.user(name).context("no such user")?;
    let app = registry.app_mut(client_id).context("no such app")?.clone();
    let resource = registry.resource(&wanted.resource).cloned();
    drop(registry);
    let resource = resource.context("no such resource")?;
    let scopes = if wanted.scopes.is_empty() {
        &resource.scopes
    } else {
        &wanted.scopes
    };
    let now = world.clock.now();
    let life = lock(&world.settings).access_token_lifetime;
    let claims = Contents {
        tenant: user.tenant.as_ref().unwrap_or(&world.identity.tenant),
        app: &app,
        resource: &resource,
        requested: &wanted.resource,
        subject: Subject::User {
            user: &user,
            scopes,
            second_factor: wanted.second_factor,
        },
        bound_to: None,
        capabilities: None,
        issued: now,
        expires: now.saturating_add(life),
    }
    .claims(world);
    let token = world.keys.sign(&Value::Object(claims))?;
    reissue(world, &wanted.mint, &token).context("the token cannot be minted like that")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutsideIssuer {
    issuer: String,
    jwks: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedCertificate {
    #[serde(default = "any_name")]
    common_name: String,
    #[serde(default)]
    options: CertificateOptions,
    #[serde(default)]
    register_with: Option<String>,
}

fn any_name() -> String {
    "edgepass-client".to_owned()
}

fn settings(world: &World) -> Result<Value> {
    let mut value = serde_json::to_value(lock(&world.settings).clone())?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("clock_skew".into(), json!(world.clock.skew()));
    }
    Ok(value)
}

/// Changes the settings that are named and leaves the others.
fn change_settings(world: &World, changes: Value) -> Result<()> {
    let Value::Object(mut changes) = changes else {
        anyhow::bail!("settings are a JSON object")
    };
    if let Some(skew) = changes.remove("clock_skew") {
        world
            .clock
            .set_skew(skew.as_i64().context("clock_skew is a number of seconds")?);
    }
    let mut settings = lock(&world.settings);
    let mut merged = serde_json::to_value(settings.clone())?;
    if let Some(fields) = merged.as_object_mut() {
        fields.extend(changes);
    }
    *settings = serde_json::from_value::<Settings>(merged).context("no such setting")?;
    world.metadata_tokens.clear();
    Ok(())
}

/// What a program needs to know to begin.
pub(crate) fn about(world: &World) -> Value {
    let identity = &world.identity;
    let authority = identity.authority();
    let scopes: Vec<String> = lock(&world.registry)
        .resources()
        .iter()
        .filter_map(|resource| resource.identifiers.first())
        .map(|identifier| format!("{identifier}/.default"))
        .collect();
    json!({
        "authority": authority,
        "login_authority": format!("https://login.localhost:{}", identity.port),
        "mtls_authority": identity.mtls_authority(),
        "strict_mtls_authority": identity.strict_mtls_authority(),
        "tenant": identity.tenant,
        "client_id": identity.client_id,
        "token_endpoint": format!("{authority}/{}/oauth2/v2.0/token", identity.tenant),
        "issuer": world.issuer.url(),
        "tenant_issuer": identity.tenant_issuer(),
        "metadata_authority": identity.metadata_authority(),
        "generic_issuer": crate::generic::issuer(world),
        "users": lock(&world.registry).users().map(|user| user.username.clone()).collect::<Vec<_>>(),
        "control": format!("{authority}/_emulator/"),
        "scopes": scopes,
    })
}
