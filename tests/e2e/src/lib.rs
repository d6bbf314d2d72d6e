//! What the end-to-end tests share: an emulator with its files ([`Lab`]), the `edgepass` command as users run it
//! ([`Command`]), a record of everything that was printed ([`Evidence`]), and the search of that record for secrets
//! ([`leaks`]).

#[cfg(doctest)]
#[doc = include_str!("../../../docs/downstream.md")]
struct Downstream;

pub mod jwt;
pub mod leaks;
pub mod memory;

mod browser;
mod command;
mod evidence;
mod lab;
mod network;
mod oidc_provider;
mod paths;
mod redis_server;

pub use browser::{Browser, Page};
pub use command::{Command, Ran};
pub use evidence::{Evidence, warnings};
pub use lab::{GRAPH, Lab, PATIENCE, forced, graph, until};
pub use network::Network;
pub use oidc_provider::{Idp, authority};
pub use paths::{
    artifact, edgepass_bin, edgepass_run_bin, go_modules, output_root, peers_node, peers_python,
    peers_rust, peers_script, secrets_root, tinyproxy, token_store_server, wash_bin, wasmtime_bin,
};
pub use redis_server::{RedisServer, free_port};
