//! Assertions from the embedding program: MSAL's `WithClientAssertion`, across the sandbox's boundary.

use std::future::Future;
use std::pin::Pin;

pub use edgepass_core::{AssertionError, AssertionOptions, SuppliedAssertion};

/// Supplies client assertions for identities whose credential is `assertion_source`.
///
/// It is asked at each exchange. Any `async` closure or function of that shape is one:
///
/// ```
/// use edgepass::{AssertionError, AssertionOptions, Provider, Secret, SuppliedAssertion};
///
/// let builder = Provider::builder().assertion_source(async |options: AssertionOptions| {
///     let token = my_platform_token(options.audience.as_deref()).await.map_err(AssertionError::Temporary)?;
///     Ok(SuppliedAssertion { token })
/// });
/// # async fn my_platform_token(_: Option<&str>) -> Result<Secret, String> { Ok(Secret::new("x")) }
/// # let _ = builder;
/// ```
pub trait AssertionSource: Send + Sync + 'static {
    /// An assertion for that exchange, made now.
    fn assertion(
        &self,
        options: AssertionOptions,
    ) -> Pin<Box<dyn Future<Output = Result<SuppliedAssertion, AssertionError>> + Send + '_>>;
}

impl<F, A> AssertionSource for F
where
    F: Fn(AssertionOptions) -> A + Send + Sync + 'static,
    A: Future<Output = Result<SuppliedAssertion, AssertionError>> + Send + 'static,
{
    fn assertion(
        &self,
        options: AssertionOptions,
    ) -> Pin<Box<dyn Future<Output = Result<SuppliedAssertion, AssertionError>> + Send + '_>> {
        Box::pin(self(options))
    }
}
