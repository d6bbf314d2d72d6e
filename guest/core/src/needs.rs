//! What a driver must be able to do for an identity, so that it judges needs and never kinds of credentials.
//!
//! Settings are paths as users write them, `identities.app.credential.certificate.algorithm` for example, so that
//! whoever refuses something can name it. A need of which no such setting exists names the variable instead.

use std::net::IpAddr;

use crate::Algorithm;
use crate::authority::split_port;

/// All that is needed of a driver, and nothing besides.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Needs {
    /// Where requests go. That of the identity's own tenant comes first.
    pub connections: Vec<Connection>,
    /// Where requests go besides when a user signs in: for the metadata of the server and for its keys, by which its ID
    /// tokens are validated. Who serves applications alone can do without.
    #[cfg(feature = "every-credential")]
    pub id_tokens: Vec<Connection>,
    /// The files that the engine asks to be read.
    pub files: Vec<FileNeed>,
    /// What the keys of certificates sign.
    pub signatures: Vec<SignatureNeed>,
    /// The certificates that are opened, to sign or to authenticate a connection.
    pub certificates: Vec<CertificateNeed>,
    /// The environment variables that something was taken from.
    pub variables: Vec<VariableNeed>,
    /// The settings that hold a secret in the document itself.
    pub inline_secrets: Vec<String>,
    /// The setting that asks for an assertion source.
    pub assertion_source: Option<String>,
    /// The setting of a managed identity whose tokens come from a process of the platform beside this one.
    pub platform: Option<String>,
    /// Servers whose certificates are checked otherwise than those of all others.
    #[cfg(feature = "every-credential")]
    pub servers: Vec<ServerNeed>,
    /// Assertions that the host itself gets, each from something on this machine.
    #[cfg(feature = "every-credential")]
    pub host_sources: Vec<HostSourceNeed>,
    /// Certificates that the host gets from a platform, for keys of its own.
    #[cfg(feature = "every-credential")]
    pub issued_certificates: Vec<IssuedCertificateNeed>,
    /// The settings of what a build without the feature `every-credential` does without: the Envoy filter is one.
    pub every_credential: Vec<String>,
}

/// A server whose certificate is checked otherwise than those of all others.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ServerNeed {
    /// The setting that names the server.
    pub setting: String,
    /// Host, with the port if it is not 443.
    pub authority: String,
    /// The name that is asked for in the handshake (SNI) and looked for in the certificate, if not the host.
    pub server_name: Option<String>,
    /// The certification authorities that alone may vouch for it; those of the driver if there are none.
    pub authorities: Option<Authorities>,
}

/// Certification authorities, PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authorities {
    /// Those of this file, which may be replaced while it is used.
    File(String),
    /// These.
    Pem(String),
}

/// Where the host gets an assertion.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HostSourceNeed {
    /// The setting of the credential, by which the engine asks ([`AssertionOptions::source`](crate::AssertionOptions)).
    pub setting: String,
    /// From what.
    pub source: HostSource,
}

/// What on this machine gives an assertion.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum HostSource {
    /// A command that prints it.
    Executable(ExecutableNeed),
    /// The SPIFFE Workload API.
    WorkloadApi(WorkloadApiNeed),
}

/// A JWT-SVID of the SPIFFE Workload API.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct WorkloadApiNeed {
    /// The absolute path of the Unix socket.
    pub socket: String,
    /// The audience of the token.
    pub audience: String,
    /// Which of the workload's identities; its default one otherwise.
    pub spiffe_id: Option<String>,
}

/// A command that prints an assertion.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExecutableNeed {
    /// The absolute path of the program.
    pub command: String,
    /// Its arguments, which no shell looks at.
    pub arguments: Vec<String>,
    /// The variables that it gets of the host's environment, besides those of the contract.
    pub environment: Vec<String>,
    /// The audience that it is told.
    pub audience: String,
    /// How long it may take, milliseconds.
    pub timeout_ms: u64,
}

/// A certificate that the metadata service of this machine issues (its credential protocol, version 2), for a key that the
/// host makes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IssuedCertificateNeed {
    /// The setting of the credential.
    pub setting: String,
    /// By which the engine opens it: none that a configuration can give a certificate of its own.
    pub name: String,
    /// The metadata service: an address of this machine or its link, with the port if it is not 80.
    pub authority: String,
    /// The query of the requests there, which says whose certificate it is.
    pub query: String,
}

/// One kind of request and the connection that it goes out on.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Connection {
    /// What must be let out.
    pub permission: Permission,
    /// The name of the certificate that authenticates the connection.
    pub certificate: Option<String>,
    /// The SHA-1 thumbprint of the server's certificate, hexadecimal in lower case. That certificate and no other is
    /// taken then, whoever has signed it and whatever name is in it.
    pub server_thumbprint: Option<String>,
}

/// What one kind of request may reach.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Permission {
    /// Over what.
    pub scheme: Scheme,
    /// Host, with the port if it is not the scheme's own. `*.` before it stands for one label, whichever it is: the
    /// regions of a token service.
    pub authority: String,
    /// Which paths there.
    pub path: PathPattern,
    /// What for.
    pub purpose: Purpose,
}

/// How a request travels.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Scheme {
    /// https, to a server that the driver's certification authorities vouch for.
    Https,
    /// http to an address that does not leave this machine or its link, or to `localhost`, which a driver takes for this
    /// machine without asking anybody (RFC 6761 section 6.3). Nothing else goes out without TLS.
    LinkLocalHttp,
}

/// A set of paths, each with its query.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum PathPattern {
    /// This one.
    Exact(String),
    /// Those that begin so.
    Prefix(String),
    /// Those with one segment, whatever it is, between the two: the endpoint of any tenant.
    AnySegment {
        /// The beginning, ends with `/`.
        before: String,
        /// The end, begins with `/`.
        after: String,
    },
}

/// What a request is for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Purpose {
    /// A form posted to a token endpoint.
    TokenEndpoint,
    /// A question to the platform's managed identity endpoint.
    ManagedIdentity,
    /// The same where it is posted as a form.
    ManagedIdentityForm,
    /// A question to a platform for a token that says who this workload is, or for what it takes to ask for one.
    Platform,
    /// The same of platforms that want it posted.
    PlatformPost,
    /// The same of platforms that want it put: the session of AWS's metadata service.
    PlatformPut,
    /// A question to a token server for its metadata, which say where its endpoints are (RFC 8414).
    Metadata,
    /// A question to a token server for the keys that it signs with (RFC 7517 section 5).
    KeySet,
}

/// A file that is read at an exchange.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FileNeed {
    /// The setting that names it.
    pub setting: String,
    /// Which file.
    pub path: FilePattern,
}

/// A file, or files of which only the folder is known beforehand.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FilePattern {
    /// This one.
    Exact(String),
    /// Any in this folder whose name ends so: a server's answer says which.
    Directory {
        /// The folder, without a slash at its end.
        directory: String,
        /// How the name ends, `.key` for example.
        suffix: String,
    },
}

/// A signature that the key of a certificate makes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SignatureNeed {
    /// The setting of the algorithm.
    pub setting: String,
    /// The name of the certificate.
    pub certificate: String,
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Whether the server knows the key by its certificate, and not by a name that it was registered under.
    pub by_certificate: bool,
}

/// A certificate that is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CertificateNeed {
    /// The setting that names it.
    pub setting: String,
    /// Its name.
    pub name: String,
}

/// An environment variable that something was taken from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct VariableNeed {
    /// Its name.
    pub name: String,
    /// The setting that it was taken for.
    pub setting: String,
    /// Whether it holds a secret itself, and not where one is.
    pub is_secret: bool,
}

impl VariableNeed {
    /// Whether the host reads it, for a certificate that it keeps: a component is not told of it.
    pub fn is_of_the_host(&self) -> bool {
        self.setting.starts_with("certificates.")
    }
}

impl Needs {
    /// Adds what another needs. What both need is there once.
    pub fn add(&mut self, other: &Self) {
        // all by name, so that a new need is not forgotten here
        let Self {
            connections,
            #[cfg(feature = "every-credential")]
            id_tokens,
            files,
            signatures,
            certificates,
            variables,
            inline_secrets,
            assertion_source,
            platform,
            #[cfg(feature = "every-credential")]
            servers,
            #[cfg(feature = "every-credential")]
            host_sources,
            #[cfg(feature = "every-credential")]
            issued_certificates,
            every_credential,
        } = other;
        add_each(&mut self.connections, connections);
        add_each(&mut self.files, files);
        add_each(&mut self.signatures, signatures);
        add_each(&mut self.certificates, certificates);
        add_each(&mut self.variables, variables);
        add_each(&mut self.inline_secrets, inline_secrets);
        #[cfg(feature = "every-credential")]
        {
            add_each(&mut self.id_tokens, id_tokens);
            add_each(&mut self.servers, servers);
            add_each(&mut self.host_sources, host_sources);
            add_each(&mut self.issued_certificates, issued_certificates);
        }
        add_each(&mut self.every_credential, every_credential);
        if self.assertion_source.is_none() {
            self.assertion_source.clone_from(assertion_source);
        }
        if self.platform.is_none() {
            self.platform.clone_from(platform);
        }
    }

    pub(crate) fn add_file(&mut self, setting: String, path: &str) {
        self.files.push(FileNeed {
            setting,
            path: FilePattern::Exact(path.to_owned()),
        });
    }

    pub(crate) fn add_variable(&mut self, name: &str, setting: String, is_secret: bool) {
        self.variables.push(VariableNeed {
            name: name.to_owned(),
            setting,
            is_secret,
        });
    }
}

#[cfg(feature = "every-credential")]
impl IssuedCertificateNeed {
    /// Where the service says who the machine is.
    pub const METADATA_PATH: &'static str = "/metadata/identity/getplatformmetadata";

    /// Where it issues the certificate.
    pub const ISSUE_PATH: &'static str = "/metadata/identity/issuecredential";

    /// What the host asks there, and nobody else.
    pub fn connections(&self) -> Vec<Connection> {
        let connection = |path: &str, purpose| Connection {
            permission: Permission {
                scheme: Scheme::LinkLocalHttp,
                authority: self.authority.clone(),
                path: PathPattern::Exact(format!("{path}?{}", self.query)),
                purpose,
            },
            certificate: None,
            server_thumbprint: None,
        };
        vec![
            connection(Self::METADATA_PATH, Purpose::ManagedIdentity),
            connection(Self::ISSUE_PATH, Purpose::PlatformPost),
        ]
    }
}

impl Purpose {
    /// The one method of its requests.
    pub fn method(self) -> &'static str {
        match self {
            Self::TokenEndpoint | Self::ManagedIdentityForm | Self::PlatformPost => "POST",
            Self::ManagedIdentity | Self::Platform | Self::Metadata | Self::KeySet => "GET",
            Self::PlatformPut => "PUT",
        }
    }
}

impl Permission {
    /// Whether a request to `scheme://authority` with that path and query is one of these.
    pub fn permits(&self, scheme: &str, authority: &str, path: &str) -> bool {
        let is_scheme = match self.scheme {
            Scheme::Https => scheme == "https",
            Scheme::LinkLocalHttp => scheme == "http" && is_this_machine(authority),
        };
        is_scheme && self.is_of(authority) && self.path.matches(path)
    }

    /// Whether it is for requests to that host.
    #[cfg(feature = "every-credential")]
    pub fn is_of(&self, authority: &str) -> bool {
        let Some(regions) = self.authority.strip_prefix("*.") else {
            return self.authority == authority;
        };
        authority.split_once('.').is_some_and(|(region, rest)| {
            rest == regions
                && !region.is_empty()
                && region.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    }

    /// Whether it is for requests to that host.
    #[cfg(not(feature = "every-credential"))]
    pub fn is_of(&self, authority: &str) -> bool {
        self.authority == authority
    }
}

impl PathPattern {
    /// Whether that path, with its query, is in the set.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Prefix(prefix) => path.starts_with(prefix),
            Self::AnySegment { before, after } => path
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(|segment| {
                    !segment.is_empty() && segment != ".." && !segment.contains(['/', '?', '#'])
                }),
        }
    }
}

impl FilePattern {
    /// Whether that path, letter for letter, is one of these.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == exact,
            Self::Directory { directory, suffix } => {
                // on Unix a backslash is a character of a name: `/tokens\x.key` is not in `/tokens`
                let separators: &[char] = if directory.starts_with('/') {
                    &['/']
                } else {
                    &['/', '\\']
                };
                path.strip_prefix(directory.as_str())
                    .and_then(|rest| rest.strip_prefix(separators))
                    .and_then(|name| name.strip_suffix(suffix.as_str()))
                    // a name alone: nothing that leads out of the folder
                    .is_some_and(|stem| {
                        stem.starts_with(|c: char| c.is_ascii_alphanumeric())
                            && stem
                                .chars()
                                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                    })
            }
        }
    }

    /// The path, if it is known beforehand.
    pub fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(path) => Some(path),
            Self::Directory { .. } => None,
        }
    }
}

/// Whether `host[:port]` is an address that no router passes on: this machine's own, those of its link, and the one
/// under which Azure, AWS and others have their metadata service. Names are not: a resolver could answer anything.
pub fn is_link_local(authority: &str) -> bool {
    let (host, _) = split_port(authority);
    match bare(host).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.is_loopback() || address.is_link_local(),
            // fd00:ec2::254 is AWS's, and ::23 there that of EKS; the rest of fd00::/8 is somebody's network
            None => {
                address.is_loopback()
                    || address.is_unicast_link_local()
                    || matches!(
                        address.segments(),
                        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23]
                    )
            }
        },
        Err(_) => false,
    }
}

/// The same, or the name `localhost`, which a driver takes for this machine without asking anybody.
pub fn is_this_machine(authority: &str) -> bool {
    let host = authority.split(':').next().unwrap_or_default();
    is_link_local(authority) || host == "localhost"
}

/// Whether that name is this machine's, whatever a resolver says of it (RFC 6761 section 6.3).
pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether the host of a URL is this machine: such a name, or an address of its loopback, in brackets where it is one of
/// IPv6. One of IPv4 that is written as one of IPv6 is the same address.
pub fn is_loopback(host: &str) -> bool {
    match bare(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => is_localhost(host),
    }
}

/// The host of a URL without the brackets around an address of IPv6.
fn bare(host: &str) -> &str {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host)
}

fn add_each<T: Clone + PartialEq>(to: &mut Vec<T>, from: &[T]) {
    for item in from {
        if !to.contains(item) {
            to.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests;
