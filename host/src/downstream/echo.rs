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

    /// Takes them out, in the spellings that are taken out of a server's words; a header whose name repeats one goes. No
    /// spelling is shorter than the token, so nearly no header is looked at.
    pub(super) fn clean(&self, headers: &mut HeaderMap) {
        let shortest = self.0.iter().map(|token| token.token.expose().len()).min();
        let Some(shortest) = shortest else {
            return;
        };
        let secrets: Vec<_> = self.0.iter().map(|token| token.token.clone()).collect();
        // nothing of a name is left to stand for it
        let repeating = headers.keys().filter(|name| {
            name.as_str().len() >= shortest
                && without_secrets_whole(name.as_str(), &secrets) != name.as_str()
        });
        for name in repeating.cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
        for value in headers.values_mut() {
            if value.len() < shortest {
                continue;
            }
            let text = String::from_utf8_lossy(value.as_bytes());
            let clean = without_secrets_whole(&text, &secrets);
            if clean != text {
                *value = HeaderValue::from_str(&clean).unwrap_or(REDACTED);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccessToken, Secret, TokenSource};

    #[test]
    fn a_token_is_in_no_name_and_no_value_of_a_header() {
        const TOKEN: &str = "opaque-0123456789-abcdefghij";
        let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
        let names = [TOKEN.to_owned(), format!("x-{hex}")];
        let values = [
            TOKEN.to_owned(),
            format!("got {hex}."),
            TOKEN.to_uppercase(),
        ];
        let mut headers = HeaderMap::new();
        for name in names {
            headers.insert(http::HeaderName::try_from(name).unwrap(), REDACTED);
        }
        for (at, value) in values.iter().enumerate() {
            let name = http::HeaderName::try_from(format!("x-{at}")).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        headers.insert(
            "server",
            HeaderValue::from_static("a-server-with-a-long-name/1.0"),
        );
        let mut echo = Echo::default();
        echo.add(&Token::new(AccessToken {
            token: Secret::new(TOKEN),
            token_type: "Bearer".into(),
            expires_on: u64::MAX,
            refresh_on: u64::MAX,
            moments: None,
            scope: "s".into(),
            identity: "app".into(),
            source: TokenSource::Exchange,
            refresh_token: None,
            id_token: None,
            issued_token_type: None,
            certificate_thumbprint: None,
        }));
        echo.clean(&mut headers);
        let shown = format!("{headers:?}").to_lowercase();
        assert!(!shown.contains(TOKEN) && !shown.contains(&hex), "{shown}");
        assert_eq!(headers.len(), values.len() + 1);
        assert_eq!(headers["server"], "a-server-with-a-long-name/1.0");
    }
}
