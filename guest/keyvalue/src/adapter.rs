//! What the store of a provider comes to over a store that knows no time to live and no "only if absent".
//!
//! A time to live is in the entry. What should be kept only where nothing is (a lease) is written after a look, and looked at
//! again after a while: who finds what he has written has it, and of several who wrote at once that is the last. Two have it
//! only where a store shows what was written later than [`SETTLE_MS`], or than it took here; that costs an exchange.

use std::cell::RefCell;
use std::rc::Rc;

use zeroize::Zeroizing;

use crate::cipher::Aes256Gcm;
use crate::format::{self, MAX_ENTRY_BYTES, NONCE_BYTES};

/// How long who has written a lease waits before he looks whether it is his: for those who have looked before he wrote, and
/// write after him. It is added to an exchange that nobody else has made.
const SETTLE_MS: u64 = 50;

/// Where the store is slow he waits for so many times what it has taken,
const SETTLE_FACTOR: u64 = 4;

/// and never longer than this: the engine waits for some 1,500 ms.
const MAX_SETTLE_MS: u64 = 400;

/// For how long keys are used before the file is read again.
const KEYS_MS: u64 = 10_000;

/// How long a store may take to answer. It is waited for by the whole component: these calls of `wasi:keyvalue` block.
const ANSWER_MS: u64 = 500;

/// How long a store that failed is left alone; doubled with each failure that follows,
const ALONE_MS: u64 = 1_000;

/// and this at most: how late it is seen that it is back.
const MAX_ALONE_MS: u64 = 30_000;

/// The prefix of keys unless there is another: that of the host.
const PREFIX: &str = "edgepass";

/// In each of the store's keys.
const MAX_PREFIX_CHARS: usize = 64;

/// Why the store did not do it, in words that continue its name.
pub(crate) struct Fault(pub(crate) String);

/// What is around the adapter.
pub(crate) trait World {
    fn unix_s(&self) -> u64;
    fn mono_ms(&self) -> u64;
    async fn sleep_ms(&self, ms: u64);
    /// A random one. `None` where the runtime gives another length than it was asked for.
    fn nonce(&self) -> Option<[u8; NONCE_BYTES]>;
    /// The file of keys as it is now.
    async fn keys(&self) -> Result<Zeroizing<Vec<u8>>, String>;
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
    fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault>;
    fn delete(&self, key: &str) -> Result<(), Fault>;
    /// Tells whoever runs the component.
    fn say(&self, what: &str);
}

type Keys = format::Keys<Aes256Gcm>;

/// The store of a provider.
pub(crate) struct Adapter<W> {
    world: W,
    /// Or why it cannot be used.
    prefix: Result<String, String>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    keys: Option<Rc<Keys>>,
    /// When the file was looked at.
    keys_mono_ms: u64,
    /// What was said, which is not said again.
    said: Vec<&'static str>,
    failures: u32,
    /// The store is left alone until then, because of that.
    alone: Option<(u64, String)>,
}

impl<W: World> Adapter<W> {
    pub(crate) fn new(world: W, prefix: Option<String>) -> Self {
        let prefix = prefix.unwrap_or_else(|| PREFIX.to_owned());
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".:_-".contains(c);
        let is_good = (1..=MAX_PREFIX_CHARS).contains(&prefix.len()) && prefix.chars().all(allowed);
        Self {
            world,
            prefix: match is_good {
                true => Ok(prefix),
                false => Err(
                    "EDGEPASS_TOKEN_STORE_KEY_PREFIX has other characters than letters, digits and `.:_-`, or more than 64 \
                     of them; the braces around it come by themselves"
                        .to_owned(),
                ),
            },
            state: RefCell::default(),
        }
    }

    /// What is kept under that key, can be read and has not expired.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, String> {
        let place = self.place(key)?;
        let keys = self.keys().await?;
        let value = self.read(&keys, &place)?;
        Ok(value.map(|mut value| std::mem::take(&mut *value)))
    }

    /// Keeps it; whether it is kept.
    pub(crate) async fn put(
        &self,
        key: &str,
        value: Zeroizing<Vec<u8>>,
        ttl_s: u32,
        only_if_absent: bool,
    ) -> Result<bool, String> {
        let place = self.place(key)?;
        let keys = self.keys().await?;
        let begun_ms = self.world.mono_ms();
        if only_if_absent && self.read(&keys, &place)?.is_some() {
            return Ok(false);
        }
        let expires_s = self.world.unix_s().saturating_add(ttl_s.max(1).into());
        let nonce = self.world.nonce();
        let sealed = nonce.and_then(|nonce| keys.seal(nonce, &place, expires_s, value));
        let entry = sealed.ok_or("an entry cannot be encrypted")?;
        if entry.len() > MAX_ENTRY_BYTES {
            return Err("an entry is too long for the token store".to_owned());
        }
        self.ask(Change::Write, |world| world.set(&place, &entry))?;
        if !only_if_absent {
            return Ok(true);
        }
        let took_ms = self.world.mono_ms().saturating_sub(begun_ms);
        let settle_ms = took_ms.saturating_mul(SETTLE_FACTOR);
        self.world
            .sleep_ms(settle_ms.clamp(SETTLE_MS, MAX_SETTLE_MS))
            .await;
        let there = self.ask(Change::None, |world| world.get(&place))?;
        Ok(there.as_ref() == Some(&entry))
    }

    /// Forgets it.
    pub(crate) fn delete(&self, key: &str) -> Result<(), String> {
        let place = self.place(key)?;
        self.ask(Change::Write, |world| world.delete(&place))
    }

    fn place(&self, key: &str) -> Result<String, String> {
        let prefix = self.prefix.as_ref().map_err(|reason| {
            self.say_once("prefix", reason);
            reason.clone()
        })?;
        format::place(prefix, key).ok_or_else(|| "the token store has no such keys".to_owned())
    }

    /// The value of an entry that can be used. What has expired goes: the store does not see to it.
    fn read(&self, keys: &Keys, place: &str) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let Some(entry) = self.ask(Change::None, |world| world.get(place))? else {
            return Ok(None);
        };
        let opened = match entry.len() > MAX_ENTRY_BYTES {
            true => Err("it is longer than any"),
            false => keys.open(place, &entry),
        };
        match opened {
            Ok(opened) if opened.expires_s > self.world.unix_s() => Ok(Some(opened.value)),
            Ok(_) => {
                // what is not forgotten now is seen again
                _ = self.ask(Change::Write, |world| world.delete(place));
                Ok(None)
            }
            Err(reason) => {
                self.say_once(
                    reason,
                    &format!("an entry is ignored, and so will be others like it: {reason}"),
                );
                Ok(None)
            }
        }
    }

    /// The keys to use: those of the file, or while that cannot be used those that it had.
    async fn keys(&self) -> Result<Rc<Keys>, String> {
        let now_ms = self.world.mono_ms();
        let known = {
            let state = self.state.borrow();
            let is_new = now_ms.saturating_sub(state.keys_mono_ms) < KEYS_MS;
            let known = state.keys.clone();
            if let Some(keys) = known.as_ref().filter(|_| is_new) {
                return Ok(Rc::clone(keys));
            }
            known
        };
        let read = self.world.keys().await.and_then(|text| {
            let keys = Keys::parse(&text);
            keys.map_err(|reason| format!("the file of keys cannot be used: {reason}"))
        });
        self.state.borrow_mut().keys_mono_ms = now_ms;
        match (read, known) {
            (Ok(keys), _) => {
                let keys = Rc::new(keys);
                self.state.borrow_mut().keys = Some(Rc::clone(&keys));
                Ok(keys)
            }
            (Err(reason), Some(known)) => {
                self.say_once(
                    "old keys",
                    &format!("{reason}; the keys from before stay in use"),
                );
                Ok(known)
            }
            (Err(reason), None) => {
                self.say_once("no keys", &format!("it is not used: {reason}"));
                Err(reason)
            }
        }
    }

    /// Asks the store, unless it is left alone.
    fn ask<T>(
        &self,
        change: Change,
        what: impl FnOnce(&W) -> Result<T, Fault>,
    ) -> Result<T, String> {
        let begun_ms = self.world.mono_ms();
        if let Some((until_ms, reason)) = &self.state.borrow().alone
            && begun_ms < *until_ms
        {
            return Err(format!(
                "the token store is left alone for a moment: it {reason}"
            ));
        }
        let result = what(&self.world);
        let now_ms = self.world.mono_ms();
        let is_slow = now_ms.saturating_sub(begun_ms) > ANSWER_MS;
        match (&result, change) {
            _ if is_slow => self.fails(now_ms, format!("took more than {ANSWER_MS} ms")),
            (Err(Fault(reason)), Change::None) => self.fails(now_ms, reason.clone()),
            // one that is full still has what is in it
            (Err(Fault(reason)), Change::Write) => {
                self.say_once("write", &format!("what is new is not kept: it {reason}"));
            }
            (Ok(_), _) => {
                let mut state = self.state.borrow_mut();
                (state.failures, state.alone) = (0, None);
            }
        }
        result.map_err(|Fault(reason)| format!("the token store {reason}"))
    }

    fn fails(&self, now_ms: u64, reason: String) {
        self.say_once(
            "failure",
            &format!("it {reason}; every instance asks for itself until it is back"),
        );
        let mut state = self.state.borrow_mut();
        let wait_ms = ALONE_MS
            .saturating_mul(1 << state.failures.min(16))
            .min(MAX_ALONE_MS);
        state.failures = state.failures.saturating_add(1);
        state.alone = Some((now_ms.saturating_add(wait_ms), reason));
    }

    fn say_once(&self, kind: &'static str, what: &str) {
        let mut state = self.state.borrow_mut();
        if !state.said.contains(&kind) {
            state.said.push(kind);
            self.world.say(what);
        }
    }
}

/// Whether something is changed by what is asked.
#[derive(Clone, Copy)]
enum Change {
    None,
    Write,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::{Future, poll_fn};
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    const ONE: &str = "one AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "two ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    /// A store that instances share, and the time.
    #[derive(Default)]
    struct Place {
        ms: u64,
        entries: BTreeMap<String, Vec<u8>>,
        asked: u64,
        is_down: bool,
        is_full: bool,
        takes_ms: u64,
        nonces: u8,
    }

    /// One instance's view of it.
    #[derive(Clone)]
    struct Fake {
        place: Rc<RefCell<Place>>,
        keys: Rc<RefCell<Result<String, String>>>,
        said: Rc<RefCell<Vec<String>>>,
    }

    impl Fake {
        fn of(place: &Rc<RefCell<Place>>, keys: &str) -> Self {
            Self {
                place: Rc::clone(place),
                keys: Rc::new(RefCell::new(Ok(keys.to_owned()))),
                said: Rc::default(),
            }
        }

        fn adapter(&self) -> Adapter<Self> {
            Adapter::new(self.clone(), None)
        }

        fn asked<T>(&self, answer: impl FnOnce(&mut Place) -> T) -> Result<T, Fault> {
            let mut place = self.place.borrow_mut();
            place.asked += 1;
            place.ms += place.takes_ms;
            match place.is_down {
                true => Err(Fault("is down".to_owned())),
                false => Ok(answer(&mut place)),
            }
        }
    }

    impl World for Fake {
        fn unix_s(&self) -> u64 {
            1_800_000_000 + self.place.borrow().ms / 1_000
        }

        fn mono_ms(&self) -> u64 {
            self.place.borrow().ms
        }

        async fn sleep_ms(&self, ms: u64) {
            let until_ms = self.mono_ms() + ms;
            poll_fn(|_| match self.mono_ms() >= until_ms {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
        }

        fn nonce(&self) -> Option<[u8; NONCE_BYTES]> {
            let mut place = self.place.borrow_mut();
            place.nonces = place.nonces.wrapping_add(1);
            Some([place.nonces; NONCE_BYTES])
        }

        async fn keys(&self) -> Result<Zeroizing<Vec<u8>>, String> {
            let keys = self.keys.borrow().clone();
            keys.map(|text| Zeroizing::new(text.into_bytes()))
        }

        fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
            self.asked(|place| place.entries.get(key).cloned())
        }

        fn set(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
            if self.place.borrow().is_full {
                return Err(Fault("is full".to_owned()));
            }
            self.asked(|place| {
                place.entries.insert(key.to_owned(), value.to_vec());
            })
        }

        fn delete(&self, key: &str) -> Result<(), Fault> {
            self.asked(|place| {
                place.entries.remove(key);
            })
        }

        fn say(&self, what: &str) {
            self.said.borrow_mut().push(what.to_owned());
        }
    }

    /// What comes of all of them, while time passes.
    fn all<T>(place: &Rc<RefCell<Place>>, calls: Vec<impl Future<Output = T>>) -> Vec<T> {
        let mut calls: Vec<Pin<Box<_>>> = calls.into_iter().map(Box::pin).collect();
        let mut done: Vec<Option<T>> = calls.iter().map(|_| None).collect();
        let mut context = Context::from_waker(Waker::noop());
        while done.iter().any(Option::is_none) {
            for (call, done) in calls.iter_mut().zip(&mut done) {
                if done.is_none()
                    && let Poll::Ready(value) = call.as_mut().poll(&mut context)
                {
                    *done = Some(value);
                }
            }
            place.borrow_mut().ms += 1;
        }
        done.into_iter().flatten().collect()
    }

    fn one<T>(place: &Rc<RefCell<Place>>, call: impl Future<Output = T>) -> T {
        all(place, vec![pin!(call)]).remove(0)
    }

    fn key() -> String {
        "0123456789abcdef".repeat(4)
    }

    fn token() -> Zeroizing<Vec<u8>> {
        b"a token".to_vec().into()
    }

    fn put(place: &Rc<RefCell<Place>>, adapter: &Adapter<Fake>) -> Result<bool, String> {
        one(place, adapter.put(&key(), token(), 60, false))
    }

    fn get(place: &Rc<RefCell<Place>>, adapter: &Adapter<Fake>) -> Result<Option<Vec<u8>>, String> {
        one(place, adapter.get(&key()))
    }

    #[test]
    fn what_one_has_put_there_another_gets_until_it_expires() {
        let place = Rc::default();
        let first = Fake::of(&place, ONE).adapter();
        let second = Fake::of(&place, &format!("{TWO}\n{ONE}")).adapter();
        assert_eq!(get(&place, &second), Ok(None));
        assert_eq!(put(&place, &first), Ok(true));
        assert_eq!(get(&place, &second), Ok(Some(b"a token".to_vec())));
        let names: Vec<_> = place.borrow().entries.keys().cloned().collect();
        assert_eq!(names, [format!("{{edgepass}}:{}", key())]);
        place.borrow_mut().ms += 60_000;
        assert_eq!(get(&place, &second), Ok(None));
        assert!(place.borrow().entries.is_empty(), "nobody else deletes it");
        put(&place, &first).unwrap();
        first.delete(&key()).unwrap();
        assert!(place.borrow().entries.is_empty());
        assert!(get(&place, &first).is_ok() && first.world.said.borrow().is_empty());
        for wrong in ["", "x", &"g".repeat(64)] {
            assert!(one(&place, first.get(wrong)).is_err());
        }
    }

    #[test]
    fn of_many_who_want_a_lease_one_has_it() {
        for seed in 0..50_usize {
            let place: Rc<RefCell<Place>> = Rc::default();
            place.borrow_mut().takes_ms = seed as u64 % 3;
            let adapters: Vec<_> = (0..20).map(|_| Fake::of(&place, ONE).adapter()).collect();
            // they come one after another, in another order each time
            let calls = adapters.iter().enumerate().map(|(n, adapter)| {
                let place = &place;
                async move {
                    let late_ms = (n * 7 + seed * 13) as u64 % 90;
                    adapter.world.sleep_ms(late_ms).await;
                    let key = key();
                    let kept = adapter.put(&key, Zeroizing::default(), 5, true).await;
                    (kept.unwrap(), place.borrow().ms)
                }
            });
            let kept = all(&place, calls.collect());
            assert_eq!(kept.iter().filter(|(kept, _)| *kept).count(), 1, "{seed}");
        }
    }

    /// Whoever has a lease and dies keeps the others waiting for as long as it lasts.
    #[test]
    fn a_lease_is_over_by_itself() {
        let place = Rc::default();
        let (first, second) = (
            Fake::of(&place, ONE).adapter(),
            Fake::of(&place, ONE).adapter(),
        );
        let lease = |adapter: &Adapter<Fake>| {
            one(&place, adapter.put(&key(), Zeroizing::default(), 5, true))
        };
        assert_eq!((lease(&first), lease(&second)), (Ok(true), Ok(false)));
        place.borrow_mut().ms += 5_000;
        assert_eq!((lease(&second), lease(&first)), (Ok(true), Ok(false)));
    }

    #[test]
    fn what_others_have_written_is_as_if_it_were_not_there() {
        let place: Rc<RefCell<Place>> = Rc::default();
        let fake = Fake::of(&place, ONE);
        let adapter = fake.adapter();
        put(&place, &adapter).unwrap();
        let name = format!("{{edgepass}}:{}", key());
        let good = place.borrow().entries.get(&name).unwrap().clone();
        let mut hostile: Vec<Vec<u8>> = vec![
            Vec::new(),
            b"{\"token\": 1}".to_vec(),
            vec![0; MAX_ENTRY_BYTES + 1],
            vec![1; MAX_ENTRY_BYTES],
            [&[2], &good[1..]].concat(),
            [good.as_slice(), b"\0"].concat(),
        ];
        for at in 0..good.len() {
            hostile.push(good[..at].to_vec());
            for bit in 0..8 {
                let mut changed = good.clone();
                changed[at] ^= 1 << bit;
                hostile.push(changed);
            }
        }
        for entry in hostile {
            place
                .borrow_mut()
                .entries
                .insert(name.clone(), entry.clone());
            assert_eq!(get(&place, &adapter), Ok(None), "{entry:x?}");
            // and gives way
            place.borrow_mut().entries.insert(name.clone(), entry);
            let key = key();
            let lease = adapter.put(&key, Zeroizing::default(), 5, true);
            assert_eq!(one(&place, lease), Ok(true));
        }
        // each kind once
        let mut said = fake.said.borrow().clone();
        let many = said.len();
        said.dedup();
        assert!(said.len() == many && (2..=4).contains(&many), "{said:?}");
        assert!(
            said.iter()
                .all(|line| line.starts_with("an entry is ignored"))
        );
    }

    #[test]
    fn keys_are_read_again_and_kept_while_the_file_is_broken() {
        let place = Rc::default();
        let fake = Fake::of(&place, ONE);
        let (adapter, reader) = (fake.adapter(), Fake::of(&place, TWO).adapter());
        put(&place, &adapter).unwrap();
        assert_eq!(get(&place, &reader), Ok(None), "another key");
        assert_eq!(reader.world.said.borrow().len(), 1);
        assert!(reader.world.said.borrow()[0].contains("not in the file of keys"));
        *fake.keys.borrow_mut() = Ok(format!("{TWO}\n{ONE}"));
        place.borrow_mut().ms += KEYS_MS;
        put(&place, &adapter).unwrap();
        assert_eq!(get(&place, &reader), Ok(Some(token().to_vec())));
        for broken in [Err("it is gone".to_owned()), Ok("half a".to_owned())] {
            *fake.keys.borrow_mut() = broken;
            place.borrow_mut().ms += KEYS_MS;
            assert_eq!(put(&place, &adapter), Ok(true));
        }
        let said = fake.said.borrow();
        assert!(
            said.len() == 1 && said[0].contains("the keys from before stay in use"),
            "{said:?}"
        );
        // who never had any says what to set
        let none = Fake::of(&place, "");
        *none.keys.borrow_mut() = Err("set it".to_owned());
        let adapter = none.adapter();
        assert_eq!(get(&place, &adapter), Err("set it".to_owned()));
        assert_eq!(put(&place, &adapter), Err("set it".to_owned()));
        assert_eq!(*none.said.borrow(), ["it is not used: set it"]);
    }

    #[test]
    fn a_store_that_fails_or_is_slow_is_left_alone_for_a_while() {
        for (is_down, takes_ms) in [(true, 0), (false, ANSWER_MS + 1)] {
            let place: Rc<RefCell<Place>> = Rc::default();
            let fake = Fake::of(&place, ONE);
            let adapter = fake.adapter();
            put(&place, &adapter).unwrap();
            (place.borrow_mut().is_down, place.borrow_mut().takes_ms) = (is_down, takes_ms);
            let mut wait_ms = ALONE_MS;
            for _ in 0..8 {
                // an answer that comes late is an answer
                let expected = !is_down && place.borrow().ms < 60_000;
                let found = get(&place, &adapter).is_ok_and(|value| value.is_some());
                assert_eq!(found, expected);
                let asked = place.borrow().asked;
                assert!(get(&place, &adapter).unwrap_err().contains("left alone"));
                assert_eq!(place.borrow().asked, asked, "it is not asked");
                place.borrow_mut().ms += wait_ms;
                wait_ms = MAX_ALONE_MS.min(wait_ms * 2);
            }
            (place.borrow_mut().is_down, place.borrow_mut().takes_ms) = (false, 0);
            place.borrow_mut().ms += MAX_ALONE_MS;
            assert_eq!(put(&place, &adapter), Ok(true));
            assert_eq!(get(&place, &adapter), Ok(Some(token().to_vec())));
            assert_eq!(fake.said.borrow().len(), 1);
        }
    }

    #[test]
    fn a_store_that_is_full_still_has_what_is_in_it() {
        let place: Rc<RefCell<Place>> = Rc::default();
        let fake = Fake::of(&place, ONE);
        let adapter = fake.adapter();
        put(&place, &adapter).unwrap();
        place.borrow_mut().is_full = true;
        for _ in 0..2 {
            assert!(put(&place, &adapter).unwrap_err().contains("is full"));
            assert_eq!(get(&place, &adapter), Ok(Some(token().to_vec())));
        }
        assert_eq!(*fake.said.borrow(), ["what is new is not kept: it is full"]);
    }

    #[test]
    fn a_prefix_that_cannot_be_is_said() {
        let place = Rc::default();
        for wrong in ["{x}", "a b", &"x".repeat(65)] {
            let adapter = Adapter::new(Fake::of(&place, ONE), Some(wrong.to_owned()));
            let error = get(&place, &adapter).unwrap_err();
            assert!(error.contains("EDGEPASS_TOKEN_STORE_KEY_PREFIX"), "{error}");
            assert_eq!(adapter.world.said.borrow().len(), 1);
        }
        let adapter = Adapter::new(Fake::of(&place, ONE), Some("orders:1".to_owned()));
        put(&place, &adapter).unwrap();
        assert!(
            place
                .borrow()
                .entries
                .keys()
                .all(|key| key.starts_with("{orders:1}:"))
        );
    }
}
