//! Text from outside, made fit to be shown: one place says which characters may be printed, and one takes out what was
//! sent.
//!
//! A server may give a secret back in any coding in which texts travel, whole or in part, so a secret is not looked for as
//! a string. Of text and secret only the letters and digits are compared, without regard to case, and wherever
//! [`MIN_PART_LETTERS`] of a secret's stand in a row they are taken out, whatever stands between them: line breaks, the
//! signs of an escape, a hyphen. The text is read as it is and, layer by layer, as each of these codings:
//!
//! | coding | for example `/` |
//! |---|---|
//! | percent-encoding | `%2F`, `%252F`, `%u002F` |
//! | JSON and other escapes | `\\/`, `\\u002f`, `\\x2F` |
//! | octal escapes | `\\057` |
//! | quoted-printable | `=2F` |
//! | HTML | `&#47;`, `&#x2F;`, `&#47`, `&sol;`, `&amp;#47;` |
//!
//! The secret is looked for in base64, at every alignment, and in hexadecimal digits as well, each with `0x` before it or not;
//! one of at most [`MAX_WIDE_BYTES`] also in both of its UTF-16. One of fewer letters is found whole alone, with some sign where
//! it has any.

use crate::Secret;
use crate::limits::MAX_SERVER_TEXT_CHARS;
use crate::secret::Zeroizing;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

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

/// So many letters and digits in a row are taken for a part of a secret: enough that no other text has them.
const MIN_PART_LETTERS: usize = 16;

/// Of the beginning, which is what is left of a secret that is cut off, fewer are enough.
const MIN_BEGINNING_LETTERS: usize = 12;

/// A shorter secret is taken out only where it is a word of its own: its letters stand in many a word by chance.
const MIN_ANYWHERE_CHARS: usize = 7;

/// Letters and digits that are looked up together.
const GRAM: usize = 8;

/// Characters of a JWS header by which it is known: the shortest, `{"alg":"none"}`, has 19.
const JWS_HEADER_CHARS: usize = 16;

/// What stands for characters that are neither letter nor digit.
const SIGN: u8 = b'?';

/// Layers of one coding: servers, proxies and logs add one each.
const MAX_LAYERS: usize = 8;

/// A longer secret is not looked for in base64 and hexadecimal digits of its UTF-16, bytes: client secrets and codes are
/// shorter, and a JWT takes three times as much to look for as it is otherwise.
const MAX_WIDE_BYTES: usize = 256;

/// Of a text that is cut, this much is looked at, bytes,
const MAX_CLEANED_BYTES: usize = 32 * MAX_SERVER_TEXT_CHARS;

/// and the end of that is not shown: the beginning of a secret may stand there.
const UNSURE_BYTES: usize = MIN_PART_LETTERS * 12;

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
    let begin = floor(text, MAX_CLEANED_BYTES);
    let mut some = clean_whole(begin, sent);
    if begin.len() < text.len() {
        let sure = floor(&some, some.len().saturating_sub(UNSURE_BYTES)).len();
        some.truncate(sure);
        some.push('…');
    }
    printable(&some, MAX_SERVER_TEXT_CHARS)
}

/// What another program says, for people: one line, bounded, without those secrets in any spelling and without anything that
/// has the shape of a JWT.
#[doc(hidden)]
pub fn without_secrets(text: &str, secrets: &[Secret]) -> String {
    clean(text, &Needles::of(secrets))
}

/// The same for who takes others out, and cuts it then.
#[doc(hidden)]
pub fn without_secrets_whole(text: &str, secrets: &[Secret]) -> String {
    clean_whole(text, &Needles::of(secrets))
}

/// The same of what means nothing any more when it is cut: scopes, and texts of ours with a server's word in them.
pub(crate) fn clean_whole(text: &str, sent: &Needles) -> String {
    let text = sent.redact(&Zeroizing::new(visible(text)));
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The text as far as that byte, or the character before it.
fn floor(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// JSON text out of an answer, as ASCII alone and without what was sent. `None` if that leaves no JSON.
pub(crate) fn clean_json(json: &str, sent: &Needles) -> Option<String> {
    let mut out = String::new();
    for c in sent.redact(json).chars() {
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

/// What was sent and must not come back.
#[derive(Default)]
pub(crate) struct Needles {
    /// The secrets.
    plain: Letters,
    /// In base64, at every alignment (so that it is found inside the base64 of something longer, such as
    /// `client_id:secret`), and in hexadecimal digits: what stands around it belongs to it.
    coded: Letters,
}

/// What is looked for.
#[derive(Default)]
struct Letters {
    /// Two bits for each [`GRAM`] of the long ones, by its hash (a Bloom filter). Five of them in a row have to be there, which
    /// they are not by chance.
    grams: Zeroizing<Vec<u8>>,
    /// Those of few letters, with one sign for signs in a row, and how many more stand at their end.
    short: Vec<(Zeroizing<Vec<u8>>, usize)>,
}

impl Needles {
    pub(crate) fn of(secrets: &[Secret]) -> Self {
        let bytes: usize = secrets.iter().map(|secret| secret.expose().len()).sum();
        // of the bits at most a tenth is set
        let room = (64 * bytes).clamp(64, 1 << 20).next_power_of_two();
        let [mut plain, mut coded] = [(); 2].map(|()| Letters {
            grams: Zeroizing::new(vec![0; room]),
            short: Vec::new(),
        });
        for secret in secrets {
            let text = secret.expose();
            let text = text.strip_prefix("Basic ").unwrap_or(text);
            plain.add(text);
            coded.add_coded(text.as_bytes());
            let form: Zeroizing<String> =
                Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect());
            if *form != text {
                coded.add_base64(form.as_bytes());
            }
            if text.len() <= MAX_WIDE_BYTES {
                let wide = text.encode_utf16().flat_map(u16::to_le_bytes);
                coded.add_coded(&Zeroizing::new(wide.collect::<Vec<u8>>()));
            }
        }
        Self { plain, coded }
    }

    /// Those that no other text has by chance.
    #[cfg(feature = "every-credential")]
    pub(crate) fn without_short(mut self) -> Self {
        for letters in [&mut self.plain, &mut self.coded] {
            let short = &mut letters.short;
            short.retain(|(needle, _)| needle.len() >= MIN_BEGINNING_LETTERS);
        }
        self
    }

    /// Whether some of them are in that text, or something of the shape of a JWT is.
    #[cfg(feature = "every-credential")]
    pub(crate) fn are_in(&self, text: &str) -> bool {
        self.hidden(text).contains(&true)
    }

    /// The text without them.
    fn redact(&self, text: &str) -> String {
        let mut out = String::new();
        let mut was_hidden = false;
        for (c, hidden) in text.chars().zip(self.hidden(text)) {
            match hidden {
                true if !was_hidden => out.push_str(REDACTED),
                true => {}
                false => out.push(c),
            }
            was_hidden = hidden;
        }
        out
    }

    /// Which of its characters are not to be shown.
    fn hidden(&self, text: &str) -> Vec<bool> {
        let as_it_is = Reading::of(text);
        let mut hidden = vec![false; as_it_is.bytes.len()];
        as_it_is.hide_jwts(&mut hidden);
        self.hide(&as_it_is, &mut hidden);
        // most texts are as they are
        if !as_it_is.bytes.iter().any(|byte| b"%\\=&xX".contains(byte)) {
            return hidden;
        }
        for coding in CODINGS {
            let mut reading = as_it_is.decoded(coding);
            for _ in 0..MAX_LAYERS {
                let Some(layer) = reading else {
                    break;
                };
                self.hide(&layer, &mut hidden);
                reading = layer.decoded(coding);
            }
        }
        hidden
    }

    fn hide(&self, reading: &Reading, hidden: &mut [bool]) {
        let (folded, places) = reading.folded();
        let place = |at: usize| places.get(at).copied().unwrap_or_default();
        for (letters, is_coded) in [(&self.plain, false), (&self.coded, true)] {
            letters.find(reading, &folded, &place, &mut |from, to| {
                reading.hide(from, to, is_coded, hidden);
            });
        }
    }
}

impl Letters {
    fn add(&mut self, text: &str) {
        let reading = Reading::of(&Zeroizing::new(visible(text)));
        let (mut folded, places) = reading.folded();
        let Some(last) = places.last() else {
            return;
        };
        let mut signs = reading.bytes.len() - last - 1;
        if grams(&folded).count() >= MIN_PART_LETTERS {
            for (_, gram) in grams(&folded).skip(GRAM - 1) {
                for (byte, bit) in self.bits(gram) {
                    if let Some(byte) = self.grams.get_mut(byte) {
                        *byte |= bit;
                    }
                }
            }
            let beginning = grams(&folded).nth(MIN_BEGINNING_LETTERS - 1);
            folded.truncate(beginning.map_or(0, |(at, _)| at + 1));
            signs = 0;
        }
        self.short.push((folded, signs));
    }

    /// In hexadecimal digits and in base64.
    fn add_coded(&mut self, text: &[u8]) {
        self.add(&Zeroizing::new(crate::secret::hex(text)));
        self.add_base64(text);
    }

    fn add_base64(&mut self, text: &[u8]) {
        // after that many bytes of something else: the characters that are of the secret's bits alone
        for (before, skip) in [(0, 0), (1, 2), (2, 3)] {
            let mut bytes = Zeroizing::new(vec![0; before]);
            bytes.extend_from_slice(text);
            let mut encoded = Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes));
            if text.len() < MIN_ANYWHERE_CHARS {
                // too little of it would be left
                return self.add(&encoded);
            }
            encoded.truncate(bytes.len() * 8 / 6);
            self.add(&Zeroizing::new(encoded.split_off(skip)));
        }
    }

    /// Where the bits of those letters are.
    fn bits(&self, gram: u64) -> [(usize, u8); 2] {
        [0x9e37_79b9_7f4a_7c15_u64, 0xc2b2_ae3d_27d4_eb4f].map(|factor| {
            // upper bits depend on the lower ones alone, so once more with the halves in each other
            let hash = gram.wrapping_mul(factor);
            let hash = (hash ^ hash >> 32).wrapping_mul(factor) >> 32;
            let byte = usize::try_from(hash >> 3).unwrap_or_default();
            (byte & self.grams.len().wrapping_sub(1), 1 << (hash & 7))
        })
    }

    /// Gives where those begin and end that are there, as characters of the reading.
    fn find(
        &self,
        reading: &Reading,
        folded: &[u8],
        place: &dyn Fn(usize) -> usize,
        found: &mut dyn FnMut(usize, usize),
    ) {
        let mut in_a_row = 0;
        let mut last = [0; MIN_PART_LETTERS];
        for (at, gram) in grams(folded) {
            last.rotate_left(1);
            let [.., newest] = &mut last;
            *newest = at;
            let is_set = |(byte, bit)| self.grams.get(byte).is_some_and(|b| b & bit != 0);
            let is_known = self.bits(gram).into_iter().all(is_set);
            in_a_row = if is_known { in_a_row + 1 } else { 0 };
            if in_a_row > MIN_PART_LETTERS - GRAM {
                let [first, ..] = last;
                found(place(first), place(at));
            }
        }
        for (needle, signs) in &self.short {
            for (at, window) in folded.windows(needle.len()).enumerate() {
                let (from, to) = (place(at), place(at + needle.len() - 1));
                let to = reading.end_of_signs(to, *signs);
                let is_there = *window == ***needle;
                if is_there && (needle.len() >= MIN_ANYWHERE_CHARS || reading.is_word(from, to)) {
                    found(from, to);
                }
            }
        }
    }
}

/// Each letter's place, with the letters that end with it.
fn grams(folded: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let letters = folded.iter().enumerate();
    let letters = letters.filter(|(_, byte)| **byte != SIGN);
    letters.scan(0, |gram, (at, byte)| {
        *gram = *gram << 8 | u64::from(*byte);
        Some((at, *gram))
    })
}

/// A text in one of the ways in which it can be read.
struct Reading {
    /// One for a character: itself, if it is ASCII.
    bytes: Zeroizing<Vec<u8>>,
    /// Where in the text each begins, and where the last one ends.
    begins: Vec<usize>,
}

/// A way to write characters.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Coding {
    Percent,
    Backslash,
    Octal,
    QuotedPrintable,
    Html,
    /// Several of them in one text.
    Mixed,
}

const CODINGS: [Coding; 6] = [
    Coding::Percent,
    Coding::Backslash,
    Coding::Octal,
    Coding::QuotedPrintable,
    Coding::Html,
    Coding::Mixed,
];

impl Reading {
    fn of(text: &str) -> Self {
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
    fn decoded(&self, coding: Coding) -> Option<Self> {
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
    fn folded(&self) -> (Zeroizing<Vec<u8>>, Vec<usize>) {
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
    fn end_of_signs(&self, place: usize, most: usize) -> usize {
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
    fn hide(&self, from: usize, to: usize, is_coded: bool, hidden: &mut [bool]) {
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
    fn hide_jwts(&self, hidden: &mut [bool]) {
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
    fn is_word(&self, from: usize, to: usize) -> bool {
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
/// `surveyJobs`, is something else than text when it is decoded.
fn begins_jws_header(text: &[u8]) -> bool {
    text.starts_with(b"eyJ")
        && text
            .get(..JWS_HEADER_CHARS)
            .and_then(|begin| URL_SAFE_NO_PAD.decode(begin).ok())
            .is_some_and(|json| json.iter().all(|byte| matches!(byte, b' '..=b'~')))
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)
}

#[cfg(test)]
#[path = "../tests/support/spellings.rs"]
pub(crate) mod spellings;

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
        for _ in 0..50 {
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
            ("secret 'Sup3r+Secret/V", "secret '[redacted]"),
            ("sup3r_secret/value", "[redacted]"),
            ("SUP3R SECRET V", "[redacted]"),
            ("bm/F0+DXJL L-XNpZ25 hd", "[redacted]"),
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
        // wherever it stands, whole or cut off
        for (before, after) in [
            ("", ""),
            ("Bearer ", " is wrong"),
            ("Bearer%20", ""),
            ("token=", "&x=y"),
            ("\"", "\"}"),
            ("https://h.example/", " not found"),
            ("\\u0022", "\\u0022"),
            ("&quot;", "&quot;"),
            ("x-", ""),
            ("jwt", ""),
            ("got_", ")"),
        ] {
            for jwt in [
                jwt,
                "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.",
                "eyJ0eXAiOiJKV1QiLCJh",
            ] {
                let shown = clean(&format!("{before}{jwt}{after}"), &none);
                let left = shown.replace(REDACTED, "");
                assert!(
                    shown.contains(REDACTED) && !left.contains("eyJ") && left.starts_with(before),
                    "{before}{jwt}{after}: {shown}"
                );
            }
        }
        // whatever else is called so
        for text in [
            "the eyJ of it",
            "api://surveyJobs.example.com/Answers.ReadWrite.All",
            "https://h.example/surveyJournal/.default openid surveyJob_4711.read.write",
            "identity surveyJobsOfTheNorthernDepartment-2026",
            "eyJobs.ReadWrite.All/with-a-long-name.default",
            "eyJOBS-IN-THE-CLOUD-0123456789.read",
        ] {
            assert_eq!(clean(text, &none), text);
            assert_eq!(clean_whole(text, &none), text);
        }
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
