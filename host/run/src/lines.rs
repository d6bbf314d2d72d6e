//! Lines that are written by a thread of their own: a place that does not take them, a pipe that nobody reads for example, keeps
//! nobody waiting.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

/// How many may wait to be written, or sent.
const MOST: usize = 8_192;

/// Places among them that are for what is on its way already: whoever may still wait does so while fewer are left.
const SPARE: usize = 2_048;

/// How long somebody waits for a place, once: as long as nothing moves then, nobody waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bounded queue to one place.
pub(crate) struct Lines {
    sender: mpsc::Sender<String>,
    room: Arc<Room>,
}

impl Lines {
    /// `failed` is told what could not be written.
    pub(crate) fn to(
        mut place: Box<dyn Write + Send>,
        failed: impl Fn(io::Error) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<String>();
        let room = Arc::<Room>::default();
        let shared = Arc::clone(&room);
        let name = "lines".to_owned();
        thread::Builder::new().name(name).spawn(move || {
            let mut is_whole = true;
            for mut line in receiver {
                // part of the last may be there
                if !is_whole {
                    line.insert(0, '\n');
                }
                // in one piece: the place may be several processes'
                let written = place.write_all(line.as_bytes());
                is_whole = written.is_ok();
                if let Err(error) = written {
                    failed(error);
                }
                shared.give_back(1);
            }
        })?;
        Ok(Self { sender, room })
    }

    /// Takes one in, with its end. Not if there are too many.
    #[must_use]
    pub(crate) fn push(&self, line: String) -> bool {
        // the thread is there as long as this is
        self.room.take() && self.sender.send(line).is_ok()
    }

    pub(crate) fn room(&self) -> &Room {
        &self.room
    }
}

/// The places of a queue.
#[derive(Default)]
pub(crate) struct Room {
    taken: AtomicUsize,
    moved: Notify,
    /// Somebody has waited in vain, and nothing has moved since.
    is_stuck: AtomicBool,
}

impl Room {
    /// Takes a place, if there is one.
    pub(crate) fn take(&self) -> bool {
        let one_more = |taken: usize| (taken < MOST).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.is_ok()
    }

    /// What stood there has gone.
    pub(crate) fn give_back(&self, places: usize) {
        self.is_stuck.store(false, Ordering::Relaxed);
        self.taken.fetch_sub(places, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Waits until there are places to spare, for a while at the most.
    pub(crate) async fn wait(&self) {
        if !self.is_stuck.load(Ordering::Relaxed)
            && !self.has_at_the_most(MOST - SPARE, PATIENCE).await
        {
            self.is_stuck.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until all have gone, for so long at the most. How many have not.
    pub(crate) async fn empty(&self, limit: Duration) -> u64 {
        self.has_at_the_most(0, limit).await;
        self.taken()
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed) as u64
    }

    async fn has_at_the_most(&self, count: usize, limit: Duration) -> bool {
        let waiting = async {
            loop {
                // before it is looked at, so that nothing is missed
                let moved = self.moved.notified();
                if self.taken.load(Ordering::Relaxed) <= count {
                    return;
                }
                moved.await;
            }
        };
        timeout(limit, waiting).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// A place that takes as many lines as it is told.
    struct Slow(mpsc::Receiver<()>, Arc<AtomicU64>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.recv().is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.1.fetch_add(1, Ordering::Relaxed);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// As many as have a place are written; the others are refused at once, and one who waits for a place does so once.
    #[tokio::test]
    async fn a_place_that_takes_nothing_keeps_nobody_waiting_for_long() {
        const MOMENT: Duration = Duration::from_millis(1);

        let (go_on, told) = mpsc::channel();
        let (written, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let count = Arc::clone(&failed);
        let slow = Box::new(Slow(told, Arc::clone(&written)));
        let lines = Lines::to(slow, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        let lines = lines.unwrap();
        let is_stuck = || lines.room().is_stuck.load(Ordering::Relaxed);
        for at in 0..MOST {
            if at <= MOST - SPARE {
                lines.room().wait().await;
            }
            assert!(lines.push("x\n".to_owned()));
        }
        assert!(!lines.push("x\n".to_owned()) && !is_stuck());
        lines.room().wait().await;
        assert!(is_stuck());
        // at once, or the test would take some hours
        for _ in 0..10_000 {
            lines.room().wait().await;
        }
        assert_eq!(lines.room().empty(MOMENT).await, MOST as u64);
        go_on.send(()).unwrap();
        while lines.room().taken() == MOST as u64 {
            thread::yield_now();
        }
        // it moves
        assert!(!is_stuck() && lines.push("x\n".to_owned()));
        drop(go_on);
        while lines.room().taken() > 0 {
            thread::yield_now();
        }
        assert_eq!(lines.room().empty(MOMENT).await, 0);
        assert_eq!(written.load(Ordering::Relaxed), 1);
        assert_eq!(failed.load(Ordering::Relaxed), MOST as u64);
    }
}
