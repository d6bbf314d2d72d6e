//! A certificate that stands in the configuration. All of it is there, so that what is none now never will be: unlike a file
//! it is a mistake before anybody asks for it.

use edgepass_core::ConfigError;

use super::source::decode;

/// The first byte of a PKCS#12 file, as of all that is a sequence in DER.
const SEQUENCE: u8 = 0x30;

const BASE64: &str =
    "write it with base64 -w0 FILE, of a PEM file with the key or a PKCS#12 file (.pfx, .p12)";

/// That a text may be base64 of a certificate and its key. It is not repeated.
pub(crate) fn check(setting: &str, text: &str) -> Result<(), ConfigError> {
    let Some(bytes) = decode(text) else {
        return Err(ConfigError::new(setting, "is not base64 of a certificate").hint(BASE64));
    };
    let is_pem = bytes
        .windows(b"-----BEGIN".len())
        .any(|part| part == b"-----BEGIN");
    if is_pem || bytes.first() == Some(&SEQUENCE) {
        return Ok(());
    }
    let message = "is base64, and what it encodes is neither PEM nor PKCS#12";
    Err(ConfigError::new(setting, message).hint(BASE64))
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_can_never_be_a_certificate_is_refused_and_not_repeated() {
        for (text, expected) in [
            ("MIIDHzCgegA.....r1n8Ta0=", "is not base64"),
            ("hunter2!", "is not base64"),
            ("${CERTIFICATE}", "is not base64"),
            ("<base64-of-the-pfx>", "is not base64"),
            ("", "is not base64"),
            ("/run/secrets/app.pfx", "is not base64"),
            ("-----BEGIN CERTIFICATE-----\nMII=\n", "is not base64"),
            ("aHVudGVyMg==", "is neither PEM nor PKCS#12"),
        ] {
            let error = check("certificates.k.certificate_base64", text).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for good in [
            "MIIB",
            "MI\r\n IB\n",
            "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
            "IyBtaW5lCi0tLS0tQkVHSU4gWA==",
        ] {
            check("s", good).unwrap();
        }
    }
}
