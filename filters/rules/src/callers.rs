//! Tokens for the caller of a request: got for the bearer token that the request came with, and kept by its digest.
//!
//! Each VM has its own. They are not shared: a token server's answer for one person is for one request's sake, and the
//! next worker asks for itself when that person comes to it.

use edgepass_core::{
    AccessToken, Error, ErrorClass, Grant, Moment, Moments, Now, Secret, TokenRequest, challenge,
    limits, sha256,
};
#[cfg(any(feature = "callers", not(target_family = "wasm")))]
use edgepass_core::{Config, ConfigError};

use crate::inbound::AUTHORIZATION;
#[cfg(any(feature = "callers", not(target_family = "wasm")))]
use crate::rule::identity_of;

/// Callers whose tokens one VM keeps. Each costs twice the size of its token, some KiB; one more takes the place of one
/// who has not come for a while.
pub const MAX_CALLERS: usize = 1024;

/// What stands for the token that a caller brings, where only the rest is looked at: a JWT as to its form.
#[cfg(any(feature = "callers", not(target_family = "wasm")))]
const ANY_TOKEN: &str = "e30.e30.c2ln";

/// How long a token is served on after another was looked for in vain, milliseconds.
const RENEWAL_PAUSE_MS: u64 = 5_000;

/// How the token of a caller is got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CallerGrant {
    /// Entra's on-behalf-of.
    OnBehalfOf,
    /// RFC 8693.
    TokenExchange {
        /// `subject_token_type` of what callers bring.
        subject_token_type: String,
        /// `audience`.
        audience: Vec<String>,
        /// `resource`.
        resource: Vec<String>,
        /// `requested_token_type`.
        requested_token_type: Option<String>,
    },
}

/// What is asked for each caller of a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallerRequest {
    /// Identity and scopes.
    pub request: TokenRequest,
    /// How it is granted.
    pub grant: CallerGrant,
}

impl CallerRequest {
    /// What is the same for all of its callers, and would be refused to each of them, whatever token they bring.
    #[cfg(any(feature = "callers", not(target_family = "wasm")))]
    pub(crate) fn check(&self, place: &str, config: &Config) -> Result<(), ConfigError> {
        let identity = identity_of(&self.request, config);
        match (&self.grant, identity) {
            (CallerGrant::TokenExchange { .. }, Some(identity)) => identity
                .check_presented(&self.of(&Secret::new(ANY_TOKEN)))
                .map_err(|error| {
                    ConfigError::from_error(format!("{place}.token_exchange"), &error)
                }),
            _ => Ok(()),
        }
    }

    /// What came for a caller, if it may go into that header.
    pub(crate) fn fit(
        result: Result<AccessToken, Error>,
        header: &str,
    ) -> Result<AccessToken, Error> {
        let granted = result?;
        if header == AUTHORIZATION
            && let Err(error) = granted.authorization()
        {
            // neither the caller nor the configuration is at fault
            let error = Error::new(ErrorClass::InvalidResponse, error.to_string());
            return Err(error.hint("have an access token issued (token_exchange.requested_token_type), or name another header in the rule"));
        }
        Ok(granted)
    }

    /// For the caller with that token.
    pub fn of(&self, subject: &Secret) -> TokenRequest {
        let grant = match &self.grant {
            CallerGrant::OnBehalfOf => Grant::OnBehalfOf {
                assertion: Some(subject.clone()),
                session_key: None,
            },
            CallerGrant::TokenExchange {
                subject_token_type,
                audience,
                resource,
                requested_token_type,
            } => Grant::TokenExchange {
                subject_token: subject.clone(),
                subject_token_type: subject_token_type.clone(),
                actor: None,
                audience: audience.clone(),
                resource: resource.clone(),
                requested_token_type: requested_token_type.clone(),
            },
        };
        self.request.clone().with_grant(grant)
    }
}

/// The token of an `authorization` header, if it has one (RFC 6750 section 2.1).
pub(crate) fn bearer(authorization: &str) -> Option<Secret> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim();
    let is_token68 = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    let fits = !token.is_empty()
        && token.len() <= limits::MAX_ASSERTION_BYTES
        && token.bytes().all(is_token68);
    (scheme.eq_ignore_ascii_case("bearer") && fits).then(|| Secret::new(token))
}

/// A rule and one of its callers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct CallerKey {
    pub(crate) rule: usize,
    sha256: [u8; 32],
}

impl CallerKey {
    pub(crate) fn new(rule: usize, subject: &Secret) -> Self {
        let sha256 = sha256(subject.expose().as_bytes());
        Self { rule, sha256 }
    }
}

/// The token of a caller.
pub(crate) struct CallerToken {
    /// The whole header value.
    pub(crate) value: Secret,
    pub(crate) token: Secret,
    pub(crate) expires: Moment,
    pub(crate) refresh: Moment,
    /// Tells it from every other that was served.
    pub(crate) edition: u32,
}

/// What a VM knows of a caller.
struct Caller {
    key: CallerKey,
    token: Option<CallerToken>,
    /// The value before, which an upstream filter meets again on a retry.
    before: Option<Secret>,
    /// The engine has been asked, or is about to be.
    asked: bool,
    /// The upstream has refused the token, and another is to be looked for.
    refused: bool,
    /// A refusal does not count before that, monotonic milliseconds.
    kept_until: u64,
    /// Has come since the hand went by.
    used: bool,
}

/// What becomes of a request of a caller.
pub(crate) enum Found {
    /// It goes on with that value. `ask`: another one is to be looked for.
    Ready {
        value: Secret,
        edition: u32,
        ask: bool,
    },
    /// It waits. `ask`: the engine has to be asked, for another token than that if one is named.
    Wait {
        ask: bool,
        instead_of: Option<String>,
    },
    /// There is no room: everybody is being asked for.
    Full,
}

/// Where each caller is.
#[cfg(any(feature = "callers", not(target_family = "wasm")))]
type Index = std::collections::BTreeMap<CallerKey, usize>;

/// A module without callers has none to find, and no code for it.
#[cfg(not(any(feature = "callers", not(target_family = "wasm"))))]
type Index = edgepass_core::Table<CallerKey, usize>;

/// The callers of one VM.
#[derive(Default)]
pub(crate) struct Callers {
    places: Vec<Caller>,
    /// Where each is.
    index: Index,
    /// The next one to go where there is no room: a clock's hand, which passes by those who have come since.
    hand: usize,
    editions: u32,
}

impl Callers {
    fn get_mut(&mut self, key: &CallerKey) -> Option<&mut Caller> {
        let at = *self.index.get(key)?;
        self.places.get_mut(at)
    }

    /// Whether that caller has come before, and not been forgotten since.
    pub(crate) fn knows(&self, key: &CallerKey) -> bool {
        self.index.contains_key(key)
    }

    /// What becomes of a request of that caller now. `may_wait`: there is room.
    pub(crate) fn find(&mut self, key: CallerKey, now: Now, may_wait: bool) -> Found {
        let Some(caller) = self.get_mut(&key) else {
            return match self.add(key) {
                true => Found::Wait {
                    ask: true,
                    instead_of: None,
                },
                false => Found::Full,
            };
        };
        caller.used = true;
        if caller
            .token
            .as_ref()
            .is_some_and(|token| token.expires.reached(now))
        {
            caller.before = caller.token.take().map(|token| token.value);
            caller.refused = false;
        }
        let ask = !caller.asked;
        let Some(token) = &caller.token else {
            caller.asked = true;
            return Found::Wait {
                ask,
                instead_of: None,
            };
        };
        if caller.refused && may_wait {
            caller.asked = true;
            return Found::Wait {
                ask,
                instead_of: ask.then(|| token.token.sha256_hex()),
            };
        }
        let ask = ask && token.refresh.reached(now);
        caller.asked |= ask;
        Found::Ready {
            value: token.value.clone(),
            edition: token.edition,
            ask,
        }
    }

    /// Makes a place for one who is asked for.
    fn add(&mut self, key: CallerKey) -> bool {
        let caller = Caller {
            key,
            token: None,
            before: None,
            asked: true,
            refused: false,
            kept_until: 0,
            used: true,
        };
        if self.places.len() < MAX_CALLERS {
            self.index.insert(key, self.places.len());
            self.places.push(caller);
            return true;
        }
        // each is passed by once at most
        for _ in 0..2 * MAX_CALLERS {
            let at = self.hand % MAX_CALLERS;
            self.hand = (at + 1) % MAX_CALLERS;
            let Some(place) = self.places.get_mut(at) else {
                return false;
            };
            if place.asked {
                continue;
            }
            if !std::mem::take(&mut place.used) {
                self.index.remove(&place.key);
                self.index.insert(key, at);
                *place = caller;
                return true;
            }
        }
        false
    }

    /// A token has come for that caller, which ends and is to be renewed then; `value` makes the header value of it.
    pub(crate) fn granted(
        &mut self,
        key: &CallerKey,
        token: &Secret,
        times: Moments,
        now: Now,
        value: impl FnOnce(&Secret) -> Secret,
    ) {
        self.editions = self.editions.wrapping_add(1);
        let edition = self.editions;
        let Some(caller) = self.get_mut(key) else {
            return;
        };
        let Moments { expires, refresh } = times;
        caller.asked = false;
        if std::mem::take(&mut caller.refused) {
            // the next refusal has another cause than its age
            caller.kept_until = now.mono_ms.saturating_add(limits::REJECTION_COOLDOWN_MS);
        }
        let pause = Moment::after(now, RENEWAL_PAUSE_MS);
        // the engine may have answered with the one that there is, and look for another behind it
        let refresh = if refresh.reached(now) { pause } else { refresh };
        if let Some(known) = caller.token.as_mut().filter(|known| known.token == *token) {
            (known.expires, known.refresh) = (expires, refresh);
            return;
        }
        let new = CallerToken {
            value: value(token),
            token: token.clone(),
            expires,
            refresh,
            edition,
        };
        if let Some(old) = caller.token.replace(new) {
            caller.before = Some(old.value);
        }
    }

    /// None has come for that caller. What there is is served on.
    pub(crate) fn failed(&mut self, key: &CallerKey, retry_after_ms: Option<u64>, now: Now) {
        let Some(caller) = self.get_mut(key) else {
            return;
        };
        caller.asked = false;
        if std::mem::take(&mut caller.refused) {
            caller.kept_until = now.mono_ms.saturating_add(limits::REJECTION_COOLDOWN_MS);
        }
        let wait_ms = retry_after_ms.unwrap_or(0).max(RENEWAL_PAUSE_MS);
        match &mut caller.token {
            Some(token) => token.refresh = Moment::after(now, wait_ms),
            // its place is free for whoever comes
            None => caller.used = false,
        }
    }

    /// The value that is served to that caller, and its edition.
    pub(crate) fn serving(&self, key: &CallerKey, now: Now) -> Option<(Secret, u32)> {
        let caller = self.places.get(*self.index.get(key)?)?;
        let token = caller.token.as_ref()?;
        (!token.expires.reached(now)).then(|| (token.value.clone(), token.edition))
    }

    /// Whether that is the value of a token of the rule: a retry passes an upstream filter with the headers that the
    /// attempt before had.
    pub(crate) fn is_ours(&self, rule: usize, value: &str) -> bool {
        let mut places = self.places.iter().filter(|caller| caller.key.rule == rule);
        places.any(|caller| {
            let token = caller.token.as_ref().map(|token| &token.value);
            let mut ours = token.into_iter().chain(&caller.before);
            ours.any(|ours| ours.expose() == value)
        })
    }

    /// The upstream has refused the token of that edition. Whether another is looked for.
    pub(crate) fn refuse(&mut self, edition: u32, now: Now) -> bool {
        let mut places = self.places.iter_mut();
        let caller = places.find(|caller| {
            let token = caller.token.as_ref();
            token.is_some_and(|token| token.edition == edition)
        });
        let Some(caller) = caller.filter(|caller| now.mono_ms >= caller.kept_until) else {
            return false;
        };
        !std::mem::replace(&mut caller.refused, true)
    }
}

/// What a caller is told who gets no token: status, and the challenge of a 401.
///
/// That what a caller brought is not taken is `invalid_grant` on behalf of a user (RFC 7521 section 4.1.1), and
/// `invalid_request` where tokens are exchanged (RFC 8693 section 2.2.2); Keycloak says `invalid_token`.
pub(crate) fn answer_of(grant: &CallerGrant, error: &Error) -> (u32, Option<String>) {
    let detail = error.detail();
    let said = detail.oauth_error.as_deref();
    let is_the_callers = match error.class() {
        ErrorClass::InteractionRequired => {
            let challenge = challenge::to_www_authenticate(detail.claims.as_deref());
            return (401, Some(challenge));
        }
        // the configuration's part of it was checked when it was read
        ErrorClass::InvalidRequest => true,
        _ => match grant {
            // of a JWT that is malformed Entra ID says `invalid_request`
            CallerGrant::OnBehalfOf => {
                said == Some("invalid_grant") || detail.aadsts.contains(&50_027)
            }
            CallerGrant::TokenExchange { .. } => {
                matches!(
                    said,
                    Some("invalid_grant" | "invalid_request" | "invalid_token")
                )
            }
        },
    };
    match is_the_callers {
        true => (401, Some("Bearer error=\"invalid_token\"".to_owned())),
        false => (503, None),
    }
}
