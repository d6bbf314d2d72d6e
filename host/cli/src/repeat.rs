//! Which input a message may repeat. What somebody gave in a wrong place may be a secret that belongs elsewhere.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
pub(crate) use edgepass::repeat::is_harmless;
use edgepass::repeat::{WITHHELD, is_harmless_argument};

use super::grant;

/// What to do about an argument that no option takes, which is a scope then.
fn as_scope(error: &clap::Error, argument: &str) -> Option<String> {
    let is_of_scopes = |usage: &str| {
        ["edgepass token ", "edgepass authorization-url "]
            .iter()
            .any(|command| usage.contains(command))
    };
    let usage = error.get(ContextKind::Usage)?.to_string();
    let is_value = error.kind() == ErrorKind::UnknownArgument && !argument.starts_with('-');
    (is_value && is_of_scopes(&usage))
        .then(|| "scopes are given by an option: --scope SCOPE, or -s SCOPE".to_owned())
}

/// What to do about an option where a command belongs: those before it are of all commands.
fn behind_the_command(error: &clap::Error, argument: &str) -> Option<String> {
    let usage = error.get(ContextKind::Usage)?.to_string();
    let is_before = error.kind() == ErrorKind::UnknownArgument
        && argument.starts_with('-')
        && usage.contains("<COMMAND>")
        && error.get(ContextKind::SuggestedArg).is_none();
    is_before.then(|| "options of a command stand behind it: edgepass COMMAND [OPTIONS]".to_owned())
}

/// A usage error that repeats nothing that may be a secret, and says where one belongs.
pub(crate) fn usage(mut error: clap::Error) -> clap::Error {
    let instead = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => grant::instead_of(option)
            .or_else(|| as_scope(&error, option))
            .or_else(|| behind_the_command(&error, option)),
        _ => None,
    };
    let is_instead = instead.is_some();
    if let Some(instead) = instead {
        error.remove(ContextKind::SuggestedArg);
        let instead = ContextValue::StyledStrs(vec![StyledStr::from(instead)]);
        error.insert(ContextKind::Suggested, instead);
    }
    let given = [
        ContextKind::InvalidArg,
        ContextKind::InvalidValue,
        ContextKind::InvalidSubcommand,
    ];
    for kind in given {
        let is_harmful = matches!(error.get(kind), Some(ContextValue::String(text))
            if !is_harmless_argument(text));
        if is_harmful {
            error.insert(kind, ContextValue::String(WITHHELD.to_owned()));
            if !is_instead {
                // how it would be written as a value, for example
                error.remove(ContextKind::Suggested);
            }
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn paths_are_repeated_and_secrets_are_not() {
        for path in [
            "/etc/edgepass/config.json",
            "config.json",
            "./My Config.json",
            "~/x",
            r"C:\Program Files\edgepass\config.json",
            "../a/b",
            "/var/run/secrets/11111111-2222-3333-4444-555555555555/x",
            "https://graph.microsoft.com/.default",
            "--identty",
            "header",
            "/etc/größe.json",
            ".",
            "..",
            "api.example",
            "api.example:443",
            "127.0.0.1:80",
            ":8080",
        ] {
            assert!(is_harmless(path), "{path}");
        }
        for secret in [
            r#"{"identities":{}}"#,
            "Sup3r+Secret/Value==",
            "abc8Q~0123456789abcdefghijklmnopqrstuvwx",
            "eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln",
            "/eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
            "hunter2",
            "hunter2:80",
            "Hunter2.example",
            "user:hunter2.example",
            "80808080",
            ":808080",
            "aB3/xYz0123456789ABCdef",
            "-----BEGIN PRIVATE KEY-----\nMII",
            "/etc/x\u{1b}[2J",
            &"a/".repeat(300),
            &"a".repeat(41),
        ] {
            assert!(!is_harmless(secret), "{secret}");
        }
    }

    #[test]
    fn what_an_argument_can_be_is_said_with_its_name() {
        for (line, words) in [
            ("completions tcsh", &["<SHELL>", "bash", "fish", "zsh"][..]),
            ("completions", &["<SHELL>"]),
            ("token --format xml", &["--format <FORMAT>", "header"]),
        ] {
            let words_of = std::iter::once("edgepass").chain(line.split(' '));
            let Err(error) = Arguments::try_parse_from(words_of) else {
                panic!("{line} is good");
            };
            let shown = usage(error).to_string();
            for word in words {
                assert!(shown.contains(word), "{line}: {word}: {shown}");
            }
            assert!(!shown.contains("not repeated"), "{line}: {shown}");
        }
    }

    #[test]
    fn an_option_before_its_command_is_told_where_it_belongs() {
        for (line, is_told) in [
            ("--config edgepass.json run app.wasm", true),
            ("-c edgepass.json token", true),
            ("--allow-host=api.example run app.wasm", true),
            ("--quiet --config edgepass.json config check", true),
            ("--quite token", false),
            ("token --confg edgepass.json", false),
            ("nothing", false),
        ] {
            let words = std::iter::once("edgepass").chain(line.split(' '));
            let Err(error) = Arguments::try_parse_from(words) else {
                panic!("{line} is good");
            };
            let shown = usage(error).to_string();
            let said = shown.contains("edgepass COMMAND [OPTIONS]");
            assert_eq!(said, is_told, "{line}: {shown}");
        }
    }

    #[test]
    fn a_scope_without_its_option_is_told_from_other_arguments() {
        for (line, is_scope) in [
            ("token https://graph.microsoft.com/.default", true),
            ("token -o token api://app/.default", true),
            ("token User.Read", true),
            (
                "authorization-url --redirect-uri https://a.example/c openid",
                true,
            ),
            ("token --scoop x", false),
            ("config schema x", false),
            ("config check a b", false),
        ] {
            let words = std::iter::once("edgepass").chain(line.split(' '));
            let Err(error) = Arguments::try_parse_from(words) else {
                panic!("{line} is good");
            };
            let shown = usage(error).to_string();
            assert_eq!(shown.contains("--scope SCOPE"), is_scope, "{line}: {shown}");
        }
    }

    #[test]
    fn usage_errors_repeat_no_secret() {
        for (arguments, secret) in [
            (
                ["edgepass", "token", "Sup3r+Secret/Value=="].as_slice(),
                "Sup3r",
            ),
            (&["edgepass", "token", "--format", "Sup3r+Secret"], "Sup3r"),
            (&["edgepass", "Sup3r+Secret"], "Sup3r"),
            // what takes arguments has a hint how this would be one
            (
                &["edgepass", "config", "check", "--Sup3rSecret1234", "x"],
                "Sup3r",
            ),
            (&["edgepass", "token", "--verbose=Sup3r+Secret"], "Sup3r"),
            (
                &[
                    "edgepass",
                    "envoy-config",
                    "--from",
                    "x",
                    "--listen",
                    "Sup3r+Secret",
                ],
                "Sup3r",
            ),
            (
                &[
                    "edgepass",
                    "envoy-config",
                    "--from",
                    "x",
                    "--upstream",
                    "https://u:Sup3r+Secret@h",
                ],
                "Sup3r",
            ),
        ] {
            let Err(error) = Arguments::try_parse_from(arguments) else {
                panic!("{arguments:?} is good");
            };
            let shown = usage(error).to_string();
            assert!(!shown.contains(secret), "{shown}");
        }
        let Err(error) = Arguments::try_parse_from(["edgepass", "token", "--identty", "x"]) else {
            panic!("it is misspelt");
        };
        assert!(usage(error).to_string().contains("--identty"));
        let listen = [
            "edgepass",
            "envoy-config",
            "--from",
            "x",
            "--listen",
            "nowhere:80",
        ];
        let Err(error) = Arguments::try_parse_from(listen) else {
            panic!("it is no address");
        };
        let shown = usage(error).to_string();
        assert!(shown.contains("for '--listen <ADDRESS:PORT>'"), "{shown}");
    }
}
