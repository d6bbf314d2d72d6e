//! What was asked, as far as reading the answer needs it.

use crate::Secret;
use crate::authority::Endpoint;
use crate::exchange::Wanted;
use crate::inspect::JwtSummary;
use crate::text::{Needles, clean, clean_whole};

/// What is needed to read a response and to describe a failure.
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The server's time, unix seconds.
    pub(crate) server_unix_s: u64,
    pub(crate) correlation_id: &'a str,
    /// The federated assertion that was presented, for hints.
    pub(crate) presented: Option<&'a JwtSummary>,
    pub(crate) wanted: Wanted<'a>,
    /// What was sent and must not come back in a message.
    pub(crate) secrets: &'a [Secret],
}

impl Asked<'_> {
    /// Text of the answer, fit to be shown.
    pub(super) fn clean(&self, text: &str) -> String {
        clean(text, &self.sent())
    }

    /// The scopes of the answer, if there are any.
    pub(super) fn clean_scope(&self, scope: &str) -> Option<String> {
        let scope = clean_whole(scope, &self.sent());
        (!scope.is_empty()).then_some(scope)
    }

    /// What must not come back.
    pub(super) fn sent(&self) -> Needles {
        Needles::of(self.secrets)
    }
}
