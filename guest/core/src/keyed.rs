//! A map for what grows with callers: everything in it costs the same whether there are ten entries or a hundred
//! thousand, and it remembers in which order they were put in or last used.
//!
//! An index finds the slot of a key, and slots are chained in order of use. Only the slots know the types of keys and
//! values: what is compiled anew for every map is little, which counts in a filter.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::hash::{BuildHasher, DefaultHasher, Hasher as _};

use hashbrown::HashTable;

/// What can be found in a [`Keyed`].
pub(crate) trait Key: Eq {
    /// The same for equal keys. Of what callers choose it is made with a [`Seed`], so that nobody can choose keys that
    /// all have the same.
    fn digest(&self) -> u64;
}

/// Numbers that the engine gives out, one after the other, and digests.
impl Key for u64 {
    fn digest(&self) -> u64 {
        // the golden ratio spreads neighbours over the whole range (Knuth, volume 3, section 6.4)
        self.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Makes digests of keys that nobody can foresee.
#[derive(Clone, Debug)]
pub(crate) struct Seed(DefaultHasher);

impl Seed {
    pub(crate) fn new(secret: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(secret.as_bytes());
        Self(hasher)
    }
}

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        self.0.clone()
    }
}

/// What is not worth tidying up.
const FEW: u32 = 64;

/// A map for what has a number of the engine's own.
#[cfg(feature = "every-credential")]
pub(crate) type ById<V> = Keyed<u64, V>;

/// The same in a filter: each of a proxy's workers has at most some hundred of anything, and new numbers come last.
#[cfg(not(feature = "every-credential"))]
pub(crate) type ById<V> = crate::Table<u64, V>;

/// The map. A clone of a key or value is never made.
pub(crate) struct Keyed<K, V> {
    index: Index,
    order: Order,
    /// By slot.
    entries: Vec<Option<(K, V)>>,
}

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Self {
            index: Index::default(),
            order: Order::default(),
            entries: Vec::new(),
        }
    }
}

impl<K: Key, V> Keyed<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.at(self.slot(key)?).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.slot(key)?;
        self.at_mut(slot)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.slot(key).is_some()
    }

    /// Puts it in as the newest, in place of what was there, and says in which slot.
    pub(crate) fn insert(&mut self, key: K, value: V) -> u32 {
        self.remove(&key);
        let slot = self.order.add();
        self.index.add(key.digest(), slot);
        let entry = Some((key, value));
        match self.entries.get_mut(to_place(slot)) {
            Some(free) => *free = entry,
            // slots are given out in their order
            None => self.entries.push(entry),
        }
        slot
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let slot = self.slot(key)?;
        self.remove_at(slot).map(|(_, value)| value)
    }

    /// The slot of a key.
    pub(crate) fn slot(&self, key: &K) -> Option<u32> {
        self.find(key.digest(), |known, _| known == key)
    }

    /// The slot of the entry that has that digest and fits.
    pub(crate) fn find(&self, digest: u64, fits: impl Fn(&K, &V) -> bool) -> Option<u32> {
        self.index.find(digest, &|slot| {
            self.at(slot).is_some_and(|(key, value)| fits(key, value))
        })
    }

    pub(crate) fn remove_at(&mut self, slot: u32) -> Option<(K, V)> {
        let (key, value) = self.entries.get_mut(to_place(slot))?.take()?;
        self.index.remove(key.digest(), slot);
        self.order.remove(slot);
        #[cfg(feature = "every-credential")]
        if self.order.is_empty() && self.order.slots() > FEW {
            // what a burst has taken is given back
            *self = Self::default();
        }
        Some((key, value))
    }

    /// Keeps what fits. It looks at all.
    pub(crate) fn retain(&mut self, mut fits: impl FnMut(&K, &mut V) -> bool) {
        for slot in 0..self.order.slots() {
            let entry = self.entries.get_mut(to_place(slot));
            if let Some(Some((key, value))) = entry
                && !fits(key, value)
            {
                self.remove_at(slot);
            }
        }
    }

    /// Takes the oldest out.
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        self.remove_at(self.oldest()?)
    }
}

impl<K, V> Keyed<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.index.0.len()
    }

    #[cfg(feature = "every-credential")]
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn at(&self, slot: u32) -> Option<&(K, V)> {
        self.entries.get(to_place(slot))?.as_ref()
    }

    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut V> {
        let entry = self.entries.get_mut(to_place(slot))?;
        entry.as_mut().map(|(_, value)| value)
    }

    /// Makes it the newest.
    pub(crate) fn touch(&mut self, slot: u32) {
        self.order.touch(slot);
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        some(self.order.oldest)
    }

    /// From the newest to the oldest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.slots().filter_map(|slot| self.at(slot))
    }

    /// The slots in the same order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        let older = |slot: &u32| some(self.order.links(*slot)?.older);
        std::iter::successors(some(self.order.newest), older)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Keyed<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(key, value)| (key, value)))
            .finish()
    }
}

/// Moments on the monotonic clock, and what is to be looked at then. What has gone meanwhile is left in until its moment
/// comes or the list is made anew, so whoever looks says what is still there.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<(u64, u64)>>);

impl Deadlines {
    pub(crate) fn add(&mut self, mono_ms: u64, id: u64) {
        self.0.push(Reverse((mono_ms, id)));
    }

    /// Whether most of what is in it has gone.
    pub(crate) fn is_stale(&self, living: usize) -> bool {
        self.0.len() > 2 * living + to_place(FEW)
    }

    /// Keeps what is there.
    pub(crate) fn retain(&mut self, mut is_there: impl FnMut(u64, u64) -> bool) {
        self.0
            .retain(|Reverse((mono_ms, id))| is_there(*mono_ms, *id));
    }

    /// The first.
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.0.peek().map(|Reverse(first)| *first)
    }

    /// Takes the first out, if it has come.
    pub(crate) fn next_due(&mut self, mono_ms: u64) -> Option<u64> {
        let (at, id) = self.first()?;
        if at > mono_ms {
            return None;
        }
        self.0.pop();
        Some(id)
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}

/// How many that have ended are dropped with one call: more than one call can add, so that they do not pile up, and few
/// enough that no call is late because of others.
pub(crate) const SWEPT_AT_ONCE: usize = 8;

/// What has an end.
pub(crate) trait Ends {
    /// When it is to be looked at again, on the monotonic clock.
    fn end_mono_ms(&self) -> u64;
}

/// A [`Keyed`] whose entries go by themselves when they have ended, without anybody looking at all of them.
pub(crate) struct Lasting<K, V> {
    map: Keyed<K, V>,
    ends: Deadlines,
}

impl<K, V> Default for Lasting<K, V> {
    fn default() -> Self {
        Self {
            map: Keyed::default(),
            ends: Deadlines::default(),
        }
    }
}

impl<K: Key, V: Ends> Lasting<K, V> {
    pub(crate) fn map(&self) -> &Keyed<K, V> {
        &self.map
    }

    /// To change, to take out and to touch. What is put in comes by [`Self::insert`].
    pub(crate) fn map_mut(&mut self) -> &mut Keyed<K, V> {
        &mut self.map
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let end = value.end_mono_ms();
        let slot = self.map.insert(key, value);
        self.ends.add(end, u64::from(slot));
        if self.ends.is_stale(self.map.len()) {
            self.ends.retain(|_, _| false);
            for slot in 0..self.map.order.slots() {
                if let Some((_, value)) = self.map.at(slot) {
                    self.ends.add(value.end_mono_ms(), u64::from(slot));
                }
            }
        }
    }

    /// The slot of one that has ended. Some are looked at, not all.
    pub(crate) fn ended(&mut self, mono_ms: u64, looks: &mut usize) -> Option<u32> {
        while *looks > 0 {
            let slot = self.ends.next_due(mono_ms)?;
            *looks -= 1;
            let slot = u32::try_from(slot).ok()?;
            // gone, or another one in its place
            let Some((_, value)) = self.map.at(slot) else {
                continue;
            };
            let end = value.end_mono_ms();
            if end <= mono_ms {
                return Some(slot);
            }
            self.ends.add(end, u64::from(slot));
        }
        None
    }

    /// Drops some of those that have ended.
    pub(crate) fn sweep(&mut self, mono_ms: u64) {
        let mut looks = SWEPT_AT_ONCE;
        while let Some(slot) = self.ended(mono_ms, &mut looks) {
            self.map.remove_at(slot);
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Lasting<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.map.fmt(f)
    }
}

/// Slots by digest.
#[derive(Default)]
struct Index(HashTable<Position>);

#[derive(Clone, Copy)]
struct Position {
    /// Half of the digest: with the key itself at hand it is enough, and takes half of the memory.
    digest: u32,
    slot: u32,
}

impl Position {
    /// The table looks at the first seven bits and at the last ones.
    fn spread(&self) -> u64 {
        u64::from(self.digest) << 32 | u64::from(self.digest)
    }
}

impl Index {
    fn position(digest: u64, slot: u32) -> Position {
        // the low half: the cast is what halves it
        #[expect(clippy::cast_possible_truncation, reason = "half of it")]
        let digest = (digest ^ digest >> 32) as u32;
        Position { digest, slot }
    }

    fn find(&self, digest: u64, fits: &dyn Fn(u32) -> bool) -> Option<u32> {
        if self.0.is_empty() {
            // what an exchange asks is mostly whether there is something that is not there
            return None;
        }
        let position = Self::position(digest, NONE);
        let fits = |known: &Position| known.digest == position.digest && fits(known.slot);
        self.0.find(position.spread(), fits).map(|known| known.slot)
    }

    fn add(&mut self, digest: u64, slot: u32) {
        let position = Self::position(digest, slot);
        self.0
            .insert_unique(position.spread(), position, Position::spread);
    }

    fn remove(&mut self, digest: u64, slot: u32) {
        let position = Self::position(digest, slot);
        if let Ok(found) = self
            .0
            .find_entry(position.spread(), |known| known.slot == slot)
        {
            found.remove();
        }
    }
}

/// No slot.
const NONE: u32 = u32::MAX;

fn some(slot: u32) -> Option<u32> {
    (slot != NONE).then_some(slot)
}

fn to_place(slot: u32) -> usize {
    // there is no machine for this with less than 32 bits
    slot.try_into().unwrap_or(usize::MAX)
}

/// Slots in a chain from the oldest to the newest; those that are free in another.
struct Order {
    links: Vec<Links>,
    oldest: u32,
    newest: u32,
    /// The first free slot; the next is its `newer`.
    free: u32,
}

#[derive(Clone, Copy)]
struct Links {
    older: u32,
    newer: u32,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            oldest: NONE,
            newest: NONE,
            free: NONE,
        }
    }
}

impl Order {
    /// How many there are, the free ones included.
    fn slots(&self) -> u32 {
        u32::try_from(self.links.len()).unwrap_or(NONE)
    }

    #[cfg(feature = "every-credential")]
    fn is_empty(&self) -> bool {
        self.oldest == NONE
    }

    fn links(&self, slot: u32) -> Option<Links> {
        self.links.get(to_place(slot)).copied()
    }

    fn edit(&mut self, slot: u32, edit: impl FnOnce(&mut Links)) {
        if let Some(links) = self.links.get_mut(to_place(slot)) {
            edit(links);
        }
    }

    /// A free slot, as the newest.
    fn add(&mut self) -> u32 {
        let slot = match some(self.free) {
            Some(free) => {
                self.free = self.links(free).map_or(NONE, |links| links.newer);
                free
            }
            None => {
                let slot = self.slots();
                let (older, newer) = (NONE, NONE);
                self.links.push(Links { older, newer });
                slot
            }
        };
        self.append(slot);
        slot
    }

    fn touch(&mut self, slot: u32) {
        if slot != self.newest {
            self.unlink(slot);
            self.append(slot);
        }
    }

    fn remove(&mut self, slot: u32) {
        self.unlink(slot);
        let newer = std::mem::replace(&mut self.free, slot);
        self.edit(slot, |links| *links = Links { older: NONE, newer });
    }

    fn append(&mut self, slot: u32) {
        let older = std::mem::replace(&mut self.newest, slot);
        self.edit(slot, |links| *links = Links { older, newer: NONE });
        match some(older) {
            Some(older) => self.edit(older, |links| links.newer = slot),
            None => self.oldest = slot,
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(Links { older, newer }) = self.links(slot) else {
            return;
        };
        match some(older) {
            Some(older) => self.edit(older, |links| links.newer = newer),
            None => self.oldest = newer,
        }
        match some(newer) {
            Some(newer) => self.edit(newer, |links| links.older = older),
            None => self.newest = older,
        }
    }
}

#[cfg(test)]
mod tests;
