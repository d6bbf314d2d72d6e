//! Where the host finds a certificate.

use super::parse::object;

object! {
    /// PEM files of one certificate. They are read again when they change.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct CertificateFiles {
        /// The certificate chain, in any order. May hold the key as well.
        pub certificate_file: String = text,
        /// The private key, PKCS#8, PKCS#1 or SEC 1; in `certificate_file` if left out.
        pub private_key_file: Option<String> = optional_text,
    }
}
