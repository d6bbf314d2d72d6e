//! `--grant`, and what each grant needs.

mod content;
mod token_type;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use edgepass::{Grant, Secret};
use zeroize::Zeroizing;

use self::content::Wanted;
pub(crate) use self::token_type::TokenTypeName;
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
                    (None, Some(first)) => {
                        // of an exchange alone, and the word is that of any token's
                        let of_scope = match option {
                            "--resource" | "--audience" => {
                                "for a token for that resource give --scope RESOURCE/.default; "
                            }
                            _ => "",
                        };
                        format!("{of_scope}add --grant {first}")
                    }
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
mod tests;
