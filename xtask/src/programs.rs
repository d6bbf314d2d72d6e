//! The programs that users get, built while the tests of this tree's own build are compiled and run.
//!
//! Linking each of them optimises it as a whole, on one processor and for minutes. That is behind everything else that this
//! machine has to do, in a part of `target/` that nothing else builds into.

use crate::sh::step;
use crate::{build, package};
use anyhow::{Context as _, Result, bail};
use std::thread::{self, JoinHandle};

/// The build, once it has begun. It is waited for with the value: two of them would be in each other's way.
pub(crate) struct Programs(Option<JoinHandle<Result<()>>>);

impl Programs {
    /// After [`build::component`].
    pub(crate) fn begin() -> Result<Self> {
        eprintln!(
            "==> building the programs that users get, beside what follows (target/logs/build-*.log)"
        );
        let thread = thread::Builder::new().name("programs".to_owned());
        let begun = thread.spawn(|| {
            build::commands(|name, cmd| cmd.in_the_background().quiet(&format!("build-{name}")))?;
            // the image's is linked in its own way, which takes as long again
            let whole = package::link_whole()?;
            whole.in_the_background().quiet("build-whole")
        });
        Ok(Self(Some(begun.context("cannot start a thread")?)))
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Result<()> {
        step("waiting for the programs that users get", || self.join())
    }

    fn join(&mut self) -> Result<()> {
        match self.0.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(built)) => built,
            Some(Err(_)) => bail!("the thread that builds the programs has panicked"),
        }
    }
}

impl Drop for Programs {
    /// Something else has failed, which is told when this has ended.
    fn drop(&mut self) {
        if self.0.is_some()
            && let Err(error) = step("waiting for what is still being built", || self.join())
        {
            eprintln!("{error:#}");
        }
    }
}
