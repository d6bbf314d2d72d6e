//! A text in each of the ways in which it can be read: as it is, and layer by layer without the escapes of a coding. What is
//! looked for in it is not known here, but for the shape of a JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::Zeroizing;

/// Characters of a JWS header by which it is known: the shortest, `{"alg":"none"}`, has 19.
const JWS_HEADER_CHARS: usize = 16;

/// What stands for characters that are neither letter nor digit.
pub(super) const SIGN: u8 = b'?';

/// Between `&` and `;` of HTML, characters.
const MAX_ENTITY_CHARS: usize = 12;

/// A text in one of the ways in which it can be read.
pub(super) struct Reading {
    /// One for a character: itself, if it is ASCII.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    /// Where in the text each begins, and where the last one ends.
    begins: Vec<usize>,
}

/// A way to write characters.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Coding {
    Percent,
    Backslash,
    Octal,
    QuotedPrintable,
    Html,
    /// Several of them in one text.
    Mixed,
}

pub(super) const CODINGS: [Coding; 6] = [
    Coding::Percent,
    Coding::Backslash,
    Coding::Octal,
    Coding::QuotedPrintable,
    Coding::Html,
    Coding::Mixed,
];

impl Reading {
    pub(super) fn of(text: &str) -> Self {
        let bytes = text
            .chars()
            .map(|c| u8::try_from(c).ok().filter(u8::is_ascii));
        let bytes = Zeroizing::new(bytes.map(|byte| byte.unwrap_or(0xff)).collect::<Vec<u8>>());
        Self {
            begins: (0..=bytes.len()).collect(),
            bytes,
        }
    }

    /// Without one layer of that coding, if there is any.
    pub(super) fn decoded(&self, coding: Coding) -> Option<Self> {
        let mut decoded = Self {
            bytes: Zeroizing::new(Vec::with_capacity(self.bytes.len())),
            begins: Vec::with_capacity(self.begins.len()),
        };
        let mut at = 0;
        while let Some(rest) = self.bytes.get(at..)
            && let [first, ..] = rest
        {
            let (byte, length) = escape(rest, coding).unwrap_or((*first, 1));
            decoded.bytes.push(byte);
            decoded.begins.extend(self.begins.get(at));
            at += length;
        }
        decoded.begins.extend(self.begins.last());
        (decoded.bytes.len() < self.bytes.len()).then_some(decoded)
    }

    /// What is compared, and where it begins: letters and digits in lower case, and [`SIGN`] for what is between them.
    pub(super) fn folded(&self) -> (Zeroizing<Vec<u8>>, Vec<usize>) {
        let (mut folded, mut places) = (Zeroizing::new(Vec::new()), Vec::new());
        for (place, byte) in self.bytes.iter().enumerate() {
            let byte = match byte.is_ascii_alphanumeric() {
                true => byte.to_ascii_lowercase(),
                false => SIGN,
            };
            if byte != SIGN || folded.last() != Some(&SIGN) {
                folded.push(byte);
                places.push(place);
            }
        }
        (folded, places)
    }

    /// The last of at most so many signs after that place, with what belongs to a character beyond ASCII.
    pub(super) fn end_of_signs(&self, place: usize, most: usize) -> usize {
        let after = self.bytes.get(place + 1..).unwrap_or_default();
        let mut left = most;
        let signs = after.iter().take_while(|byte| {
            let goes_on = matches!(byte, 0x80..=0xbf);
            let is_sign = goes_on || left > 0 && !byte.is_ascii_alphanumeric();
            left = left.saturating_sub(usize::from(!goes_on));
            is_sign
        });
        place + signs.count()
    }

    /// Hides what is between those two, both included, and the rest of the base64 around it.
    pub(super) fn hide(&self, from: usize, to: usize, is_coded: bool, hidden: &mut [bool]) {
        let (before, rest) = self.bytes.split_at_checked(from).unwrap_or_default();
        let after = rest.get(to + 1 - from..).unwrap_or_default();
        let (mut begin, mut end) = (from, to + 1);
        if is_coded {
            begin -= before.iter().rev().take_while(|b| is_base64(**b)).count();
        }
        let after = after.iter();
        let after = after.take_while(|b| **b == b'=' || is_coded && is_base64(**b));
        end += after.count();
        if let (Some(begin), Some(end)) = (self.begins.get(begin), self.begins.get(end))
            && let Some(hidden) = hidden.get_mut(*begin..*end)
        {
            hidden.fill(true);
        }
    }

    /// Hides what has the shape of a JWT, or of the beginning of one: base64url of a JSON object's.
    pub(super) fn hide_jwts(&self, hidden: &mut [bool]) {
        let mut at = 0;
        while let Some(rest) = self.bytes.get(at..)
            && !rest.is_empty()
        {
            let mut length = 1;
            if begins_jws_header(rest) {
                let jwt = rest
                    .iter()
                    .take_while(|b| is_base64(**b) || b".=%".contains(b));
                length = jwt.count();
                self.hide(at, at + length - 1, false, hidden);
            }
            at += length;
        }
    }

    /// Whether no letter or digit of another word touches what stands there. The last letter of an escape is none.
    pub(super) fn is_word(&self, from: usize, to: usize) -> bool {
        let (before, rest) = self.bytes.split_at_checked(from).unwrap_or_default();
        let (word, after) = rest.split_at_checked(to + 1 - from).unwrap_or_default();
        let touches = |one: Option<&u8>, other: Option<&u8>| {
            // beyond ASCII everything counts, which takes no table
            let is_of_a_word = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
            one.is_some_and(is_of_a_word) && other.is_some_and(is_of_a_word)
        };
        let escape = matches!(
            before,
            [.., b'%', _, _]
                | [.., b'\\', _]
                | [.., b'\\', b'x', _, _]
                | [.., b'%' | b'\\', b'u', _, _, _, _]
        );
        (escape || !touches(before.last(), word.first())) && !touches(word.last(), after.first())
    }
}

/// The character that is escaped at the beginning, and how long that is. Of a character beyond ASCII the first unit stands
/// for all.
fn escape(text: &[u8], coding: Coding) -> Option<(u8, usize)> {
    use Coding::{Backslash, Html, Mixed, Octal, Percent, QuotedPrintable};
    let unit = |begin: usize, end: usize, radix: u32| {
        let code = number(text.get(begin..end)?, radix)?;
        let byte = match end - begin {
            // of UTF-16
            4 => character(code),
            // of UTF-8
            _ => u8::try_from(code).ok()?,
        };
        Some((byte, end))
    };
    match (text, coding) {
        ([b'=', ..], QuotedPrintable) => unit(1, 3, 16),
        ([b'\\', ..], Octal) => unit(1, 4, 8),
        ([b'%', b'u', ..], Percent | Mixed) | ([b'\\', b'u', ..], Backslash | Mixed) => {
            unit(2, 6, 16)
        }
        ([b'%', ..], Percent | Mixed) => unit(1, 3, 16),
        ([b'\\', b'x', ..], Backslash | Mixed) => unit(2, 4, 16),
        ([b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..], Backslash | Mixed) => Some((b' ', 2)),
        ([b'\\', sign, ..], Backslash | Mixed) if sign.is_ascii_punctuation() => Some((*sign, 2)),
        ([b'&', b'#', rest @ ..], Html | Mixed) => {
            let (radix, begin) = match rest {
                [b'x' | b'X', ..] => (16, 3),
                _ => (10, 2),
            };
            let digits = text.get(begin..)?;
            let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
            let length = digits.iter().take_while(is_digit).count();
            let (digits, after) = digits.split_at_checked(length)?;
            let code = number(digits, radix).filter(|_| length > 0)?;
            // readers of HTML do without the end
            let end = begin + length + usize::from(after.starts_with(b";"));
            Some((character(code), end))
        }
        ([b'&', rest @ ..], Html | Mixed) => {
            let length = rest
                .iter()
                .take(MAX_ENTITY_CHARS)
                .position(|b| *b == b';')?;
            let byte = match rest.get(..length)? {
                b"amp" => b'&',
                // a name is not looked up: it is none of a letter or digit of ASCII
                name if length > 1 && name.iter().all(u8::is_ascii_alphanumeric) => SIGN,
                _ => return None,
            };
            Some((byte, length + 2))
        }
        // of a list of numbers
        ([b'0', b'x' | b'X', ..], Mixed) => Some((SIGN, 2)),
        _ => None,
    }
}

/// A character by its number, or its first unit in UTF-16.
fn character(code: u32) -> u8 {
    match code {
        0..0x80 => u8::try_from(code).unwrap_or(SIGN),
        // of a pair the second
        0xdc00..=0xdfff => 0x80,
        _ => 0xff,
    }
}

/// Digits, of which there are few.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        Some(number.wrapping_mul(radix).wrapping_add(digit))
    })
}

/// Whether these are the first bytes of a JSON object that begins with a name, in base64url. A word with `eyJ` in it, such as
/// `surveyJobs`, is something else than text when it is decoded. There may be white space before the name (RFC 8259
/// section 2).
fn begins_jws_header(text: &[u8]) -> bool {
    // the brace alone makes the first character
    text.starts_with(b"e")
        && text
            .get(..JWS_HEADER_CHARS)
            .and_then(|begin| URL_SAFE_NO_PAD.decode(begin).ok())
            .is_some_and(|json| {
                let inner = json.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
                inner.is_some_and(|inner| inner.is_empty() || inner.starts_with(b"\""))
                    && json
                        .iter()
                        .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r'))
            })
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}
