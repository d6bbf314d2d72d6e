//! What is kept because it serves more than once: a token of a platform or of another issuer is an assertion as often as it
//! is presented, and a managed identity's lives for a day. So do the metadata of a token server.
//!
//! One exchange asks for it and the others wait (single flight). It is renewed at half of its life, or when the platform
//! says, and goes on serving until shortly before its end if the platform does not answer then. One that the token server
//! has refused is forgotten.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use crate::Secret;
use crate::credential::Failure;
use crate::exchange::{Granted, refresh_after_ms};
use crate::flow::{Io, TaskId};
use crate::inspect::{JwtSummary, inspect_jwt};
use crate::time::{Moment, Now};

/// This long before its end an assertion is not presented any more, milliseconds: the server's clock may be ahead by
/// minutes, and MSAL takes a token for expired then. For one of a short life it is a twentieth of that.
const END_MARGIN_MS: u64 = 300_000;

/// This long after a renewal has begun the next is tried, if that brought nothing, milliseconds.
const RENEW_AGAIN_MS: u64 = 30_000;

/// The assertion to come.
type Asked<'a> = Pin<Box<dyn Future<Output = Result<Fresh, Failure>> + 'a>>;

/// What was got, and how long it is good.
pub(super) struct Fresh {
    pub(super) text: Secret,
    pub(super) lifetime_ms: u64,
    pub(super) refresh_in_ms: Option<u64>,
    /// The thumbprint of the certificate that it is bound to.
    pub(super) bound_to: Option<String>,
}

impl From<Granted> for Fresh {
    fn from(granted: Granted) -> Self {
        Self {
            text: granted.token,
            lifetime_ms: granted.lifetime_ms,
            refresh_in_ms: granted.refresh_in_ms,
            bound_to: granted.certificate_thumbprint,
        }
    }
}

/// An assertion and how long it is good.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(super) token: Secret,
    pub(super) presented: Option<Rc<JwtSummary>>,
    /// The thumbprint of the certificate that it is bound to.
    pub(super) bound_to: Option<String>,
    renew: Moment,
    end: Moment,
}

/// The one of a credential, and who is asking for the next.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    kept: Option<Kept>,
    asking: Option<Rc<Asking>>,
    /// Before that nobody has it asked for again because something was missing in it.
    again: Option<Moment>,
    /// The identities that it was kept for: those with the same credential share it. What a server says of itself is of none.
    identities: Vec<String>,
}

/// A request to the platform that others wait for.
#[derive(Debug, Default)]
struct Asking(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    waiting: Vec<TaskId>,
    /// Whoever asked has ended. Without an outcome it was given up.
    is_over: bool,
    outcome: Option<Result<Kept, Failure>>,
}

impl Shelf {
    /// Forgets the assertion if it is this one.
    pub(crate) fn forget(&mut self, token: &Secret) {
        if self.kept.as_ref().is_some_and(|kept| kept.token == *token) {
            self.kept = None;
        }
    }

    /// Has it asked for again by whoever comes next. Until that brings another it serves on.
    pub(crate) fn renew_at(&mut self, now: Now) {
        if let Some(kept) = &mut self.kept {
            kept.renew = Moment::at(now);
        }
    }

    /// What is kept, whether it is still good or not.
    pub(crate) fn text(&self) -> Option<Secret> {
        self.kept.as_ref().map(|kept| kept.token.clone())
    }

    /// Whether somebody waits for the next.
    pub(crate) fn is_being_asked(&self) -> bool {
        self.asking.is_some()
    }

    /// When it is renewed, on the monotonic clock; 0 for what is not there.
    pub(crate) fn renewal_mono_ms(&self) -> u64 {
        let kept = self.kept.as_ref();
        kept.map_or(0, |kept| kept.renew.clocks().mono_ms)
    }

    /// Whether it may be asked for again because something is missing in it, which is then not so for that long.
    fn may_ask_again(&mut self, now: Now, pause_ms: u64) -> bool {
        let may = self.again.is_none_or(|again| again.reached(now));
        if may {
            self.again = Some(Moment::after(now, pause_ms));
        }
        may
    }

    /// Forgets what is kept for that identity, or for whomever it is.
    pub(crate) fn forget_of(&mut self, identity: Option<&str>) {
        if identity.is_none_or(|identity| self.is_of(identity)) {
            self.kept = None;
        }
    }

    fn is_of(&self, identity: &str) -> bool {
        self.identities.iter().any(|known| known == identity)
    }

    fn note(&mut self, identity: Option<&str>) {
        if let Some(identity) = identity.filter(|identity| !self.is_of(identity)) {
            self.identities.push(identity.to_owned());
        }
    }
}

impl Kept {
    /// What is kept.
    pub(super) fn text(&self) -> &Secret {
        &self.token
    }

    fn of(fresh: Fresh, io: &Io) -> Self {
        let (now, life) = (io.now(), fresh.lifetime_ms);
        let renew = refresh_after_ms(life, fresh.refresh_in_ms);
        Self {
            presented: inspect_jwt(fresh.text.expose()).map(Rc::new),
            token: fresh.text,
            bound_to: fresh.bound_to,
            renew: Moment::after(now, renew),
            end: Moment::after(now, life - END_MARGIN_MS.min(life / 20)),
        }
    }
}

/// The assertion that is kept under that key, or the one that `ask` brings. It is forgotten with the tokens of that
/// identity; what is of none, only with everything.
pub(super) async fn kept(
    io: &Io,
    key: &str,
    identity: Option<&str>,
    ask: Asked<'_>,
) -> Result<Kept, Failure> {
    loop {
        let now = io.now();
        let (usable, asking) = io.shelf(key, |shelf| {
            shelf.note(identity);
            let usable = shelf.kept.clone().filter(|kept| !kept.end.reached(now));
            (usable, shelf.asking.clone())
        });
        match (usable, asking) {
            (Some(kept), asking) if asking.is_some() || !kept.renew.reached(now) => {
                return Ok(kept);
            }
            (None, Some(asking)) => match asking.outcome(io).await {
                Some(outcome) => return outcome,
                // whoever asked was given up: somebody else does
                None => continue,
            },
            (usable, _) => return renewed(io, key, usable, ask).await,
        }
    }
}

/// The next of what is kept under that key, because something is missing in it: of those who miss something together one
/// asks. `None` if it was asked for in that time already.
pub(super) async fn kept_anew(
    io: &Io,
    key: &str,
    pause_ms: u64,
    ask: Asked<'_>,
) -> Option<Result<Kept, Failure>> {
    loop {
        let now = io.now();
        let asking = io.shelf(key, |shelf| shelf.asking.clone());
        match asking {
            Some(asking) => match asking.outcome(io).await {
                Some(outcome) => return Some(outcome),
                None => continue,
            },
            None if io.shelf(key, |shelf| shelf.may_ask_again(now, pause_ms)) => {
                let usable = io.shelf(key, |shelf| shelf.kept.clone());
                let usable = usable.filter(|kept| !kept.end.reached(now));
                return Some(renewed(io, key, usable, ask).await);
            }
            None => return None,
        }
    }
}

/// Asks, for all who wait. What is there serves on if nothing comes.
async fn renewed(
    io: &Io,
    key: &str,
    usable: Option<Kept>,
    ask: Asked<'_>,
) -> Result<Kept, Failure> {
    let asking = Rc::new(Asking::default());
    let renew = Moment::after(io.now(), RENEW_AGAIN_MS);
    let usable = usable.map(|old| Kept { renew, ..old });
    io.shelf(key, |shelf| {
        shelf.asking = Some(Rc::clone(&asking));
        // for those who come after this was given up, which need not end here: whoever asks may be out of time
        if usable.is_some() {
            shelf.kept.clone_from(&usable);
        }
    });
    let turn = Turn { io, key, asking };
    let outcome = match (ask.await, usable) {
        (Ok(fresh), _) => {
            let kept = Kept::of(fresh, io);
            io.shelf(key, |shelf| shelf.kept = Some(kept.clone()));
            Ok(kept)
        }
        // it is where it was, unless a server has refused it meanwhile
        (Err(_), Some(old)) => Ok(old),
        (Err(failure), None) => Err(failure),
    };
    turn.asking.0.borrow_mut().outcome = Some(outcome.clone());
    outcome
}

/// Whose turn it is to ask. When it is over, with or without an outcome, those who wait look again.
struct Turn<'a> {
    io: &'a Io,
    key: &'a str,
    asking: Rc<Asking>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.io.shelf(self.key, |shelf| shelf.asking = None);
        let mut state = self.asking.0.borrow_mut();
        state.is_over = true;
        self.io.poll_again(std::mem::take(&mut state.waiting));
    }
}

impl Asking {
    /// What came of it, when it is over.
    async fn outcome(&self, io: &Io) -> Option<Result<Kept, Failure>> {
        poll_fn(|_| {
            let mut state = self.0.borrow_mut();
            if state.is_over {
                return Poll::Ready(state.outcome.clone());
            }
            let task = io.current();
            if !state.waiting.contains(&task) {
                state.waiting.push(task);
            }
            Poll::Pending
        })
        .await
    }
}
