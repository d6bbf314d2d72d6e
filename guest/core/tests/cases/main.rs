//! The golden cases of `tests/cases`: a configuration, an environment, files and a scripted token server, and what must
//! come of them. One directory a case; `tests/cases/README.md` says what stands in it.
//! `EDGEPASS_CASE=name cargo test -p edgepass-core --test cases` runs one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken case file stops the test that reads it"
)]

mod checks;
mod play;
#[path = "../support/signatures.rs"]
mod signatures;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass_core::{
    AccessToken, CertificateError, CertificateHandle, ClientAssertion, Completed, Config,
    ConfigError, Effect, Engine, Environment, Error, Grant, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, Issuance, NOT_A_FILE, Now, OpenedCertificate, Outcome, ReadError, Refresh, Reply,
    Secret, SecretBytes, TokenRequest, TokenSource, TokenType, UserReference, Via,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use checks::{check_text, check_token};
use play::{Answer, Play};

/// 2026-11-01 00:00:00 UTC, when every case begins.
const START_UNIX_MS: u64 = 1_793_491_200_000;

/// More cases than this stand there; fewer means that the directory was not found.
const FEWEST_CASES: usize = 20;

/// What every signature is: cases are about what is signed.
const SIGNATURE: &[u8] = b"signed";

/// Fields of a form of which nothing may come back in an answer.
const SECRETS: &[&str] = &[
    "client_assertion",
    "client_secret",
    "assertion",
    "code",
    "code_verifier",
    "refresh_token",
    "subject_token",
    "actor_token",
    "user_federated_identity_credential",
];

#[test]
fn every_case_comes_out_as_written() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases");
    let only = std::env::var("EDGEPASS_CASE").ok();
    let mut cases: Vec<PathBuf> = fs::read_dir(&root)
        .expect("tests/cases is there")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(
        cases.len() >= FEWEST_CASES,
        "only {} cases in {}",
        cases.len(),
        root.display()
    );
    let mut failures = Vec::new();
    let mut ran = 0;
    for path in cases {
        let name = path.file_name().expect("a name").to_string_lossy();
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        ran += 1;
        if let Err(failure) = Case::load(&path).run() {
            failures.push(format!("{name}: {failure}"));
        }
    }
    assert!(ran > 0, "there is no case {only:?}");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Whatever a form has of a grant is no parameter of the identity beside it, or there would be two values of it.
#[test]
fn what_edgepass_sends_is_no_additional_parameter() {
    // a token exchange's own stand beside those of the identity, and an agent is named by the one or the other
    const OF_BOTH: [&str; 2] = ["audience", "fmi_path"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases");
    let mut sent = BTreeMap::new();
    for entry in fs::read_dir(&root).expect("tests/cases is there") {
        let path = entry.expect("a readable directory").path();
        if !path.is_dir() {
            continue;
        }
        let case = Case::load(&path);
        let config = case.config.unwrap_or_default();
        let (_, set) = config
            .split_once("additional_parameters")
            .unwrap_or_default();
        let forms = case.http.into_iter().map(|at| at.request.form);
        let of_grants = forms.filter(|form| form.iter().any(|(name, _)| name == "grant_type"));
        for (name, _) in of_grants.flatten() {
            if !OF_BOTH.contains(&name.as_str()) && !set.contains(&format!("{name:?}: ")) {
                sent.insert(name, path.clone());
            }
        }
    }
    assert!(sent.len() > 15, "{sent:?}");
    for (name, path) in sent {
        let config = serde_json::json!({ "authority_hosts": ["idp.example"], "identities": { "app": {
            "token_endpoint": "https://idp.example/token", "client_id": "c",
            "credential": { "client_secret": { "value": "hunter2" } },
            "additional_parameters": { &name: "x" },
        } } });
        let error = Config::load(Some(&config.to_string()), &Environment::default())
            .expect_err(&format!("{name}, which is sent in {}", path.display()));
        assert!(
            error.to_string().contains("is sent by edgepass itself"),
            "{name}: {error}"
        );
    }
}

struct Case {
    config: Option<String>,
    env: BTreeMap<String, String>,
    request: Ask,
    files: BTreeMap<String, Vec<u8>>,
    identities: BTreeMap<String, Vec<String>>,
    issued: BTreeMap<String, Vec<Issued>>,
    http: Vec<Exchange>,
    expected: Expected,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ask {
    identity: Option<String>,
    scopes: Vec<String>,
    tenant: Option<String>,
    claims: Option<String>,
    force: bool,
    mtls_pop: bool,
    grant: Option<AskGrant>,
    /// Not a token, but the assertion alone.
    assertion: Option<AskAssertion>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum AskGrant {
    OnBehalfOf {
        assertion: Option<String>,
        session_key: Option<String>,
    },
    AuthorizationCode {
        code: String,
        redirect_uri: String,
        code_verifier: Option<String>,
        nonce: Option<String>,
    },
    RefreshToken(String),
    JwtBearer(String),
    TokenExchange {
        subject_token: String,
        subject_token_type: String,
        actor: Option<(String, String)>,
        #[serde(default)]
        audience: Vec<String>,
        #[serde(default)]
        resource: Vec<String>,
        requested_token_type: Option<String>,
    },
    Agent(String),
    AgentUser {
        agent: String,
        user: AskUser,
    },
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum AskUser {
    Username(String),
    ObjectId(String),
}

impl From<AskGrant> for Grant {
    fn from(grant: AskGrant) -> Self {
        match grant {
            AskGrant::OnBehalfOf {
                assertion,
                session_key,
            } => Self::OnBehalfOf {
                assertion: assertion.map(Secret::new),
                session_key: session_key.map(Secret::new),
            },
            AskGrant::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                nonce,
            } => Self::AuthorizationCode {
                code: Secret::new(code),
                redirect_uri,
                code_verifier: code_verifier.map(Secret::new),
                nonce: nonce.map(Secret::new),
            },
            AskGrant::RefreshToken(token) => Self::RefreshToken(Secret::new(token)),
            AskGrant::JwtBearer(assertion) => Self::JwtBearer(Secret::new(assertion)),
            AskGrant::TokenExchange {
                subject_token,
                subject_token_type,
                actor,
                audience,
                resource,
                requested_token_type,
            } => Self::TokenExchange {
                subject_token: Secret::new(subject_token),
                subject_token_type,
                actor: actor.map(|(token, kind)| (Secret::new(token), kind)),
                audience,
                resource,
                requested_token_type,
            },
            AskGrant::Agent(agent) => Self::Agent(agent),
            AskGrant::AgentUser { agent, user } => Self::AgentUser {
                agent,
                user: match user {
                    AskUser::Username(name) => UserReference::Username(name),
                    AskUser::ObjectId(id) => UserReference::ObjectId(id),
                },
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskAssertion {
    audience: Option<String>,
}

/// What comes of a platform's issuing a certificate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Issued {
    Certificate {
        der: String,
        client_id: String,
        tenant_id: String,
        token_service: String,
    },
    /// Why it does not.
    Unavailable(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    request: Wanted,
    response: Scripted,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default = "post")]
    method: String,
    url: String,
    /// Names and values in order. `*` is any value; an object looks into a JWT.
    #[serde(default)]
    form: Vec<(String, Value)>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The identity whose certificate authenticates the connection.
    via: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    body: Option<String>,
    /// In place of a response.
    error: Option<String>,
    /// What the driver says of that.
    detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    token: Option<Value>,
    /// The assertion, or what is to be in the JWT.
    assertion: Option<Value>,
    error: Option<WantedError>,
    config_error: Option<WantedConfigError>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedError {
    class: String,
    #[serde(default)]
    message: Vec<String>,
    #[serde(default)]
    hint: Vec<String>,
    retryable: Option<bool>,
    retry_after_ms: Option<u64>,
    http_status: Option<u16>,
    oauth_error: Option<String>,
    #[serde(default)]
    aadsts: Vec<u32>,
    correlation_id: Option<String>,
    trace_id: Option<String>,
    claims: Option<Value>,
    /// Whose failure it is.
    credential: Option<WantedCredential>,
    /// The others that were tried in vain, in order.
    #[serde(default)]
    attempts: Vec<WantedAttempt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedCredential {
    kind: String,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedAttempt {
    kind: String,
    name: Option<String>,
    class: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedConfigError {
    setting: String,
    #[serde(default)]
    message: Vec<String>,
    #[serde(default)]
    hint: Vec<String>,
}

fn post() -> String {
    "POST".to_owned()
}

type Checked<T = ()> = Result<T, String>;

impl Case {
    fn load(path: &Path) -> Self {
        let mut files = BTreeMap::new();
        gather(&path.join("fs"), Path::new("/"), &mut files);
        Self {
            config: fs::read_to_string(path.join("config.json")).ok(),
            env: json(&path.join("env.json")).unwrap_or_default(),
            request: json(&path.join("request.json")).unwrap_or_default(),
            files,
            identities: json(&path.join("identities.json")).unwrap_or_default(),
            issued: json(&path.join("issued.json")).unwrap_or_default(),
            http: json(&path.join("http.json")).unwrap_or_default(),
            expected: json(&path.join("expected.json")).expect("expected.json is there"),
        }
    }

    fn run(&self) -> Checked {
        let environment = Environment::from_pairs(&self.env);
        let config = match (
            Config::load(self.config.as_deref(), &environment),
            &self.expected.config_error,
        ) {
            (Ok(config), None) => config,
            (Err(error), Some(wanted)) => return wanted.check(&error),
            (Ok(_), Some(_)) => return Err("the configuration was taken".into()),
            (Err(error), None) => return Err(format!("the configuration was refused: {error}")),
        };
        let mut play = Play {
            case: self,
            engine: Engine::new(config, [3; 32]),
            mono_ms: 0,
            handles: Vec::new(),
            refused: BTreeMap::new(),
            answered: 0,
            sent: Vec::new(),
        };
        let answer = play.answer_of_engine()?;
        if play.answered != self.http.len() {
            return Err(format!(
                "{} of {} scripted requests were sent",
                play.answered,
                self.http.len()
            ));
        }
        let shown = match &answer {
            Ok(Answer::Token(token)) => format!("{token:?}"),
            Ok(Answer::Assertion(assertion)) => format!("{assertion:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        if let Some(leak) = play.sent.iter().find(|secret| shown.contains(*secret)) {
            return Err(format!("what was sent is shown again: {leak}"));
        }
        let Expected {
            token,
            assertion,
            error,
            ..
        } = &self.expected;
        match (&answer, token, assertion, error) {
            (Ok(Answer::Token(token)), Some(wanted), None, None) => check_token(token, wanted),
            (Ok(Answer::Assertion(assertion)), None, Some(wanted), None) => {
                check_text("assertion", assertion.assertion.expose(), wanted)
            }
            (Err(error), None, None, Some(wanted)) => wanted.check(error),
            _ => Err(format!("the answer is {answer:?}")),
        }
    }
}

fn json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn gather(dir: &Path, at: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.expect("a readable directory");
        let (from, to) = (entry.path(), at.join(entry.file_name()));
        if from.is_dir() {
            gather(&from, &to, files);
        } else {
            let bytes = fs::read(&from).expect("a readable file");
            files.insert(to.to_str().expect("UTF-8").to_owned(), bytes);
        }
    }
}
