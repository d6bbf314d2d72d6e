use clap::Parser as _;
use edgepass::UserReference;

use super::*;
use crate::arguments::{Arguments, Command};
use crate::repeat;

const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// What the command line is good for, or the whole of its error.
fn of(line: &[&str]) -> Result<Grant, String> {
    let line = ["edgepass", "token"].iter().chain(line);
    let arguments =
        Arguments::try_parse_from(line).map_err(|error| repeat::usage(error).to_string())?;
    let Command::Token(token) = arguments.command else {
        panic!("it is another command");
    };
    read(&token.grant, &token.config).map_err(|failure| {
        assert_eq!(failure.exit_status(), 2);
        failure.in_words()
    })
}

/// A file with that in it, which goes when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: impl AsRef<[u8]>) -> Self {
        let name = format!("edgepass-grant-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn each_grant_is_made_of_its_options() {
    let (a, b) = (File::new("a", "one\n"), File::new("b", VERIFIER));
    let jwt_file = File::new("jwt", JWT);
    let (a, b, jws) = (a.path(), b.path(), jwt_file.path());
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let agent = "11111111-2222-3333-4444-555555555555";
    for (line, expected) in [
        (vec![], Grant::ClientCredentials),
        (
            vec!["--grant", "obo", "--assertion-file", a],
            Grant::on_behalf_of("one"),
        ),
        (
            vec!["--grant", "jwt-bearer", "--assertion-file", jws],
            Grant::JwtBearer(JWT.into()),
        ),
        (
            vec!["--grant", "refresh_token", "--refresh-token-file", b],
            Grant::RefreshToken(VERIFIER.into()),
        ),
        (
            vec![
                "--grant",
                "authorization-code",
                "--code-file",
                a,
                "--redirect-uri",
                "https://app.example/back",
                "--code-verifier-file",
                b,
                // one of 64 nonces begins like an option
                "--nonce",
                "-n",
            ],
            Grant::AuthorizationCode {
                code: "one".into(),
                redirect_uri: "https://app.example/back".to_owned(),
                code_verifier: Some(VERIFIER.into()),
                nonce: Some("-n".into()),
            },
        ),
        (
            vec![
                "--grant",
                "token-exchange",
                "--subject-token-file",
                jws,
                "--subject-token-type",
                "jwt",
                "--actor-token-file",
                b,
                "--actor-token-type",
                "access_token",
                "--audience",
                "x",
                "--audience",
                "y",
                "--resource",
                "https://api.example/",
                "--requested-token-type",
                jwt,
            ],
            Grant::TokenExchange {
                subject_token: JWT.into(),
                subject_token_type: jwt.to_owned(),
                actor: Some((
                    VERIFIER.into(),
                    "urn:ietf:params:oauth:token-type:access_token".to_owned(),
                )),
                audience: vec!["x".to_owned(), "y".to_owned()],
                resource: vec!["https://api.example/".to_owned()],
                requested_token_type: Some(jwt.to_owned()),
            },
        ),
        (
            vec!["--grant", "agent", "--agent", agent],
            Grant::Agent(agent.to_owned()),
        ),
        (
            vec![
                "--grant",
                "agent-user",
                "--agent",
                agent,
                "--user",
                "alice@contoso.example",
            ],
            Grant::AgentUser {
                agent: agent.to_owned(),
                user: UserReference::Username("alice@contoso.example".to_owned()),
            },
        ),
        (
            vec!["--grant", "agent-user", "--agent", agent, "--user", agent],
            Grant::AgentUser {
                agent: agent.to_owned(),
                user: UserReference::ObjectId(agent.to_owned()),
            },
        ),
    ] {
        assert_eq!(of(&line), Ok(expected), "{line:?}");
    }
}

#[test]
fn what_is_missing_or_out_of_place_is_named() {
    let (file, other) = (File::new("c", JWT), File::new("d", JWT));
    let (file, other) = (file.path(), other.path());
    for (line, says) in [
        (
            vec!["--assertion-file", file],
            vec![
                "--assertion-file: belongs to --grant on-behalf-of or jwt-bearer",
                "add --grant on-behalf-of",
            ],
        ),
        (
            vec!["--resource", "https://graph.microsoft.com"],
            vec![
                "--resource: belongs to --grant token-exchange, and the grant is client-credentials",
                "for a token for that resource give --scope RESOURCE/.default; add --grant token-exchange",
            ],
        ),
        (
            vec!["--audience", "https://graph.microsoft.com"],
            vec![
                "--audience: belongs to --grant token-exchange, and the grant is client-credentials",
                "for a token for that resource give --scope RESOURCE/.default; add --grant token-exchange",
            ],
        ),
        (
            vec!["--grant", "obo"],
            vec![
                "--assertion-file: is missing: --grant on-behalf-of needs it",
                "standard input",
            ],
        ),
        (
            vec!["--grant", "jwt-bearer"],
            vec!["--assertion-file: is missing"],
        ),
        (
            vec!["--grant", "refresh-token"],
            vec!["--refresh-token-file: is missing"],
        ),
        (
            vec![
                "--grant",
                "authorization-code",
                "--redirect-uri",
                "https://a/",
            ],
            vec!["--code-file: is missing"],
        ),
        (
            vec!["--grant", "authorization-code", "--code-file", file],
            vec!["--redirect-uri: is missing"],
        ),
        (
            vec![
                "--grant",
                "authorization-code",
                "--code-file",
                file,
                "--redirect-uri",
                " ",
            ],
            vec!["--redirect-uri: is empty"],
        ),
        (
            vec!["--grant", "token-exchange"],
            vec!["--subject-token-file: is missing"],
        ),
        (
            vec!["--grant", "token-exchange", "--subject-token-file", file],
            vec![
                "--subject-token-type: is missing",
                "access-token, id-token or jwt",
            ],
        ),
        (
            vec![
                "--grant",
                "token-exchange",
                "--subject-token-file",
                file,
                "--subject-token-type",
                "jwt",
                "--actor-token-file",
                other,
            ],
            vec!["--actor-token-type: is missing"],
        ),
        (
            vec![
                "--grant",
                "token-exchange",
                "--subject-token-file",
                file,
                "--subject-token-type",
                "jwt",
                "--actor-token-type",
                "jwt",
            ],
            vec!["--actor-token-type: is given without --actor-token-file"],
        ),
        (
            vec!["--grant", "token-exchange", "--subject-token-type", "jot"],
            vec![
                "--subject-token-type",
                "access-token, refresh-token, id-token, jwt, saml1, saml2",
            ],
        ),
        (vec!["--grant", "agent"], vec!["--agent: is missing"]),
        (
            vec!["--grant", "agent-user", "--agent", "x"],
            vec!["--user: is missing"],
        ),
        (
            vec!["--grant", "agent", "--agent", "x", "--user", "y"],
            vec!["--user: belongs to --grant agent-user"],
        ),
        (
            vec!["--grant", "agent", "--agent", "x", "--nonce", "y"],
            vec!["--nonce: belongs to --grant authorization-code, and the grant is agent"],
        ),
        (
            vec!["--grant", "device_code"],
            vec!["--grant: device-code is not offered", "nobody is there"],
        ),
        (
            vec!["--grant", "password"],
            vec!["--grant: password is not offered"],
        ),
        (
            vec!["--grant", "implicit"],
            vec!["--grant: implicit is not offered", "authorization-code"],
        ),
        (
            vec!["--grant", "on-behalf"],
            vec!["--grant", "on-behalf-of"],
        ),
        (
            vec!["--grant", "obo", "--assertion-file", "-", "--config", "-"],
            vec!["--assertion-file: is `-`, and --config is, too"],
        ),
        (
            vec![
                "--grant",
                "authorization-code",
                "--code-file",
                "-",
                "--code-verifier-file",
                "-",
                "--redirect-uri",
                "https://a/",
            ],
            vec!["--code-verifier-file: is `-`, and --code-file is, too"],
        ),
        (
            vec!["--grant", "obo", "--assertion-file", "/nowhere/token"],
            vec!["file with the user's token /nowhere/token cannot be read"],
        ),
    ] {
        let said = of(&line).expect_err(&format!("{line:?} is good"));
        for part in says {
            assert!(said.contains(part), "{part:?} for {line:?} in {said}");
        }
    }
}

#[test]
fn no_secret_is_taken_from_the_command_line_or_repeated() {
    const CODE: &str = "0.AXoAs1QVb2GKf0m5eG3tQk9ZrZ0vBAgAAAA";
    for (grant, option) in [
        ("on-behalf-of", "--assertion"),
        ("jwt-bearer", "--assertion"),
        ("authorization-code", "--code"),
        ("authorization-code", "--code-verifier"),
        ("refresh-token", "--refresh-token"),
        ("token-exchange", "--subject-token"),
        ("token-exchange", "--actor-token"),
    ] {
        for secret in [JWT, CODE] {
            let joined = format!("{option}={secret}");
            let file = format!("{option}-file");
            let lines: [&[&str]; 3] = [
                &["--grant", grant, option, secret],
                &["--grant", grant, &joined],
                &[
                    "--grant",
                    grant,
                    &file,
                    secret,
                    "--redirect-uri",
                    "https://a/",
                    "--subject-token-type",
                    "jwt",
                    "--actor-token-type",
                    "jwt",
                ],
            ];
            for line in lines {
                // options of other grants have no place; what is refused here is the secret
                let said = of(line).expect_err("it is a secret");
                assert!(!said.contains(secret), "{said}");
                let kept = line.contains(&file.as_str());
                if !kept {
                    assert!(
                        said.contains(&format!("{file} FILE")) && said.contains(SEEN),
                        "{said}"
                    );
                }
            }
            let path = Path::new(secret);
            let Err(failure) = super::secret(path, &file, "the token", Wanted::Code) else {
                panic!("{secret} is no file");
            };
            let said = failure.in_words();
            assert!(
                said.contains(&file) && said.contains(SEEN) && !said.contains(secret),
                "{said}"
            );
        }
    }
}

#[test]
fn one_file_is_for_one_option() {
    let file = File::new("twice", VERIFIER);
    let other = format!("{}-link", file.path());
    std::os::unix::fs::symlink(file.path(), &other).unwrap();
    let link = File(PathBuf::from(&other));
    let config = ["--config", file.path()];
    let code = ["--grant", "authorization-code", "--code-file", file.path()];
    let back = ["--redirect-uri", "https://a/"];
    for (line, says) in [
        (
            [&code[..], &["--code-verifier-file", file.path()], &back].concat(),
            "--code-verifier-file: names the same file as --code-file",
        ),
        (
            [&code[..], &["--code-verifier-file", link.path()], &back].concat(),
            "--code-verifier-file: names the same file as --code-file",
        ),
        (
            [&code[..], &back, &config].concat(),
            "--code-file: names the same file as --config",
        ),
        (
            vec![
                "--grant",
                "token-exchange",
                "--subject-token-file",
                file.path(),
                "--subject-token-type",
                "access-token",
                "--actor-token-file",
                link.path(),
                "--actor-token-type",
                "access-token",
            ],
            "--actor-token-file: names the same file as --subject-token-file",
        ),
    ] {
        let said = of(&line).expect_err("it is one file");
        assert!(
            said.contains(says) && said.contains("its own file"),
            "{said}"
        );
    }
}

#[test]
fn types_of_tokens_have_short_names() {
    let of = |text: &str| text.parse::<TokenTypeName>().map(|name| name.0);
    for (text, expected) in [
        (
            "access-token",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        (
            "access_token",
            "urn:ietf:params:oauth:token-type:access_token",
        ),
        ("saml2", "urn:ietf:params:oauth:token-type:saml2"),
        ("urn:x:y", "urn:x:y"),
        ("https://a.example/type", "https://a.example/type"),
    ] {
        assert_eq!(of(text).as_deref(), Ok(expected), "{text}");
    }
    for bad in [
        "", "JWT ", "token", ":x", "urn:", "a b:c", "urn:x y", "1a:b",
    ] {
        assert!(of(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_option_of_a_grant_is_in_the_table() {
    use clap::CommandFactory as _;

    let command = Arguments::command();
    let token = command.find_subcommand("token").unwrap();
    let of_grants: Vec<String> = token
        .get_arguments()
        .filter(|option| option.get_help_heading() == Some("Grant"))
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect();
    let table = options(&GrantArguments::default());
    let mut known = vec!["--grant".to_owned()];
    known.extend(table.iter().map(|(option, ..)| (*option).to_owned()));
    assert_eq!(of_grants, known);
    for option in SECRETS {
        assert!(known.contains(&format!("{option}-file")), "{option}");
    }
}
