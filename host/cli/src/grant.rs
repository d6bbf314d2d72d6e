//! `--grant`, and what each grant needs.

mod content;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum as _;
use edgepass::{Grant, Secret, token_types};
use edgepass_core::config::is_absolute_uri;
use zeroize::Zeroizing;

use self::content::Wanted;
use super::arguments::{ConfigArguments, GrantArguments, GrantName};
use super::failure::Failure;
use super::repeat::is_harmless;
use super::{config, watch};

/// The argument that means standard input.
const STDIN: &str = "-";

/// What a file with a token, a code or a verifier has at most, bytes: far more than a server takes.
const SECRET_BYTES: u64 = 128 * 1024;

/// What to do about a secret in the command line.
pub(crate) const SEEN: &str =
    "every process of this machine sees a command line, and shells keep it";

/// Options that people try, and that would have a secret in the command line.
const SECRETS: [&str; 6] = [
    "--assertion",
    "--code",
    "--code-verifier",
    "--refresh-token",
    "--subject-token",
    "--actor-token",
];

/// What to do about an unknown option that would have a secret in the command line.
pub(crate) fn instead_of(option: &str) -> Option<String> {
    let option = SECRETS.iter().find(|known| **known == option)?;
    Some(format!(
        "give {option}-file FILE, or {option}-file - for standard input: {SEEN}"
    ))
}

/// A type of token: by its short name, or a URI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct TokenTypeName(String);

impl FromStr for TokenTypeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const NAMES: [(&str, &str); 6] = [
            ("access-token", token_types::ACCESS_TOKEN),
            ("refresh-token", token_types::REFRESH_TOKEN),
            ("id-token", token_types::ID_TOKEN),
            ("jwt", token_types::JWT),
            ("saml1", token_types::SAML1),
            ("saml2", token_types::SAML2),
        ];
        let name = text.replace('_', "-");
        if let Some((_, uri)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self((*uri).to_owned()));
        }
        if is_absolute_uri(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "it is none of {}, and no URI such as urn:ietf:params:oauth:token-type:jwt",
            NAMES.map(|(name, _)| name).join(", ")
        ))
    }
}

/// The grant, and what it needs read from files. Nothing is read if an option is missing or has no place.
pub(crate) fn read(arguments: &GrantArguments, config: &ConfigArguments) -> Result<Grant, Failure> {
    let name = arguments.grant.unwrap_or(GrantName::ClientCredentials);
    check_offered(name)?;
    check_options(name, arguments)?;
    check_files(arguments, config)?;
    let given = Given(arguments);
    Ok(match name {
        GrantName::ClientCredentials => Grant::ClientCredentials,
        GrantName::OnBehalfOf => {
            Grant::on_behalf_of(given.assertion("the user's token", Wanted::UsersToken)?)
        }
        GrantName::JwtBearer => {
            Grant::JwtBearer(given.assertion("the assertion", Wanted::Assertion)?)
        }
        GrantName::AuthorizationCode => Grant::AuthorizationCode {
            code: given.secret(
                &arguments.code_file,
                "--code-file",
                "the code",
                Wanted::Code,
            )?,
            redirect_uri: given.text(&arguments.redirect_uri, "--redirect-uri", REDIRECT_URI)?,
            code_verifier: given.optional(
                &arguments.code_verifier_file,
                "--code-verifier-file",
                "the code verifier",
                Wanted::Verifier,
            )?,
            nonce: arguments.nonce.as_deref().map(Secret::new),
        },
        GrantName::RefreshToken => Grant::RefreshToken(given.secret(
            &arguments.refresh_token_file,
            "--refresh-token-file",
            "the refresh token",
            Wanted::RefreshToken,
        )?),
        GrantName::TokenExchange => {
            let (of_subject, of_actor) =
                (&arguments.subject_token_type, &arguments.actor_token_type);
            given.needed(
                &arguments.subject_token_file,
                "--subject-token-file",
                "the subject token",
            )?;
            let subject_token_type = given.token_type(of_subject, "--subject-token-type")?;
            let subject_token = given.secret(
                &arguments.subject_token_file,
                "--subject-token-file",
                "the subject token",
                Wanted::Token(&subject_token_type),
            )?;
            let actor = match &arguments.actor_token_file {
                None => None,
                Some(path) => {
                    let kind = given.token_type(of_actor, "--actor-token-type")?;
                    let wanted = Wanted::Token(&kind);
                    let token = secret(path, "--actor-token-file", "the actor token", wanted)?;
                    Some((token, kind))
                }
            };
            Grant::TokenExchange {
                subject_token,
                subject_token_type,
                actor,
                audience: arguments.audience.clone(),
                resource: arguments.resource.clone(),
                requested_token_type: arguments
                    .requested_token_type
                    .as_ref()
                    .map(|name| name.0.clone()),
            }
        }
        GrantName::Agent => Grant::agent(given.text(&arguments.agent, "--agent", AGENT)?),
        GrantName::AgentUser => Grant::agent_user(
            given.text(&arguments.agent, "--agent", AGENT)?,
            given.text(&arguments.user, "--user", USER)?,
        ),
        // refused above
        GrantName::DeviceCode | GrantName::Password | GrantName::Implicit => {
            Grant::ClientCredentials
        }
    })
}

const REDIRECT_URI: &str = "give the redirect URI of the authorization request, letter for letter";
const AGENT: &str = "give the client ID of the agent identity";
const USER: &str = "give the user's name, alice@contoso.example for example, or object ID";

/// Grants that people know and that are not offered.
fn check_offered(name: GrantName) -> Result<(), Failure> {
    let (message, hint) = match name {
        GrantName::DeviceCode => (
            "device-code is not offered: somebody has to type a code into a browser, and at the edge nobody is there",
            "for a user, use authorization-code in a back end; for the workload itself, client-credentials",
        ),
        GrantName::Password => (
            "password is not offered: it hands a user's password to a program, and RFC 9700 section 2.4 forbids it",
            "for a user, use authorization-code in a back end; for the workload itself, client-credentials",
        ),
        GrantName::Implicit => (
            "implicit is not offered: it is for pages in a browser, and RFC 9700 section 2.1.2 advises against it",
            "use authorization-code, with a code verifier",
        ),
        _ => return Ok(()),
    };
    Err(Failure::setting("--grant", message, hint))
}

/// The grants that an option belongs to, and whether it is given.
fn options(arguments: &GrantArguments) -> [(&'static str, bool, &'static [GrantName]); 15] {
    use GrantName::{
        Agent, AgentUser, AuthorizationCode, JwtBearer, OnBehalfOf, RefreshToken, TokenExchange,
    };
    const EXCHANGE: &[GrantName] = &[TokenExchange];
    const CODE: &[GrantName] = &[AuthorizationCode];

    // all by name, so that a new option is not forgotten here
    let GrantArguments {
        grant: _,
        assertion_file,
        code_file,
        redirect_uri,
        code_verifier_file,
        nonce,
        refresh_token_file,
        subject_token_file,
        subject_token_type,
        actor_token_file,
        actor_token_type,
        audience,
        resource,
        requested_token_type,
        agent,
        user,
    } = arguments;
    [
        (
            "--assertion-file",
            assertion_file.is_some(),
            &[OnBehalfOf, JwtBearer],
        ),
        ("--code-file", code_file.is_some(), CODE),
        ("--redirect-uri", redirect_uri.is_some(), CODE),
        ("--code-verifier-file", code_verifier_file.is_some(), CODE),
        ("--nonce", nonce.is_some(), CODE),
        (
            "--refresh-token-file",
            refresh_token_file.is_some(),
            &[RefreshToken],
        ),
        (
            "--subject-token-file",
            subject_token_file.is_some(),
            EXCHANGE,
        ),
        (
            "--subject-token-type",
            subject_token_type.is_some(),
            EXCHANGE,
        ),
        ("--actor-token-file", actor_token_file.is_some(), EXCHANGE),
        ("--actor-token-type", actor_token_type.is_some(), EXCHANGE),
        ("--audience", !audience.is_empty(), EXCHANGE),
        ("--resource", !resource.is_empty(), EXCHANGE),
        (
            "--requested-token-type",
            requested_token_type.is_some(),
            EXCHANGE,
        ),
        ("--agent", agent.is_some(), &[Agent, AgentUser]),
        ("--user", user.is_some(), &[AgentUser]),
    ]
}

/// Options without a place, and those that lack another.
fn check_options(name: GrantName, arguments: &GrantArguments) -> Result<(), Failure> {
    for (option, is_given, grants) in options(arguments) {
        if is_given && !grants.contains(&name) {
            let names: Vec<String> = grants.iter().copied().map(spelt).collect();
            return Err(Failure::setting(
                option,
                format!(
                    "belongs to --grant {}, and the grant is {}",
                    names.join(" or "),
                    spelt(name)
                ),
                match (arguments.grant, names.first()) {
                    (None, Some(first)) => format!("add --grant {first}"),
                    _ => format!(
                        "leave it out; `edgepass token --help` says what {} needs",
                        spelt(name)
                    ),
                },
            ));
        }
    }
    if arguments.actor_token_type.is_some() && arguments.actor_token_file.is_none() {
        return Err(Failure::setting(
            "--actor-token-type",
            "is given without --actor-token-file: there is no token of that type",
            "give the file with the actor's token, or leave the type out",
        ));
    }
    Ok(())
}

/// No file is what two options are for, and standard input can be read once.
fn check_files(arguments: &GrantArguments, config: &ConfigArguments) -> Result<(), Failure> {
    let files = [
        ("--config", &config.config),
        ("--appsettings", &config.appsettings),
        ("--social-auth", &config.social_auth),
        ("--assertion-file", &arguments.assertion_file),
        ("--code-file", &arguments.code_file),
        ("--code-verifier-file", &arguments.code_verifier_file),
        ("--refresh-token-file", &arguments.refresh_token_file),
        ("--subject-token-file", &arguments.subject_token_file),
        ("--actor-token-file", &arguments.actor_token_file),
    ];
    let given = files
        .iter()
        .filter_map(|(option, path)| Some((*option, path.as_deref()?)));
    let given = Vec::from_iter(given);
    if given.len() < 2 {
        return Ok(());
    }
    let mut known: Vec<(&str, &Path, Option<FileId>)> = Vec::new();
    for (option, path) in given {
        let id = file_id(path, option);
        let is_same = |(_, other, of_other): &&(&str, &Path, Option<FileId>)| {
            *other == path || (id.is_some() && *of_other == id)
        };
        if let Some((first, other, _)) = known.iter().find(is_same) {
            return Err(match is_stdin(path) && is_stdin(other) {
                true => Failure::setting(
                    option,
                    format!("is `-`, and {first} is, too: standard input can be read once"),
                    "put one of the two into a file that you alone can read; in bash <(COMMAND) is one, too",
                ),
                false => Failure::setting(
                    option,
                    format!("names the same file as {first}, and the two are for different things"),
                    "give each its own file",
                ),
            });
        }
        known.push((option, path, id));
    }
    Ok(())
}

/// What tells a file apart, by whichever of its names it is given.
#[cfg(unix)]
type FileId = (u64, u64);

#[cfg(unix)]
fn file_id(path: &Path, option: &str) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt as _;

    let path = if is_stdin(path) {
        Path::new("/dev/stdin")
    } else {
        path
    };
    let _waiting = watch::file(watch::named("file", path, option));
    // of one that is not there whoever reads it says so
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
type FileId = PathBuf;

#[cfg(not(unix))]
fn file_id(path: &Path, option: &str) -> Option<FileId> {
    let _waiting = watch::file(watch::named("file", path, option));
    std::fs::canonicalize(path).ok()
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == OsStr::new(STDIN)
}

/// As `--grant` takes it.
fn spelt(name: GrantName) -> String {
    name.to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

/// What is given, or an error that names the option that is missing.
struct Given<'a>(&'a GrantArguments);

impl Given<'_> {
    fn grant(&self) -> String {
        spelt(self.0.grant.unwrap_or(GrantName::ClientCredentials))
    }

    fn missing(&self, option: &str, hint: &str) -> Failure {
        Failure::setting(
            option,
            format!("is missing: --grant {} needs it", self.grant()),
            hint,
        )
    }

    fn text(&self, text: &Option<String>, option: &str, hint: &str) -> Result<String, Failure> {
        match text {
            Some(text) if !text.trim().is_empty() => Ok(text.clone()),
            Some(_) => Err(Failure::setting(option, "is empty", hint)),
            None => Err(self.missing(option, hint)),
        }
    }

    fn token_type(&self, name: &Option<TokenTypeName>, option: &str) -> Result<String, Failure> {
        let name = name.as_ref().map(|name| name.0.clone());
        name.ok_or_else(|| {
            self.missing(
                option,
                "say what the token is: access-token, id-token or jwt, mostly",
            )
        })
    }

    fn assertion(&self, what: &str, wanted: Wanted<'_>) -> Result<Secret, Failure> {
        self.secret(&self.0.assertion_file, "--assertion-file", what, wanted)
    }

    /// That an option with a file is given.
    fn needed<'p>(
        &self,
        path: &'p Option<PathBuf>,
        option: &str,
        what: &str,
    ) -> Result<&'p Path, Failure> {
        path.as_deref().ok_or_else(|| {
            let hint = format!("give the file with {what}, or `-` for standard input");
            self.missing(option, &hint)
        })
    }

    fn secret(
        &self,
        path: &Option<PathBuf>,
        option: &str,
        what: &str,
        wanted: Wanted<'_>,
    ) -> Result<Secret, Failure> {
        secret(self.needed(path, option, what)?, option, what, wanted)
    }

    fn optional(
        &self,
        path: &Option<PathBuf>,
        option: &str,
        what: &str,
        wanted: Wanted<'_>,
    ) -> Result<Option<Secret>, Failure> {
        path.as_ref()
            .map(|path| secret(path, option, what, wanted))
            .transpose()
    }
}

/// What the file that this option names holds, without the line's end.
fn secret(path: &Path, option: &str, what: &str, wanted: Wanted<'_>) -> Result<Secret, Failure> {
    let bytes = Zeroizing::new(if is_stdin(path) {
        config::read_stdin(what, SECRET_BYTES)?
    } else {
        check_path(path, option)?;
        let kind = what.strip_prefix("the ").unwrap_or(what);
        config::read_file(path, option, &format!("file with the {kind}"), SECRET_BYTES)?
    });
    content::of(&bytes, is_stdin(path), wanted)
        .map_err(|(message, hint)| Failure::setting(option, message, hint))
}

/// Refuses what is the secret itself. A file of that name may be there all the same.
fn check_path(path: &Path, option: &str) -> Result<(), Failure> {
    let is_path = path.to_str().is_none_or(is_harmless) || std::fs::metadata(path).is_ok();
    if is_path {
        return Ok(());
    }
    Err(Failure::setting(
        option,
        "takes the path of a file, and what was given is no file and may be the secret itself",
        format!(
            "write it into a file, or give `-` and send it to standard input; {SEEN}, so take what was given for known to others"
        ),
    ))
}

#[cfg(test)]
mod tests {
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
}
