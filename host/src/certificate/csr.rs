//! A certification request (PKCS#10, RFC 2986) in the form that Azure's metadata service takes: signed with RSA-PSS, with the
//! identity of the machine as an attribute.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use edgepass_core::Algorithm;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, SetOfVec, Utf8StringRef};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use zeroize::Zeroizing;

use super::pair::SigningKey;

/// The attribute that names the machine (`cuId`), as JSON.
const CU_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.90.2.10");

/// `id-RSASSA-PSS` (RFC 4055 section 3).
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");

/// `RSASSA-PSS-params` (RFC 4055 section 3.1): SHA-256, MGF1 with SHA-256, and a salt as long as the digest. So signs PS256
/// (RFC 7518 section 3.5).
const PSS_SHA256: &[u8] = b"\x30\x34\
    \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
    \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
    \xa2\x03\x02\x01\x20";

/// A new RSA key of 2048 bits, and the request for a certificate for it.
pub(super) struct Requested {
    pub(super) key: Zeroizing<PrivateKeyDer<'static>>,
    /// DER.
    pub(super) request: Vec<u8>,
}

/// Makes the key and signs with it: a tenth of a second, call it where blocking is allowed. The IDs are of letters, digits,
/// `.` and `-` alone.
pub(super) fn new(client_id: &str, tenant_id: &str, cu_id: &str) -> Result<Requested, String> {
    let key = KeyPair::generate(KeySize::Rsa2048).map_err(|e| format!("no key was made: {e}"))?;
    let private: Pkcs8V1Der<'_> = key.as_der().map_err(|e| e.to_string())?;
    let private = PrivatePkcs8KeyDer::from(private.as_ref().to_vec());
    let private = Zeroizing::new(PrivateKeyDer::from(private));
    let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|e| e.to_string())?;
    let signing = SigningKey::Rsa(Box::new(key));
    let request = written(client_id, tenant_id, cu_id, public.as_ref(), |info| {
        let signed = signing.sign(Algorithm::Ps256, info);
        signed.map_err(|_| "the key does not sign PS256")
    });
    Ok(Requested {
        key: private,
        request: request.map_err(|e| format!("no request was written: {e}"))?,
    })
}

fn written<E: fmt::Display>(
    client_id: &str,
    tenant_id: &str,
    cu_id: &str,
    public_key: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, String> {
    let info = info(client_id, tenant_id, cu_id, public_key).map_err(|e| e.to_string())?;
    let signed = info.to_der().map_err(|e| e.to_string())?;
    let signature = sign(&signed).map_err(|e| format!("it was not signed: {e}"))?;
    request(info, &signature).map_err(|e| e.to_string())
}

/// What is signed.
fn info(
    client_id: &str,
    tenant_id: &str,
    cu_id: &str,
    public_key: &[u8],
) -> x509_cert::der::Result<CertReqInfo> {
    let name: Name = format!("CN={client_id},DC={tenant_id}").parse()?;
    let mut values = SetOfVec::new();
    values.insert(Any::encode_from(&Utf8StringRef::new(cu_id)?)?)?;
    let mut attributes = SetOfVec::new();
    attributes.insert(Attribute { oid: CU_ID, values })?;
    Ok(CertReqInfo {
        version: Version::V1,
        subject: name,
        public_key: SubjectPublicKeyInfoOwned::from_der(public_key)?,
        attributes,
    })
}

fn request(info: CertReqInfo, signature: &[u8]) -> x509_cert::der::Result<Vec<u8>> {
    CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned {
            oid: RSASSA_PSS,
            parameters: Some(Any::from_der(PSS_SHA256)?),
        },
        signature: BitString::from_bytes(signature)?,
    }
    .to_der()
}
