//! A client of the benchmark that has edgepass as a library.

mod users;

use std::cell::{Cell, OnceCell};

use anyhow::{Context as _, Result};
use edgepass::{Builder, Grant, Provider, Refresh, TokenRequest};
use edgepass_bench::{Client, SCOPE, USERS, USERS_SCOPE, serve};

/// Two providers alike, but for the cache in front of the component.
struct Edgepass {
    provider: Provider,
    /// Made when first asked for: a second component would show in the memory of the first.
    bare: OnceCell<Provider>,
    request: TokenRequest,
    force: TokenRequest,
    /// Of which a token was asked for, of those that are made up.
    filled: Cell<u64>,
    /// Those who were given.
    users: Vec<String>,
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

    async fn other(&self, words: &[&str]) -> Result<Option<Vec<u128>>> {
        users::answer(self, words).await
    }
}

async fn build(read_through: bool) -> Result<Provider> {
    Ok(Builder::from_process()
        .read_through(read_through)
        .build()
        .await?)
}

/// Serves the driver.
///
/// # Errors
///
/// When no token is to be had, or the driver asks for something unknown.
pub async fn main() -> Result<()> {
    let users: Vec<String> = match std::env::var_os(USERS) {
        Some(file) => std::fs::read_to_string(file)
            .context("cannot read the users' tokens")?
            .lines()
            .map(str::to_owned)
            .collect(),
        None => Vec::new(),
    };
    let request = match users.first() {
        Some(user) => {
            TokenRequest::for_scopes([USERS_SCOPE]).with_grant(Grant::on_behalf_of(user.as_str()))
        }
        None => TokenRequest::for_scopes([SCOPE]),
    };
    let force = request.clone().with_refresh(Refresh::Force);
    let provider = build(true).await?;
    serve(&Edgepass {
        provider,
        bare: OnceCell::new(),
        request,
        force,
        filled: Cell::new(0),
        users,
    })
    .await
}
