//! One HTTP request on its way through Envoy.

use std::rc::Rc;

use edgepass_core::Secret;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use crate::filter::{Filter, Passage, Used};
use crate::host;

/// A request's context. Dropping it, as Envoy does when the caller goes away, ends its wait.
pub(crate) struct Request {
    id: u32,
    filter: Rc<Filter>,
    token: Token,
}

/// The token that it carries, and the rule that it is of.
enum Token {
    None,
    At(usize, Secret),
    Awaited(usize, Used),
}

impl Request {
    pub(crate) fn new(id: u32, filter: Rc<Filter>) -> Self {
        Self {
            id,
            filter,
            token: Token::None,
        }
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.filter.pass(self.id) {
            Passage::Untouched => Action::Continue,
            Passage::With(rule, token) => {
                self.token = Token::At(rule, token);
                Action::Continue
            }
            Passage::Held(rule, used) => {
                self.token = Token::Awaited(rule, used);
                Action::Pause
            }
            Passage::Answered => Action::Pause,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if !self.filter.settings().refresh_on_401 {
            return Action::Continue;
        }
        let (rule, token) = match &self.token {
            Token::None => return Action::Continue,
            Token::At(rule, token) => (*rule, token.clone()),
            Token::Awaited(rule, used) => match used.borrow().as_ref() {
                Some(token) => (*rule, token.clone()),
                None => return Action::Continue,
            },
        };
        if host::response_header(":status").as_deref() == Some("401") {
            let challenge = host::response_header("www-authenticate");
            self.filter.refused(rule, &token, challenge);
        }
        Action::Continue
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if matches!(self.token, Token::Awaited(..)) {
            self.filter.forget(self.id);
        }
    }
}
