//! What was sent, and where in a text it stands.
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

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::Secret;
use crate::secret::Zeroizing;
use crate::text::printable::visible;
use crate::text::reading::{CODINGS, Reading, SIGN};

pub(super) const REDACTED: &str = "[redacted]";

/// So many letters and digits in a row are taken for a part of a secret: enough that no other text has them.
pub(super) const MIN_PART_LETTERS: usize = 16;

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
    pub(super) fn redact(&self, text: &str) -> String {
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
