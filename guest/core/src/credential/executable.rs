//! An assertion that a command prints. The host runs it at each exchange, by the contract of Google's
//! executable-sourced credentials (AIP-4117), so that commands that exist work: the assertion is `id_token` or
//! `saml_response` of a JSON object, and the audience is in `GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE`.
//!
//! Whoever writes the configuration would have the host run anything, so whoever starts the host has to allow it.

use std::rc::Rc;

use crate::config::Client;
use crate::config::error::ConfigError;
use crate::config::parse::object;
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::assertion_source::ask_source;
use crate::credential::{
    Failure, Kind, Purpose, Supplied, SupplyAssertion, assertion_type, platform,
};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::inspect::inspect_jwt;
use crate::limits::HOST_CALL_TIMEOUT_MS;
use crate::needs::{ExecutableNeed, HostSource, HostSourceNeed};

/// Allows commands.
const ALLOW: &str = "EDGEPASS_ALLOW_EXECUTABLES";

/// The same by the name that the contract has for it.
const ALLOW_GOOGLE: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";

/// How long a command may take unless it is told, milliseconds.
const USUAL_TIMEOUT_MS: u64 = 5_000;

/// The longest, milliseconds: the engine waits for its host no longer.
const MAX_TIMEOUT_MS: u64 = HOST_CALL_TIMEOUT_MS - 500;

/// Arguments. More is a command of its own.
const MAX_ARGUMENTS: usize = 64;

object! {
    /// A command that prints an assertion. It is run only where `EDGEPASS_ALLOW_EXECUTABLES` is `1`.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ExecutableFile {
        /// Absolute path of the program.
        command: Option<String> = optional_text,
        /// Its arguments. No shell looks at them.
        #[cfg_attr(feature = "schema", schemars(default))]
        arguments: Vec<String> = texts,
        /// Names of variables that it gets of the host's environment, besides `PATH`, `HOME` and those of the contract.
        #[cfg_attr(feature = "schema", schemars(default))]
        environment: Vec<String> = texts,
        /// The audience that it is told; that of the identity's cloud by default, in the public one
        /// `api://AzureADTokenExchange`, and for other servers the URL of the token endpoint.
        audience: Option<String> = optional_text,
        /// How long it may take, milliseconds: 1 to 9500, 5000 by default.
        timeout_ms: Option<u64> = optional_number,
        /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default.
        assertion_type: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct Executable {
    /// The setting, by which the host knows it.
    source: String,
    need: ExecutableNeed,
    assertion_type: String,
}

impl Kind for Executable {
    type Document = ExecutableFile;
    type Of = Client;

    fn check(
        document: &ExecutableFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let command = place.required_alone("command", document.command.as_deref())?;
        command.check(rules::path)?;
        let is_allowed = place.flag(ALLOW, "command")? || place.flag(ALLOW_GOOGLE, "command")?;
        if !is_allowed {
            return Err(ConfigError::new(
                place.path(),
                "has the host run a command, and whoever started it has not allowed that",
            )
            .hint(format!(
                "set {ALLOW}=1 in the environment if everybody who can write this configuration may run commands here"
            )));
        }
        let timeout_ms = document.timeout_ms.unwrap_or(USUAL_TIMEOUT_MS);
        if !(1..=MAX_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(ConfigError::new(
                place.at("timeout_ms"),
                format!("is not from 1 to {MAX_TIMEOUT_MS}"),
            )
            .hint("an exchange waits no longer: let the command keep what takes long"));
        }
        if document.arguments.len() > MAX_ARGUMENTS {
            return Err(ConfigError::new(
                place.at("arguments"),
                format!("has more than {MAX_ARGUMENTS}"),
            )
            .hint("write a command that has them in it"));
        }
        for (index, argument) in document.arguments.iter().enumerate() {
            if argument.contains('\0') {
                return Err(ConfigError::new(
                    place.at(&format!("arguments[{index}]")),
                    "has a NUL character",
                )
                .hint("no program can be given one"));
            }
        }
        for (index, name) in document.environment.iter().enumerate() {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(ConfigError::new(
                    place.at(&format!("environment[{index}]")),
                    "is not the name of a variable",
                )
                .hint("write the name alone: the value is that of the host's environment"));
            }
        }
        let need = ExecutableNeed {
            command: command.value.to_owned(),
            arguments: document.arguments.clone(),
            environment: document.environment.clone(),
            audience: platform::audience(document.audience.as_deref(), place, client)?,
            timeout_ms,
        };
        let source = place.path().to_owned();
        place.need(|needs| {
            needs.host_sources.push(HostSourceNeed {
                setting: source.clone(),
                source: HostSource::Executable(need.clone()),
            });
        });
        Ok(Self {
            source,
            need,
            assertion_type: assertion_type(place, document.assertion_type.as_deref())?,
        })
    }

    fn describe(&self) -> String {
        format!("assertion of the command {}", self.need.command)
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            source: _,
            need,
            assertion_type,
        } = self;
        let ExecutableNeed {
            command,
            arguments,
            environment,
            audience,
            timeout_ms,
        } = need;
        out.add(command);
        out.add_all(arguments);
        out.add_all(environment);
        out.add(audience);
        out.add(&timeout_ms.to_string());
        out.add(assertion_type);
    }
}

impl SupplyAssertion for Executable {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let options = purpose.assertion_options(Some(&self.need.audience), Some(&self.source));
        let who = format!("the command {}", self.need.command);
        let token = ask_source(io, options, &who).await?;
        let presented = inspect_jwt(token.expose()).map(Rc::new);
        Ok(Supplied::new(token, &self.assertion_type, presented))
    }
}
