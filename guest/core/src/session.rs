//! Long-running on-behalf-of: what outlives the access token with which a user has called.
//!
//! A call with the user's token and a key begins a session. The refresh token that the server gives is kept here and goes
//! nowhere else; a call with the key alone is answered with what it brings, and what it is replaced by is kept in its place.
//! Who knows the key gets the user's tokens, so keys are long, and nothing here has them: what is kept is found by a digest.
//!
//! A session is one user's. A token of another user does not take it over, be it by mistake or by somebody who has learnt
//! the key. It ends when the server says so, when somebody ends it, when others need its place, or with this instance: no
//! refresh token is written anywhere.

use std::fmt;
use std::hash::BuildHasher as _;

use crate::authority::Authority;
use crate::distinction::Distinction;
use crate::exchange::{Form, Granted};
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::keyed::{Key, Keyed, Seed};
use crate::limits::{MAX_SESSION_BYTES, MAX_SESSIONS};
use crate::{Error, ErrorClass, ErrorDetail, Grant, Secret, aadsts, grant};

/// The scope for which Entra ID gives a refresh token.
const OFFLINE_ACCESS: &str = "offline_access";

/// What names a session among all that ever were, in any instance. Nobody can foresee it.
pub(crate) type Name = [u8; 32];

/// Sessions by their keys, the ones that were used last kept.
pub(crate) struct Sessions {
    seed: Seed,
    of: Keyed<Id, Session>,
    /// What they take.
    bytes: usize,
}

/// A session key of an identity, by its digest.
#[derive(Clone, Eq, PartialEq)]
struct Id {
    digest: u64,
    sha256: [u8; 32],
}

impl Key for Id {
    fn digest(&self) -> u64 {
        self.digest
    }
}

struct Session {
    name: Name,
    tenant: Option<String>,
    user: User,
    refresh_token: Secret,
}

/// Whose session it is, by a digest.
type User = [u8; 32];

impl Session {
    /// What it takes, with its places in the lists.
    fn size(&self) -> usize {
        const BESIDE: usize = size_of::<Id>() + size_of::<Session>() + 64;
        let tenant = self.tenant.as_ref().map_or(0, String::len);
        BESIDE + tenant + self.refresh_token.expose().len()
    }
}

impl Sessions {
    pub(crate) fn new(secret: &str) -> Self {
        Self {
            seed: Seed::new(secret),
            of: Keyed::default(),
            bytes: 0,
        }
    }

    fn id(&self, identity: &str, session_key: &Secret) -> Id {
        let mut all = Distinction::default();
        all.add(identity);
        all.add(session_key.expose());
        let sha256 = all.sha256();
        Id {
            digest: self.seed.hash_one(sha256),
            sha256,
        }
    }

    /// The session that a request is in; none that it would begin.
    ///
    /// # Errors
    ///
    /// When there is none, and the request has nothing to begin one with; and when it is another user's.
    pub(crate) fn name(
        &mut self,
        identity: &str,
        tenant: Option<&str>,
        session_key: &Secret,
        assertion: Option<&Secret>,
    ) -> Result<Option<Name>, Error> {
        let slot = self.of.slot(&self.id(identity, session_key));
        let session = slot.and_then(|slot| {
            self.of.touch(slot);
            self.of.at(slot).map(|(_, session)| session)
        });
        match (session, assertion) {
            (Some(session), Some(assertion)) if session.user != user(tenant, assertion) => {
                Err(of_another())
            }
            (Some(session), _) if session.tenant.as_deref() == tenant => Ok(Some(session.name)),
            (_, Some(_)) => Ok(None),
            (_, None) => Err(unknown()),
        }
    }

    /// Ends a session, and says whether there was one.
    pub(crate) fn end(&mut self, identity: &str, session_key: &Secret) -> bool {
        let id = self.id(identity, session_key);
        self.remove(&id)
    }

    fn remove(&mut self, id: &Id) -> bool {
        let Some(session) = self.of.remove(id) else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(session.size());
        true
    }

    fn insert(&mut self, id: Id, session: Session) {
        self.remove(&id);
        self.bytes += session.size();
        self.of.insert(id, session);
        while self.of.len() > MAX_SESSIONS || self.bytes > MAX_SESSION_BYTES {
            let Some((_, gone)) = self.of.pop_oldest() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(gone.size());
        }
    }
}

/// Neither keys nor tokens, and no digests of keys.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("count", &self.of.len())
            .finish_non_exhaustive()
    }
}

/// The user's token, if there is one, and the session key of a grant that is in a session or begins one.
pub(crate) fn asked_in(grant: &Grant) -> Option<(Option<&Secret>, &Secret)> {
    match grant {
        Grant::OnBehalfOf {
            assertion,
            session_key: Some(session_key),
        } => Some((assertion.as_ref(), session_key)),
        _ => None,
    }
}

/// One exchange of a session.
pub(crate) struct InSession {
    id: Id,
    tenant: Option<String>,
    by: By,
}

enum By {
    /// A token of that user begins it, or renews it.
    Assertion(User),
    /// Its own refresh token.
    RefreshToken(Name, Secret),
}

impl InSession {
    /// Of a grant that is in a session.
    ///
    /// # Errors
    ///
    /// When that has ended.
    pub(crate) fn of(
        io: &Io,
        identity: &str,
        tenant: Option<&str>,
        grant: &Grant,
    ) -> Result<Option<Self>, Error> {
        let Some((assertion, session_key)) = asked_in(grant) else {
            return Ok(None);
        };
        io.sessions(|sessions| {
            let id = sessions.id(identity, session_key);
            let by = match assertion {
                Some(assertion) => By::Assertion(user(tenant, assertion)),
                None => {
                    let slot = sessions.of.slot(&id).ok_or_else(unknown)?;
                    sessions.of.touch(slot);
                    let session = sessions.of.get(&id);
                    let session = session.filter(|of| of.tenant.as_deref() == tenant);
                    let session = session.ok_or_else(unknown)?;
                    By::RefreshToken(session.name, session.refresh_token.clone())
                }
            };
            Ok(Some(Self {
                id,
                tenant: tenant.map(str::to_owned),
                by,
            }))
        })
    }

    /// The refresh token that is sent.
    pub(crate) fn refresh_token(&self) -> Option<&Secret> {
        match &self.by {
            By::Assertion(_) => None,
            By::RefreshToken(_, token) => Some(token),
        }
    }

    /// The grant's part of the form, with the scope for which there is a refresh token. The first version of the endpoint has
    /// no such scope, and gives one in any case.
    pub(crate) fn add_to<'a>(
        &'a self,
        form: &mut Form<'a>,
        grant: &'a Grant,
        authority: &Authority,
        scopes: &[String],
    ) {
        let mut scopes = scopes.to_vec();
        if !authority.is_version_1() && !scopes.iter().any(|scope| scope == OFFLINE_ACCESS) {
            scopes.push(OFFLINE_ACCESS.to_owned());
        }
        match self.refresh_token() {
            Some(token) => grant::refresh(form, token, authority, &scopes),
            None => grant::add_to(form, grant, authority, &scopes),
        }
    }

    /// Takes the refresh token of an answer for the session.
    ///
    /// # Errors
    ///
    /// When a session cannot begin: there is none in it, or another user has begun one with that key meanwhile.
    pub(crate) fn keep(&self, io: &Io, granted: &mut Granted) -> Result<(), Error> {
        let refresh_token = granted.refresh_token.take();
        let new_name = io.random_bytes();
        io.sessions(|sessions| {
            let known = sessions.of.get(&self.id);
            let (name, user) = match (&self.by, known) {
                (By::Assertion(user), Some(known)) if known.user != *user => {
                    return Err(of_another());
                }
                // the one that there is stays as good as it was
                (By::Assertion(_), Some(_)) if refresh_token.is_none() => return Ok(()),
                (By::Assertion(user), Some(known)) => (known.name, *user),
                (By::Assertion(user), None) => (new_name, *user),
                (By::RefreshToken(name, _), Some(known)) if known.name == *name => {
                    (known.name, known.user)
                }
                // it has ended while this was under way
                (By::RefreshToken(..), _) => return Ok(()),
            };
            let refresh_token = match (refresh_token, &self.by) {
                (Some(token), _) => token,
                (None, By::RefreshToken(..)) => return Ok(()),
                (None, By::Assertion(_)) => return Err(no_refresh_token()),
            };
            let session = Session {
                name,
                tenant: self.tenant.clone(),
                user,
                refresh_token,
            };
            sessions.insert(self.id.clone(), session);
            Ok(())
        })
    }

    /// Ends the session if that is what a refusal of its refresh token means.
    pub(crate) fn explain(&self, io: &Io, error: Error) -> Error {
        let By::RefreshToken(name, _) = &self.by else {
            return error;
        };
        if !is_the_end(&error) {
            return error;
        }
        io.sessions(|sessions| {
            let known = sessions.of.get(&self.id);
            if known.is_some_and(|known| known.name == *name) {
                sessions.remove(&self.id);
            }
        });
        let detail = ErrorDetail {
            message: format!("the session has ended: {}", error.detail().message),
            hint: Some(ENDED.to_owned()),
            ..error.detail().clone()
        };
        Error::with_detail(ErrorClass::InteractionRequired, detail)
    }
}

/// A refusal of a refresh token that a caller presents: that it is good no more is for its user to mend.
pub(crate) fn of_refresh_token(error: Error) -> Error {
    if !is_the_end(&error) {
        return error;
    }
    let error = error.edit(|detail| {
        let hint = || aadsts::SIGN_IN.to_owned();
        detail.hint.get_or_insert_with(hint);
    });
    error.reclassify(ErrorClass::InteractionRequired)
}

/// Whether the refresh token is good no more, and not only for what was asked.
fn is_the_end(error: &Error) -> bool {
    let detail = error.detail();
    let mut codes = detail.aadsts.iter().copied();
    detail.oauth_error.as_deref() == Some("invalid_grant")
        && detail.claims.is_none()
        && (codes.clone().any(aadsts::ends_session)
            || codes.all(|code| aadsts::lookup(code).is_none()))
}

/// Whose token that is. Two tokens of one user for one application have issuer and subject in common; of what cannot be read
/// it is the token itself, so that another one is taken for another user's.
fn user(tenant: Option<&str>, assertion: &Secret) -> User {
    let mut all = Distinction::default();
    all.add_optional(tenant);
    let summary = inspect_jwt(assertion.expose());
    match summary.and_then(|summary| Some((summary.iss?, summary.sub?))) {
        Some((issuer, subject)) => {
            all.add(&issuer);
            all.add(&subject);
        }
        None => all.add(assertion.expose()),
    }
    all.sha256()
}

const ENDED: &str = "begin it anew with a token of the user's: the next that the client sends, or after a new sign-in";

/// There is no session, and nothing to begin one with.
fn unknown() -> Error {
    Error::new(
        ErrorClass::InteractionRequired,
        "there is no session of that key: it has ended or gave way to others, or this instance has not begun it",
    )
    .hint(ENDED)
}

/// The session is another user's.
fn of_another() -> Error {
    Error::new(
        ErrorClass::InvalidRequest,
        "the session of that key is another user's, or in another tenant",
    )
    .hint("make a key at random for each user and sign-in, or end the session first")
}

/// A session cannot begin.
fn no_refresh_token() -> Error {
    Error::new(
        ErrorClass::Refused,
        "the server gave no refresh token, so no session has begun",
    )
    .hint("let the application have the delegated permission offline_access, or ask without a session key")
}
