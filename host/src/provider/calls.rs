//! Calls into the component, of which concurrent ones for the same token are one (single flight).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use edgepass_core::{Error, ErrorClass, Grant, TokenRequest, TokenSource};
use hashbrown::HashMap;
use tokio::sync::watch;

use super::Provider;
use crate::cache::{Key, Lookup, Token};
use crate::instance::{self, Answer, Call, Failed};

impl Provider {
    /// Asks the component. Concurrent callers of one key share the call.
    pub(super) async fn acquire(&self, request: &TokenRequest) -> Result<Token, Error> {
        if !self.0.read_through {
            return match self.call(Call::Token(request.clone())).await? {
                Answer::Token(token) => Ok(Token::new(token)),
                _ => Err(unexpected_answer()),
            };
        }
        let Some(key) = Key::of(request) else {
            return self.acquire_alone(request).await;
        };
        let (mut flight, leads) = match self.0.flights.join(request) {
            Some(flight) => (flight, false),
            None => match self.start_flight(key, request) {
                Ok(started) => started,
                Err(error) => return self.alive_or(request, error),
            },
        };
        if !leads {
            self.0.joined.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = flight
            .wait_for(Option::is_some)
            .await
            .map_err(|_| instance::stopped())?;
        match outcome.as_ref() {
            Some(Ok(outcome)) => Ok(if leads {
                outcome.first.clone()
            } else {
                outcome.shared.clone()
            }),
            Some(Err(Failed::Host(error))) => self.alive_or(request, error.clone()),
            Some(Err(Failed::Component(error))) => Err(error.clone()),
            None => Err(unexpected_answer()),
        }
    }

    /// Where the component was not asked, or has not answered: the token that this handle has, for as long as it lives.
    fn alive_or(&self, request: &TokenRequest, error: Error) -> Result<Token, Error> {
        self.0.cache.alive(request).ok_or(error)
    }

    /// Starts a flight for that key, or joins one that was started meanwhile.
    fn start_flight(&self, key: Key, request: &TokenRequest) -> Result<(Flight, bool), Error> {
        let mut under_way = self
            .0
            .flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = Lookup::of(request).and_then(|lookup| under_way.get(&lookup).cloned())
        {
            return Ok((flight, false));
        }
        let generation = self.0.cache.generation();
        let answer = self.0.instance.call(Call::Token(request.clone()))?;
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let (finish, flight) = watch::channel(None);
        under_way.insert(key.clone(), flight.clone());
        let landing = Landing {
            flights: Arc::clone(&self.0.flights),
            key: key.clone(),
        };
        let cache = Arc::clone(&self.0.cache);
        // a task of its own: a caller that is cancelled does not stop the flight for the others
        tokio::spawn(async move {
            let result = instance::answer(answer)
                .await
                .and_then(|answer| match answer {
                    Answer::Token(token) => Ok(Token::new(token)),
                    _ => Err(Failed::Component(unexpected_answer())),
                });
            let outcome = result.map(|first| {
                cache.put(key.clone(), &first, generation, false);
                let source = match first.source {
                    TokenSource::Cache => TokenSource::Cache,
                    TokenSource::Exchange | TokenSource::SharedExchange => {
                        TokenSource::SharedExchange
                    }
                };
                FlightOutcome {
                    shared: first.with_source(source),
                    first,
                }
            });
            drop(landing);
            let _ = finish.send(Some(outcome));
        });
        Ok((flight, true))
    }

    /// Requests that the cache must not answer. The component shares their exchanges where it can.
    async fn acquire_alone(&self, request: &TokenRequest) -> Result<Token, Error> {
        let generation = self.0.cache.generation();
        let Answer::Token(token) = self.call(Call::Token(request.clone())).await? else {
            return Err(unexpected_answer());
        };
        let token = Token::new(token);
        if matches!(request.grant, Grant::ClientCredentials) {
            let plain = TokenRequest {
                claims: None,
                refresh: Default::default(),
                ..request.clone()
            };
            if let Some(key) = Key::of(&plain) {
                self.0.cache.put(key, &token, generation, true);
            }
        }
        Ok(token)
    }

    pub(super) async fn call(&self, call: Call) -> Result<Answer, Error> {
        let answer = self.0.instance.call(call)?;
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        Ok(instance::answer(answer).await?)
    }
}

/// Calls in flight, by key (single flight).
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Flight>>);

/// Where the callers of one flight wait for its outcome.
pub(super) type Flight = watch::Receiver<Option<Result<FlightOutcome, Failed>>>;

/// The token of a flight.
pub(super) struct FlightOutcome {
    /// For the caller that started it.
    first: Token,
    /// For those that joined.
    shared: Token,
}

/// Takes a flight off the list when it ends, however it ends: one that a panic ended would be joined for ever.
pub(super) struct Landing {
    flights: Arc<Flights>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

impl Flights {
    pub(super) fn join(&self, request: &TokenRequest) -> Option<Flight> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&Lookup::of(request)?)
            .cloned()
    }
}

/// An answer of another kind than the call: a defect here, not the caller's.
pub(super) fn unexpected_answer() -> Error {
    Error::new(
        ErrorClass::Other,
        "the credential component answered another call",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flight_that_panics_is_not_joined_for_ever() {
        let flights = Arc::new(Flights::default());
        let request = TokenRequest::for_scopes(["a"]);
        let key = Key::of(&request).unwrap();
        let (finish, flight) = watch::channel(None);
        flights.0.lock().unwrap().insert(key.clone(), flight);
        let landing = Landing {
            flights: Arc::clone(&flights),
            key,
        };
        let mut joined = flights.join(&request).unwrap();
        let ended = tokio::spawn(async move {
            let (_landing, _finish) = (landing, finish);
            std::panic::resume_unwind(Box::new("a defect"));
        });
        assert!(ended.await.unwrap_err().is_panic());
        assert!(joined.wait_for(Option::is_some).await.is_err());
        assert!(flights.join(&request).is_none());
    }
}
