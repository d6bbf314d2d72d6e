//! What the components of one store may take of this process.

use wasmtime::{ResourceLimiter, Result};

use crate::limits;

/// Counts what a store's components have, all of them together: many small memories are as good as a large one to
/// somebody who wants the machine's.
///
/// For a store of an application: `store.limiter(|state| &mut state.bounds)`.
#[derive(Debug)]
pub struct Bounds {
    bytes: Room,
    /// Where tables have a bound of their own. Otherwise they take of the bytes as well.
    table_elements: Option<Room>,
    parts: Parts,
}

/// Of how many things a store may be made.
#[derive(Clone, Copy, Debug)]
struct Parts {
    instances: usize,
    tables: usize,
    memories: usize,
}

impl Bounds {
    /// For an application: its memories and tables have no more than so many bytes, all of them together.
    pub fn of_application(bytes: usize) -> Self {
        Self {
            bytes: Room::of(bytes),
            table_elements: None,
            parts: Parts {
                instances: limits::APPLICATION_PARTS,
                tables: limits::APPLICATION_PARTS,
                memories: limits::APPLICATION_PARTS,
            },
        }
    }

    /// For a provider, of whose tables it is known how large they are.
    pub(crate) fn of_provider(memory_bytes: usize) -> Self {
        Self {
            bytes: Room::of(memory_bytes),
            table_elements: Some(Room::of(limits::TABLE_ELEMENTS)),
            parts: Parts {
                instances: limits::CORE_INSTANCES,
                tables: limits::TABLES,
                memories: limits::MEMORIES,
            },
        }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.bytes.take(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        /// A pointer.
        const ELEMENT_BYTES: usize = 8;

        Ok(match &mut self.table_elements {
            Some(elements) => elements.take(current, desired),
            None => {
                let bytes = |elements: usize| elements.saturating_mul(ELEMENT_BYTES);
                self.bytes.take(bytes(current), bytes(desired))
            }
        })
    }

    fn instances(&self) -> usize {
        self.parts.instances
    }

    fn tables(&self) -> usize {
        self.parts.tables
    }

    fn memories(&self) -> usize {
        self.parts.memories
    }
}

/// How much is left of something that is only ever taken.
#[derive(Debug)]
struct Room {
    left: usize,
}

impl Room {
    fn of(all: usize) -> Self {
        Self { left: all }
    }

    /// Whether something may grow so; then it counts as grown.
    fn take(&mut self, current: usize, desired: usize) -> bool {
        match self.left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What grows, from where and to where, and whether it may.
    type Growth = (&'static str, usize, usize, bool);

    fn holds(mut bounds: Bounds, table: &[Growth]) {
        for (what, current, desired, fits) in table {
            let grown = match *what {
                "memory" => bounds.memory_growing(*current, *desired, None),
                _ => bounds.table_growing(*current, *desired, None),
            };
            assert_eq!(grown.unwrap(), *fits, "{what}: {current} to {desired}");
        }
    }

    #[test]
    fn memories_share_one_bound() {
        let table = [
            ("memory", 0, 60, true),
            ("memory", 0, 41, false),
            ("memory", 0, 30, true),
            ("memory", 30, 40, true),
            ("memory", 60, 61, false),
            ("memory", 60, 60, true),
            // those of a provider have their own
            ("table", 0, limits::TABLE_ELEMENTS, true),
            ("table", 0, 1, false),
        ];
        holds(Bounds::of_provider(100), &table);
    }

    #[test]
    fn tables_of_an_application_are_of_its_memory() {
        let table = [
            ("memory", 0, 600, true),
            ("table", 0, 51, false),
            ("table", 0, 25, true),
            ("memory", 600, 801, false),
            ("table", 25, 50, true),
            ("table", 0, usize::MAX, false),
            ("memory", 0, 1, false),
        ];
        holds(Bounds::of_application(1_000), &table);
    }
}
