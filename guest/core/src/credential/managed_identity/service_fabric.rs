//! Service Fabric: over https, to a server whose certificate the cluster has made itself. No authority vouches for it; the
//! platform names its thumbprint.

use super::beside::{IDENTITY_ENDPOINT, IDENTITY_HEADER, Platform};
use super::source::SourceName;
use crate::config::error::ConfigError;
use crate::needs::{Purpose, Scheme};

pub(super) const THUMBPRINT: &str = "IDENTITY_SERVER_THUMBPRINT";

pub(super) const PLATFORM: Platform = Platform {
    name: SourceName::ServiceFabric,
    title: "Service Fabric",
    endpoint: IDENTITY_ENDPOINT,
    usual_endpoint: None,
    scheme: Scheme::Https,
    purpose: Purpose::ManagedIdentity,
    api_version: Some("2019-07-01-preview"),
    metadata: false,
    secret: Some((IDENTITY_HEADER, "secret")),
    ids: &[],
    usual_client_id: None,
    limits: "gives an application the identity that its manifest names, and no other",
    thumbprint: Some(THUMBPRINT),
    challenges: false,
    stranger: "IDENTITY_HEADER is new with every start of the service: restart this process with the variables that it has now",
};

/// Digits of a SHA-1 digest in hexadecimal.
const DIGITS: usize = 40;

/// The thumbprint in lower case, without what tools put between the digits.
pub(super) fn thumbprint(value: &str) -> Result<String, ConfigError> {
    let digits: String = value
        .chars()
        .filter(|c| !matches!(c, ' ' | ':'))
        .collect::<String>()
        .to_ascii_lowercase();
    if digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err(ConfigError::new(
        THUMBPRINT,
        "is not a SHA-1 thumbprint: 40 hexadecimal digits",
    )
    .hint("leave it as the platform has set it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_one_however_it_is_written() {
        let plain = "00112233445566778899aabbccddeeff00112233";
        let colons = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33";
        for value in [plain, colons, &plain.to_uppercase(), &format!(" {plain} ")] {
            assert_eq!(thumbprint(value).unwrap(), plain, "{value}");
        }
        for value in ["00", &plain.replace('0', "g"), &format!("{plain}00")] {
            assert_eq!(
                thumbprint(value).unwrap_err().setting,
                THUMBPRINT,
                "{value}"
            );
        }
    }
}
