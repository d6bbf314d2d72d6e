//! Text from outside, made fit to be shown: one place says which characters may be printed, and one takes out what was
//! sent.
//!
//! A server may give a secret back in any coding in which texts travel, so a secret is not looked for as a string. It is
//! matched letter by letter, and each letter may stand there in any of its spellings:
//!
//! | coding | for example `/` |
//! |---|---|
//! | as it is | `/` |
//! | percent-encoding, of either case, also twice; `+` for a space | `%2F`, `%2f`, `%252F` |
//! | JSON and other escapes, also twice | `\/`, `\u002f`, `\x2F`, `%u002F` |
//! | octal escapes | `\057` |
//! | quoted-printable | `=2F` |
//! | HTML | `&#47;`, `&#x2F;`, `&sol;`, `&amp;#47;` |
//!
//! Base64, in both alphabets, is a [needle](Needles) of its own, and so are hexadecimal digits and each part of a JWS.

use crate::Secret;
use crate::limits::MAX_SERVER_TEXT_CHARS;
use crate::secret::Zeroizing;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Text without the byte order mark that it may begin with: editors and shells on Windows write one, and it is no part of a
/// text (RFC 8259 section 8.1). A second one is.
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The same of bytes that may be such a text.
pub fn bytes_without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

const REDACTED: &str = "[redacted]";

/// Of a secret that is cut off, this many characters are taken for it: enough that no other text begins so.
const MIN_PART_CHARS: usize = 12;

/// A shorter secret is taken out only where it is a word of its own: its letters stand in many a word by chance.
const MIN_ANYWHERE_CHARS: usize = 7;

/// Part of a JWS, characters, that is a secret by itself.
const MIN_JWS_PART_CHARS: usize = 16;

/// Between `&` and `;` of HTML, characters.
const MAX_ENTITY_CHARS: usize = 12;

/// Whether a character may be printed: it neither moves the cursor nor hides, nor changes the direction of what comes
/// after it.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text that is safe to print on one line, without what may not be printed and not longer than `max_chars`.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut kept = text.chars().filter(|c| is_printable(*c));
    let mut out: String = kept.by_ref().take(max_chars).collect();
    if kept.next().is_some() {
        out.push('…');
    }
    out
}

/// Makes text from outside fit to print: one line, bounded, without what was sent and without anything that has the
/// shape of a JWT.
pub(crate) fn clean(text: &str, sent: &Needles) -> String {
    // what comes after that is not shown
    let some = one_line(text, sent, 8 * MAX_SERVER_TEXT_CHARS);
    printable(&some, MAX_SERVER_TEXT_CHARS)
}

/// What another program says, for people: one line, bounded, without those secrets in any spelling and without anything that
/// has the shape of a JWT.
#[doc(hidden)]
pub fn without_secrets(text: &str, secrets: &[Secret]) -> String {
    clean(text, &Needles::of(secrets))
}

/// The same of what means nothing any more when it is cut: scopes, and texts of ours with a server's word in them.
pub(crate) fn clean_whole(text: &str, sent: &Needles) -> String {
    one_line(text, sent, usize::MAX)
}

fn one_line(text: &str, sent: &Needles, max_bytes: usize) -> String {
    let text = sent.redact(&Zeroizing::new(visible(text)), max_bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// JSON text out of an answer, as ASCII alone and without what was sent. `None` if that leaves no JSON.
pub(crate) fn clean_json(json: &str, sent: &Needles) -> Option<String> {
    let mut out = String::new();
    for c in sent.redact(json, usize::MAX).chars() {
        match c {
            ' '..='~' => out.push(c),
            // of white space JSON has these beside the space, and only between values
            '\t' | '\n' | '\r' => {}
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str("\\u");
                    let digits = [12, 8, 4, 0].map(|shift| u32::from(*unit >> shift & 15));
                    out.extend(
                        digits
                            .iter()
                            .filter_map(|digit| char::from_digit(*digit, 16)),
                    );
                }
            }
        }
    }
    crate::challenge::parse_claims(&out).ok()
}

/// The text with a space for each control character and without what else is not printed.
pub(crate) fn visible(text: &str) -> String {
    let visible = text.chars().filter_map(|c| match c {
        c if c.is_control() => Some(' '),
        c => is_printable(c).then_some(c),
    });
    visible.collect()
}

/// What was sent and must not come back: each secret, its hexadecimal digits, its base64 at every alignment (so that it is
/// found inside the base64 of something longer, such as `client_id:secret`), and each part of a JWS.
#[derive(Default)]
pub(crate) struct Needles(Vec<Needle>);

struct Needle {
    text: Zeroizing<String>,
    /// It is base64 or hexadecimal: what stands around it belongs to it.
    is_base64: bool,
}

impl Needles {
    pub(crate) fn of(secrets: &[Secret]) -> Self {
        let mut needles = Self::default();
        for secret in secrets {
            let text = secret.expose();
            let text = text.strip_prefix("Basic ").unwrap_or(text);
            needles.add(Zeroizing::new(visible(text)), false);
            for part in text.split('.').flat_map(str::split_whitespace) {
                if part.len() >= MIN_JWS_PART_CHARS && part.len() < text.len() {
                    needles.add(Zeroizing::new(visible(part)), false);
                }
            }
            let hex = Zeroizing::new(crate::secret::hex(text.as_bytes()));
            needles.add(Zeroizing::new(hex.to_ascii_uppercase()), true);
            needles.add(hex, true);
            needles.add_base64(text);
            let form: Zeroizing<String> =
                Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect());
            if *form != text {
                needles.add_base64(&form);
            }
        }
        needles
    }

    fn add(&mut self, text: Zeroizing<String>, is_base64: bool) {
        if !text.is_empty() {
            self.0.push(Needle { text, is_base64 });
        }
    }

    fn add_base64(&mut self, text: &str) {
        // after that many bytes of something else: the characters that are of the secret's bits alone
        for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
            let mut bytes = Zeroizing::new(vec![0; before]);
            bytes.extend_from_slice(text.as_bytes());
            let mut encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
            if text.len() < MIN_ANYWHERE_CHARS {
                // too little of it would be left
                self.add(encoded, false);
                return;
            }
            encoded.truncate(bytes.len() * 8 / 6);
            self.add(Zeroizing::new(encoded.split_off(skip)), true);
        }
    }

    /// The text without them, as far as about so many bytes.
    fn redact(&self, text: &str, max_bytes: usize) -> String {
        let mut out = String::new();
        let mut at = 0;
        while out.len() <= max_bytes
            && let Some(rest) = text.get(at..)
            && let Some(c) = rest.chars().next()
        {
            let found = self.0.iter().filter_map(|needle| {
                // most begin with none of its spellings, and most texts are long
                let may_begin = matches!(c, '%' | '\\' | '&' | '=' | '+' | '-' | '_')
                    || needle.text.starts_with(c);
                let end = may_begin.then(|| needle.end(text, at))??;
                Some((end, needle.is_base64))
            });
            match found.max().or_else(|| Some((at + jwt(rest)?, true))) {
                Some((end, is_base64)) => {
                    at = end;
                    if is_base64 {
                        out.truncate(out.trim_end_matches(is_base64_char).len());
                        let rest = text.get(end..).unwrap_or_default();
                        let after = rest.trim_start_matches(|c| is_base64_char(c) || c == '=');
                        at += rest.len() - after.len();
                    }
                    out.push_str(REDACTED);
                }
                None => {
                    out.push(c);
                    at += c.len_utf8();
                }
            }
        }
        out
    }
}

impl Needle {
    /// Where it ends, if it begins there.
    fn end(&self, text: &str, at: usize) -> Option<usize> {
        let mut ends = vec![at];
        let mut matched = 0;
        let is_long = self.text.len() >= MIN_PART_CHARS;
        for c in self.text.chars() {
            let mut next = Vec::new();
            for end in ends.iter().filter_map(|end| text.get(*end..)) {
                let mut try_at = |rest: &str| {
                    let from = text.len() - rest.len();
                    spellings(rest, c, &mut |length| {
                        if !next.contains(&(from + length)) {
                            next.push(from + length);
                        }
                    });
                };
                try_at(end);
                // what is long may come back folded into lines
                let unfolded = unfolded(end);
                if matched > 0 && is_long && unfolded.len() < end.len() {
                    try_at(unfolded);
                }
            }
            if next.is_empty() {
                break;
            }
            ends = next;
            matched += 1;
        }
        let is_all = matched == self.text.chars().count();
        let end = ends.into_iter().max()?;
        let is_found = if is_all && matched < MIN_ANYWHERE_CHARS {
            is_word(text, at, end)
        } else {
            is_all || matched >= MIN_PART_CHARS
        };
        is_found.then_some(end)
    }
}

/// What comes after line breaks and the indentation of the next line, as they are, escaped or soft ones of
/// quoted-printable.
fn unfolded(mut text: &str) -> &str {
    loop {
        let rest = text.trim_start();
        let escapes = ["\\n", "\\r", "%0A", "%0D", "%0a", "%0d", "= ", "=\n", "=\r"];
        let after = escapes.iter().find_map(|escape| rest.strip_prefix(escape));
        match after {
            Some(after) => text = after,
            None => return rest,
        }
    }
}

/// Whether no letter or digit of another word touches what stands there. The last letter of an escape is none.
fn is_word(text: &str, at: usize, end: usize) -> bool {
    let (before, rest) = text.split_at_checked(at).unwrap_or_default();
    let (word, after) = rest.split_at_checked(end - at).unwrap_or_default();
    let touches = |one: Option<char>, other: Option<char>| {
        one.is_some_and(is_of_a_word) && other.is_some_and(is_of_a_word)
    };
    let escape = matches!(
        before.as_bytes(),
        [.., b'%', _, _]
            | [.., b'\\', _]
            | [.., b'\\', b'x', _, _]
            | [.., b'%' | b'\\', b'u', _, _, _, _]
    );
    (escape || !touches(before.chars().next_back(), word.chars().next()))
        && !touches(word.chars().next_back(), after.chars().next())
}

/// Beyond ASCII everything counts, which takes no table.
fn is_of_a_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii()
}

/// Gives the lengths of those spellings of a character with which a text begins. Base64 has two alphabets.
fn spellings(rest: &str, c: char, found: &mut impl FnMut(usize)) {
    codings(rest, c, found);
    match c {
        '+' => codings(rest, '-', found),
        '/' => codings(rest, '_', found),
        _ => {}
    }
}

fn codings(rest: &str, c: char, found: &mut impl FnMut(usize)) {
    let length = |after: &str| rest.len() - after.len();
    let Some(first) = rest.chars().next() else {
        return;
    };
    // a form that was decoded twice, or not at all
    if first == c || matches!((c, first), (' ', '+') | ('+', ' ')) {
        found(first.len_utf8());
    }
    match first {
        '%' | '\\' | '=' => {
            for (escape, digits, radix) in [
                ("%", 2, 16),
                ("%25", 2, 16),
                ("%2525", 2, 16),
                ("=", 2, 16),
                ("\\x", 2, 16),
                ("\\", 3, 8),
                ("\\\\", 3, 8),
                ("\\u", 4, 16),
                ("\\\\u", 4, 16),
                ("%u", 4, 16),
            ] {
                if let Some(after) = escaped(rest, c, escape, digits, radix) {
                    found(length(after));
                }
            }
            let backslashes = rest.bytes().take(8).take_while(|b| *b == b'\\').count();
            if c == '\\' {
                (2..=backslashes).for_each(found);
            } else if backslashes > 0
                && !c.is_ascii_alphanumeric()
                && rest
                    .get(backslashes..)
                    .is_some_and(|rest| rest.starts_with(c))
            {
                found(backslashes + c.len_utf8());
            }
        }
        '&' => {
            let mut name = rest.get(1..).unwrap_or_default();
            loop {
                let end = name.bytes().take(MAX_ENTITY_CHARS).position(|b| b == b';');
                if let Some((entity, after)) = end.and_then(|end| name.split_at_checked(end))
                    && is_entity(entity, c)
                {
                    found(length(after) + 1);
                }
                // `&` itself may have been escaped again
                let Some(inner) = name.strip_prefix("amp;") else {
                    return;
                };
                name = inner;
            }
        }
        _ => {}
    }
}

/// What comes after a character that is written as so many digits a unit: four for a unit of UTF-16, fewer for a byte of
/// UTF-8.
fn escaped<'a>(
    mut rest: &'a str,
    c: char,
    escape: &str,
    digits: usize,
    radix: u32,
) -> Option<&'a str> {
    let units: Vec<u16> = if digits == 4 {
        c.encode_utf16(&mut [0; 2]).to_vec()
    } else {
        c.encode_utf8(&mut [0; 4]).bytes().map(u16::from).collect()
    };
    for unit in units {
        let (number, after) = rest.strip_prefix(escape)?.split_at_checked(digits)?;
        if value(number, radix) != Some(u32::from(unit)) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// Whether what stands between `&` and `;` may be that character. A name is not looked up: it is none of a letter or
/// digit of ASCII.
fn is_entity(entity: &str, c: char) -> bool {
    match entity.strip_prefix('#') {
        Some(number) => {
            let hex = number.strip_prefix('x').or(number.strip_prefix('X'));
            let code = hex.map_or_else(|| value(number, 10), |hex| value(hex, 16));
            code == Some(u32::from(c))
        }
        None => {
            !c.is_ascii_alphanumeric()
                && (2..=8).contains(&entity.len())
                && entity.bytes().all(|b| b.is_ascii_alphanumeric())
        }
    }
}

/// Digits, of which there are few.
fn value(digits: &str, radix: u32) -> Option<u32> {
    digits.chars().try_fold(0_u32, |value, c| {
        Some(value.wrapping_mul(radix).wrapping_add(c.to_digit(radix)?))
    })
}

/// The length of something of the shape of a JWT: `{"` in base64url begins every JWS header.
fn jwt(rest: &str) -> Option<usize> {
    if !rest.starts_with("eyJ") {
        return None;
    }
    let after = rest.trim_start_matches(|c| is_base64_char(c) || matches!(c, '.' | '=' | '%'));
    let length = rest.len() - after.len();
    (length > 24).then_some(length)
}

fn is_base64_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

#[cfg(test)]
#[path = "../tests/support/spellings.rs"]
mod spellings;

/// A time for people.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    use super::spellings::{CLIENT, any_secret, json, spellings_of};

    /// As a credential gives them: the secret, and the pairs of which base64 is made.
    fn needles(secret: &str) -> Needles {
        let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let pair = |secret: &str| {
            Secret::new(format!(
                "Basic {}",
                STANDARD.encode(format!("{CLIENT}:{secret}"))
            ))
        };
        Needles::of(&[Secret::new(secret), pair(secret), pair(&form)])
    }

    #[test]
    fn a_secret_that_is_folded_into_lines_is_found() {
        let secret = "Sup3r+Secret/Val==x9".repeat(6);
        let sent = Needles::of(&[Secret::new(secret.as_str())]);
        let base64 = STANDARD.encode(&secret);
        for text in [secret.as_str(), &base64] {
            for fold in [
                "\n", "\r\n", "\n    ", "\\n", "\\r\\n", "%0D%0A", " ", "=\n", "=\r\n",
            ] {
                for width in [20, 60, 76] {
                    let lines: Vec<&str> = text
                        .as_bytes()
                        .chunks(width)
                        .map(|line| std::str::from_utf8(line).unwrap())
                        .collect();
                    let shown = clean(&format!("got {} there", lines.join(fold)), &sent);
                    assert_eq!(shown, format!("got {REDACTED} there"), "{fold:?} {width}");
                }
            }
        }
        let spaces = secret.replace('+', " ");
        assert_eq!(
            clean(&format!("got {spaces}"), &sent),
            format!("got {REDACTED}")
        );
    }

    #[test]
    fn no_spelling_of_a_secret_is_shown() {
        let mut random = ChaCha8Rng::seed_from_u64(11);
        for _ in 0..200 {
            let secret = any_secret(&mut random);
            let needles = needles(&secret);
            for (name, spelling) in spellings_of(&secret) {
                for (before, after) in [
                    ("the value '", "' is wrong"),
                    ("(", ")"),
                    ("%3D", "%26x"),
                    ("a=", "&b=c"),
                ] {
                    let text = format!("{before}{spelling}{after}");
                    let shown = clean(&text, &needles);
                    let expected = text.replace(&spelling, REDACTED);
                    // of base64, what stands around it may go as well
                    if !name.starts_with("base64") && !shown.contains(REDACTED) {
                        panic!(
                            "{name} of {secret:?}: {text:?} is shown as {shown:?}, not as {expected:?}"
                        );
                    }
                    assert!(
                        !shown.contains(&spelling),
                        "{name} of {secret:?}: {shown:?}"
                    );
                }
                let claims = format!("{{\"a\":{}}}", serde_json::to_string(&spelling).unwrap());
                if let Some(shown) = clean_json(&claims, &needles) {
                    assert!(
                        !shown.contains(&spelling) && !shown.contains(&json(&spelling)),
                        "{name} of {secret:?}: {shown}"
                    );
                    assert!(shown.is_ascii(), "{shown}");
                }
            }
        }
    }

    #[test]
    fn a_secret_inside_longer_base64_is_found() {
        let needles = Needles::of(&[Secret::new("Sup3r+Secret/Value==")]);
        for before in [
            "",
            "a",
            "ab",
            "{\"client_secret\":\"",
            "grant_type=x&client_secret=",
        ] {
            let text = format!("{before}Sup3r+Secret/Value==\"}}");
            for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                assert_eq!(
                    clean(&format!("got {encoded} instead"), &needles),
                    "got [redacted] instead"
                );
            }
        }
    }

    #[test]
    fn a_part_of_a_secret_is_taken_for_it() {
        let needles = Needles::of(&[
            Secret::new("Sup3r+Secret/Value=="),
            Secret::new(
                "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0xMjM0NTY3ODkw.c2lnbmF0dXJlLXNpZ25hdHVyZQ",
            ),
        ]);
        for (text, shown) in [
            ("secret 'Sup3r+Secret", "secret '[redacted]"),
            (
                "signature c2lnbmF0dXJlLXNpZ25hdHVyZQ, no",
                "signature [redacted], no",
            ),
            ("payload eyJzdWIiOiJ4In0xMjM0NTY3ODkw", "payload [redacted]"),
            ("Sup3r is not much of it", "Sup3r is not much of it"),
        ] {
            assert_eq!(clean(text, &needles), shown);
        }
    }

    #[test]
    fn a_short_secret_is_taken_out_as_a_word() {
        let needles = Needles::of(&[Secret::new("abc")]);
        for (text, shown) in [
            ("secret abc is wrong", "secret [redacted] is wrong"),
            ("secret 'abc'", "secret '[redacted]'"),
            ("client_secret%3Dabc%26x", "client_secret%3D[redacted]%26x"),
            (r"\nabc\n", r"\n[redacted]\n"),
            ("YWJj", "[redacted]"),
            ("abcess, scabced", "abcess, scabced"),
            ("", ""),
        ] {
            assert_eq!(clean(text, &needles), shown);
        }
    }

    #[test]
    fn what_looks_like_a_jwt_is_not_shown() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl";
        let none = Needles::default();
        assert_eq!(
            clean(&format!("assertion={jwt}, x"), &none),
            "assertion=[redacted], x"
        );
        assert_eq!(clean("the eyJ of it", &none), "the eyJ of it");
    }

    #[test]
    fn nothing_is_printed_that_is_not_seen() {
        let bad = "a\u{1b}[31m\r\nb\u{202e}c\u{200b}d\u{2028}e\u{9b}2Jf\u{61c}g\u{2066}h\u{feff}i\u{7f}j\u{ad}k";
        let none = Needles::default();
        assert_eq!(clean(bad, &none), "a [31m bcde 2Jfghi jk");
        assert_eq!(printable(bad, 5), "a[31m…");
        let all: Vec<char> = ('\0'..=char::MAX).collect();
        for some in all.chunks(300) {
            let shown = clean(&String::from_iter(some), &none);
            assert!(shown.chars().all(is_printable), "{some:?}");
        }
    }

    #[test]
    fn claims_are_ascii_on_one_line() {
        let claims = "{\r\"a\u{9b}2J\":1,\n\"b\": \"é 😀\u{202e}\"}";
        let shown = clean_json(claims, &Needles::default()).unwrap();
        assert_eq!(shown, r#"{"a\u009b2J":1,"b": "\u00e9 \ud83d\ude00\u202e"}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(claims));
        // a secret that is not inside a text leaves no JSON
        let needles = Needles::of(&[Secret::new("123456789")]);
        assert_eq!(clean_json(r#"{"a":123456789}"#, &needles), None);
        assert_eq!(
            clean_json(r#"{"a":"x 123456789 y"}"#, &needles).as_deref(),
            Some(r#"{"a":"x [redacted] y"}"#)
        );
    }

    /// Whatever a server writes, reading it takes time in proportion to its length.
    #[test]
    fn long_texts_of_nothing_but_escapes_end_soon() {
        let needles = needles("%\\&amp;secret%25\\\\");
        for piece in ["&", "\\", "%25", "&amp;", "eyJ", "S3c", " ", "%"] {
            let text = piece.repeat(256 * 1024 / piece.len());
            assert!(clean(&text, &needles).len() <= 4 * MAX_SERVER_TEXT_CHARS + 4);
        }
    }
}
