//! The root contexts: configuration, ticks, and the answers to the filter's own calls.

use std::cell::RefCell;
use std::rc::Rc;

use edgepass_core::Config;
use edgepass_core::config::ConfigError;
use edgepass_core::config::envoy::EnvoySharing;
use edgepass_rules::{Lifecycle, Module, Requests, Settings};

use crate::driver::Calls;
use crate::host::{self, Envoy};
use crate::request;

/// Which one this is.
const MODULE: Module = if cfg!(feature = "every-credential") {
    Module::Full
} else {
    Module::Default
};

/// How long after its configuration the filter first asks for a token, milliseconds. Envoy lets no time be zero.
const FIRST_TICK_MS: u64 = 1;

thread_local! {
    /// Those of this VM. No request looks in here: it may pass while one of them is at work.
    static ROOTS: RefCell<Vec<Root>> = const { RefCell::new(Vec::new()) };
}

/// There is a new root context.
pub(crate) fn created(id: u32) {
    ROOTS.with_borrow_mut(|roots| roots.push(Root { id, running: None }));
}

/// It is gone.
pub(crate) fn gone(id: u32) {
    ROOTS.with_borrow_mut(|roots| roots.retain(|root| root.id != id));
}

/// Its configuration has come. Whether it can be used.
pub(crate) fn configuration_came(id: u32) -> bool {
    let configured = with(id, Root::configure).unwrap_or(Ok(()));
    match configured {
        Ok(()) => {
            // no call may be made from here; the first tick makes it
            host::tick_every(FIRST_TICK_MS);
            true
        }
        Err(error) => {
            host::error(&error.to_string());
            false
        }
    }
}

/// Time has passed.
pub(crate) fn ticked(id: u32) {
    with_running(id, Running::advance);
}

/// The response to a call has come, or is known not to.
pub(crate) fn answered(id: u32, call: u32, headers: usize, body_bytes: usize) {
    with_running(id, |running| running.answered(call, headers, body_bytes));
}

fn with<T>(id: u32, work: impl FnOnce(&mut Root) -> T) -> Option<T> {
    ROOTS.with_borrow_mut(|roots| roots.iter_mut().find(|root| root.id == id).map(work))
}

fn with_running(id: u32, work: impl FnOnce(&mut Running)) {
    with(id, |root| root.running.as_mut().map(work));
}

struct Root {
    id: u32,
    running: Option<Running>,
}

/// A plugin that is configured.
struct Running {
    requests: Rc<Requests<Envoy>>,
    tokens: Lifecycle,
    calls: Calls,
}

impl Root {
    fn configure(&mut self) -> Result<(), ConfigError> {
        let refused =
            |message: &str, hint: &str| ConfigError::new("configuration", message).hint(hint);
        let text = host::configuration()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            // a Struct comes as its wire form, which no JSON begins like
            .filter(|text| !text.starts_with('\n'))
            .ok_or_else(|| {
                refused(
                    "is missing or is not text",
                    "give it as google.protobuf.StringValue with the JSON text as its value",
                )
            })?;
        let environment = host::environment();
        let config = Config::load(Some(&text), &environment)?;
        let mut settings = Settings::check(&config, MODULE)?;
        let vm_id = host::property(&["plugin_vm_id"]).unwrap_or_default();
        if settings.sharing == EnvoySharing::PerProcess && vm_id.is_empty() {
            return Err(ConfigError::new(
                "vm_config.vm_id",
                "is empty, so every other module of this Envoy could read the tokens",
            )
            .hint("set a vm_id that no other module has, or envoy.sharing to per-vm"));
        }
        let seed = host::seed().ok_or_else(|| {
            refused(
                "there is no source of random numbers",
                "allow random_get in the plugin's capabilities",
            )
        })?;
        let calls = Calls::new(std::mem::take(&mut settings.transport));
        let requests = Rc::new(Requests::new(Envoy::new(self.id), settings));
        let tokens = Lifecycle::new(config, requests.settings(), seed, requests.host());
        request::configured(self.id, &requests);
        let running = Running {
            requests,
            tokens,
            calls,
        };
        if let Some(old) = self.running.replace(running) {
            old.requests.close();
        }
        Ok(())
    }
}

impl Running {
    fn advance(&mut self) {
        self.tokens.advance(&self.requests, &mut self.calls);
        self.calls.count(self.requests.counts());
    }

    fn answered(&mut self, call: u32, headers: usize, body_bytes: usize) {
        if let Some((effect, outcome)) = self.calls.answered(call, headers, body_bytes) {
            let (requests, calls) = (&self.requests, &mut self.calls);
            self.tokens.complete(effect, outcome, requests, calls);
            self.calls.count(self.requests.counts());
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.requests.close();
        }
    }
}
