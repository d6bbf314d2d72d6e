//! The token of a rule, behind a handle.

use std::cell::RefCell;
use std::rc::Rc;

use edgepass_bindings::types::{AuthorizeError, CredentialError, RejectionOutcome, TokenInfo};
use edgepass_core::{Error, ErrorClass, wipe};
use edgepass_rules::http::HttpRule;

use crate::bindings::edgepass::credentials::opaque_tokens;
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::http::types::Fields;

const AUTHORIZATION: &str = "authorization";

thread_local! {
    static RECENT: RefCell<Recent<Rc<opaque_tokens::Token>>> = const { RefCell::new(Recent::NONE) };
}

/// The fresh tokens of rules, within one second of the monotonic clock, which goes on where a host has the wall clock stand still:
/// of many requests one asks the provider, and what that has learnt meanwhile (that a refresh is due, that another instance has
/// a newer one) is known within a second. A refusal forgets all of them, because rules may have the same.
struct Recent<T> {
    second: u64,
    /// By the place of the rule.
    tokens: Vec<(usize, T)>,
}

impl<T: Clone> Recent<T> {
    const NONE: Self = Self {
        second: 0,
        tokens: Vec::new(),
    };

    fn of(&self, rule: usize, second: u64) -> Option<T> {
        let mut tokens = self.tokens.iter().filter(|_| self.second == second);
        let found = tokens.find(|(known, _)| *known == rule);
        found.map(|(_, token)| token.clone())
    }

    fn keep(&mut self, rule: usize, second: u64, token: T) {
        if self.second != second {
            self.forget();
            self.second = second;
        }
        self.tokens.push((rule, token));
    }

    fn forget(&mut self) {
        self.tokens.clear();
    }
}

/// A token that a request has, or is about to get.
pub(crate) struct Token(Rc<opaque_tokens::Token>);

impl Token {
    /// That of a rule.
    pub(crate) async fn of(rule: &HttpRule) -> Result<Self, CredentialError> {
        let second = monotonic_clock::now() / 1_000_000_000;
        if let Some(token) = RECENT.with_borrow(|recent| recent.of(rule.place, second)) {
            return Ok(Self(token));
        }
        let request = rule.token.clone().try_into()?;
        if let Some(token) = opaque_tokens::fresh(&request) {
            let token = Rc::new(token);
            RECENT.with_borrow_mut(|recent| recent.keep(rule.place, second, Rc::clone(&token)));
            return Ok(Self(token));
        }
        let token = opaque_tokens::get(request).await?;
        Ok(Self(Rc::new(token)))
    }

    /// Puts it on the headers of a request. `Ok(false)`: it has expired meanwhile.
    pub(crate) fn put_on(&self, headers: &Fields, rule: &HttpRule) -> Result<bool, Error> {
        let set = if rule.header == AUTHORIZATION {
            self.0.authorize(headers)
        } else {
            self.put_elsewhere(headers, &rule.header)
        };
        match set {
            Ok(()) => Ok(true),
            Err(AuthorizeError::Expired) => {
                RECENT.with_borrow_mut(Recent::forget);
                Ok(false)
            }
            Err(AuthorizeError::NotAnAccessToken) => Err(Error::new(
                ErrorClass::InvalidResponse,
                "what the token endpoint issued is no access token",
            )),
            Err(AuthorizeError::Fields(why)) => Err(Error::new(
                ErrorClass::InvalidRequest,
                format!("the header {} cannot be set: {why}", rule.header),
            )),
        }
    }

    /// What the provider puts on headers. To be wiped.
    fn values(&self) -> Result<Vec<Vec<u8>>, AuthorizeError> {
        let aside = Fields::new();
        self.0.authorize(&aside)?;
        let taken = aside.get_and_delete(AUTHORIZATION);
        taken.map_err(|_| AuthorizeError::Fields("it cannot be carried over".to_owned()))
    }

    /// In another header: the provider knows one alone, so it is carried over here, and nothing stays behind.
    fn put_elsewhere(&self, headers: &Fields, name: &str) -> Result<(), AuthorizeError> {
        let mut values = self.values()?;
        let set = headers.set(name, &values);
        for value in &mut values {
            wipe(value);
        }
        set.map_err(|error| AuthorizeError::Fields(format!("{error:?}")))
    }

    /// What is known of it without reading it.
    pub(crate) fn info(&self) -> TokenInfo {
        self.0.info()
    }

    /// Says that a server has refused it. What became of that, if it could be noted.
    pub(crate) fn refused(&self, challenge: Option<&str>) -> Option<Outcome> {
        RECENT.with_borrow_mut(Recent::forget);
        self.0.report_rejection(challenge).ok().map(Outcome)
    }

    /// Whether that is another token than this one, which was got before it. A server may issue the same once more, and one
    /// that does not answer leaves the one that there is: only the tokens themselves tell, and they do not stay here.
    pub(crate) fn is_followed_by(&self, next: &Self) -> bool {
        let Ok(mut next) = next.values() else {
            return false;
        };
        // what has ended meanwhile is not what is alive
        let mut this = self.values().unwrap_or_default();
        let is_another = this != next;
        for value in this.iter_mut().chain(&mut next) {
            wipe(value);
        }
        is_another
    }
}

/// What became of a refusal.
pub(crate) struct Outcome(RejectionOutcome);

impl Outcome {
    /// Whether there may be another token.
    pub(crate) fn may_be_another(&self) -> bool {
        !matches!(self.0, RejectionOutcome::Kept)
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    /// What is done, in order, and what there is of the rules 0 and 1 afterwards, in that second.
    #[test]
    fn a_token_is_recent_for_its_rule_and_within_its_second() {
        type Step = (&'static str, fn(&mut Recent<u8>), u64, [Option<u8>; 2]);
        let steps: [Step; 8] = [
            ("nothing yet", |_| (), 0, [None, None]),
            (
                "rule 0",
                |recent| recent.keep(0, 7, 10),
                7,
                [Some(10), None],
            ),
            (
                "rule 1",
                |recent| recent.keep(1, 7, 11),
                7,
                [Some(10), Some(11)],
            ),
            ("the next second", |_| (), 8, [None, None]),
            ("a second that has been", |_| (), 6, [None, None]),
            (
                "one of the next second",
                |recent| recent.keep(1, 8, 12),
                8,
                [None, Some(12)],
            ),
            ("the second before it again", |_| (), 7, [None, None]),
            ("a refusal", Recent::forget, 8, [None, None]),
        ];
        let mut recent = Recent::NONE;
        for (what, step, second, there) in steps {
            step(&mut recent);
            assert_eq!([0, 1].map(|rule| recent.of(rule, second)), there, "{what}");
        }
    }
}
