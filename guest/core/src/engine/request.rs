//! What a request for a token is answered with: the cached token, an error at once, or a ticket. How exchanges run is not
//! known here.

use super::flight::Waiter;
use super::key::FlightKey;
use super::{Engine, Reply};
use crate::cache::{CacheKey, Freshness};
use crate::limits::REJECTION_PATIENCE_MS;
use crate::{AccessToken, Error, ErrorClass, Now, Refresh, TokenRequest, challenge};

impl Engine {
    pub(super) fn serve(
        &mut self,
        now: Now,
        request: &TokenRequest,
        may_be: fn(Freshness) -> bool,
    ) -> Option<AccessToken> {
        if request.grant.kind().is_single_use() {
            return None;
        }
        let (_, key) = self.resolve(request).ok()?;
        let (entry, freshness) = self.cache.usable(&key, now)?;
        let is_refused = matches!(&request.refresh, Refresh::IfTokenIs(sha256) if entry.is(sha256));
        if is_refused || !may_be(freshness) {
            return None;
        }
        let token = entry.serve(now);
        self.hit(&key);
        Some(token)
    }

    pub(super) fn try_request(&mut self, now: Now, request: &TokenRequest) -> Result<Reply, Error> {
        let (resolved, key) = self.resolve(request)?;
        let claims = request
            .claims
            .as_deref()
            .map(challenge::parse_claims)
            .transpose()?;
        if claims.is_some() && !resolved.takes_claims {
            return Err(Error::new(
                ErrorClass::Unsupported,
                format!(
                    "identity `{}` gets its tokens from the platform, which takes no claims",
                    key.identity
                ),
            )
            .hint("ask without claims, or name an identity with a client of its own"));
        }
        let own_claims = claims.is_some();
        let mut fallback = None;
        let mut next_claims = None;
        let mut refresh_is_due = false;
        if let Some((entry, freshness)) = self.cache.usable(&key, now) {
            // a refused token's challenge goes with the next exchange for its key, whoever causes it
            next_claims = entry.next_claims().map(str::to_owned);
            let is_wanted = match &request.refresh {
                Refresh::IfNeeded => !own_claims,
                Refresh::Force => false,
                Refresh::IfTokenIs(sha256) => !entry.is(sha256),
            };
            let half_ms = entry.remaining_ms(now) / 2;
            if is_wanted {
                let token = entry.serve(now);
                match freshness {
                    Freshness::Fresh => {
                        self.hit(&key);
                        return Ok(Reply::Ready(Ok(token)));
                    }
                    Freshness::RefreshDue => {
                        refresh_is_due = true;
                        fallback = Some((0, token));
                    }
                    Freshness::Expiring => fallback = Some((half_ms, token)),
                    Freshness::Suspect => {
                        fallback = Some((half_ms.min(REJECTION_PATIENCE_MS), token));
                    }
                }
            }
        }
        let plan = self.plan(&resolved, request)?;
        let epoch = self.epochs.get(&key.identity).copied().unwrap_or(0);
        let flight = FlightKey::new(key, claims.or(next_claims), epoch, &self.seed);
        if let Some((_, token)) = &fallback
            && (refresh_is_due
                || self.held(&flight, now, false).is_some()
                || self.is_impatient(&flight))
        {
            self.hit(&flight.token);
            if refresh_is_due {
                self.refresh_behind(&plan, &flight);
            }
            return Ok(Reply::Ready(Ok(token.clone())));
        }
        let forced = request.refresh != Refresh::IfNeeded || flight.claims.is_some();
        if let Some(error) = self.held(&flight, now, forced) {
            return Ok(Reply::Ready(Err(error)));
        }
        let wait_ms = match self.admit(&flight, request.refresh == Refresh::Force, now) {
            Ok(wait_ms) => wait_ms,
            Err(error) => {
                let answer = fallback.map(|(_, token)| token).ok_or(error);
                return Ok(Reply::Ready(answer));
            }
        };
        let waiter = Waiter {
            flight,
            fallback: fallback.is_some(),
            own_claims,
            #[cfg(feature = "every-credential")]
            refresh: request.refresh.clone(),
        };
        let patience_ms = fallback.map(|(ms, _)| ms);
        let ticket = self.join(plan, waiter, wait_ms, patience_ms);
        Ok(Reply::Pending(ticket))
    }

    fn hit(&mut self, key: &CacheKey) {
        self.activity
            .count(&key.identity, |counters| counters.cache_hits += 1);
    }
}
