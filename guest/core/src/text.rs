//! Text from outside, made fit to be shown: without what was sent, without characters that are not seen, and cleaned before it
//! is cut. Where what was sent stands in it, in whatever coding, [`Needles`] knows; nothing here decides what is shown to whom.

mod needles;
mod printable;
mod reading;
#[cfg(test)]
#[path = "../tests/support/spellings.rs"]
pub(crate) mod spellings;
#[cfg(test)]
mod tests;

use crate::Secret;
use crate::limits::MAX_SERVER_TEXT_CHARS;
use crate::secret::Zeroizing;

use needles::MIN_PART_LETTERS;
pub(crate) use needles::Needles;
pub(crate) use printable::visible;
pub use printable::{is_printable, printable};

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
