//! Files that should be PEM, as people's tools write them: read whatever surrounds the sections, and called by name when
//! they are something else.

use std::io::BufRead as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use edgepass_core::bytes_without_byte_order_mark;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// As tools write certificates, and not more strictly: what padding says can be counted.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a file holds in the place of what was wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    /// What it is, with its article.
    pub(crate) what: &'static str,
    /// What to do about it.
    pub(crate) fix: &'static str,
}

const ENCRYPTED: Found = Found {
    what: "an encrypted private key",
    fix: "set password_file or password_env beside it",
};

const ENCRYPTED_THE_OLD_WAY: Found = Found {
    what: "a private key that is encrypted the old way, with a digest of MD5",
    fix: "write it anew with the same password: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW",
};

const CERTIFICATE: Found = Found {
    what: "a certificate",
    fix: "name the file with the private key (private_key_file); perhaps two files are the wrong way round",
};

const PRIVATE_KEY: Found = Found {
    what: "a private key",
    fix: "name the file with the certificate; perhaps two files are the wrong way round",
};

const PUBLIC_KEY: Found = Found {
    what: "a public key",
    fix: "a private key and its certificate are needed",
};

const REQUEST: Found = Found {
    what: "a certificate signing request",
    fix: "name the certificate that the authority made of it, and the private key that it was made with",
};

const PKCS7: Found = Found {
    what: "a PKCS#7 bundle",
    fix: "take the certificates out: openssl pkcs7 -in OLD -print_certs -out NEW (for DER with -inform der)",
};

const PFX: Found = Found {
    what: "a PKCS#12 (PFX) file",
    fix: "certification authorities are read from PEM: openssl pkcs12 -in OLD -nokeys -out NEW",
};

const OPENSSH: Found = Found {
    what: "an OpenSSH private key",
    fix: "convert a copy of it: ssh-keygen -p -m PKCS8 -N '' -f COPY",
};

const SSH_PUBLIC: Found = Found {
    what: "an SSH public key",
    fix: "a PEM file is needed, with a private key or a certificate",
};

const PUTTY: Found = Found {
    what: "a PuTTY private key",
    fix: "export it: puttygen OLD -O private-openssh-new, and convert that: ssh-keygen -p -m PKCS8 -N '' -f COPY",
};

const DSA: Found = Found {
    what: "a DSA key, which no server takes",
    fix: "make an RSA or P-256 key, and a certificate for it",
};

const DER_KEY: Found = Found {
    what: "a private key in DER",
    fix: "write it as PEM: openssl pkey -inform der -in OLD -out NEW",
};

const DER_CERTIFICATE: Found = Found {
    what: "a certificate in DER",
    fix: "write it as PEM: openssl x509 -inform der -in OLD -out NEW",
};

/// By the labels of their sections (RFC 7468, and what was there before it).
const LABELS: &[(&str, Found)] = &[
    ("ENCRYPTED PRIVATE KEY", ENCRYPTED),
    ("OPENSSH PRIVATE KEY", OPENSSH),
    ("SSH2 PUBLIC KEY", SSH_PUBLIC),
    ("DSA PRIVATE KEY", DSA),
    ("PRIVATE KEY", PRIVATE_KEY),
    ("RSA PRIVATE KEY", PRIVATE_KEY),
    ("EC PRIVATE KEY", PRIVATE_KEY),
    ("PUBLIC KEY", PUBLIC_KEY),
    ("RSA PUBLIC KEY", PUBLIC_KEY),
    ("CERTIFICATE", CERTIFICATE),
    (
        "TRUSTED CERTIFICATE",
        Found {
            what: "a certificate with OpenSSL's trust settings",
            fix: "write it without them: openssl x509 -in OLD -out NEW",
        },
    ),
    (
        "X509 CERTIFICATE",
        Found {
            what: "a certificate with an old label",
            fix: "write it anew: openssl x509 -in OLD -out NEW",
        },
    ),
    ("CERTIFICATE REQUEST", REQUEST),
    ("NEW CERTIFICATE REQUEST", REQUEST),
    (
        "X509 CRL",
        Found {
            what: "a revocation list",
            fix: "name the file with the certificates",
        },
    ),
    ("PKCS7", PKCS7),
    ("PKCS #7 SIGNED DATA", PKCS7),
    ("CMS", PKCS7),
    (
        "PGP PRIVATE KEY BLOCK",
        Found {
            what: "a PGP key",
            fix: "X.509 needs a key and a certificate of its own",
        },
    ),
    (
        "PGP PUBLIC KEY BLOCK",
        Found {
            what: "a PGP key",
            fix: "X.509 needs a key and a certificate of its own",
        },
    ),
];

/// What `az keyvault secret download` writes, and what an environment variable or a secret of Kubernetes has.
const PKCS12_IN_BASE64: Found = Found {
    what: "base64 of a PKCS#12 (PFX) file",
    fix: "decode it: base64 -d OLD > NEW, or put its text into certificate_base64",
};

/// By how texts begin that are not PEM.
const BEGINNINGS: &[(&str, Found)] = &[
    ("PuTTY-User-Key-File", PUTTY),
    ("ssh-", SSH_PUBLIC),
    ("ecdsa-sha2-", SSH_PUBLIC),
    (
        "<",
        Found {
            what: "HTML or XML",
            fix: "look at what wrote it: that may be a page with an error",
        },
    ),
    (
        "MII",
        Found {
            what: "base64 without the lines around it",
            fix: "put -----BEGIN CERTIFICATE----- (or PRIVATE KEY) before it and -----END … ----- behind it",
        },
    ),
    (
        "LS0tLS1CRUdJTi",
        Found {
            what: "base64 of a PEM file",
            fix: "decode it once more: base64 -d OLD > NEW",
        },
    ),
    (
        "eyJ",
        Found {
            what: "a token or another JSON object in base64",
            fix: "name a PEM file",
        },
    ),
];

/// By the DER of algorithms of keys that sign nothing here: that of an object identifier, or its beginning.
const ALGORITHMS: &[(&[u8], &str)] = &[
    (
        b"\x06\x07\x2a\x86\x48\xce\x38\x04\x01",
        "it is a DSA key; make an RSA or P-256 key, and a certificate for it",
    ),
    (
        b"\x06\x05\x2b\x81\x04\x00\x0a",
        "its curve is secp256k1; use P-256",
    ),
    (
        b"\x06\x05\x2b\x81\x04\x00\x21",
        "its curve is P-224; use P-256",
    ),
    (
        b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x01",
        "its curve is P-192; use P-256",
    ),
    (
        b"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01",
        "its curve is a Brainpool one; use P-256",
    ),
    (
        b"\x06\x08\x2a\x81\x1c\xcf\x55\x01\x82\x2d",
        "its curve is SM2; use P-256",
    ),
    (
        b"\x06\x03\x2b\x65\x6e",
        "it is an X25519 key, which cannot sign; use RSA or P-256",
    ),
    (
        b"\x06\x03\x2b\x65\x6f",
        "it is an X448 key, which cannot sign; use RSA or P-256",
    ),
    (
        b"\x06\x03\x2b\x65\x71",
        "it is an Ed448 key; use RSA or P-256",
    ),
    (
        b"\x06\x07\x2a\x86\x48\xce\x3d\x01\x01",
        "its curve is written out: write its name instead (openssl ec -param_enc named_curve -in OLD -out NEW)",
    ),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01",
        "it is an RSA key that is damaged, or not one of 2048 to 8192 bits",
    ),
    (
        b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a",
        "it is an RSA key for PSS alone; write a plain one, of rsaEncryption",
    ),
];

/// The sections of a file that have one of these labels, without what is between and around them: the parser refuses a
/// file for a section that nobody asked for.
pub(crate) fn sections(content: &[u8], wanted: &[&str]) -> Zeroizing<Vec<u8>> {
    let text = normalise(content);
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + 1));
    let mut is_wanted = false;
    for line in lines(&text) {
        let label = line.strip_prefix(b"-----BEGIN ");
        if let Some(label) = label {
            let label = label.strip_suffix(b"-----").unwrap_or(label);
            is_wanted = wanted.iter().any(|wanted| wanted.as_bytes() == label);
        }
        if is_wanted {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
        is_wanted &= !line.starts_with(b"-----END ");
    }
    out
}

/// What the certificates of a file hold: DER, or nothing where a section is no base64 or does not end. They are public,
/// so they are neither decoded in constant time nor wiped as keys are: a system has a quarter of a megabyte of them, and
/// reads all when it starts.
pub(crate) fn certificates(content: &[u8]) -> Vec<Option<Vec<u8>>> {
    // copied only where something has to be changed
    let is_plain = !content.contains(&b'\\') && !content.contains(&b'\r');
    let normal;
    let text = if is_plain {
        bytes_without_byte_order_mark(content)
    } else {
        normal = normalise(content);
        &normal
    };
    let mut found = Vec::new();
    let mut base64: Option<Vec<u8>> = None;
    for line in lines(text).map(trimmed) {
        if let Some(label) = line.strip_prefix(b"-----BEGIN ") {
            // the one before did not end
            found.extend(base64.take().map(|_| None));
            let is_one = label.strip_suffix(b"-----").unwrap_or(label) == b"CERTIFICATE";
            base64 = is_one.then(|| Vec::with_capacity(4096));
        } else if line.starts_with(b"-----END ") {
            found.extend(base64.take().map(decode));
        } else if let Some(base64) = &mut base64 {
            base64.extend_from_slice(line);
        }
    }
    found.extend(base64.map(|_| None));
    found
}

fn decode(mut base64: Vec<u8>) -> Option<Vec<u8>> {
    let der = BASE64.decode(&base64).ok();
    der.or_else(|| {
        base64.retain(|b| !b.is_ascii_whitespace());
        BASE64.decode(&base64).ok()
    })
}

/// The content as the parser wants it: UTF-8 without a byte order mark, line ends that are line ends and not the two
/// characters of an escape, and no blanks or quotes around lines. None of those is a part of PEM.
fn normalise(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let content = bytes_without_byte_order_mark(content);
    // a search for one byte is quick, and PEM has none of these
    let is_escaped = content.contains(&b'\\')
        && [&b"-----\\n"[..], b"-----\\r"]
            .iter()
            .any(|escape| contains(content, escape));
    // of the whole size at once, so that growing leaves no copies behind that are not wiped
    let mut unescaped = Zeroizing::new(Vec::new());
    if is_escaped {
        unescaped.reserve_exact(content.len());
        let mut rest = content;
        while let [byte, after @ ..] = rest {
            rest = after;
            match after {
                [b'n' | b'r', after @ ..] if *byte == b'\\' => {
                    unescaped.push(b'\n');
                    rest = after;
                }
                _ => unescaped.push(*byte),
            }
        }
    }
    let text = if is_escaped { &unescaped } else { content };
    let mut out = Zeroizing::new(Vec::with_capacity(content.len() + 1));
    let mut push = |line: &[u8]| {
        out.extend_from_slice(trimmed(line));
        out.push(b'\n');
    };
    for line in lines(text) {
        if line.contains(&b'\r') {
            line.split(|b| *b == b'\r').for_each(&mut push);
        } else {
            push(line);
        }
    }
    out
}

/// Without the blanks and quotes around a line.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_part = |b: &u8| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\'' | b',');
    let from = line.iter().position(is_part).unwrap_or(line.len());
    let to = line.iter().rposition(is_part).map_or(from, |at| at + 1);
    line.get(from..to).unwrap_or_default()
}

/// What stands between line feeds, and after the last one. The standard library looks for one byte by words here, and
/// byte by byte in `split`.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut after = text;
        // reading memory does not fail
        let length = after.skip_until(b'\n').unwrap_or(text.len());
        let line = text.get(..length).unwrap_or(text);
        match line.strip_suffix(b"\n") {
            Some(line) => {
                rest = Some(after);
                Some(line)
            }
            None => {
                rest = None;
                Some(line)
            }
        }
    })
}

/// What the encrypted keys of a file hold: DER (RFC 5958 section 3), as far as it is base64.
pub(crate) fn encrypted_keys(content: &[u8]) -> Vec<Vec<u8>> {
    let text = sections(content, &["ENCRYPTED PRIVATE KEY"]);
    let mut found = Vec::new();
    let mut base64 = Vec::new();
    for line in lines(&text) {
        if line.starts_with(b"-----BEGIN ") {
            base64.clear();
        } else if line.starts_with(b"-----END ") {
            found.extend(decode(std::mem::take(&mut base64)));
        } else {
            base64.extend_from_slice(line);
        }
    }
    found
}

/// Whether a section is a key that is encrypted by the headers that were there before PKCS#8 (RFC 1421 section 4.6).
/// OpenSSL makes its cipher's key of MD5, once.
pub(crate) fn encrypted_the_old_way(content: &[u8]) -> Option<Found> {
    let text = normalise(content);
    text.split(|b| *b == b'\n')
        .any(|line| line.starts_with(b"Proc-Type:") && contains(line, b"ENCRYPTED"))
        .then_some(ENCRYPTED_THE_OLD_WAY)
}

/// Whether it is PKCS#12.
pub(crate) fn is_pkcs12(content: &[u8]) -> bool {
    der(content).is_some_and(|found| found == PFX)
}

/// What a file is in which there is not what was wanted.
pub(crate) fn found(content: &[u8]) -> Option<Found> {
    let utf16 = content.starts_with(b"\xff\xfe")
        || content.starts_with(b"\xfe\xff")
        || contains(content, b"-\0-\0-\0");
    if utf16 {
        return Some(Found {
            what: "text in UTF-16",
            fix: "write it as UTF-8; `>` of Windows PowerShell writes UTF-16",
        });
    }
    if content.iter().all(u8::is_ascii_whitespace) {
        return Some(Found {
            what: "empty",
            fix: "whoever writes it has not done so yet",
        });
    }
    if let Some(found) = encrypted_the_old_way(content) {
        return Some(found);
    }
    let known = |label: &str| LABELS.iter().find(|(known, _)| *known == label);
    if let Some((_, found)) = labels(&normalise(content)).find_map(|label| known(&label)) {
        return Some(*found);
    }
    if let Some(found) = der(content) {
        return Some(found);
    }
    let text = String::from_utf8_lossy(content.get(..64).unwrap_or(content));
    let text = text.trim_start();
    if text.starts_with('{') {
        return Some(if contains(content, b"\"kty\"") {
            Found {
                what: "a JSON Web Key (JWK)",
                fix: "write the key as PEM (PKCS#8)",
            }
        } else {
            Found {
                what: "JSON",
                fix: "name a PEM file",
            }
        });
    }
    let mut beginnings = BEGINNINGS.iter();
    let (_, found) = beginnings.find(|(beginning, _)| text.starts_with(beginning))?;
    // SEQUENCE of two bytes of length, INTEGER 3, SEQUENCE
    if text.starts_with("MII") && text.get(6..10) == Some("IBAz") {
        return Some(PKCS12_IN_BASE64);
    }
    Some(*found)
}

/// Why a key that could be read is none that could be used.
pub(crate) fn unusable_key(der: &[u8]) -> &'static str {
    ALGORITHMS
        .iter()
        .find(|(identifier, _)| contains(der, identifier))
        .map_or(
            "it is damaged, or of a kind that is not known; use an RSA key of 2048 to 8192 bits, or P-256",
            |(_, reason)| reason,
        )
}

/// What a file in DER or BER is, by its outermost fields.
fn der(content: &[u8]) -> Option<Found> {
    if content.starts_with(b"\xfe\xed\xfe\xed") {
        return Some(Found {
            what: "a Java key store",
            fix: "convert it: keytool -importkeystore -srckeystore OLD -destkeystore NEW -deststoretype pkcs12",
        });
    }
    if CertificateInner::<Raw>::from_der(content).is_ok() {
        return Some(DER_CERTIFICATE);
    }
    let inside = sequence(content)?;
    match inside {
        [0x02, 0x01, 0x03, 0x30, ..] => Some(PFX),
        // a version, and then the algorithm of PKCS#8, the modulus of PKCS#1, or the key of SEC 1
        [0x02, 0x01, 0x00, 0x30 | 0x02, ..] | [0x02, 0x01, 0x01, 0x04 | 0x30, ..] => Some(DER_KEY),
        _ if inside.starts_with(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07") => Some(PKCS7),
        [0x30, ..] => {
            let first = sequence(inside)?;
            if [
                &b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05"[..],
                b"\x06\x0a\x2a\x86\x48\x86\xf7\x0d\x01\x0c",
            ]
            .iter()
            .any(|scheme| first.starts_with(scheme))
            {
                Some(Found {
                    what: "an encrypted private key in DER",
                    fix: "write it as PEM with the same password: openssl pkcs8 -topk8 -inform der -in OLD -out NEW",
                })
            } else if first.starts_with(b"\x06") {
                Some(PUBLIC_KEY)
            } else {
                Some(REQUEST)
            }
        }
        _ => None,
    }
}

/// What follows the header of a sequence, also of one of indefinite length.
fn sequence(content: &[u8]) -> Option<&[u8]> {
    let (tag, rest) = content.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *tag != 0x30 {
        return None;
    }
    match length {
        0x00..=0x80 => Some(rest),
        // so many bytes of length follow
        0x81..=0x84 => rest.get(usize::from(length & 0x7f)..),
        _ => None,
    }
}

/// The labels of the sections of a normalised text, in their order.
fn labels(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    text.split(|b| *b == b'\n')
        .filter_map(|line| line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))
        .map(|label| String::from_utf8_lossy(label).into_owned())
}

fn contains(content: &[u8], part: &[u8]) -> bool {
    content.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests;
