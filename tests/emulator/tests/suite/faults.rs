use std::time::{Duration, Instant, SystemTime};

use edgepass_emulator::{Emulator, Fault};
use http::StatusCode;
use http_body_util::BodyExt as _;

use crate::support::*;

/// An emulator that answers the next token request with a fault.
async fn with(fault: Fault) -> Emulator {
    let emulator = Emulator::builder().start().await.unwrap();
    emulator.faults().push(fault);
    emulator
}

async fn ask(emulator: &Emulator) -> Answer {
    post_secret(emulator, &[("scope", GRAPH)]).await
}

async fn try_ask(emulator: &Emulator) -> std::io::Result<Answer> {
    let fields = [
        ("client_id", emulator.client_id()),
        ("client_secret", emulator.client_secret()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ];
    Client::new(emulator)
        .try_post(&token_path(emulator.tenant()), &fields)
        .await
}

#[tokio::test]
async fn statuses_come_with_retry_after_in_both_forms() {
    let emulator = with(Fault::status(503).retry_after("7").body("busy").times(2)).await;
    for _ in 0..2 {
        let answer = ask(&emulator).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), "7");
        assert_eq!(answer.body, "busy");
    }
    ask(&emulator).await.token_claims();

    emulator
        .faults()
        .push(Fault::status(429).retry_after_date_in(120));
    let answer = ask(&emulator).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let date = httpdate::parse_http_date(answer.header("retry-after")).unwrap();
    let left = date.duration_since(SystemTime::now()).unwrap().as_secs();
    assert!((20..=120).contains(&left), "{left}");

    let seen: Vec<_> = emulator
        .journal()
        .iter()
        .map(|entry| (entry.status, entry.faulted))
        .collect();
    let expected = [
        (Some(503), true),
        (Some(503), true),
        (Some(200), false),
        (Some(429), true),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn codes_for_the_first_requests() {
    let emulator = with(Fault::aadsts(700_213).times(3)).await;
    for _ in 0..3 {
        ask(&emulator).await.refused(700_213);
    }
    ask(&emulator).await.token_claims();
    let codes: Vec<_> = emulator
        .journal()
        .iter()
        .map(|entry| entry.aadsts)
        .collect();
    assert_eq!(codes, [Some(700_213), Some(700_213), Some(700_213), None]);

    let challenge = Fault {
        claims: Some(r#"{"access_token":{}}"#.into()),
        suberror: Some("basic_action".into()),
        ..Fault::aadsts(50_076)
    };
    emulator.faults().push(challenge);
    let answer = ask(&emulator).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let body = answer.json();
    assert_eq!(body["error_codes"][0], 50_076);
    assert_eq!(body["claims"], r#"{"access_token":{}}"#);
    assert_eq!(body["suberror"], "basic_action");
}

#[tokio::test]
async fn faults_keep_to_their_paths() {
    let emulator = with(Fault::status(500).on("/discovery/").forever()).await;
    ask(&emulator).await.token_claims();
    let keys = format!("/{}/discovery/v2.0/keys", emulator.tenant());
    for _ in 0..3 {
        let answer = Client::new(&emulator).get(&keys).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(emulator.faults().waiting().len(), 1);
    emulator.faults().clear();
    assert_eq!(
        Client::new(&emulator).get(&keys).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_delay_delays_and_a_trickle_drips() {
    let emulator = with(Fault::delay(Duration::from_millis(150))).await;
    let begun = Instant::now();
    ask(&emulator).await.token_claims();
    assert!(begun.elapsed() >= Duration::from_millis(150));

    emulator
        .faults()
        .push(Fault::trickle(400, Duration::from_millis(30)));
    let begun = Instant::now();
    let answer = ask(&emulator).await;
    answer.token_claims();
    let pauses = u32::try_from(answer.body.len() / 400).unwrap();
    assert!(pauses >= 2, "{pauses}");
    assert!(begun.elapsed() >= Duration::from_millis(30) * pauses);
}

#[tokio::test]
async fn a_truncated_answer_breaks_off_in_its_middle() {
    let emulator = with(Fault::truncate().times(2)).await;
    let body = form(&[
        ("client_id", emulator.client_id()),
        ("client_secret", emulator.client_secret()),
        ("grant_type", "client_credentials"),
        ("scope", GRAPH),
    ]);
    let path = token_path(emulator.tenant());
    for client in [Client::new(&emulator), Client::new(&emulator).http2()] {
        let mut connection = client.connect().await.unwrap();
        let response = connection
            .begin("POST", &path, &[FORM], &body)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let promised: usize = response.headers()["content-length"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let mut body = response.into_body();
        let mut received = 0;
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => received += frame.into_data().unwrap().len(),
                end => break end,
            }
        };
        assert!(matches!(error, Some(Err(_))), "{error:?}");
        assert!(promised > 1_000, "{promised}");
        assert_eq!(received, promised / 2);
    }
    ask(&emulator).await.token_claims();
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let emulator = with(Fault::reset()).await;
    let error = try_ask(&emulator).await.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains("ConnectionReset"), "{text}");
    assert_eq!(emulator.journal()[0].status, None);
    ask(&emulator).await.token_claims();
}

#[tokio::test]
async fn a_hang_is_noted_and_holds_up_nobody_else() {
    let emulator = with(Fault::hang()).await;
    let hanging = try_ask(&emulator);
    let others = async {
        begun(&emulator, 1).await;
        ask(&emulator).await.token_claims();
    };
    tokio::select! {
        biased;
        answer = hanging => panic!("answered: {answer:?}"),
        () = others => {}
    }
    let journal = emulator.journal();
    assert_eq!((journal[0].status, journal[0].faulted), (None, true));
    assert_eq!(journal[1].status, Some(200));
}

#[tokio::test]
async fn what_is_held_is_answered_once_it_is_released() {
    let emulator = with(Fault::hold()).await;
    let held = ask(&emulator);
    let others = async {
        begun(&emulator, 1).await;
        // held up alone, and with no answer yet
        ask(&emulator).await.token_claims();
        emulator.faults().release();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = held => answer.token_claims(),
        () = others => unreachable!(),
    };
    let journal = emulator.journal();
    assert_eq!((journal[0].status, journal[0].faulted), (Some(200), true));
    assert_eq!((journal[1].status, journal[1].faulted), (Some(200), false));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_leaves_an_entry_without_an_answer() {
    let emulator = with(Fault::hold()).await;
    tokio::select! {
        biased;
        answer = try_ask(&emulator) => panic!("answered: {answer:?}"),
        () = begun(&emulator, 1) => {}
    }
    let journal = emulator.journal();
    assert_eq!((journal[0].settled, journal[0].status), (true, None));
}

/// Waits until so many token requests have arrived.
async fn begun(emulator: &Emulator, count: usize) {
    while emulator.token_requests_begun() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn pages_that_are_not_json() {
    let emulator = with(Fault::html(502)).await;
    let answer = ask(&emulator).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.body.starts_with(b"<!DOCTYPE html>"));
    emulator.faults().push(Fault {
        html: true,
        ..Fault::default()
    });
    assert_eq!(ask(&emulator).await.status, StatusCode::OK);

    let wrong_type = Fault::default().content_type("text/plain");
    emulator.faults().push(wrong_type);
    let answer = ask(&emulator).await;
    assert_eq!(answer.header("content-type"), "text/plain");
    answer.token_claims();
}

#[tokio::test]
async fn an_oversized_answer_stays_valid() {
    let emulator = with(Fault::oversize(10 << 20)).await;
    let answer = ask(&emulator).await;
    assert_eq!(answer.body.len(), 10 << 20);
    answer.token_claims();
}

#[tokio::test]
async fn redirects_point_where_told() {
    let emulator = with(Fault::redirect(307, "https://evil.example/token")).await;
    let answer = ask(&emulator).await;
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(answer.header("location"), "https://evil.example/token");
    emulator.faults().push(Fault {
        redirect: Some("/x".into()),
        ..Fault::default()
    });
    assert_eq!(ask(&emulator).await.status, StatusCode::FOUND);
}

#[tokio::test]
async fn the_date_header_alone_may_lie() {
    let emulator = with(Fault::date_skew(-600)).await;
    let answer = ask(&emulator).await;
    let date = httpdate::parse_http_date(answer.header("date")).unwrap();
    let behind = SystemTime::now().duration_since(date).unwrap().as_secs();
    assert!((600..=700).contains(&behind), "{behind}");
    assert!(answer.token_claims()["iat"].as_i64().unwrap() >= now() - 100);
}

#[tokio::test]
async fn answers_are_bent() {
    let emulator = with(Fault::omit("expires_in")).await;
    let body = ask(&emulator).await.json();
    assert!(body.get("expires_in").is_none(), "{body}");
    assert!(body["access_token"].is_string());

    emulator.faults().push(Fault::string_numbers());
    assert_eq!(ask(&emulator).await.json()["expires_in"], "3599");
    emulator.faults().push(Fault::token_type("mtls_pop"));
    assert_eq!(ask(&emulator).await.json()["token_type"], "mtls_pop");
    assert_eq!(ask(&emulator).await.json()["token_type"], "Bearer");
}

#[tokio::test]
async fn a_faulted_request_does_not_use_up_an_assertion() {
    let emulator = with(Fault::status(503)).await;
    let audience = emulator.token_endpoint(emulator.tenant());
    let id = emulator.client_id();
    let signed = Assertion::new(emulator.client_certificate(), id, &audience).sign();
    let first = post_assertion(&emulator, id, &signed).await;
    assert_eq!(first.status, StatusCode::SERVICE_UNAVAILABLE);
    post_assertion(&emulator, id, &signed).await.token_claims();
}
