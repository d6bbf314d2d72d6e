#![doc = include_str!("../README.md")]

mod agents;
mod authorize;
mod broken_server;
mod clock;
mod connect_proxy;
mod control;
mod credentials;
mod delivery;
mod directory;
mod discovery;
mod emulator;
mod encoding;
mod errors;
mod faults;
mod files;
mod generic;
mod grant;
mod id_token;
mod issuer;
mod jose;
mod journal;
mod keys;
mod metadata;
mod misbehave;
mod pki;
mod platforms;
mod proxy;
mod registry;
mod reply;
mod request;
mod routes;
mod scopes;
mod server;
mod services;
mod sessions;
mod token;
mod users;
mod vault;
mod verify;
mod world;

pub use broken_server::{BrokenServer, Stage};
pub use connect_proxy::{ConnectProxy, Manner, TunnelRequest};
pub use credentials::MachineKeys;
pub use directory::Directory;
pub use emulator::{Builder, Emulator, Faults};
pub use errors::{Aadsts, TABLE};
pub use faults::Fault;
pub use issuer::{DEFAULT_LIFETIME, Mint, WorkloadIssuer};
pub use journal::JournalEntry;
pub use metadata::TOKEN_EXCHANGE;
pub use pki::{CertificateOptions, ClientCertificate};
pub use platforms::Platform;
pub use registry::{
    App, Certificate, FederatedCredential, ManagedIdentity, Resource, Secret, Tenant,
};
pub use services::TokenService;
pub use users::{Consent, User};
pub use vault::VaultKey;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks even after a panic elsewhere: every value behind a lock here is
/// whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
