//! As much of DER as it takes to find the key inside a PKCS#8 document.

/// The content of `privateKey` in a `PrivateKeyInfo` (RFC 5208 section 5): of an RSA key the PKCS#1 document.
pub(crate) fn pkcs8_private_key(der: &[u8]) -> Option<&[u8]> {
    const INTEGER: u8 = 0x02;
    const OCTET_STRING: u8 = 0x04;
    const SEQUENCE: u8 = 0x30;

    let (info, _) = element(der, SEQUENCE)?;
    let (_version, info) = element(info, INTEGER)?;
    let (_algorithm, info) = element(info, SEQUENCE)?;
    let (key, _) = element(info, OCTET_STRING)?;
    Some(key)
}

/// The content of the first element, which must have that tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, der) = der.split_first()?;
    let (&first, der) = der.split_first()?;
    let (length, der) = if first < 0x80 {
        (usize::from(first), der)
    } else {
        // a length of its own length; four bytes are far more than a key has
        let count = usize::from(first & 0x7f);
        let (bytes, der) = der
            .split_at_checked(count)
            .filter(|_| (1..=4).contains(&count))?;
        (
            bytes
                .iter()
                .fold(0, |length, &byte| (length << 8) | usize::from(byte)),
            der,
        )
    };
    (found == tag).then_some(())?;
    der.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_found_behind_version_and_algorithm() {
        let der = [0x30, 0x0b, 2, 1, 0, 0x30, 2, 5, 0, 4, 2, 0xaa, 0xbb];
        assert_eq!(pkcs8_private_key(&der), Some(&[0xaa, 0xbb][..]));
    }

    #[test]
    fn long_lengths_are_read() {
        let mut der = vec![
            0x30, 0x82, 0x01, 0x09, 2, 1, 0, 0x30, 2, 5, 0, 4, 0x81, 0xff,
        ];
        der.extend([7; 0xff]);
        assert_eq!(pkcs8_private_key(&der).map(<[u8]>::len), Some(0xff));
    }

    #[test]
    fn what_is_cut_or_something_else_is_refused() {
        let der = [0x30, 0x0b, 2, 1, 0, 0x30, 2, 5, 0, 4, 2, 0xaa, 0xbb];
        for end in 0..der.len() {
            assert_eq!(pkcs8_private_key(&der[..end]), None, "{end}");
        }
        assert_eq!(pkcs8_private_key(&[0x30, 0x80, 2, 1, 0]), None);
        assert_eq!(pkcs8_private_key(&[0x30, 0x85, 1, 1, 1, 1, 1, 2]), None);
    }
}
