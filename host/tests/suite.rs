//! The host against the emulator: what leaves, what is read, which key is used, and what a component that misbehaves
//! does to its callers.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

#[path = "suite/cache.rs"]
mod cache;
#[path = "suite/certificate.rs"]
mod certificate;
#[path = "suite/egress.rs"]
mod egress;
#[path = "suite/hostile.rs"]
mod hostile;
#[path = "suite/providers.rs"]
mod providers;
#[path = "suite/reach.rs"]
mod reach;
mod support;
