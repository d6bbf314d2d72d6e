//! What is wrong with the command line, and what to do about it.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use edgepass::repeat::is_harmless_argument;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Prints help, or what is wrong with the command line, which repeats nothing that may be a secret in a wrong place.
pub(crate) fn report(error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // of one that cannot be written nothing is left to say it to
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    failure(error, std::env::args().skip(1)).report()
}

fn failure(mut error: clap::Error, line: impl Iterator<Item = String>) -> Failure {
    let hint = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) => instead(option, line),
        _ => None,
    };
    // behind `--` it would be the application
    error.remove(ContextKind::Suggested);
    if hint.is_some() {
        error.remove(ContextKind::SuggestedArg);
    }
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidValue,
        ContextKind::InvalidSubcommand,
    ] {
        let is_harmful = matches!(error.get(kind), Some(ContextValue::String(text))
            if !is_harmless_argument(text));
        if is_harmful {
            error.insert(kind, ContextValue::String("(not repeated)".to_owned()));
        }
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let failure = Failure::setup(text.trim_end());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What to do about an option that is not one here.
fn instead(option: &str, mut line: impl Iterator<Item = String>) -> Option<String> {
    if ["-q", "--quiet", "--error-format"].contains(&option) {
        return Some(format!(
            "leave {option} out: warnings and errors are lines of text on standard error"
        ));
    }
    let all = Arguments::command();
    let is_command = |word: &str| all.find_subcommand(word).is_some();
    let given = line.find(|word| is_command(word) || word.split('=').next() == Some(option));
    let takers = all.get_subcommands().filter(|command| {
        let mut options = command.get_arguments();
        options.any(|known| {
            let is_long = known.get_long().zip(option.strip_prefix("--"));
            let is_short = known.get_short().map(|letter| format!("-{letter}"));
            is_long.is_some_and(|(known, given)| known == given)
                || is_short.as_deref() == Some(option)
        })
    });
    let takers: Vec<_> = takers.map(|command| command.get_name()).collect();
    let (first, rest) = takers.split_first()?;
    if !given.is_some_and(|word| is_command(&word)) {
        let command = line.find(|word| takers.contains(&word.as_str()));
        let command = command.as_deref().unwrap_or(first);
        return Some(format!(
            "options of a command stand behind it: `edgepass {command} {option} …`"
        ));
    }
    let others: String = rest
        .iter()
        .map(|command| format!(" and `edgepass {command}`"))
        .collect();
    Some(format!(
        "{option} is an option of `edgepass {first}`{others}"
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Lines that are wrong, and what is said of them.
    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        for (line, said) in [
            ("run --quiet app.wasm", vec!["leave --quiet out"]),
            ("serve-http -q app.wasm", vec!["leave -q out"]),
            (
                "run --error-format json app.wasm",
                vec!["leave --error-format out"],
            ),
            (
                "--config a.json run app.wasm",
                vec!["behind it: `edgepass run --config …`"],
            ),
            (
                "--listen=127.0.0.1:1 serve-http app.wasm",
                vec!["behind it: `edgepass serve-http --listen …`"],
            ),
            ("-c a.json run app.wasm", vec!["`edgepass run -c …`"]),
            (
                "run --listen 127.0.0.1:1 app.wasm",
                vec!["--listen is an option of `edgepass serve-http`"],
            ),
            (
                "serve-http --timeout 1 app.wasm",
                vec!["--timeout is an option of `edgepass run`"],
            ),
            (
                "serve-http --http app.wasm",
                vec!["--http is an option of `edgepass compose`"],
            ),
            (
                "compose --allow-host a.example app.wasm -o x",
                vec!["of `edgepass run` and `edgepass serve-http`"],
            ),
            ("run --no-such app.wasm", vec!["'--no-such'"]),
            ("run --confg a.json app.wasm", vec!["'--config'"]),
            ("run --timeout -1 app.wasm", vec!["give seconds"]),
            ("run --timeout 0 app.wasm", vec!["give seconds"]),
            ("run --timeout 1h app.wasm", vec!["give seconds"]),
            (
                "serve-http --request-timeout x a.wasm",
                vec!["give seconds"],
            ),
            ("serve-http --write-timeout -1 a.wasm", vec!["give seconds"]),
            (
                "run --max-memory 256MiB app.wasm",
                vec!["<MIB>", "a whole number from 1 to 4096, and no unit"],
            ),
            ("run --max-memory -1 app.wasm", vec!["from 1 to 4096"]),
            ("run --max-memory 4097 app.wasm", vec!["from 1 to 4096"]),
            (
                "serve-http --max-requests 0 app.wasm",
                vec!["a whole number from 1 to 65536"],
            ),
            (
                "serve-http --max-requests-per-instance 1e3 app.wasm",
                vec!["a whole number from 1 to 4096"],
            ),
            (
                "serve-http --max-instances -2 app.wasm",
                vec!["a whole number from 1 to 65536"],
            ),
            (
                "compose --allow wasi:http/client,wasi:cli/environment app.wasm -o x",
                vec!["give --allow once for each"],
            ),
        ] {
            let words = || line.split(' ').map(str::to_owned);
            let all = std::iter::once("edgepass-run".to_owned()).chain(words());
            let Err(error) = Arguments::try_parse_from(all) else {
                panic!("{line}");
            };
            let text = format!("{:?}", failure(error, words()));
            for said in said {
                assert!(text.contains(said), "{line}: {text}");
            }
            assert!(!text.contains("as a value, use"), "{line}: {text}");
        }
    }
}
