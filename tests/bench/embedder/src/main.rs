//! The benchmark's client with edgepass as a library. See the library of `edgepass-bench` for what it is asked.
//!
//! Built by itself, so that no other package turns edgepass's compiler on: its size and memory are those of an
//! embedder who runs the built-in component only.

use anyhow::Result;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    edgepass_bench_embedder::main().await
}
