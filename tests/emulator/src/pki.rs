//! The emulator's own certificate authority, its TLS configuration, and
//! client certificates.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize, SanType,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use sha1::Digest as _;

use crate::clock::{date_time, real_now};
use crate::credentials::Credentials;
use crate::encoding::sha256_url;
use crate::files::write_private;

/// How long the CA and the server certificate live: longer than any test or
/// demo, short enough that a CA left behind on a machine soon means nothing.
const SERVER_VALIDITY: i64 = 30 * DAY;

/// Certificates begin a day early, so that a client whose clock is behind
/// (which tests do on purpose) can still connect.
const BACKDATE: i64 = DAY;

const DAY: i64 = 86_400;

/// Names under which the emulator answers. `login.` and `mtlsauth.` exist for
/// clients that derive the mTLS host from the authority by Entra's rule.
const NAMES: &[&str] = &[
    "localhost",
    "login.localhost",
    "mtlsauth.localhost",
    "ciam.localhost",
    "vault.localhost",
    "*.localhost",
];

/// A CA that exists as long as the emulator and signs what it needs.
pub(crate) struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
    /// What the metadata service has issued, of which some may be refused in
    /// a handshake.
    pub(crate) credentials: Arc<Credentials>,
}

impl Pki {
    /// A new CA with a key of its own.
    pub(crate) fn generate() -> Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "edgepass-emulator CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, -BACKDATE, SERVER_VALIDITY);
        Ok(Self {
            ca: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            credentials: Arc::default(),
        })
    }

    /// What clients must trust.
    pub(crate) fn ca_pem(&self) -> String {
        self.ca.pem()
    }

    /// A server certificate for these names alone: its chain, and the key in PKCS#8.
    pub(crate) fn server_certificate(
        &self,
        names: &[String],
    ) -> Result<(Vec<CertificateDer<'static>>, Vec<u8>)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, -BACKDATE, SERVER_VALIDITY);
        let certificate = params.signed_by(&key, &self.ca)?;
        let chain = vec![certificate.der().clone(), self.ca.der().clone()];
        Ok((chain, key.serialize_der()))
    }

    /// TLS with such a certificate, for clients that show none.
    pub(crate) fn server_config(&self, names: &[String]) -> Result<ServerConfig> {
        let (chain, key) = self.server_certificate(names)?;
        anonymous_clients(chain, key)
    }

    /// TLS for both listeners; they differ in whether a handshake without a
    /// client certificate succeeds.
    pub(crate) fn server_configs(&self, extra_names: &[String]) -> Result<[Arc<ServerConfig>; 2]> {
        let key = KeyPair::generate()?;
        let names = NAMES
            .iter()
            .map(ToString::to_string)
            .chain(extra_names.iter().cloned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
        for address in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        params
            .distinguished_name
            .push(DnType::CommonName, "localhost");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, -BACKDATE, SERVER_VALIDITY);
        let certificate = params.signed_by(&key, &self.ca)?;

        let build = |mandatory| -> Result<Arc<ServerConfig>> {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = AnyClientCertificate {
                provider: Arc::clone(&provider),
                mandatory,
                credentials: Arc::clone(&self.credentials),
            };
            let mut config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_client_cert_verifier(Arc::new(verifier))
                .with_single_cert(
                    vec![certificate.der().clone(), self.ca.der().clone()],
                    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
                )?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok(Arc::new(config))
        };
        Ok([build(false)?, build(true)?])
    }

    /// TLS with a certificate that signed itself and names nobody who asks, as
    /// a cluster of Service Fabric makes it, and its SHA-1 thumbprint.
    pub(crate) fn fabric_config() -> Result<(Arc<ServerConfig>, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["ServiceFabricMI.example".to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "ServiceFabricMI");
        set_validity(&mut params, -BACKDATE, SERVER_VALIDITY);
        let certificate = params.self_signed(&key)?;
        let digest = sha1::Sha1::digest(certificate.der());
        let thumbprint = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        let chain = vec![certificate.der().clone()];
        let config = anonymous_clients(chain, key.serialize_der())?;
        Ok((Arc::new(config), thumbprint))
    }

    /// A certificate of the CA for that key, from now on.
    pub(crate) fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        lifetime: i64,
    ) -> Result<Vec<u8>> {
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, 0, lifetime);
        Ok(params.signed_by(key, &self.ca)?.der().to_vec())
    }

    /// A certificate of the CA with a new RSA key for a workload of that SPIFFE
    /// ID (X.509-SVID section 5: the ID is the one URI in it).
    pub(crate) fn svid(&self, id: &str) -> Result<ClientCertificate> {
        let key = new_rsa_key()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(id.try_into()?));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, -BACKDATE, DAY);
        let certificate = params.signed_by(&key, &self.ca)?;
        Ok(ClientCertificate {
            certificate_pem: certificate.pem(),
            private_key_pem: key.serialize_pem(),
            thumbprint: sha256_url(certificate.der()),
            chain: vec![certificate.der().to_vec(), self.ca.der().to_vec()],
        })
    }

    /// A client certificate with a new RSA key.
    pub(crate) fn client_certificate(
        &self,
        common_name: &str,
        options: &CertificateOptions,
    ) -> Result<ClientCertificate> {
        let size = match options.key_bits {
            3072 => RsaKeySize::_3072,
            4096 => RsaKeySize::_4096,
            _ => RsaKeySize::_2048,
        };
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)?;
        self.certify(&key, common_name, options)
    }

    /// A client certificate for a key that is already there.
    pub(crate) fn certify(
        &self,
        key: &KeyPair,
        common_name: &str,
        options: &CertificateOptions,
    ) -> Result<ClientCertificate> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        set_validity(&mut params, options.not_before_in, options.not_after_in);
        let (certificate, chain) = if options.issued_by_ca {
            params.use_authority_key_identifier_extension = true;
            let certificate = params.signed_by(key, &self.ca)?;
            let chain = vec![certificate.der().to_vec(), self.ca.der().to_vec()];
            (certificate, chain)
        } else {
            let certificate = params.self_signed(key)?;
            let chain = vec![certificate.der().to_vec()];
            (certificate, chain)
        };
        Ok(ClientCertificate {
            certificate_pem: certificate.pem(),
            private_key_pem: key.serialize_pem(),
            thumbprint: sha256_url(certificate.der()),
            chain,
        })
    }
}

/// How a client certificate is made.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CertificateOptions {
    /// Seconds from now to the start of validity.
    pub not_before_in: i64,
    /// Seconds from now to the end of validity.
    pub not_after_in: i64,
    /// Signed by the emulator's CA, where the default signs itself.
    pub issued_by_ca: bool,
    /// RSA key size: 2048, 3072 or 4096.
    pub key_bits: u32,
}

impl Default for CertificateOptions {
    fn default() -> Self {
        Self {
            not_before_in: -BACKDATE,
            not_after_in: SERVER_VALIDITY,
            issued_by_ca: false,
            key_bits: 2048,
        }
    }
}

/// A client certificate and its private key.
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// The certificate alone, PEM.
    pub certificate_pem: String,
    /// The PKCS#8 private key, PEM.
    pub private_key_pem: String,
    /// Base64url SHA-256 of the certificate: what `x5t#S256` must be.
    pub thumbprint: String,
    /// DER of the certificate and what signed it, leaf first: `x5c`.
    pub chain: Vec<Vec<u8>>,
}

impl ClientCertificate {
    /// Writes the certificate and, readable by its owner alone, the key.
    pub fn write(&self, certificate: &Path, private_key: &Path) -> Result<()> {
        fs::write(certificate, &self.certificate_pem)
            .with_context(|| format!("cannot write {}", certificate.display()))?;
        write_private(private_key, self.private_key_pem.as_bytes())
    }
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// Names a key that is made once per process.
pub(crate) type KeySlot = OnceLock<String>;

/// The RSA key of a slot. Making such keys is what a start would spend its
/// time on, and a test binary starts many emulators: in one process they share
/// the keys they begin with, each certified anew.
pub(crate) fn process_key(slot: &'static KeySlot) -> Result<KeyPair> {
    let pem = match slot.get() {
        Some(pem) => pem.clone(),
        None => {
            let made = new_rsa_key()?.serialize_pem();
            slot.get_or_init(|| made).clone()
        }
    };
    Ok(KeyPair::from_pkcs8_pem_and_sign_algo(
        &pem,
        &PKCS_RSA_SHA256,
    )?)
}

/// A new RSA-2048 key.
pub(crate) fn new_rsa_key() -> Result<KeyPair> {
    Ok(KeyPair::generate_rsa_for(
        &PKCS_RSA_SHA256,
        RsaKeySize::_2048,
    )?)
}

fn anonymous_clients(chain: Vec<CertificateDer<'static>>, key: Vec<u8>) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key)))?)
}

fn set_validity(params: &mut CertificateParams, from: i64, to: i64) {
    params.not_before = date_time(real_now().saturating_add(from));
    params.not_after = date_time(real_now().saturating_add(to));
}

/// Takes any certificate whose key signed the handshake. Whether it is
/// registered is the token endpoint's question, which answers it in JSON the
/// way Entra does, not with a TLS alert.
#[derive(Debug)]
struct AnyClientCertificate {
    provider: Arc<CryptoProvider>,
    mandatory: bool,
    credentials: Arc<Credentials>,
}

impl ClientCertVerifier for AnyClientCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.credentials.refuses(&sha256_url(end_entity)) {
            return Err(rustls::CertificateError::Revoked.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // by the key alone: the rules for servers' certificates, of which one is that there is no version 1, are not for
        // a client's
        let (_, certificate) = x509_parser::parse_x509_certificate(certificate)
            .map_err(|_| rustls::CertificateError::BadEncoding)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.tbs_certificate.subject_pki.raw);
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
