//! The same client with the token store, in a program of its own: what that adds is not in the size of the other.

use anyhow::Result;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    edgepass_bench_embedder::main().await
}
