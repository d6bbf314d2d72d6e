//! Tasks, and one turn of the event loop before a call returns that had nothing to wait for.
//!
//! wasmtime 48 forgets to delete its record of a call between two components when the callee returns at once: some 400
//! bytes of the host's memory for every cached token, until the store ends (`start_call` in `component::concurrent`
//! cleans up after synchronous callers alone). A callee that has paused is cleaned up like any other. The pause costs
//! less than the noise of measuring a call.

use std::cell::Cell;

pub(crate) use wit_bindgen::spawn_local as spawn;

/// A task that was spawned. Letting go of it does not end it.
pub(crate) type Task = wit_bindgen::JoinHandle<()>;

/// Calls that pause at once. Each costs a few KiB of this component's memory meanwhile, and the engine does not count
/// them; a call beyond this returns without pausing.
const MAX_PAUSING: usize = 256;

thread_local! {
    static PAUSING: Cell<usize> = const { Cell::new(0) };
}

/// Pauses, unless too many calls do.
pub(crate) async fn pause() {
    if let Some(_pausing) = Pausing::begin() {
        wit_bindgen::yield_async().await;
    }
}

/// One call that pauses. Dropping it, as a cancelled call does, ends the pause.
struct Pausing;

impl Pausing {
    fn begin() -> Option<Self> {
        let pausing = PAUSING.get();
        if pausing >= MAX_PAUSING {
            return None;
        }
        PAUSING.set(pausing + 1);
        Some(Self)
    }
}

impl Drop for Pausing {
    fn drop(&mut self) {
        PAUSING.set(PAUSING.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded_and_end() {
        let pausing: Vec<_> = (0..=MAX_PAUSING).map_while(|_| Pausing::begin()).collect();
        assert_eq!(pausing.len(), MAX_PAUSING);
        drop(pausing);
        assert_eq!(PAUSING.get(), 0);
        assert!(Pausing::begin().is_some());
    }
}
