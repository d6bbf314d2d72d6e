//! Certificates whose key the filter signs with: read through the listener of the token files, held while an exchange is
//! under way, and used by Envoy's own `sign` function. Envoy signs with PKCS#1 v1.5 and ECDSA; with PSS the module signs by itself, if
//! it is the full one.

use base64::Engine as _;
use edgepass_core::config::CertificateFiles;
use edgepass_core::{
    Algorithm, BASE64, CertificateError, CertificateHandle, OpenedCertificate, SecretBytes, Table,
};

use crate::host::{self, SignError};

/// How often the files are read again when they change meanwhile. A rotation is one change.
const MAX_ATTEMPTS: u32 = 3;

/// Half of an ES256 signature (RFC 7518 section 3.4).
const P256_BYTES: usize = 32;

/// The certificates that are open.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    open: Table<CertificateHandle, Open>,
    opened: u64,
}

#[derive(Debug)]
struct Open {
    /// What the configuration calls it.
    name: String,
    /// Unless it is for connections alone.
    key: Option<SecretBytes>,
}

impl Certificates {
    /// Opens a certificate on the connection alone: it and its key are Envoy's business.
    pub(crate) fn on_the_connection(&mut self, name: String) -> OpenedCertificate {
        self.add(name, None, Vec::new())
    }

    pub(crate) fn close(&mut self, certificate: CertificateHandle) {
        self.open.remove(&certificate);
    }

    /// The name of an open one.
    pub(crate) fn name(&self, certificate: CertificateHandle) -> Option<&str> {
        self.open.get(&certificate).map(|open| open.name.as_str())
    }

    fn add(
        &mut self,
        name: String,
        key: Option<SecretBytes>,
        certificate_chain: Vec<Vec<u8>>,
    ) -> OpenedCertificate {
        self.opened += 1;
        let handle = CertificateHandle(self.opened);
        self.open.insert(handle, Open { name, key });
        OpenedCertificate {
            handle,
            certificate_chain,
            // Envoy gets its certificates from files
            issuance: None,
        }
    }

    /// Signs with an open certificate's key, at once and on this worker: an RSA key of 2048 bits takes Envoy a millisecond,
    /// and this module twenty.
    pub(crate) fn sign(
        &self,
        certificate: CertificateHandle,
        algorithm: Algorithm,
        input: &[u8],
    ) -> Result<Vec<u8>, CertificateError> {
        let key = self
            .open
            .get(&certificate)
            .and_then(|open| open.key.as_ref())
            .ok_or(CertificateError::NotFound)?;
        #[cfg(feature = "every-credential")]
        if algorithm == Algorithm::Ps256 {
            return crate::ps256::sign(key.expose(), input, &mut host::Random);
        }
        let signature = host::sign_sha256(key.expose(), input).map_err(|error| match error {
            SignError::Missing => CertificateError::Other(
                "this Envoy has no function `sign`, which came with 1.37".to_owned(),
            ),
            SignError::Forbidden => CertificateError::Other(
                "Envoy refused to sign; is proxy_call_foreign_function among the plugin's capabilities?"
                    .to_owned(),
            ),
            SignError::BadKey => CertificateError::Unavailable(
                "Envoy cannot sign with its private key; give it as PKCS#8 or PKCS#1 in PEM, without a passphrase"
                    .to_owned(),
            ),
        })?;
        match algorithm {
            // an EC key would have made a short signature of another kind
            Algorithm::Rs256 if signature.len() >= 256 => Ok(signature),
            Algorithm::Es256 => {
                concatenated(&signature).ok_or(CertificateError::UnsupportedAlgorithm)
            }
            _ => Err(CertificateError::UnsupportedAlgorithm),
        }
    }

    /// Nothing, if the key is not one of these certificates'.
    fn open(
        &mut self,
        name: &str,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<Option<OpenedCertificate>, CertificateError> {
        let mut chain = chain(certificate).unwrap_or_default();
        if chain.is_empty() {
            return Err(unavailable("its certificate_file has no PEM certificate"));
        }
        let (key, body) = private_key(key).ok_or_else(|| {
            unavailable("neither private_key_file nor certificate_file has a private key in PEM")
        })?;
        let private = der(body).map(SecretBytes::new);
        if let Some(public) = private.as_ref().and_then(|key| public_key(key.expose())) {
            let Some(at) = chain.iter().position(|one| has(one, public)) else {
                return Ok(None);
            };
            // whoever checks an assertion looks for the key's own in the first place, and behind it for what signed it, which
            // some files have in front
            if let Some(first) = chain.get_mut(..=at) {
                first.reverse();
            }
        }
        Ok(Some(self.add(name.to_owned(), Some(key), chain)))
    }
}

fn unavailable(what: &str) -> CertificateError {
    CertificateError::Unavailable(what.to_owned())
}

/// The files of a certificate that is being opened. They are read one after the other and may be replaced in between, so
/// they are read again where the key is another certificate's.
#[derive(Debug)]
pub(crate) struct Opening {
    name: String,
    files: CertificateFiles,
    certificate: Option<SecretBytes>,
    attempts: u32,
}

/// What to do next about a certificate that is being opened.
pub(crate) enum Step {
    Read(String, Opening),
    Done(OpenedCertificate),
}

impl Opening {
    pub(crate) fn new(name: String, files: CertificateFiles) -> Self {
        Self {
            name,
            files,
            certificate: None,
            attempts: 0,
        }
    }

    /// The first file to read.
    pub(crate) fn path(&self) -> &str {
        &self.files.certificate_file
    }

    /// Takes in the file that was asked for last.
    pub(crate) fn read(
        mut self,
        content: SecretBytes,
        certificates: &mut Certificates,
    ) -> Result<Step, CertificateError> {
        // both may be in one file, which is replaced as one
        let certificate = match (self.certificate.take(), &self.files.private_key_file) {
            (Some(certificate), _) => Some(certificate),
            (None, None) => None,
            (None, Some(key_file)) => {
                let key_file = key_file.clone();
                self.certificate = Some(content);
                return Ok(Step::Read(key_file, self));
            }
        };
        let of = certificate.as_ref().unwrap_or(&content);
        if let Some(opened) = certificates.open(&self.name, of.expose(), content.expose())? {
            return Ok(Step::Done(opened));
        }
        self.attempts += 1;
        if self.attempts >= MAX_ATTEMPTS {
            return Err(unavailable(
                "the private key does not belong to the certificate",
            ));
        }
        Ok(Step::Read(self.files.certificate_file.clone(), self))
    }
}

/// What a certificate has of the public key that belongs to this private one, which is that key alone's: the modulus of RSA
/// (RFC 8017 appendix A.1.2, the first long number), the point of P-256 (RFC 5915 section 3, at the end; it may be left out).
fn public_key(der: &[u8]) -> Option<&[u8]> {
    if let Some((rest, point)) = der.split_last_chunk::<{ 2 * P256_BYTES }>()
        && rest.ends_with(&[3, 0x42, 0, 4])
    {
        return Some(point);
    }
    let at = der
        .windows(5)
        .position(|bytes| matches!(bytes, [2, 0x82, _, _, 0]))?;
    let rest = der.get(at + 2..)?;
    let (length, rest) = rest.split_first_chunk()?;
    rest.get(1..usize::from(u16::from_be_bytes(*length)))
}

fn has(certificate: &[u8], public: &[u8]) -> bool {
    certificate.windows(public.len()).any(|part| part == public)
}

/// What is in a PEM file: each label, and what it encloses. Nothing, if one of them does not end.
fn frames(pem: &str) -> Option<Vec<(&str, &str)>> {
    fn frame(rest: &str) -> Option<(&str, &str)> {
        let (label, rest) = rest.split_once("-----")?;
        Some((label, rest.split_once("-----END ")?.0))
    }
    pem.split("-----BEGIN ").skip(1).map(frame).collect()
}

/// What a frame encloses, DER.
fn der(body: &str) -> Option<Vec<u8>> {
    let body: String = body.split_ascii_whitespace().collect();
    // it may be a key
    BASE64.decode(SecretBytes::new(body).expose()).ok()
}

/// The certificates of a PEM file, DER, in its order.
fn chain(pem: &[u8]) -> Option<Vec<Vec<u8>>> {
    let pem = String::from_utf8_lossy(pem);
    let mut frames = frames(&pem)?;
    frames.retain(|(label, _)| *label == "CERTIFICATE");
    frames.into_iter().map(|(_, body)| der(body)).collect()
}

/// The first private key of a PEM file: with its frame, and what that encloses.
fn private_key(pem: &[u8]) -> Option<(SecretBytes, &str)> {
    // `PRIVATE KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`
    let mut frames = frames(std::str::from_utf8(pem).ok()?)?.into_iter();
    let (label, body) = frames.find(|(label, _)| label.ends_with("PRIVATE KEY"))?;
    let framed = format!("-----BEGIN {label}-----{body}-----END {label}-----");
    Some((SecretBytes::new(framed), body))
}

/// An ECDSA signature as JOSE wants it: both numbers in full length, where X9.62 has a DER sequence of two.
fn concatenated(der: &[u8]) -> Option<Vec<u8>> {
    let body = der.strip_prefix(&[0x30])?;
    let (length, body) = body.split_first()?;
    if usize::from(*length) != body.len() {
        return None;
    }
    let mut out = Vec::with_capacity(2 * P256_BYTES);
    let rest = integer(integer(body, &mut out)?, &mut out)?;
    rest.is_empty().then_some(out)
}

/// Takes an integer off, and writes it with leading zeros.
fn integer<'a>(der: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (length, rest) = der.strip_prefix(&[0x02])?.split_first()?;
    let (number, rest) = rest.split_at_checked(usize::from(*length))?;
    let number = number.strip_prefix(&[0]).unwrap_or(number);
    let zeros = P256_BYTES.checked_sub(number.len())?;
    out.extend(std::iter::repeat_n(0, zeros));
    out.extend_from_slice(number);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nBAUG\n-----END RSA PRIVATE KEY-----";

    fn files(key: Option<&str>) -> CertificateFiles {
        CertificateFiles {
            certificate_file: "/c".to_owned(),
            private_key_file: key.map(str::to_owned),
            ..CertificateFiles::default()
        }
    }

    fn bytes(text: &str) -> SecretBytes {
        SecretBytes::new(text)
    }

    /// A frame of PEM around what is encoded.
    fn framed(label: &str, der: &[u8]) -> String {
        let body = BASE64.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    /// A modulus, or with 64 bytes a point, of which there is one for each number.
    fn public(number: u8, length: usize) -> Vec<u8> {
        (0..length)
            .map(|at| {
                number
                    .wrapping_mul(31)
                    .wrapping_add(u8::try_from(at % 251).unwrap())
            })
            .collect()
    }

    /// Where RFC 8017 appendix A.1.2 has the modulus: in a sequence of 2048 bits, behind the version.
    fn rsa_key(modulus: &[u8]) -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 0x04, 0xa4, 2, 1, 0, 2, 0x82, 1, 1, 0];
        der.extend_from_slice(modulus);
        der.extend([2, 3, 1, 0, 1]);
        der.extend([2, 0x82, 1, 0, 9].repeat(30));
        der
    }

    /// RFC 5958: a version and an algorithm, and the key in a string.
    fn pkcs8(key: &[u8]) -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 0x04, 0xbe, 2, 1, 0, 0x30, 13, 6, 9];
        der.extend([
            0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0, 4, 0x82, 4, 0xa8,
        ]);
        der.extend_from_slice(key);
        der
    }

    /// RFC 5915 section 3, for P-256, with or without its point.
    fn ec_key(point: Option<&[u8]>) -> Vec<u8> {
        let mut der = vec![0x30, 0x77, 2, 1, 1, 4, 32];
        der.extend([0x5a; 32]);
        if let Some(point) = point {
            der.extend([0xa1, 0x44, 3, 0x42, 0, 4]);
            der.extend_from_slice(point);
        }
        der
    }

    fn certificate(public: &[u8]) -> Vec<u8> {
        [b"before", public, b"after"].concat()
    }

    #[test]
    fn a_chain_is_all_certificates_in_order() {
        let pem = format!(
            "friendlyName: caf\u{e9}\n{CERTIFICATE}{KEY}\n-----BEGIN CERTIFICATE-----\r\nBw\r\n==\r\n-----END CERTIFICATE-----"
        );
        assert_eq!(chain(pem.as_bytes()), Some(vec![vec![1, 2, 3], vec![7]]));
        assert_eq!(chain(b"nothing of the kind"), Some(Vec::new()));
        for broken in [
            "-----BEGIN CERTIFICATE-----\nAQID\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        ] {
            assert_eq!(chain(broken.as_bytes()), None, "{broken}");
            let behind = format!("{CERTIFICATE}{broken}");
            assert_eq!(chain(behind.as_bytes()), None, "{behind}");
        }
    }

    #[test]
    fn the_key_is_found_among_certificates() {
        let pem = format!("{CERTIFICATE}{KEY}\n{CERTIFICATE}");
        let (framed, body) = private_key(pem.as_bytes()).unwrap();
        assert_eq!(framed.expose(), KEY.as_bytes());
        assert_eq!(der(body), Some(vec![4, 5, 6]));
        assert!(private_key(CERTIFICATE.as_bytes()).is_none());
        assert!(private_key(b"-----BEGIN PRIVATE KEY-----\nBAUG").is_none());
    }

    #[test]
    fn the_public_part_of_a_key_is_found_in_each_of_its_forms() {
        let (modulus, large, point) = (public(1, 256), public(2, 512), public(3, 64));
        let mut rsa_4096 = vec![0x30, 0x82, 0x09, 0x29, 2, 1, 0, 2, 0x82, 2, 1, 0];
        rsa_4096.extend_from_slice(&large);
        rsa_4096.extend([2, 3, 1, 0, 1]);
        for (what, der, expected) in [
            ("PKCS#1", rsa_key(&modulus), Some(&modulus)),
            ("PKCS#8 of RSA", pkcs8(&rsa_key(&modulus)), Some(&modulus)),
            ("4096 bits", rsa_4096, Some(&large)),
            ("SEC1", ec_key(Some(&point)), Some(&point)),
            (
                "PKCS#8 of P-256",
                pkcs8(&ec_key(Some(&point))),
                Some(&point),
            ),
            ("without its point", ec_key(None), None),
            ("cut short", rsa_key(&modulus)[..200].to_vec(), None),
            ("nothing", Vec::new(), None),
            ("a length of nothing", vec![2, 0x82, 0, 0, 0], None),
        ] {
            assert_eq!(public_key(&der), expected.map(Vec::as_slice), "{what}");
        }
    }

    #[test]
    fn the_keys_own_certificate_goes_first() {
        let of = |number| certificate(&public(number, 256));
        let key = framed("PRIVATE KEY", &pkcs8(&rsa_key(&public(1, 256))));
        for (order, expected) in [
            (vec![1], vec![1]),
            (vec![1, 2, 3], vec![1, 2, 3]),
            (vec![2, 1, 3], vec![1, 2, 3]),
            (vec![3, 2, 1], vec![1, 2, 3]),
        ] {
            let pem: String = order
                .iter()
                .map(|number| framed("CERTIFICATE", &of(*number)))
                .collect();
            let mut certificates = Certificates::default();
            let opened = certificates.open("k", pem.as_bytes(), key.as_bytes());
            let expected: Vec<_> = expected.into_iter().map(of).collect();
            assert_eq!(
                opened.unwrap().unwrap().certificate_chain,
                expected,
                "{order:?}"
            );
            let strangers = framed("CERTIFICATE", &of(4));
            assert!(matches!(
                certificates.open("k", strangers.as_bytes(), key.as_bytes()),
                Ok(None)
            ));
        }
    }

    #[test]
    fn one_file_with_both_is_read_once() {
        let mut certificates = Certificates::default();
        let content = bytes(&format!("{CERTIFICATE}{KEY}"));
        let opening = Opening::new("k".to_owned(), files(None));
        assert_eq!(opening.path(), "/c");
        let Ok(Step::Done(opened)) = opening.read(content, &mut certificates) else {
            panic!("it is open");
        };
        assert_eq!(opened.certificate_chain, [vec![1, 2, 3]]);
        assert_eq!(certificates.name(opened.handle), Some("k"));
        certificates.close(opened.handle);
        assert!(certificates.open.is_empty());
        assert_eq!(certificates.name(opened.handle), None);
    }

    /// Reads files that are replaced meanwhile: what is asked for, and what it has by then.
    fn reads(key: Option<&str>, asked: &[(&str, &str)]) -> Result<Step, CertificateError> {
        let mut certificates = Certificates::default();
        let mut opening = Opening::new("k".to_owned(), files(key));
        let mut path = opening.path().to_owned();
        let mut asked = asked.iter();
        loop {
            let (expected, content) = asked.next().unwrap_or_else(|| panic!("{path} is read"));
            assert_eq!(path, *expected);
            match opening.read(bytes(content), &mut certificates) {
                Ok(Step::Read(next, rest)) => (path, opening) = (next, rest),
                end => {
                    assert_eq!(asked.len(), 0, "as often as needed");
                    return end;
                }
            }
        }
    }

    #[test]
    fn files_are_read_until_the_key_is_the_certificates() {
        let key = |number| framed("RSA PRIVATE KEY", &rsa_key(&public(number, 256)));
        let der = |number| certificate(&public(number, 256));
        let pem = |number| framed("CERTIFICATE", &der(number));
        let (old_key, new_key, old, new) = (key(1), key(2), pem(1), pem(2));
        let both = [old.as_str(), &new_key].concat();
        for (what, key, asked, expected) in [
            (
                "they stand still",
                Some("/k"),
                vec![("/c", &old), ("/k", &old_key)],
                1,
            ),
            (
                "replaced in between",
                Some("/k"),
                vec![
                    ("/c", &old),
                    ("/k", &new_key),
                    ("/c", &new),
                    ("/k", &new_key),
                ],
                2,
            ),
            (
                "the key goes first, and the certificate waits for its turn",
                Some("/k"),
                vec![
                    ("/c", &old),
                    ("/k", &new_key),
                    ("/c", &old),
                    ("/k", &new_key),
                    ("/c", &new),
                    ("/k", &new_key),
                ],
                2,
            ),
            (
                "one file that is written piece by piece",
                None,
                vec![("/c", &both), ("/c", &[new.as_str(), &new_key].concat())],
                2,
            ),
        ] {
            match reads(
                key,
                &asked
                    .iter()
                    .map(|(path, content)| (*path, content.as_str()))
                    .collect::<Vec<_>>(),
            ) {
                Ok(Step::Done(opened)) => {
                    assert_eq!(opened.certificate_chain, [der(expected)], "{what}");
                }
                _ => panic!("{what}: it is open"),
            }
        }
        for (key, round) in [
            (
                Some("/k"),
                vec![("/c", old.as_str()), ("/k", new_key.as_str())],
            ),
            (None, vec![("/c", both.as_str())]),
        ] {
            let Err(CertificateError::Unavailable(said)) = reads(key, &round.repeat(3)) else {
                panic!("they do not belong together");
            };
            assert_eq!(said, "the private key does not belong to the certificate");
        }
    }

    #[test]
    fn signatures_of_curves_have_a_fixed_length() {
        let mut der = vec![0x30, 0x24, 0x02, 0x01, 0x05, 0x02, 0x1f];
        der.extend([0x11; 31]);
        let jose = concatenated(&der).unwrap();
        assert_eq!(jose.len(), 64);
        assert_eq!((jose[30], jose[31], jose[32], jose[33]), (0, 5, 0, 0x11));
        assert_eq!(concatenated(&der[..20]), None);
        assert_eq!(concatenated(&[0x30, 0x02, 0x02, 0x40]), None);
    }
}
