//! What an error says to write in place of a field that is not known, or of something that is no object. What counts as an
//! error is decided in `fields`.

#[cfg(not(target_family = "wasm"))]
use crate::{Secret, json::Json};

/// What to do about a field that is not known. A filter does without the search for what was meant: the command has
/// read its configuration before, and Envoy compiles every function at its start.
#[cfg(target_family = "wasm")]
pub(super) fn misspelt(_: &str, _: &[&str]) -> &'static str {
    LOOK_CLOSER
}

#[cfg(not(target_family = "wasm"))]
pub(super) fn misspelt(name: &str, known: &[&str]) -> String {
    if name == "use_bound_credential" {
        return NOTHING_TO_BIND.to_owned();
    }
    if let Some(hint) = crate::config::spelling::foreign(name, known) {
        return hint.to_owned();
    }
    match crate::config::spelling::nearest(name, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => LOOK_CLOSER.to_owned(),
    }
}

/// What to write in place of something that is no object. A word that is the name of a field is repeated, and no other.
#[cfg(not(target_family = "wasm"))]
pub(super) fn as_object(found: &Json, known: &[&str]) -> String {
    let word = found.text().map(Secret::expose);
    let meant = word.and_then(|word| crate::config::spelling::same(word, known));
    match (meant, known) {
        (Some(meant), _) => format!("write {{\"{meant}\": {{}}}}, with its settings inside"),
        (None, []) => "write {}".to_owned(),
        (None, known) => format!("write {{…}} with one of `{}` in it", known.join("`, `")),
    }
}

/// Microsoft.Identity.Web reads the setting beside every kind, and beside a secret does nothing about it.
#[cfg(not(target_family = "wasm"))]
const NOTHING_TO_BIND: &str = "only a certificate is shown on the connection, so nothing else is bound to it: write the \
                               certificate kind with use_bound_credential, or take the setting out";

const LOOK_CLOSER: &str = "mind the spelling and the level";
