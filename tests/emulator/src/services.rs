//! The token services of other platforms, each as strict as the real one: GitHub Actions and Azure Pipelines over https,
//! the metadata server of Google Cloud and that of AWS at the machine's door, and AWS's security token service.

mod aws;
pub(crate) mod workload_api;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::encoding::{base64url, random};
use crate::issuer::{Mint, WorkloadIssuer};
use crate::jose::SigningKey;
use crate::registry::Registry;
use crate::reply::Reply;
use crate::request::Call;
use crate::world::World;
use crate::{clock::Clock, encoding::guid};
use std::sync::Arc;

/// A platform whose tokens about its workloads are there to be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenService {
    /// A job of GitHub Actions.
    GitHub,
    /// A job of Azure Pipelines.
    Pipelines,
    /// A machine of Google Cloud; the emulator needs a metadata port.
    Google,
    /// A program with the keys of a role of AWS in its environment.
    AwsEnvironment,
    /// A container of AWS; the emulator needs a metadata port.
    AwsContainer,
    /// A machine of AWS; the emulator needs a metadata port.
    AwsMachine,
    /// A workload with a SPIFFE identity: see [`Emulator::serve_workload_api`](crate::Emulator::serve_workload_api).
    Spiffe,
}

impl TokenService {
    /// The `iss` of its tokens.
    #[must_use]
    pub fn issuer(self) -> &'static str {
        match self {
            Self::GitHub => "https://token.actions.githubusercontent.com",
            Self::Pipelines => "https://vstoken.dev.azure.com/3d1f3f6a-0000-4000-8000-000000000001",
            Self::Google => "https://accounts.google.com",
            Self::Spiffe => "https://oidc.edgepass-demo.example",
            Self::AwsEnvironment | Self::AwsContainer | Self::AwsMachine => {
                "https://3d1f3f6a-0000-4000-8000-000000000002.tokens.sts.global.api.aws"
            }
        }
    }

    /// The `sub` of its tokens.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            Self::GitHub => "repo:edgepass/demo:ref:refs/heads/main",
            Self::Pipelines => "sc://edgepass/demo/connection",
            Self::Google => "100000000000000000001",
            Self::Spiffe => "spiffe://edgepass-demo.example/checkout",
            Self::AwsEnvironment | Self::AwsContainer | Self::AwsMachine => {
                "arn:aws:iam::123456789012:role/edgepass-demo"
            }
        }
    }
}

/// The service connection of Azure Pipelines that is there.
pub(crate) const CONNECTION: &str = "3d1f3f6a-0000-4000-8000-000000000003";

/// How long GitHub's tokens and those of Azure Pipelines live, seconds.
const LIFETIME: i64 = 300;

/// How long Google's live, seconds.
const GOOGLE_LIFETIME: i64 = 3_600;

const GITHUB_PATH: &str = "/github//idtoken/1";
const PIPELINES_PATH: &str = "/pipelines/_apis/distributedtask/oidctoken";

/// The services' keys and secrets.
pub(crate) struct TokenServices {
    issuers: Vec<(TokenService, WorkloadIssuer)>,
    /// What a job shows to its service.
    request_token: String,
    aws: aws::Role,
    /// The certificates of the workload.
    pub(crate) svids: workload_api::Certificates,
}

impl TokenServices {
    pub(crate) fn new(
        clock: &Arc<Clock>,
        key: &dyn Fn(&str) -> anyhow::Result<SigningKey>,
        registry: &mut Registry,
    ) -> anyhow::Result<Self> {
        let mut issuers = Vec::new();
        for platform in [
            TokenService::GitHub,
            TokenService::Pipelines,
            TokenService::Google,
            TokenService::AwsEnvironment,
            TokenService::Spiffe,
        ] {
            let issuer = WorkloadIssuer::new(
                platform.issuer(),
                platform.subject(),
                crate::metadata::TOKEN_EXCHANGE,
                Arc::clone(clock),
                key(platform.issuer())?,
            );
            registry.put_issuer(platform.issuer(), issuer.jwks());
            issuers.push((platform, issuer));
        }
        Ok(Self {
            issuers,
            request_token: format!("job.{}", base64url(&random::<24>())),
            aws: aws::Role::new(),
            svids: workload_api::Certificates::default(),
        })
    }

    /// The variables of a workload there, and which of their values are secrets.
    pub(crate) fn variables(
        &self,
        platform: TokenService,
        world: &World,
    ) -> Vec<(&'static str, String)> {
        let authority = world.identity.authority();
        let machine = world.identity.metadata_authority().unwrap_or_default();
        let host = machine.trim_start_matches("http://").to_owned();
        let aws = |more: Vec<(&'static str, String)>| {
            let common = [
                ("AWS_REGION", aws::REGION.to_owned()),
                ("AWS_ENDPOINT_URL_STS", authority.clone()),
            ];
            common.into_iter().chain(more).collect()
        };
        match platform {
            TokenService::GitHub => vec![
                (
                    "ACTIONS_ID_TOKEN_REQUEST_URL",
                    format!("{authority}{GITHUB_PATH}?api-version=2.0"),
                ),
                ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", self.request_token.clone()),
            ],
            TokenService::Pipelines => vec![
                (
                    "SYSTEM_OIDCREQUESTURI",
                    format!("{authority}{PIPELINES_PATH}"),
                ),
                ("SYSTEM_ACCESSTOKEN", self.request_token.clone()),
                (
                    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
                    CONNECTION.to_owned(),
                ),
            ],
            // the socket is the test's
            TokenService::Spiffe => Vec::new(),
            TokenService::Google => vec![("GCE_METADATA_HOST", host)],
            TokenService::AwsEnvironment => aws(vec![
                ("AWS_ACCESS_KEY_ID", self.aws.access_key.clone()),
                ("AWS_SECRET_ACCESS_KEY", self.aws.secret_key.clone()),
                ("AWS_SESSION_TOKEN", self.aws.session_token.clone()),
            ]),
            TokenService::AwsContainer => aws(vec![
                (
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{machine}{}", aws::CONTAINER_PATH),
                ),
                (
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                    self.aws.container_token.clone(),
                ),
            ]),
            TokenService::AwsMachine => aws(vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine)]),
        }
    }

    /// What must be shown nowhere.
    pub(crate) fn secrets(&self) -> Vec<String> {
        vec![
            self.request_token.clone(),
            self.aws.secret_key.clone(),
            self.aws.session_token.clone(),
            self.aws.container_token.clone(),
        ]
    }

    fn mint(&self, platform: TokenService, mint: &Mint) -> Result<String, Box<Reply>> {
        let issuer = self.issuers.iter().find(|(known, _)| *known == platform);
        let token = issuer.map(|(_, issuer)| issuer.mint(&mint.clone().without("kubernetes.io")));
        match token {
            Some(Ok(token)) => Ok(token),
            _ => Err(refusal(
                StatusCode::INTERNAL_SERVER_ERROR,
                "no token was signed",
            )),
        }
    }
}

/// Answers what comes over https; `None` for what is another's.
pub(crate) fn answer(world: &World, call: &Call) -> Option<Reply> {
    let reply = match call.path.as_str() {
        GITHUB_PATH => github(world, call),
        PIPELINES_PATH => pipelines(world, call),
        "/" if call.method == Method::POST => aws::security_token(world, call),
        _ => return None,
    };
    Some(reply.unwrap_or_else(|refusal| *refusal))
}

/// Answers what comes by http, at the machine's own door; `None` for what is another's.
pub(crate) fn on_machine(world: &World, call: &Call) -> Option<Reply> {
    if call.path.starts_with("/computeMetadata/") {
        let mut reply = google(world, call).unwrap_or_else(|refusal| *refusal);
        reply.set(http::HeaderName::from_static("metadata-flavor"), "Google");
        return Some(reply);
    }
    aws::on_machine(world, call)
}

fn refusal(status: StatusCode, message: &str) -> Box<Reply> {
    Box::new(Reply::json(status, &json!({ "message": message })))
}

/// The query, each parameter once.
fn query(call: &Call) -> Result<Vec<(String, String)>, Box<Reply>> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(call.query.as_bytes())
        .into_owned()
        .collect();
    for (index, (name, _)) in pairs.iter().enumerate() {
        if pairs.iter().skip(index + 1).any(|(other, _)| other == name) {
            let text = format!("the parameter {name} is there twice");
            return Err(refusal(StatusCode::BAD_REQUEST, &text));
        }
    }
    Ok(pairs)
}

fn parameter<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(known, _)| known == name);
    found
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

fn require(holds: bool, status: StatusCode, message: &str) -> Result<(), Box<Reply>> {
    if holds {
        Ok(())
    } else {
        Err(refusal(status, message))
    }
}

/// The token of a job, for any audience.
fn github(world: &World, call: &Call) -> Result<Reply, Box<Reply>> {
    require(
        call.method == Method::GET,
        StatusCode::METHOD_NOT_ALLOWED,
        "GET it",
    )?;
    let bearer = format!("Bearer {}", world.services.request_token);
    require(
        call.header("authorization") == Some(&bearer),
        StatusCode::UNAUTHORIZED,
        "Bad credentials",
    )?;
    let query = query(call)?;
    require(
        parameter(&query, "api-version") == Some("2.0"),
        StatusCode::BAD_REQUEST,
        "No api-version was supplied",
    )?;
    let audience = parameter(&query, "audience").unwrap_or("https://github.com/edgepass");
    let mint = Mint::new()
        .audience(audience)
        .expires_in(LIFETIME)
        .claim("repository", json!("edgepass/demo"))
        .claim("ref", json!("refs/heads/main"));
    let token = world.services.mint(TokenService::GitHub, &mint)?;
    let value: Value = json!({ "count": token.len(), "value": token });
    Ok(Reply::json(StatusCode::OK, &value))
}

/// The token of a job for a service connection, whose audience is settled.
fn pipelines(world: &World, call: &Call) -> Result<Reply, Box<Reply>> {
    require(
        call.method == Method::POST,
        StatusCode::METHOD_NOT_ALLOWED,
        "POST it",
    )?;
    let bearer = format!("Bearer {}", world.services.request_token);
    if call.header("authorization") != Some(&bearer) {
        let mut reply = refusal(StatusCode::UNAUTHORIZED, "TF400813: not authorized");
        // a browser is sent to a page
        if call.header("x-tfs-fedauthredirect") != Some("Suppress") {
            reply.status = StatusCode::FOUND;
            reply.set(http::header::LOCATION, "https://login.example/signin");
        }
        reply.set(http::HeaderName::from_static("x-vss-e2eid"), &guid());
        return Err(reply);
    }
    require(
        call.header("content-type") == Some("application/json"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the content type is not application/json",
    )?;
    require(
        call.header("content-length") == Some("0") && call.body.is_empty(),
        StatusCode::LENGTH_REQUIRED,
        "content-length: 0 is expected",
    )?;
    let query = query(call)?;
    require(
        parameter(&query, "api-version") == Some("7.1"),
        StatusCode::BAD_REQUEST,
        "No api-version was supplied",
    )?;
    require(
        parameter(&query, "serviceConnectionId") == Some(CONNECTION),
        StatusCode::NOT_FOUND,
        "the service connection does not exist",
    )?;
    let mint = Mint::new()
        .audience(crate::metadata::TOKEN_EXCHANGE)
        .expires_in(LIFETIME);
    let token = world.services.mint(TokenService::Pipelines, &mint)?;
    Ok(Reply::json(StatusCode::OK, &json!({ "oidcToken": token })))
}

/// The token of a machine's service account.
fn google(world: &World, call: &Call) -> Result<Reply, Box<Reply>> {
    let text = |status, text: &'static str| Box::new(Reply::text(status, "text/html", text));
    if call.header("metadata-flavor") != Some("Google") {
        return Err(text(
            StatusCode::FORBIDDEN,
            "missing required header: Metadata-Flavor",
        ));
    }
    if call.headers.contains_key("x-forwarded-for") {
        return Err(text(
            StatusCode::FORBIDDEN,
            "X-Forwarded-For is not allowed",
        ));
    }
    if call.method != Method::GET {
        return Err(text(StatusCode::METHOD_NOT_ALLOWED, "GET it"));
    }
    let path = call
        .path
        .strip_prefix("/computeMetadata/v1/instance/service-accounts/");
    let account = path.and_then(|path| path.strip_suffix("/identity"));
    if !matches!(
        account,
        Some("default" | "demo@edgepass.iam.gserviceaccount.com")
    ) {
        return Err(text(StatusCode::NOT_FOUND, "not found"));
    }
    let query = query(call)?;
    let Some(audience) = parameter(&query, "audience") else {
        return Err(text(
            StatusCode::BAD_REQUEST,
            "non-empty audience parameter required",
        ));
    };
    let mut mint = Mint::new()
        .audience(audience)
        .expires_in(GOOGLE_LIFETIME)
        .claim("azp", json!(TokenService::Google.subject()));
    if parameter(&query, "format") == Some("full") {
        mint = mint.claim("email", json!("demo@edgepass.iam.gserviceaccount.com"));
    }
    let token = world.services.mint(TokenService::Google, &mint)?;
    Ok(Reply::text(StatusCode::OK, "text/html", token))
}
