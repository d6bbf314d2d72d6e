//! A command line that cannot be read, and the requests for help.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use edgepass::ErrorClass;
use serde_json::json;

use super::failure::{self, Format, Output};
use super::repeat;

/// Exit status of usage errors.
const USAGE: u8 = 2;

/// Prints help on standard output, and an error on standard error as all errors are printed there.
pub(crate) fn report(error: clap::Error) -> ExitCode {
    let error = repeat::usage(error);
    if !error.use_stderr() {
        // of one that cannot be written nothing is left to say it to
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let stderr = std::io::stderr();
    let colours = stderr.is_terminal() && failure::colours();
    let (asked, output) = asked(std::env::args_os().skip(1));
    let text = match Format::of(asked, output, stderr.is_terminal()) {
        Format::Json => json(&error),
        Format::Text => text(&error, colours),
    };
    // nothing is left to say it to
    let _ = stderr.lock().write_all(text.as_bytes());
    ExitCode::from(USAGE)
}

/// The format of errors that the command line asks for, and what the command would have printed, as far as it can be read.
fn asked(arguments: impl Iterator<Item = OsString>) -> (Option<Format>, Output) {
    const ERRORS: [&str; 1] = ["--error-format"];
    const OUTPUT: [&str; 3] = ["--format", "--output", "-o"];

    let (mut errors, mut command, mut output) = (None, None, None);
    let mut before: Option<String> = None;
    for argument in arguments {
        // what is no text is a value, and none of these
        let argument = argument.into_string().unwrap_or_default();
        let value = |options: &[&str]| {
            if options
                .iter()
                .any(|option| before.as_deref() == Some(*option))
            {
                return Some(argument.clone());
            }
            let mut joined = options.iter().filter_map(|option| {
                let rest = argument.strip_prefix(option)?;
                // `-ojson`, too
                let is_short = !option.starts_with("--");
                rest.strip_prefix('=')
                    .or((is_short && !rest.is_empty()).then_some(rest))
            });
            joined.next().map(str::to_owned)
        };
        match value(&ERRORS).as_deref() {
            Some("json") => errors = Some(Format::Json),
            Some("text") => errors = Some(Format::Text),
            Some(_) => {}
            None if command.is_none() && !argument.starts_with('-') => {
                command = Some(argument.clone());
            }
            None => output = value(&OUTPUT).or(output),
        }
        before = Some(argument);
    }
    let output = match (command.as_deref(), output.as_deref()) {
        (Some("token" | "authorization-url"), None) => Output::JsonByDefault,
        (Some("token" | "authorization-url"), Some("json")) => Output::Json,
        _ => Output::Other,
    };
    (errors, output)
}

/// Begins as every error does. Without a command there is the help in the place of an error.
fn text(error: &clap::Error, colours: bool) -> String {
    let text = error.to_string();
    match text.strip_prefix("error: ") {
        Some(rest) => format!("{}{rest}", failure::begin(colours)),
        None => text,
    }
}

fn json(error: &clap::Error) -> String {
    let plain = error.to_string();
    let plain = plain.strip_prefix("error: ").unwrap_or(&plain);
    let (message, rest) = plain.split_once("\n\n").unwrap_or((plain, ""));
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let error = json!({ "error": {
        "class": ErrorClass::InvalidRequest.name(), "message": line(message), "hint": line(rest),
    } });
    format!("{error}\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::Arguments;

    /// As of every other error: what is asked for counts, and a program that gets JSON gets it as error, too.
    #[test]
    fn the_format_is_known_although_the_rest_is_not() {
        use Format::{Json, Text};
        for (line, to_a_program, to_a_terminal) in [
            ("", Text, Text),
            ("tokn", Text, Text),
            ("run --scoop x", Text, Text),
            ("config check --format json --scoop", Text, Text),
            ("token --scoop x", Json, Text),
            ("token --timeout 0", Json, Text),
            ("-v token --timeout 0", Json, Text),
            ("-q -vv token", Json, Text),
            ("token --scope", Json, Text),
            ("authorization-url", Json, Text),
            ("token -o json --scoop x", Json, Json),
            ("token --scoop x -ojson", Json, Json),
            ("token -o=json --timeout 0", Json, Json),
            ("token --format=json --timeout 0", Json, Json),
            ("token --output json --timeout 0", Json, Json),
            ("token -o token --timeout 0", Text, Text),
            ("token --format=header --timeout 0", Text, Text),
            ("token -o xml", Text, Text),
            ("authorization-url -o text", Text, Text),
            ("--error-format json tokn", Json, Json),
            ("tokn --error-format=json", Json, Json),
            ("--error-format=json tokn --error-format text", Text, Text),
            ("--error-format text token --timeout 0", Text, Text),
            ("token --error-format text -o json --timeout 0", Text, Text),
            ("--error-format token --scoop", Text, Text),
            ("--error-format", Text, Text),
        ] {
            for (is_terminal, expected) in [(false, to_a_program), (true, to_a_terminal)] {
                let (asked, output) = asked(line.split(' ').map(OsString::from));
                let format = Format::of(asked, output, is_terminal);
                assert_eq!(format, expected, "{line} (terminal: {is_terminal})");
            }
        }
    }

    #[test]
    fn errors_of_the_command_line_begin_as_all_do() {
        let Err(error) = Arguments::try_parse_from(["edgepass", "token", "--scoop", "x"]) else {
            panic!("--scoop is no option");
        };
        let plain = text(&error, false);
        assert!(
            plain.starts_with("edgepass: error: unexpected argument '--scoop'"),
            "{plain}"
        );
        let coloured = text(&error, true);
        let begin = "edgepass: \u{1b}[1;31merror\u{1b}[0m: unexpected argument";
        assert!(coloured.starts_with(begin), "{coloured:?}");
        let json: serde_json::Value = serde_json::from_str(&json(&error)).unwrap();
        let message = json["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("unexpected argument '--scoop'"),
            "{message}"
        );
        assert!(json["error"]["hint"].as_str().unwrap().contains("--scope"));
    }
}
