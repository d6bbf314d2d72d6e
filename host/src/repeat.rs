//! What a message may repeat of what should be a path, and may be the secret that belongs into the file. The command keeps
//! to the same rules.

use std::path::Path;

/// What to do about a value of `EDGEPASS_CONFIG` that is not repeated.
pub const NOT_REPEATED: &str =
    "set it to the absolute path of a file; what may be something else is not repeated";

/// Whether what should be a path is a document, a token, or in quotes, or too long for a path.
pub fn is_document(text: &str) -> bool {
    /// `PATH_MAX` of Linux.
    const MOST: usize = 4096;

    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    start.starts_with(['{', '[', '\''])
        || start.starts_with("eyJ")
        || text.contains(|c: char| c.is_control() || c == '"')
        || text.len() > MOST
}

/// Whether a value of `EDGEPASS_CONFIG` is a path and cannot well be anything else. What is not may be a secret, and is
/// not repeated.
pub fn is_plain_path(text: &str) -> bool {
    Path::new(text).is_absolute() && has_no_secret(text)
}

/// Whether a text is made of what paths and URLs are made of, and no part of it looks like a secret.
pub fn has_no_secret(text: &str) -> bool {
    /// Bytes of a whole path or URL.
    const MOST: usize = 512;
    /// Bytes of one of its parts.
    const MOST_OF_PART: usize = 40;
    /// From so many bytes on, a part that mixes digits and letters of both cases looks like a secret.
    const RANDOM: usize = 12;

    text.len() <= MOST
        && !text.contains("eyJ")
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || "/\\.:-_ ".contains(c))
        && text.split(['/', '\\', '.', ':', ' ']).all(|part| {
            let has = |test: fn(&u8) -> bool| part.as_bytes().iter().any(test);
            let is_random = part.len() >= RANDOM
                && has(u8::is_ascii_digit)
                && has(u8::is_ascii_lowercase)
                && has(u8::is_ascii_uppercase);
            part.len() <= MOST_OF_PART && !is_random
        })
}
