use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

/// A key whose digest is one of few, so that many have the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Crowded(u64);

impl Key for Crowded {
    fn digest(&self) -> u64 {
        (self.0 % 3) << 40
    }
}

/// Against a list that is searched from end to end.
fn agrees<K: Key + Copy + fmt::Debug>(key: impl Fn(u64) -> K, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut map = Keyed::default();
    // the oldest first
    let mut list: Vec<(K, u64)> = Vec::new();
    for step in 0..4_000_u64 {
        let key = key(random.next_u64() % 150);
        let at = list.iter().position(|(known, _)| *known == key);
        assert_eq!(map.get(&key), at.map(|at| &list[at].1), "{seed} {step}");
        match random.next_u64() % 16 {
            // now and then it grows, now and then it shrinks
            0..9 if step % 1_000 < 600 => {
                at.map(|at| list.remove(at));
                list.push((key, step));
                map.insert(key, step);
            }
            9..11 => {
                if let (Some(slot), Some(at)) = (map.slot(&key), at) {
                    map.touch(slot);
                    let entry = list.remove(at);
                    list.push(entry);
                }
            }
            11 => assert_eq!(
                map.pop_oldest(),
                (!list.is_empty()).then(|| list.remove(0)),
                "{seed} {step}"
            ),
            12 if step % 50 == 0 => {
                map.retain(|_, value| *value % 3 > 0);
                list.retain(|(_, value)| *value % 3 > 0);
            }
            13 if step % 997 == 0 => {
                map.retain(|_, _| false);
                list.clear();
            }
            _ => {
                let gone = at.map(|at| list.remove(at).1);
                assert_eq!(map.remove(&key), gone, "{seed} {step}");
            }
        }
        assert_eq!(map.len(), list.len());
        assert_eq!(map.is_empty(), list.is_empty());
        let order: Vec<(K, u64)> = map.iter().copied().collect();
        assert!(order.iter().eq(list.iter().rev()), "{seed} {step}");
        assert_eq!(map.contains_key(&key), list.iter().any(|(k, _)| *k == key));
    }
}

#[test]
fn it_is_a_map_in_the_order_of_use() {
    for seed in 0..8 {
        agrees(|n| n, seed);
        agrees(Crowded, seed);
    }
}

#[test]
fn a_burst_leaves_nothing_behind() {
    let mut map = Keyed::default();
    for n in 0..10_000_u64 {
        map.insert(n, n);
    }
    while map.pop_oldest().is_some() {}
    assert_eq!((map.entries.capacity(), map.order.links.capacity()), (0, 0));
    // and what comes and goes takes no more than there was at once
    for n in 0..10_000_u64 {
        map.insert(n, n);
        if n >= 10 {
            map.remove(&(n - 10));
        }
    }
    assert_eq!(map.entries.len(), 11);
}

#[test]
fn digests_differ_by_their_seed() {
    let of = |secret: &str| Seed::new(secret).hash_one("key");
    assert_eq!(of("one"), of("one"));
    assert_ne!(of("one"), of("two"));
}

struct Until(u64);

impl Ends for Until {
    fn end_mono_ms(&self) -> u64 {
        self.0
    }
}

/// However they are put in, replaced, taken out and prolonged: none that lives is dropped, and all that have ended
/// are gone after some calls.
#[test]
fn what_has_ended_goes_and_nothing_else() {
    for seed in 0..8 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |bound: u64| random.next_u64() % bound;
        let mut lasting: Lasting<u64, Until> = Lasting::default();
        let mut list = std::collections::BTreeMap::new();
        for now in 0..5_000 {
            let (key, end) = (below(40), now + 1 + below(300));
            match below(4) {
                0 => {
                    lasting.map_mut().remove(&key);
                    list.remove(&key);
                }
                1 => {
                    if let Some(known) = list.get_mut(&key).filter(|known| **known < end) {
                        *known = end;
                        lasting.map_mut().get_mut(&key).unwrap().0 = end;
                    }
                }
                _ => {
                    list.insert(key, end);
                    lasting.insert(key, Until(end));
                }
            }
            lasting.sweep(now);
            list.retain(|_, end| *end > now);
            assert_eq!(lasting.map().len(), list.len(), "{seed} {now}");
            assert!(list.keys().all(|key| lasting.map().contains_key(key)));
            assert!(lasting.ends.0.len() <= 2 * 40 + to_place(FEW) + 1);
        }
    }
}

#[test]
fn a_crowd_that_has_ended_goes_a_few_at_a_time() {
    let mut lasting = Lasting::default();
    (0..100_u64).for_each(|n| lasting.insert(n, Until(5)));
    lasting.sweep(4);
    assert_eq!(lasting.map().len(), 100);
    lasting.sweep(5);
    assert_eq!(lasting.map().len(), 100 - SWEPT_AT_ONCE);
    (0..100).for_each(|_| lasting.sweep(5));
    assert!(lasting.map().is_empty());
}
