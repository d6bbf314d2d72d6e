//! The credential protocol of the metadata service, version 2: who the machine
//! is, and certificates for keys that it makes.
//!
//! Microsoft describes the requests and the good answers in the source of
//! MSAL. What the real service says when it wants an attested key is not
//! written down anywhere; the words here are the emulator's own.

use std::collections::BTreeSet;
use std::sync::Mutex;

use anyhow::Result;
use http::{Method, StatusCode};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, PKCS_RSA_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use serde_json::{Value, json};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_DOMAIN_COMPONENT, OID_PKCS1_RSASSAPSS};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use crate::encoding::{base64, from_base64, sha256_url};
use crate::lock;
use crate::metadata::{Parameters, Refusal, identity, refuse_forwarded, require_metadata};
use crate::registry::ManagedIdentity;
use crate::request::Call;
use crate::world::World;

/// The version that is known.
const VERSION: &str = "2.0";

/// How long a certificate lives: a week, as Azure's.
const LIFETIME: i64 = 7 * 86_400;

/// The machine, as its metadata names it.
const VM_ID: &str = "3d1f3f6a-0000-4000-8000-0000000000a1";
const SCALE_SET_ID: &str = "3d1f3f6a-0000-4000-8000-0000000000a2";

/// Names the machine in a request for a certificate.
///
/// DER of 1.3.6.1.4.1.311.90.2.10.
const CU_ID: &[u8] = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x5a\x02\x0a";

/// For which keys the metadata service issues certificates.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum MachineKeys {
    /// For any.
    #[default]
    Any,
    /// For keys in hardware that are attested.
    Attested,
    /// For none: the service knows version 1 alone.
    None,
}

/// What the service does, and what it has done.
#[derive(Debug)]
pub(crate) struct Credentials(Mutex<State>);

#[derive(Debug)]
struct State {
    keys: MachineKeys,
    lifetime: i64,
    /// How many of the next are refused in handshakes.
    refuse_next: usize,
    issued: Vec<Issued>,
    refused: BTreeSet<String>,
}

#[derive(Debug)]
struct Issued {
    client_id: String,
    thumbprint: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self(Mutex::new(State {
            keys: MachineKeys::default(),
            lifetime: LIFETIME,
            refuse_next: 0,
            issued: Vec::new(),
            refused: BTreeSet::new(),
        }))
    }
}

impl Credentials {
    pub(crate) fn set_keys(&self, keys: MachineKeys) {
        lock(&self.0).keys = keys;
    }

    pub(crate) fn set_lifetime(&self, seconds: i64) {
        lock(&self.0).lifetime = seconds;
    }

    pub(crate) fn refuse_next(&self, count: usize) {
        lock(&self.0).refuse_next = count;
    }

    /// `x5t#S256` of the certificates that were issued, the first one first.
    pub(crate) fn issued(&self) -> Vec<String> {
        let state = lock(&self.0);
        let thumbprints = state.issued.iter().map(|issued| &issued.thumbprint);
        thumbprints.cloned().collect()
    }

    /// Whether a handshake with that certificate is to fail.
    pub(crate) fn refuses(&self, thumbprint: &str) -> bool {
        lock(&self.0).refused.contains(thumbprint)
    }

    /// Whether that certificate was issued for that identity.
    pub(crate) fn is_of(&self, client_id: &str, thumbprint: &str) -> bool {
        let state = lock(&self.0);
        let mut issued = state.issued.iter();
        issued.any(|issued| {
            issued.client_id.eq_ignore_ascii_case(client_id) && issued.thumbprint == thumbprint
        })
    }

    fn note(&self, client_id: &str, thumbprint: String) {
        let mut state = lock(&self.0);
        if state.refuse_next > 0 {
            state.refuse_next -= 1;
            state.refused.insert(thumbprint.clone());
        }
        state.issued.push(Issued {
            client_id: client_id.to_owned(),
            thumbprint,
        });
    }
}

/// Who the machine is, and where its keys would be attested.
pub(crate) fn metadata(world: &World, call: &Call) -> Result<Value, Refusal> {
    let identity = asked(world, call, &Method::GET)?;
    Ok(json!({
        "clientId": identity.client_id,
        "tenantId": world.identity.tenant,
        "cuId": { "vmId": VM_ID, "vmssId": SCALE_SET_ID },
        "attestationEndpoint": "https://attestation.example",
    }))
}

/// A certificate for the key of the request.
pub(crate) fn issue(world: &World, call: &Call) -> Result<Value, Refusal> {
    let identity = asked(world, call, &Method::POST)?;
    let media_type = call.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type != "application/json" {
        return Err(invalid("The content is not JSON."));
    }
    let body: Value =
        serde_json::from_slice(&call.body).map_err(|_| invalid("The content is not JSON."))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let attestation = text("attestation_token").filter(|token| !token.is_empty());
    let keys = lock(&world.pki.credentials.0).keys;
    if keys == MachineKeys::Attested && attestation.is_none() {
        return Err(Refusal::new(
            "attestation_required",
            "An attestation token of a KeyGuard key is required on this machine.",
        ));
    }
    let request = text("csr").and_then(from_base64);
    let request = request.ok_or_else(|| invalid("'csr' is missing, or no base64 of DER."))?;
    let key = checked(world, &identity, &request)?;
    let lifetime = lock(&world.pki.credentials.0).lifetime;
    let certificate = certify(world, &identity, &key, lifetime)
        .map_err(|_| invalid("The certificate was not made."))?;
    let thumbprint = sha256_url(&certificate);
    world.pki.credentials.note(&identity.client_id, thumbprint);
    let own = identity.resource_id.is_none();
    Ok(json!({
        "client_id": identity.client_id,
        "tenant_id": world.identity.tenant,
        "certificate": base64(&certificate),
        "identity_type": if own { "SystemAssigned" } else { "UserAssigned" },
        "mtls_authentication_endpoint": world.identity.mtls_authority(),
    }))
}

/// What both requests must have; the identity that they mean.
fn asked(world: &World, call: &Call, method: &Method) -> Result<ManagedIdentity, Refusal> {
    if lock(&world.pki.credentials.0).keys == MachineKeys::None {
        return Err(Refusal {
            status: StatusCode::NOT_FOUND,
            ..Refusal::new("not_found", "Not found")
        });
    }
    if call.method != *method {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            ..invalid("The request has another method.")
        });
    }
    require_metadata(call)?;
    refuse_forwarded(call)?;
    let parameters = Parameters::parse(call.query.as_bytes());
    if parameters.get("cred-api-version")? != Some(VERSION) {
        return Err(invalid("The cred-api-version is missing or not supported."));
    }
    parameters.refuse_unknown(&["cred-api-version", "client_id", "object_id", "msi_res_id"])?;
    identity(world, &parameters)
}

/// That the request is the machine's own, by the key that it is about.
fn checked(world: &World, identity: &ManagedIdentity, der: &[u8]) -> Result<Key, Refusal> {
    let (rest, request) = X509CertificationRequest::from_der(der)
        .map_err(|_| invalid("The certificate request is not PKCS#10."))?;
    let info = &request.certification_request_info;
    if !rest.is_empty() || request.signature_algorithm.algorithm != OID_PKCS1_RSASSAPSS {
        return Err(invalid(
            "The certificate request is not signed with RSA-PSS.",
        ));
    }
    if request.verify_signature().is_err() {
        return Err(invalid(
            "The certificate request's signature is not its key's.",
        ));
    }
    match info.subject_pki.parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() == 2048 => {}
        _ => return Err(invalid("The key is not RSA of 2048 bits.")),
    }
    let names = |subject: &X509Name<'_>| {
        let common = subject
            .iter_common_name()
            .map(|name| name.as_str().map(ToOwned::to_owned));
        let domain = subject.iter_by_oid(&OID_DOMAIN_COMPONENT);
        let domain = domain.map(|name| name.as_str().map(ToOwned::to_owned));
        common.chain(domain).collect::<Result<Vec<_>, _>>()
    };
    let expected = [identity.client_id.clone(), world.identity.tenant.clone()];
    if !names(&info.subject).is_ok_and(|names| names == expected) {
        return Err(invalid(
            "The subject of the certificate request is not CN={client}, DC={tenant}.",
        ));
    }
    let machine = machine(info.raw).and_then(|text| serde_json::from_str::<Value>(text).ok());
    if machine != Some(json!({ "vmId": VM_ID, "vmssId": SCALE_SET_ID })) {
        return Err(invalid("The certificate request names another machine."));
    }
    Ok(Key(info.subject_pki.subject_public_key.data.to_vec()))
}

/// What the attribute says that names the machine. The parser keeps nothing of
/// attributes that it does not know.
fn machine(info: &[u8]) -> Option<&str> {
    let mut places = info
        .windows(CU_ID.len())
        .enumerate()
        .filter(|(_, window)| *window == CU_ID);
    let ((at, _), None) = (places.next()?, places.next()) else {
        return None;
    };
    let (_, set) = Any::from_der(info.get(at + CU_ID.len()..)?).ok()?;
    let (rest, text) = Any::from_der(set.data).ok()?;
    let is_text = set.header.tag() == Tag::Set && text.header.tag() == Tag::Utf8String;
    let text = std::str::from_utf8(text.data).ok();
    text.filter(|_| is_text && rest.is_empty())
}

/// A certificate that the machine's authority signs.
fn certify(world: &World, identity: &ManagedIdentity, key: &Key, lifetime: i64) -> Result<Vec<u8>> {
    let mut params = CertificateParams::default();
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, identity.client_id.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    world.pki.sign(params, key, lifetime)
}

/// The key of a request.
struct Key(Vec<u8>);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

fn invalid(description: &str) -> Refusal {
    Refusal::new("invalid_request", description)
}
