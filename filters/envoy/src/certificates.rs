//! Certificates whose key the filter signs with: read through the listener of the token files, held while an exchange is
//! under way, and used by Envoy's own `sign` function. Envoy signs with PKCS#1 v1.5 and ECDSA; with PSS the module signs by itself, if
//! it is the full one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edgepass_core::config::CertificateFiles;
use edgepass_core::{
    Algorithm, CertificateError, CertificateHandle, OpenedCertificate, SecretBytes, Table,
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

    fn open(
        &mut self,
        name: String,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<OpenedCertificate, CertificateError> {
        let unavailable = |what: &str| CertificateError::Unavailable(what.to_owned());
        let certificate_chain = chain(certificate);
        if certificate_chain.is_empty() {
            return Err(unavailable("its certificate_file has no PEM certificate"));
        }
        let key = private_key(key).ok_or_else(|| {
            unavailable("neither private_key_file nor certificate_file has a private key in PEM")
        })?;
        Ok(self.add(name, Some(SecretBytes::new(key)), certificate_chain))
    }
}

/// The files of a certificate that is being opened. They are read one after the other, so the certificate is read once
/// more at the end: if it is another one by then, certificate and key may not belong together.
#[derive(Debug)]
pub(crate) struct Opening {
    name: String,
    files: CertificateFiles,
    certificate: Option<SecretBytes>,
    key: Option<SecretBytes>,
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
            key: None,
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
        let Some(key_file) = self.files.private_key_file.clone() else {
            // both are in one file, which is replaced as one
            return certificates
                .open(self.name, content.expose(), content.expose())
                .map(Step::Done);
        };
        let certificate_file = self.files.certificate_file.clone();
        match (self.certificate.take(), self.key.take()) {
            (None, _) => {
                self.certificate = Some(content);
                Ok(Step::Read(key_file, self))
            }
            (certificate, None) => {
                (self.certificate, self.key) = (certificate, Some(content));
                Ok(Step::Read(certificate_file, self))
            }
            (Some(before), Some(key)) if before == content => certificates
                .open(self.name, content.expose(), key.expose())
                .map(Step::Done),
            (Some(_), Some(_)) => {
                self.attempts += 1;
                if self.attempts >= MAX_ATTEMPTS {
                    return Err(CertificateError::Other(
                        "its files change while they are read".to_owned(),
                    ));
                }
                self.certificate = Some(content);
                Ok(Step::Read(key_file, self))
            }
        }
    }
}

/// The certificates of a PEM file, DER, in its order.
fn chain(pem: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(pem);
    let mut out = Vec::new();
    for part in text.split("-----BEGIN CERTIFICATE-----").skip(1) {
        let Some((body, _)) = part.split_once("-----END CERTIFICATE-----") else {
            return Vec::new();
        };
        let body: String = body.split_ascii_whitespace().collect();
        let Ok(der) = STANDARD.decode(body) else {
            return Vec::new();
        };
        out.push(der);
    }
    out
}

/// The first private key of a PEM file, with its frame.
fn private_key(pem: &[u8]) -> Option<&[u8]> {
    const END: &str = "PRIVATE KEY-----";
    let text = std::str::from_utf8(pem).ok()?;
    // `PRIVATE KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`
    let from = text
        .match_indices("-----BEGIN ")
        .map(|(at, _)| at)
        .find(|at| {
            let rest = text.get(*at..).unwrap_or_default();
            rest.lines()
                .next()
                .is_some_and(|line| line.trim_end().ends_with(END))
        })?;
    let rest = text.get(from..)?;
    let end = rest.find("-----END ")?;
    let last = rest.get(end..)?.find(END)?;
    rest.get(..end + last + END.len()).map(str::as_bytes)
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

    #[test]
    fn a_chain_is_all_certificates_in_order() {
        let pem = format!(
            "{CERTIFICATE}{KEY}\n-----BEGIN CERTIFICATE-----\r\nBw\r\n==\r\n-----END CERTIFICATE-----"
        );
        assert_eq!(chain(pem.as_bytes()), [vec![1, 2, 3], vec![7]]);
        assert!(chain(b"-----BEGIN CERTIFICATE-----\nAQID\n").is_empty());
        assert!(chain(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----").is_empty());
    }

    #[test]
    fn the_key_is_found_among_certificates() {
        let pem = format!("{CERTIFICATE}{KEY}\n{CERTIFICATE}");
        assert_eq!(private_key(pem.as_bytes()), Some(KEY.as_bytes()));
        assert_eq!(private_key(CERTIFICATE.as_bytes()), None);
        assert_eq!(private_key(b"-----BEGIN PRIVATE KEY-----\nBAUG"), None);
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

    #[test]
    fn two_files_are_read_until_they_stand_still() {
        let mut certificates = Certificates::default();
        let other = CERTIFICATE.replace("AQID", "AQIE");
        let mut step = Opening::new("k".to_owned(), files(Some("/k")))
            .read(bytes(CERTIFICATE), &mut certificates);
        for (path, content) in [
            ("/k", KEY),
            // rotated in between: the key may be the old one
            ("/c", other.as_str()),
            ("/k", KEY),
            ("/c", other.as_str()),
        ] {
            let Ok(Step::Read(asked, opening)) = step else {
                panic!("{path} is read");
            };
            assert_eq!(asked, path);
            step = opening.read(bytes(content), &mut certificates);
        }
        let Ok(Step::Done(opened)) = step else {
            panic!("it is open");
        };
        assert_eq!(opened.certificate_chain, [vec![1, 2, 4]]);
    }

    #[test]
    fn files_that_never_stand_still_are_an_error() {
        let mut certificates = Certificates::default();
        let mut step =
            Opening::new("k".to_owned(), files(Some("/k"))).read(bytes("0"), &mut certificates);
        let mut reads = 0;
        while let Ok(Step::Read(_, opening)) = step {
            reads += 1;
            step = opening.read(bytes(&reads.to_string()), &mut certificates);
        }
        assert_eq!(reads, 6);
        assert!(matches!(step, Err(CertificateError::Other(_))));
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
