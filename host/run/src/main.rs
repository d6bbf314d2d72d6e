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
mod usage;

use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::{Arguments, Verb};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(error),
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
