//! Why there is no token: a class for programs, one clear line for people.

use std::fmt;

/// Who can mend it. The cases are those of the WIT variant `credential-error`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The configuration or environment is wrong; nothing was sent.
    Configuration,
    /// The request itself is wrong; nothing was sent.
    InvalidRequest,
    /// Known, but not implemented; the message names it.
    Unsupported,
    /// Token file, secret or assertion source gave nothing usable.
    AssertionUnavailable,
    /// The host has no such certificate or key, or could not use it.
    IdentityUnavailable,
    /// No answer: name, connection, TLS.
    Network,
    /// No answer in time.
    Timeout,
    /// The server asked to slow down.
    Throttled,
    /// The server failed.
    Server,
    /// The answer was not a token response.
    InvalidResponse,
    /// The server refused the client's credential.
    CredentialRejected,
    /// No federated credential matches the assertion.
    FederationMismatch,
    /// A person or a claims challenge must be satisfied first.
    InteractionRequired,
    /// Any other refusal by the server.
    Refused,
    /// Too many calls in flight.
    Busy,
    /// Anything else.
    Other,
}

impl ErrorClass {
    /// All of them, in the order in which the WIT has them.
    pub const ALL: [Self; 16] = [
        Self::Configuration,
        Self::InvalidRequest,
        Self::Unsupported,
        Self::AssertionUnavailable,
        Self::IdentityUnavailable,
        Self::Network,
        Self::Timeout,
        Self::Throttled,
        Self::Server,
        Self::InvalidResponse,
        Self::CredentialRejected,
        Self::FederationMismatch,
        Self::InteractionRequired,
        Self::Refused,
        Self::Busy,
        Self::Other,
    ];

    /// The name that the command prints and the WIT uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::InvalidRequest => "invalid-request",
            Self::Unsupported => "unsupported",
            Self::AssertionUnavailable => "assertion-unavailable",
            Self::IdentityUnavailable => "identity-unavailable",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Throttled => "throttled",
            Self::Server => "server",
            Self::InvalidResponse => "invalid-response",
            Self::CredentialRejected => "credential-rejected",
            Self::FederationMismatch => "federation-mismatch",
            Self::InteractionRequired => "interaction-required",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Other => "other",
        }
    }
}

/// Everything that is known about a failure. Never a secret, never a response body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ErrorDetail {
    /// One line: what failed, and the setting to look at.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The configured identity.
    pub identity: Option<String>,
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

/// Why there is no token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    class: ErrorClass,
    detail: Box<ErrorDetail>,
}

impl Error {
    /// An error of that class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            detail: Box::new(ErrorDetail {
                message: message.into(),
                ..ErrorDetail::default()
            }),
        }
    }

    /// An error of that class with everything known about it.
    pub fn with_detail(class: ErrorClass, detail: ErrorDetail) -> Self {
        Self {
            class,
            detail: Box::new(detail),
        }
    }

    /// Who can mend it.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Everything known about it.
    pub fn detail(&self) -> &ErrorDetail {
        &self.detail
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.detail.hint = Some(hint.into());
        self
    }

    pub(crate) fn retryable(mut self) -> Self {
        self.detail.retryable = true;
        self
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&mut ErrorDetail)) -> Self {
        edit(&mut self.detail);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

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
}
