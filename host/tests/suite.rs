//! The host against the emulator: what leaves, what is read, which key is used, and what a component that misbehaves
//! does to its callers.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "what a test sets up may stop it; the lints spare only the test functions themselves"
)]

#[cfg(target_os = "linux")]
#[path = "suite/address_space.rs"]
mod address_space;
#[path = "suite/builder.rs"]
mod builder;
#[path = "suite/cache.rs"]
mod cache;
#[path = "suite/certificate.rs"]
mod certificate;
#[path = "suite/egress.rs"]
mod egress;
#[cfg(target_os = "linux")]
#[path = "suite/file_servers.rs"]
mod file_servers;
#[path = "suite/hostile.rs"]
mod hostile;
#[path = "suite/link.rs"]
mod link;
#[path = "suite/managed_identity.rs"]
mod managed_identity;
#[path = "suite/names.rs"]
mod names;
#[path = "suite/notices.rs"]
mod notices;
#[path = "suite/providers.rs"]
mod providers;
#[path = "suite/reach.rs"]
mod reach;
mod support;
#[path = "suite/tls.rs"]
mod tls;

/// Waits for something that will happen by itself soon.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    // far longer than anything takes on a machine with much other work
    let patience = std::time::Duration::from_secs(90);
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < patience, "it did not happen");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
