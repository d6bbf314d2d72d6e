//! Signals where the command is the first process of a container.

/// Lets SIGTERM, SIGINT and SIGHUP end the command also where it is the first process: the kernel delivers none of
/// them there that has no handler, and whoever stops the container would wait, and then kill it. Everywhere else they
/// end it as they end any program, so that a shell sees by which one.
#[cfg(unix)]
pub(crate) fn end_as_first_process() {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    /// The number of init.
    const FIRST: u32 = 1;
    /// What a shell adds to the number of a signal that ended a program.
    const BY_SIGNAL: i32 = 128;

    if std::process::id() != FIRST {
        return;
    }
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let always = Arc::new(AtomicBool::new(true));
        let set =
            signal_hook::flag::register_conditional_shutdown(signal, BY_SIGNAL + signal, always);
        if let Err(error) = set {
            log::warn!("signal {signal} will not end this process: {error}");
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn end_as_first_process() {}
