//! What the path of a request begins with, for every server that may read it.
//!
//! A path has several spellings, and servers differ in which of them they take for the same: dot segments (RFC 3986
//! section 6.2.2.3), percent-encoded characters that need no encoding (6.2.2.2), letter case, a backslash for a slash,
//! several slashes for one, parameters after a semicolon. A rule that judged by one spelling would give a request the
//! token of one path, and the server would answer for another. So a rule fits if the path begins so however it is read,
//! does not if it never does, and where that depends on the reader nobody can say.

/// The path of a request.
#[derive(Debug)]
pub struct RequestPath {
    /// As it came, without the query.
    written: String,
    /// As it is read.
    read: Reading,
}

/// A path as the server reads it that takes the most spellings for the same; letter case apart.
#[derive(Debug)]
enum Reading {
    /// As it is written, as most are.
    Written,
    /// Otherwise.
    Other(Vec<u8>),
    /// It may lead anywhere.
    Unclear,
}

impl RequestPath {
    /// Of the pseudo-header `:path`, which a CONNECT has not.
    pub fn of(path: Option<String>) -> Self {
        let Some(mut written) = path else {
            return Self {
                written: String::new(),
                read: Reading::Written,
            };
        };
        if let Some(query) = written.find('?') {
            written.truncate(query);
        }
        let read = if has_one_spelling(written.as_bytes()) {
            Reading::Written
        } else {
            read(written.as_bytes()).map_or(Reading::Unclear, Reading::Other)
        };
        Self { written, read }
    }

    /// Whether it begins so, which [`is_plain`] must hold of. `None` if servers would disagree.
    pub fn begins_with(&self, prefix: &str) -> Option<bool> {
        let written = self.written.starts_with(prefix);
        let read = self.read()?.get(..prefix.len());
        let read = read.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
        (written == read).then_some(written)
    }

    /// Whether it is that path or one below it, by whole segments: `/v1` has `/v1` and `/v1/x` below it, and not `/v10`;
    /// `/v1/` has not `/v1`. The rest is as of [`Self::begins_with`].
    pub fn is_below(&self, prefix: &str) -> Option<bool> {
        let whole = prefix.ends_with('/');
        let is_end = |next: Option<&u8>| whole || matches!(next, None | Some(b'/'));
        let begins = self.begins_with(prefix)?;
        let written = is_end(self.written.as_bytes().get(prefix.len()));
        let read = is_end(self.read()?.get(prefix.len()));
        match begins {
            true => (written == read).then_some(written),
            false => Some(false),
        }
    }

    fn read(&self) -> Option<&[u8]> {
        match &self.read {
            Reading::Written => Some(self.written.as_bytes()),
            Reading::Other(read) => Some(read),
            Reading::Unclear => None,
        }
    }
}

/// Whether every server reads the beginning of a path as it is written.
pub fn is_plain(prefix: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && b != b'?';
    prefix.bytes().all(plain) && read(prefix.as_bytes()).as_deref() == Some(prefix.as_bytes())
}

/// Whether there is nothing in it that [`read`] would change or refuse: most paths need no more than this look.
fn has_one_spelling(path: &[u8]) -> bool {
    let mut before = 0;
    path.first() == Some(&b'/')
        && path.iter().all(|byte| {
            let after_slash = std::mem::replace(&mut before, *byte) == b'/';
            byte.is_ascii_graphic()
                && !b"%\\;#".contains(byte)
                && !(after_slash && b"/.".contains(byte))
        })
}

/// The path without anything that some servers take away or for something else. `None` if it has dot segments, which
/// lead out of any beginning, or what no path should have.
fn read(path: &[u8]) -> Option<Vec<u8>> {
    if path == b"*" {
        return Some(path.to_vec());
    }
    let encoded =
        |part: &[u8]| matches!(part, [a, b, ..] if hex(*a).is_some() && hex(*b).is_some());
    let well_formed = path.split(|b| *b == b'%').skip(1).all(encoded);
    if !well_formed || path.first() != Some(&b'/') || path.contains(&b'#') {
        return None;
    }
    let mut decoded = Vec::with_capacity(path.len());
    for byte in path {
        decoded.push(*byte);
        // what comes of it may be the end of another: servers in a row decode several times
        while let [.., b'%', high, low] = decoded.as_slice()
            && let Some((high, low)) = hex(*high).zip(hex(*low))
        {
            decoded.truncate(decoded.len() - 3);
            decoded.push(high << 4 | low);
        }
    }
    // 0xc0 and 0xc1 begin longer codes of ASCII characters, which UTF-8 forbids
    if decoded
        .iter()
        .any(|b| b.is_ascii_control() || matches!(b, 0xc0 | 0xc1))
    {
        return None;
    }
    // of a slash within parameters it depends on what is done first whether it ends them
    let separates = |b: &&u8| matches!(b, b'/' | b'\\');
    let slashes = path.iter().filter(|b| **b == b'/').count();
    if decoded.contains(&b';') && decoded.iter().filter(separates).count() != slashes {
        return None;
    }
    let mut out = Vec::with_capacity(decoded.len());
    for segment in decoded.split(|b| matches!(b, b'/' | b'\\')).skip(1) {
        let name = segment.split(|b| *b == b';').next().unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return None;
        }
        if out.last() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(name);
    }
    Some(out)
}

fn hex(digit: u8) -> Option<u8> {
    let digit = char::from(digit).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(path: &str, prefix: &str) -> Option<bool> {
        RequestPath::of(Some(path.to_owned())).begins_with(prefix)
    }

    #[test]
    fn plain_paths_begin_as_they_are_written() {
        for path in [
            "/admin/",
            "/admin/x",
            "/admin/?a=/../b",
            "/admin/%20;x//y",
            "/admin/.x/..y",
        ] {
            assert_eq!(begins(path, "/admin/"), Some(true), "{path}");
        }
        for path in [
            "/",
            "*",
            "/admin",
            "/x/admin/",
            "/my%20files/x",
            "/x//y",
            "/x%2Fy",
            "/100%25",
            "/a;v=1/b",
            "/x?/admin/",
            "/m%C3%BCnchen",
            "/.well-known/x",
        ] {
            assert_eq!(begins(path, "/admin/"), Some(false), "{path}");
        }
        assert_eq!(RequestPath::of(None).begins_with("/"), Some(false));
    }

    /// Each of these is below `/admin/` for some servers and not for others.
    #[test]
    fn where_servers_disagree_nobody_can_say() {
        for path in [
            "//admin/x",
            "/%61dmin/x",
            "/%2561dmin/x",
            "/%2%36%31dmin/x",
            "/admin%2fx",
            "/admin%252Fx",
            "/admin\\x",
            "/admin%5cx",
            "\\admin\\x",
            "/ADMIN/x",
            "/Admin%2Fx",
            "/admin;v=1/x",
            "/;/admin/x",
            "/x/../admin/x",
            "/admin/../x",
            "/admin/..",
            "/admin/.",
            "/admin/%2e%2E/x",
            "/admin/.%2e/x",
            "/admin/%252e%252e/x",
            "/admin/..%2fx",
            "/admin/\\..\\x",
            "/admin/..;/x",
            "/admin/..;v=1/x",
            "/admin/%c0%ae%c0%ae/x",
            "/admin/..%00/x",
            "/admin/.%09./x",
            "/admin/%u002e/x",
            "/admin/%",
            "/admin/%2",
            "/admin/#x",
            "/admin/x#/..",
            "admin/x",
            "",
        ] {
            assert_eq!(begins(path, "/admin/"), None, "{path}");
        }
    }

    /// Where a segment ends is a question of the reader as well.
    #[test]
    fn segments_are_whole() {
        let below = |path: &str, prefix| RequestPath::of(Some(path.to_owned())).is_below(prefix);
        for (prefix, path, expected) in [
            ("/v1", "/v1", Some(true)),
            ("/v1", "/v1?x=/../y", Some(true)),
            ("/v1", "/v1/", Some(true)),
            ("/v1", "/v1/me", Some(true)),
            ("/v1", "/v10", Some(false)),
            ("/v1", "/v1.0/me", Some(false)),
            ("/v1", "/v1%20", Some(false)),
            ("/v1", "/v2", Some(false)),
            ("/v1/", "/v1", Some(false)),
            ("/v1/", "/v1/me", Some(true)),
            ("/", "/", Some(true)),
            ("/", "/anything", Some(true)),
            // for some readers the segment ends here
            ("/v1", "/v1;x=1", None),
            ("/v1", "/v1%2fme", None),
            ("/v1", "/v1\\me", None),
            ("/v1", "/v1/../v2", None),
            ("/v1", "/v1/%2e%2e/v2", None),
            ("/v1", "/V1/me", None),
            ("/v1", "//v1/me", None),
        ] {
            assert_eq!(below(path, prefix), expected, "{path} below {prefix}");
        }
    }

    #[test]
    fn beginnings_of_rules_are_plain() {
        for prefix in ["/", "/a", "/a/b.c/", "/a(1)/@b:c~", "/.well-known"] {
            assert!(is_plain(prefix), "{prefix}");
        }
        for prefix in [
            "",
            "a",
            "/a%20b",
            "/a\\b",
            "//a",
            "/a//",
            "/a;b",
            "/a?b",
            "/a#b",
            "/.",
            "/../a",
            "/a b",
            "/münchen",
        ] {
            assert!(!is_plain(prefix), "{prefix}");
        }
    }

    fn without_parameters(path: &str) -> String {
        let mut inside = false;
        let keep = |c: &char| {
            inside = !matches!(c, '/' | '\\') && (inside || *c == ';');
            !inside
        };
        path.chars().filter(keep).collect()
    }

    /// What one reader alone does to a path never goes unnoticed: if the path then begins with the prefix and did not
    /// before, or the other way round, the filter does not decide.
    #[test]
    fn no_single_reading_gets_past() {
        type Reading = fn(&str) -> String;
        let readings: [Reading; 6] = [
            |path| path.replace("%61", "a").replace("%41", "A"),
            |path| path.replace("%2f", "/").replace("%5c", "\\"),
            |path| path.replace('\\', "/"),
            |path| path.replace("//", "/"),
            without_parameters,
            |path| path.to_ascii_lowercase(),
        ];
        let pieces = ["/", "a", "%61", "%41", "A", "%2f", "%5c", "\\", ";x", "b"];
        let mut paths = vec![String::from("/")];
        for _ in 0..4 {
            paths = paths
                .iter()
                .flat_map(|path| pieces.iter().map(move |piece| format!("{path}{piece}")))
                .collect();
        }
        // how many paths begin so, do not, and may or may not
        let mut verdicts = [0; 3];
        for path in &paths {
            let Some(verdict) = begins(path, "/a/") else {
                verdicts[2] += 1;
                continue;
            };
            verdicts[usize::from(verdict)] += 1;
            for first in readings {
                for second in readings {
                    let read = second(&first(path));
                    assert_eq!(read.starts_with("/a/"), verdict, "{path} read as {read}");
                }
            }
        }
        assert!(verdicts.iter().all(|count| *count > 50), "{verdicts:?}");
    }
}
