//! What a server remembers of browsers: sign-ins under way, and sessions. Both are found by a random name that the browser has
//! in a cookie; nothing else of them leaves the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many are kept. A real back end has them in a store that its instances share.
const MOST: usize = 10_000;

/// Things by a name that nobody can guess, each for a time.
pub(crate) struct Kept<T> {
    life: Duration,
    things: Mutex<HashMap<String, (Instant, Arc<T>)>>,
}

impl<T> Kept<T> {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            life,
            things: Mutex::default(),
        }
    }

    /// Keeps it, and gives its name.
    pub(crate) fn put(&self, thing: T) -> anyhow::Result<String> {
        let name = random()?;
        let mut things = self.things();
        things.retain(|_, (since, _)| since.elapsed() < self.life);
        anyhow::ensure!(things.len() < MOST, "too many at once");
        things.insert(name.clone(), (Instant::now(), Arc::new(thing)));
        Ok(name)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<T>> {
        let things = self.things();
        let (since, thing) = things.get(name)?;
        (since.elapsed() < self.life).then(|| thing.clone())
    }

    /// Takes it away: what counts once is used once.
    pub(crate) fn take(&self, name: &str) -> Option<Arc<T>> {
        let (since, thing) = self.things().remove(name)?;
        (since.elapsed() < self.life).then_some(thing)
    }

    fn things(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Arc<T>)>> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 256 bits, in letters that may stand in a cookie.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
