//! The caller's own `authorization` header, in whose place the token goes.

use std::cell::RefCell;

use edgepass_core::Secret;
use edgepass_core::config::ConfigError;

use crate::host::Host;
use crate::rule::check_header;
use crate::settings::refusal;

/// The header of a token unless a rule names another.
pub(crate) const AUTHORIZATION: &str = "authorization";

/// What becomes of the caller's own `authorization` header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Inbound {
    /// It is taken off.
    Strip,
    /// It is kept under this name.
    KeepAs(String),
}

impl Inbound {
    /// Checks the setting.
    pub(crate) fn check(text: Option<&str>) -> Result<Self, ConfigError> {
        const SETTING: &str = "envoy.inbound_authorization";
        match text {
            None | Some("strip") => Ok(Self::Strip),
            Some(text) => match text.strip_prefix("keep-as:") {
                Some(name) => check_header(SETTING, Some(name)).map(Self::KeepAs),
                None => Err(refusal(
                    SETTING,
                    "is neither `strip` nor `keep-as:` and a header's name",
                    "write for example keep-as:x-caller-authorization",
                )),
            },
        }
    }

    /// Puts the finished value on the request at hand, and the caller's own where it belongs. `before` is the token
    /// before this one.
    pub(crate) fn replace(
        &self,
        host: &impl Host,
        header: &str,
        value: &Secret,
        before: &RefCell<Option<Secret>>,
    ) {
        self.set_aside(host, Some(value), before);
        // replacing it takes the caller's off
        if header != AUTHORIZATION && !self.keeps_in_place() {
            host.set_request_header(AUTHORIZATION, None);
        }
        host.set_request_header(header, Some(value.expose()));
    }

    /// Takes the headers off in which a token would have been, and keeps the caller's own where it belongs.
    pub(crate) fn remove(
        &self,
        host: &impl Host,
        header: &str,
        value: Option<&Secret>,
        before: &RefCell<Option<Secret>>,
    ) {
        self.set_aside(host, value, before);
        if header != AUTHORIZATION {
            host.set_request_header(header, None);
            if self.keeps_in_place() {
                return;
            }
        }
        host.set_request_header(AUTHORIZATION, None);
    }

    /// Keeps the caller's own credential under its other name, but never one of ours: a retry passes an upstream
    /// filter with the headers that the attempt before had.
    fn set_aside(&self, host: &impl Host, ours: Option<&Secret>, before: &RefCell<Option<Secret>>) {
        let Self::KeepAs(name) = self else {
            return;
        };
        let Some(inbound) = host.request_header(AUTHORIZATION).map(Secret::new) else {
            host.set_request_header(name, None);
            return;
        };
        let is_ours = ours == Some(&inbound)
            || before
                .borrow()
                .as_ref()
                .is_some_and(|before| inbound.expose().contains(before.expose()));
        if !is_ours && name != AUTHORIZATION {
            host.set_request_header(name, Some(inbound.expose()));
        }
    }

    fn keeps_in_place(&self) -> bool {
        matches!(self, Self::KeepAs(name) if name == AUTHORIZATION)
    }
}
