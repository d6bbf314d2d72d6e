//! Bounds what the command waits for. A file may be on a file system whose server is gone (NFS, FUSE); whoever reads it,
//! or only looks for it, waits for as long as that, and cannot be stopped. So a thread watches what is waited for, and ends
//! the command with an error that names it. It is started when there is something to watch.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::failure::{Failure, Format, Warnings};
use super::{repeat, token};

/// How long a file may take. A file server that answers at all does so in less, and a person still believes that something
/// will come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long standard input may give nothing until people are told that it is waited for. What a program before the pipe
/// fetches takes less, mostly.
const SILENCE: Duration = Duration::from_secs(2);

/// What the command notices by itself at its deadline is reported by itself: it knows more.
const GRACE: Duration = Duration::from_millis(200);

/// Stack of the watching thread, bytes: it formats an error.
const STACK: usize = 256 * 1024;

static STATE: Mutex<State> = Mutex::new(State {
    format: Format::Text,
    quiet: false,
    begun: None,
    deadline: None,
    waits: Vec::new(),
    is_watched: false,
    is_over: false,
});

static CHANGED: Condvar = Condvar::new();

struct State {
    format: Format,
    quiet: bool,
    begun: Option<Instant>,
    deadline: Option<Deadline>,
    /// What is waited for now, the innermost last.
    waits: Vec<Wait>,
    is_watched: bool,
    /// The command has its result: nothing is to be ended any more.
    is_over: bool,
}

#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    given: Duration,
}

#[derive(Clone)]
struct Wait {
    what: String,
    since: Instant,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bound {
    /// A file, for [`PATIENCE`].
    File,
    /// Something that bounds itself, or may take long.
    None,
    /// Standard input, of which is told after [`SILENCE`].
    Input,
}

/// What is to be done at a moment.
#[derive(Debug, PartialEq)]
enum Step {
    Sleep(Option<Duration>),
    Tell,
    GiveUp(GivenUp),
}

/// Why the command ends.
#[derive(Debug, PartialEq)]
enum GivenUp {
    Deadline {
        given: Duration,
        waited_for: Option<String>,
    },
    File(String),
}

/// From here on time counts, and errors are printed so.
pub(crate) fn begin(format: Format, quiet: bool) {
    let mut state = lock();
    state.format = format;
    state.quiet = quiet;
    state.begun = Some(Instant::now());
}

/// The moment that is so long after the beginning. The command ends then, whatever it waits for.
pub(crate) fn deadline(given: Duration) -> Instant {
    let mut state = lock();
    let at = state.begun.unwrap_or_else(Instant::now) + given;
    state.deadline = Some(Deadline { at, given });
    watched(state);
    at
}

/// The result is there, or an error: nothing is ended any more.
pub(crate) fn over() {
    lock().is_over = true;
    CHANGED.notify_all();
}

/// Held while a file is waited for. `what` is a noun for people.
pub(crate) fn file(what: impl Into<String>) -> Waiting {
    wait(what.into(), Bound::File)
}

/// Held while something is waited for that bounds itself, or may rightly take long.
pub(crate) fn unbounded(what: impl Into<String>) -> Waiting {
    wait(what.into(), Bound::None)
}

/// Held while standard input is waited for. People are told of it: at once where it is a terminal, for they have to write it.
pub(crate) fn input(what: &str) -> Waiting {
    let waiting = wait(format!("{what} on standard input"), Bound::Input);
    if std::io::stdin().is_terminal() {
        let mut state = lock();
        tell(&mut state, "; Ctrl-D ends it");
    }
    waiting
}

/// The file at a path that a setting names, for people.
pub(crate) fn named(kind: &str, path: &Path, setting: &str) -> String {
    match path.to_str().filter(|path| repeat::is_harmless(path)) {
        Some(path) => format!("the {kind} {path} ({setting})"),
        None => format!("the {kind} that {setting} names"),
    }
}

/// Ends when something is not waited for any more.
pub(crate) struct Waiting(());

impl Drop for Waiting {
    fn drop(&mut self) {
        lock().waits.pop();
        CHANGED.notify_all();
    }
}

fn wait(what: String, bound: Bound) -> Waiting {
    let mut state = lock();
    state.waits.push(Wait {
        what,
        since: Instant::now(),
        bound,
    });
    watched(state);
    CHANGED.notify_all();
    Waiting(())
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread if there is none. Where none can be started nothing is bounded; `token` says so of the limit.
fn watched(mut state: MutexGuard<'static, State>) {
    if !state.is_watched {
        let thread = std::thread::Builder::new().stack_size(STACK);
        state.is_watched = thread.spawn(watch).is_ok();
    }
}

fn watch() {
    let mut state = lock();
    while !state.is_over {
        match state.next(Instant::now()) {
            Step::Sleep(None) => {
                state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            Step::Sleep(Some(time)) => {
                let woken = CHANGED.wait_timeout(state, time);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            Step::Tell => tell(&mut state, ""),
            Step::GiveUp(why) => {
                // the lock is held: nobody prints a result beside this
                let failure = why.into_failure();
                failure.report(state.format, &Warnings::default());
                std::process::exit(failure.exit_status().into());
            }
        }
    }
}

/// Says that standard input is waited for, once, and to people alone.
fn tell(state: &mut State, more: &str) {
    let speaks = state.format == Format::Text && !state.quiet;
    let input = state
        .waits
        .iter_mut()
        .filter(|wait| wait.bound == Bound::Input);
    for wait in input {
        wait.bound = Bound::None;
        if speaks {
            // nothing is left to say it to
            let _ = writeln!(
                std::io::stderr().lock(),
                "edgepass: waiting for {}{more}",
                wait.what
            );
        }
    }
}

impl State {
    fn next(&self, now: Instant) -> Step {
        let mut next: Option<Instant> = None;
        let mut is_due = |at: Instant| {
            if at > now {
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            at <= now
        };
        if let Some(deadline) = self.deadline
            && is_due(deadline.at + GRACE)
        {
            return Step::GiveUp(GivenUp::Deadline {
                given: deadline.given,
                waited_for: self.waits.last().map(|wait| wait.what.clone()),
            });
        }
        for wait in &self.waits {
            match wait.bound {
                Bound::File if is_due(wait.since + PATIENCE) => {
                    // the innermost knows best what it is
                    let inner = self.waits.last().unwrap_or(wait);
                    return Step::GiveUp(GivenUp::File(inner.what.clone()));
                }
                Bound::Input if is_due(wait.since + SILENCE) => return Step::Tell,
                Bound::File | Bound::Input | Bound::None => {}
            }
        }
        Step::Sleep(next.map(|next| next.saturating_duration_since(now)))
    }
}

impl GivenUp {
    fn into_failure(self) -> Failure {
        match self {
            Self::Deadline { given, waited_for } => {
                Failure::from(token::timed_out(given, waited_for.as_deref()))
            }
            Self::File(what) => Failure::setup_with_hint(
                format!("{what}: nothing came of it in {} s", PATIENCE.as_secs()),
                "it is on a file system that does not answer: look whether its server (NFS, SMB, FUSE) is there",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_done_and_nothing_before() {
        let now = Instant::now();
        let ago = |time: Duration| now.checked_sub(time).unwrap();
        let second = Duration::from_secs(1);
        let wait = |what: &str, waited: Duration, bound| Wait {
            what: what.to_owned(),
            since: ago(waited),
            bound,
        };
        let late = Some(Deadline {
            at: ago(GRACE),
            given: second,
        });
        let coming = Some(Deadline {
            at: now + second,
            given: second,
        });
        let deadline = |waited_for: Option<&str>| {
            Step::GiveUp(GivenUp::Deadline {
                given: second,
                waited_for: waited_for.map(str::to_owned),
            })
        };
        let file = |what: &str| Step::GiveUp(GivenUp::File(what.to_owned()));
        for (deadline, waits, expected) in [
            (None, vec![], Step::Sleep(None)),
            (coming, vec![], Step::Sleep(Some(second + GRACE))),
            (late, vec![], deadline(None)),
            (
                None,
                vec![wait("a", second, Bound::File)],
                Step::Sleep(Some(PATIENCE - second)),
            ),
            (None, vec![wait("a", PATIENCE, Bound::File)], file("a")),
            (
                late,
                vec![wait("a", PATIENCE, Bound::File)],
                deadline(Some("a")),
            ),
            (
                None,
                vec![
                    wait("all", PATIENCE, Bound::File),
                    wait("one", second, Bound::File),
                ],
                file("one"),
            ),
            (
                None,
                vec![wait("a", PATIENCE, Bound::None)],
                Step::Sleep(None),
            ),
            (None, vec![wait("a", SILENCE, Bound::Input)], Step::Tell),
            (
                coming,
                vec![wait("a", second, Bound::Input)],
                Step::Sleep(Some((SILENCE - second).min(second + GRACE))),
            ),
        ] {
            let state = State {
                format: Format::Text,
                quiet: false,
                begun: None,
                deadline,
                waits,
                is_watched: true,
                is_over: false,
            };
            assert_eq!(state.next(now), expected);
        }
    }
}
