//! Acceptance: everything that can be wrong, each with its own message that names the setting and the fix, through the
//! real command. Where nothing may be sent, the emulator's journal is empty.

use std::net::{TcpListener, TcpStream};

use anyhow::{Context as _, Result};
use edgepass_e2e::{Command, GRAPH, Lab};
use edgepass_emulator::{Emulator, Fault, Mint};
use serde_json::{Value, json};

/// How a case must end.
struct Ending<'a> {
    code: i32,
    class: &'a str,
    /// Parts of message, setting and hint taken together.
    says: &'a [&'a str],
    /// Requests that may have been sent.
    sent: usize,
}

const USAGE: i32 = 2;
const NO_TOKEN: i32 = 1;

/// Runs the command and sees it end so, with a hint about what to do.
#[track_caller]
fn ends(lab: &Lab, command: Command<'_>, ending: &Ending<'_>) -> Result<Value> {
    let error = ends_with_message(lab, command, ending)?;
    assert!(
        !text(&error, "hint").is_empty(),
        "what to do about it: {error}"
    );
    Ok(error)
}

/// As [`ends`], where the message says it all: a place in a file, a file that is not there.
#[track_caller]
fn ends_with_message(lab: &Lab, command: Command<'_>, ending: &Ending<'_>) -> Result<Value> {
    lab.emulator.clear_journal();
    let (code, error) = command.run()?.error()?;
    assert_eq!(text(&error, "class"), ending.class, "{error}");
    assert_eq!(code, ending.code, "{error}");
    assert!(
        !text(&error, "message").is_empty() && !text(&error, "message").contains('\n'),
        "one line: {error}"
    );
    let told = format!(
        "{} {} {}",
        text(&error, "setting"),
        text(&error, "message"),
        text(&error, "hint")
    );
    for part in ending.says {
        assert!(told.contains(part), "no {part:?} in {told:?}");
    }
    assert_eq!(lab.emulator.journal().len(), ending.sent, "{error}");
    Ok(error)
}

/// A field of the error, empty when it is absent.
fn text<'e>(error: &'e Value, name: &str) -> &'e str {
    error.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The command, with a wrong environment or configuration: nothing is sent.
fn refused(says: &'static [&'static str]) -> Ending<'static> {
    Ending {
        code: USAGE,
        class: "configuration",
        says,
        sent: 0,
    }
}

#[test]
fn configuration() -> Result<()> {
    let lab = Lab::new("bad_configuration")?;
    let token = || lab.edgepass(&["token", "--scope", GRAPH]);
    ends(
        &lab,
        token()?
            .bare()
            .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1"),
        &Ending {
            code: NO_TOKEN,
            class: "credential-unavailable",
            ..refused(&[
                "no metadata service answers",
                "--config",
                "EDGEPASS_CONFIG",
                "AZURE_TENANT_ID",
                "AZURE_FEDERATED_TOKEN_FILE",
            ])
        },
    )?;
    let both = lab.config(&json!({
        "client_secret": { "value": lab.emulator.client_secret() },
        "federated_token_file": { "path": lab.files.token_file() },
    }));
    ends(
        &lab,
        token()?.config(&both)?,
        &refused(&[
            "identities.app.credential",
            "client_secret",
            "federated_token_file",
            "keep one",
        ]),
    )?;
    for missing in ["AZURE_TENANT_ID", "AZURE_CLIENT_ID"] {
        ends(
            &lab,
            token()?.without(missing),
            &Ending {
                says: &[missing, "is not set"],
                ..refused(&[])
            },
        )?;
    }
    let credential = json!({ "federated_token_file": { "path": lab.files.token_file() } });
    let mut misspelt = lab.config(&credential);
    misspelt["identities"]["app"]["tenantid"] = json!("x");
    ends(
        &lab,
        token()?.config(&misspelt)?,
        &refused(&["identities.app", "tenantid", "tenant_id"]),
    )?;
    // the command that users get
    ends(
        &lab,
        token()?.arg("--component").arg("other.wasm"),
        &refused(&["--component", "no compiler", "--features compiler"]),
    )?;
    ends_with_message(
        &lab,
        token()?.config_text("{ \"identities\": ")?,
        &refused(&["line 1"]),
    )?;
    ends_with_message(&lab, token()?.config_text("[]")?, &refused(&["object"]))?;
    let (code, error) = token()?
        .without_azure()
        .arg("--config")
        .arg("/nowhere/config.json")
        .run()?
        .error()?;
    assert_eq!((code, &error["class"]), (USAGE, &json!("configuration")));
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("/nowhere/config.json")),
        "{error}"
    );
    let unknown = token()?
        .config(&lab.config(&credential))?
        .arg("--identity")
        .arg("nobody");
    ends(
        &lab,
        unknown,
        &Ending {
            code: USAGE,
            class: "invalid-request",
            says: &["`nobody`", "app"],
            sent: 0,
        },
    )?;
    Ok(())
}

#[test]
fn authority_and_tenant() -> Result<()> {
    let lab = Lab::new("bad_authority")?;
    let token = || lab.edgepass(&["token", "--scope", GRAPH]);
    let http = lab.emulator.authority().replace("https:", "http:");
    ends(
        &lab,
        token()?.env("AZURE_AUTHORITY_HOST", http),
        &refused(&["AZURE_AUTHORITY_HOST", "https"]),
    )?;
    ends(
        &lab,
        token()?.without("EDGEPASS_AUTHORITY_HOSTS"),
        &refused(&[
            "AZURE_AUTHORITY_HOST",
            "localhost",
            "EDGEPASS_AUTHORITY_HOSTS",
        ]),
    )?;
    for tenant in [
        "a/b",
        "..",
        "../x",
        "common",
        "organizations",
        "a?b",
        "a%2Fb",
    ] {
        let command = token()?.env("AZURE_TENANT_ID", tenant);
        ends(
            &lab,
            command,
            &refused(&["AZURE_TENANT_ID", "GUID or one of its domains"]),
        )?;
    }
    let other = token()?.arg("--tenant").arg("other.example");
    let ending = Ending {
        code: USAGE,
        class: "invalid-request",
        says: &["other.example", "AZURE_ADDITIONALLY_ALLOWED_TENANTS"],
        sent: 0,
    };
    ends(&lab, other, &ending)?;
    Ok(())
}

#[test]
fn scopes_and_claims() -> Result<()> {
    let lab = Lab::new("bad_scopes")?;
    let wrong = |says| Ending {
        code: USAGE,
        class: "invalid-request",
        says,
        sent: 0,
    };
    let two = lab.edgepass(&[
        "token",
        "--scope",
        GRAPH,
        "--scope",
        "https://vault.azure.net/.default",
    ])?;
    ends(
        &lab,
        two,
        &wrong(&["one resource at a time", "ask once for each resource"]),
    )?;
    let bare = lab.edgepass(&["token", "--scope", "https://graph.microsoft.com"])?;
    ends(
        &lab,
        bare,
        &wrong(&["/.default", "https://graph.microsoft.com/.default"]),
    )?;
    ends(
        &lab,
        lab.edgepass(&["token"])?,
        &wrong(&["no scope", "https://graph.microsoft.com/.default"]),
    )?;
    let claims = lab.edgepass(&["token", "--scope", GRAPH, "--claims", "{nonsense"])?;
    ends(&lab, claims, &wrong(&["claims"]))?;
    let unknown = lab.edgepass(&["token", "--scope", "api://nobody/.default"])?;
    let error = ends(
        &lab,
        unknown,
        &Ending {
            code: NO_TOKEN,
            class: "refused",
            says: &["invalid_resource", "scope's spelling"],
            sent: 1,
        },
    )?;
    assert_eq!(error["aadsts"], json!([500_011]));
    assert!(
        error["correlation_id"].is_string() && error["trace_id"].is_string(),
        "{error}"
    );
    Ok(())
}

#[test]
fn token_file() -> Result<()> {
    let lab = Lab::new("bad_token_file")?;
    let path = lab.files.token_file().display().to_string();
    let token = || lab.edgepass(&["token", "--scope", GRAPH]);
    let unavailable = |says| Ending {
        code: NO_TOKEN,
        class: "credential-unavailable",
        says,
        sent: 0,
    };
    let missing = token()?.env("AZURE_FEDERATED_TOKEN_FILE", "/nowhere/token");
    ends(
        &lab,
        missing,
        &unavailable(&[
            "/nowhere/token",
            "does not exist",
            "AZURE_FEDERATED_TOKEN_FILE",
            "mounted",
        ]),
    )?;
    let expired = lab
        .emulator
        .issuer()
        .mint(&Mint::new().expires_in(-7_200))?;
    for (content, says) in [
        (String::new(), &["is empty"][..]),
        ("x".repeat(200_000), &["is larger than"]),
        (expired, &["expired 2 h ago", "kubelet"]),
        (
            "not a token at all".to_owned(),
            &["does not hold a JWT", "three base64url parts"],
        ),
    ] {
        lab.write_token_file(&content)?;
        let error = ends(&lab, token()?, &unavailable(says))?;
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.contains(&path)),
            "{error}"
        );
    }
    let directory = token()?.env(
        "AZURE_FEDERATED_TOKEN_FILE",
        lab.scratch().display().to_string(),
    );
    let (code, error) = directory.run()?.error()?;
    assert_eq!(
        (code, &error["class"]),
        (NO_TOKEN, &json!("credential-unavailable")),
        "{error}"
    );
    assert_eq!(lab.emulator.journal().len(), 0);
    Ok(())
}

#[test]
fn federation() -> Result<()> {
    let lab = Lab::new("bad_federation")?;
    lab.rotate_token(&Mint::new().subject("system:serviceaccount:default:Edgepass-demo"))?;
    let command = lab.edgepass(&["token", "--scope", GRAPH])?;
    let says = &[
        "subject \"system:serviceaccount:default:Edgepass-demo\"",
        "letter by letter",
    ];
    ends(
        &lab,
        command,
        &Ending {
            code: NO_TOKEN,
            class: "federation-mismatch",
            says,
            sent: 1,
        },
    )?;

    // may be the propagation of a new credential, so it is tried again before it counts
    lab.rotate_token(&Mint::new().audience("https://kubernetes.default.svc"))?;
    let command = lab.edgepass(&["token", "--scope", GRAPH])?;
    let says = &[
        "audience \"https://kubernetes.default.svc\"",
        "api://AzureADTokenExchange",
    ];
    let error = ends(
        &lab,
        command,
        &Ending {
            code: NO_TOKEN,
            class: "federation-mismatch",
            says,
            sent: 4,
        },
    )?;
    assert_eq!(error["aadsts"], json!([700_212]));
    Ok(())
}

#[test]
fn client_secret() -> Result<()> {
    let lab = Lab::new("bad_secret")?;
    let wrong = "wr0ng-Sx7~Qv2.Lp9_Tn4Zk8Rb3Wd6";
    lab.evidence.secret("client secret", wrong);
    for method in ["client_secret_post", "client_secret_basic"] {
        let credential = |value: &str| {
            lab.config(&json!({ "client_secret": { "value": value, "method": method } }))
        };
        let token = || lab.edgepass(&["-vv", "token", "--scope", GRAPH]);
        token()?
            .config(&credential(lab.emulator.client_secret()))?
            .run()?
            .token()
            .context(method)?;
        let ending = Ending {
            code: NO_TOKEN,
            class: "credential-rejected",
            says: &["invalid_client", "secret"],
            sent: 1,
        };
        let error = ends(&lab, token()?.config(&credential(wrong))?, &ending)?;
        assert_eq!(error["aadsts"], json!([7_000_215]));
    }
    Ok(())
}

#[test]
fn connection() -> Result<()> {
    let lab = Lab::new("bad_connection")?;
    let token = || lab.edgepass(&["token", "--scope", GRAPH]);
    let network = |says| Ending {
        code: NO_TOKEN,
        class: "network",
        says,
        sent: 0,
    };

    let stranger = Emulator::builder().start_blocking()?;
    let other_ca = lab.write("other-ca.pem", stranger.ca_pem())?;
    let wrong_ca =
        || token().map(|command| command.arg("--ca-file").arg(other_ca.display().to_string()));
    // what has an effect beside what is set
    let untrusted = network(&["certificate of localhost", "not trusted", "--ca-file"]);
    ends(&lab, wrong_ca()?, &untrusted)?;
    let untrusted = network(&["certificate of localhost", "not trusted", "SSL_CERT_FILE"]);
    ends(
        &lab,
        token()?.env("SSL_CERT_FILE", other_ca.display().to_string()),
        &untrusted,
    )?;
    let (code, error) = token()?
        .arg("--ca-file")
        .arg("/nowhere/ca.pem")
        .run()?
        .error()?;
    assert_eq!(
        (code, &error["class"]),
        (USAGE, &json!("configuration")),
        "{error}"
    );
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("/nowhere/ca.pem")),
        "{error}"
    );

    // a port where nobody listens, and nobody else can while this connection has it
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let nobody = TcpStream::connect(listener.local_addr()?)?;
    let port = nobody.local_addr()?.port();
    let down = token()?
        .env("AZURE_AUTHORITY_HOST", format!("https://localhost:{port}"))
        .env("EDGEPASS_AUTHORITY_HOSTS", format!("localhost:{port}"));
    ends(
        &lab,
        down,
        &network(&["no connection to localhost", "check that the server is up"]),
    )?;

    let nameless = token()?
        .env("AZURE_AUTHORITY_HOST", "https://login.nowhere.invalid")
        .env("EDGEPASS_AUTHORITY_HOSTS", "login.nowhere.invalid");
    ends(&lab, nameless, &network(&["login.nowhere.invalid"]))?;
    Ok(())
}

#[test]
fn answers() -> Result<()> {
    let lab = Lab::new("bad_answers")?;
    let elsewhere = Emulator::builder().start_blocking()?;
    let token = || lab.edgepass(&["-vv", "token", "--scope", GRAPH]);
    let location = elsewhere.token_endpoint(elsewhere.tenant());
    for (fault, class, says, sent) in [
        (
            Fault::redirect(307, &location),
            "invalid-response",
            &["redirect", "localhost", "never followed"][..],
            1,
        ),
        (
            Fault::redirect(302, "/elsewhere"),
            "invalid-response",
            &["redirect", "never followed"],
            1,
        ),
        (
            Fault::oversize(10_000_000),
            "invalid-response",
            &["more than", "which no answer of a token server has"],
            1,
        ),
        (
            Fault::html(200),
            "invalid-response",
            &["HTML", "no proxy answers"],
            3,
        ),
        (
            Fault::html(403),
            "invalid-response",
            &["HTTP 403", "HTML", "no proxy answers"],
            1,
        ),
        (
            Fault::html(502),
            "server",
            &["HTTP 502", "HTML", "may succeed later"],
            3,
        ),
        (Fault::truncate(), "invalid-response", &["cut short"], 3),
        (Fault::reset(), "network", &["closed the connection"], 3),
        (
            Fault::omit("access_token"),
            "invalid-response",
            &["no `access_token`"],
            3,
        ),
        (
            Fault::token_type("DPoP"),
            "invalid-response",
            &["`DPoP`", "bearer token was asked for"],
            1,
        ),
        (
            Fault::aadsts(7_000_112),
            "refused",
            &["disabled", "administrator"],
            1,
        ),
        (Fault::aadsts(90_033), "server", &["try again"], 3),
    ] {
        lab.emulator.faults().push(fault.on("/token").forever());
        ends(
            &lab,
            token()?,
            &Ending {
                code: NO_TOKEN,
                class,
                says,
                sent,
            },
        )?;
        lab.emulator.faults().clear();
    }
    assert_eq!(elsewhere.journal().len(), 0, "the redirect was followed");
    Ok(())
}

#[test]
fn throttling() -> Result<()> {
    let lab = Lab::new("bad_throttling")?;
    let ending = |says| Ending {
        code: NO_TOKEN,
        class: "throttled",
        says,
        sent: 1,
    };
    for fault in [
        Fault::status(429).retry_after("120"),
        Fault::status(429).retry_after_date_in(120),
    ] {
        lab.emulator.faults().push(fault.on("/token"));
        let error = ends(
            &lab,
            lab.edgepass(&["token", "--scope", GRAPH])?,
            &ending(&["HTTP 429"]),
        )?;
        assert_eq!(error["retryable"], true);
        let wait = error["retry_after_ms"].as_u64().unwrap_or_default();
        assert!((110_000..=120_000).contains(&wait), "{error}");
    }
    Ok(())
}

#[test]
fn a_claims_challenge_is_handed_on() -> Result<()> {
    let lab = Lab::new("bad_claims_challenge")?;
    let claims = r#"{"access_token":{"capolids":{"essential":true,"values":["c1"]}}}"#;
    let fault = Fault {
        claims: Some(claims.into()),
        ..Fault::aadsts(50_076)
    };
    lab.emulator.faults().push(fault.on("/token"));
    let ending = Ending {
        code: NO_TOKEN,
        class: "interaction-required",
        says: &["claims"],
        sent: 1,
    };
    let error = ends(&lab, lab.edgepass(&["token", "--scope", GRAPH])?, &ending)?;
    let handed_on: Value = serde_json::from_str(error["claims"].as_str().context("no claims")?)?;
    assert_eq!(handed_on, serde_json::from_str::<Value>(claims)?);
    Ok(())
}

#[test]
fn people_are_told_on_standard_error() -> Result<()> {
    let lab = Lab::new("bad_for_people")?;
    let ran = lab
        .edgepass(&[
            "token",
            "--scope",
            "api://nobody/.default",
            "--format",
            "token",
        ])?
        .run()?;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(NO_TOKEN), ""));
    for line in [
        "edgepass: error: ",
        "  class: refused",
        "  codes: AADSTS500011",
        "  correlation id: ",
        "  hint: ",
    ] {
        assert!(ran.stderr.contains(line), "no {line:?} in {}", ran.stderr);
    }
    let usage = lab.edgepass(&["token", "--scoop", GRAPH])?.run()?;
    assert_eq!((usage.code, usage.stdout.as_str()), (Some(USAGE), ""));
    assert!(usage.stderr.contains("--scope"), "{}", usage.stderr);
    Ok(())
}
