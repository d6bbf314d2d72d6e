//! A command line that cannot be read, and the requests for help.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use edgepass::ErrorClass;
use serde_json::json;

use super::failure::{self, Format};
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
    let text = match asked(std::env::args_os()) {
        Some(Format::Json) => json(&error),
        _ => text(&error, colours),
    };
    // nothing is left to say it to
    let _ = stderr.lock().write_all(text.as_bytes());
    ExitCode::from(USAGE)
}

/// The format that the command line asks for, as far as it can be read.
fn asked(arguments: impl Iterator<Item = OsString>) -> Option<Format> {
    let mut asked = None;
    let mut is_next = false;
    for argument in arguments.filter_map(|argument| argument.into_string().ok()) {
        let value = argument.strip_prefix("--error-format=");
        let value = value.or(is_next.then_some(argument.as_str()));
        is_next = argument == "--error-format";
        match value {
            Some("json") => asked = Some(Format::Json),
            Some("text") => asked = Some(Format::Text),
            _ => {}
        }
    }
    asked
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

    #[test]
    fn the_format_is_known_although_the_rest_is_not() {
        for (line, expected) in [
            ("edgepass token --scoop x", None),
            ("edgepass --error-format json tokn", Some(Format::Json)),
            ("edgepass tokn --error-format=json", Some(Format::Json)),
            (
                "edgepass --error-format=json tokn --error-format text",
                Some(Format::Text),
            ),
            ("edgepass --error-format", None),
        ] {
            let arguments = line.split(' ').map(OsString::from);
            assert_eq!(asked(arguments), expected, "{line}");
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
