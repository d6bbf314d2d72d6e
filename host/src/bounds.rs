//! What the components of one store may take of this process.

use wasmtime::{ResourceLimiter, Result};

use crate::limits;

/// Counts what a store's components have, all of them together: many small memories are as good as a large one to
/// somebody who wants the machine's.
#[derive(Debug)]
pub(crate) struct Bounds {
    memory_bytes: Room,
    table_elements: Room,
}

impl Bounds {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Self {
            memory_bytes: Room::of(memory_bytes),
            table_elements: Room::of(limits::TABLE_ELEMENTS),
        }
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.memory_bytes.take(current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(self.table_elements.take(current, desired))
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        limits::TABLES
    }

    fn memories(&self) -> usize {
        limits::MEMORIES
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

    #[test]
    fn memories_share_one_bound() {
        let mut bounds = Bounds::new(100);
        for (current, desired, fits) in [
            (0, 60, true),
            (0, 41, false),
            (0, 30, true),
            (30, 40, true),
            (60, 61, false),
            (60, 60, true),
        ] {
            let grown = bounds.memory_growing(current, desired, None).unwrap();
            assert_eq!(grown, fits, "{current} to {desired}");
        }
    }
}
