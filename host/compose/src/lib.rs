//! From an application and a provider to one component.
//!
//! `cargo xtask compose`, the build of this tree and `edgepass compose` are this crate. It reads and writes no file: parts
//! are bytes with the name that people know them by.

mod component;
mod compose;
mod environment;
mod error;
mod imports;

pub use component::{component_of, has_provider};
pub use compose::{Composed, Parts, compose, standalone};
pub use error::Error;

/// A component, or the module of one that cargo leaves.
#[derive(Clone, Debug)]
pub struct Part {
    /// What messages call it: a path, usually.
    pub name: String,
    /// The binary format.
    pub bytes: Vec<u8>,
}
