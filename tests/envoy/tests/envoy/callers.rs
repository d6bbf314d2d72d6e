//! Rules whose tokens are those of their callers, in the full module.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use edgepass_emulator::{Fault, Mint, User};
use edgepass_envoy_tests::{Answer, Envoy, Lab, Reply, Upstream, get, get_with, until};
use serde_json::{Value, json};

use crate::full::{part, printed, run, run_with};
use crate::generated::{listing_with, plain};
use crate::secrets::assert_hidden;

const GRAPH: &str = "https://graph.microsoft.com";

/// What is asked for each caller.
const READ: &str = "https://graph.microsoft.com/User.Read";

/// Callers whose tokens one worker keeps, as the page says.
const KEPT: usize = 1024;

/// A configuration with one rule, which is for callers.
fn config(lab: &Lab, rule: &Value) -> Value {
    let mut config = plain(lab);
    config["envoy"] = json!({"request_deadline_ms": 60_000, "rules": [rule]});
    config
}

fn on_behalf_of(lab: &Lab) -> Value {
    config(lab, &json!({"grant": "on-behalf-of", "scopes": [READ]}))
}

/// The same application at the server that is not Entra.
fn token_exchange(lab: &Lab) -> Value {
    let rule = json!({"grant": "token-exchange", "scopes": ["read"], "token_exchange": {
        "audience": ["api://edgepass-demo"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token"}});
    let mut config = config(lab, &rule);
    let app = &mut config["identities"]["app"];
    let credential = app["credential"].take();
    *app = json!({
        "client_id": lab.emulator.client_id(),
        "token_endpoint": format!("{}/token", lab.emulator.generic_issuer()),
        "credential": credential,
    });
    config
}

/// A user's token, as a client sends it to the application.
fn token_of(lab: &Lab, username: &str, mint: &Mint) -> String {
    let own = lab.emulator.own_resource();
    lab.emulator.user_token(username, &own, mint).unwrap()
}

/// A user who is there from now on, and has consented.
fn sign_up(lab: &Lab, username: &str) {
    let user = User::new(username);
    let user = user.consent(lab.emulator.client_id(), GRAPH, &["User.Read"]);
    lab.emulator.register_user(user);
}

/// Whose an access token is, by its own word: object ID and subject.
fn names(token: &str) -> [Value; 2] {
    let claims = part(token, 1);
    ["oid", "sub"].map(|name| claims[name].clone())
}

/// What a caller gets who sends that token.
fn call(envoy: &Envoy, token: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    get_with(envoy.port(), "/", &[("authorization", &authorization)]).unwrap()
}

/// A hundred requests of each of those users at once: what became of them.
fn crowd(envoy: &Envoy, users: &[(&'static str, String)]) -> Vec<u16> {
    let port = envoy.port();
    let callers: Vec<_> = (0..100)
        .flat_map(|_| users.iter().cloned())
        .map(|(name, token)| {
            thread::spawn(move || {
                let authorization = format!("Bearer {token}");
                let headers = [("authorization", authorization.as_str()), ("x-user", name)];
                get_with(port, "/", &headers).unwrap().status
            })
        })
        .collect();
    let answers = callers.into_iter().map(|caller| caller.join().unwrap());
    answers.collect()
}

/// Two users at once, twice: each has tokens of their own alone, a worker asks once for each of them, and what they
/// brought goes nowhere but to the token server.
fn two_users(lab: &Lab, config: &Value) {
    let upstream = Upstream::start().unwrap();
    let users = [
        ("ada", "ada@contoso.example"),
        ("bob", "bob@contoso.example"),
    ];
    for (_, username) in users {
        sign_up(lab, username);
    }
    let brought = users.map(|(name, username)| (name, token_of(lab, username, &Mint::new())));
    let known: BTreeMap<&str, [Value; 2]> = brought
        .iter()
        .map(|(name, token)| (*name, names(token)))
        .collect();
    let (envoy, answer) = run(lab, &upstream, config, &[]);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("x-edgepass-error"), Some("no-caller-token"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    assert!(upstream.seen().is_empty());

    for _ in 0..2 {
        let answers = crowd(&envoy, &brought);
        assert_eq!(answers, vec![200; 200], "{}", envoy.log());
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), 400);
    let mut hidden = BTreeSet::new();
    for request in &seen {
        let token = request.bearer().unwrap();
        assert!(brought.iter().all(|(_, brought)| brought != token));
        // Entra says the object ID, the other server the subject of what was brought
        let [object_id, subject] = names(token);
        let whose = &known[request.header("x-user").unwrap()];
        assert!(object_id == whose[0] || object_id.is_null() && subject == whose[1]);
        hidden.insert(token.to_owned());
    }
    let asked = lab.emulator.token_requests();
    assert!(asked.iter().all(|request| request.status == Some(200)));
    // two workers, each of which asks for itself
    assert!((2..=4).contains(&asked.len()), "{}", asked.len());
    assert_eq!(hidden.len(), asked.len());
    hidden.extend(brought.map(|(_, token)| token));
    hidden.insert(lab.workload_token().unwrap());
    assert_hidden(&envoy, &[], &hidden.into_iter().collect::<Vec<_>>());
}

#[test]
fn two_users_at_once_are_never_mixed() {
    let lab = Lab::start().unwrap();
    two_users(&lab, &on_behalf_of(&lab));
}

#[test]
fn nor_are_they_at_a_server_that_exchanges_tokens() {
    let lab = Lab::start().unwrap();
    two_users(&lab, &token_exchange(&lab));
}

/// One worker has so many at hand, and the others' tokens in its engine.
#[test]
fn more_callers_than_there_is_room_for() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let envoy = run_with(&lab, &upstream, &on_behalf_of(&lab), &[], 1).0;
    let username = lab.emulator.username();
    let callers: Vec<String> = (0..KEPT + 40)
        .map(|_| token_of(&lab, username, &Mint::new()))
        .collect();
    for caller in &callers {
        assert_eq!(call(&envoy, caller).status, 200);
    }
    assert_eq!(lab.emulator.token_requests().len(), callers.len());
    for caller in &callers {
        assert_eq!(call(&envoy, caller).status, 200);
    }
    assert_eq!(lab.emulator.token_requests().len(), callers.len());
    let seen = upstream.seen();
    let (first, again) = seen.split_at(callers.len());
    for (first, again) in first.iter().zip(again) {
        assert_eq!(first.bearer(), again.bearer());
    }
    let tokens: BTreeSet<_> = seen.iter().map(|request| request.bearer()).collect();
    assert_eq!(tokens.len(), callers.len(), "each has one of their own");
}

#[test]
fn who_gets_no_token_is_told_why() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let username = lab.emulator.username();
    let careful = "careful@contoso.example";
    lab.emulator
        .register_user(User::new(careful).second_factor_for(GRAPH));
    let (envoy, _) = run(&lab, &upstream, &on_behalf_of(&lab), &[]);
    let invalid = |challenge: &str| challenge == "Bearer error=\"invalid_token\"";
    let interaction = |challenge: &str| {
        challenge.starts_with("Bearer error=\"insufficient_claims\", claims=\"")
            || challenge.starts_with("Bearer error=\"interaction_required\"")
    };
    let good = token_of(&lab, username, &Mint::new());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (first, rest) = signature.split_at(1);
    let forged = format!("{head}.{}{rest}", if first == "A" { "B" } else { "A" });
    for (what, token, class, fits) in [
        (
            "expired",
            token_of(&lab, username, &Mint::new().expires_in(-600)),
            "refused",
            &invalid as &dyn Fn(&str) -> bool,
        ),
        (
            "for somebody else",
            lab.emulator
                .user_token(username, GRAPH, &Mint::new())
                .unwrap(),
            "refused",
            &invalid,
        ),
        ("forged", forged, "refused", &invalid),
        ("no token", "x".repeat(40), "invalid-request", &invalid),
        (
            "without a second factor",
            token_of(&lab, careful, &Mint::new()),
            "interaction-required",
            &interaction,
        ),
    ] {
        let answer = call(&envoy, &token);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_eq!(answer.header("x-edgepass-error"), Some(class), "{what}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(fits(challenge), "{what}: {challenge}");
        assert_hidden(&envoy, &[answer], &[token]);
    }
    assert!(upstream.seen().is_empty());
    // the next caller is served
    assert_eq!(call(&envoy, &good).status, 200);
    // and a failure of the server's is nobody's fault here
    let faults = lab.emulator.faults();
    faults.push(Fault::status(429).retry_after("600").on("/token").forever());
    let answer = call(&envoy, &token_of(&lab, username, &Mint::new()));
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("x-edgepass-error"), Some("throttled"));
    assert_eq!(answer.header("www-authenticate"), None);
}

/// RFC 8693 section 2.2.2: a subject token that is invalid or not accepted is an `invalid_request`.
#[test]
fn a_subject_that_the_server_does_not_take_is_the_callers() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let (envoy, _) = run(&lab, &upstream, &token_exchange(&lab), &[]);
    let username = lab.emulator.username();
    let ended = token_of(&lab, username, &Mint::new().expires_in(-600));
    for token in [ended, "x".repeat(40)] {
        let answer = call(&envoy, &token);
        assert_eq!(answer.status, 401, "{answer:?}\n{}", envoy.log());
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
    }
    assert!(upstream.seen().is_empty());
}

#[test]
fn a_token_that_the_upstream_refuses_is_replaced_for_its_caller_alone() {
    let lab = Lab::start().unwrap();
    let refused = Arc::new(Mutex::new(BTreeSet::<String>::new()));
    let known = Arc::clone(&refused);
    let upstream = Upstream::answering(move |request| {
        let is_refused = known.lock().unwrap().contains(request.bearer().unwrap());
        Reply::status(if is_refused { 401 } else { 200 })
    })
    .unwrap();
    let other = "bob@contoso.example";
    sign_up(&lab, other);
    let (envoy, _) = run_with(&lab, &upstream, &on_behalf_of(&lab), &[], 1);
    let ada = token_of(&lab, lab.emulator.username(), &Mint::new());
    let bob = token_of(&lab, other, &Mint::new());
    for caller in [&ada, &bob] {
        assert_eq!(call(&envoy, caller).status, 200);
    }
    let served = |index: usize| upstream.seen()[index].bearer().unwrap().to_owned();
    refused.lock().unwrap().insert(served(0));
    assert_eq!(call(&envoy, &ada).status, 401, "that one is on its way");
    until("the next has another", || call(&envoy, &ada).status == 200).unwrap();
    assert_eq!(call(&envoy, &bob).status, 200);
    let seen = upstream.seen();
    assert_eq!(seen[seen.len() - 1].bearer(), seen[1].bearer());
    assert_eq!(lab.emulator.token_requests().len(), 3);
    // without their own token nobody gets one of theirs
    assert_eq!(get(envoy.port(), "/").unwrap().status, 401);
}

/// What the page has before the filter: Envoy's own check of callers' tokens, which leaves them on the request.
#[test]
fn behind_jwt_authn_as_the_page_shows_it() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let config = on_behalf_of(&lab);
    let write = |dir: &Path| {
        let yaml = printed(&lab, &upstream, dir, &config, &[]);
        let cluster = yaml
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- name: "))
            .filter_map(|name| name.split(' ').next())
            .find(|name| name.starts_with("idp_"))
            .unwrap();
        let (authority, tenant) = (lab.emulator.authority(), lab.emulator.tenant());
        let filter = listing_with("yaml", "jwt_authn")
            .replace("idp_login_microsoftonline_com", cluster)
            .replace("https://login.microsoftonline.com", &authority)
            .replace(
                "11111111-2222-3333-4444-555555555555",
                lab.emulator.tenant(),
            )
            .replace(
                "66666666-7777-8888-9999-000000000000",
                lab.emulator.client_id(),
            );
        assert!(filter.contains(&format!("{authority}/{tenant}/v2.0\n")));
        let indented: String = filter
            .lines()
            .map(|line| format!("          {line}\n"))
            .collect();
        let (before, after) = yaml.split_once("          - name: edgepass\n").unwrap();
        format!("{before}{indented}          - name: edgepass\n{after}")
    };
    let envoy = Envoy::start(1, write).unwrap();
    let username = lab.emulator.username();
    let good = token_of(&lab, username, &Mint::new());
    until("Envoy has the keys", || call(&envoy, &good).status == 200).unwrap();
    let asked = lab.emulator.token_requests().len();
    let other = lab
        .emulator
        .user_token(username, GRAPH, &Mint::new())
        .unwrap();
    let ended = token_of(&lab, username, &Mint::new().expires_in(-600));
    for token in [other, ended, "a.b.c".to_owned()] {
        let answer = call(&envoy, &token);
        assert!([401, 403].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("x-edgepass-error"), None, "Envoy's own word");
    }
    assert_eq!(
        lab.emulator.token_requests().len(),
        asked,
        "Envoy has refused them"
    );
}
