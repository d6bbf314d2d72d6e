//! One attempt with one credential, in the order in which it happens. Whether there is another is decided elsewhere.

#[cfg(feature = "every-credential")]
use std::cell::Cell;

#[cfg(feature = "every-credential")]
use crate::TokenType;
use crate::acquire::plan::Plan;
#[cfg(feature = "every-credential")]
use crate::acquire::plan::unbound;
use crate::acquire::refused::{Refused, is_of_the_connection, is_of_the_credential};
#[cfg(feature = "every-credential")]
use crate::acquire::spent::{may_be_spent, of_what_is_spent};
#[cfg(feature = "every-credential")]
use crate::authority::Authority;
use crate::cache::{Acquired, Generation};
#[cfg(feature = "every-credential")]
use crate::capabilities;
#[cfg(feature = "every-credential")]
use crate::config::Client;
use crate::config::Exchange;
#[cfg(feature = "every-credential")]
use crate::credential::discovery;
use crate::credential::{ClientAuth, Credential, Direct, DirectRequest, Failure, Purpose};
#[cfg(feature = "every-credential")]
use crate::exchange::Granted;
use crate::exchange::{self, Asked, Form, Wanted};
use crate::flow::{Io, race};
use crate::grant;
#[cfg(feature = "every-credential")]
use crate::grant::agent::Agent;
#[cfg(feature = "every-credential")]
use crate::id_token;
use crate::limits::HTTP_TIMEOUT_MS;
#[cfg(feature = "every-credential")]
use crate::session::{self, InSession};
#[cfg(feature = "every-credential")]
use crate::text::Needles;
use crate::{Error, ErrorClass, Grant, Secret};

/// What one attempt knows.
pub(super) struct OneAttempt<'a> {
    pub(super) io: &'a Io,
    pub(super) plan: &'a Plan,
    pub(super) claims: Option<&'a str>,
    pub(super) correlation_id: &'a str,
    /// On the monotonic clock.
    pub(super) deadline: u64,
    /// The credential's place in the list.
    pub(super) at: usize,
    /// How many others come after it.
    pub(super) left: usize,
    /// What earlier attempts sent.
    pub(super) presented: &'a [Secret],
    /// What the grant presents counts once, and the server may have taken it.
    #[cfg(feature = "every-credential")]
    pub(super) spent: &'a Cell<bool>,
}

impl OneAttempt<'_> {
    /// Asks the platform.
    pub(super) async fn direct(&self, direct: &Direct) -> Result<Acquired, Refused> {
        let (begun, asked_at) = (self.io.number(), self.io.now());
        let request = DirectRequest {
            scopes: &self.plan.scopes,
            correlation_id: self.correlation_id,
            timeout_ms: self.timeout_ms(),
        };
        let granted = direct.token(self.io, &request).await.map_err(Refused::of)?;
        Ok(Acquired {
            granted,
            asked_at,
            begun,
            scope: self.plan.scopes.join(" "),
            generation: None,
            #[cfg(feature = "every-credential")]
            from_store: false,
        })
    }

    /// Authenticates the client and posts the grant. `before` is what was refused and is to be read anew: presenting
    /// the same again would be refused again.
    pub(super) async fn exchange(
        &self,
        exchange: &Exchange,
        before: Option<Refused>,
    ) -> Result<Acquired, Refused> {
        let begun = self.io.number();
        let Exchange {
            client,
            credentials,
        } = exchange;
        let credential = credentials.get(self.at);
        let tenant = self.plan.tenant.as_deref();
        #[cfg(feature = "every-credential")]
        let agent = Agent::of(&self.plan.grant, client, tenant, credential);
        // the identity vouches for it, and it asks
        #[cfg(feature = "every-credential")]
        let client = agent.as_deref().map_or(client, Agent::client);
        let mut secrets = grant::secrets(&self.plan.grant);
        secrets.extend_from_slice(self.presented);
        let endpoint = {
            let (io, id) = (self.io, self.correlation_id);
            let found = credential.find_token_endpoint(io, client, tenant, id, &secrets);
            #[cfg(feature = "every-credential")]
            match &agent {
                Some(agent) => agent.token_endpoint(),
                None => found.await,
            }
            #[cfg(not(feature = "every-credential"))]
            found.await
        };
        let endpoint = endpoint.map_err(Refused::from)?;
        let purpose = Purpose {
            identity: &self.plan.identity.name,
            client_id: &client.client_id,
            tenant,
            endpoint: &endpoint,
            audience: None,
            claims: self.claims,
            correlation_id: self.correlation_id,
        };
        let before = before.filter(|refused| refused.fingerprint.is_some());
        #[cfg(feature = "every-credential")]
        let gathered = self.gather(agent.as_deref(), credential, &purpose).await;
        #[cfg(not(feature = "every-credential"))]
        let gathered = self.gather(credential, &purpose).await;
        let auth = match (gathered, before) {
            (Ok(auth), Some(refused)) if auth.fingerprint() == refused.fingerprint => {
                return Err(refused);
            }
            // reading it anew did not help: what the server said about the old one says more
            (Err(_), Some(refused)) => return Err(refused),
            (Err(failure), None) => {
                return Err(Refused {
                    gives_way: failure.error.class() != ErrorClass::InvalidRequest,
                    ..Refused::of(failure)
                });
            }
            (Ok(auth), _) => auth,
        };
        #[cfg(feature = "every-credential")]
        let mut auth = auth;
        #[cfg(feature = "every-credential")]
        if let Some(agent) = &agent {
            let stands_in = agent.stand_in(self.io, &purpose, &mut auth).await;
            stands_in.map_err(Refused::of)?;
        }

        #[cfg(feature = "every-credential")]
        let auth = match self.plan.token_type {
            TokenType::Bearer => auth,
            TokenType::MtlsPop if auth.connection.is_none() => {
                return Err(unbound(&self.plan.identity.name).into());
            }
            TokenType::MtlsPop => auth.for_a_bound_token(&client.authority),
        };
        let host = &endpoint.authority;
        let clock_before = self.io.server_clock(host).estimate_ms(self.io.now());
        let own = auth.secrets();
        secrets.extend_from_slice(&own);
        #[cfg(feature = "every-credential")]
        if self.must_have_id_token() {
            // without the means to validate it, the code would be spent for nothing
            let ready = id_token::prepare(self.io, client, tenant, self.correlation_id, &secrets);
            Box::pin(ready).await.map_err(Refused::from)?;
        }
        let Plan { grant, scopes, .. } = self.plan;
        #[cfg(feature = "every-credential")]
        let session = InSession::of(self.io, &self.plan.identity.name, tenant, grant)
            .map_err(Refused::from)?;
        let mut form = Form::default();
        form.add("client_id", client.client_id.as_str());
        auth.add_to(&mut form);
        #[cfg(feature = "every-credential")]
        match &session {
            Some(session) => session.add_to(&mut form, grant, &client.authority, scopes),
            None => grant::add_to(&mut form, grant, &client.authority, scopes),
        }
        #[cfg(not(feature = "every-credential"))]
        grant::add_to(&mut form, grant, &client.authority, scopes);
        #[cfg(feature = "every-credential")]
        client.add_parameters(&mut form);
        #[cfg(feature = "every-credential")]
        let claims = capabilities::merged(&client.capabilities, self.claims);
        #[cfg(not(feature = "every-credential"))]
        let claims = self.claims;
        if let Some(claims) = claims {
            form.add("claims", claims);
        }
        #[cfg(feature = "every-credential")]
        secrets.extend(session.as_ref().and_then(InSession::refresh_token).cloned());

        let asked_at = self.io.now();
        let request = exchange::request(
            &endpoint,
            form,
            auth.authorization.clone(),
            self.correlation_id,
            self.timeout_ms(),
        );
        #[cfg(feature = "every-credential")]
        self.spent.set(!self.plan.is_repeatable());
        let result = self.io.http(request, auth.via()).await;
        #[cfg(feature = "every-credential")]
        self.spent
            .set(!self.plan.is_repeatable() && may_be_spent(&result));
        let asked = Asked {
            endpoint: &endpoint,
            server_unix_s: self.io.server_clock(host).estimate_ms(self.io.now()) / 1000,
            correlation_id: self.correlation_id,
            presented: auth.presented.as_deref(),
            wanted: Wanted {
                token_type: self.plan.token_type,
                token_exchange: matches!(grant, Grant::TokenExchange { .. }),
                has_subject: matches!(grant, Grant::OnBehalfOf { .. } | Grant::AgentUser { .. }),
                certificate_thumbprint: auth.connection.as_ref().and(auth.generation.as_deref()),
            },
            is_entra: client.authority.has_numbers_of_entra(),
            secrets: &secrets,
        };
        #[cfg_attr(
            not(feature = "every-credential"),
            expect(unused_mut, reason = "the other builds change it")
        )]
        let mut granted = match &result {
            Ok(response) => exchange::response(&asked, response),
            Err(error) => {
                let failure = exchange::no_response(&asked, error);
                Err(credential.explain(failure, error.kind))
            }
        };
        // whoever refuses says himself what he has taken
        #[cfg(feature = "every-credential")]
        if self.spent.get() {
            granted = granted.map_err(|error| match &error.detail().oauth_error {
                None => of_what_is_spent(error),
                Some(_) => error,
            });
        }
        let other_clock = exchange::learn_clock(
            self.io,
            host,
            result.as_ref().ok(),
            auth.is_built_by_clock().then_some(clock_before),
            granted.as_ref().err(),
        );
        // whoever answers that was no token server, and may not be the one that the issuer means by now
        #[cfg(feature = "every-credential")]
        if let (Err(error), Authority::Discovered(issuer)) = (&granted, &client.authority)
            && error.detail().oauth_error.is_none()
        {
            discovery::renew(self.io, issuer);
        }
        let other_certificate =
            (result.as_ref().err()).is_some_and(|error| auth.is_issued_anew(error.kind));
        #[cfg(feature = "every-credential")]
        if let Err(error) = &granted
            && exchange::is_refusal(error)
        {
            for presented in auth.read.iter().chain(&auth.for_user) {
                self.io.forget_assertion(presented);
            }
        }
        #[cfg(feature = "every-credential")]
        if let Some(agent) = &agent {
            granted = granted.map_err(|error| agent.explain(error));
        }
        #[cfg(feature = "every-credential")]
        let is_agent = agent.is_some();
        #[cfg(not(feature = "every-credential"))]
        let is_agent = false;
        // before the ID token is looked at: the refresh token is good, whatever is wrong with that
        #[cfg(feature = "every-credential")]
        if let Some(session) = &session {
            granted = match granted {
                Ok(mut answer) => session.keep(self.io, &mut answer).map(|()| answer),
                Err(error) => Err(session.explain(self.io, error)),
            };
        } else if matches!(grant, Grant::RefreshToken(_)) {
            granted = granted.map_err(session::of_refresh_token);
        }
        #[cfg(feature = "every-credential")]
        if let Ok(answer) = granted {
            granted = self
                .with_valid_id_token(&exchange.client, host, answer, &secrets)
                .await;
        }
        match granted {
            Ok(granted) => Ok(Acquired {
                granted,
                asked_at,
                begun,
                scope: scopes.join(" "),
                generation: auth.generation.map(|state| Generation {
                    credential: self.at,
                    state,
                }),
                #[cfg(feature = "every-credential")]
                from_store: false,
            }),
            Err(error) => Err(Refused {
                gives_way: match &result {
                    // what the server says of an agent, no credential of its blueprint changes
                    Ok(_) => !is_agent && is_of_the_credential(&error),
                    Err(error) => auth.connection.is_some() && is_of_the_connection(error.kind),
                },
                sent: true,
                fingerprint: auth.fingerprint(),
                differs_anew: other_clock || other_certificate,
                secrets: own,
                ..Refused::of(error.into())
            }),
        }
    }

    /// Whether an ID token was asked for.
    #[cfg(feature = "every-credential")]
    fn asks_for_id_token(&self) -> bool {
        let Plan { grant, scopes, .. } = self.plan;
        matches!(grant, Grant::AuthorizationCode { nonce: Some(_), .. })
            || scopes.iter().any(|scope| scope == "openid")
    }

    /// Whether it is for the ID token that the code is redeemed.
    #[cfg(feature = "every-credential")]
    fn must_have_id_token(&self) -> bool {
        self.asks_for_id_token() && matches!(self.plan.grant, Grant::AuthorizationCode { .. })
    }

    /// The answer, with its ID token if that is valid. One that is not good, or that nobody can judge, is an error where it
    /// was asked for, and left out where it was not. With a refresh token it is left out as well: an answer to that may be
    /// without one (OpenID Connect Core section 12.2), and the refresh token that it brings may be the only one that is good.
    #[cfg(feature = "every-credential")]
    async fn with_valid_id_token(
        &self,
        client: &Client,
        host: &str,
        mut granted: Granted,
        sent: &[Secret],
    ) -> Result<Granted, Error> {
        let grant = &self.plan.grant;
        let Some(id_token) = &granted.id_token else {
            return id_token::check_present(host, grant).map(|()| granted);
        };
        if !grant.kind().is_of_a_user() {
            granted.id_token = None;
            return Ok(granted);
        }
        // what the token, the metadata and the keys say is the server's, who may repeat what it was sent or has just issued
        let mut secrets = sent.to_vec();
        secrets.push(granted.token.clone());
        secrets.extend(granted.refresh_token.clone());
        let expected = id_token::Expected {
            client,
            tenant: self.plan.tenant.as_deref(),
            grant,
            access_token: &granted.token,
            host,
            correlation_id: self.correlation_id,
            secrets: &secrets,
            known: &Needles::of(&secrets),
        };
        let validated = Box::pin(id_token::validate(self.io, &expected, id_token));
        let result = match self.asks_for_id_token() && !matches!(grant, Grant::RefreshToken(_)) {
            true => validated.await.map_err(Some),
            // whoever does without it does not wait for it until there is no time left for the rest
            false => match race(validated, self.io.sleep_ms(self.timeout_ms() / 2)).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(None),
            },
        };
        let error = match result {
            Ok(()) => return Ok(granted),
            Err(None) => {
                granted.id_token = None;
                return Ok(granted);
            }
            Err(Some(error)) => error,
        };
        Err(error.without(expected.known))
    }

    /// One attempt's client authentication. Where others come after it, it gets its share of the time: one that hangs
    /// must not leave them none.
    async fn gather(
        &self,
        #[cfg(feature = "every-credential")] agent: Option<&Agent>,
        credential: &Credential,
        purpose: &Purpose<'_>,
    ) -> Result<ClientAuth, Failure> {
        let gathered = async {
            #[cfg(feature = "every-credential")]
            if let Some(agent) = agent {
                return agent.authenticate(self.io, purpose).await;
            }
            credential.authenticate(self.io, purpose).await
        };
        if self.left == 0 {
            return gathered.await;
        }
        let rest_ms = self.deadline.saturating_sub(self.io.now().mono_ms);
        let share_ms = rest_ms / (self.left as u64 + 1);
        race(gathered, self.io.sleep_ms(share_ms))
            .await
            .unwrap_or_else(|()| {
                let message = format!("gave nothing in {share_ms} ms");
                Err(Error::new(ErrorClass::Timeout, message).retryable().into())
            })
    }

    fn timeout_ms(&self) -> u64 {
        HTTP_TIMEOUT_MS.min(self.deadline.saturating_sub(self.io.now().mono_ms))
    }
}
