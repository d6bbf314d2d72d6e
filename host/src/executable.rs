//! An assertion that a command prints, by the contract of Google's executable-sourced credentials (AIP-4117): the
//! audience in a variable, JSON on standard output. The command is run directly, gets no input, and has its time and a
//! bound for what it prints; what it writes to standard error is read by nobody.

use std::process::Stdio;
use std::time::Duration;

use edgepass_core::needs::ExecutableNeed;
use edgepass_core::{AssertionError, Environment, Secret, SuppliedAssertion};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use crate::limits;

/// The version of the contract.
const VERSION: u64 = 1;

/// What is asked for.
const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Types whose token is `id_token`.
const ID_TOKENS: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:id_token",
    "urn:ietf:params:oauth:token-type:jwt",
];

/// The type whose token is `saml_response`.
const SAML: &str = "urn:ietf:params:oauth:token-type:saml2";

/// Variables that any program may need to find its own files.
const USUAL: [&str; 2] = ["PATH", "HOME"];

/// A command of the configuration, with what it is told.
pub(crate) struct Executable {
    need: ExecutableNeed,
    variables: Vec<(String, Zeroizing<String>)>,
}

/// What a command prints.
#[derive(Deserialize)]
struct Answer {
    version: u64,
    success: bool,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    id_token: Option<Secret>,
    #[serde(default)]
    saml_response: Option<Secret>,
    #[serde(default)]
    expiration_time: Option<i64>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl Executable {
    /// With its variables from that environment.
    pub(crate) fn new(need: ExecutableNeed, environment: &Environment) -> Self {
        let passed = need.environment.iter().map(String::as_str);
        let passed = USUAL.into_iter().chain(passed);
        let mut variables: Vec<_> = passed
            .filter_map(|name| {
                let value = environment.get(name)?.to_owned();
                Some((name.to_owned(), Zeroizing::new(value)))
            })
            .collect();
        let contract = [
            ("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", need.audience.as_str()),
            ("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", TOKEN_TYPE),
            ("GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0"),
        ];
        variables.extend(
            contract.map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned()))),
        );
        Self { need, variables }
    }

    /// Its program.
    pub(crate) fn command(&self) -> &str {
        &self.need.command
    }

    /// What it says is for people: without what it was given.
    fn without_secrets(&self, error: AssertionError) -> AssertionError {
        let named = |name: &String| self.need.environment.contains(name);
        let variables = self.variables.iter().filter(|(name, _)| named(name));
        let values = variables.map(|(_, value)| value.as_str());
        // of `--option=value` the value
        let arguments = self.need.arguments.iter().map(|argument| match argument {
            option if option.starts_with('-') => {
                option.split_once('=').map_or("", |(_, value)| value)
            }
            argument => argument,
        });
        let secrets: Vec<Secret> = values
            .chain(arguments)
            .filter(|text| text.len() >= SHORTEST_SECRET)
            .map(Secret::new)
            .collect();
        match error {
            AssertionError::Other(said) => {
                AssertionError::Other(edgepass_core::without_secrets(&said, &secrets))
            }
            other => other,
        }
    }

    /// Runs it.
    pub(crate) async fn assertion(&self) -> Result<SuppliedAssertion, AssertionError> {
        let mut command = Command::new(&self.need.command);
        command
            .args(&self.need.arguments)
            .env_clear()
            .envs(self.variables.iter().map(|(n, v)| (n, v.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        // what it starts ends with it
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => AssertionError::NotConfigured,
            _ => AssertionError::Other(format!("it cannot be started: {e}")),
        })?;
        let mut running = Running(child);
        let limit = Duration::from_millis(self.need.timeout_ms);
        match tokio::time::timeout(limit, running.finish()).await {
            Ok(printed) => printed
                .and_then(|printed| read(&printed, now()))
                .map_err(|error| self.without_secrets(error)),
            Err(_) => Err(AssertionError::Temporary(format!(
                "it did not end within {} ms (timeout_ms)",
                self.need.timeout_ms
            ))),
        }
    }
}

/// What is shorter is a word of the language more often than a secret, bytes.
const SHORTEST_SECRET: usize = 6;

/// A process that is ended, with all that it started, when it is given up. What it leaves behind when it ends by itself goes
/// on: its number may be somebody else's by then.
struct Running(Child);

impl Running {
    /// What it has printed when it has ended well.
    async fn finish(&mut self) -> Result<Zeroizing<Vec<u8>>, AssertionError> {
        let failed = |e: std::io::Error| AssertionError::Other(format!("it cannot be read: {e}"));
        // one allocation, so that growing leaves no copies behind that are not wiped
        let mut printed = Zeroizing::new(Vec::with_capacity(limits::EXECUTABLE_BYTES + 1));
        if let Some(output) = self.0.stdout.take() {
            let limit = limits::EXECUTABLE_BYTES as u64 + 1;
            let mut output = output.take(limit);
            output.read_to_end(&mut printed).await.map_err(failed)?;
        }
        if printed.len() > limits::EXECUTABLE_BYTES {
            return Err(AssertionError::Other(format!(
                "it printed more than {} bytes",
                limits::EXECUTABLE_BYTES
            )));
        }
        let status = self.0.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(printed);
        }
        // an answer that says why is worth more than the status
        match read(&printed, 0) {
            Err(said @ AssertionError::Other(_)) if says_why(&printed) => Err(said),
            _ => Err(AssertionError::Other(format!("it ended with {status}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            // one that has been waited for has no number any more, so nobody else is meant by it
            let pid = self.0.id().and_then(|id| i32::try_from(id).ok());
            if let Some(group) = pid.and_then(rustix::process::Pid::from_raw) {
                // it may have ended by itself
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
        }
    }
}

fn says_why(printed: &[u8]) -> bool {
    serde_json::from_slice::<Answer>(printed).is_ok_and(|answer| !answer.success)
}

/// The assertion in what was printed.
fn read(printed: &[u8], unix_s: i64) -> Result<SuppliedAssertion, AssertionError> {
    let other = |reason: String| Err(AssertionError::Other(reason));
    // an error of the reader may quote what stands there
    let Ok(answer) = serde_json::from_slice::<Answer>(printed) else {
        return other(format!(
            "what it printed, {} bytes, is not the JSON object with `version`, `success` and a token",
            printed.len()
        ));
    };
    if answer.version != VERSION {
        return other(format!(
            "it answers by version {} of the contract, and {VERSION} is known",
            answer.version
        ));
    }
    if !answer.success {
        let code = answer.code.unwrap_or_default();
        let message = answer.message.unwrap_or_default();
        let tokens = [answer.id_token, answer.saml_response];
        let tokens: Vec<Secret> = tokens.into_iter().flatten().collect();
        return other(match (code.is_empty(), message.is_empty()) {
            (true, true) => "it says that it has none, and not why".to_owned(),
            // it is cut when it is without what the command was given as well
            _ => {
                let said = format!("it says {code}: {message}");
                edgepass_core::without_secrets_whole(&said, &tokens)
            }
        });
    }
    if answer.expiration_time.is_some_and(|at| at <= unix_s) {
        return other("its token has expired (`expiration_time`)".to_owned());
    }
    let (field, token) = match answer.token_type.as_deref() {
        Some(known) if ID_TOKENS.contains(&known) => ("id_token", answer.id_token),
        Some(SAML) => ("saml_response", answer.saml_response),
        _ => {
            return other(
                "its `token_type` is neither of id_token, jwt and saml2 (urn:ietf:params:oauth:token-type:…)"
                    .to_owned(),
            );
        }
    };
    match token {
        Some(token) => Ok(SuppliedAssertion { token }),
        None => other(format!("its answer has no `{field}`")),
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

    #[test]
    fn what_it_was_given_or_has_does_not_come_back() {
        let json = r#"{"identities": {"a": {"tenant_id": "t.example", "client_id": "c", "credential": {"executable": {
            "command": "/x", "arguments": ["--key=from-an-option", "an-argument"], "environment": ["TOKEN_OF_A_TEST"]}}}}}"#;
        let environment = Environment::from_pairs([
            ("EDGEPASS_ALLOW_EXECUTABLES", "1"),
            ("TOKEN_OF_A_TEST", "from-a-variable"),
        ]);
        let config = edgepass_core::Config::load(Some(json), &environment).unwrap();
        let source = config.needs().host_sources.remove(0).source;
        let edgepass_core::needs::HostSource::Executable(need) = source else {
            panic!("{source:?}")
        };
        let executable = Executable::new(need, &environment);
        let told = "no: from-an-option, an-argument, from-a-variable, dG9vIGxhdGU=, --key";
        let error = executable.without_secrets(AssertionError::Other(told.to_owned()));
        let AssertionError::Other(said) = error else {
            panic!("{error:?}")
        };
        assert!(
            said.contains("no: [redacted]") && said.contains("--key"),
            "{said}"
        );
        for secret in ["from-an-option", "an-argument", "from-a-variable"] {
            assert!(!said.contains(secret), "{said}");
        }
        let answer = r#"{"version":1,"success":false,"code":"1","message":"bad the-token-itself","id_token":"the-token-itself"}"#;
        let error = read(answer.as_bytes(), 0).expect_err("no token");
        assert!(
            !format!("{error:?}").contains("the-token-itself"),
            "{error:?}"
        );
    }

    #[test]
    fn an_answer_is_read_by_the_contract() {
        let id_token = |type_: &str| {
            format!(r#"{{"version":1,"success":true,"token_type":"{type_}","id_token":"SHOWN"}}"#)
        };
        for good in [
            id_token(JWT),
            id_token("urn:ietf:params:oauth:token-type:id_token"),
            format!(
                r#"{{"version":1,"success":true,"token_type":"{SAML}","saml_response":"SHOWN","expiration_time":101,"more":1}}"#
            ),
        ] {
            let supplied = read(good.as_bytes(), 100).unwrap();
            assert_eq!(supplied.token.expose(), "SHOWN", "{good}");
        }
        for (bad, expected) in [
            (String::new(), "0 bytes, is not the JSON object"),
            ("SHOWN".to_owned(), "5 bytes"),
            (
                r#"{"version":1,"success":"SHOWN"}"#.to_owned(),
                "is not the JSON object",
            ),
            (r#"{"success":true}"#.to_owned(), "is not the JSON object"),
            (r#"{"version":1}"#.to_owned(), "is not the JSON object"),
            (
                r#"{"version":2,"success":true}"#.to_owned(),
                "version 2 of the contract",
            ),
            (
                r#"{"version":1,"success":false}"#.to_owned(),
                "has none, and not why",
            ),
            (
                r#"{"version":1,"success":false,"code":"401","message":"caller not allowed"}"#
                    .to_owned(),
                "it says 401: caller not allowed",
            ),
            (
                r#"{"version":1,"success":true,"id_token":"SHOWN"}"#.to_owned(),
                "`token_type` is neither",
            ),
            (id_token("SHOWN"), "`token_type` is neither"),
            (id_token(SAML), "no `saml_response`"),
            (
                format!(r#"{{"version":1,"success":true,"token_type":"{JWT}"}}"#),
                "no `id_token`",
            ),
            (
                format!(
                    r#"{{"version":1,"success":true,"token_type":"{JWT}","id_token":"SHOWN","expiration_time":100}}"#
                ),
                "has expired",
            ),
        ] {
            let Err(AssertionError::Other(reason)) = read(bad.as_bytes(), 100) else {
                panic!("{bad}");
            };
            assert!(reason.contains(expected), "{bad}: {reason}");
            assert!(!reason.contains("SHOWN"), "{reason}");
        }
    }
}
