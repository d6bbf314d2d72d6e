//! Answers that repeat the token of their request.

use edgepass_core::without_secrets_whole;
use http::{HeaderMap, HeaderValue};

use crate::cache::Token;

/// What stands for a header of which nothing else can be said.
const REDACTED: HeaderValue = HeaderValue::from_static("[redacted]");

/// The tokens that a request was sent with. An answer may have them in its headers: a redirect to the same address with
/// a query, a cookie, an echo.
#[derive(Default)]
pub(super) struct Echo(Vec<Token>);

impl Echo {
    pub(super) fn add(&mut self, token: &Token) {
        self.0.push(token.clone());
    }

    /// Takes them out, in whatever spelling. No spelling is shorter than the token, so nearly no header is looked at.
    pub(super) fn clean(&self, headers: &mut HeaderMap) {
        let shortest = self.0.iter().map(|token| token.token.expose().len()).min();
        let Some(shortest) = shortest else {
            return;
        };
        for value in headers.values_mut() {
            if value.len() < shortest {
                continue;
            }
            let text = String::from_utf8_lossy(value.as_bytes());
            let secrets: Vec<_> = self.0.iter().map(|token| token.token.clone()).collect();
            let clean = without_secrets_whole(&text, &secrets);
            if clean != text {
                *value = HeaderValue::from_str(&clean).unwrap_or(REDACTED);
            }
        }
    }
}
