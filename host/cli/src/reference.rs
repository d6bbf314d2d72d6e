//! The reference of the configuration for people.

use super::failure::Failure;
use super::output;

pub(crate) fn print() -> Result<(), Failure> {
    output::write(b"")
}
