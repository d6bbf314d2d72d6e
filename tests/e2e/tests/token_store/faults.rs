//! What is said of a store that does not work.

use anyhow::{Context as _, Result, ensure};
use edgepass_e2e::{GRAPH, Lab, RedisServer as Store, forced, free_port, graph, warnings};
use serde_json::{Value, json};

use super::access::{TlsFiles, with_tls};
use super::{KEY_ONE, PASSWORD, config, counters, instance, secret, section};

/// What cannot work is said before the first request, without what stands there.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_section_is_told() -> Result<()> {
    let lab = Lab::new("token_store_config")?;
    let section = section(&lab, "redis://127.0.0.1:1", "keys", &["one aHVudGVyMg=="])?;
    let with = |field: &str, value: &str| {
        let mut section = section.clone();
        section[field] = json!(value);
        section
    };
    for (section, says) in [
        (
            with("url", "redis://:hunter2@localhost"),
            "has credentials in it",
        ),
        (
            with("url", "redis://localhost/1"),
            "more than host and port",
        ),
        (with("password_env", "UNSET"), "is not set"),
        (with("key_prefix", "{edgepass}"), "other characters"),
        (with("encryption_keys_file", "keys"), "absolute path"),
    ] {
        let error = instance(&lab, &section).build_host().err();
        let said = format!("{:#}", error.context("it is taken")?);
        lab.evidence.saw("an error of the section", &said);
        assert!(
            said.contains("host.token_store") && said.contains(says),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
    let missing = with("password_file", "/nowhere/password");
    let problems = instance(&lab, &missing).build_host()?.problems().join("\n");
    for says in ["line 1: the key is not 32 bytes", "/nowhere/password"] {
        assert!(problems.contains(says), "{problems}");
    }
    assert!(!problems.contains("aHVudGVyMg"), "{problems}");
    // without a key nothing goes to the store, and tokens come all the same
    let provider = instance(&lab, &section).build().await?;
    lab.issued(&provider.get_token(&graph()).await?);
    assert!(counters(&provider).await?.store_failures > 0);
    Ok(())
}

/// A store's fault, as a deployment has it.
struct Broken {
    what: &'static str,
    section: Value,
    /// The setting to look at, and what stands of it.
    setting: &'static str,
    says: &'static str,
}

/// Each fault is said once beside the token that comes all the same, and is what a trial fails with; a store that works is not
/// mentioned beside a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_said_beside_the_token_and_found_by_a_trial() -> Result<()> {
    let lab = Lab::new("token_store_said")?;
    lab.evidence.secret("password of the store", PASSWORD);
    let open = Store::start(&[]).await?;
    let locked = Store::start(&["--requirepass", PASSWORD]).await?;
    let full = Store::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await?;
    let replica = Store::start(&["--replicaof", "127.0.0.1", "1"]).await?;
    let hung = Store::start(&[]).await?;
    let tls = TlsFiles::new(&lab)?;
    let tls_alone = with_tls(&tls).await?;
    let right = lab.write("right", PASSWORD)?;
    for (user, rights) in [
        ("reader", "+getrange +del"),
        ("writer", "+set +del"),
        ("stranger", "+ping +del"),
        ("keeper", "+getrange +set"),
    ] {
        let user = format!("{user} on >{PASSWORD} ~{{edgepass}}:* {rights}");
        let rules: Vec<&str> = ["ACL", "SETUSER"]
            .into_iter()
            .chain(user.split(' '))
            .collect();
        open.ask(&rules)?;
    }
    let of = |store: &Store| section(&lab, &store.url(), "keys", &[KEY_ONE]);
    let with = |section: Value, fields: &Value| -> Result<Value> {
        let mut section = section;
        let fields = fields.as_object().context("fields")?.clone();
        section.as_object_mut().context("a section")?.extend(fields);
        Ok(section)
    };
    let broken = |what, section, setting, says| Broken {
        what,
        section,
        setting,
        says,
    };
    let user = |name: &str| json!({ "username": name, "password_file": right });
    let cases = [
        broken(
            "nobody is there",
            with(
                of(&open)?,
                &json!({ "url": format!("redis://127.0.0.1:{}", free_port()?) }),
            )?,
            "url",
            "refused the connection",
        ),
        broken(
            "no password",
            of(&locked)?,
            "password_file",
            "wants a password",
        ),
        broken(
            "a wrong password",
            with(
                of(&locked)?,
                &json!({ "password_file": lab.write("wrong", "hunter3-of-nobody")? }),
            )?,
            "password_file",
            "refused username or password",
        ),
        broken(
            "no file of the password",
            with(
                of(&locked)?,
                &json!({ "password_file": "/nowhere/password" }),
            )?,
            "password_file",
            "/nowhere/password cannot be read now",
        ),
        broken(
            "no file of keys",
            with(
                of(&open)?,
                &json!({ "encryption_keys_file": "/nowhere/keys" }),
            )?,
            "encryption_keys_file",
            "/nowhere/keys cannot be read now",
        ),
        broken(
            "a file of something else",
            with(
                of(&open)?,
                &json!({ "encryption_keys_file": lab.write("no-keys", "one aHVudGVyMg==")? }),
            )?,
            "encryption_keys_file",
            "line 1: the key is not 32 bytes",
        ),
        broken(
            "no such database",
            with(of(&open)?, &json!({ "database": 99 }))?,
            "database",
            "has no database 99",
        ),
        broken("full", of(&full)?, "url", "is full"),
        broken("a replica", of(&replica)?, "url", "is a replica"),
        broken(
            "may not write",
            with(of(&open)?, &user("reader"))?,
            "username",
            "does not let its user run SET",
        ),
        broken(
            "may not read",
            with(of(&open)?, &user("writer"))?,
            "username",
            "does not let its user run GETRANGE",
        ),
        broken(
            "TLS without the authority",
            with(
                of(&open)?,
                &json!({ "url": format!("rediss://localhost:{}", tls_alone.port) }),
            )?,
            "url",
            " has a certificate that is not trusted: it signed itself, or ",
        ),
        broken(
            "TLS where none is spoken",
            with(
                of(&open)?,
                &json!({ "url": format!("rediss://localhost:{}", open.port), "ca_file": tls.authority }),
            )?,
            "url",
            "did not end the TLS handshake",
        ),
        broken(
            "no TLS where it is spoken",
            with(
                of(&open)?,
                &json!({ "url": format!("redis://localhost:{}", tls_alone.port) }),
            )?,
            "url",
            "rediss://",
        ),
        broken("silent", of(&hung)?, "url", "gave no answer"),
    ];
    hung.signal("-STOP")?;
    let tried = cases.iter().try_for_each(|case| {
        let setting = format!("host.token_store.{}", case.setting);
        let config = config(&lab, &secret(&lab), &case.section);
        let command = |words: &[&str]| lab.edgepass(words)?.config(&config)?.run();
        let ran = command(&["token", "--scope", GRAPH, "--error-format", "text"])?;
        ran.token().context(case.what)?;
        let lines = |text: &str| text.lines().filter(|line| line.contains(case.says)).count();
        let said = lines(&ran.stderr);
        let line = ran.stderr.lines().find(|line| line.contains(case.says));
        let line = line.with_context(|| format!("{}: {}", case.what, ran.stderr))?;
        ensure!(
            said == 1 && line.starts_with("edgepass: warning: "),
            "{}: {}",
            case.what,
            ran.stderr
        );
        ensure!(
            line.contains(&setting) && line.contains("; "),
            "{}: {line}",
            case.what
        );
        // the log has it in its place, and whoever wants no warnings has none
        let logged = command(&["-v", "token", "--scope", GRAPH])?;
        ensure!(lines(&logged.stderr) == 1, "{}", logged.stderr);
        let quiet = command(&["-q", "token", "--scope", GRAPH])?;
        ensure!(
            quiet.token().is_ok() && quiet.stderr.is_empty(),
            "{}",
            quiet.stderr
        );

        let checked = command(&["config", "check", "--try", "--error-format", "json"])?;
        let (code, error) = checked.error().context(case.what)?;
        let text = error.to_string();
        ensure!(
            code == 2 && text.contains(&setting),
            "{}: {text}",
            case.what
        );
        ensure!(
            text.contains(case.says) && text.contains("\"hint\":\""),
            "{}: {text}",
            case.what
        );
        for said in [&ran.stderr, &logged.stderr, &checked.stderr] {
            ensure!(
                !said.contains("hunter") && !said.contains("aHVudGVyMg"),
                "{said}"
            );
        }
        Ok(())
    });
    hung.signal("-CONT")?;
    tried?;

    // nobody waits for a lease to be given back, and it is told all the same
    let keeper = config(&lab, &secret(&lab), &with(of(&open)?, &user("keeper"))?);
    for (arguments, begin) in [
        (
            &["token", "--scope", GRAPH, "--error-format", "text"][..],
            Some("edgepass: warning: "),
        ),
        (
            &["token", "--scope", GRAPH, "--timeout", "20"],
            Some("{\"warnings\":["),
        ),
        (&["-v", "token", "--scope", GRAPH], Some("")),
        (&["-q", "token", "--scope", GRAPH], None),
    ] {
        open.ask(&["FLUSHALL"])?;
        let ran = lab.edgepass(arguments)?.config(&keeper)?.run()?;
        ran.token().context("a store that nobody may delete from")?;
        let says = "does not let its user run DEL";
        let lines = ran.stderr.lines().filter(|line| line.contains(says));
        let lines: Vec<&str> = lines.collect();
        ensure!(
            lines.len() == usize::from(begin.is_some())
                && lines
                    .iter()
                    .all(|line| line.starts_with(begin.unwrap_or_default())),
            "{arguments:?}: {}",
            ran.stderr
        );
    }

    // several at once are all told, each with its command
    let none = with(of(&open)?, &user("stranger"))?;
    open.ask(&["ACL", "SETUSER", "stranger", "-del"])?;
    let none = config(&lab, &secret(&lab), &none);
    let ran = lab
        .edgepass(&["config", "check", "--try"])?
        .config(&none)?
        .run()?;
    for right in ["GETRANGE", "SET", "DEL"] {
        ensure!(
            ran.stderr.contains(&format!("run {right} ")),
            "{right}: {}",
            ran.stderr
        );
    }

    // what a user who may not delete has left there ends by itself a while later
    open.ask(&["FLUSHALL"])?;
    // what works is said by the trial alone, and leaves nothing
    let good = config(&lab, &secret(&lab), &of(&open)?);
    let ran = lab
        .edgepass(&["config", "check", "--try"])?
        .config(&good)?
        .run()?;
    ensure!(
        ran.code == Some(0) && ran.stdout.contains("the token store is ready"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert_eq!(open.keys()?.len(), 0);
    let ran = lab
        .edgepass(&["token", "--scope", GRAPH])?
        .config(&good)?
        .run()?;
    ensure!(
        ran.token().is_ok() && ran.stderr.is_empty(),
        "{}",
        ran.stderr
    );
    Ok(())
}

/// Who runs on says a fault once, what it has become, and that it is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_on_says_a_fault_once_and_its_end() -> Result<()> {
    let lab = Lab::new("token_store_once")?;
    lab.evidence.secret("password of the store", PASSWORD);
    let store = Store::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]).await?;
    let section = section(&lab, &store.url(), "keys", &[KEY_ONE])?;
    let provider = instance(&lab, &section).build().await?;
    let address = format!("the store 127.0.0.1:{} ", store.port);
    let said = |what: &str| warnings(&format!("{address}{what}")).len();
    for _ in 0..3 {
        lab.issued(&provider.get_token(&forced()).await?);
    }
    assert_eq!((said(""), said("is full")), (1, 1));
    assert_eq!(provider.token_store_faults().len(), 1);
    // another fault
    store.ask(&["CONFIG", "SET", "maxmemory", "0"])?;
    store.ask(&["ACL", "SETUSER", "default", "-set"])?;
    for _ in 0..3 {
        lab.issued(&provider.get_token(&forced()).await?);
    }
    assert_eq!((said(""), said("does not let its user run SET")), (2, 1));
    // none any more
    store.ask(&["ACL", "SETUSER", "default", "+set"])?;
    lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!((said(""), provider.token_store_faults().len()), (2, 0));
    // the same again is news
    store.ask(&["CONFIG", "SET", "maxmemory", "1"])?;
    lab.issued(&provider.get_token(&forced()).await?);
    assert_eq!((said(""), said("is full")), (3, 2));
    assert!(provider.try_token_store().await.context("a store")?.len() == 1);
    Ok(())
}
