//! The credential engine of edgepass.
//!
//! Getting an access token is a conversation: read a file, perhaps ask for a signature, post a form, wait, try again.
//! Three very different drivers hold it: a WASI 0.3 component, an Envoy filter and a simulator. So this crate performs
//! nothing. A flow is a straight-line `async fn` that awaits *effects*; the [`Engine`] polls it by hand and gives the
//! effects out as plain data. The clock, random bytes and the environment come in as values.
//!
//! ```
//! use edgepass_core::{Config, Engine, Environment, Now, Reply, TokenRequest};
//!
//! let environment = Environment::from_pairs([
//!     ("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
//!     ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000"),
//!     ("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token"),
//! ]);
//! let config = Config::load(None, &environment)?;
//! let mut engine = Engine::new(config, [7; 32]);
//! let now = Now { unix_ms: 1_790_000_000_000, mono_ms: 0 };
//! let reply = engine.request(now, &TokenRequest::for_scopes(["https://graph.microsoft.com/.default"]));
//! assert!(matches!(reply, Reply::Pending(_)));
//! let (id, effect) = engine.next_effect().expect("the flow first reads the token file");
//! # let _ = (id, effect);
//! # Ok::<(), edgepass_core::ConfigError>(())
//! ```

pub mod audit;
pub mod authority;
pub mod challenge;
pub mod config;
pub mod limits;
pub mod matching;
pub mod needs;
mod pace;
pub mod recognise;

mod aadsts;
mod acquire;
mod authorization_request;
mod base64_standard;
mod cache;
#[cfg(feature = "every-credential")]
mod capabilities;
mod credential;
mod distinction;
mod effect;
mod engine;
mod error;
mod exchange;
mod flow;
mod grant;
mod http_date;
#[cfg(feature = "every-credential")]
mod id_token;
mod inspect;
mod json;
mod keyed;
mod refusal;
mod request;
mod retry;
mod secret;
#[cfg(feature = "every-credential")]
mod session;
mod status;
mod table;
mod text;
mod time;
#[cfg(feature = "every-credential")]
mod token_store;

pub use authorization_request::{AuthorizationOptions, AuthorizationRequest};
#[doc(hidden)]
pub use base64_standard::BASE64;
pub use config::{Config, ConfigError, Environment};
pub use credential::CredentialTrial;
#[cfg(feature = "key-vault")]
pub use effect::NOT_A_FILE;
pub use effect::{
    Algorithm, AssertionError, AssertionOptions, CertificateError, CertificateHandle, Effect,
    EffectId, HttpError, HttpErrorKind, HttpRequest, HttpResponse, Issuance, OpenedCertificate,
    Outcome, PublicKey, ReadError, SuppliedAssertion, Via,
};
#[cfg(feature = "every-credential")]
pub use effect::{StoreAnswer, StoreError, StoreRequest};
pub use engine::{Completed, Engine, Reply, Ticket};
pub use error::{Attempt, CredentialRef, Error, ErrorClass, ErrorDetail};
pub use inspect::{JwtSummary, inspect_jwt};
pub use needs::Needs;
pub use request::{
    AccessToken, AuthorizationCode, ClientAssertion, Grant, GrantKind, Moments, Refresh,
    RejectionOutcome, TokenExchange, TokenRequest, TokenSource, TokenType, UserReference,
    token_types,
};
pub use secret::{Secret, SecretBytes, Zeroizing, sha256, sha256_hex, wipe};
pub use status::{
    Counters, CredentialState, CredentialStatus, Failure, IdentityStatus, TokenState, TokenStatus,
};
pub use table::Table;
#[doc(hidden)]
pub use text::{
    bytes_without_byte_order_mark, without_byte_order_mark, without_secrets, without_secrets_whole,
};
pub use text::{is_printable, printable};
pub use time::{Moment, Now};
