//! The `edgepass` command: parses its arguments, calls the library, and prints the result.

mod arguments;
mod authorization_url;
mod config;
mod envoy_config;
mod failure;
mod grant;
mod hand_over;
mod init;
mod log;
mod mistakes;
mod output;
mod pipe;
mod reference;
mod repeat;
mod signals;
mod token;
mod usage;
mod watch;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::arguments::{Arguments, Command, ConfigCommand, HandedOver, PlainFormat, TokenFormat};
use self::failure::{Failure, Format, Output, Warnings};

fn main() -> ExitCode {
    if let Some(arguments) = hand_over::arguments(std::env::args_os()) {
        return hand_over::hand_over(&arguments)
            .unwrap_or_else(|failure| report(&failure, Format::Text));
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // help and version are among them
        Err(error) => return usage::report(error),
    };
    log::install(arguments.verbose);
    signals::end_as_first_process();
    let output = match &arguments.command {
        Command::Token(token) => match token.format {
            None => Output::JsonByDefault,
            Some(TokenFormat::Json) => Output::Json,
            Some(TokenFormat::Header | TokenFormat::Token) => Output::Other,
        },
        Command::AuthorizationUrl(url) => match url.format {
            None => Output::JsonByDefault,
            Some(PlainFormat::Json) => Output::Json,
            Some(PlainFormat::Text) => Output::Other,
        },
        _ => Output::Other,
    };
    let is_terminal = std::io::stderr().is_terminal();
    let format = Format::of(arguments.error_format, output, is_terminal);
    watch::begin(format, arguments.quiet);
    let mut warnings = Warnings::default();
    let result = match &arguments.command {
        Command::Token(token) => token::run(token, &mut warnings),
        Command::AuthorizationUrl(url) => authorization_url::run(url, &mut warnings),
        Command::Config(ConfigCommand::Check(check)) => {
            config::check(check, arguments.quiet, &mut warnings)
        }
        Command::Config(ConfigCommand::Init(init)) => init::run(init),
        Command::Config(ConfigCommand::Convert(convert)) => config::convert(convert, &mut warnings),
        Command::Config(ConfigCommand::Schema) => config::schema(),
        Command::Config(ConfigCommand::Reference) => reference::print(),
        Command::EnvoyConfig(envoy) => envoy_config::run(envoy, &mut warnings),
        Command::Run(rest) => return handed_over("run", rest, &arguments, format),
        Command::ServeHttp(rest) => return handed_over("serve-http", rest, &arguments, format),
        Command::Compose(rest) => return handed_over("compose", rest, &arguments, format),
        Command::Version => output::write(Arguments::command().render_version().as_bytes()),
        Command::Man { command } => man(command),
        Command::Completions { shell } => completions(*shell),
    };
    watch::over();
    if arguments.quiet || arguments.verbose > 0 {
        // nobody wants to hear of them, or they are in the log
        warnings = Warnings::default();
    }
    match result {
        Ok(()) => {
            warnings.report(format);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            failure.report(format, &warnings);
            failure.exit_code()
        }
    }
}

/// What stands behind options of this program, of which the other has `-v` alone.
fn handed_over(
    command: &str,
    rest: &HandedOver,
    arguments: &Arguments,
    format: Format,
) -> ExitCode {
    watch::over();
    let unknown = [
        (arguments.quiet, "--quiet"),
        (arguments.error_format.is_some(), "--error-format"),
    ];
    if let Some((_, option)) = unknown.iter().find(|(is_given, _)| *is_given) {
        let failure = Failure::setup_with_hint(
            format!("`edgepass {command}` has no option {option}"),
            format!(
                "leave {option} out: its warnings and errors are lines of text on standard error"
            ),
        );
        return report(&failure, format);
    }
    let verbose = (0..arguments.verbose).map(|_| "-v".into());
    let rest = rest.arguments.iter().cloned();
    let all: Vec<_> = verbose.chain([command.into()]).chain(rest).collect();
    hand_over::hand_over(&all).unwrap_or_else(|failure| report(&failure, format))
}

fn report(failure: &Failure, format: Format) -> ExitCode {
    failure.report(format, &Warnings::default());
    failure.exit_code()
}

fn man(names: &[String]) -> Result<(), Failure> {
    let mut page = Arguments::command();
    // so that a command knows the whole of its name
    page.build();
    for name in names {
        page = page.find_subcommand(name).cloned().ok_or_else(|| {
            Failure::setup("edgepass has no such command: `edgepass help` lists them")
        })?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|e| Failure::setup(format!("the man page cannot be written: {e}")))?;
    output::write(&text)
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "edgepass", &mut script);
    output::write(&script)
}
