//! What callers get in its place.

use edgepass_core::{self as core, ErrorClass, error_classes};

use super::wit;

macro_rules! error_class_conversions {
    ($($(#[$doc:meta])* $class:ident $name:literal,)*) => {
        impl From<wit::ErrorClass> for ErrorClass {
            fn from(class: wit::ErrorClass) -> Self {
                match class {
                    $(wit::ErrorClass::$class => Self::$class,)*
                }
            }
        }

        impl From<ErrorClass> for wit::ErrorClass {
            fn from(class: ErrorClass) -> Self {
                match class {
                    $(ErrorClass::$class => Self::$class,)*
                    // the classes may grow; what has no case of its own yet is the documented catch-all
                    _ => Self::Other,
                }
            }
        }

        fn split(error: wit::CredentialError) -> (ErrorClass, wit::ErrorDetail) {
            match error {
                $(wit::CredentialError::$class(detail) => (ErrorClass::$class, detail),)*
            }
        }

        fn join(class: ErrorClass, detail: wit::ErrorDetail) -> wit::CredentialError {
            match class {
                $(ErrorClass::$class => wit::CredentialError::$class(detail),)*
                _ => wit::CredentialError::Other(detail),
            }
        }
    };
}

error_classes!(error_class_conversions);

impl From<core::Error> for wit::CredentialError {
    fn from(error: core::Error) -> Self {
        let core::ErrorDetail {
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
        } = error.detail().clone();
        let detail = wit::ErrorDetail {
            message,
            hint,
            identity,
            credential: credential.map(Into::into),
            attempts: attempts.into_iter().map(Into::into).collect(),
            retryable,
            retry_after_ms,
            http_status,
            oauth_error,
            aadsts,
            correlation_id,
            trace_id,
            claims,
        };
        join(error.class(), detail)
    }
}

impl From<wit::CredentialError> for core::Error {
    fn from(error: wit::CredentialError) -> Self {
        let (class, detail) = split(error);
        let wit::ErrorDetail {
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
        } = detail;
        Self::with_detail(
            class,
            core::ErrorDetail {
                message,
                hint,
                identity,
                credential: credential.map(Into::into),
                attempts: attempts.into_iter().map(Into::into).collect(),
                retryable,
                retry_after_ms,
                http_status,
                oauth_error,
                aadsts,
                correlation_id,
                trace_id,
                claims,
            },
        )
    }
}

impl From<core::Error> for wit::CredentialProblem {
    fn from(error: core::Error) -> Self {
        Self {
            class: error.class().into(),
            message: error.detail().message.clone(),
            hint: error.detail().hint.clone(),
        }
    }
}

impl From<wit::CredentialProblem> for core::Error {
    fn from(problem: wit::CredentialProblem) -> Self {
        let wit::CredentialProblem {
            class,
            message,
            hint,
        } = problem;
        let detail = core::ErrorDetail {
            message,
            hint,
            ..core::ErrorDetail::default()
        };
        Self::with_detail(class.into(), detail)
    }
}
