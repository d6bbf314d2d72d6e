//! `edgepass-run run`: an application that does something and ends.

use std::path::Path;
use std::process::ExitCode;

use wasmtime::Store;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::{p2, p3};

use crate::application::{Application, State};
use crate::arguments::RunArguments;
use crate::failure::Failure;

/// What a command exports.
const RUN: &str = "wasi:cli/run";

pub(crate) async fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let (path, own) = match arguments.command.as_slice() {
        [path, own @ ..] => (Path::new(path), own),
        [] => return Err(Failure::setup("no application is named")),
    };
    let application = Application::load(path, &arguments.application).await?;
    let Some(exported) = application.exports(RUN) else {
        return Err(no_command(&application));
    };
    let name = path.file_name();
    let name = name.map(|name| name.to_string_lossy().into_owned());
    let store = application.store(|wasi| {
        wasi.inherit_stdio().arg(name.unwrap_or_default()).args(own);
    });
    let mut store = store.map_err(|e| Failure::setup(format!("{e:#}")))?;
    let ended = async {
        if exported.starts_with("wasi:cli/run@0.2") {
            of_0_2(&application, &mut store).await
        } else {
            of_0_3(&application, &mut store).await
        }
    };
    let ended = match arguments.timeout {
        None => Ok(ended.await),
        Some(limit) => tokio::time::timeout(limit, ended).await.map_err(|_| {
            Failure::trap(format!(
                "the application was ended: it had not finished after {} s (--timeout)",
                limit.as_secs_f64()
            ))
        }),
    };
    // what it has left behind is given up, and on record
    drop(store);
    application.finish().await;
    match ended? {
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
    failure.hint("compile a program for wasm32-wasip2, for example")
}
