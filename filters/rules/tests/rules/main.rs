//! The filter's requests and tokens without a proxy.

// tells the lints that helpers are test code too
#![cfg(test)]

mod callers;
mod checks;
mod http;
mod lifecycle;
mod requests;
mod simulation;
mod support;
