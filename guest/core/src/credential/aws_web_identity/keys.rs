//! Where the keys of a role come from.

use crate::config::error::{ConfigError, check};
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::platform::{self, Question, Server};
use crate::credential::{Failure, TextFile};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::limits::MAX_ASSERTION_BYTES;
use crate::needs::{PathPattern, Purpose, Scheme};
use crate::{Secret, SecretBytes};

const ACCESS_KEY: &str = "AWS_ACCESS_KEY_ID";
const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// The container's endpoint: a path at the address of ECS, or a URL.
const RELATIVE_URI: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";

/// What to show there: the text, or the file that holds it (EKS Pod Identity).
const AUTHORIZATION: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const AUTHORIZATION_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The address of ECS.
const ECS: &str = "169.254.170.2";

/// The metadata service of a machine.
const IMDS: &str = "169.254.169.254";

/// Replaces that, as in the AWS SDKs.
const IMDS_ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// A role by a web identity (IRSA of EKS): there the machine's role is somebody else's.
const WEB_IDENTITY_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";

/// Switches it off.
const IMDS_DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

const SESSION_PATH: &str = "/latest/api/token";
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";

/// How long a session with the metadata service lives, seconds: two questions.
const SESSION_S: &str = "60";

const CONTAINER: &str = "the credentials endpoint of the container";
const MACHINE: &str = "the metadata service of the machine";

const CONTAINER_HINT: &str =
    "give the task or the service account a role, and this container its variables AWS_CONTAINER_…";
const MACHINE_HINT: &str = "attach a role to the instance; in a container the instance's hop limit \
                            (HttpPutResponseHopLimit) has to be 2";

const TOKEN_FILE: TextFile = TextFile {
    what: "the authorization token file",
    setting: AUTHORIZATION_FILE,
    max_bytes: MAX_ASSERTION_BYTES,
};

/// The keys of a role.
pub(super) struct Keys {
    pub(super) access_key: Secret,
    pub(super) secret_key: Secret,
    pub(super) session_token: Option<Secret>,
}

impl Keys {
    /// What must not come back in a message. The access key is a name.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let mut secrets = vec![self.secret_key.clone()];
        secrets.extend(self.session_token.clone());
        secrets
    }
}

/// Where they come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Environment {
        access_key: Secret,
        secret_key: Secret,
        session_token: Option<Secret>,
    },
    Container {
        server: Server,
        path: String,
        authorization: Authorization,
    },
    Machine(Server),
    /// It was switched off.
    Nowhere,
    /// The role is that of a web identity, which is not assumed here.
    WebIdentity,
}

#[derive(Clone, Debug)]
pub(super) enum Authorization {
    None,
    Text(Secret),
    File(String),
}

impl Source {
    /// The first that is set, in the order of the AWS SDKs.
    pub(super) fn check(place: &Place<'_>) -> Result<Self, ConfigError> {
        let secret = |name: &str| {
            let value = place.variable_of_platform(name, true);
            value
                .map(|value| platform::header_value(name, value))
                .transpose()
        };
        let session_token = secret(SESSION_TOKEN)?;
        match (secret(ACCESS_KEY)?, secret(SECRET_KEY)?) {
            (Some(access_key), Some(secret_key)) => {
                return Ok(Self::Environment {
                    access_key,
                    secret_key,
                    session_token,
                });
            }
            (None, None) => {}
            (one, _) => {
                let (set, other) = match one {
                    Some(_) => (ACCESS_KEY, SECRET_KEY),
                    None => (SECRET_KEY, ACCESS_KEY),
                };
                return Err(ConfigError::new(other, format!("is not set, and {set} is"))
                    .hint("set both, or neither where the role comes from the container or the machine"));
            }
        }
        if let Some((server, path)) = container(place)? {
            let exact = PathPattern::Exact(path.clone());
            server.need(place, Purpose::Platform, exact);
            let authorization = match (
                place.variable_alone(AUTHORIZATION_FILE),
                secret(AUTHORIZATION)?,
            ) {
                (Some(path), _) => {
                    check(AUTHORIZATION_FILE, rules::path(path))?;
                    place.need(|needs| needs.add_file(AUTHORIZATION_FILE.to_owned(), path));
                    Authorization::File(path.to_owned())
                }
                (None, Some(text)) => Authorization::Text(text),
                (None, None) => Authorization::None,
            };
            return Ok(Self::Container {
                server,
                path,
                authorization,
            });
        }
        if place.variable_alone(WEB_IDENTITY_FILE).is_some() {
            return Ok(Self::WebIdentity);
        }
        if place.flag(IMDS_DISABLED, "aws_web_identity")? {
            return Ok(Self::Nowhere);
        }
        let url = place.variable_alone(IMDS_ENDPOINT);
        let authority = url.map_or(IMDS, |url| {
            let authority = url.strip_prefix("http://").unwrap_or_default();
            authority.strip_suffix('/').unwrap_or(authority)
        });
        let server = Server::link_local(authority).ok_or_else(|| {
            ConfigError::new(
                IMDS_ENDPOINT,
                "is not http:// and an address of this machine or its link",
            )
            .hint("unset it for http://169.254.169.254")
        })?;
        let session = PathPattern::Exact(SESSION_PATH.to_owned());
        server.need(place, Purpose::PlatformPut, session);
        let role = PathPattern::Prefix(ROLE_PATH.to_owned());
        server.need(place, Purpose::Platform, role);
        Ok(Self::Machine(server))
    }

    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Environment { .. } => "keys of the environment",
            Self::Container { .. } => "role of the container",
            Self::Machine(_) => "role of the machine",
            Self::Nowhere => "no role: the metadata service is switched off",
            Self::WebIdentity => "no role: it is that of a web identity (IRSA)",
        }
    }

    pub(super) fn distinguish(&self, out: &mut Distinction) {
        out.add(self.describe());
        match self {
            Self::Environment {
                access_key,
                secret_key,
                session_token,
            } => {
                out.add(access_key.expose());
                out.add(secret_key.expose());
                out.add_optional(session_token.as_ref().map(Secret::expose));
            }
            Self::Container {
                server,
                path,
                authorization,
            } => {
                out.add(&server.authority);
                out.add(path);
                match authorization {
                    Authorization::None => {}
                    Authorization::Text(text) => out.add(text.expose()),
                    Authorization::File(path) => out.add(path),
                }
            }
            Self::Machine(server) => out.add(&server.authority),
            Self::Nowhere | Self::WebIdentity => {}
        }
    }

    /// The keys now.
    pub(super) async fn keys(&self, io: &Io, correlation_id: &str) -> Result<Keys, Failure> {
        match self {
            Self::Environment {
                access_key,
                secret_key,
                session_token,
            } => Ok(Keys {
                access_key: access_key.clone(),
                secret_key: secret_key.clone(),
                session_token: session_token.clone(),
            }),
            Self::Container {
                server,
                path,
                authorization,
            } => {
                let authorization = match authorization {
                    Authorization::None => None,
                    Authorization::Text(text) => Some(text.clone()),
                    Authorization::File(path) => {
                        let text = TOKEN_FILE.read(io, path).await?;
                        if !text.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
                            return Err(platform::invalid(format!(
                                "the authorization token file {path} has characters that no header may carry"
                            )));
                        }
                        Some(text)
                    }
                };
                let secrets: Vec<Secret> = authorization.iter().cloned().collect();
                let mut headers = vec![("accept", Secret::new("application/json"))];
                headers.extend(authorization.map(|text| ("authorization", text)));
                let question = Question {
                    who: CONTAINER,
                    server,
                    purpose: Purpose::Platform,
                    path: path.clone(),
                    headers,
                    body: SecretBytes::default(),
                    secrets: &secrets,
                    correlation_id,
                    hint: CONTAINER_HINT,
                };
                read(CONTAINER, &question.ask(io).await?)
            }
            Self::Machine(server) => machine(io, server, correlation_id).await,
            Self::WebIdentity => Err(platform::not_here(
                format!(
                    "the role of AWS is that of {WEB_IDENTITY_FILE}, which is not assumed here, and the machine's role is somebody else's"
                ),
                "give the service account its role by EKS Pod Identity, or set the keys of the role; or prove the client by a projected token of the cluster itself (federated_token_file)",
            )),
            Self::Nowhere => Err(platform::not_here(
                format!(
                    "no role of AWS: {IMDS_DISABLED} is set, and neither keys nor a container's endpoint are"
                ),
                CONTAINER_HINT,
            )),
        }
    }
}

/// The metadata service in its second version, which wants a session first: a forged request cannot PUT.
async fn machine(io: &Io, server: &Server, correlation_id: &str) -> Result<Keys, Failure> {
    let question = |purpose, path, headers, secrets| Question {
        who: MACHINE,
        server,
        purpose,
        path,
        headers,
        body: SecretBytes::default(),
        secrets,
        correlation_id,
        hint: MACHINE_HINT,
    };
    let life = (
        "x-aws-ec2-metadata-token-ttl-seconds",
        Secret::new(SESSION_S),
    );
    let begun = question(
        Purpose::PlatformPut,
        SESSION_PATH.to_owned(),
        vec![life],
        &[],
    );
    let begun = begun.ask(io).await.map_err(elsewhere)?;
    let session = line(&begun).ok_or_else(|| invalid("a session"))?;
    let secrets = [session.clone()];
    let get = |path| {
        let shown = ("x-aws-ec2-metadata-token", session.clone());
        question(Purpose::Platform, path, vec![shown], &secrets)
    };
    let role = get(ROLE_PATH.to_owned()).ask(io).await.map_err(elsewhere)?;
    let role = line(&role).filter(|role| rules::aws_role(role.expose()));
    let role = role.ok_or_else(|| invalid("the name of a role"))?;
    let keys = get(format!("{ROLE_PATH}{}", role.expose())).ask(io).await?;
    read(MACHINE, &keys)
}

fn invalid(what: &str) -> Failure {
    platform::invalid(format!("{MACHINE} did not give {what}"))
}

/// Where no role is attached, and on the machines of other clouds, it is not found.
fn elsewhere(failure: Failure) -> Failure {
    match failure.error.detail().http_status {
        Some(400..=405) => Failure::not_here(failure.error),
        _ => failure,
    }
}

/// One line of text that a header takes.
fn line(answer: &crate::effect::HttpResponse) -> Option<Secret> {
    let text = std::str::from_utf8(answer.body.expose()).ok()?.trim();
    let is_line = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_line.then(|| Secret::new(text))
}

fn read(who: &str, answer: &crate::effect::HttpResponse) -> Result<Keys, Failure> {
    let keys = Keys {
        access_key: platform::field(who, answer, "AccessKeyId")?,
        secret_key: platform::field(who, answer, "SecretAccessKey")?,
        session_token: Some(platform::field(who, answer, "Token")?),
    };
    let mut all = keys.secrets();
    all.push(keys.access_key.clone());
    let is_header_value = |key: &Secret| key.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if all.iter().all(is_header_value) {
        return Ok(keys);
    }
    Err(platform::invalid(format!(
        "{who} gave keys with characters that no header may carry"
    )))
}

/// The container's endpoint, if there is one.
fn container(place: &Place<'_>) -> Result<Option<(Server, String)>, ConfigError> {
    if let Some(path) = place.variable_alone(RELATIVE_URI) {
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_path {
            return Err(ConfigError::new(RELATIVE_URI, "is not a path")
                .hint("ECS sets it: leave it as it is"));
        }
        return Ok(Server::link_local(ECS).map(|server| (server, path.to_owned())));
    }
    let Some(url) = place.variable_alone(FULL_URI) else {
        return Ok(None);
    };
    check(FULL_URI, rules::filled_in(url))?;
    let Some(rest) = url.strip_prefix("http://") else {
        return Server::https(FULL_URI, url).map(Some);
    };
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at).unwrap_or_default();
    let server = Server::link_local(authority)
        .filter(|server| server.scheme == Scheme::LinkLocalHttp)
        .filter(|_| path.bytes().all(|byte| byte.is_ascii_graphic()));
    let server = server.ok_or_else(|| {
        ConfigError::new(
            FULL_URI,
            "is neither https:// nor http:// and an address of this machine or its link",
        )
        .hint("ECS and EKS set it: leave it as it is")
    })?;
    let path = if path.is_empty() { "/" } else { path };
    Ok(Some((server, path.to_owned())))
}
