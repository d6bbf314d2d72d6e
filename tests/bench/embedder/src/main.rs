//! The benchmark's client with edgepass as a library. See the library of `edgepass-bench` for what it is asked.
//!
//! Built by itself, so that no other package turns edgepass's compiler on: its size and memory are those of an
//! embedder who runs the built-in component only.

use anyhow::Result;
use edgepass::{Builder, Provider, Refresh, TokenRequest};
use edgepass_bench::{Client, SCOPE, serve};

/// Two providers alike, but for the cache in front of the component.
struct Edgepass {
    provider: Provider,
    /// Made when first asked for: a second component would show in the memory of the first.
    bare: std::cell::OnceCell<Provider>,
    request: TokenRequest,
    force: TokenRequest,
}

impl Client for Edgepass {
    type Fresh = ();

    async fn cached(&self) -> Result<usize> {
        Ok(self
            .provider
            .get_token(&self.request)
            .await?
            .token
            .expose()
            .len())
    }

    fn inner(&self) -> Option<impl Future<Output = Result<usize>>> {
        Some(async {
            let provider = match self.bare.get() {
                Some(provider) => provider,
                None => {
                    let provider = build(false).await?;
                    self.bare.get_or_init(|| provider)
                }
            };
            Ok(provider
                .get_token(&self.request)
                .await?
                .token
                .expose()
                .len())
        })
    }

    fn fresh(&self) -> Result<()> {
        Ok(())
    }

    async fn exchange(&self, (): ()) -> Result<usize> {
        Ok(self
            .provider
            .get_token(&self.force)
            .await?
            .token
            .expose()
            .len())
    }
}

async fn build(read_through: bool) -> Result<Provider> {
    Ok(Builder::from_process()
        .read_through(read_through)
        .build()
        .await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let request = TokenRequest::for_scopes([SCOPE]);
    let force = TokenRequest {
        refresh: Refresh::Force,
        ..request.clone()
    };
    let provider = build(true).await?;
    serve(&Edgepass {
        provider,
        bare: std::cell::OnceCell::new(),
        request,
        force,
    })
    .await
}
