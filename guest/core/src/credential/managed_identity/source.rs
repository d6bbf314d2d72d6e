//! Which of the platform's sources of tokens is asked.

use std::pin::Pin;

use super::imds::Imds;
use super::selector::Selector;
use crate::config::error::ConfigError;
use crate::config::parse::Choice;
use crate::config::place::Place;
use crate::credential::Failure;
use crate::distinction::Distinction;
use crate::exchange::Granted;
use crate::flow::Io;

#[cfg(feature = "every-credential")]
use super::beside::Beside;

/// Who is asked for the tokens of a managed identity.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename_all = "snake_case")
)]
pub(crate) enum SourceName {
    /// Found by the variables that each platform sets, in the order of the Azure SDKs: `service_fabric`, `app_service`,
    /// `azure_ml`, `cloud_shell`, `azure_arc`, else `imds`.
    #[default]
    Detect,
    /// The instance metadata service of a virtual machine, also of container instances and of AKS nodes.
    Imds,
    /// App Service, Functions, Container Apps and Automation (`IDENTITY_ENDPOINT` and `IDENTITY_HEADER`).
    AppService,
    /// A server or cluster elsewhere that Azure Arc manages (`IDENTITY_ENDPOINT` and `IMDS_ENDPOINT`).
    AzureArc,
    /// Cloud Shell (`MSI_ENDPOINT`).
    CloudShell,
    /// Azure Machine Learning (`MSI_ENDPOINT` and `MSI_SECRET`).
    AzureMl,
    /// Service Fabric (`IDENTITY_ENDPOINT`, `IDENTITY_HEADER` and `IDENTITY_SERVER_THUMBPRINT`).
    ServiceFabric,
}

impl Choice for SourceName {
    const CHOICES: &[(&str, Self)] = &[
        ("detect", Self::Detect),
        ("imds", Self::Imds),
        ("app_service", Self::AppService),
        ("azure_arc", Self::AzureArc),
        ("cloud_shell", Self::CloudShell),
        ("azure_ml", Self::AzureMl),
        ("service_fabric", Self::ServiceFabric),
    ];
}

/// The token to come.
pub(in crate::credential) type Asked<'a> =
    Pin<Box<dyn Future<Output = Result<Granted, Failure>> + 'a>>;

/// The source of one managed identity.
#[derive(Clone, Debug)]
pub(in crate::credential) enum Source {
    Imds(Imds),
    #[cfg(feature = "every-credential")]
    Beside(Box<Beside>),
}

impl Source {
    /// The one that is named or found, for tokens of that resource alone or of any.
    pub(in crate::credential) fn check(
        name: SourceName,
        selector: Selector,
        resource: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Self, ConfigError> {
        match name {
            SourceName::Imds => {}
            #[cfg(feature = "every-credential")]
            name => {
                let beside = match name {
                    SourceName::Detect => Beside::detect(selector.clone(), resource, place)?,
                    name => Some(Beside::named(name, selector.clone(), resource, place)?),
                };
                if let Some(beside) = beside {
                    return Ok(Self::Beside(Box::new(beside)));
                }
            }
            #[cfg(not(feature = "every-credential"))]
            SourceName::Detect => {}
            // a process of the platform beside this one is nothing that the filter has a cluster for
            #[cfg(not(feature = "every-credential"))]
            _ => {
                return Err(
                    ConfigError::new(place.at("source"), "is not available in Envoy")
                        .hint("the filter asks the metadata service alone: write imds"),
                );
            }
        }
        Imds::check(selector, resource, place).map(Self::Imds)
    }

    /// The server that it is, for messages.
    pub(in crate::credential) fn server(&self) -> &str {
        match self {
            Self::Imds(imds) => imds.server(),
            #[cfg(feature = "every-credential")]
            Self::Beside(beside) => beside.server(),
        }
    }

    pub(in crate::credential) fn describe(&self) -> String {
        match self {
            Self::Imds(imds) => imds.describe(),
            #[cfg(feature = "every-credential")]
            Self::Beside(beside) => beside.describe(),
        }
    }

    pub(in crate::credential) fn distinguish(&self, out: &mut Distinction) {
        match self {
            Self::Imds(imds) => imds.distinguish(out),
            #[cfg(feature = "every-credential")]
            Self::Beside(beside) => beside.distinguish(out),
        }
    }

    /// One token for that resource.
    pub(in crate::credential) fn token<'a>(
        &'a self,
        io: &'a Io,
        resource: &'a str,
        correlation_id: &'a str,
        timeout_ms: u64,
    ) -> Asked<'a> {
        // one function each, whichever kind of credential asks
        match self {
            Self::Imds(imds) => Box::pin(imds.token(io, resource, correlation_id, timeout_ms)),
            #[cfg(feature = "every-credential")]
            Self::Beside(beside) => {
                Box::pin(beside.token(io, resource, correlation_id, timeout_ms))
            }
        }
    }
}
