//! Why there is no token: a class for programs, one clear line for people.

use std::fmt;

#[cfg(feature = "every-credential")]
use crate::text::{Needles, clean_whole};
use crate::text::{is_printable, visible};

/// Hands every class, with its description and its name, to another macro: the one list from which the enum, its names
/// and the conversions to generated interface types are made.
///
/// ```
/// macro_rules! count {
///     ($($(#[$doc:meta])* $class:ident $name:literal,)*) => { [$($name),*].len() };
/// }
/// assert_eq!(edgepass_core::error_classes!(count), edgepass_core::ErrorClass::ALL.len());
/// ```
#[macro_export]
macro_rules! error_classes {
    ($then:ident) => {
        $then! {
            /// The configuration or environment is wrong; nothing was sent.
            Configuration "configuration",
            /// The request itself is wrong; nothing was sent.
            InvalidRequest "invalid-request",
            /// Known, but not implemented; the message names it.
            Unsupported "unsupported",
            /// The configured credential is not there: its token file, secret or assertion source gave nothing usable,
            /// or the host has no such certificate or key, or could not use it.
            CredentialUnavailable "credential-unavailable",
            /// No answer: name, connection, TLS.
            Network "network",
            /// No answer in time.
            Timeout "timeout",
            /// The server asked to slow down.
            Throttled "throttled",
            /// The server failed.
            Server "server",
            /// The answer was not a token response.
            InvalidResponse "invalid-response",
            /// The server refused the client's credential.
            CredentialRejected "credential-rejected",
            /// No federated credential matches the assertion.
            FederationMismatch "federation-mismatch",
            /// A person or a claims challenge must be satisfied first.
            InteractionRequired "interaction-required",
            /// Any other refusal by the server.
            Refused "refused",
            /// Too many calls in flight.
            Busy "busy",
            /// Anything else.
            Other "other",
        }
    };
}

macro_rules! define {
    ($($(#[$doc:meta])* $class:ident $name:literal,)*) => {
        /// Who can fix it. The cases are those of the WIT variant `credential-error`.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum ErrorClass {
            $($(#[$doc])* $class,)*
        }

        impl ErrorClass {
            /// All of them, in the order in which the WIT has them.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$class),*];

            /// The name that the command prints and the WIT uses.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$class => $name,)*
                }
            }
        }
    };
}

error_classes!(define);

/// Everything that is known about a failure. Never a secret, never a response body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ErrorDetail {
    /// One line: what failed, and the setting to look at.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The configured identity.
    pub identity: Option<String>,
    /// The credential whose failure this is.
    pub credential: Option<CredentialRef>,
    /// The identity's other credentials that were tried in vain; where the environment alone describes it and nobody is there
    /// who gives tokens, those that it might have meant and whose variables are not set.
    pub attempts: Vec<Attempt>,
    /// Whether the same request may succeed later by itself.
    pub retryable: bool,
    /// How long the server asked to wait.
    pub retry_after_ms: Option<u64>,
    /// Status of the response.
    pub http_status: Option<u16>,
    /// `error` (RFC 6749 section 5.2).
    pub oauth_error: Option<String>,
    /// `error_codes` of Entra ID.
    pub aadsts: Vec<u32>,
    /// `correlation_id`.
    pub correlation_id: Option<String>,
    /// `trace_id`.
    pub trace_id: Option<String>,
    /// Claims challenge of the server.
    pub claims: Option<String>,
}

/// Names a configured credential.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CredentialRef {
    /// Its kind, as the configuration spells it.
    pub kind: String,
    /// Its name, where it has one: that of its certificate, or of its place in a list.
    pub name: Option<String>,
}

impl fmt::Display for CredentialRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        match &self.name {
            Some(name) => write!(f, " `{name}`"),
            None => Ok(()),
        }
    }
}

/// A credential that gave no token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// The credential.
    pub credential: CredentialRef,
    /// Why.
    pub class: ErrorClass,
    /// The same in one line.
    pub message: String,
}

/// Why there is no token. As text it is the message, with `{:#}` followed by the hint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    class: ErrorClass,
    detail: Box<ErrorDetail>,
}

impl Error {
    /// An error of that class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::with_detail(
            class,
            ErrorDetail {
                message,
                ..ErrorDetail::default()
            },
        )
    }

    /// An error of that class with everything known about it. The message becomes one line that is safe to print,
    /// whatever name or reason of a host is in it.
    pub fn with_detail(class: ErrorClass, mut detail: ErrorDetail) -> Self {
        if !detail.message.chars().all(is_printable) {
            detail.message = visible(&detail.message);
        }
        Self {
            class,
            detail: Box::new(detail),
        }
    }

    /// Who can fix it.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Everything known about it.
    pub fn detail(&self) -> &ErrorDetail {
        &self.detail
    }

    /// The same error, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }

    pub(crate) fn reclassify(self, class: ErrorClass) -> Self {
        Self { class, ..self }
    }

    /// The same, of which it is known that the same may come out otherwise later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.detail.retryable = true;
        self
    }

    /// The same error without those secrets in its message. What others said in it has been cut already. The hint is ours: a
    /// word of theirs is cleaned before it gets there, and letters of a short secret stand in many a word of it.
    #[cfg(feature = "every-credential")]
    pub(crate) fn without(self, known: &Needles) -> Self {
        self.edit(|detail| detail.message = clean_whole(&detail.message, known))
    }

    /// The same with other details.
    #[must_use]
    pub fn edit(mut self, edit: impl FnOnce(&mut ErrorDetail)) -> Self {
        edit(&mut self.detail);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail.message)?;
        match &self.detail.hint {
            Some(hint) if f.alternate() => write!(f, "; {hint}"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        let error = Error::new(ErrorClass::Other, "a\nb\u{202e}c\u{1b}[2Jd");
        assert_eq!(error.to_string(), "a bc [2Jd");
    }

    #[test]
    fn the_hint_is_there_for_who_asks() {
        let error = Error::new(ErrorClass::Other, "a").hint("do b");
        assert_eq!(
            (error.to_string(), format!("{error:#}")),
            ("a".into(), "a; do b".into())
        );
        assert_eq!(format!("{:#}", Error::new(ErrorClass::Other, "a")), "a");
    }

    /// A secret of two letters stands in many a word.
    #[test]
    fn a_hint_is_ours_and_stays_whole() {
        let error = Error::new(ErrorClass::Other, "`it` was said").hint("if it is meant, add it");
        let shown = error.without(&Needles::of(&[crate::Secret::new("it")]));
        assert_eq!(
            format!("{shown:#}"),
            "`[redacted]` was said; if it is meant, add it"
        );
    }

    #[test]
    fn every_class_has_a_section_of_the_troubleshooting_page() {
        let page = include_str!("../../../TROUBLESHOOTING.md");
        for class in ErrorClass::ALL {
            let heading = format!("\n## {}\n", class.name());
            assert!(
                page.contains(&heading),
                "TROUBLESHOOTING.md lacks: {heading}"
            );
        }
    }

    /// Libraries, components and filters say what the engine says: a flag of the command is no remedy there.
    #[test]
    fn no_text_of_the_engine_names_a_flag_of_the_command() {
        let mut folders = vec![std::path::PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src"
        ))];
        let mut looked_at = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for (number, line) in text.lines().enumerate() {
                    looked_at += 1;
                    // what people do in Azure has a command of its own
                    let line = line.replace("az ad sp create --id", "");
                    let code = !line.trim_start().starts_with("//");
                    let is_flag = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
                    let names_one = line.split(" --").skip(1).any(is_flag);
                    assert!(
                        !(code && names_one),
                        "{}:{}: {line}",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
        assert!(looked_at > 5_000, "{looked_at} lines");
    }
}
