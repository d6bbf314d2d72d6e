//! The `edgepass-run` program: runs applications that know nothing of tokens, and puts tokens on what they send.

mod application;
mod arguments;
mod audit;
mod command;
mod compose;
mod failure;
mod inputs;
mod instances;
mod lines;
mod log;
mod provide;
mod read;
mod service;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::{ContextKind, ContextValue};
use edgepass::repeat::is_harmless_argument;

use self::arguments::{Arguments, Verb};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(error),
    };
    if let Err(error) = log::install(arguments.verbose) {
        return failure::Failure::setup(format!("standard error: {error}")).report();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::setup(format!("no runtime: {error}")).report(),
    };
    let ended = runtime.block_on(async {
        let ended = match &arguments.verb {
            Verb::Run(run) => command::run(run).await,
            Verb::ServeHttp(serve) => service::serve(serve).await,
            Verb::Compose(compose) => compose::compose(compose),
        };
        log::finish().await;
        ended
    });
    // a thread that still reads standard input would keep the process
    runtime.shutdown_background();
    ended.unwrap_or_else(|failure| failure.report())
}

/// Prints help, or what is wrong with the command line, which repeats nothing that may be a secret in a wrong place.
fn usage(mut error: clap::Error) -> ExitCode {
    for kind in [
        ContextKind::InvalidArg,
        ContextKind::InvalidValue,
        ContextKind::InvalidSubcommand,
    ] {
        let is_harmful = matches!(error.get(kind), Some(ContextValue::String(text))
            if !is_harmless_argument(text));
        if is_harmful {
            error.insert(kind, ContextValue::String("(not repeated)".to_owned()));
            // how it would be written as a value, for example
            error.remove(ContextKind::Suggested);
        }
    }
    if !error.use_stderr() {
        // of one that cannot be written nothing is left to say it to
        return match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    failure::Failure::setup(text.trim_end()).report()
}
