//! What is no beginning of paths, and what to write in its place. Rules take the beginning as it stands: a pattern, a query or a
//! URL there would fit no request, and requests would go out without the token that somebody has meant.

use super::is_plain;

/// What patterns and placeholders are written with; but for `*` no path has any of them (RFC 3986 section 3.3).
const PATTERN: [char; 11] = ['*', '{', '}', '<', '>', '[', ']', '^', '|', '"', '`'];

/// Why a rule's text is no beginning of paths.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct NoPrefix {
    /// What is wrong with it, in words that continue its name.
    pub message: &'static str,
    /// What to do about it.
    pub hint: String,
}

/// Checks what the paths of a rule begin with.
///
/// # Errors
///
/// Where no request's path could begin so, or where servers would read it in different ways.
pub fn check_prefix(text: &str) -> Result<(), NoPrefix> {
    let path = match text.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => text,
    };
    let (message, kept) = if path != text {
        ("is a URL, and not what its path begins with", path)
    } else if !text.starts_with('/') {
        ("does not begin with /", text)
    } else if let Some(at) = text.find(['?', '#']) {
        (
            "has a query or a fragment, which is not looked at",
            text.get(..at).unwrap_or_default(),
        )
    } else if text.contains(PATTERN) {
        (
            "has a pattern or a placeholder, and is taken as it stands",
            text,
        )
    } else if !is_plain(text) {
        (
            "has something in it that servers read in different ways: % \\ ;, a space, //, a segment . or .., or what is not ASCII",
            text,
        )
    } else {
        return Ok(());
    };
    let hint = match begin(kept) {
        Some(begin) => format!("write {begin}: all that is below it fits as well"),
        None => "leave it out, which fits every path, or write what the path begins with, /api for example".to_owned(),
    };
    Err(NoPrefix { message, hint })
}

/// The segments at the beginning of a text that are a plain path. `None` if there is none but the root.
fn begin(text: &str) -> Option<String> {
    let mut begin = String::new();
    for segment in text.trim_start_matches('/').split(['/', '?', '#']) {
        let longer = format!("{begin}/{segment}");
        if segment.is_empty() || segment.contains(PATTERN) || !is_plain(&longer) {
            break;
        }
        begin = longer;
    }
    (!begin.is_empty()).then_some(begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_path_begins_with_leads_to_what_one_does() {
        for (text, message, write) in [
            ("/v1/*", "pattern", Some("/v1")),
            ("/v1/**", "pattern", Some("/v1")),
            ("/v1*", "pattern", None),
            ("/*", "pattern", None),
            ("*", "begin with /", None),
            ("/users/{id}/photo", "pattern", Some("/users")),
            ("/users/<id>", "pattern", Some("/users")),
            ("/v[12]/x", "pattern", None),
            ("/api/^v1", "pattern", Some("/api")),
            ("v1", "begin with /", Some("/v1")),
            ("v1/", "begin with /", Some("/v1")),
            ("", "begin with /", None),
            ("api.example/v1", "begin with /", Some("/api.example/v1")),
            ("https://api.example/v1", "URL", Some("/v1")),
            ("https://api.example", "URL", None),
            ("/v1?x=y", "query", Some("/v1")),
            ("/v1/?", "query", Some("/v1")),
            ("/v1#top", "fragment", Some("/v1")),
            ("/a%20b", "different ways", None),
            ("/a/%2e", "different ways", Some("/a")),
            ("/a//b", "different ways", Some("/a")),
            ("/a/../b", "different ways", Some("/a")),
            ("/a/b;c", "different ways", Some("/a")),
            ("/a b", "different ways", None),
            ("/münchen", "different ways", None),
        ] {
            let NoPrefix {
                message: said,
                hint,
            } = check_prefix(text).unwrap_err();
            assert!(said.contains(message), "{text}: {said}");
            let Some(write) = write else {
                assert!(hint.starts_with("leave it out"), "{text}: {hint}");
                continue;
            };
            assert!(
                hint.starts_with(&format!("write {write}:")),
                "{text}: {hint}"
            );
            assert_eq!(check_prefix(write), Ok(()), "{text}: {write}");
        }
        for text in [
            "/",
            "/v1",
            "/v1/",
            "/a(1)/@b:c~",
            "/$batch",
            "/a+b/,c='x'",
            "/.well-known",
        ] {
            assert_eq!(check_prefix(text), Ok(()), "{text}");
        }
    }
}
