//! A world for the lifecycle: several VMs of one process with their shared data, a token server, an upstream, requests.
//! Everything that happens comes of one seed, so a failure is replayed by its seed alone.

mod proxy;
mod server;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use edgepass_core::{Config, EffectId, Environment, Outcome};
use edgepass_rules::{Lifecycle, Module, Passage, Requests, Settings};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

pub(crate) use proxy::{Effects, Process, Proxy, Request};
pub(crate) use server::{Mood, Server, token_of};

/// 2026-11-01, a Sunday.
pub(crate) const START_UNIX_MS: u64 = 1_793_491_200_000;

/// Numbers from one seed.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

/// A configuration with an identity, one of another server, and that `envoy` section, to which the clusters are added.
pub(crate) fn document(envoy: &Value) -> String {
    let mut envoy = envoy.clone();
    envoy["token_clusters"] = json!({"login.microsoftonline.com": "idp", "idp.example": "idp"});
    envoy["files"] = json!({"cluster": "token_files"});
    json!({
        "identities": {"app": {
            "tenant_id": "contoso.example",
            "client_id": "c",
            "scopes": ["api://one/.default"],
            "credential": {"client_secret": {"file": "/secret"}},
        }, "elsewhere": {
            "token_endpoint": "https://idp.example/token",
            "client_id": "c",
            "credential": {"client_secret": {"file": "/secret"}},
        }},
        "default_identity": "app",
        "authority_hosts": ["idp.example"],
        "envoy": envoy,
    })
    .to_string()
}

/// One VM.
pub(crate) struct Vm {
    pub(crate) requests: Requests<Proxy>,
    lifecycle: Lifecycle,
    effects: Effects,
    next_tick_ms: u64,
    /// Idle ticks come so many times later than asked for: the worker has other things to do.
    pub(crate) slowness: u64,
}

/// How a request stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    /// It went to the upstream with this `authorization`.
    Sent(Option<String>),
    /// It waits.
    Waiting,
    /// It was answered in place of the upstream, with this class.
    Refused(String),
}

/// The world.
pub(crate) struct World {
    pub(crate) process: Rc<RefCell<Process>>,
    pub(crate) server: Rc<RefCell<Server>>,
    pub(crate) dice: Dice,
    pub(crate) vms: BTreeMap<usize, Vm>,
    document: String,
    started: usize,
    last_request: u32,
}

impl World {
    /// A process with that many VMs, which have just been configured.
    pub(crate) fn new(seed: u64, vms: usize) -> Self {
        Self::with(seed, vms, &json!({}))
    }

    pub(crate) fn with(seed: u64, vms: usize, envoy: &Value) -> Self {
        let mut world = Self {
            process: Rc::default(),
            server: Rc::new(RefCell::new(Server::new(seed))),
            dice: Dice::new(seed),
            vms: BTreeMap::new(),
            document: document(envoy),
            started: 0,
            last_request: 0,
        };
        for _ in 0..vms {
            world.start();
        }
        world
    }

    /// Starts one more VM. Its number.
    pub(crate) fn start(&mut self) -> usize {
        let config = Config::load(Some(&self.document), &Environment::default()).unwrap();
        let module = match self.document.contains("\"grant\"") {
            true => Module::Full,
            false => Module::Default,
        };
        let settings = Settings::check(&config, module).unwrap();
        let requests = Requests::new(Proxy::new(&self.process), settings);
        let seed = self.dice.bytes();
        let lifecycle = Lifecycle::new(config, requests.settings(), seed, requests.host());
        let vm = Vm {
            lifecycle,
            requests,
            effects: Effects::new(&self.process, &self.server),
            next_tick_ms: self.true_ms() + 1 + self.dice.below(10),
            slowness: 1,
        };
        self.started += 1;
        self.vms.insert(self.started, vm);
        self.started
    }

    /// Ends a VM as a trap does: without a word.
    pub(crate) fn kill(&mut self, vm: usize) {
        if let Some(vm) = self.vms.remove(&vm) {
            vm.effects.abandon();
        }
    }

    pub(crate) fn true_ms(&self) -> u64 {
        self.process.borrow().true_ms
    }

    /// Lets everything happen that happens in so many milliseconds.
    pub(crate) fn pass(&mut self, ms: u64) {
        let until = self.true_ms() + ms;
        while self.step(until) {}
        self.process.borrow_mut().true_ms = until;
    }

    /// The machine sleeps: the wall clock goes on, and nothing else does.
    pub(crate) fn sleep(&mut self, ms: u64) {
        let mut process = self.process.borrow_mut();
        process.true_ms += ms;
        process.slept_ms += ms;
        for vm in self.vms.values_mut() {
            vm.next_tick_ms += ms;
            vm.effects.delay(ms);
        }
    }

    fn step(&mut self, until: u64) -> bool {
        let next = |vm: &Vm| vm.next_tick_ms.min(vm.effects.next_ms());
        let Some(index) = (self.vms.iter().min_by_key(|(_, vm)| next(vm))).map(|(index, _)| *index)
        else {
            return false;
        };
        let vm = self.vms.get_mut(&index).unwrap();
        let at = next(vm);
        if at > until {
            return false;
        }
        {
            let mut process = self.process.borrow_mut();
            process.true_ms = process.true_ms.max(at);
        }
        match vm.effects.due(at) {
            Some((id, outcome)) => vm.complete(id, outcome),
            None => vm.lifecycle.advance(&vm.requests, &mut vm.effects),
        }
        vm.schedule(at);
        true
    }

    /// Idle ticks of every VM come later than asked for, so that hours pass in fewer steps.
    pub(crate) fn slow_down(&mut self, slowness: u64) {
        self.vms.values_mut().for_each(|vm| vm.slowness = slowness);
    }

    /// Sends a request through a VM. Its number there and its fate so far.
    pub(crate) fn request(&mut self, vm: usize) -> (u32, Fate) {
        self.request_with(vm, Request::default())
    }

    pub(crate) fn request_with(&mut self, vm: usize, request: Request) -> (u32, Fate) {
        self.last_request += 1;
        let id = self.last_request;
        let now = self.true_ms();
        let vm = self.vms.get_mut(&vm).unwrap();
        let proxy = vm.requests.host();
        proxy.arrived(id, request);
        match vm.requests.pass(id) {
            Passage::Continue => proxy.resumed(id),
            Passage::Stop => proxy.paused(id),
        }
        vm.schedule(now);
        (id, vm.fate(id))
    }

    /// What has become of a request.
    pub(crate) fn fate(&self, vm: usize, id: u32) -> Fate {
        self.vms[&vm].fate(id)
    }

    /// The upstream answers a request with 401.
    pub(crate) fn refuse(&mut self, vm: usize, id: u32, www_authenticate: Option<&str>) {
        let now = self.true_ms();
        let vm = self.vms.get_mut(&vm).unwrap();
        vm.requests.host().responded(id, www_authenticate);
        if vm.requests.should_inspect_status() {
            vm.requests.unauthorized(id);
        }
        vm.schedule(now);
    }

    /// The token that a VM puts on requests now, if any.
    pub(crate) fn token(&mut self, vm: usize) -> Option<String> {
        let (id, fate) = self.request(vm);
        let vm = self.vms.get_mut(&vm).unwrap();
        match fate {
            Fate::Sent(value) => value?.strip_prefix("Bearer ").map(str::to_owned),
            _ => {
                vm.requests.host().gone(id);
                vm.requests.forget(id);
                None
            }
        }
    }

    /// The one token that all VMs have.
    pub(crate) fn common_token(&mut self) -> String {
        let tokens: Vec<_> = Vec::from_iter(self.vms.keys().copied())
            .into_iter()
            .map(|vm| self.token(vm))
            .collect();
        let first = tokens[0].clone().expect("the first VM has a token");
        assert!(
            tokens.iter().all(|token| token.as_ref() == Some(&first)),
            "{tokens:?}"
        );
        first
    }
}

impl Vm {
    /// Whether the server has a request of it.
    pub(crate) fn is_asking(&self) -> bool {
        self.effects.is_asking()
    }

    fn complete(&mut self, id: EffectId, outcome: Outcome) {
        let (requests, effects) = (&self.requests, &mut self.effects);
        self.lifecycle.complete(id, outcome, requests, effects);
    }

    /// The ticks come as the VM has asked for.
    fn schedule(&mut self, now: u64) {
        let asked = self.requests.host().tick_ms();
        let ms = if asked < 100 {
            asked
        } else {
            asked * self.slowness
        };
        let changed = self.requests.host().take_tick_change();
        if changed || now >= self.next_tick_ms {
            self.next_tick_ms = now + ms.max(1);
        }
    }

    fn fate(&self, id: u32) -> Fate {
        self.requests.host().fate(id)
    }
}
