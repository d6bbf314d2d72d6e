//! No secret is anywhere but where it belongs.

use std::fs;

use edgepass_emulator::{App, Fault};
use edgepass_envoy_tests::{Answer, Envoy, Lab, Upstream, get, until};
use serde_json::{Value, json};

/// The pages of the admin interface that show what Envoy was told and what it has counted.
const PAGES: [&str; 7] = [
    "/config_dump?include_eds",
    "/stats",
    "/stats/prometheus",
    "/clusters",
    "/listeners?format=json",
    "/server_info",
    "/certs",
];

/// Searches everything that Envoy shows, and `answers` to callers, for `secrets`, and for what of a token is enough to
/// use it.
pub(crate) fn assert_hidden(envoy: &Envoy, answers: &[Answer], secrets: &[String]) {
    assert!(!secrets.is_empty(), "there is something to look for");
    let mut wanted = Vec::new();
    for secret in secrets {
        assert!(secret.len() >= 8, "too short to be told from other text");
        wanted.push(secret.clone());
        wanted.push(form_encoded(secret));
        if let Some((_, signature)) = secret.rsplit_once('.') {
            wanted.push(signature.to_owned());
        }
    }
    let dump: Value = serde_json::from_str(&envoy.admin(PAGES[0]).unwrap()).unwrap();
    assert!(
        dump.to_string().contains("token_files"),
        "it is the whole dump"
    );
    let mut places: Vec<(String, String)> = PAGES
        .iter()
        .map(|page| ((*page).to_owned(), envoy.admin(page).unwrap()))
        .collect();
    places.push(("the log".to_owned(), envoy.log()));
    let stderr = fs::read_to_string(envoy.dir().join("stderr")).unwrap();
    places.push(("standard error".to_owned(), stderr));
    for answer in answers {
        places.push(("an answer".to_owned(), format!("{answer:?}")));
    }
    for (place, text) in places {
        for secret in &wanted {
            assert!(!text.contains(secret.as_str()), "{place} holds a secret");
        }
    }
}

fn form_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Waits until there is no token any more, and gives the last answer.
fn ended(envoy: &Envoy) -> Answer {
    let mut answer = get(envoy.port(), "/").unwrap();
    until("the token has ended", || {
        answer = get(envoy.port(), "/").unwrap();
        answer.status == 503 && envoy.log().contains("no new access token")
    })
    .unwrap();
    answer
}

fn tokens(upstream: &Upstream) -> Vec<String> {
    let seen = upstream.seen();
    let tokens = seen.iter().filter_map(|request| request.bearer());
    tokens.map(str::to_owned).collect()
}

#[test]
fn dumps_stats_logs_and_answers_hold_no_token() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(3, None);
    let upstream = Upstream::start().unwrap();
    let plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    let envoy = lab.envoy(&lab.setup(&plugin, upstream.port()), 2).unwrap();
    until("a token is used", || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
    lab.emulator
        .faults()
        .push(Fault::aadsts(700_024).on("/token").forever());
    let answer = ended(&envoy);
    let stat = "edgepass_aadsts.700024";
    envoy.until_stat(stat, |count| count > 0).unwrap();

    let mut secrets = tokens(&upstream);
    assert!(!secrets.is_empty());
    for request in lab.emulator.token_requests() {
        secrets.extend(request.field("client_assertion"));
    }
    assert!(secrets.contains(&lab.workload_token().unwrap()));
    assert_hidden(&envoy, &[answer], &secrets);
}

#[test]
fn a_client_secret_comes_from_a_file_is_rotated_and_shown_nowhere() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, Some(2));
    let first = lab.emulator.client_secret().to_owned();
    let second = "a second secret: ~+&=%_8Q and so on".to_owned();
    let file = lab.dir().join("secret/client-secret");
    // the layout of a Kubernetes secret; the line end is not part of it
    let write = |secret: &str| {
        let issuer = lab.emulator.issuer();
        issuer.write_file(&file, &format!("{secret}\n")).unwrap();
    };
    write(&first);
    let upstream = Upstream::start().unwrap();
    let mut plugin = lab.plugin(json!({"request_deadline_ms": 200}));
    plugin["identities"]["app"]["credential"] = json!({"client_secret": {"file": file}});
    plugin["envoy"]["files"]["strip_prefix"] = json!(file.parent());
    let mut setup = lab.setup(&plugin, upstream.port());
    setup.token_dir = file.parent().unwrap().to_owned();
    setup.token_name_in_dir = "client-secret".to_owned();
    let envoy = lab.envoy(&setup, 2).unwrap();
    let mut answers = Vec::new();
    until("the first secret is used", || {
        answers.push(get(envoy.port(), "/").unwrap());
        answers[answers.len() - 1].status == 200
    })
    .unwrap();

    let client = lab.emulator.client_id();
    lab.emulator
        .register_app(App::new(client).secret(&first).secret(&second));
    write(&second);
    until("the second is used", || {
        let asked = lab.emulator.token_requests();
        asked[asked.len() - 1].field("client_secret").as_ref() == Some(&second)
    })
    .unwrap();
    let asked = lab.emulator.token_requests();
    assert_eq!(asked[0].field("client_secret").as_ref(), Some(&first));
    for request in asked {
        assert_eq!(request.method_of_proof.as_deref(), Some("secret"));
        assert_eq!(request.status, Some(200));
    }

    // the server refuses it from now on, and echoes what it was sent
    lab.emulator
        .register_app(App::new(client).secret("another one"));
    answers.push(ended(&envoy));
    lab.emulator.faults().push(
        Fault::status(400)
            .body(&format!("bad secret {second} {}", form_encoded(&second)))
            .on("/token")
            .forever(),
    );
    let asked = lab.emulator.token_requests().len();
    until("it has echoed", || {
        answers.push(get(envoy.port(), "/").unwrap());
        lab.emulator.token_requests().len() > asked + 1
    })
    .unwrap();
    let mut secrets = tokens(&upstream);
    secrets.extend([first, second]);
    assert_hidden(&envoy, &answers, &secrets);
}
