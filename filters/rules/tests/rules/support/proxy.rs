//! The proxy: clocks, shared data, requests, and the effects of one VM.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use edgepass_core::{Effect, EffectId, Error, Now, Outcome, SecretBytes, TokenRequest};
use edgepass_rules::{Driver, Host, Level, Properties};

use super::server::Server;
use super::{Fate, START_UNIX_MS};

/// What the VMs of a process have in common.
#[derive(Default)]
pub(crate) struct Process {
    /// Milliseconds since the start, the truth.
    pub(crate) true_ms: u64,
    /// What the monotonic clock has missed of it.
    pub(crate) slept_ms: u64,
    /// Local wall clock minus truth.
    pub(crate) wall_offset_ms: i64,
    shared: BTreeMap<String, (Vec<u8>, u32)>,
    pub(crate) log: Vec<String>,
}

impl Process {
    pub(crate) fn now(&self) -> Now {
        Now {
            unix_ms: (START_UNIX_MS + self.true_ms).saturating_add_signed(self.wall_offset_ms),
            mono_ms: self.true_ms - self.slept_ms,
        }
    }
}

/// A request as it arrives.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) headers: BTreeMap<String, String>,
    state: State,
    www_authenticate: Option<String>,
    /// That the caller was told.
    challenge: Option<String>,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Open,
    Paused,
    Sent,
    Answered(String),
}

impl Request {
    pub(crate) fn header(name: &str, value: &str) -> Self {
        Self {
            headers: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..Self::default()
        }
    }
}

/// The proxy as one VM sees it.
pub(crate) struct Proxy {
    process: Rc<RefCell<Process>>,
    tick_ms: Cell<u64>,
    tick_changed: Cell<bool>,
    at_hand: Cell<Option<u32>>,
    requests: RefCell<BTreeMap<u32, Request>>,
    pub(crate) upstream_filter: Cell<bool>,
    /// Responses are made by another filter, or by the proxy.
    pub(crate) made_here: Cell<bool>,
    /// Calls into the proxy.
    pub(crate) calls: Cell<u64>,
}

impl Proxy {
    pub(crate) fn new(process: &Rc<RefCell<Process>>) -> Self {
        Self {
            process: Rc::clone(process),
            tick_ms: Cell::new(100),
            tick_changed: Cell::new(false),
            at_hand: Cell::new(None),
            requests: RefCell::default(),
            upstream_filter: Cell::new(false),
            made_here: Cell::new(false),
            calls: Cell::new(0),
        }
    }

    pub(crate) fn tick_ms(&self) -> u64 {
        self.tick_ms.get()
    }

    pub(crate) fn take_tick_change(&self) -> bool {
        self.tick_changed.replace(false)
    }

    pub(crate) fn arrived(&self, id: u32, request: Request) {
        self.requests.borrow_mut().insert(id, request);
        self.at_hand.set(Some(id));
    }

    pub(crate) fn resumed(&self, id: u32) {
        self.edit(id, |request| request.state = State::Sent);
    }

    pub(crate) fn paused(&self, id: u32) {
        self.edit(id, |request| {
            if matches!(request.state, State::Open) {
                request.state = State::Paused;
            }
        });
    }

    pub(crate) fn responded(&self, id: u32, www_authenticate: Option<&str>) {
        self.at_hand.set(Some(id));
        self.edit(id, |request| {
            request.www_authenticate = www_authenticate.map(str::to_owned);
        });
    }

    pub(crate) fn gone(&self, id: u32) {
        self.requests.borrow_mut().remove(&id);
    }

    pub(crate) fn fate(&self, id: u32) -> Fate {
        let requests = self.requests.borrow();
        let request = &requests[&id];
        match &request.state {
            State::Open | State::Paused => Fate::Waiting,
            State::Sent => Fate::Sent(request.headers.get("authorization").cloned()),
            State::Answered(class) => Fate::Refused(class.clone()),
        }
    }

    /// The challenge with which a request was answered in place of the upstream.
    pub(crate) fn challenge(&self, id: u32) -> Option<String> {
        self.requests.borrow()[&id].challenge.clone()
    }

    pub(crate) fn headers(&self, id: u32) -> BTreeMap<String, String> {
        self.requests.borrow()[&id].headers.clone()
    }

    fn edit(&self, id: u32, change: impl FnOnce(&mut Request)) {
        change(self.requests.borrow_mut().get_mut(&id).unwrap());
    }

    fn edit_at_hand(&self, change: impl FnOnce(&mut Request)) {
        self.edit(self.at_hand.get().expect("a request is at hand"), change);
    }

    fn read_at_hand<T>(&self, read: impl FnOnce(&Request) -> T) -> T {
        let id = self.at_hand.get().expect("a request is at hand");
        read(&self.requests.borrow()[&id])
    }

    fn called(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl Properties for Proxy {
    fn route_metadata(&self, _: &str, _: &str) -> Option<String> {
        self.called();
        None
    }

    fn cluster(&self) -> Option<String> {
        self.called();
        Some("upstream".to_owned())
    }

    fn host(&self) -> Option<String> {
        self.request_header(":authority")
    }

    fn path(&self) -> Option<String> {
        self.request_header(":path")
    }
}

impl Host for Proxy {
    fn now(&self) -> Now {
        self.called();
        self.process.borrow().now()
    }

    fn log(&self, _: Level, line: &str) {
        self.process.borrow_mut().log.push(line.to_owned());
    }

    fn tick_every(&self, ms: u64) {
        self.called();
        self.tick_ms.set(ms);
        self.tick_changed.set(true);
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        let found = self.process.borrow().shared.get(key).cloned();
        found.map_or((None, None), |(value, mark)| (Some(value), Some(mark)))
    }

    fn set_shared(&self, key: &str, value: &[u8]) -> bool {
        let shared = &mut self.process.borrow_mut().shared;
        let entry = shared.entry(key.to_owned()).or_default();
        *entry = (value.to_vec(), entry.1 + 1);
        true
    }

    fn swap_shared(&self, key: &str, value: &[u8], mark: u32) -> bool {
        let known = self.process.borrow().shared.get(key).map(|entry| entry.1);
        known == Some(mark) && self.set_shared(key, value)
    }

    fn sees_each_attempt(&self) -> bool {
        self.called();
        self.upstream_filter.get()
    }

    fn request_header(&self, name: &str) -> Option<String> {
        self.called();
        self.read_at_hand(|request| request.headers.get(name).cloned())
    }

    fn set_request_header(&self, name: &str, value: Option<&str>) {
        self.called();
        self.edit_at_hand(|request| {
            match value {
                Some(value) => request.headers.insert(name.to_owned(), value.to_owned()),
                None => request.headers.remove(name),
            };
        });
    }

    fn response_header(&self, _: &str) -> Option<String> {
        self.called();
        self.read_at_hand(|request| request.www_authenticate.clone())
    }

    fn answered_by_upstream(&self) -> bool {
        self.called();
        !self.made_here.get()
    }

    fn enter(&self, request: u32) -> bool {
        self.called();
        let known = self.requests.borrow().contains_key(&request);
        self.at_hand.set(known.then_some(request));
        known
    }

    fn leave(&self) {
        self.called();
        self.at_hand.set(None);
    }

    fn resume(&self) {
        self.called();
        self.edit_at_hand(|request| {
            // the end of Envoy 1.37, and of the test
            assert!(matches!(request.state, State::Paused), "{request:?}");
            request.state = State::Sent;
        });
    }

    fn respond(&self, status: u32, headers: &[(&str, &str)], body: &str) {
        self.called();
        assert!(body.starts_with("edgepass: "));
        let class = headers.iter().find(|(name, _)| *name == "x-edgepass-error");
        let class = class.expect("it has a class").1.to_owned();
        let challenge = headers.iter().find(|(name, _)| *name == "www-authenticate");
        let challenge = challenge.map(|(_, value)| (*value).to_owned());
        let expected = match (class.as_str(), &challenge) {
            (_, Some(_)) => 401,
            ("ambiguous-path", None) => 400,
            _ => 503,
        };
        assert_eq!(status, expected);
        self.edit_at_hand(|request| {
            request.state = State::Answered(class);
            request.challenge = challenge;
        });
    }
}

/// Performs the effects of one VM.
pub(crate) struct Effects {
    process: Rc<RefCell<Process>>,
    server: Rc<RefCell<Server>>,
    /// By when they come, and in which order they began.
    outcomes: BTreeMap<(u64, u64), (EffectId, Outcome)>,
    begun: u64,
    /// Requests to the server under way.
    exchanges: Vec<EffectId>,
}

impl Effects {
    pub(crate) fn new(process: &Rc<RefCell<Process>>, server: &Rc<RefCell<Server>>) -> Self {
        Self {
            process: Rc::clone(process),
            server: Rc::clone(server),
            outcomes: BTreeMap::new(),
            begun: 0,
            exchanges: Vec::new(),
        }
    }

    /// When the next outcome comes.
    pub(crate) fn next_ms(&self) -> u64 {
        self.outcomes.keys().next().map_or(u64::MAX, |(at, _)| *at)
    }

    /// The outcome that has come by then.
    pub(crate) fn due(&mut self, now: u64) -> Option<(EffectId, Outcome)> {
        let key = *self.outcomes.keys().next().filter(|(at, _)| *at <= now)?;
        let (id, outcome) = self.outcomes.remove(&key)?;
        self.ended(id);
        Some((id, outcome))
    }

    pub(crate) fn is_asking(&self) -> bool {
        !self.exchanges.is_empty()
    }

    pub(crate) fn delay(&mut self, ms: u64) {
        let outcomes = std::mem::take(&mut self.outcomes).into_iter();
        self.outcomes = outcomes.map(|((at, n), o)| ((at + ms, n), o)).collect();
    }

    /// Nobody waits any more.
    pub(crate) fn abandon(mut self) {
        for id in std::mem::take(&mut self.exchanges) {
            self.exchanges.push(id);
            self.ended(id);
        }
    }

    fn ended(&mut self, id: EffectId) {
        let before = self.exchanges.len();
        self.exchanges.retain(|known| *known != id);
        self.server.borrow_mut().under_way -= before - self.exchanges.len();
    }

    fn schedule(&mut self, at: u64, id: EffectId, outcome: Outcome) {
        self.begun += 1;
        self.outcomes.insert((at, self.begun), (id, outcome));
    }
}

impl Driver for Effects {
    fn begin(&mut self, id: EffectId, effect: Effect) -> Option<Outcome> {
        let now = self.process.borrow().true_ms;
        match effect {
            Effect::ReadFile { path } => {
                assert_eq!(path, "/secret");
                let content = SecretBytes::new("hunter2hunter2hunter2");
                self.schedule(now + 1, id, Outcome::File(Ok(content)));
            }
            Effect::Http { request, .. } => {
                let mut server = self.server.borrow_mut();
                server.begun();
                self.exchanges.push(id);
                let (after_ms, response) = server.respond(now, &request);
                drop(server);
                self.schedule(now + after_ms, id, Outcome::Http(response));
            }
            Effect::Cancel { effect } => {
                self.outcomes.retain(|_, (known, _)| *known != effect);
                self.ended(effect);
            }
            other => panic!("{other:?}"),
        }
        None
    }

    fn refreshed(&mut self, asked: &TokenRequest, _: u64, _: u64) {
        assert!(matches!(
            asked.identity.as_deref(),
            Some("app" | "elsewhere")
        ));
        self.server.borrow_mut().taken += 1;
    }

    fn failed(&mut self, _: &TokenRequest, error: &Error) {
        assert!(!error.to_string().contains("hunter2"));
        self.server.borrow_mut().failures += 1;
    }
}
