//! Where the host finds a certificate.

use super::key_vault::KeyVaultFile;
use super::parse::{ForKeyVaults, object};
use crate::Secret;

object! {
    /// Where one certificate and its key come from, or a key alone. Files are read again when they change.
    #[derive(Clone, Debug, Default, Eq, PartialEq)]
    pub struct CertificateFiles {
        /// The certificate chain, in any order: PEM, or PKCS#12 (PFX). May hold the key as well, as the credential bundle
        /// of a Kubernetes pod certificate does. Left out for a key alone.
        #[cfg_attr(feature = "schema", schemars(default))]
        pub certificate_file: String = text_or_empty,
        /// In the place of `certificate_file`: base64 of it, with the key in it. Whoever reads the configuration has the
        /// key.
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("writeOnly" = true)))]
        pub certificate_base64: Option<Secret> = optional_secret,
        /// The private key, PKCS#8, PKCS#1 or SEC 1; in `certificate_file` if left out. Alone it is a key without a
        /// certificate, for `private_key_jwt`.
        pub private_key_file: Option<String> = optional_text,
        /// File with the password of the key, if it is encrypted (PKCS#8), or of the PKCS#12 file. Line ends at its end are
        /// no part of it.
        pub password_file: Option<String> = optional_text,
        /// Environment variable that holds that password.
        pub password_env: Option<String> = optional_text,
        /// In the place of all files: the socket of a SPIFFE Workload API, `unix:///path`. Certificate and key are the
        /// X.509-SVID that it gives this process, and the next when it gives that.
        pub spiffe_socket: Option<String> = optional_text,
        /// With `spiffe_socket`: which of the process's identities, `spiffe://…`, if it has several; its default one
        /// otherwise.
        pub spiffe_id: Option<String> = optional_text,
        /// In the place of all files: a certificate that Azure Key Vault keeps.
        pub key_vault: ForKeyVaults<KeyVaultFile> = object_for_key_vaults,
    }
}

impl CertificateFiles {
    /// The absolute path of the socket of the Workload API, if the certificate comes from there.
    #[cfg(feature = "every-credential")]
    pub fn workload_api(&self) -> Option<String> {
        let socket = self.spiffe_socket.as_ref()?;
        Some(super::rules::socket_path(socket))
    }

    /// The setting that only a driver with a key store of its own can follow: Envoy reads PEM without a password.
    pub fn beyond_pem(&self) -> Option<&'static str> {
        [
            ("certificate_base64", self.certificate_base64.is_some()),
            ("password_file", self.password_file.is_some()),
            ("password_env", self.password_env.is_some()),
            ("spiffe_socket", self.spiffe_socket.is_some()),
            ("key_vault", self.key_vault.is_some()),
            ("private_key_file", self.certificate_file.is_empty()),
        ]
        .into_iter()
        .find_map(|(setting, is_set)| is_set.then_some(setting))
    }
}
