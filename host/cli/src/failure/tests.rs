use super::*;

fn refused() -> Failure {
    Failure::Token(Error::with_detail(
        ErrorClass::FederationMismatch,
        ErrorDetail {
            message: "no federated credential matches".into(),
            hint: Some("compare the subject".into()),
            http_status: Some(401),
            oauth_error: Some("invalid_client".into()),
            aadsts: vec![700_213],
            correlation_id: Some("c-1".into()),
            credential: Some(credential("certificate", Some("demo"))),
            attempts: vec![Attempt {
                credential: credential("federated_token_file", None),
                class: ErrorClass::CredentialUnavailable,
                message: "it does not exist".into(),
            }],
            ..ErrorDetail::default()
        },
    ))
}

fn credential(kind: &str, name: Option<&str>) -> CredentialRef {
    CredentialRef {
        kind: kind.into(),
        name: name.map(Into::into),
    }
}

#[test]
fn people_get_one_line_and_what_else_is_known() {
    assert_eq!(
        refused().text(false),
        "edgepass: error: no federated credential matches\n  class: federation-mismatch\n  \
             credential: certificate `demo`\n  \
             also tried: federated_token_file (credential-unavailable: it does not exist)\n  http status: 401\n  \
             oauth error: invalid_client\n  codes: AADSTS700213\n  correlation id: c-1\n  hint: compare the subject\n"
    );
    assert!(
        refused()
            .text(true)
            .starts_with("edgepass: \u{1b}[1;31merror")
    );
}

#[test]
fn programs_get_the_fields_that_are_known() {
    let error = refused().json(&Warnings::default());
    assert!(error.get("warnings").is_none());
    let warned = refused().json(&Warnings(vec!["w".to_owned()]));
    assert_eq!(
        (&warned["warnings"], &warned["error"]),
        (&json!(["w"]), &error["error"])
    );
    assert_eq!(error["error"]["class"], "federation-mismatch");
    assert_eq!(error["error"]["aadsts"], json!([700_213]));
    assert_eq!(error["error"]["retryable"], json!(false));
    assert_eq!(
        error["error"]["credential"],
        json!({ "kind": "certificate", "name": "demo" })
    );
    assert_eq!(
        error["error"]["attempts"][0]["class"],
        "credential-unavailable"
    );
    assert!(error["error"].get("trace_id").is_none());
}

#[test]
fn whatever_a_component_says_is_one_line() {
    let bad = "a\u{1b}[2J\u{202e}\u{9b}\r\nb\u{200b}c";
    let failure = Failure::Token(Error::with_detail(
        ErrorClass::Refused,
        ErrorDetail {
            message: bad.into(),
            hint: Some(bad.into()),
            oauth_error: Some(bad.into()),
            correlation_id: Some(bad.into()),
            trace_id: Some(bad.into()),
            claims: Some(bad.into()),
            identity: Some(bad.into()),
            credential: Some(credential(bad, Some(bad))),
            ..ErrorDetail::default()
        },
    ));
    let text = failure.text(false);
    let printed = |text: &str| text.chars().all(|c| c == '\n' || is_printable(c));
    assert!(printed(&text), "{text:?}");
    assert_eq!(text.lines().count(), 9, "{text}");
    let json = escaped(&failure.json(&Warnings::default()).to_string());
    assert!(json.chars().all(is_printable), "{json:?}");
    let read: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["error"]["claims"], bad, "escaped is not lost");
    let warnings = Warnings(vec![bad.into()]).text();
    assert!(
        printed(&warnings) && warnings.lines().count() == 1,
        "{warnings:?}"
    );
    let path = Failure::setup("the file /x\n\u{1b}[1mnote\u{202e} cannot be read");
    assert_eq!(path.text(false).lines().count(), 1);
}

#[test]
fn who_gets_which_format() {
    use Format::{Json, Text};
    use Output::{Json as Asked, JsonByDefault, Other};
    for (error_format, output, at_a_terminal, expected) in [
        (None, JsonByDefault, true, Text),
        (None, JsonByDefault, false, Json),
        (None, Asked, true, Json),
        (None, Asked, false, Json),
        (None, Other, true, Text),
        (None, Other, false, Text),
        (Some(Text), Asked, false, Text),
        (Some(Text), JsonByDefault, false, Text),
        (Some(Json), Other, true, Json),
        (Some(Json), JsonByDefault, true, Json),
    ] {
        let format = Format::of(error_format, output, at_a_terminal);
        assert_eq!(format, expected, "{error_format:?} {at_a_terminal}");
    }
}

#[test]
fn hints_name_the_options_of_the_command() {
    for (hint, expected) in [
        ("set host.ca_file", "set --ca-file, host.ca_file"),
        (
            "EDGEPASS_CONFIG names it",
            "--config or EDGEPASS_CONFIG names it",
        ),
        ("see EDGEPASS_CONFIG_JSON", "see EDGEPASS_CONFIG_JSON"),
        (
            "a file by EDGEPASS_CONFIG (in a component: the document in EDGEPASS_CONFIG_JSON), or",
            "a file by --config or EDGEPASS_CONFIG, or",
        ),
        (
            "with --config, or by EDGEPASS_CONFIG",
            "with --config, or by EDGEPASS_CONFIG",
        ),
        ("set --ca-file, host.ca_file", "set --ca-file, host.ca_file"),
        ("look", "look"),
    ] {
        assert_eq!(for_the_command(hint), expected);
    }
}

#[test]
fn several_mistakes_are_all_there() {
    let mistake = |setting: &str| Mistake {
        setting: Some(setting.into()),
        place: None,
        message: "is wrong".into(),
        hint: None,
    };
    let one = Failure::Mistakes(vec![mistake("a")]).json(&Warnings::default());
    let expected = json!({"class": "configuration", "setting": "a", "message": "a: is wrong"});
    assert_eq!(one["error"], expected);
    let two = Failure::Mistakes(vec![mistake("a"), mistake("b")]);
    assert_eq!(
        two.text(false),
        "edgepass: error: a: is wrong\nedgepass: error: b: is wrong\n"
    );
    let json = two.json(&Warnings::default());
    assert_eq!(json["error"]["message"], "a: is wrong");
    assert_eq!(
        json["error"]["mistakes"],
        json!([{"setting": "a", "message": "a: is wrong"}, {"setting": "b", "message": "b: is wrong"}])
    );
}

#[test]
fn a_setting_is_shown_with_its_place() {
    let wrong = Failure::setting("identities.a.scopes", "is wrong", "look");
    let shown = wrong.with_each(|mistake| mistake.place = Some("f.yaml:3:5".to_owned()));
    assert_eq!(
        shown.text(false),
        "edgepass: error: identities.a.scopes: is wrong\n  at: f.yaml:3:5\n  hint: look\n"
    );
    let json = shown.json(&Warnings::default());
    assert_eq!(json["error"]["place"], "f.yaml:3:5");
    assert_eq!(json["error"]["setting"], "identities.a.scopes");
    // what is about no settings is what it was
    let after = refused().with_each(|mistake| mistake.message.clear());
    assert_eq!(refused().text(false), after.text(false));
}

#[test]
fn wrong_questions_are_usage() {
    let wrong = Failure::Token(Error::new(ErrorClass::InvalidRequest, "m"));
    assert_eq!(
        format!("{:?}", wrong.exit_code()),
        format!("{:?}", ExitCode::from(2))
    );
    assert_eq!(
        format!("{:?}", refused().exit_code()),
        format!("{:?}", ExitCode::from(1))
    );
}
