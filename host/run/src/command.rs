//! `edgepass-run run`: an application that does something and ends.

use std::path::Path;
use std::process::ExitCode;

use wasmtime::Store;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::{p2, p3};

use crate::application::{Application, State};
use crate::arguments::RunArguments;
use crate::failure::Failure;
use crate::signals;

/// What a command exports.
const RUN: &str = "wasi:cli/run";

/// What a shell adds to the number of a signal that ended a program.
const BY_SIGNAL: u8 = 128;

pub(crate) async fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let (path, own) = match arguments.command.as_slice() {
        [path, own @ ..] => (Path::new(path), own),
        [] => return Err(Failure::setup("no application is named")),
    };
    let signal = signals::asked_to_end();
    tokio::pin!(signal);
    let by_signal = |number: u8| ExitCode::from(BY_SIGNAL.saturating_add(number));
    let application = tokio::select! {
        loaded = Application::load(path, &arguments.application) => loaded?,
        number = &mut signal => return Ok(by_signal(number)),
    };
    let Some(exported) = application.exports(RUN) else {
        return Err(no_command(&application));
    };
    let name = path.file_name();
    let name = name.map(|name| name.to_string_lossy().into_owned());
    let opened = application.store((), |wasi| {
        wasi.inherit_stdio().arg(name.unwrap_or_default()).args(own);
    });
    let mut store = None;
    let running = async {
        let opened = opened.await;
        let store = store.insert(opened.map_err(|e| Failure::setup(format!("{e:#}")))?);
        Ok(if exported.starts_with("wasi:cli/run@0.2") {
            of_0_2(&application, store).await
        } else {
            of_0_3(&application, store).await
        })
    };
    let running = async {
        match arguments.timeout {
            None => running.await,
            Some(limit) => {
                let ended = tokio::time::timeout(limit, running).await;
                ended.unwrap_or_else(|_| {
                    Err(Failure::trap(format!(
                        "the application was ended: it had not finished after {} s (--timeout)",
                        limit.as_secs_f64()
                    )))
                })
            }
        }
    };
    // a signal is a way out as any other: what is on its way to the records would be lost with the process
    let ended = tokio::select! {
        ended = running => Ok(ended),
        number = &mut signal => Err(number),
    };
    // what it has left behind is given up, and on record
    drop(store);
    application.finish().await;
    let ended = match ended {
        Ok(ended) => ended?,
        Err(number) => return Ok(by_signal(number)),
    };
    match ended {
        Ok(Ok(())) => Ok(ExitCode::SUCCESS),
        Ok(Err(())) => Ok(ExitCode::FAILURE),
        Err(Ended::Unlinked(error)) => Err(application.explain(&error)),
        Err(Ended::Trap(error)) => match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(status)) => {
                Ok(u8::try_from(*status).map_or(ExitCode::FAILURE, ExitCode::from))
            }
            None => Err(Failure::trap(format!(
                "the application was ended: {error:#}"
            ))),
        },
    }
}

enum Ended {
    Unlinked(wasmtime::Error),
    Trap(wasmtime::Error),
}

type Answer = Result<Result<(), ()>, Ended>;

async fn of_0_2(application: &Application, store: &mut Store<State>) -> Answer {
    let command = p2::bindings::Command::instantiate_async(
        &mut *store,
        &application.component,
        &application.linker,
    );
    let command = command.await.map_err(Ended::Unlinked)?;
    command
        .wasi_cli_run()
        .call_run(store)
        .await
        .map_err(Ended::Trap)
}

async fn of_0_3(application: &Application, store: &mut Store<State>) -> Answer {
    let command = p3::bindings::Command::instantiate_async(
        &mut *store,
        &application.component,
        &application.linker,
    );
    let command = command.await.map_err(Ended::Unlinked)?;
    let ran = store
        .run_concurrent(async |store| command.wasi_cli_run().call_run(store).await)
        .await;
    ran.flatten().map_err(Ended::Trap)
}

fn no_command(application: &Application) -> Failure {
    let failure = Failure::setup(format!("the application exports no {RUN}"));
    if application.exports("wasi:http/incoming-handler").is_some()
        || application.exports("wasi:http/handler").is_some()
    {
        return failure.hint("it serves HTTP: `edgepass-run serve-http`");
    }
    match application.exported().as_slice() {
        [] => failure.hint("compile a program for wasm32-wasip2, for example"),
        exported => failure.hint(format!(
            "it exports {}, for other components to call: run the one that imports it, with it plugged in (`wac plug`)",
            exported.join(", ")
        )),
    }
}
