//! What a credential is made of.

use edgepass_core::ConfigError;

use crate::layers::Setting;

/// `CredentialSource` of Microsoft.Identity.Abstractions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    Certificate,
    KeyVault,
    Base64Encoded,
    Path,
    StoreWithThumbprint,
    StoreWithDistinguishedName,
    ClientSecret,
    SignedAssertionFromManagedIdentity,
    SignedAssertionFilePath,
    SignedAssertionFromVault,
    AutoDecryptKeys,
    CustomSignedAssertion,
    ManagedCertificate,
    StoreWithSubjectName,
}

impl Source {
    /// All of them, by their numbers.
    const ALL: [(&'static str, Self); 14] = [
        ("Certificate", Self::Certificate),
        ("KeyVault", Self::KeyVault),
        ("Base64Encoded", Self::Base64Encoded),
        ("Path", Self::Path),
        ("StoreWithThumbprint", Self::StoreWithThumbprint),
        (
            "StoreWithDistinguishedName",
            Self::StoreWithDistinguishedName,
        ),
        ("ClientSecret", Self::ClientSecret),
        (
            "SignedAssertionFromManagedIdentity",
            Self::SignedAssertionFromManagedIdentity,
        ),
        ("SignedAssertionFilePath", Self::SignedAssertionFilePath),
        ("SignedAssertionFromVault", Self::SignedAssertionFromVault),
        ("AutoDecryptKeys", Self::AutoDecryptKeys),
        ("CustomSignedAssertion", Self::CustomSignedAssertion),
        ("ManagedCertificate", Self::ManagedCertificate),
        ("StoreWithSubjectName", Self::StoreWithSubjectName),
    ];

    /// By its name, whose case does not count, or by its number, as .NET reads an enumeration.
    pub(super) fn parse(setting: &Setting) -> Result<Self, ConfigError> {
        let text = setting.text();
        let by_number = text.parse::<usize>().ok();
        let known = Self::ALL.iter().enumerate();
        let mut found = known.filter(|(number, (name, _))| {
            by_number == Some(*number) || name.eq_ignore_ascii_case(text)
        });
        found.next().map(|(_, (_, source))| *source).ok_or_else(|| {
            let names = Self::ALL.iter().map(|(name, _)| *name);
            ConfigError::new(&setting.from, "is no source type of Microsoft.Identity.Web")
                .hint(format!("expected {}", Vec::from_iter(names).join(", ")))
        })
    }

    pub(super) fn name(self) -> &'static str {
        let mut known = Self::ALL.iter();
        let found = known.find(|(_, source)| *source == self);
        found.map_or("", |(name, _)| name)
    }

    /// Whether it is a certificate, here or elsewhere.
    pub(super) fn is_certificate(self) -> bool {
        !matches!(
            self,
            Self::ClientSecret
                | Self::SignedAssertionFromManagedIdentity
                | Self::SignedAssertionFilePath
                | Self::SignedAssertionFromVault
                | Self::AutoDecryptKeys
                | Self::CustomSignedAssertion
        )
    }

    /// Why it is not used, and what to use instead.
    pub(super) fn instead(self) -> (&'static str, &'static str) {
        match self {
            Self::StoreWithThumbprint
            | Self::StoreWithDistinguishedName
            | Self::StoreWithSubjectName => (
                "is a certificate of a certificate store, which is Windows'",
                "export it with its key and use Path (PFX or PEM), or Base64Encoded",
            ),
            Self::SignedAssertionFromVault => (
                "is an assertion signed by code of the .NET program in Key Vault",
                "use KeyVault, whose certificate signs in the vault where its key does not leave that; or \
                 SignedAssertionFromManagedIdentity or SignedAssertionFilePath",
            ),
            Self::ManagedCertificate => (
                "is a certificate that Azure gives Microsoft's own services",
                "use SignedAssertionFromManagedIdentity",
            ),
            Self::AutoDecryptKeys => (
                "is for the decryption of tokens, and authenticates nobody",
                "take it out, or write it under TokenDecryptionCredentials",
            ),
            // those that are used are not asked
            _ => (
                "is a certificate that the .NET program's code has",
                "use Path (PFX or PEM), or Base64Encoded",
            ),
        }
    }
}
