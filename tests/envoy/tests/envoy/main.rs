//! The compiled filter in the real Envoy.

// tells the lints that helpers are test code too
#![cfg(test)]

mod bound;
mod callers;
mod configuration;
mod data_path;
mod documentation;
mod fault_in_filter;
mod faults;
mod full;
mod fuzz;
mod generated;
mod list;
mod live_update;
mod module;
mod plugins;
mod refresh;
mod rejection;
mod rotation;
mod secrets;
mod signing;
mod token_files;
mod traffic;
mod upstreams;
mod verification;
mod versions;
mod waiting;
mod wrong_statements;
