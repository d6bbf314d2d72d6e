//! Access tokens for programs that hold no secret: the credential component of edgepass, embedded.
//!
//! The component runs in a wasmtime sandbox and does the talking: it reads the platform's rotating token file, has
//! assertions signed, posts the exchange, caches, refreshes, retries. This library is the rest of the world as seen
//! from in there, and no more of it than the configuration names: https to the token endpoints, the token files, the
//! certificates whose keys never enter the sandbox.
//!
//! ```no_run
//! use edgepass::{Builder, TokenRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE, as a Kubernetes pod with workload identity has,
//! // or the configuration file that EDGEPASS_CONFIG names
//! let provider = Builder::from_process().build().await?;
//!
//! let request = TokenRequest::for_scopes(["https://graph.microsoft.com/.default"]);
//! let token = provider.get_token(&request).await?;
//! let authorization = token.authorization()?;
//! println!("a token for {}, good for {:?}", token.scope, token.expires_in());
//!
//! // when a resource answers 401
//! provider.report_rejection(&request, &token.token, None).await?;
//! # let _ = authorization;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Provider`] is a cheap handle; keep one for the life of the program. A token that needs no second look is given
//! out without entering the sandbox. [`blocking`] is for programs without an asynchronous runtime. Errors are one line;
//! with `{:#}` the line says what to do as well.
//!
//! # Users' tokens
//!
//! A request is for the workload's own token if it says nothing else; [`TokenRequest::with_grant`] says otherwise. A back end
//! that calls another API on behalf of the user who calls it:
//!
//! ```no_run
//! use edgepass::{Grant, Provider, TokenRequest};
//!
//! # async fn example(provider: Provider, bearer: &str) -> Result<(), edgepass::Error> {
//! let request = TokenRequest::for_scopes(["https://graph.microsoft.com/.default"])
//!     .with_grant(Grant::on_behalf_of(bearer));
//! let token = provider.get_token(&request).await?;
//! # let _ = token;
//! # Ok(())
//! # }
//! ```
//!
//! And one that signs users in: the code comes to its redirect URI, and a refresh token is used later.
//!
//! ```no_run
//! use edgepass::{Grant, Provider, TokenRequest};
//!
//! # async fn example(
//! #     provider: Provider, code: String, code_verifier: String, nonce: String,
//! # ) -> Result<(), edgepass::Error> {
//! let scopes = ["openid", "profile", "offline_access"];
//! let grant = Grant::authorization_code(code, "https://app.example/callback")
//!     .with_code_verifier(code_verifier)
//!     .with_nonce(nonce);
//! let tokens = provider.get_token(&TokenRequest::for_scopes(scopes).with_grant(grant)).await?;
//!
//! if let Some(refresh_token) = &tokens.refresh_token {
//!     let grant = Grant::refresh_token(refresh_token.expose());
//!     let tokens = provider.get_token(&TokenRequest::for_scopes(scopes).with_grant(grant)).await?;
//! #   let _ = tokens;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An error that begins a new sign-in, because the user has to do something, has the class
//! [`InteractionRequired`](ErrorClass::InteractionRequired).
//!
//! # Settings that a program already has
//!
//! [`Provider::from_appsettings`] takes those of a .NET program with Microsoft.Identity.Web (`appsettings.json`),
//! [`Provider::from_social_auth`] those of a program with python-social-auth; the variables of the latter need no call. Errors
//! name them as that program does, with file and line.
//!
//! # Network
//!
//! Token requests go through the HTTP proxy that `host.proxy` of the configuration names, or else `HTTPS_PROXY` or
//! `ALL_PROXY` of the environment that the builder was given ([`Builder::environment`]), but for hosts that `NO_PROXY`
//! names. What is http, and what is on this machine or its link, never does: metadata services above all. `localhost`
//! and names below it are this machine. Redirects are not followed; the component refuses them.
//!
//! Servers are verified with the certification authorities of [`Builder::ca_file`], of `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`, or else of the system: its bundle alone, and its folder only where there is no bundle. The system's are
//! read at the first connection; files that were named are read again when they change.
//!
//! # Memory
//!
//! Each [`Provider`] runs an instance of the component, whose linear memory reserves some 4 GiB of address space and uses
//! a few hundred kilobytes. It may take 96 MiB, and one and a half times what `host.user_token_cache_mib` gives to users'
//! tokens: 192 MiB unless that is set ([`Limits`]). Where address space is limited (`ulimit -v`), [`Builder::build`]
//! or the first call fails with an error that says so.
//!
//! # Features
//!
//! - `bundled` (default): the component, which travels with the crate as WebAssembly, is compiled while your program is
//!   built. The compiler is a dependency of a build script and not in your program. Without this feature the variable
//!   `EDGEPASS_CWASM` names machine code in an absolute path, as `dist/` of edgepass has it, and nothing is compiled; it
//!   is trusted like a library that you link.
//! - `cross`: `bundled` where your program is for another processor than that of the machine that builds.
//! - `compiler`: [`Builder::component`] runs another component than the embedded one. Without it no compiler is linked.
//! - `p2`: [`link::add_p2_to_linker`], for a host of components over WASI 0.2.
//! - `token-store`: several instances share their tokens by Redis or Valkey, where the configuration has
//!   `host.token_store`.
//! - `tower`: [`downstream`] has a layer for hyper, axum and other clients that are `tower` services.
//! - `azure`: [`Provider`] is a `TokenCredential` of the Azure SDK for Rust (`azure_core` 1).

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/grants.md")]
struct Grants;

pub mod blocking;
pub mod downstream;
pub mod limits;
pub mod link;
#[doc(hidden)]
pub mod repeat;

mod address_space;
mod assertion;
#[cfg(feature = "azure")]
mod azure;
mod bindings;
mod bounds;
mod cache;
mod certificate;
mod clock;
mod connect;
mod context;
mod document;
mod egress;
mod executable;
#[doc(hidden)]
pub mod files;
mod instance;
mod local;
mod named_files;
#[doc(hidden)]
pub mod options;
mod pem;
mod provider;
mod proxy;
mod roots;
mod runtime;
mod secret_json;
mod servers;
mod settings;
mod sources;
#[doc(hidden)]
pub mod standard_error;
mod tls_failure;
#[cfg(feature = "token-store")]
mod token_store;
mod tunnel;
mod unreadable;
mod verify;
mod watchdog;
mod words;
#[cfg(unix)]
mod workload_api;

pub use assertion::{AssertionError, AssertionOptions, AssertionSource, SuppliedAssertion};
pub use cache::Token;
pub use certificate::{CertificateSource, Password};
#[doc(hidden)]
pub use document::{dotnet_text, text as document_text};
pub use edgepass_core::{
    AccessToken, Attempt, AuthorizationOptions, AuthorizationRequest, ClientAssertion, Config,
    ConfigError, Counters, CredentialRef, CredentialState, CredentialStatus, CredentialTrial,
    Environment, Error, ErrorClass, ErrorDetail, Failure, Grant, GrantKind, IdentityStatus,
    Refresh, RejectionOutcome, Secret, SecretBytes, TokenRequest, TokenSource, TokenState,
    TokenStatus, TokenType, UserReference,
};
pub use edgepass_core::{AuthorizationCode, TokenExchange, token_types};
pub use edgepass_core::{challenge, config, needs};
pub use named_files::NamedFile;
#[doc(hidden)]
pub use named_files::named_files;
pub use provider::{BuildError, Builder, Limits, Provider, Stats, process_environment};
#[doc(hidden)]
pub use secret_json::SecretJson;
pub use settings::AppSettings;
