//! Signals that ask the program to end.

use std::future;

/// Waits for one. Its number.
#[cfg(unix)]
pub(crate) async fn asked_to_end() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};

    let kinds = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        // of a terminal that is closed
        SignalKind::hangup(),
    ];
    let [Ok(mut terminated), Ok(mut interrupted), Ok(mut hung_up)] = kinds.map(signal) else {
        // the system does not let it be handled, and ends the program by itself
        return future::pending().await;
    };
    let kind = tokio::select! {
        _ = terminated.recv() => SignalKind::terminate(),
        _ = interrupted.recv() => SignalKind::interrupt(),
        _ = hung_up.recv() => SignalKind::hangup(),
    };
    u8::try_from(kind.as_raw_value()).unwrap_or_default()
}

#[cfg(not(unix))]
pub(crate) async fn asked_to_end() -> u8 {
    /// That of SIGINT.
    const INTERRUPT: u8 = 2;

    if tokio::signal::ctrl_c().await.is_err() {
        future::pending::<()>().await;
    }
    INTERRUPT
}
