//! The programs that users get, built while the tests of this tree's own build are compiled and run.
//!
//! Linking each of them optimises it as a whole, on one processor and for minutes. That is behind everything else that this
//! machine has to do, in a part of `target/` that nothing else builds into.
//!
//! The tests run two of them, so those come first, and what is only measured and packed comes after.

use crate::sh::{Cmd, step};
use crate::{build, package};
use anyhow::{Context as _, Result, bail};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

/// The build, once it has begun. It is waited for with the value: two of them would be in each other's way.
pub(crate) struct Programs {
    thread: Option<JoinHandle<Result<()>>>,
    /// Told when those that tests run are there.
    tested: Receiver<()>,
}

impl Programs {
    /// After [`build::component`].
    pub(crate) fn begin() -> Result<Self> {
        eprintln!(
            "==> building the programs that users get, beside what follows (target/logs/build-*.log)"
        );
        let thread = thread::Builder::new().name("programs".to_owned());
        let (tell, tested) = mpsc::channel();
        let begun = thread.spawn(move || {
            let in_the_background =
                |name: &str, cmd: Cmd| cmd.in_the_background().quiet(&format!("build-{name}"));
            build::commands(build::COMMANDS, in_the_background)?;
            // nobody waits for them where something else has failed
            let _ = tell.send(());
            build::commands(&[build::RUN], in_the_background)?;
            // the image's is linked in its own way, which takes as long again
            let whole = package::link_whole()?;
            whole.in_the_background().quiet("build-whole")
        });
        Ok(Self {
            thread: Some(begun.context("cannot start a thread")?),
            tested,
        })
    }

    /// Waits for those that tests run.
    pub(crate) fn tested(&mut self) -> Result<()> {
        let told = step("waiting for the programs that the tests run", || {
            Ok(self.tested.recv())
        })?;
        match told {
            Ok(()) => Ok(()),
            // it has ended without them, and says why
            Err(_) => self.join(),
        }
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Result<()> {
        step("waiting for the programs that users get", || self.join())
    }

    fn join(&mut self) -> Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(built)) => built,
            Some(Err(_)) => bail!("the thread that builds the programs has panicked"),
        }
    }
}

impl Drop for Programs {
    /// Something else has failed, which is told when this has ended.
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(error) = step("waiting for what is still being built", || self.join())
        {
            eprintln!("{error:#}");
        }
    }
}
