//! What was asked, as far as reading the answer needs it.

use crate::Secret;
use crate::authority::Endpoint;
use crate::exchange::Wanted;
use crate::inspect::JwtSummary;
use crate::json::Json;
use crate::text::{Needles, clean};

/// What is needed to read a response and to describe a failure.
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The server's time, unix seconds.
    pub(crate) server_unix_s: u64,
    pub(crate) correlation_id: &'a str,
    /// The federated assertion that was presented, for hints.
    pub(crate) presented: Option<&'a JwtSummary>,
    pub(crate) wanted: Wanted<'a>,
    /// The numbers in its errors are those of Entra ID. Whoever else writes them means something else, or nothing good.
    pub(crate) is_entra: bool,
    /// What was sent and must not come back in a message.
    pub(crate) secrets: &'a [Secret],
}

impl Asked<'_> {
    /// Text of the answer, fit to be shown.
    pub(super) fn clean(&self, text: &str) -> String {
        clean(text, &Needles::of(self.secrets))
    }

    /// What must not come back: what was sent, and the tokens of that answer.
    pub(super) fn known(&self, body: &Json) -> Needles {
        let mut known = self.secrets.to_vec();
        for name in ["access_token", "refresh_token", "id_token"] {
            known.extend(body.get(name).and_then(Json::text).cloned());
        }
        Needles::of(&known)
    }
}
