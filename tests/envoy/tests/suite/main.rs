//! The compiled filter in the real Envoy.

// tells the lints that helpers are test code too
#![cfg(test)]

mod data_path;
