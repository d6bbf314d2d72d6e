//! Ends a guest that runs without yielding. A guest that only waits is never touched.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use wasmtime::{Engine, EngineWeak, Store, UpdateDeadline};

use crate::context::Context;
use crate::limits;

/// Looks at the guest at every tick, in the guest's own thread; counts in [`Context::ticks`], which the driver sets
/// back whenever the guest yields.
///
/// Only ticks that the guest saw while it ran are counted, so a thread that the machine did not schedule is not taken
/// for a runaway.
pub(crate) fn arm(store: &mut Store<Context>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        let context = store.data_mut();
        context.ticks += 1;
        Ok(if context.ticks > limits::WATCHDOG_TICKS {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Yield(1)
        })
    });
}

/// The thread that makes the ticks.
pub(crate) struct Watchdog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    /// Whether the store is being polled now, that is, guest code may be running.
    running: AtomicBool,
    /// Whether the thread sleeps until it is called.
    asleep: AtomicBool,
    stop: AtomicBool,
}

impl Watchdog {
    pub(crate) fn new(engine: &Engine) -> Self {
        let shared = Arc::new(Shared {
            running: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let ticker = {
            let (shared, engine) = (Arc::clone(&shared), engine.weak());
            thread::Builder::new()
                .name("edgepass-watchdog".to_owned())
                .spawn(move || tick(&shared, &engine))
        };
        let thread = ticker.inspect_err(|e| log::error!("no watchdog: {e}")).ok();
        Self { shared, thread }
    }

    /// Drives the store's future, awake while it is polled.
    pub(crate) async fn watch<F: Future>(&self, drive: F) -> F::Output {
        let mut drive = pin!(drive);
        std::future::poll_fn(|cx| {
            self.shared.running.store(true, Ordering::SeqCst);
            if self.shared.asleep.swap(false, Ordering::SeqCst)
                && let Some(thread) = &self.thread
            {
                thread.thread().unpark();
            }
            let polled = drive.as_mut().poll(cx);
            self.shared.running.store(false, Ordering::SeqCst);
            polled
        })
        .await
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

fn tick(shared: &Shared, engine: &EngineWeak) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        thread::sleep(limits::WATCHDOG_TICK);
        if shared.running.load(Ordering::SeqCst) {
            idle = 0;
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.increment_epoch();
            continue;
        }
        idle += 1;
        if idle < limits::WATCHDOG_IDLE_TICKS {
            continue;
        }
        idle = 0;
        shared.asleep.store(true, Ordering::SeqCst);
        // a poll that began before `asleep` was set did not see it
        while !shared.stop.load(Ordering::SeqCst)
            && !shared.running.load(Ordering::SeqCst)
            && shared.asleep.load(Ordering::SeqCst)
        {
            thread::park();
        }
        shared.asleep.store(false, Ordering::SeqCst);
    }
}
