//! What the requests of one VM and its plugin have in common: the rules, the finished header values, and the requests
//! that wait for one.

use std::cell::{Cell, RefCell};

use edgepass_core::{AccessToken, Error, Now, Secret, Table, limits};

use crate::callers::{CallerKey, Callers, Found, answer_of, bearer};
use crate::host::Host;
use crate::inbound::AUTHORIZATION;
use crate::matching::fits;
use crate::module::HAS_CALLERS;
use crate::rule::RuleSettings;
use crate::settings::Settings;
use crate::share::Rejection;

/// Requests that may wait at once in one VM. Each holds its headers and as much of its body as the proxy buffers, before
/// anybody has looked at who sends it, so this and the proxy's own limits are what a flood can cost: docs/envoy.md has
/// the sum.
const MAX_HELD: usize = 1024;

/// The time between ticks while something waits, milliseconds: how much later than possible a held request goes on.
const BUSY_TICK_MS: u64 = 10;

/// The time between ticks otherwise, milliseconds: how late a token of another worker is taken over, and a refusal
/// reported by another worker seen. A tick with nothing to do costs some microseconds.
const IDLE_TICK_MS: u64 = 100;

/// Requests of which is known what token they carry: more than a worker has under way. Of one that is older a 401 is
/// not understood; the next one's is.
const REMEMBERED: usize = 4096;

/// Responses between two ticks whose status is asked for where no retry depends on it.
const INSPECTED_PER_TICK: u32 = 8;

/// The header of an answer that the filter made instead of the upstream. Its value is the class of the failure.
const ERROR_HEADER: &str = "x-edgepass-error";

/// That header's value when no attempt has failed yet.
pub const NO_TOKEN_YET: &str = "no-token-yet";

/// Its value when there is no room to wait.
const TOO_MANY_WAIT: &str = "busy";

/// Its value where a rule gets the tokens of its callers, and there is none to get one for.
const NO_CALLER: &str = "no-caller-token";

/// Its value when it depends on the reader of the path which rule the request is for.
const AMBIGUOUS_PATH: &str = "ambiguous-path";

/// The requests of one plugin in one VM.
pub struct Requests<H> {
    host: H,
    settings: Settings,
    rules: Vec<RuleState>,
    held: RefCell<Table<u32, Held>>,
    callers: RefCell<Callers>,
    /// What is to be asked of the engine for callers.
    wanted: RefCell<Vec<Wanted>>,
    rejections: RefCell<Table<usize, Rejection>>,
    /// By token.
    outages: RefCell<Table<usize, Outage>>,
    /// The requests that went on last, each in its [`slot`].
    carried: RefCell<Vec<Carried>>,
    counts: Counts,
    /// The time between ticks that was set last.
    tick_ms: Cell<u64>,
    /// Responses whose status may still be asked for before the next tick.
    inspections_left: Cell<u32>,
    place: Cell<Place>,
    /// The plugin is gone: nobody would wake a held request.
    closed: Cell<bool>,
}

/// What became of requests. Only counted on their way: passing it on is a call into the proxy, which waits for the
/// next tick.
#[derive(Debug, Default)]
pub struct Counts {
    /// Went on with a token.
    pub injected: Cell<u64>,
    /// Waited for one.
    pub held: Cell<u64>,
    /// Were answered for want of one, or for their path.
    pub failed: Cell<u64>,
    /// Went on without one: `fail_open`, or a preflight.
    pub passed_without: Cell<u64>,
    /// Were refused by the upstream with the token that is served.
    pub rejected: Cell<u64>,
}

/// Where in the proxy the filter stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Unknown,
    /// In the HTTP filters of a listener: what becomes of a request is seen after all retries.
    BehindListener,
    /// In the HTTP filters of a cluster: each attempt passes, and a retry is to carry another token.
    BeforeUpstream,
}

#[derive(Default)]
struct RuleState {
    ready: RefCell<Option<Ready>>,
    /// The token before, which an upstream filter meets again on a retry.
    before: RefCell<Option<Secret>>,
    /// Counts the tokens that were served.
    edition: Cell<u32>,
    /// The token was refused and another is looked for.
    suspect: Cell<bool>,
    /// Requests wait for that one until then, monotonic milliseconds. 0: they do not wait.
    suspended_until: Cell<u64>,
    /// A refusal does not change the token before that, monotonic milliseconds.
    kept_until: Cell<u64>,
}

/// Which token a request carries.
#[derive(Clone, Copy, Default)]
struct Carried {
    request: u32,
    rule: usize,
    edition: u32,
}

/// Where a request is remembered. Envoy numbers them one after the other.
fn slot(request: u32) -> usize {
    usize::try_from(request).unwrap_or_default() % REMEMBERED
}

#[derive(Clone)]
struct Ready {
    /// The whole header value.
    value: Secret,
    token: Secret,
}

/// A token that a caller is to have.
pub(crate) struct Wanted {
    pub(crate) key: CallerKey,
    /// What came with the request.
    pub(crate) subject: Secret,
    /// Lower-case hex SHA-256 of the token that was refused.
    pub(crate) instead_of: Option<String>,
}

/// A request that waits.
struct Held {
    rule: usize,
    /// Whose token it waits for, where each caller has one.
    caller: Option<CallerKey>,
    deadline_mono_ms: u64,
}

/// Why there is no token, and until when there will be none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outage {
    /// The class of the last attempt's failure.
    pub class: String,
    /// When the next attempt is due, monotonic milliseconds.
    pub next_attempt_mono_ms: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Passage {
    /// It goes on.
    Continue,
    /// It waits, or was answered.
    Stop,
}

impl<H: Host> Requests<H> {
    /// No requests yet.
    pub fn new(host: H, settings: Settings) -> Self {
        let rules = settings
            .rules
            .iter()
            .map(|_| RuleState::default())
            .collect();
        Self {
            host,
            settings,
            rules,
            held: RefCell::default(),
            callers: RefCell::default(),
            wanted: RefCell::default(),
            rejections: RefCell::default(),
            outages: RefCell::default(),
            carried: RefCell::default(),
            counts: Counts::default(),
            tick_ms: Cell::new(0),
            inspections_left: Cell::new(INSPECTED_PER_TICK),
            place: Cell::new(Place::Unknown),
            closed: Cell::new(false),
        }
    }

    /// The proxy.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The checked section.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What became of requests.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Decides about a request whose headers have come. With a token at hand this is one call into the proxy.
    pub fn pass(&self, id: u32) -> Passage {
        let Some(found) = self.find_rule() else {
            // neither another rule's token nor the caller's own credential may go where the path leads some servers
            count(&self.counts.failed);
            refuse_path(|status, headers, body| self.host.respond(status, headers, body));
            return Passage::Stop;
        };
        let has_tokens = |rule: &RuleSettings| rule.token.is_some() || rule.caller.is_some();
        let Some((index, rule, state)) = found.filter(|(_, rule, _)| has_tokens(rule)) else {
            return Passage::Continue;
        };
        if self.settings.skip_preflight && self.is_preflight() {
            self.go_without(rule, state);
            return Passage::Continue;
        }
        if self.place.get() == Place::Unknown {
            self.place.set(match self.host.sees_each_attempt() {
                true => Place::BeforeUpstream,
                false => Place::BehindListener,
            });
        }
        if HAS_CALLERS && rule.caller.is_some() {
            return self.pass_for_caller(id, index, rule);
        }
        let ready = state.ready.borrow();
        let Some(ready) = ready.as_ref().filter(|_| !self.is_to_wait(state)) else {
            drop(ready);
            return self.hold(id, index);
        };
        self.inject(rule, state, &ready.value);
        self.remember(id, index, state.edition.get());
        Passage::Continue
    }

    /// Forgets a request that is no more.
    pub fn forget(&self, id: u32) {
        if let Ok(mut held) = self.held.try_borrow_mut()
            && !held.is_empty()
        {
            held.remove(&id);
        }
    }

    /// Whether the status of a response is wanted. Asking for it costs as much as putting the token on, so where no
    /// retry depends on it only the first few after each tick are inspected: an upstream that refuses a token is then
    /// noticed at the next tick, or at once when there are few requests.
    pub fn should_inspect_status(&self) -> bool {
        if !self.settings.refresh_on_401 {
            return false;
        }
        let left = self.inspections_left.get();
        self.inspections_left.set(left.saturating_sub(1));
        left > 0 || self.place.get() == Place::BeforeUpstream
    }

    /// The upstream has answered that request with 401. If the token that it carries is still served, it was refused;
    /// otherwise another one has taken its place, or it was none of ours. Anybody can bring an upstream to say that, so
    /// the token is not taken away for it: requests wait a little for another, and then carry this one again.
    pub fn unauthorized(&self, id: u32) {
        if !self.host.answered_by_upstream() {
            return;
        }
        let carried = self.carried.borrow().get(slot(id)).copied();
        let Some(carried) = carried.filter(|carried| carried.request == id) else {
            return;
        };
        let Some((rule, state)) = self.rule(carried.rule) else {
            return;
        };
        if HAS_CALLERS && rule.caller.is_some() {
            // what a challenge asks for is the caller's to satisfy, who sees it
            let now = self.now();
            if self.callers.borrow_mut().refuse(carried.edition, now) {
                count(&self.counts.rejected);
            }
            return;
        }
        let current = state
            .ready
            .borrow()
            .as_ref()
            .map(|ready| ready.token.clone());
        let same = state.edition.get() == carried.edition;
        let (Some(index), Some(token)) = (rule.token, current.filter(|_| same)) else {
            return;
        };
        let www_authenticate = self.host.response_header("www-authenticate");
        let with_claims = |text: &String| text.contains("claims");
        let asks_for_more = www_authenticate.as_ref().is_some_and(with_claims);
        let now = self.now().mono_ms;
        let known = state.suspect.get() || now < state.kept_until.get();
        if known && !asks_for_more {
            return;
        }
        count(&self.counts.rejected);
        for (_, state) in self.rules_of(index) {
            if !state.suspect.replace(true) {
                let until = now.saturating_add(limits::REJECTION_PATIENCE_MS);
                state.suspended_until.set(until);
            }
        }
        let rejection = Rejection {
            sha256: token.sha256_hex(),
            www_authenticate,
        };
        self.rejections.borrow_mut().insert(index, rejection);
        self.hurry();
    }

    /// What is known of a token that is not there: `None` while an attempt is under way or due, or nothing has failed.
    /// Who would wait in vain is answered now.
    pub fn outage(&self, token: usize, outage: Option<Outage>) {
        let Some(outage) = outage else {
            self.outages.borrow_mut().remove(&token);
            return;
        };
        let in_vain = |held: &Held| {
            self.token_of(held.rule) == Some(token)
                && held.deadline_mono_ms < outage.next_attempt_mono_ms
        };
        for (id, held) in self.take_held(in_vain) {
            self.give_up(id, &held, |this| this.refuse(&outage.class));
        }
        self.outages.borrow_mut().insert(token, outage);
    }

    /// Answers all who wait; nobody else will.
    pub fn close(&self) {
        self.closed.set(true);
        for (id, held) in self.take_held(|_| true) {
            self.end_wait(id, held, NO_TOKEN_YET);
        }
    }
}

/// What the lifecycle of the tokens does with the requests.
impl<H: Host> Requests<H> {
    pub(crate) fn now(&self) -> Now {
        self.host.now()
    }

    /// The refusal of that token since the last time.
    pub(crate) fn take_rejection(&self, token: usize) -> Option<Rejection> {
        self.rejections.borrow_mut().remove(&token)
    }

    /// Puts a token on every request of its rules from now on, and on those that wait for it.
    ///
    /// A refusal does not change it before `kept_until`, monotonic milliseconds.
    pub(crate) fn serve(&self, token: usize, secret: &Secret, kept_until: u64) {
        for (rule, state) in self.rules_of(token) {
            let value = Secret::new(format!("{}{}{}", rule.before, secret.expose(), rule.after));
            let ready = Ready {
                value,
                token: secret.clone(),
            };
            let old = state.ready.replace(Some(ready));
            if old.as_ref().is_none_or(|old| old.token != *secret) {
                state.edition.set(state.edition.get().wrapping_add(1));
            }
            if let Some(old) = old.filter(|old| old.token != *secret) {
                state.before.replace(Some(old.token));
            }
            state.kept_until.set(kept_until);
            state.suspect.set(false);
        }
        self.serve_on(token);
    }

    /// Lets those go on who wait, with the token that is there, if one is.
    pub(crate) fn serve_on(&self, token: usize) {
        let mut is_there = false;
        for (_, state) in self.rules_of(token) {
            state.suspended_until.set(0);
            is_there |= state.ready.borrow().is_some();
        }
        if !is_there {
            return;
        }
        for (id, held) in self.take_held(|held| self.token_of(held.rule) == Some(token)) {
            self.release(id, held);
        }
    }

    /// Whether requests wait for another token than the one that is there.
    pub(crate) fn is_suspended(&self, token: usize) -> bool {
        let mut rules = self.rules_of(token);
        rules.any(|(_, state)| state.suspended_until.get() > 0)
    }

    /// Serves that token no more.
    pub(crate) fn withdraw(&self, token: usize) {
        for (_, state) in self.rules_of(token) {
            if let Some(old) = state.ready.take() {
                state.before.replace(Some(old.token));
            }
            state.suspect.set(false);
            state.suspended_until.set(0);
            state.kept_until.set(0);
        }
    }

    /// Answers those who have waited long enough. `error` says why a token is missing.
    pub(crate) fn answer_overdue(&self, mono_ms: u64, error: impl Fn(usize) -> Option<String>) {
        for (rule, state) in self.settings.rules.iter().zip(&self.rules) {
            let until = state.suspended_until.get();
            if let Some(token) = rule.token.filter(|_| until > 0 && until <= mono_ms) {
                self.serve_on(token);
            }
        }
        for (id, held) in self.take_held(|held| held.deadline_mono_ms <= mono_ms) {
            let class = self.token_of(held.rule).and_then(&error);
            self.end_wait(id, held, class.as_deref().unwrap_or(NO_TOKEN_YET));
        }
    }

    /// What callers are to have since the last time.
    pub(crate) fn take_wanted(&self) -> Vec<Wanted> {
        std::mem::take(&mut self.wanted.borrow_mut())
    }

    /// What the engine says of the token of a caller. Who waits for it goes on, or is told.
    pub(crate) fn answer_caller(&self, key: &CallerKey, result: &Result<AccessToken, Error>) {
        let now = self.now();
        let Some((rule, _)) = self.rule(key.rule) else {
            return;
        };
        let Some(caller) = &rule.caller else {
            return;
        };
        let mut callers = self.callers.borrow_mut();
        match result {
            Ok(granted) => {
                let times = granted.moments(now);
                callers.granted(key, &granted.token, times, now, |token| {
                    Secret::new(format!("{}{}{}", rule.before, token.expose(), rule.after))
                });
            }
            Err(error) => callers.failed(key, error.detail().retry_after_ms, now),
        }
        drop(callers);
        for (id, held) in self.take_held(|held| held.caller.as_ref() == Some(key)) {
            match result {
                Err(error) if self.value_for(&held).is_none() => {
                    let (status, challenge) = answer_of(&caller.grant, error);
                    let class = error.class().name();
                    self.give_up(id, &held, |this| {
                        this.challenge(status, class, challenge.as_deref());
                    });
                }
                _ => self.end_wait(id, held, NO_TOKEN_YET),
            }
        }
    }

    pub(crate) fn has_held(&self) -> bool {
        !self.held.borrow().is_empty()
    }

    /// Sets the time between ticks.
    pub(crate) fn pace(&self, busy: bool) {
        self.inspections_left.set(INSPECTED_PER_TICK);
        let ms = if busy { BUSY_TICK_MS } else { IDLE_TICK_MS };
        if self.tick_ms.replace(ms) != ms {
            self.host.tick_every(ms);
        }
    }
}

impl<H: Host> Requests<H> {
    /// Makes the next tick come soon.
    fn hurry(&self) {
        if self.tick_ms.replace(BUSY_TICK_MS) != BUSY_TICK_MS {
            self.host.tick_every(BUSY_TICK_MS);
        }
    }

    fn rules_of(&self, token: usize) -> impl Iterator<Item = (&RuleSettings, &RuleState)> {
        self.settings
            .rules
            .iter()
            .zip(&self.rules)
            .filter(move |(rule, _)| rule.token == Some(token))
    }

    fn token_of(&self, rule: usize) -> Option<usize> {
        self.settings.rules.get(rule).and_then(|rule| rule.token)
    }

    fn rule(&self, index: usize) -> Option<(&RuleSettings, &RuleState)> {
        self.settings.rules.get(index).zip(self.rules.get(index))
    }

    /// Remembers which token a request carries.
    fn remember(&self, request: u32, rule: usize, edition: u32) {
        if !self.settings.refresh_on_401 {
            return;
        }
        let mut carried = self.carried.borrow_mut();
        if carried.is_empty() {
            carried.resize(REMEMBERED, Carried::default());
        }
        if let Some(place) = carried.get_mut(slot(request)) {
            *place = Carried {
                request,
                rule,
                edition,
            };
        }
    }

    /// The first rule that fits, if any does. `None` if that depends on how the path is read.
    fn find_rule(&self) -> Option<Option<(usize, &RuleSettings, &RuleState)>> {
        let mut path = None;
        for (index, (rule, state)) in self.settings.rules.iter().zip(&self.rules).enumerate() {
            if fits(&rule.matching, &self.host, &mut path)? {
                return Some(Some((index, rule, state)));
            }
        }
        Some(None)
    }

    /// Whether a browser asks what a page may ask. It sends no credential with that and expects none to be needed
    /// (Fetch, section 4.8: CORS-preflight fetch).
    fn is_preflight(&self) -> bool {
        let has = |name| self.host.request_header(name).is_some();
        self.host.request_header(":method").as_deref() == Some("OPTIONS")
            && has("origin")
            && has("access-control-request-method")
    }

    /// Whether a request is to wait although there is a token: it was refused, and there is room to wait.
    fn is_to_wait(&self, state: &RuleState) -> bool {
        state.suspended_until.get() > 0 && self.held.borrow().len() < MAX_HELD
    }

    /// Decides about a request whose token is its caller's.
    fn pass_for_caller(&self, id: u32, index: usize, rule: &RuleSettings) -> Passage {
        let authorization = self.host.request_header(AUTHORIZATION);
        let authorization = authorization.map(Secret::new);
        let subject = authorization.as_ref().and_then(|a| bearer(a.expose()));
        let Some(subject) = subject else {
            if self.carries_ours(index, rule) {
                return Passage::Continue;
            }
            return self.end_without(index, |this| {
                this.challenge(401, NO_CALLER, Some("Bearer"));
            });
        };
        let key = CallerKey::new(index, &subject);
        let now = self.now();
        if !self.callers.borrow().knows(&key) && self.carries_ours(index, rule) {
            return Passage::Continue;
        }
        let may_wait = !self.closed.get() && self.held.borrow().len() < MAX_HELD;
        let found = self.callers.borrow_mut().find(key, now, may_wait);
        let want = |instead_of| {
            self.wanted.borrow_mut().push(Wanted {
                key,
                subject,
                instead_of,
            });
            self.hurry();
        };
        match found {
            Found::Ready {
                value,
                edition,
                ask,
            } => {
                if ask {
                    want(None);
                }
                let before = RefCell::default();
                let inbound = &self.settings.inbound;
                inbound.replace(&self.host, &rule.header, &value, &before);
                count(&self.counts.injected);
                self.remember(id, index, edition);
                Passage::Continue
            }
            Found::Wait { ask, instead_of } if may_wait => {
                if ask {
                    want(instead_of);
                }
                count(&self.counts.held);
                let held = Held {
                    rule: index,
                    caller: Some(key),
                    deadline_mono_ms: now.mono_ms.saturating_add(self.settings.deadline_ms),
                };
                self.held.borrow_mut().insert(id, held);
                self.hurry();
                Passage::Stop
            }
            found => {
                if let Found::Wait { ask: true, .. } = found {
                    // nobody asks for it after all
                    self.callers.borrow_mut().failed(&key, None, now);
                }
                count(&self.counts.failed);
                self.refuse(TOO_MANY_WAIT);
                Passage::Stop
            }
        }
    }

    /// Whether the request at hand is another attempt at one that has a token of ours already.
    fn carries_ours(&self, index: usize, rule: &RuleSettings) -> bool {
        if self.place.get() != Place::BeforeUpstream {
            return false;
        }
        let value = self.host.request_header(&rule.header).map(Secret::new);
        value.is_some_and(|value| self.callers.borrow().is_ours(index, value.expose()))
    }

    /// The value that a request which waits is to carry, and which edition of its token that is.
    fn value_for(&self, held: &Held) -> Option<(Secret, u32)> {
        if HAS_CALLERS && let Some(key) = &held.caller {
            return self.callers.borrow().serving(key, self.now());
        }
        let state = self.rules.get(held.rule)?;
        let ready = state.ready.borrow();
        let value = ready.as_ref().map(|ready| ready.value.clone())?;
        Some((value, state.edition.get()))
    }

    /// Lets a request wait no longer. One for which there is a token after all goes on with it.
    fn end_wait(&self, id: u32, held: Held, class: &str) {
        if self.value_for(&held).is_some() {
            self.release(id, held);
        } else {
            self.give_up(id, &held, |this| this.refuse(class));
        }
    }

    fn hold(&self, id: u32, rule: usize) -> Passage {
        if self.closed.get() || self.held.borrow().len() >= MAX_HELD {
            count(&self.counts.failed);
            self.refuse(TOO_MANY_WAIT);
            return Passage::Stop;
        }
        let deadline = self.now().mono_ms.saturating_add(self.settings.deadline_ms);
        let outages = self.outages.borrow();
        let outage = self.token_of(rule).and_then(|token| outages.get(&token));
        if let Some(outage) = outage.filter(|outage| deadline < outage.next_attempt_mono_ms) {
            return self.end_without(rule, |this| this.refuse(&outage.class));
        }
        count(&self.counts.held);
        self.held.borrow_mut().insert(
            id,
            Held {
                rule,
                caller: None,
                deadline_mono_ms: deadline,
            },
        );
        self.hurry();
        Passage::Stop
    }

    fn take_held(&self, wanted: impl Fn(&Held) -> bool) -> Vec<(u32, Held)> {
        self.held.borrow_mut().extract(|_, held| wanted(held))
    }

    fn release(&self, id: u32, held: Held) {
        let Some((rule, state)) = self.rule(held.rule) else {
            return;
        };
        let Some((value, edition)) = self.value_for(&held) else {
            // letting another one go on has led to the token's being taken back
            self.held.borrow_mut().insert(id, held);
            return;
        };
        if self.host.enter(id) {
            self.inject(rule, state, &value);
            self.remember(id, held.rule, edition);
            self.host.resume();
        }
        self.host.leave();
    }

    fn give_up(&self, id: u32, held: &Held, answer: impl FnOnce(&Self)) {
        if self.host.enter(id)
            && let Passage::Continue = self.end_without(held.rule, answer)
        {
            self.host.resume();
        }
        self.host.leave();
    }

    /// What becomes of the request at hand if it is to wait no longer.
    fn end_without(&self, rule: usize, answer: impl FnOnce(&Self)) -> Passage {
        match self.rule(rule) {
            Some((rule, state)) if self.settings.fail_open => {
                self.go_without(rule, state);
                Passage::Continue
            }
            _ => {
                count(&self.counts.failed);
                answer(self);
                Passage::Stop
            }
        }
    }

    /// Makes the request at hand ready to go on without a token.
    fn go_without(&self, rule: &RuleSettings, state: &RuleState) {
        let value = state.ready.borrow().as_ref().map(|r| r.value.clone());
        let inbound = &self.settings.inbound;
        inbound.remove(&self.host, &rule.header, value.as_ref(), &state.before);
        count(&self.counts.passed_without);
    }

    fn inject(&self, rule: &RuleSettings, state: &RuleState, value: &Secret) {
        self.settings
            .inbound
            .replace(&self.host, &rule.header, value, &state.before);
        count(&self.counts.injected);
    }

    fn challenge(&self, status: u32, class: &str, challenge: Option<&str>) {
        let text = "no access token for the caller of this request";
        answer(status, class, challenge, text, |status, headers, body| {
            self.host.respond(status, headers, body);
        });
    }

    fn refuse(&self, class: &str) {
        refuse(class, |status, headers, body| {
            self.host.respond(status, headers, body);
        });
    }
}

/// Answers the request at hand: short, and with nothing in it that came from elsewhere.
pub fn refuse(class: &str, respond: impl FnOnce(u32, &[(&str, &str)], &str)) {
    answer(
        503,
        class,
        None,
        "no access token for this request",
        respond,
    );
}

fn refuse_path(respond: impl FnOnce(u32, &[(&str, &str)], &str)) {
    let text =
        "servers read the path of this request in different ways, and it decides about the token";
    answer(400, AMBIGUOUS_PATH, None, text, respond);
}

fn answer(
    status: u32,
    class: &str,
    challenge: Option<&str>,
    text: &str,
    respond: impl FnOnce(u32, &[(&str, &str)], &str),
) {
    let body = format!("edgepass: {text} ({class})\n");
    let mut headers = vec![(ERROR_HEADER, class), ("content-type", "text/plain")];
    headers.extend(challenge.map(|challenge| ("www-authenticate", challenge)));
    respond(status, &headers, &body);
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get().saturating_add(1));
}
