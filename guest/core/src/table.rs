//! A map for few entries.

use std::borrow::Borrow;
use std::fmt;

/// A map as a sorted list, for what is configured: one entry or some dozen, where moving entries aside costs nothing to speak
/// of. What grows with callers is in other maps. A tree, which is compiled anew for every pair of types, was a sixth of the
/// Envoy filter.
#[derive(Clone, Eq, PartialEq)]
pub struct Table<K, V>(Vec<(K, V)>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Table<K, V> {
    /// The place of a key, or where it would be.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0
            .binary_search_by(|(known, _)| known.borrow().cmp(key))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// The value of a key, to be changed, if it is to be kept; otherwise it is taken out.
    pub fn get_kept<Q: Ord + ?Sized>(
        &mut self,
        key: &Q,
        keep: impl FnOnce(&mut V) -> bool,
    ) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        if !keep(&mut self.0.get_mut(at)?.1) {
            self.remove(key);
            return None;
        }
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is such a key.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.place(key).is_ok()
    }

    /// Sets the value of a key, and gives the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.place(&key) {
            Ok(at) => {
                let (_, known) = self.0.get_mut(at)?;
                Some(std::mem::replace(known, value))
            }
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a key out, and gives its value.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        Some(self.0.remove(at).1)
    }
}

impl<K, V> Table<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values in the order of the keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// The values in the order of their keys, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Takes out what does not fit.
    pub fn retain(&mut self, mut fits: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain_mut(|(key, value)| fits(key, value));
    }

    /// Takes out the first.
    #[cfg(not(feature = "every-credential"))]
    pub(crate) fn pop_oldest(&mut self) -> Option<(K, V)> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }

    /// Takes out what fits, in the order of the keys.
    pub fn extract(&mut self, fits: impl Fn(&K, &V) -> bool) -> Vec<(K, V)> {
        // mostly nothing does, and then nothing moves
        if !self.iter().any(|(key, value)| fits(key, value)) {
            return Vec::new();
        }
        let (out, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(key, value)| fits(key, value));
        self.0 = rest;
        out
    }
}

/// Borrowed entries.
pub(crate) type Iter<'a, K, V> =
    std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

impl<'a, K, V> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> IntoIterator for Table<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Table<K, V> {
    /// Of a repeated key the last value counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut out = Self::default();
        for (key, value) in entries {
            out.insert(key, value);
        }
        out
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(feature = "schema")]
impl<V: schemars::JsonSchema> schemars::JsonSchema for Table<String, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        std::collections::BTreeMap::<String, V>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        std::collections::BTreeMap::<String, V>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_in_order() {
        let mut table = Table::from_iter([("b", 2), ("a", 1), ("c", 3), ("b", 4)]);
        assert_eq!(table.keys().copied().collect::<String>(), "abc");
        assert_eq!(
            (table.get("b"), table.get("x"), table.len()),
            (Some(&4), None, 3)
        );
        assert_eq!(table.insert("a", 5), Some(1));
        assert_eq!((table.remove("a"), table.remove("a")), (Some(5), None));
        table.values_mut().for_each(|value| *value += 1);
        table.retain(|key, value| *key == "b" && *value == 5);
        assert_eq!(table, Table::from_iter([("b", 5)]));
        assert_eq!(format!("{table:?}"), r#"{"b": 5}"#);
        assert!(table.contains_key("b") && !table.is_empty());
        assert_eq!(table.get_kept("x", |_| true), None);
        assert_eq!(table.get_kept("b", |value| *value == 5), Some(&mut 5));
        assert_eq!(table.get_kept("b", |value| *value != 5), None);
        assert!(table.is_empty());
    }

    #[test]
    fn what_fits_is_taken_out_in_order() {
        let mut table = Table::from_iter((0..6).rev().map(|n| (n, n * n)));
        let odd = table.extract(|key, _| key % 2 == 1);
        assert_eq!(odd, [(1, 1), (3, 9), (5, 25)]);
        assert_eq!(table.keys().copied().collect::<Vec<_>>(), [0, 2, 4]);
        assert!(table.extract(|_, value| *value > 16).is_empty());
    }
}
