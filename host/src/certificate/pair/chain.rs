//! The order of a chain: the key's certificate first, each followed by its issuer's.

use rustls::pki_types::CertificateDer;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectKeyIdentifier};

/// Why no certificate of a chain was found to be the key's.
pub(super) enum NotFound {
    /// None could be read, for this reason.
    Unreadable(String),
    /// They have other public keys.
    OtherKeys,
}

/// What a chain is sorted by; nothing of it if the certificate could not be read.
#[derive(Default)]
pub(super) struct ChainCertificate {
    pub(super) der: Option<CertificateDer<'static>>,
    pub(super) subject: Name,
    /// As it is written.
    pub(super) shown: String,
    pub(super) issuer: Name,
    pub(super) public_key: Vec<u8>,
    /// Of its key, and of the key that signed it (RFC 5280 sections 4.2.1.1 and 4.2.1.2).
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) issuer_key_id: Option<Vec<u8>>,
}

/// A name in the form in which two of them are compared (RFC 5280 section 7.1): upper and lower case are the same, and so
/// are the types of strings and the number of blanks.
#[derive(Clone, Default, Eq, PartialEq)]
pub(super) struct Name(pub(super) String);

impl Name {
    pub(super) fn of(name: &x509_cert::name::Name) -> Self {
        let text = name.to_string().to_lowercase();
        Self(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

impl ChainCertificate {
    fn is_its_own_issuer(&self) -> bool {
        self.subject == self.issuer
    }

    /// How well another fits as its issuer: by the key's identifier and the name, or by one of the two.
    pub(super) fn issued_by(&self, other: &Self) -> u8 {
        let by_key = self.issuer_key_id.is_some() && self.issuer_key_id == other.key_id;
        let by_name = self.issuer == other.subject && !other.public_key.is_empty();
        2 * u8::from(by_key) + u8::from(by_name)
    }
}

/// The chain with the key's certificate first, each certificate followed by its issuer's, and the subjects of those that
/// are not of it: what is sent is what the peer needs, and nothing of other certificates that stand in the file.
pub(super) fn leaf_first(
    chain: &[CertificateDer<'static>],
    public_key: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, Vec<String>), NotFound> {
    let mut unreadable = None;
    let mut certificates: Vec<ChainCertificate> = Vec::with_capacity(chain.len());
    for der in chain {
        let certificate = chain_certificate(der).unwrap_or_else(|e| {
            unreadable.get_or_insert_with(|| e.to_string());
            ChainCertificate::default()
        });
        certificates.push(ChainCertificate {
            der: Some(der.clone()),
            ..certificate
        });
    }
    let Some(leaf) = certificates.iter().position(|e| e.public_key == public_key) else {
        return Err(unreadable.map_or(NotFound::OtherKeys, NotFound::Unreadable));
    };
    let mut last = certificates.remove(leaf);
    let mut sorted: Vec<_> = last.der.iter().cloned().collect();
    while !last.is_its_own_issuer() {
        // of two that fit alike the first
        let rated = certificates.iter().enumerate().rev();
        let rated = rated.map(|(at, certificate)| (last.issued_by(certificate), at));
        let Some((1.., at)) = rated.max_by_key(|(fit, _)| *fit) else {
            break;
        };
        last = certificates.remove(at);
        sorted.extend(last.der.iter().cloned());
    }
    let left_out = certificates
        .into_iter()
        .map(|certificate| certificate.shown);
    Ok((sorted, left_out.collect()))
}

/// Names and keys of a certificate of any version.
pub(super) fn chain_certificate(der: &[u8]) -> x509_cert::der::Result<ChainCertificate> {
    let certificate = read(der)?;
    let certificate = certificate.tbs_certificate();
    let public_key = &certificate.subject_public_key_info().subject_public_key;
    // extensions that cannot be read say nothing
    let key_id = certificate.get_extension::<SubjectKeyIdentifier>();
    let issuer_key_id = certificate.get_extension::<AuthorityKeyIdentifier>();
    Ok(ChainCertificate {
        der: None,
        subject: Name::of(certificate.subject()),
        shown: certificate.subject().to_string(),
        issuer: Name::of(certificate.issuer()),
        public_key: public_key.raw_bytes().to_vec(),
        key_id: key_id
            .ok()
            .flatten()
            .map(|(_, id)| id.0.as_bytes().to_vec()),
        issuer_key_id: issuer_key_id
            .ok()
            .flatten()
            .and_then(|(_, id)| Some(id.key_identifier?.as_bytes().to_vec())),
    })
}

/// By the profile that demands nothing of serial numbers and dates.
pub(super) fn read(der: &[u8]) -> x509_cert::der::Result<CertificateInner<Raw>> {
    CertificateInner::<Raw>::from_der(der)
}
