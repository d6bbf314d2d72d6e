//! Entries by their keys within a budget, least recently used first out. Whether a token may be served is the entry's
//! matter.

use std::collections::VecDeque;
use std::rc::Rc;

use super::entry::{Entry, Rest, Wording};
use super::key::CacheKey;
use crate::keyed::{Lasting, SWEPT_AT_ONCE};
use crate::{AccessToken, Now};

/// What an entry takes besides its texts: itself, its key, its places in the lists, and what an allocator adds to each of
/// some seven allocations.
pub(super) const ENTRY_BYTES: usize =
    size_of::<Entry>() + size_of::<Rest>() + size_of::<CacheKey>() + 176;

/// How much a store may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) tokens: usize,
    pub(super) bytes: usize,
}

/// Tokens by key, the ones that were used last kept.
pub(super) struct Store {
    pub(super) entries: Lasting<CacheKey, Entry>,
    /// What they take.
    pub(super) bytes: usize,
    budget: Budget,
    /// Digests of the claims that a server has refused lately, and until when on the monotonic clock that counts.
    pub(super) refused_claims: VecDeque<(CacheKey, String, u64)>,
    /// Those of the tokens that came last.
    wordings: VecDeque<Rc<Wording>>,
}

/// How many wordings are looked at: as many as there are scopes that users ask for.
const WORDINGS: usize = 8;

impl Store {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            entries: Lasting::default(),
            bytes: 0,
            budget,
            refused_claims: VecDeque::new(),
            wordings: VecDeque::new(),
        }
    }

    /// Takes what is said of a token off it.
    pub(super) fn wording(&mut self, token: &mut AccessToken) -> Rc<Wording> {
        let wording = Wording {
            token_type: std::mem::take(&mut token.token_type),
            scope: std::mem::take(&mut token.scope),
            identity: std::mem::take(&mut token.identity),
            issued_token_type: token.issued_token_type.take(),
            certificate_thumbprint: token.certificate_thumbprint.take(),
        };
        if let Some(known) = self.wordings.iter().find(|known| ***known == wording) {
            return Rc::clone(known);
        }
        let wording = Rc::new(wording);
        self.wordings.truncate(WORDINGS - 1);
        self.wordings.push_front(Rc::clone(&wording));
        wording
    }

    pub(super) fn get_mut(&mut self, key: &CacheKey) -> Option<&mut Entry> {
        self.entries.map_mut().get_mut(key)
    }

    /// The entry that lives, as the one that was used last.
    pub(super) fn use_living(&mut self, key: &CacheKey, now: Now) -> Option<&mut Entry> {
        let slot = self.entries.map().slot(key)?;
        let entry = self.entries.map_mut().at_mut(slot)?;
        if !entry.lives(now) {
            self.remove_at(slot);
            return None;
        }
        // it is about to be served: its token and its neighbours in the chain are waited for together
        std::hint::black_box(entry.token.expose().len());
        self.entries.map_mut().touch(slot);
        self.entries.map_mut().at_mut(slot)
    }

    /// Drops some of those that have ended: whoever never comes back does not ask for them.
    pub(super) fn sweep(&mut self, now: Now) {
        let mut looks = SWEPT_AT_ONCE;
        while let Some(slot) = self.entries.ended(now.mono_ms, &mut looks) {
            self.remove_at(slot);
        }
    }

    /// Dropping one wipes its secrets.
    fn remove_at(&mut self, slot: u32) -> Option<(CacheKey, Entry)> {
        let (key, entry) = self.entries.map_mut().remove_at(slot)?;
        self.bytes = self.bytes.saturating_sub(entry.rest.bytes);
        Some((key, entry))
    }

    pub(super) fn remove(&mut self, key: &CacheKey) -> Option<Entry> {
        let slot = self.entries.map().slot(key)?;
        self.remove_at(slot).map(|(_, entry)| entry)
    }

    /// Puts one in whose key is not there, in place of those that were not used for the longest time.
    pub(super) fn insert(&mut self, key: CacheKey, mut entry: Entry) {
        let size = entry.size();
        entry.rest.bytes = size;
        let Budget { tokens, bytes } = self.budget;
        while self.entries.map().len() >= tokens || self.bytes.saturating_add(size) > bytes {
            let Some(idle) = self.entries.map().oldest() else {
                break;
            };
            self.remove_at(idle);
        }
        self.bytes = self.bytes.saturating_add(size);
        self.entries.insert(key, entry);
    }

    /// Counts one again that has changed.
    pub(super) fn count(&mut self, key: &CacheKey) {
        let Some(entry) = self.entries.map_mut().get_mut(key) else {
            return;
        };
        let size = entry.size();
        let before = std::mem::replace(&mut entry.rest.bytes, size);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(size);
    }

    pub(super) fn retain(&mut self, mut fits: impl FnMut(&CacheKey, &Entry) -> bool) {
        let bytes = &mut self.bytes;
        self.entries.map_mut().retain(|key, entry| {
            let keep = fits(key, entry);
            if !keep {
                *bytes = bytes.saturating_sub(entry.rest.bytes);
            }
            keep
        });
    }
}
