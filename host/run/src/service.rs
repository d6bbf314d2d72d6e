//! `edgepass-run serve-http`: an application that answers requests.

mod authority;
mod body;
mod closing;
mod connection;
mod instance;

use std::convert::Infallible;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use wasmtime_wasi_http::handler::{ProxyHandler, ProxyPre};
use wasmtime_wasi_http::{Error, WasiBody, p2, p3};

use self::body::{Kept, Paced};
use self::connection::{Stream, UnderWay, Work};
use self::instance::{Count, Counted, Service};
use crate::application::Application;
use crate::arguments::ServeArguments;
use crate::failure::Failure;
use crate::instances::{self, Instances, Late};
use crate::signals;

/// What a service exports, over WASI 0.2 and 0.3.
const HANDLER_0_2: &str = "wasi:http/incoming-handler";
const HANDLER_0_3: &str = "wasi:http/handler";

/// How long a connection may take to send the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// How long requests that are on their way may take when the program is asked to end.
const DRAIN: Duration = Duration::from_secs(20);

/// How long instances may take to go then.
const ENDING: Duration = Duration::from_secs(1);

pub(crate) async fn serve(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let ended = signals::asked_to_end();
    tokio::pin!(ended);
    let application = tokio::select! {
        loaded = Application::load(&arguments.path, &arguments.application) => loaded?,
        _ = &mut ended => return Ok(ExitCode::SUCCESS),
    };
    let is_0_2 = application.exports(HANDLER_0_2).is_some();
    if !is_0_2 && application.exports(HANDLER_0_3).is_none() {
        let failure = Failure::setup(format!(
            "the application exports neither {HANDLER_0_3} nor {HANDLER_0_2}"
        ));
        return Err(match application.exports("wasi:cli/run") {
            Some(_) => failure.hint("it is a command: `edgepass-run run`"),
            None => failure.hint("it must be of the world wasi:http/proxy or wasi:http/service"),
        });
    }
    let pre = application.linker.instantiate_pre(&application.component);
    let pre = pre.map_err(|e| application.explain(&e))?;
    let pre = if is_0_2 {
        p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2)
    } else {
        p3::bindings::ServicePre::new(pre).map(ProxyPre::P3)
    };
    let pre = pre.map_err(|e| application.explain(&e))?;

    let listener = TcpListener::bind(arguments.listen).await.map_err(|e| {
        Failure::setup(format!(
            "--listen: {} cannot be used: {e}",
            arguments.listen
        ))
        .hint(match e.kind() {
            ErrorKind::AddrInUse => "another program listens there; port 0 is any that is free",
            ErrorKind::AddrNotAvailable => {
                "this machine has no such address: 127.0.0.1 is for itself, 0.0.0.0 and [::] are all that it has"
            }
            ErrorKind::PermissionDenied => {
                "ports below 1024 may be kept for privileged programs: take another"
            }
            _ => "name an address of this machine, and a port",
        })
    })?;
    let address = listener.local_addr();
    let address = address.map_err(|e| Failure::setup(format!("no address: {e}")))?;
    let finished = application.finish();
    let (is_ending, ending) = watch::channel(false);
    let (is_over, over) = watch::channel(false);
    let alive = Count::default();
    let handler = ProxyHandler::new(Service {
        application,
        pre,
        over,
        alive: alive.clone(),
        request_timeout: arguments.request_timeout,
        at_once: if is_0_2 {
            1
        } else {
            usize::try_from(arguments.max_requests_per_instance).unwrap_or(usize::MAX)
        },
        // an instance of WASI 0.2 is of one request: `wasmtime serve` has it so, and what languages make of it counts on it
        in_all: if is_0_2 { 1 } else { usize::MAX },
        // one that has lost its request, or was late with it, works on
        instances: Instances::at_most(arguments.max_instances.unwrap_or(arguments.max_requests)),
    });
    // whoever has started this reads where it is
    let said = writeln!(io::stdout(), "http://{address}").and_then(|()| io::stdout().flush());
    said.map_err(|e| Failure::setup(format!("standard output: {e}")))?;

    let places = Arc::new(Semaphore::new(
        usize::try_from(arguments.max_requests).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    let connections = GracefulShutdown::new();
    let mut server = hyper::server::conn::http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut ended => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // no descriptor is left, for example: others will close theirs
                ::log::error!("no connection is accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // for the delay alone
        let _ = stream.set_nodelay(true);
        let Ok(local) = stream.local_addr() else {
            // it has ended by now
            continue;
        };
        let work = Arc::<Work>::default();
        let stream = Stream::new(stream, arguments.write_timeout, Arc::clone(&work));
        let (handler, places, of_this) = (handler.clone(), Arc::clone(&places), Arc::clone(&work));
        let limit = arguments.request_timeout;
        let answer = service_fn(move |mut request| {
            let (handler, places) = (handler.clone(), Arc::clone(&places));
            let under_way = UnderWay::on(&of_this);
            async move {
                Ok::<_, Infallible>(match authority::settle(&mut request, local) {
                    true => answer(&handler, places, limit, under_way, request).await,
                    false => plain(StatusCode::BAD_REQUEST),
                })
            }
        });
        let connection = connections.watch(server.serve_connection(stream, answer));
        let ending = ending.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                ended = connection => ended,
                () = work.is_none_at_the_end(ending) => Ok(()),
                () = work.has_been_idle(HEAD_PATIENCE + HEAD_PATIENCE / 6) => {
                    ::log::debug!("a client sends no more of a body that nobody waits for");
                    Ok(())
                }
            };
            if let Err(error) = ended {
                ::log::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    // fails when there is no connection
    let _ = is_ending.send(true);
    if timeout(DRAIN, connections.shutdown()).await.is_err() {
        ::log::warn!(
            "requests were ended that had not been answered in {} s",
            DRAIN.as_secs()
        );
    }
    // an instance may still have written the body of an answer
    let _ = is_over.send(true);
    // with their stores go the requests that they have left behind
    let _ = timeout(ENDING, alive.none()).await;
    finished.await;
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    handler: &ProxyHandler<Service>,
    places: Arc<Semaphore>,
    limit: Duration,
    under_way: UnderWay,
    request: Request<Incoming>,
) -> Response<WasiBody> {
    let end = Instant::now() + limit;
    let place = match timeout_at(end, places.acquire_owned()).await {
        Ok(Ok(place)) => place,
        _ => {
            ::log::error!(
                "a request is not answered: it has had no place among those that are worked on in time (--request-timeout, --max-requests)"
            );
            return plain(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let is_cut = Arc::<AtomicBool>::default();
    let request = request.map(|body| {
        let is_cut = Arc::clone(&is_cut);
        let cut = move |error| {
            is_cut.store(true, Ordering::Relaxed);
            Error::Hyper(error)
        };
        body.map_err(cut).boxed_unsync()
    });
    let instances = &handler.state().instances;
    let answered = instances::answer(instances, (end, limit), request, |taken, request| {
        handler.handle(taken, request)
    });
    match answered.await {
        // the place is free, and the instance has done with it, when the body has gone out
        Ok((response, awaited)) => response.map(|body| {
            awaited.iter().for_each(Counted::answered);
            let kept = Kept {
                _place: place,
                answering: under_way.answering(),
                _under_way: under_way,
                awaited,
            };
            Paced::new(body, limit, kept).boxed_unsync()
        }),
        Err(error) => {
            let status = status_of(&error);
            // no failure of the application, and nothing that clients should be able to fill the log with
            if status == StatusCode::INTERNAL_SERVER_ERROR && is_cut.load(Ordering::Relaxed) {
                ::log::debug!("a request is not answered: its body is broken: {error:#}");
                return plain(StatusCode::BAD_REQUEST);
            }
            ::log::error!("a request is not answered: {error:#}");
            plain(status)
        }
    }
}

/// What a client is told of a request that is not answered.
fn status_of(error: &wasmtime::Error) -> StatusCode {
    if error.is::<Late>() {
        StatusCode::GATEWAY_TIMEOUT
    } else if error.is::<instances::Full>() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

fn plain(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Full::default().map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}
