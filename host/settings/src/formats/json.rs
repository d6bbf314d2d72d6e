//! Where settings stand in a JSON text.

use super::{WHOLE, index};
use crate::place::is_within;

/// The byte at which that setting stands, or what is nearest around it; `None` if not even its first name is there, or the text is no
/// JSON.
pub(super) fn find(text: &str, setting: &str) -> Option<usize> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let root = reader.at;
    if setting == WHOLE {
        return Some(root);
    }
    // what is skipped over is JSON to its end, so that nothing is found in what the engine did not read
    reader.skip()?;
    reader.blanks();
    if reader.at < text.len() {
        return None;
    }
    let mut reader = Reader { text, at: root };
    let mut found = None;
    let mut rest = setting;
    while !rest.is_empty() {
        let here = match reader.peek()? {
            b'{' => {
                let path = rest.strip_prefix('.').unwrap_or(rest);
                let Some((name, place, value)) = reader.field(path)? else {
                    break;
                };
                rest = path.strip_prefix(name.as_str()).unwrap_or_default();
                (place, value)
            }
            b'[' => {
                let Some((at, after)) = index(rest) else {
                    break;
                };
                let Some(value) = reader.item(at)? else {
                    break;
                };
                rest = after;
                (value, value)
            }
            _ => break,
        };
        found = Some(here.0);
        reader.at = here.1;
    }
    found
}

struct Reader<'t> {
    text: &'t str,
    /// The next byte.
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Of an object: the field with the longest name that the path begins with, where its name and its value stand. Of two
    /// of one name it is the last, which is the one that is one too many.
    fn field(&mut self, path: &str) -> Option<Option<(String, usize, usize)>> {
        let mut best: Option<(String, usize, usize)> = None;
        self.each(|reader| {
            let place = reader.at;
            let name = reader.string()?;
            reader.take(b':')?;
            reader.blanks();
            let is_longer = best
                .as_ref()
                .is_none_or(|(known, ..)| name.len() >= known.len());
            if is_within(path, &name) && is_longer {
                best = Some((name, place, reader.at));
            }
            reader.skip()
        })?;
        Some(best)
    }

    /// Of a list: where that item stands.
    fn item(&mut self, index: usize) -> Option<Option<usize>> {
        let (mut count, mut found) = (0, None);
        self.each(|reader| {
            if count == index {
                found = Some(reader.at);
            }
            count += 1;
            reader.skip()
        })?;
        Some(found)
    }

    /// Goes through what is in brackets of either kind.
    fn each(&mut self, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let end = match self.peek()? {
            b'{' => b'}',
            _ => b']',
        };
        self.at += 1;
        self.blanks();
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            self.blanks();
            one(self)?;
            self.blanks();
            let next = self.peek()?;
            self.at += 1;
            match next {
                b',' => {}
                next if next == end => return Some(()),
                _ => return None,
            }
        }
    }

    /// A string, without what it is escaped by.
    fn string(&mut self) -> Option<String> {
        let begin = self.at;
        self.skip_string()?;
        serde_json::from_str(self.text.get(begin..self.at)?).ok()
    }

    fn skip_string(&mut self) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return Some(()),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    /// Goes over a value. Brackets are counted and not followed, so that no depth is too deep.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.blanks();
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                byte if byte.is_ascii_alphanumeric() || byte == b'-' => {
                    let is_part = |byte: u8| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
                    };
                    while self.peek().is_some_and(is_part) {
                        self.at += 1;
                    }
                }
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}
