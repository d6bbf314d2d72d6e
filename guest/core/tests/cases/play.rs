//! A case under way: the driver of an engine.

use super::*;

/// What a case asks for.
#[derive(Debug)]
pub(super) enum Answer {
    Token(Box<AccessToken>),
    Assertion(ClientAssertion),
}

/// A case under way.
pub(super) struct Play<'a> {
    pub(super) case: &'a Case,
    pub(super) engine: Engine,
    pub(super) mono_ms: u64,
    pub(super) handles: Vec<String>,
    /// How many handshakes were refused, by the certificate: whoever issues them replaces a certificate that was.
    pub(super) refused: BTreeMap<String, usize>,
    pub(super) answered: usize,
    /// Credentials as they went out: none may come back in an answer.
    pub(super) sent: Vec<String>,
}

impl Play<'_> {
    fn now(&self) -> Now {
        Now {
            unix_ms: START_UNIX_MS + self.mono_ms,
            mono_ms: self.mono_ms,
        }
    }

    pub(super) fn answer_of_engine(&mut self) -> Checked<Result<Answer, Error>> {
        let ticket = match self.ask() {
            Ok(Reply::Ready(answer)) => return Ok(answer.map(|token| Answer::Token(token.into()))),
            Ok(Reply::Pending(ticket)) => ticket,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            while let Some((id, effect)) = self.engine.next_effect() {
                if let Some(outcome) = self.perform(effect)? {
                    let now = self.now();
                    self.engine.complete(id, outcome, now);
                }
            }
            if let Some(completed) = self.engine.take(ticket) {
                return match completed {
                    Completed::Token(answer) => Ok(answer.map(|token| Answer::Token(token.into()))),
                    Completed::Assertion(answer) => Ok(answer.map(Answer::Assertion)),
                    _ => Err("another kind of answer".into()),
                };
            }
            self.mono_ms = self.engine.next_deadline().ok_or("nothing is to come")?;
            let now = self.now();
            self.engine.wake(now);
        }
    }

    fn ask(&mut self) -> Result<Reply, Error> {
        let (ask, now) = (&self.case.request, self.now());
        if let Some(AskAssertion { audience }) = &ask.assertion {
            let identity = ask.identity.as_deref();
            let ticket = self
                .engine
                .request_assertion(now, identity, audience.as_deref());
            return ticket.map(Reply::Pending);
        }
        let request = TokenRequest {
            identity: ask.identity.clone(),
            scopes: ask.scopes.clone(),
            tenant: ask.tenant.clone(),
            claims: ask.claims.clone(),
            grant: ask
                .grant
                .clone()
                .map_or(Grant::ClientCredentials, Grant::from),
            refresh: if ask.force {
                Refresh::Force
            } else {
                Refresh::IfNeeded
            },
            token_type: if ask.mtls_pop {
                TokenType::MtlsPop
            } else {
                TokenType::Bearer
            },
        };
        Ok(self.engine.request(now, &request))
    }

    fn perform(&mut self, effect: Effect) -> Checked<Option<Outcome>> {
        Ok(Some(match effect {
            Effect::ReadFile { path } => {
                let files = &self.case.files;
                let is_below = |file: &String| {
                    let rest = file.strip_prefix(&path);
                    rest.is_some_and(|rest| rest.starts_with('/'))
                };
                let bytes = files.get(&path).cloned().map(SecretBytes::new);
                Outcome::File(bytes.ok_or_else(|| match files.keys().any(is_below) {
                    true => ReadError::Other(format!("{NOT_A_FILE}; name one")),
                    false => ReadError::NotFound,
                }))
            }
            Effect::OpenCertificate { name } => Outcome::Certificate(self.open(&name)),
            Effect::Sign { .. } => Outcome::Signature(Ok(SIGNATURE.to_vec())),
            Effect::Verify {
                algorithm,
                key,
                input,
                signature,
            } => Outcome::Verified(signatures::verify(algorithm, &key, &input, &signature)),
            Effect::Http { request, via } => Outcome::Http(self.answer(&request, via)?),
            Effect::CloseCertificate { .. } | Effect::Cancel { .. } => return Ok(None),
            other => return Err(format!("no case scripts this: {other:?}")),
        }))
    }

    fn open(&mut self, name: &str) -> Result<OpenedCertificate, CertificateError> {
        let refused = self.refused.get(name).copied().unwrap_or_default();
        let issued = self.case.issued.get(name);
        let (chain, issuance) =
            match issued.and_then(|issued| issued.get(refused).or(issued.last())) {
                None => {
                    let chain = self.case.identities.get(name);
                    (chain.ok_or(CertificateError::NotFound)?.clone(), None)
                }
                Some(Issued::Unavailable(why)) => {
                    return Err(CertificateError::Unavailable(why.clone()));
                }
                Some(Issued::Certificate {
                    der,
                    client_id,
                    tenant_id,
                    token_service,
                }) => (
                    vec![der.clone()],
                    Some(Issuance {
                        client_id: client_id.clone(),
                        tenant_id: tenant_id.clone(),
                        token_service: token_service.clone(),
                    }),
                ),
            };
        self.handles.push(name.to_owned());
        Ok(OpenedCertificate {
            handle: CertificateHandle(self.handles.len() as u64),
            certificate_chain: chain
                .iter()
                .map(|der| STANDARD.decode(der).expect("base64"))
                .collect(),
            issuance,
        })
    }

    fn answer(
        &mut self,
        request: &HttpRequest,
        via: Via,
    ) -> Checked<Result<HttpResponse, HttpError>> {
        let exchange = self
            .case
            .http
            .get(self.answered)
            .ok_or_else(|| format!("a request too many: {request:?}"))?;
        self.answered += 1;
        let via = match via {
            Via::Public => None,
            Via::Certificate(handle) => self.handles.get(handle.0 as usize - 1),
        };
        if via != exchange.request.via.as_ref() {
            return Err(format!("the connection is authenticated with {via:?}"));
        }
        let needs = self.engine.config().needs();
        let mut all = needs.connections.iter().chain(&needs.id_tokens);
        let permitted = all.any(|need| {
            let HttpRequest {
                scheme,
                authority,
                path,
                method,
                ..
            } = request;
            need.permission.permits(scheme, authority, path)
                && need.permission.purpose.method() == *method
                && need.certificate.as_ref() == via
        });
        if !permitted {
            return Err(format!("no driver lets this out: {request:?}"));
        }
        if let (Some(name), Some(_)) = (via, &exchange.response.error) {
            *self.refused.entry(name.clone()).or_default() += 1;
        }
        self.sent.extend(exchange.request.check(request)?);
        Ok(exchange.response.as_result())
    }
}
