//! What the environment shows of who asks for tokens, and how that is proved.

use edgepass_core::{Config, ConfigError, Environment};

use super::entry::{Entry, Value, entry, object, text};

/// The kind that has no client.
pub(super) const MANAGED_IDENTITY: &str = "managed_identity";

/// Of these one says that there is a platform of managed identities.
const PLATFORMS: [&str; 4] = [
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
];

/// What the engine takes the environment for.
pub(super) struct Meant {
    /// The kind of credential.
    pub(super) kind: String,
    /// The variables that name the client, and the tenant.
    pub(super) client: (&'static str, &'static str),
    /// Nothing was found: it is the managed identity of whatever machine this is.
    pub(super) is_default: bool,
}

impl Meant {
    pub(super) fn of(environment: &Environment) -> Result<Self, ConfigError> {
        let config = Config::load(None, environment)?;
        let identity = config.identities.values().next();
        let kind = identity.and_then(|identity| identity.kinds().into_iter().next());
        let kind = kind.unwrap_or_default();
        let names_it = PLATFORMS.iter().chain(&["AZURE_TOKEN_CREDENTIALS"]);
        let is_named = names_it
            .into_iter()
            .any(|name| environment.get(name).is_some());
        Ok(Self {
            is_default: kind == MANAGED_IDENTITY && !is_named,
            kind,
            client: identity
                .and_then(|identity| identity.client_variables())
                .unwrap_or(("AZURE_CLIENT_ID", "AZURE_TENANT_ID")),
        })
    }
}

/// The environment, and what was taken of it.
pub(super) struct Seen<'e> {
    pub(super) environment: &'e Environment,
    pub(super) variables: Vec<&'static str>,
    /// Which variable's value stands in which setting.
    pub(super) settings: Vec<(String, &'static str)>,
}

impl<'e> Seen<'e> {
    /// The value of a variable that is no secret, for that setting.
    pub(super) fn value(&mut self, variable: &'static str, setting: &str) -> Option<&'e str> {
        let value = self.environment.get(variable)?;
        self.note(variable);
        self.settings.push((setting.to_owned(), variable));
        Some(value)
    }

    /// Whether there is that variable, which may hold a secret.
    pub(super) fn has(&mut self, variable: &'static str) -> bool {
        let is_set = self.environment.get(variable).is_some();
        if is_set {
            self.note(variable);
        }
        is_set
    }

    pub(super) fn note(&mut self, variable: &'static str) {
        if !self.variables.contains(&variable) {
            self.variables.push(variable);
        }
    }
}

/// A way to prove who this is, as the environment shows it.
pub(super) struct Shown {
    pub(super) kind: Entry,
    /// What it needs besides.
    pub(super) certificates: Option<Entry>,
    /// It is the platform that knows who asks: there is no client.
    pub(super) is_direct: bool,
}

/// The ways that the environment shows.
pub(super) fn shown(seen: &mut Seen<'_>, meant: &Meant) -> Vec<Shown> {
    let mut out = Vec::new();
    let mut of_client = |kind: Entry| {
        out.push(Shown {
            kind,
            certificates: None,
            is_direct: false,
        });
    };
    let credential = |field: &str| format!("identities.app.credential.{field}");

    let setting = credential("federated_token_file.path");
    if let Some(path) = seen.value("AZURE_FEDERATED_TOKEN_FILE", &setting) {
        of_client(object(
            "The token that the platform rotates in a file.",
            "federated_token_file",
            vec![text("", "path", path)],
        ));
    }
    if seen.has("ACTIONS_ID_TOKEN_REQUEST_URL")
        || seen.environment.get("GITHUB_ACTIONS") == Some("true")
    {
        seen.has("GITHUB_ACTIONS");
        of_client(object(
            "The identity token of the job, which needs `permissions: id-token: write`.",
            "github_actions",
            Vec::new(),
        ));
    }
    if seen.has("SYSTEM_OIDCREQUESTURI") {
        let setting = credential("azure_pipelines.service_connection_id");
        let connection = seen.value("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", &setting);
        let fields = connection.map(|id| {
            text(
                "The service connection, by its GUID.",
                "service_connection_id",
                id,
            )
        });
        of_client(object(
            "The identity token of the job, whose task maps SYSTEM_ACCESSTOKEN.",
            "azure_pipelines",
            fields.into_iter().collect(),
        ));
    }
    if seen.has("AZURE_CLIENT_SECRET") {
        of_client(object(
            "The secret stays where it is: in a variable, or by `file` in a file.",
            "client_secret",
            vec![text("", "env", "AZURE_CLIENT_SECRET")],
        ));
    }
    out.extend(certificate(seen));
    if seen.has("SPIFFE_ENDPOINT_SOCKET") {
        out.push(Shown {
            kind: object(
                "A JWT-SVID from the SPIFFE Workload API.",
                "spiffe",
                Vec::new(),
            ),
            certificates: None,
            is_direct: false,
        });
    }
    let is_aws = seen
        .environment
        .get("AWS_WEB_IDENTITY_TOKEN_FILE")
        .is_some()
        || seen
            .environment
            .get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
            .is_some();
    if is_aws && (seen.has("AWS_REGION") || seen.has("AWS_DEFAULT_REGION")) {
        seen.has("AWS_WEB_IDENTITY_TOKEN_FILE");
        seen.has("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        out.push(Shown {
            kind: object(
                "A token that AWS gives the role of this pod or container.",
                "aws_web_identity",
                Vec::new(),
            ),
            certificates: None,
            is_direct: false,
        });
    }
    let is_there = PLATFORMS.into_iter().filter(|name| seen.has(name)).count() > 0;
    let is_meant = meant.kind == MANAGED_IDENTITY
        && (!meant.is_default
            || out.is_empty() && seen.environment.get("AZURE_CLIENT_ID").is_some());
    if is_there || is_meant {
        let setting = credential("managed_identity.client_id");
        // beside another way the client's ID is that of the client
        let of_user = match is_meant {
            true => seen.value("AZURE_CLIENT_ID", &setting),
            false => None,
        };
        let fields = of_user.map(|id| {
            text(
                "The user-assigned identity; the system's if left out.",
                "client_id",
                id,
            )
        });
        out.push(Shown {
            kind: object(
                "The managed identity of this machine: the platform knows who asks.",
                "managed_identity",
                fields.into_iter().collect(),
            ),
            certificates: None,
            is_direct: true,
        });
    }
    out
}

/// The certificate of the Azure SDKs' variables.
fn certificate(seen: &mut Seen<'_>) -> Option<Shown> {
    let file = seen.value(
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "certificates.app.certificate_file",
    )?;
    let mut files = vec![text(
        "PEM with certificate and key, or PKCS#12 (PFX). It is read again when it changes.",
        "certificate_file",
        file,
    )];
    if seen.has("AZURE_CLIENT_CERTIFICATE_PASSWORD") {
        files.push(text(
            "The variable with its password; `password_file` names a file instead.",
            "password_env",
            "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        ));
    }
    let mut fields = vec![text("The name under `certificates`.", "name", "app")];
    let chain = seen.environment.get("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
    if chain.is_some_and(|chain| {
        ["true", "1"]
            .iter()
            .any(|yes| yes.eq_ignore_ascii_case(chain.trim()))
    }) {
        seen.has("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
        fields.push(entry(
            "Show the chain, for apps that know it by subject name and issuer.",
            "send_x5c",
            Value::Flag(true),
        ));
    }
    let files = object("", "app", files);
    Some(Shown {
        kind: object(
            "An assertion that the certificate's key signs.",
            "certificate",
            fields,
        ),
        certificates: Some(object(
            "Certificates and their keys, by the name that credentials use.",
            "certificates",
            vec![files],
        )),
        is_direct: false,
    })
}
