//! Text from outside, made fit to be shown: without what was sent, without characters that are not seen, and cleaned before it
//! is cut. Nothing here decides what is shown to whom.
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

mod printable;
mod reading;
#[cfg(test)]
#[path = "../tests/support/spellings.rs"]
pub(crate) mod spellings;
#[cfg(test)]
mod tests;

use base64::Engine as _;

use crate::Secret;
use crate::base64_standard::BASE64;
use crate::limits::MAX_SERVER_TEXT_CHARS;
use crate::secret::Zeroizing;

pub(crate) use printable::shown_name;
pub(crate) use printable::visible;
pub use printable::{is_printable, printable};
use reading::{CODINGS, Reading, SIGN};

/// Text without the byte order mark that it may begin with: editors and shells on Windows write one, and it is no part of a
/// text (RFC 8259 section 8.1). A second one is.
pub fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The same of bytes that may be such a text.
pub fn bytes_without_byte_order_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Of a text that is cut, this much is looked at, bytes,
const MAX_CLEANED_BYTES: usize = 32 * MAX_SERVER_TEXT_CHARS;

/// and the end of that is not shown: the beginning of a secret may stand there.
const UNSURE_BYTES: usize = MIN_PART_LETTERS * 12;

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

/// JSON text out of an answer, as ASCII alone and without what was sent. It is no JSON any more if that was not inside a text.
pub(crate) fn clean_json(json: &str, sent: &Needles) -> String {
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
    out
}

/// A time for people.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
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

/// Layers of one coding: servers, proxies and logs add one each.
const MAX_LAYERS: usize = 8;

/// A longer secret is not looked for in base64 and hexadecimal digits of its UTF-16, bytes: client secrets and codes are
/// shorter, and a JWT takes three times as much to look for as it is otherwise.
const MAX_WIDE_BYTES: usize = 256;

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
                coded.add_coded(form.as_bytes());
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
            // with padding, which goes, because the rest of the engine has those tables already
            let mut encoded = Zeroizing::new(BASE64.encode(&*bytes));
            if text.len() < MIN_ANYWHERE_CHARS {
                // too little of it would be left
                encoded.truncate((bytes.len() * 8).div_ceil(6));
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
            // none is empty, which the compiler does not know
            for (at, window) in folded.windows(needle.len().max(1)).enumerate() {
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
