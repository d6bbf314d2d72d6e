//! RFC 8693 section 2.1.

use super::{add_scopes, subject};
use crate::authority::Authority;
use crate::config::rules::is_absolute_uri;
use crate::exchange::Form;
use crate::{Error, Secret};

/// Values of `audience` or `resource`. A token for more services than this is a mistake.
const MAX_TARGETS: usize = 16;

/// Of one of them, bytes.
const MAX_TARGET_BYTES: usize = 2048;

/// What a token exchange sends.
#[derive(Clone, Copy)]
pub(super) struct TokenExchange<'a> {
    pub(super) subject: (&'a Secret, &'a str),
    pub(super) actor: Option<&'a (Secret, String)>,
    pub(super) audience: &'a [String],
    pub(super) resource: &'a [String],
    pub(super) requested_token_type: Option<&'a str>,
}

impl<'a> TokenExchange<'a> {
    pub(super) fn check(&self) -> Result<(), Error> {
        let (token, kind) = self.subject;
        subject::check("the subject token", token)?;
        subject::check_type("subject_token_type", kind)?;
        if let Some((token, kind)) = self.actor {
            subject::check("the actor token", token)?;
            subject::check_type("actor_token_type", kind)?;
        }
        if let Some(kind) = self.requested_token_type {
            subject::check_type("requested_token_type", kind)?;
        }
        for (what, targets) in [("audience", self.audience), ("resource", self.resource)] {
            if targets.len() > MAX_TARGETS {
                return Err(subject::invalid(format!(
                    "there are {} values of {what}; at most {MAX_TARGETS} are taken",
                    targets.len()
                )));
            }
            for target in targets {
                let is_plain = |c: char| !c.is_control();
                if target.trim().is_empty()
                    || target.len() > MAX_TARGET_BYTES
                    || !target.chars().all(is_plain)
                {
                    return Err(subject::invalid(format!(
                        "a value of {what} is empty, too long, or has control characters"
                    )));
                }
                if what == "resource" && (!is_absolute_uri(target) || target.contains('#')) {
                    return Err(subject::invalid(
                        "a value of resource is no absolute URI without a fragment (RFC 8693 section 2.1)".to_owned(),
                    )
                    .hint("write the service's URI, or give its name as audience"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_to(self, form: &mut Form<'a>, authority: &Authority, scopes: &[String]) {
        form.add(
            "grant_type",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        );
        let (token, kind) = self.subject;
        form.add("subject_token", token.expose());
        form.add("subject_token_type", kind);
        if let Some((token, kind)) = self.actor {
            form.add("actor_token", token.expose());
            form.add("actor_token_type", kind.as_str());
        }
        for audience in self.audience {
            form.add("audience", audience.as_str());
        }
        for resource in self.resource {
            form.add("resource", resource.as_str());
        }
        if let Some(kind) = self.requested_token_type {
            form.add("requested_token_type", kind);
        }
        add_scopes(form, authority, scopes);
    }
}
