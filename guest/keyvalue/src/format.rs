//! What an entry looks like in a token store, and the file of the keys that it is encrypted with. One file for whatever
//! reads and writes entries: the host compiles it with its cryptography and the component over `wasi:keyvalue` with
//! another, so that each reads what the other has put there.
//!
//! An entry is, in this order: the version (one byte), the length of the key's id (one byte) and the id, when it expires
//! (seconds since 1970, eight bytes, the most significant first), a nonce (twelve bytes), and AES-256-GCM of the value with
//! its tag. What is before the nonce is authenticated with the value, so that nobody makes an entry live longer; and so is
//! the key of the store, so that nobody moves it to another place.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// The form of an entry.
const VERSION: u8 = 1;

/// Bytes of a key of AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// Bytes of a nonce of AES-GCM.
pub(super) const NONCE_BYTES: usize = 12;

/// Bytes of its tag, which is behind what is encrypted.
pub(super) const TAG_BYTES: usize = 16;

/// The longest id of a key.
const MAX_ID_BYTES: usize = 64;

/// Keys in the file: one that encrypts, and those before it that entries are still encrypted with.
const MAX_KEYS: usize = 16;

/// The longest entry, bytes: what the engine puts into one, and what encryption adds.
pub(super) const MAX_ENTRY_BYTES: usize = 2 * 256 * 1024 + 1024;

/// Characters of a key of the store: a digest in hexadecimal. No component names another one.
pub(super) const STORE_KEY_CHARS: usize = 64;

/// base64 as tools write it, with `=` at the end or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// AES-256-GCM with one key.
pub(super) trait Cipher: Sized {
    /// With that key.
    fn new(key: &[u8; KEY_BYTES]) -> Option<Self>;

    /// Encrypts in place, and gives the tag.
    fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        authenticated: &[u8],
        value: &mut [u8],
    ) -> Option<[u8; TAG_BYTES]>;

    /// Decrypts in place what has its tag at its end. `None` where the tag is wrong.
    fn open(&self, nonce: [u8; NONCE_BYTES], authenticated: &[u8], sealed: &mut [u8])
    -> Option<()>;
}

/// The keys of a file, in their order: there is one at least.
pub(super) struct Keys<C>(Vec<(String, C)>);

impl<C: Cipher> Keys<C> {
    /// Reads lines of an id and a key. Those that are blank or begin with `#` are left out. What is wrong with one is said
    /// without what stands in it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(text).map_err(|_| "it is not text in UTF-8".to_owned())?;
        let text = text.trim_start_matches('\u{feff}');
        let mut keys: Vec<(String, C)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what: &str| format!("line {}: {what}", index + 1);
            let (id, encoded) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong("an id, a space and a key are needed"))?;
            let is_id = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
            if id.is_empty() || id.len() > MAX_ID_BYTES || !id.chars().all(is_id) {
                return Err(wrong(
                    "the id has other characters than letters, digits and `.-_`, or more than 64",
                ));
            }
            if keys.iter().any(|(known, _)| known == id) {
                return Err(wrong("there is another key of that id"));
            }
            if keys.len() >= MAX_KEYS {
                return Err(wrong("there are more than 16 keys"));
            }
            let key = BASE64.decode(encoded.trim()).map(Zeroizing::new);
            let key = key.ok().and_then(|key| {
                let key: Zeroizing<[u8; KEY_BYTES]> =
                    Zeroizing::new(key.as_slice().try_into().ok()?);
                Some(key)
            });
            let key = key.ok_or_else(|| {
                wrong("the key is not 32 bytes in base64; `openssl rand -base64 32` makes one")
            })?;
            let key = C::new(&key).ok_or_else(|| wrong("the key is refused"))?;
            keys.push((id.to_owned(), key));
        }
        match keys.is_empty() {
            true => Err(
                "there is no key in it; a line is an id, a space, and the output of `openssl rand -base64 32`"
                    .to_owned(),
            ),
            false => Ok(Self(keys)),
        }
    }

    /// The entry of that value. It is encrypted with the first key, and a random nonce of its own: a key is good for 2^32
    /// entries so (NIST SP 800-38D section 8.3), which is one in each second for a hundred years.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        place: &str,
        expires_s: u64,
        mut value: Zeroizing<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let (id, key) = self.0.first()?;
        let head = head(id.as_bytes(), expires_s)?;
        let tag = key.seal(nonce, &authenticated(&head, place), &mut value)?;
        Some([&head, nonce.as_slice(), &value, &tag].concat())
    }

    /// Decrypts, or says why not.
    pub(super) fn open(&self, place: &str, entry: &[u8]) -> Result<Opened, &'static str> {
        const NONE: &str = "it is none of edgepass, or of another version";
        let (version, rest) = entry.split_first().ok_or(NONE)?;
        let (length, rest) = rest.split_first().ok_or(NONE)?;
        let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(NONE)?;
        let (expires_s, rest) = rest.split_first_chunk().ok_or(NONE)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or(NONE)?;
        let expires_s = u64::from_be_bytes(*expires_s);
        let value_bytes = sealed.len().checked_sub(TAG_BYTES).ok_or(NONE)?;
        let head = head(id, expires_s)
            .filter(|_| *version == VERSION)
            .ok_or(NONE)?;
        let mut keys = self.0.iter();
        let (_, key) = keys.find(|(known, _)| known.as_bytes() == id).ok_or(
            "it is encrypted with a key whose id is not in the file of keys; a new key has to be in the files of all \
             before it is the first line of any",
        )?;
        let mut value = Zeroizing::new(sealed.to_vec());
        key.open(*nonce, &authenticated(&head, place), &mut value)
            .ok_or(
                "it is encrypted with another key than that of its id in the file of keys, or somebody has changed it",
            )?;
        value.truncate(value_bytes);
        Ok(Opened { value, expires_s })
    }
}

/// What was in an entry.
pub(super) struct Opened {
    pub(super) value: Zeroizing<Vec<u8>>,
    /// Seconds since 1970. Whether that is over is for the reader's clock to say.
    pub(super) expires_s: u64,
}

/// Where a store has what a component has put under that key. `None` of what is no key. Instances share tokens with those of
/// the same prefix; the braces keep them on one node of a cluster of Redis.
pub(super) fn place(prefix: &str, key: &str) -> Option<String> {
    let is_digest =
        key.len() == STORE_KEY_CHARS && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| format!("{{{prefix}}}:{key}"))
}

/// What is before the nonce.
fn head(id: &[u8], expires_s: u64) -> Option<Vec<u8>> {
    let length = u8::try_from(id.len()).ok()?;
    let head = [&[VERSION, length], id, &expires_s.to_be_bytes()].concat();
    (1..=MAX_ID_BYTES).contains(&id.len()).then_some(head)
}

/// What is authenticated beside the value.
fn authenticated(head: &[u8], place: &str) -> Vec<u8> {
    [head, place.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::cipher::Aes256Gcm;
    use super::*;

    /// 32 bytes in base64.
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    const ONE: &str = "one AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "two ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    const NONCE: [u8; NONCE_BYTES] = [7; NONCE_BYTES];

    fn keys(lines: &[&str]) -> Keys<Aes256Gcm> {
        Keys::parse(lines.join("\n").as_bytes()).unwrap()
    }

    fn seal(keys: &Keys<Aes256Gcm>, place: &str, value: &[u8]) -> Vec<u8> {
        let value = Zeroizing::new(value.to_vec());
        keys.seal(NONCE, place, 1_800_000_000, value).unwrap()
    }

    #[test]
    fn a_file_of_keys_is_read_line_by_line() {
        let unpadded = KEY.trim_end_matches('=');
        let text = format!("\u{feff}# the new one\r\nnew {unpadded}\r\n\nold\t {KEY} \n");
        let read = Keys::<Aes256Gcm>::parse(text.as_bytes()).unwrap();
        let ids: Vec<_> = read.0.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, ["new", "old"]);

        let many: String = (0..17).map(|n| format!("k{n} {KEY}\n")).collect();
        for (text, says) in [
            (String::new(), "there is no key"),
            ("# nothing".to_owned(), "openssl rand"),
            (KEY.to_owned(), "line 1: an id, a space"),
            (format!("a {KEY}\na {KEY}"), "line 2: there is another key"),
            (format!("a/b {KEY}"), "line 1: the id"),
            (format!("{} {KEY}", "a".repeat(65)), "line 1: the id"),
            (
                "a aHVudGVyMg==".to_owned(),
                "line 1: the key is not 32 bytes",
            ),
            (format!("a {KEY} {KEY}"), "line 1: the key is not 32 bytes"),
            (many, "line 17: there are more than 16"),
        ] {
            let error = Keys::<Aes256Gcm>::parse(text.as_bytes()).err().unwrap();
            assert!(error.contains(says), "{says}: {error}");
            assert!(
                !error.contains("aHVudGVyMg") && !error.contains(KEY),
                "{error}"
            );
        }
        let error = Keys::<Aes256Gcm>::parse(b"a \xff").err().unwrap();
        assert!(error.contains("UTF-8"), "{error}");
    }

    #[test]
    fn an_entry_is_read_with_its_key_at_its_place_and_nowhere_else() {
        let sealed = seal(&keys(&[ONE]), "place", b"a token");
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        for lines in [&[ONE][..], &[TWO, ONE]] {
            let opened = keys(lines).open("place", &sealed).unwrap();
            assert_eq!(opened.value.as_slice(), b"a token");
            assert_eq!(opened.expires_s, 1_800_000_000);
        }
        let renamed = ONE.replace("one", "two");
        let swapped = TWO.replace("two", "one");
        for (lines, place, says) in [
            (&[TWO][..], "place", "not in the file of keys"),
            (&[&renamed], "place", "not in the file of keys"),
            (&[&swapped], "place", "another key than that of its id"),
            (&[ONE], "another", "somebody has changed it"),
        ] {
            let error = keys(lines).open(place, &sealed).err().unwrap();
            assert!(error.contains(says), "{error}");
        }
        let nothing = seal(&keys(&[ONE]), "p", b"");
        assert!(keys(&[ONE]).open("p", &nothing).unwrap().value.is_empty());
    }

    /// Made by another implementation of AES-256-GCM (Python's `cryptography`), so that whoever compiles this file writes the
    /// same bytes.
    #[test]
    fn entries_are_the_same_bytes_whoever_makes_them() {
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        for (line, value, entry) in [(ONE, &b"a token"[..], VECTOR_ONE), (TWO, b"", VECTOR_TWO)] {
            let sealed = seal(&keys(&[line]), "{edgepass}:place", value);
            assert_eq!(hex(&sealed), entry);
        }
    }

    const VECTOR_ONE: &str = "01036f6e65000000006b49d2000707070707070707070707076e4ad233046ab9a6102b11d891453f63806d18101defae";
    const VECTOR_TWO: &str =
        "010374776f000000006b49d200070707070707070707070707e5e556a9644cdb4d550ba6184e7c3101";

    #[test]
    fn whatever_is_changed_is_seen() {
        let keys = keys(&[ONE, TWO]);
        let sealed = seal(&keys, "place", b"a token");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(keys.open("place", &changed).is_err(), "{at} {bit}");
            }
            assert!(keys.open("place", &sealed[..at]).is_err(), "{at}");
        }
        let longer = [sealed.as_slice(), b"\0"].concat();
        for wrong in [
            &b""[..],
            b"\x01",
            b"\x01\xff",
            b"{\"token\":1}",
            b"\x01\x00",
            &longer,
        ] {
            assert!(keys.open("place", wrong).is_err());
        }
    }

    #[test]
    fn a_place_is_of_a_digest() {
        let key = "0123456789abcdef".repeat(4);
        assert_eq!(place("p", &key), Some(format!("{{p}}:{key}")));
        for wrong in ["", "0", &key.replace('0', "g"), &format!("{key}0")] {
            assert_eq!(place("p", wrong), None);
        }
    }
}
