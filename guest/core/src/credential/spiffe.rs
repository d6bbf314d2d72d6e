//! A JWT-SVID: the token that a SPIFFE issuer (SPIRE, for example) gives a workload about itself, from the Workload API on a
//! Unix socket, which the host asks at each exchange.
//!
//! Servers that follow draft-ietf-oauth-spiffe-client-auth take it with an assertion type of its own,
//! `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`. Entra ID takes it as any other issuer's, if that signs with
//! RS256.

use std::rc::Rc;

use crate::config::Client;
use crate::config::error::{ConfigError, check};
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
use crate::needs::{HostSource, HostSourceNeed, WorkloadApiNeed};

/// Where the Workload API is (SPIFFE Workload Endpoint section 4).
const SOCKET: &str = "SPIFFE_ENDPOINT_SOCKET";

object! {
    /// A JWT-SVID from the SPIFFE Workload API.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct SpiffeFile {
        /// The socket of the Workload API, `unix:///path`; `SPIFFE_ENDPOINT_SOCKET` by default.
        socket: Option<String> = optional_text,
        /// The audience that the server expects; that of the identity's cloud by default, in the public one
        /// `api://AzureADTokenExchange`, and for other servers the URL of the token endpoint.
        audience: Option<String> = optional_text,
        /// Which of the workload's identities, `spiffe://…`, if it has several; its default one otherwise.
        spiffe_id: Option<String> = optional_text,
        /// `client_assertion_type`; the JWT bearer URN of RFC 7523 by default. Servers that know SPIFFE take
        /// `urn:ietf:params:oauth:client-assertion-type:jwt-spiffe`.
        assertion_type: Option<String> = optional_text,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct Spiffe {
    /// The setting, by which the host knows it.
    source: String,
    /// Without a socket there is no Workload API here.
    need: Option<WorkloadApiNeed>,
    assertion_type: String,
}

impl Kind for Spiffe {
    type Document = SpiffeFile;
    type Of = Client;

    fn check(
        document: &SpiffeFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let audience = platform::audience(document.audience.as_deref(), place, client)?;
        if let Some(id) = &document.spiffe_id {
            check(&place.at("spiffe_id"), rules::spiffe_id(id))?;
        }
        let socket = place.optional("socket", document.socket.as_deref(), Some(SOCKET));
        let source = place.path().to_owned();
        let need = match socket {
            None => None,
            Some(socket) => {
                socket.check(rules::filled_in)?;
                socket.check(rules::unix_socket)?;
                Some(WorkloadApiNeed {
                    socket: rules::socket_path(socket.value),
                    audience,
                    spiffe_id: document.spiffe_id.clone(),
                })
            }
        };
        if let Some(need) = &need {
            place.need(|needs| {
                needs.host_sources.push(HostSourceNeed {
                    setting: source.clone(),
                    source: HostSource::WorkloadApi(need.clone()),
                });
            });
        }
        Ok(Self {
            source,
            need,
            assertion_type: assertion_type(place, document.assertion_type.as_deref())?,
        })
    }

    fn describe(&self) -> String {
        match &self.need {
            Some(need) => format!("SPIFFE JWT-SVID of the Workload API at {}", need.socket),
            None => "SPIFFE JWT-SVID of a Workload API that is not named".to_owned(),
        }
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            source: _,
            need,
            assertion_type,
        } = self;
        if let Some(WorkloadApiNeed {
            socket,
            audience,
            spiffe_id,
        }) = need
        {
            out.add(socket);
            out.add(audience);
            out.add_optional(spiffe_id.as_deref());
        }
        out.add(assertion_type);
    }
}

impl SupplyAssertion for Spiffe {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let Some(need) = &self.need else {
            return Err(platform::not_here(
                format!("there is no SPIFFE Workload API here: {SOCKET} is not set"),
                "mount the agent's socket, and name it by `socket` or that variable",
            ));
        };
        let options = purpose.assertion_options(Some(&need.audience), Some(&self.source));
        let who = format!("the SPIFFE Workload API at {}", need.socket);
        let token = ask_source(io, options, &who).await?;
        let presented = inspect_jwt(token.expose()).map(Rc::new);
        Ok(Supplied::new(token, &self.assertion_type, presented))
    }
}
