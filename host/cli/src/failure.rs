//! Error output and exit status of the command.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use edgepass::config::ConfigErrorDetail;
use edgepass::repeat;
use edgepass::{Attempt, BuildError, ConfigError, CredentialRef, Error, ErrorClass, ErrorDetail};
use edgepass_core::{is_printable, printable};
use serde_json::{Map, Value, json};

/// How errors are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document, `{"error": …}`.
    Json,
}

impl Format {
    /// The one to use. What is asked for counts, of errors (`--error-format`) or of the output (`--format json`). Nothing
    /// asked for, a person at a terminal gets text, and a program that gets JSON as output gets it as error, too. Every
    /// other output is for people, or is a value that goes on, and whoever reads the log beside it is a person.
    pub(crate) fn of(asked: Option<Self>, output: Output, stderr_is_terminal: bool) -> Self {
        match (asked, output) {
            (Some(asked), _) => asked,
            (None, Output::Json) => Self::Json,
            (None, Output::JsonByDefault) if !stderr_is_terminal => Self::Json,
            (None, Output::JsonByDefault | Output::Other) => Self::Text,
        }
    }
}

/// What a command prints on standard output.
#[derive(Clone, Copy)]
pub(crate) enum Output {
    /// JSON, which was asked for.
    Json,
    /// JSON, because nothing else was.
    JsonByDefault,
    /// Anything else.
    Other,
}

/// What people should know although the command goes on.
#[derive(Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    pub(crate) fn add(&mut self, warnings: &[String]) {
        self.0.extend_from_slice(warnings);
    }

    /// Prints them on standard error.
    pub(crate) fn report(&self, format: Format) {
        if self.0.is_empty() {
            return;
        }
        let text = match format {
            Format::Text => self.text(),
            Format::Json => format!("{}\n", escaped(&json!({ "warnings": self.0 }).to_string())),
        };
        let text = repeat::without_arguments(&text, repeat::arguments());
        // nothing is left to say it to
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    fn text(&self) -> String {
        let lines = self.0.iter();
        lines
            .map(|warning| format!("edgepass: warning: {}\n", one_line(warning)))
            .collect()
    }
}

/// Something that is wrong with the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    /// Where it is wrong.
    pub(crate) setting: Option<String>,
    /// Where that is in the text: file, line and column.
    pub(crate) place: Option<String>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Mistake {
    /// What is wrong, in one sentence that names the place.
    fn sentence(&self) -> String {
        match &self.setting {
            Some(setting) => format!("{setting}: {}", self.message),
            None => self.message.clone(),
        }
    }

    fn hint(&self) -> Option<String> {
        self.hint.as_deref().map(for_the_command)
    }

    fn json(&self) -> Value {
        json!({
            "setting": self.setting, "place": self.place, "message": self.sentence(), "hint": self.hint(),
        })
    }
}

impl From<ConfigErrorDetail> for Mistake {
    fn from(detail: ConfigErrorDetail) -> Self {
        Self {
            setting: Some(detail.setting),
            place: detail.place,
            message: detail.message,
            hint: detail.hint,
        }
    }
}

/// Why the command fails.
pub(crate) enum Failure {
    /// Usage or configuration: nothing was sent.
    Setup {
        /// Where it is wrong.
        setting: Option<String>,
        message: String,
        hint: Option<String>,
    },
    /// Several mistakes of that kind, at least one.
    Mistakes(Vec<Mistake>),
    /// The token could not be acquired, or the request was wrong.
    Token(Error),
    /// Standard output cannot be written.
    Output(std::io::Error),
}

impl Failure {
    /// Something about the command line or the machine.
    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self::Setup {
            setting: None,
            message: message.into(),
            hint: None,
        }
    }

    /// Something about a setting, and what to do about it.
    pub(crate) fn setting(
        setting: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::Setup {
            setting: Some(setting.into()),
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// Something about the machine, and what to do about it.
    pub(crate) fn setup_with_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Setup {
            setting: None,
            message: message.into(),
            hint: Some(hint.into()),
        }
    }

    /// The same with what a document knows of each of its settings.
    pub(crate) fn with_each(self, complete: impl Fn(&mut Mistake)) -> Self {
        if !matches!(self, Self::Setup { .. } | Self::Mistakes(_)) {
            return self;
        }
        let mut mistakes = self.mistakes();
        mistakes.iter_mut().for_each(complete);
        Self::Mistakes(mistakes)
    }

    /// As [`Self::exit_status`].
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit_status())
    }

    /// 1: the token could not be acquired; 2: usage or configuration.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Setup { .. } | Self::Mistakes(_) => 2,
            // who closed the pipe has what he wanted of it
            Self::Output(e) if e.kind() == std::io::ErrorKind::BrokenPipe => 0,
            Self::Token(e)
                if matches!(
                    e.class(),
                    ErrorClass::Configuration | ErrorClass::InvalidRequest
                ) =>
            {
                2
            }
            Self::Token(_) | Self::Output(_) => 1,
        }
    }

    /// What it prints for people.
    #[cfg(test)]
    pub(crate) fn in_words(&self) -> String {
        self.text(false)
    }

    /// Prints it on standard error, after the warnings; with JSON all of it is one document.
    pub(crate) fn report(&self, format: Format, warnings: &Warnings) {
        let mut stderr = std::io::stderr().lock();
        let text = match (self, format) {
            // who closed the pipe does not want to hear of it
            (Self::Output(e), _) if e.kind() == std::io::ErrorKind::BrokenPipe => return,
            (_, Format::Json) => format!("{}\n", escaped(&self.json(warnings).to_string())),
            (_, Format::Text) => warnings.text() + &self.text(stderr.is_terminal() && colours()),
        };
        let text = repeat::without_arguments(&text, repeat::arguments());
        // nothing is left to say it to
        let _ = stderr.write_all(text.as_bytes());
    }

    fn json(&self, warnings: &Warnings) -> Value {
        let error = match self {
            Self::Setup { .. } | Self::Mistakes(_) => {
                let mistakes = self.mistakes();
                let all: Vec<_> = mistakes
                    .iter()
                    .map(|mistake| known(mistake.json()))
                    .collect();
                let mut error = all.first().cloned().unwrap_or_default();
                let class = ErrorClass::Configuration.name();
                error.insert("class".to_owned(), json!(class));
                if all.len() > 1 {
                    error.insert("mistakes".to_owned(), json!(all));
                }
                Value::Object(error)
            }
            Self::Token(e) => {
                let ErrorDetail {
                    message,
                    hint,
                    identity,
                    credential,
                    attempts,
                    retryable,
                    retry_after_ms,
                    http_status,
                    oauth_error,
                    aadsts,
                    correlation_id,
                    trace_id,
                    claims,
                } = e.detail();
                json!({
                    "class": e.class().name(), "message": message,
                    "hint": hint.as_deref().map(for_the_command), "identity": identity,
                    "credential": credential.as_ref().map(named),
                    "attempts": attempts.iter().map(|attempt| json!({
                        "credential": named(&attempt.credential), "class": attempt.class.name(),
                        "message": attempt.message,
                    })).collect::<Vec<_>>(),
                    "retryable": retryable, "retry_after_ms": retry_after_ms, "http_status": http_status,
                    "oauth_error": oauth_error, "aadsts": aadsts, "correlation_id": correlation_id,
                    "trace_id": trace_id, "claims": claims,
                })
            }
            Self::Output(e) => {
                json!({ "class": ErrorClass::Other.name(), "message": cannot_write(e) })
            }
        };
        let known = known(error);
        if warnings.0.is_empty() {
            json!({ "error": known })
        } else {
            json!({ "warnings": warnings.0, "error": known })
        }
    }

    /// Of a failure that is about settings, each.
    fn mistakes(&self) -> Vec<Mistake> {
        match self {
            Self::Setup {
                setting,
                message,
                hint,
            } => vec![Mistake {
                setting: setting.clone(),
                place: None,
                message: message.clone(),
                hint: hint.clone(),
            }],
            Self::Mistakes(mistakes) => mistakes.clone(),
            Self::Token(_) | Self::Output(_) => Vec::new(),
        }
    }

    fn text(&self, colours: bool) -> String {
        let paragraphs = match self {
            Self::Setup { .. } | Self::Mistakes(_) => {
                let of = |mistake: &Mistake| {
                    let lines = vec![("at", mistake.place.clone()), ("hint", mistake.hint())];
                    (mistake.sentence(), lines)
                };
                self.mistakes().iter().map(of).collect()
            }
            Self::Token(e) => vec![(e.detail().message.clone(), lines(e))],
            Self::Output(e) => vec![(cannot_write(e), Vec::new())],
        };
        let mut text = String::new();
        for (message, lines) in paragraphs {
            text.push_str(&format!("{}{}\n", begin(colours), one_line(&message)));
            for (name, value) in lines {
                if let Some(value) = value {
                    text.push_str(&format!("  {name}: {}\n", one_line(&value)));
                }
            }
        }
        text
    }
}

/// How an error begins, ours and those of the command line alike.
pub(crate) fn begin(colours: bool) -> &'static str {
    if colours {
        "edgepass: \u{1b}[1;31merror\u{1b}[0m: "
    } else {
        "edgepass: error: "
    }
}

/// The engine's hints name settings and variables; the command has options that go before them.
fn for_the_command(hint: &str) -> String {
    // what is said to the authors of components
    let hint = [
        " (in a component: the document in EDGEPASS_CONFIG_JSON)",
        " (in a component: EDGEPASS_CONFIG_JSON)",
    ]
    .into_iter()
    .fold(hint.to_owned(), |hint, aside| hint.replace(aside, ""));
    if hint.contains("--config") {
        return hint;
    }
    [
        ("EDGEPASS_CONFIG", "--config or EDGEPASS_CONFIG"),
        ("host.ca_file", "--ca-file, host.ca_file"),
        (
            "give a scope such as https://graph.microsoft.com/.default",
            "give --scope, such as https://graph.microsoft.com/.default, or --api of an appsettings.json",
        ),
    ]
    .into_iter()
    .fold(hint, |hint, (name, names)| {
        // another variable may begin with the name
        let is_whole = hint
            .split_once(name)
            .is_some_and(|(_, rest)| !rest.starts_with('_'));
        if is_whole && !hint.contains(names) {
            hint.replacen(name, names, 1)
        } else {
            hint
        }
    })
}

/// The fields that say something.
fn known(error: Value) -> Map<String, Value> {
    match error {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        _ => Map::new(),
    }
}

/// A component may be anybody's, and a path or a name may hold anything: nothing in a line makes another one or moves
/// the cursor.
fn one_line(text: &str) -> String {
    printable(text, usize::MAX)
}

/// JSON in which what is not printed is escaped.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_printable(c) {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Token(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let detail = error.into_detail();
        Self::Setup {
            setting: Some(detail.setting),
            message: detail.message,
            hint: detail.hint,
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Config(error) => error.into(),
            other => Self::setup(other.to_string()),
        }
    }
}

fn lines(error: &Error) -> Vec<(&'static str, Option<String>)> {
    let detail = error.detail();
    let codes: Vec<_> = detail
        .aadsts
        .iter()
        .map(|code| format!("AADSTS{code}"))
        .collect();
    let wait = detail
        .retry_after_ms
        .map(|ms| format!("in {} s", ms.div_ceil(1000)));
    vec![
        ("class", Some(error.class().name().to_owned())),
        ("identity", detail.identity.clone()),
        (
            "credential",
            detail.credential.as_ref().map(ToString::to_string),
        ),
        ("also tried", also_tried(&detail.attempts)),
        (
            "http status",
            detail.http_status.map(|status| status.to_string()),
        ),
        ("oauth error", detail.oauth_error.clone()),
        ("codes", (!codes.is_empty()).then(|| codes.join(" "))),
        ("correlation id", detail.correlation_id.clone()),
        ("trace id", detail.trace_id.clone()),
        ("claims", detail.claims.clone()),
        (
            "retry",
            wait.or_else(|| {
                detail
                    .retryable
                    .then(|| "the same request may succeed later".to_owned())
            }),
        ),
        ("hint", detail.hint.as_deref().map(for_the_command)),
    ]
}

fn named(credential: &CredentialRef) -> Value {
    json!({ "kind": credential.kind, "name": credential.name })
}

fn also_tried(attempts: &[Attempt]) -> Option<String> {
    let attempts: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            let Attempt {
                credential,
                class,
                message,
            } = attempt;
            format!("{credential} ({}: {message})", class.name())
        })
        .collect();
    (!attempts.is_empty()).then(|| attempts.join("; "))
}

fn cannot_write(error: &std::io::Error) -> String {
    format!("cannot write to standard output: {error}")
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// <https://no-color.org>: set and not empty means none.
pub(crate) fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests;
