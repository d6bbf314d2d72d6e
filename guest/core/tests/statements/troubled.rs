//! A world in which everybody may be wrong.

use super::*;

/// A world in which everybody may be wrong.
pub(super) struct Troubled {
    world: World,
    builds_assertions: bool,
    scopes: Vec<TokenRequest>,
    /// By scope, the token that was served last to somebody without claims, and until when it is to be served.
    served: BTreeMap<usize, (AccessToken, u64)>,
    /// Who waits: for which scope, since when, and until when there is a token that he could have.
    asked: BTreeMap<Ticket, (usize, u64, u64)>,
    /// Asked for by force, or with claims: an error is an answer.
    others: Vec<Ticket>,
    /// Until when each token is to be served.
    ends: BTreeMap<String, u64>,
    rotated_ms: u64,
    /// What was asked for before that is not promised.
    forgotten_ms: u64,
    /// Both clocks have missed something, so that nobody here can know when a token ends.
    set_back: bool,
    slept: bool,
    /// A certificate was renewed: tokens that were got with the older one live, and are not served any more.
    renewed: bool,
    /// Until when the server has asked for quiet.
    quiet_until: u64,
    serial: u64,
}

impl Troubled {
    pub(super) fn new(seed: u64) -> Self {
        let builds_assertions = seed.is_multiple_of(3);
        let mut world = match builds_assertions {
            true => World::with_config(seed, certificate()),
            false => World::new(seed),
        };
        world.server.statements.no_codes = world.dice.one_in(4);
        let scopes = (0..world.dice.between(1, 4)).map(|n| scope(&format!("r{n}")));
        Self {
            scopes: scopes.collect(),
            world,
            builds_assertions,
            served: BTreeMap::new(),
            asked: BTreeMap::new(),
            others: Vec::new(),
            ends: BTreeMap::new(),
            rotated_ms: 0,
            forgotten_ms: 0,
            set_back: false,
            slept: false,
            renewed: false,
            quiet_until: 0,
            serial: 0,
        }
    }

    pub(super) fn run(mut self) {
        for _ in 0..self.world.dice.between(20, 80) {
            self.state_something();
            let ms = match self.world.dice.below(8) {
                0 => self.world.dice.between(1, HOUR),
                1 | 2 => self.world.dice.between(1, 5 * MINUTE),
                _ => self.world.dice.between(1, 5 * SECOND),
            };
            self.pass(ms);
            for _ in 0..self.world.dice.between(1, 4) {
                self.ask();
            }
        }
        self.recover();
        self.kept_the_pace();
    }

    fn any_scope(&mut self) -> usize {
        let count = self.scopes.len() as u64;
        usize::try_from(self.world.dice.below(count)).expect("few")
    }

    fn state_something(&mut self) {
        let world = &mut self.world;
        let statements = &mut world.server.statements;
        match world.dice.below(16) {
            0 | 1 => {
                let days = i64::try_from(world.dice.below(9)).expect("few") - 4;
                let scale = [60_000, 3_600_000, 86_400_000]
                    [usize::try_from(world.dice.below(3)).expect("few")];
                statements.date_off_ms = days * scale;
            }
            2 => {
                let waits = [0, 1, 7, 120, 999_999, u64::from(u32::MAX)];
                let n = usize::try_from(world.dice.below(6)).expect("few");
                statements.retry_after_s = Some(waits[n]);
            }
            3..=5 => {
                let until_ms = world.true_ms + world.dice.between(1, 200) * SECOND;
                world.server.mood = match world.dice.below(14) {
                    0 => Mood::Down,
                    1 => Mood::Sick,
                    2 => Mood::Throttling {
                        until_ms,
                        as_date: world.dice.one_in(2),
                    },
                    3 => Mood::Propagating,
                    4 => Mood::Silent,
                    5 => Mood::Garbled,
                    6 => Mood::Page,
                    7 => Mood::Redirecting,
                    8 => Mood::Refusing,
                    _ => Mood::Well,
                };
            }
            6 => {
                let lives = ["0", "-1", "-99999999999", "0.25", "1", "3", "\"0\""];
                let n = usize::try_from(world.dice.below(14)).expect("few");
                statements.expires_in = lives.get(n).map(|&life| life.to_owned());
            }
            7 => statements.same_token = world.dice.one_in(2),
            8 => statements.refuses_claims = world.dice.one_in(2),
            9 => {
                let hours = i64::try_from(world.dice.below(5)).expect("few") - 2;
                self.set_back |= hours * 3_600_000 < world.wall_offset_ms;
                world.wall_offset_ms = hours * 3_600_000;
                self.forget();
            }
            10 => {
                let ms = world.dice.between(1, 3 * HOUR);
                world.sleep(ms);
                self.slept = true;
                self.forget();
            }
            11 if world.dice.one_in(3) => {
                let now = world.now();
                world.engine.drop_cached(now, None);
                self.forget();
            }
            12 if world.dice.one_in(3) && self.builds_assertions => {
                world.certificate = format!("certificate {}", world.true_ms).into_bytes();
                self.renewed = true;
                self.forget();
            }
            _ => self.refuse_something(),
        }
    }

    /// An upstream answers 401, once or for a while.
    fn refuse_something(&mut self) {
        let n = self.any_scope();
        let Some((token, _)) = self.served.get(&n).cloned() else {
            return;
        };
        let kind = self.world.dice.below(3);
        if kind > 0 {
            // a new token may satisfy the challenge, and then the one before is revoked
            self.served.remove(&n);
            self.ends.insert(text(&token).to_owned(), 0);
            let asked = self.asked.values_mut().filter(|(of, ..)| *of == n);
            asked.for_each(|(.., until)| *until = 0);
        }
        for _ in 0..self.world.dice.between(1, 6) {
            self.serial += 1;
            let header = match kind {
                0 => None,
                1 => Some(challenge(&claims(0))),
                _ => Some(challenge(&claims(self.serial))),
            };
            let request = self.scopes[n].clone();
            refuse(&mut self.world, &request, &token, header.as_deref());
        }
    }

    /// What was promised before a clock jumped, the machine slept, or somebody dropped it, is not any more.
    fn forget(&mut self) {
        self.served.clear();
        self.forgotten_ms = self.world.true_ms;
        self.asked.values_mut().for_each(|(.., until)| *until = 0);
    }

    fn pass(&mut self, ms: u64) {
        self.world.pass(ms);
        if self.world.true_ms - self.rotated_ms > 48 * MINUTE {
            rotate(&mut self.world);
            self.rotated_ms = self.world.true_ms;
        }
        if let Mood::Throttling { until_ms, .. } = self.world.server.mood
            && self.world.true_ms >= until_ms
        {
            self.world.server.mood = Mood::Well;
        }
        self.take_answers();
    }

    fn take_answers(&mut self) {
        let now = self.world.true_ms;
        for (ticket, answer) in std::mem::take(&mut self.world.answers) {
            if let Some((n, since, until)) = self.asked.remove(&ticket) {
                // he was answered some time ago; a token that ends meanwhile was good then
                self.check(n, &answer, until > now);
                if since <= self.forgotten_ms {
                    self.served.remove(&n);
                }
            }
        }
        let waiting = &self.world.waiting;
        self.others.retain(|ticket| waiting.contains(ticket));
        for (n, since, until) in self.asked.values() {
            let waited = now - since;
            let has_token = *until > now;
            assert!(
                !has_token || waited <= 15 * MINUTE,
                "scope {n} waits for {waited} ms"
            );
        }
    }

    fn ask(&mut self) {
        let n = self.any_scope();
        let mut request = self.scopes[n].clone();
        match self.world.dice.below(12) {
            0 => {
                self.serial += 1;
                request.claims = Some(claims(self.serial));
            }
            1 => request.refresh = Refresh::Force,
            2 => {
                if let Some((token, _)) = self.served.get(&n) {
                    request.refresh = Refresh::IfTokenIs(token.token.sha256_hex());
                }
            }
            _ => {}
        }
        let is_plain = request.claims.is_none() && request.refresh == Refresh::IfNeeded;
        let now = self.world.true_ms;
        let until = self.served.get(&n).map_or(0, |(_, until)| *until);
        match self.world.ask(&request) {
            Ok(answer) if is_plain => self.check(n, &answer, until > now),
            Ok(_) => {}
            Err(ticket) if is_plain => {
                self.asked.insert(ticket, (n, now, until));
            }
            Err(ticket) => self.others.push(ticket),
        }
    }

    /// (b): nobody is refused who has a token that lives.
    fn check(&mut self, n: usize, answer: &Result<AccessToken, Error>, has_token: bool) {
        match answer {
            Ok(token) => {
                let (_, end) = self.world.server.issued[text(token)];
                let now = self.world.now().unix_s();
                let said = token.expires_on.saturating_sub(now) * SECOND;
                // whole seconds are said, and the engine counts them from when it asked
                let until = end.min(self.world.true_ms + said).saturating_sub(1200);
                // a clock that is set back does not make it live longer
                let known = self.ends.entry(text(token).to_owned()).or_insert(until);
                *known = until.min(*known);
                let until = *known;
                self.served.insert(n, (token.clone(), until));
            }
            Err(error) => assert!(
                !has_token || self.renewed,
                "refused with a token that lives: {error}"
            ),
        }
    }

    /// (a): once statements are good again, everybody has a token within the bound.
    fn recover(&mut self) {
        let server = &mut self.world.server;
        server.mood = Mood::Well;
        server.statements = support::Statements::default();
        server.lifetime_s = 3600;
        if self.world.wall_offset_ms != 0 {
            self.set_back |= self.world.wall_offset_ms > 0;
            self.world.wall_offset_ms = 0;
            self.forget();
        }
        let server = &self.world.server;
        let asked = server.seen.iter();
        self.quiet_until = asked
            .filter_map(|seen| Some(seen.at_ms + seen.retry_after_ms?))
            .max()
            .unwrap_or(0);
        let quiet = self.quiet_until.saturating_sub(self.world.true_ms);
        // the server's quiet is counted on the monotonic clock, which has stood still in sleep
        let slept = if self.slept { self.world.slept_ms } else { 0 };
        self.pass(quiet.min(HOUR) + slept.min(HOUR) + RECOVERY_MS);
        rotate(&mut self.world);
        for request in self.scopes.clone() {
            let token = self.world.get(&request);
            let token = token.unwrap_or_else(|error| panic!("still without a token: {error}"));
            let (_, end) = self.world.server.issued[text(&token)];
            let is_known = !(self.set_back && self.slept);
            assert!(!is_known || self.world.true_ms < end, "a dead token");
            self.serial += 1;
            let with_claims = TokenRequest {
                claims: Some(claims(self.serial)),
                ..request
            };
            let answer = self.world.get(&with_claims);
            assert!(answer.is_ok(), "claims are taken again: {answer:?}");
        }
        assert!(self.world.most_per_key <= 3);
    }

    /// (c): no more requests for a token than the pace allows, with three attempts for each exchange.
    fn kept_the_pace(&self) {
        let mut by_key: BTreeMap<(&str, bool), Vec<u64>> = BTreeMap::new();
        for seen in &self.world.server.seen {
            let key = (
                seen.form["scope"].as_str(),
                seen.form.contains_key("claims"),
            );
            by_key.entry(key).or_default().push(seen.at_ms);
        }
        let exchanges = limits::EXCHANGE_BURST + MINUTE / limits::EXCHANGE_INTERVAL_MS;
        let most = exchanges * u64::from(limits::MAX_PROPAGATION_ATTEMPTS);
        for (key, times) in by_key {
            for (n, from) in times.iter().enumerate() {
                let within = times[n..].iter().take_while(|at| **at < from + MINUTE);
                let count = within.count() as u64;
                assert!(count <= most, "{count} requests in a minute for {key:?}");
            }
        }
    }
}
