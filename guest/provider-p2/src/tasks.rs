//! Tasks of a component without an event loop. They run while a call is in it, one after the other, and wait together for
//! what the host says with pollables. Between calls they stay where they are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::bindings::wasi::io::poll::{Pollable, poll};

/// A task that was spawned. Letting go of it does not end it.
pub(crate) struct Task(u64);

impl Task {
    /// Ends it where it is.
    pub(crate) fn cancel(&mut self) {
        let ended = TASKS.with_borrow_mut(|tasks| tasks.all.remove(&self.0));
        // not while the tasks are borrowed: what it holds goes with it
        drop(ended);
    }
}

/// Starts a task. It runs from the next turn on.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) -> Task {
    let id = TASKS.with_borrow_mut(|tasks| {
        tasks.spawned += 1;
        tasks.all.insert(tasks.spawned, Some(Box::pin(work)));
        tasks.spawned
    });
    woken(|woken| woken.wake_by_ref());
    Task(id)
}

/// Over WASI 0.3 a call that has nothing to wait for pauses; here it has nobody to pause for.
pub(crate) async fn pause() {}

/// Waits until the host says that it is ready.
pub(crate) async fn ready(pollable: Pollable) {
    // the only strong one: a task that is ended must drop its pollable before what it is of
    let pollable = Rc::new(pollable);
    poll_fn(|_| {
        if pollable.ready() {
            return Poll::Ready(());
        }
        WAITING.with_borrow_mut(|waiting| waiting.push(Rc::downgrade(&pollable)));
        Poll::Pending
    })
    .await;
}

/// Runs the tasks until this is done. `None` if it waits for something that no task and no pollable brings.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let waker = woken(|woken| Waker::from(Arc::clone(woken)));
    let context = &mut Context::from_waker(&waker);
    loop {
        WAITING.take();
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Some(done);
        }
        turn(context);
        let go_on = woken(|woken| woken.0.swap(false, Ordering::Relaxed));
        if !go_on && !wait_for_any() {
            return None;
        }
    }
}

/// Lets the tasks do what they can without waiting.
pub(crate) fn advance() {
    let waker = woken(|woken| Waker::from(Arc::clone(woken)));
    let context = &mut Context::from_waker(&waker);
    loop {
        WAITING.take();
        turn(context);
        if !woken(|woken| woken.0.swap(false, Ordering::Relaxed)) {
            return;
        }
    }
}

#[derive(Default)]
struct Tasks {
    spawned: u64,
    /// In the order in which they were spawned. The one that runs is not in its place.
    all: BTreeMap<u64, Option<Work>>,
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

/// Whether something happened that a task waits for, and no pollable tells.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

thread_local! {
    static TASKS: RefCell<Tasks> = RefCell::default();
    static WAITING: RefCell<Vec<Weak<Pollable>>> = const { RefCell::new(Vec::new()) };
    static WOKEN: Arc<Woken> = Arc::new(Woken(AtomicBool::new(false)));
}

fn woken<R>(look: impl FnOnce(&Arc<Woken>) -> R) -> R {
    WOKEN.with(look)
}

/// Lets each task run once.
fn turn(context: &mut Context<'_>) {
    let all: Vec<u64> = TASKS.with_borrow(|tasks| tasks.all.keys().copied().collect());
    for id in all {
        // out of its place meanwhile: it may spawn others, and end them
        let task = TASKS.with_borrow_mut(|tasks| tasks.all.get_mut(&id).and_then(Option::take));
        let Some(mut task) = task else {
            continue;
        };
        let done = task.as_mut().poll(context).is_ready();
        TASKS.with_borrow_mut(|tasks| {
            if done {
                tasks.all.remove(&id);
            } else if let Some(place) = tasks.all.get_mut(&id) {
                *place = Some(task);
            }
        });
    }
}

/// Waits for one of the pollables that tasks wait for; whether there is one.
fn wait_for_any() -> bool {
    let waiting: Vec<Rc<Pollable>> = WAITING.take().iter().filter_map(Weak::upgrade).collect();
    if waiting.is_empty() {
        return false;
    }
    let pollables: Vec<&Pollable> = waiting.iter().map(AsRef::as_ref).collect();
    // which ones it is each task asks for itself
    poll(&pollables);
    true
}
