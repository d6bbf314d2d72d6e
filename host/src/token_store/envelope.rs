//! What an entry looks like in the store: a version, the id of the key, a nonce, and AES-256-GCM of the rest. The key of
//! the store is authenticated with it, so that nobody moves an entry to another place.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use zeroize::Zeroizing;

use super::keys::{Keys, MAX_ID_BYTES};

/// The form of an envelope.
const VERSION: u8 = 1;

/// Encrypts with the first key, and a random nonce of its own: a key is good for 2^32 entries so (NIST SP 800-38D section
/// 8.3), which is one in each second for a hundred years.
pub(super) fn seal(
    keys: &Keys,
    place: &str,
    mut entry: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let refused = || "an entry cannot be encrypted".to_owned();
    let (id, key) = keys.first().ok_or_else(refused)?;
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| refused())?;
    let head = head(id.as_bytes()).ok_or_else(refused)?;
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(authenticated(&head, place)),
            &mut entry,
        )
        .map_err(|_| refused())?;
    Ok([&head, nonce.as_slice(), &entry, tag.as_ref()].concat())
}

/// Decrypts, or says why not.
pub(super) fn open(
    keys: &Keys,
    place: &str,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    const NONE: &str = "it is none of edgepass, or of another version";
    let (version, rest) = sealed.split_first().ok_or(NONE)?;
    let (length, rest) = rest.split_first().ok_or(NONE)?;
    let (id, rest) = rest.split_at_checked(usize::from(*length)).ok_or(NONE)?;
    let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or(NONE)?;
    let head = head(id).filter(|_| *version == VERSION).ok_or(NONE)?;
    let key = keys.get(id).ok_or(
        "it is encrypted with a key whose id is not in encryption_keys_file; a new key has to be in the files of all \
         before it is the first line of any",
    )?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NONE)?;
    let mut entry = Zeroizing::new(rest.to_vec());
    let length = key
        .open_in_place(nonce, Aad::from(authenticated(&head, place)), &mut entry)
        .map_err(|_| {
            "it is encrypted with another key than that of its id in encryption_keys_file, or somebody has changed it"
        })?
        .len();
    entry.truncate(length);
    Ok(entry)
}

/// What is before the nonce.
fn head(id: &[u8]) -> Option<Vec<u8>> {
    let length = u8::try_from(id.len()).ok()?;
    let head = [&[VERSION, length], id].concat();
    (1..=MAX_ID_BYTES).contains(&id.len()).then_some(head)
}

/// What is authenticated beside the entry.
fn authenticated(head: &[u8], place: &str) -> Vec<u8> {
    [head, place.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "one AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "two ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    fn keys(lines: &[&str]) -> Keys {
        Keys::parse(&lines.join("\n")).unwrap()
    }

    fn entry() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(b"a token".to_vec())
    }

    #[test]
    fn an_entry_is_read_with_its_key_at_its_place_and_nowhere_else() {
        let sealed = seal(&keys(&[ONE]), "place", entry()).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_ne!(sealed, seal(&keys(&[ONE]), "place", entry()).unwrap());
        for lines in [&[ONE][..], &[TWO, ONE]] {
            assert_eq!(open(&keys(lines), "place", &sealed).unwrap(), entry());
        }
        let renamed = ONE.replace("one", "two");
        let swapped = TWO.replace("two", "one");
        for (lines, place, says) in [
            (&[TWO][..], "place", "not in encryption_keys_file"),
            (&[&renamed], "place", "not in encryption_keys_file"),
            (&[&swapped], "place", "another key than that of its id"),
            (&[ONE], "another", "somebody has changed it"),
        ] {
            let error = open(&keys(lines), place, &sealed).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            open(
                &keys(&[ONE]),
                "p",
                &seal(&keys(&[ONE]), "p", Zeroizing::default()).unwrap()
            )
            .unwrap()
            .len(),
            0
        );
    }

    #[test]
    fn whatever_is_changed_is_seen() {
        let keys = keys(&[ONE, TWO]);
        let sealed = seal(&keys, "place", entry()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&keys, "place", &changed).is_err(), "{at}");
            assert!(open(&keys, "place", &sealed[..at]).is_err(), "{at}");
        }
        for wrong in [
            &b""[..],
            b"\x01",
            b"\x01\xff",
            b"{\"token\":1}",
            b"\x01\x00",
        ] {
            assert!(open(&keys, "place", wrong).is_err());
        }
    }
}
