//! Where certificates, keys and their passwords come from.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use edgepass_core::config::CertificateFiles;
use edgepass_core::{Environment, Secret, SecretBytes};
use zeroize::Zeroizing;

use super::pair::{Given, LoadError};
use crate::{files, limits};

/// Where a certificate and its private key come from, or a private key alone: files, which are read again when they
/// change, or what the program already has. Certificates are PEM or PKCS#12 (PFX), keys PEM: PKCS#8, PKCS#1 or SEC 1.
#[derive(Clone, Debug)]
pub struct CertificateSource {
    pub(super) certificate: Option<Content>,
    /// In the certificate's content if there is none.
    pub(super) private_key: Option<Content>,
    pub(super) password: Option<Password>,
    /// In the place of all that.
    pub(super) workload_api: Option<(PathBuf, Option<String>)>,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    File(PathBuf),
    Given(SecretBytes),
    /// Of a file.
    Base64(Secret),
}

impl CertificateSource {
    /// Files with the chain, in any order, and the key. Without a key file the certificate's file holds the key as well.
    pub fn files(certificate: impl Into<PathBuf>, private_key: Option<PathBuf>) -> Self {
        Self {
            certificate: Some(Content::File(certificate.into())),
            private_key: private_key.map(Content::File),
            ..Self::none()
        }
    }

    /// A file with a private key alone: for credentials that name their key by `kid`.
    pub fn key_file(private_key: impl Into<PathBuf>) -> Self {
        Self {
            private_key: Some(Content::File(private_key.into())),
            ..Self::none()
        }
    }

    /// PEM text with chain and key in it.
    pub fn pem(text: impl Into<Vec<u8>>) -> Self {
        Self::given(text.into())
    }

    /// PEM text of the chain, and PEM text of the key.
    pub fn pem_pair(certificate: impl Into<Vec<u8>>, private_key: impl Into<Vec<u8>>) -> Self {
        Self {
            private_key: Some(Content::Given(SecretBytes::new(private_key))),
            ..Self::given(certificate.into())
        }
    }

    /// PEM text of a private key alone.
    pub fn key_pem(private_key: impl Into<Vec<u8>>) -> Self {
        Self {
            private_key: Some(Content::Given(SecretBytes::new(private_key))),
            ..Self::none()
        }
    }

    /// The bytes of a PKCS#12 (PFX) file with chain and key in it.
    pub fn pkcs12(bytes: impl Into<Vec<u8>>, password: Password) -> Self {
        Self::given(bytes.into()).with_password(password)
    }

    /// Base64 of a PEM or PKCS#12 file with chain and key in it.
    pub fn base64(text: impl Into<Secret>) -> Self {
        Self {
            certificate: Some(Content::Base64(text.into())),
            ..Self::none()
        }
    }

    /// The X.509-SVID that the SPIFFE Workload API at that Unix socket gives this process: of that SPIFFE ID, or else its
    /// default one. The next is used when the agent sends it. On systems without such sockets there is none.
    pub fn workload_api(socket: impl Into<PathBuf>, spiffe_id: Option<String>) -> Self {
        Self {
            workload_api: Some((socket.into(), spiffe_id)),
            ..Self::none()
        }
    }

    /// The same with the password of its key or PKCS#12 file.
    #[must_use]
    pub fn with_password(mut self, password: Password) -> Self {
        self.password = Some(password);
        self
    }

    /// What a configuration names.
    pub(crate) fn configured(files: &CertificateFiles, environment: &Environment) -> Self {
        if let Some(socket) = files.workload_api() {
            return Self::workload_api(socket, files.spiffe_id.clone());
        }
        let private_key = files
            .private_key_file
            .as_ref()
            .map(|path| Content::File(path.into()));
        let certificate = match &files.certificate_base64 {
            Some(text) => Some(Content::Base64(text.clone())),
            None => Some(&files.certificate_file)
                .filter(|path| !path.is_empty())
                .map(|path| Content::File(path.into())),
        };
        let by_variable = || {
            let name = files.password_env.as_ref()?;
            Some(Password(match environment.get(name) {
                Some(value) => PasswordSource::Value(Secret::new(value)),
                None => PasswordSource::Unset,
            }))
        };
        let by_file = files.password_file.as_ref().map(Password::file);
        Self {
            certificate,
            private_key,
            password: by_file.or_else(by_variable),
            workload_api: None,
        }
    }

    pub(super) fn given(bytes: Vec<u8>) -> Self {
        Self {
            certificate: Some(Content::Given(SecretBytes::new(bytes))),
            ..Self::none()
        }
    }

    pub(super) fn none() -> Self {
        Self {
            certificate: None,
            private_key: None,
            password: None,
            workload_api: None,
        }
    }

    /// All files, so that a change of one is seen.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let contents = [&self.certificate, &self.private_key].into_iter().flatten();
        let files = contents.filter_map(|content| match content {
            Content::File(path) => Some(path.as_path()),
            Content::Given(_) | Content::Base64(_) => None,
        });
        files.chain(self.password.iter().filter_map(Password::path))
    }

    /// The same with the folder of a Kubernetes volume that certificate and key are links into now: what is read of it
    /// is of one generation. The kubelet swaps a link, and removes the folder before.
    pub(super) fn of_one_generation(&self) -> Self {
        let mut out = self.clone();
        if let (Some(Content::File(certificate)), Some(Content::File(key))) =
            (&self.certificate, &self.private_key)
            && let Some(folder) = certificate.parent()
            && key.parent() == Some(folder)
            && let Ok(now) = std::fs::canonicalize(folder.join("..data"))
        {
            let inside = |path: &Path| path.file_name().map(|name| Content::File(now.join(name)));
            (out.certificate, out.private_key) = (inside(certificate), inside(key));
        }
        out
    }
}

/// The password of a key or of a PKCS#12 file.
#[derive(Clone, Debug)]
pub struct Password(PasswordSource);

#[derive(Clone, Debug)]
enum PasswordSource {
    File(PathBuf),
    Value(Secret),
    /// A variable that is not set.
    Unset,
}

impl Password {
    /// In a file, which is read again when it changes. Line ends at its end are no part of it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(PasswordSource::File(path.into()))
    }

    /// This one.
    pub fn value(password: impl Into<Secret>) -> Self {
        Self(PasswordSource::Value(password.into()))
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match &self.0 {
            PasswordSource::File(path) => Some(path),
            PasswordSource::Value(_) | PasswordSource::Unset => None,
        }
    }

    pub(super) fn read(&self) -> Result<Secret, LoadError> {
        match &self.0 {
            PasswordSource::Value(password) => Ok(password.clone()),
            // a password may stand where the variable's name belongs
            PasswordSource::Unset => Err(LoadError::NoPassword {
                reason: "password_env names an environment variable that is not set; it takes the variable's name, not the password".to_owned(),
            }),
            PasswordSource::File(path) => {
                files::read_password(path).map_err(|reason| LoadError::NoPassword {
                    reason: format!(
                        "{} (password_file) cannot be read: {reason}",
                        path.display()
                    ),
                })
            }
        }
    }
}

/// What was read, and what errors call it.
pub(super) struct Read {
    place: String,
    bytes: Zeroizing<Vec<u8>>,
}

impl Read {
    pub(super) fn of(content: &Content) -> Result<Self, LoadError> {
        Ok(match content {
            Content::File(path) => Self {
                place: path.display().to_string(),
                bytes: files::read_bounded(path, limits::PEM_FILE_BYTES).map_err(|cause| {
                    LoadError::Unreadable {
                        path: path.clone(),
                        cause,
                    }
                })?,
            },
            Content::Given(bytes) => Self {
                place: "the given PEM or PKCS#12".to_owned(),
                bytes: Zeroizing::new(bytes.expose().to_vec()),
            },
            Content::Base64(text) => Self {
                place: "certificate_base64".to_owned(),
                bytes: decode(text.expose()).ok_or(LoadError::NotBase64)?,
            },
        })
    }

    pub(super) fn given(&self) -> Given<'_> {
        Given {
            place: &self.place,
            content: &self.bytes,
        }
    }
}

/// Base64 with or without line ends.
pub(super) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut plain = Zeroizing::new(Vec::with_capacity(text.len()));
    plain.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut bytes = Zeroizing::new(vec![0; plain.len()]);
    let length = base64::engine::general_purpose::STANDARD
        .decode_slice(&plain, &mut bytes)
        .ok()?;
    bytes.truncate(length);
    (!bytes.is_empty()).then_some(bytes)
}
