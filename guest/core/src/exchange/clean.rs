//! Text from outside.

use crate::Secret;
use crate::limits::MAX_SERVER_TEXT_CHARS;

/// Makes text from outside fit to print: one line, bounded, without what was sent and without anything that has the
/// shape of a JWT.
pub(crate) fn clean(text: &str, secrets: &[Secret]) -> String {
    let mut text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    for secret in secrets {
        if secret.expose().len() >= 4 {
            text = text.replace(secret.expose(), "[redacted]");
        }
    }
    let words = text.split_whitespace().map(|word| {
        if looks_like_a_jwt(word) {
            "[redacted]"
        } else {
            word
        }
    });
    let mut out = String::new();
    for word in words {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    if out.chars().count() > MAX_SERVER_TEXT_CHARS {
        out = out.chars().take(MAX_SERVER_TEXT_CHARS).collect();
        out.push('…');
    }
    out
}

fn looks_like_a_jwt(word: &str) -> bool {
    // `{"` in base64url begins every JWS header
    word.contains("eyJ") && word.len() > 30
}
