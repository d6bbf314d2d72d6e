//! The `edgepass` command: parses its arguments, calls the library, and prints the result.

mod arguments;
mod config;
mod envoy_config;
mod failure;
mod log;
mod output;
mod pipe;
mod repeat;
mod token;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::arguments::{Arguments, Command, ConfigCommand};
use self::failure::{Failure, Format, Warnings};

fn main() -> ExitCode {
    // usage errors, help and version end the process in here: 2 for the first, 0 for the others
    let arguments = Arguments::try_parse().unwrap_or_else(|error| repeat::usage(error).exit());
    log::install(arguments.verbose);
    let mut warnings = Warnings::default();
    let (result, format) = match arguments.command {
        Command::Token(arguments) => (
            token::run(&arguments, &mut warnings),
            arguments.format.of_errors(),
        ),
        Command::Config(ConfigCommand::Check(arguments)) => {
            (config::check(&arguments, &mut warnings), Format::Text)
        }
        Command::Config(ConfigCommand::Schema) => (config::schema(), Format::Text),
        Command::EnvoyConfig(arguments) => {
            (envoy_config::run(&arguments, &mut warnings), Format::Text)
        }
        Command::Man { command } => (man(&command), Format::Text),
        Command::Completions { shell } => (completions(shell), Format::Text),
    };
    if arguments.verbose > 0 {
        // they are in the log
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
