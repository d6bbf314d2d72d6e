//! The places besides a virtual machine's metadata service where platforms
//! hand out tokens of managed identities. Each is a process beside the one
//! that asks, and finds out in its own way that it is that one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::encoding::{base64url, guid, random};
use crate::lock;
use crate::metadata::{self, Parameters, Refusal, Token};
use crate::reply::Reply;
use crate::request::Call;
use crate::world::World;

/// The path below which all of them are.
pub(crate) const PREFIX: &str = "/platform/";

/// Below `ProgramData`, as on Windows: there the folder is named by a
/// variable, and elsewhere it is one that only root may make.
const KEY_FOLDER: &str = r"\AzureConnectedMachineAgent\Tokens";

/// A platform with a place of its own for the tokens of managed identities.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Platform {
    /// App Service, Functions, Container Apps.
    AppService,
    /// A server elsewhere that Azure Arc manages.
    AzureArc,
    /// Azure Machine Learning.
    AzureMl,
    /// Cloud Shell.
    CloudShell,
    /// Service Fabric.
    ServiceFabric,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AppService,
        Self::AzureArc,
        Self::AzureMl,
        Self::CloudShell,
        Self::ServiceFabric,
    ];

    fn path(self) -> &'static str {
        match self {
            Self::AppService => "/platform/app-service/msi/token",
            Self::AzureArc => "/platform/azure-arc/metadata/identity/oauth2/token",
            Self::AzureMl => "/platform/azure-ml/MSI/auth",
            Self::CloudShell => "/platform/cloud-shell/oauth2/token",
            Self::ServiceFabric => "/platform/service-fabric/metadata/identity/oauth2/token",
        }
    }

    /// The parameters that a request may have. One that is not known here
    /// would be ignored by the real thing, which then answers for another
    /// identity than was meant.
    fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::AppService => &[
                "api-version",
                "resource",
                "client_id",
                "object_id",
                "mi_res_id",
            ],
            Self::AzureMl => &["api-version", "resource", "clientid"],
            Self::AzureArc | Self::ServiceFabric => &["api-version", "resource"],
            Self::CloudShell => &["resource"],
        }
    }

    fn versions(self) -> &'static [&'static str] {
        match self {
            Self::AppService => &["2019-08-01"],
            Self::AzureArc => &["2019-11-01", "2020-06-01"],
            Self::AzureMl => &["2017-09-01"],
            Self::CloudShell => &[],
            Self::ServiceFabric => &["2019-07-01-preview", "2020-05-01"],
        }
    }
}

/// What they know whoever asks by.
pub(crate) struct Secrets {
    /// `IDENTITY_HEADER`, `MSI_SECRET`.
    header: String,
    /// The folder of the keys of Arc's agent is below this.
    program_data: PathBuf,
    /// Keys that were written and not presented yet, and their files.
    challenges: Mutex<BTreeMap<String, PathBuf>>,
}

impl Secrets {
    pub(crate) fn new(scratch: &Path) -> Self {
        Self {
            header: base64url(&random::<24>()),
            program_data: scratch.join("ProgramData"),
            challenges: Mutex::default(),
        }
    }

    fn key_folder(&self) -> PathBuf {
        let mut folder = self.program_data.clone().into_os_string();
        folder.push(KEY_FOLDER);
        folder.into()
    }
}

/// The variables that a platform gives the processes that it starts.
pub(crate) fn env(world: &World, platform: Platform) -> Vec<(&'static str, String)> {
    let Some(authority) = world.identity.metadata_authority() else {
        return Vec::new();
    };
    let secrets = &world.platforms;
    let endpoint = format!("{authority}{}", platform.path());
    match platform {
        Platform::AppService => vec![
            ("IDENTITY_ENDPOINT", endpoint),
            ("IDENTITY_HEADER", secrets.header.clone()),
        ],
        Platform::AzureArc => vec![
            ("IDENTITY_ENDPOINT", endpoint),
            ("IMDS_ENDPOINT", authority),
            (
                "ProgramData",
                secrets.program_data.to_string_lossy().into_owned(),
            ),
        ],
        Platform::AzureMl => vec![
            ("MSI_ENDPOINT", endpoint),
            ("MSI_SECRET", secrets.header.clone()),
        ],
        Platform::CloudShell => vec![("MSI_ENDPOINT", endpoint)],
        Platform::ServiceFabric => {
            let Some((port, thumbprint)) = &world.fabric else {
                return Vec::new();
            };
            let endpoint = format!("https://127.0.0.1:{port}{}", platform.path());
            vec![
                ("IDENTITY_ENDPOINT", endpoint),
                ("IDENTITY_HEADER", secrets.header.clone()),
                ("IDENTITY_SERVER_THUMBPRINT", thumbprint.clone()),
            ]
        }
    }
}

/// Answers a request to one of them; `https` says whether it came on Service
/// Fabric's port.
pub(crate) fn answer(world: &World, call: &Call, https: bool) -> Reply {
    let mut platforms = Platform::ALL.into_iter();
    // App Service's endpoint on Windows ends with a slash.
    let path = call.path.trim_end_matches('/');
    let found = platforms.find(|platform| {
        platform.path() == path && (*platform == Platform::ServiceFabric) == https
    });
    let Some(platform) = found else {
        return Reply::json(StatusCode::NOT_FOUND, &json!({ "message": "Not found" }));
    };
    match token(world, call, platform) {
        Ok(Outcome::Token(token)) => Reply::json(StatusCode::OK, &granted(platform, &token)),
        Ok(Outcome::Challenge(file)) => {
            let mut reply = Reply::text(StatusCode::UNAUTHORIZED, "text/plain", "");
            reply.set(WWW_AUTHENTICATE, &format!("Basic realm={}", file.display()));
            reply
        }
        Err(refusal) => Reply::json(refusal.status, &refused(platform, &refusal)),
    }
}

enum Outcome {
    Token(Token),
    /// The file whose content is to be shown.
    Challenge(PathBuf),
}

fn token(world: &World, call: &Call, platform: Platform) -> Result<Outcome, Refusal> {
    let is_form = platform == Platform::CloudShell;
    let method = if is_form { Method::POST } else { Method::GET };
    if call.method != method {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            ..Refusal::new(
                "MethodNotAllowed",
                format!("The request must be a {method}."),
            )
        });
    }
    metadata::refuse_forwarded(call)?;
    let secrets = &world.platforms;
    match platform {
        Platform::AppService => same_secret(call, "x-identity-header", &secrets.header)?,
        Platform::AzureMl | Platform::ServiceFabric => {
            same_secret(call, "secret", &secrets.header)?;
        }
        Platform::AzureArc | Platform::CloudShell => metadata::require_metadata(call)?,
    }
    let text = if is_form {
        let is_urlencoded = call
            .header(CONTENT_TYPE.as_str())
            .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
        if !is_urlencoded || !call.query.is_empty() {
            return Err(Refusal::new(
                "BadRequest",
                "The request must be a form, without a query.",
            ));
        }
        &call.body[..]
    } else {
        call.query.as_bytes()
    };
    let parameters = Parameters::parse(text);
    parameters.refuse_unknown(platform.parameters())?;
    if !platform.versions().is_empty() {
        parameters.version(platform.versions())?;
    }
    if platform == Platform::AzureArc {
        let challenged = call
            .header(AUTHORIZATION.as_str())
            .and_then(|value| value.strip_prefix("Basic "));
        let Some(key) = challenged else {
            return challenge(secrets).map(Outcome::Challenge);
        };
        // Each key is good once.
        let Some(file) = lock(&secrets.challenges).remove(key) else {
            return Err(Refusal {
                status: StatusCode::UNAUTHORIZED,
                ..Refusal::new("unauthorized", "The key is none of a challenge.")
            });
        };
        let _ = fs::remove_file(file);
    }
    metadata::token_of(world, call.now, &parameters).map(Outcome::Token)
}

/// Writes a key that nobody but who may read the folder can show.
fn challenge(secrets: &Secrets) -> Result<PathBuf, Refusal> {
    let folder = secrets.key_folder();
    let file = PathBuf::from(format!("{}/{}.key", folder.display(), guid()));
    let key = base64url(&random::<48>());
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, &key));
    written.map_err(|error| Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        ..Refusal::new("unknown", format!("No key was written: {error}"))
    })?;
    lock(&secrets.challenges).insert(key, file.clone());
    Ok(file)
}

fn same_secret(call: &Call, name: &str, secret: &str) -> Result<(), Refusal> {
    let mut values = call.headers.get_all(name).iter();
    if values.next().map(http::HeaderValue::as_bytes) == Some(secret.as_bytes())
        && values.next().is_none()
    {
        return Ok(());
    }
    let (status, error) = match call.headers.contains_key(name) {
        true => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        false => (StatusCode::BAD_REQUEST, "SecretHeaderNotFound"),
    };
    Err(Refusal {
        status,
        ..Refusal::new(error, format!("The header {name} is missing or wrong."))
    })
}

/// The answer in the platform's own shape.
fn granted(platform: Platform, token: &Token) -> Value {
    let expires_on = token.expires.to_string();
    let left = token.left.to_string();
    match platform {
        Platform::AppService => json!({
            "access_token": token.text,
            "client_id": token.client_id,
            "expires_on": expires_on,
            "not_before": token.not_before.to_string(),
            "resource": token.resource,
            "token_type": "Bearer",
        }),
        Platform::AzureMl => json!({
            "access_token": token.text,
            "expires_on": token.expires,
            "resource": token.resource,
            "token_type": "Bearer",
        }),
        Platform::ServiceFabric => json!({
            "token_type": "Bearer",
            "access_token": token.text,
            "expires_on": token.expires,
            "resource": token.resource,
        }),
        Platform::AzureArc | Platform::CloudShell => json!({
            "access_token": token.text,
            "expires_in": left,
            "expires_on": expires_on,
            "ext_expires_in": left,
            "not_before": token.not_before.to_string(),
            "resource": token.resource,
            "token_type": "Bearer",
        }),
    }
}

fn refused(platform: Platform, refusal: &Refusal) -> Value {
    let (error, description) = (refusal.error, &refusal.description);
    match platform {
        Platform::AppService | Platform::AzureMl => json!({
            "statusCode": refusal.status.as_u16(),
            "message": description,
            "correlationId": guid(),
        }),
        Platform::ServiceFabric | Platform::CloudShell => json!({
            "error": { "correlationId": guid(), "code": error, "message": description },
        }),
        Platform::AzureArc => json!({ "error": error, "error_description": description }),
    }
}
