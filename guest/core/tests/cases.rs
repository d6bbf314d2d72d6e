//! The golden cases of `tests/cases`: a configuration, an environment, files and a scripted token server, and what must
//! come of them. One directory a case; `tests/cases/README.md` says what stands in it.
//! `EDGEPASS_CASE=name cargo test -p edgepass-core --test cases` runs one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken case file stops the test that reads it"
)]

#[path = "support/signatures.rs"]
mod signatures;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgepass_core::{
    AccessToken, CertificateError, CertificateHandle, ClientAssertion, Completed, Config,
    ConfigError, Effect, Engine, Environment, Error, Grant, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, Issuance, Now, OpenedCertificate, Outcome, ReadError, Refresh, Reply, Secret,
    SecretBytes, TokenRequest, TokenSource, TokenType, UserReference, Via,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

/// What a case asks for.
#[derive(Debug)]
enum Answer {
    Token(Box<AccessToken>),
    Assertion(ClientAssertion),
}

/// A case under way.
struct Play<'a> {
    case: &'a Case,
    engine: Engine,
    mono_ms: u64,
    handles: Vec<String>,
    /// How many handshakes were refused, by the certificate: whoever issues them replaces a certificate that was.
    refused: BTreeMap<String, usize>,
    answered: usize,
    /// Credentials as they went out: none may come back in an answer.
    sent: Vec<String>,
}

impl Play<'_> {
    fn now(&self) -> Now {
        Now {
            unix_ms: START_UNIX_MS + self.mono_ms,
            mono_ms: self.mono_ms,
        }
    }

    fn answer_of_engine(&mut self) -> Checked<Result<Answer, Error>> {
        let ticket = match self.ask() {
            Ok(Reply::Ready(answer)) => return Ok(answer.map(|token| Answer::Token(token.into()))),
            Ok(Reply::Pending(ticket)) => ticket,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            while let Some((id, effect)) = self.engine.next_effect() {
                if let Some(outcome) = self.perform(effect)? {
                    let now = self.now();
                    self.engine.complete(id, outcome, now);
                }
            }
            if let Some(completed) = self.engine.take(ticket) {
                return match completed {
                    Completed::Token(answer) => Ok(answer.map(|token| Answer::Token(token.into()))),
                    Completed::Assertion(answer) => Ok(answer.map(Answer::Assertion)),
                    _ => Err("another kind of answer".into()),
                };
            }
            self.mono_ms = self.engine.next_deadline().ok_or("nothing is to come")?;
            let now = self.now();
            self.engine.wake(now);
        }
    }

    fn ask(&mut self) -> Result<Reply, Error> {
        let (ask, now) = (&self.case.request, self.now());
        if let Some(AskAssertion { audience }) = &ask.assertion {
            let identity = ask.identity.as_deref();
            let ticket = self
                .engine
                .request_assertion(now, identity, audience.as_deref());
            return ticket.map(Reply::Pending);
        }
        let request = TokenRequest {
            identity: ask.identity.clone(),
            scopes: ask.scopes.clone(),
            tenant: ask.tenant.clone(),
            claims: ask.claims.clone(),
            grant: ask
                .grant
                .clone()
                .map_or(Grant::ClientCredentials, Grant::from),
            refresh: if ask.force {
                Refresh::Force
            } else {
                Refresh::IfNeeded
            },
            token_type: if ask.mtls_pop {
                TokenType::MtlsPop
            } else {
                TokenType::Bearer
            },
        };
        Ok(self.engine.request(now, &request))
    }

    fn perform(&mut self, effect: Effect) -> Checked<Option<Outcome>> {
        Ok(Some(match effect {
            Effect::ReadFile { path } => {
                let bytes = self.case.files.get(&path).cloned();
                Outcome::File(bytes.map(SecretBytes::new).ok_or(ReadError::NotFound))
            }
            Effect::OpenCertificate { name } => Outcome::Certificate(self.open(&name)),
            Effect::Sign { .. } => Outcome::Signature(Ok(SIGNATURE.to_vec())),
            Effect::Verify {
                algorithm,
                key,
                input,
                signature,
            } => Outcome::Verified(signatures::verify(algorithm, &key, &input, &signature)),
            Effect::Http { request, via } => Outcome::Http(self.answer(&request, via)?),
            Effect::CloseCertificate { .. } | Effect::Cancel { .. } => return Ok(None),
            other => return Err(format!("no case scripts this: {other:?}")),
        }))
    }

    fn open(&mut self, name: &str) -> Result<OpenedCertificate, CertificateError> {
        let refused = self.refused.get(name).copied().unwrap_or_default();
        let issued = self.case.issued.get(name);
        let (chain, issuance) =
            match issued.and_then(|issued| issued.get(refused).or(issued.last())) {
                None => {
                    let chain = self.case.identities.get(name);
                    (chain.ok_or(CertificateError::NotFound)?.clone(), None)
                }
                Some(Issued::Unavailable(why)) => {
                    return Err(CertificateError::Unavailable(why.clone()));
                }
                Some(Issued::Certificate {
                    der,
                    client_id,
                    tenant_id,
                    token_service,
                }) => (
                    vec![der.clone()],
                    Some(Issuance {
                        client_id: client_id.clone(),
                        tenant_id: tenant_id.clone(),
                        token_service: token_service.clone(),
                    }),
                ),
            };
        self.handles.push(name.to_owned());
        Ok(OpenedCertificate {
            handle: CertificateHandle(self.handles.len() as u64),
            certificate_chain: chain
                .iter()
                .map(|der| STANDARD.decode(der).expect("base64"))
                .collect(),
            issuance,
        })
    }

    fn answer(
        &mut self,
        request: &HttpRequest,
        via: Via,
    ) -> Checked<Result<HttpResponse, HttpError>> {
        let exchange = self
            .case
            .http
            .get(self.answered)
            .ok_or_else(|| format!("a request too many: {request:?}"))?;
        self.answered += 1;
        let via = match via {
            Via::Public => None,
            Via::Certificate(handle) => self.handles.get(handle.0 as usize - 1),
        };
        if via != exchange.request.via.as_ref() {
            return Err(format!("the connection is authenticated with {via:?}"));
        }
        let needs = self.engine.config().needs();
        let mut all = needs.connections.iter().chain(&needs.id_tokens);
        let permitted = all.any(|need| {
            let HttpRequest {
                scheme,
                authority,
                path,
                method,
                ..
            } = request;
            need.permission.permits(scheme, authority, path)
                && need.permission.purpose.method() == *method
                && need.certificate.as_ref() == via
        });
        if !permitted {
            return Err(format!("no driver lets this out: {request:?}"));
        }
        if let (Some(name), Some(_)) = (via, &exchange.response.error) {
            *self.refused.entry(name.clone()).or_default() += 1;
        }
        self.sent.extend(exchange.request.check(request)?);
        Ok(exchange.response.as_result())
    }
}

impl Wanted {
    /// The credentials in the request, when it is as it should be.
    fn check(&self, request: &HttpRequest) -> Checked<Vec<String>> {
        let url = match self.url.contains('?') {
            true => format!("{}://{}{}", request.scheme, request.authority, request.path),
            false => request.url(),
        };
        same("url", &url, &self.url)?;
        same("method", &request.method, &self.method.as_str())?;
        for (name, wanted) in &self.headers {
            let value = request.headers.iter().find(|(n, _)| n == name);
            let value = value.map(|(_, value)| value.expose());
            same(&format!("header {name}"), &value, &Some(wanted.as_str()))?;
        }
        let form: Vec<(String, String)> = form_urlencoded::parse(request.body.expose())
            .into_owned()
            .collect();
        let names = |pairs: Vec<&String>| {
            pairs
                .into_iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(",")
        };
        same(
            "form",
            &names(form.iter().map(|(name, _)| name).collect()),
            &names(self.form.iter().map(|(name, _)| name).collect()),
        )?;
        let mut credentials = Vec::new();
        for ((name, value), (_, wanted)) in form.iter().zip(&self.form) {
            check_text(name, value, wanted)?;
            if SECRETS.contains(&name.as_str()) {
                credentials.push(value.clone());
            }
        }
        Ok(credentials)
    }
}

/// A text as it is written, any, or a JWT with this in it.
fn check_text(name: &str, value: &str, wanted: &Value) -> Checked {
    match wanted {
        Value::String(any) if any == "*" => Ok(()),
        Value::Object(parts) => parts.iter().try_for_each(|(part, wanted)| {
            let place = ["header", "claims"].iter().position(|name| name == part);
            let place = place.ok_or_else(|| format!("a JWT has no {part}"))?;
            let encoded = value.split('.').nth(place).unwrap_or_default();
            let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|e| e.to_string())?;
            let found: Value = serde_json::from_slice(&decoded).map_err(|e| e.to_string())?;
            contains(&format!("{name}.{part}"), &found, wanted)
        }),
        wanted => same(name, &Value::from(value), wanted),
    }
}

impl Scripted {
    fn as_result(&self) -> Result<HttpResponse, HttpError> {
        if let Some(kind) = &self.error {
            let kind = match kind.as_str() {
                "connect" => HttpErrorKind::Connect,
                "dns" => HttpErrorKind::Dns,
                "reset" => HttpErrorKind::Reset,
                "server-certificate" => HttpErrorKind::ServerCertificate,
                "server-name" => HttpErrorKind::ServerName,
                "server-certificate-date" => HttpErrorKind::ServerCertificateDate,
                "server-certificate-unfit" => HttpErrorKind::ServerCertificateUnfit,
                "client-certificate" => HttpErrorKind::ClientCertificate,
                "no-client-certificate" => HttpErrorKind::NoClientCertificate,
                "proxy" => HttpErrorKind::Proxy,
                "proxy-refused" => HttpErrorKind::ProxyRefused,
                "timeout" => HttpErrorKind::Timeout,
                "body-too-large" => HttpErrorKind::BodyTooLarge,
                other => panic!("no such failure: {other}"),
            };
            return Err(HttpError {
                kind,
                detail: self.detail.clone().unwrap_or_default(),
            });
        }
        let mut headers: Vec<_> = self.headers.clone().into_iter().collect();
        if self.json.is_some() {
            headers.push(("content-type".into(), "application/json".into()));
        }
        let body = self.json.as_ref().map(Value::to_string);
        Ok(HttpResponse {
            status: self.status,
            headers,
            body: SecretBytes::new(body.or_else(|| self.body.clone()).unwrap_or_default()),
        })
    }
}

impl WantedError {
    fn check(&self, error: &Error) -> Checked {
        let detail = error.detail();
        same("class", &error.class().name(), &self.class.as_str())?;
        includes("message", &detail.message, &self.message)?;
        includes(
            "hint",
            detail.hint.as_deref().unwrap_or_default(),
            &self.hint,
        )?;
        same("aadsts", &detail.aadsts, &self.aadsts)?;
        same("http_status", &detail.http_status, &self.http_status)?;
        same("oauth_error", &detail.oauth_error, &self.oauth_error)?;
        same(
            "retry_after_ms",
            &detail.retry_after_ms,
            &self.retry_after_ms,
        )?;
        if let Some(retryable) = self.retryable {
            same("retryable", &detail.retryable, &retryable)?;
        }
        for (name, found, wanted) in [
            (
                "correlation_id",
                &detail.correlation_id,
                &self.correlation_id,
            ),
            ("trace_id", &detail.trace_id, &self.trace_id),
        ] {
            if wanted.is_some() {
                same(name, found, wanted)?;
            }
        }
        if let Some(wanted) = &self.credential {
            let found = detail.credential.as_ref();
            same("kind", &found.map(|c| &c.kind), &Some(&wanted.kind))?;
            same(
                "name",
                &found.and_then(|c| c.name.as_ref()),
                &wanted.name.as_ref(),
            )?;
        }
        let found = detail.attempts.iter();
        let found: Vec<_> = found
            .map(|a| {
                (
                    &a.credential.kind,
                    a.credential.name.as_ref(),
                    a.class.name(),
                )
            })
            .collect();
        let wanted = self.attempts.iter();
        let wanted: Vec<_> = wanted
            .map(|a| (&a.kind, a.name.as_ref(), a.class.as_str()))
            .collect();
        same("attempts", &found, &wanted)?;
        let claims = detail
            .claims
            .as_deref()
            .and_then(|claims| serde_json::from_str(claims).ok());
        same::<Option<Value>>("claims", &claims, &self.claims)
    }
}

impl WantedConfigError {
    fn check(&self, error: &ConfigError) -> Checked {
        same("setting", &error.setting, &self.setting)?;
        includes("message", &error.message, &self.message)?;
        includes(
            "hint",
            error.hint.as_deref().unwrap_or_default(),
            &self.hint,
        )
    }
}

fn check_token(token: &AccessToken, wanted: &Value) -> Checked {
    let source = match token.source {
        TokenSource::Exchange => "exchange",
        TokenSource::Cache => "cache",
        TokenSource::SharedExchange => "shared-exchange",
    };
    let found = serde_json::json!({
        "token": token.token.expose(),
        "token_type": token.token_type,
        "expires_on": token.expires_on,
        "refresh_on": token.refresh_on,
        "scope": token.scope,
        "identity": token.identity,
        "source": source,
        "certificate_thumbprint": token.certificate_thumbprint,
        "refresh_token": token.refresh_token.as_ref().map(Secret::expose),
        "id_token": token.id_token.as_ref().map(Secret::expose),
        "issued_token_type": token.issued_token_type,
    });
    let mut wanted = wanted.clone();
    // jitter: a range of unix seconds
    if let Some(range) = wanted
        .as_object_mut()
        .and_then(|wanted| wanted.remove("refresh_on_between"))
    {
        let (from, to): (u64, u64) = serde_json::from_value(range).map_err(|e| e.to_string())?;
        if !(from..=to).contains(&token.refresh_on) {
            return Err(format!("refresh_on is {}", token.refresh_on));
        }
    }
    contains("token", &found, &wanted)
}

/// Every wanted field is there with its value; `*` is any.
fn contains(what: &str, found: &Value, wanted: &Value) -> Checked {
    match (found, wanted) {
        (_, Value::String(any)) if any == "*" && !found.is_null() => Ok(()),
        (Value::Object(found), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                let found = found.get(name).unwrap_or(&Value::Null);
                contains(&format!("{what}.{name}"), found, wanted)?;
            }
            Ok(())
        }
        _ => same(what, found, wanted),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Checked {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} is {found:?} instead of {wanted:?}"))
}

fn includes(what: &str, found: &str, wanted: &[String]) -> Checked {
    match wanted.iter().find(|part| !found.contains(part.as_str())) {
        None => Ok(()),
        Some(part) => Err(format!("{what} lacks {part:?}: {found}")),
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
