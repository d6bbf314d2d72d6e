//! `edgepass-run serve-http`: an application that answers requests.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView, p2, p3};

use crate::application::{Application, State};
use crate::arguments::ServeArguments;
use crate::failure::Failure;
use crate::instances::{self, Instances, Place};
use crate::signals;

/// What a service exports, over WASI 0.2 and 0.3.
const HANDLER_0_2: &str = "wasi:http/incoming-handler";
const HANDLER_0_3: &str = "wasi:http/handler";

/// How long an instance is kept that nobody asks.
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection may take to send the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// How long requests that are on their way may take when the program is asked to end.
const DRAIN: Duration = Duration::from_secs(20);

pub(crate) async fn serve(arguments: &ServeArguments) -> Result<ExitCode, Failure> {
    let application = Application::load(&arguments.path, &arguments.application).await?;
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
        .hint("another program may listen there; port 0 is any that is free")
    })?;
    let address = listener.local_addr();
    let address = address.map_err(|e| Failure::setup(format!("no address: {e}")))?;
    let finished = application.finish();
    let handler = ProxyHandler::new(Service {
        application,
        pre,
        request_timeout: arguments.request_timeout,
        at_once: if is_0_2 {
            1
        } else {
            usize::try_from(arguments.max_requests_per_instance).unwrap_or(usize::MAX)
        },
        // an instance of WASI 0.2 is of one request: `wasmtime serve` has it so, and what languages make of it counts on it
        in_all: if is_0_2 { 1 } else { usize::MAX },
        instances: Instances::at_most(arguments.max_instances),
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
    let ended = signals::asked_to_end();
    tokio::pin!(ended);
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
        let (handler, places) = (handler.clone(), Arc::clone(&places));
        let limit = arguments.request_timeout;
        let answer = service_fn(move |request| {
            let (handler, places) = (handler.clone(), Arc::clone(&places));
            async move { Ok::<_, Infallible>(answer(&handler, places, limit, request).await) }
        });
        let connection = server.serve_connection(TokioIo::new(stream), answer);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                ::log::debug!("a connection ended: {error}");
            }
        });
    }
    drop(listener);
    if timeout(DRAIN, connections.shutdown()).await.is_err() {
        ::log::warn!(
            "requests were ended that had not been answered in {} s",
            DRAIN.as_secs()
        );
    }
    finished.await;
    Ok(ExitCode::SUCCESS)
}

async fn answer(
    handler: &ProxyHandler<Service>,
    places: Arc<Semaphore>,
    limit: Duration,
    request: Request<Incoming>,
) -> Response<WasiBody> {
    let place = match timeout(limit, places.acquire_owned()).await {
        Ok(Ok(place)) => place,
        _ => return plain(StatusCode::SERVICE_UNAVAILABLE),
    };
    let request = request.map(|body| body.map_err(Error::Hyper).boxed_unsync());
    match instances::answer(handler, limit, request).await {
        // the place is free when the body has gone out
        Ok(response) => response.map(|body| Held { body, place }.boxed_unsync()),
        Err(error) => {
            let is_late = error
                .downcast_ref::<wasmtime_wasi_http::handler::ExpirationError>()
                .is_some();
            ::log::error!("a request is not answered: {error:#}");
            plain(if is_late {
                StatusCode::GATEWAY_TIMEOUT
            } else if error.downcast_ref::<instances::Full>().is_some() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            })
        }
    }
}

/// A body, and a place that is kept until it is over.
struct Held {
    body: WasiBody,
    #[expect(dead_code, reason = "it is dropped with the body")]
    place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

fn plain(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Full::default().map_err(Error::from).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// How instances come about and go.
struct Service {
    application: Application,
    pre: ProxyPre<State>,
    request_timeout: Duration,
    at_once: usize,
    in_all: usize,
    instances: Instances,
}

impl HandlerState for Service {
    type StoreData = State;
    type WorkerExpiration = Life;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Life, Worker>> {
        let place = self.instances.place()?;
        let mut store = self.application.store(|wasi| {
            // what it prints is its log
            wasi.inherit_stdout().inherit_stderr();
        })?;
        let started = timeout(self.request_timeout, self.pre.instantiate_async(&mut store)).await;
        let proxy =
            started.unwrap_or_else(|_| Err(wasmtime::Error::msg("it does not start in time")))?;
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Life::new(self.request_timeout),
            state: Worker {
                at_once: self.at_once,
                in_all: self.in_all,
                request_timeout: self.request_timeout,
                _place: place,
            },
        })
    }
}

/// When an instance is over: it has not answered in time and holds its thread, or nobody asks it.
struct Life {
    request_timeout: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Life {
    fn new(request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            sleep: Box::pin(sleep(request_timeout)),
        }
    }
}

impl WorkerExpiration for Life {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let lasts = match status {
            WorkerStatus::Idle => IDLE,
            // the bound of the request itself comes first, if the instance lets it
            WorkerStatus::Requests => self.request_timeout + Duration::from_secs(1),
            WorkerStatus::PostReturn => self.request_timeout,
        };
        let end = tokio::time::Instant::from_std(start + lasts);
        if self.sleep.deadline() != end {
            self.sleep.as_mut().reset(end);
        }
        self.sleep.as_mut().poll(cx)
    }
}

struct Worker {
    at_once: usize,
    in_all: usize,
    request_timeout: Duration,
    _place: Place,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.in_all {
            ShouldAccept::Never
        } else if concurrent < self.at_once {
            ShouldAccept::Yes
        } else {
            ShouldAccept::No
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(sleep(self.request_timeout))
    }

    fn drop(&self, store: Store<State>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            ::log::error!("an instance of the application was ended: {error:#}");
        }
        drop(store);
    }
}
