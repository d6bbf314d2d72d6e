//! What the provider needs of the runtime that it is built on.

use std::panic::catch_unwind;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::provider::BuildError;

/// Without this the first wait or connection would panic inside the instance's task, and callers would be told of a
/// runtime that is gone. tokio has no question for it but to try.
pub(crate) fn check() -> Result<(), BuildError> {
    if Handle::try_current().is_err() {
        return Err(missing(
            "there is no tokio runtime here: call `build` inside one, or `build_blocking`",
        ));
    }
    if catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_err() {
        return Err(missing(
            "the tokio runtime here has no timers: call `enable_all` on its builder",
        ));
    }
    if catch_unwind(register).is_err() {
        return Err(missing(
            "the tokio runtime here has no I/O: call `enable_all` on its builder",
        ));
    }
    Ok(())
}

/// Whether a socket can be had at all is not asked here.
#[cfg(unix)]
fn register() {
    drop(tokio::net::UnixDatagram::unbound());
}

#[cfg(not(unix))]
fn register() {
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0));
    drop(socket.and_then(|socket| {
        socket.set_nonblocking(true)?;
        tokio::net::UdpSocket::from_std(socket)
    }));
}

fn missing(reason: &str) -> BuildError {
    BuildError::Runtime {
        reason: reason.to_owned(),
    }
}
