//! An application of WASI 0.2 that knows nothing of edgepass, made with a public crate: as a command it makes the requests
//! that its arguments say, as a service it makes the one that its query says, and counts its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasip2::cli::environment::get_arguments;
use wstd::http::{Body, Client, Error, HeaderValue, Method, Request, Response, Uri};
use wstd::io::AsyncWrite;
use wstd::runtime::block_on;

struct Command;

impl wasip2::exports::cli::run::Guest for Command {
    /// `METHOD URL [NAME=VALUE]... [--body TEXT] [--bytes NUMBER] [--connect MS] [--first MS] [--between MS]`, one request or
    /// several with `--` between them; the last three are the timeouts of `wasi:http`. Prints status and body of each, or the
    /// error.
    fn run() -> Result<(), ()> {
        let arguments = get_arguments();
        let arguments = arguments.get(1..).unwrap_or_default();
        block_on(async {
            let mut all = Ok(());
            for words in arguments.split(|word| word == "--") {
                let line = match ask(words).await {
                    Ok(line) => line,
                    Err(error) => {
                        all = Err(());
                        format!("error: {error:#}")
                    }
                };
                let mut out = wstd::io::stdout();
                if out.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                    all = Err(());
                }
            }
            all
        })
    }
}

async fn ask(words: &[String]) -> Result<String, Error> {
    let mut words = words.iter();
    let (Some(method), Some(url)) = (words.next(), words.next()) else {
        return Err(Error::msg("METHOD URL"));
    };
    let mut request = Request::builder()
        .method(method.parse::<Method>()?)
        .uri(url.parse::<Uri>()?);
    let mut body = Body::empty();
    let mut client = Client::new();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--body" => body = words.next().cloned().unwrap_or_default().into(),
            "--bytes" => {
                let count = words.next().map_or(Ok(0), |count| count.parse::<usize>())?;
                body = vec![b'x'; count].into();
            }
            "--connect" | "--first" | "--between" => {
                let ms = words.next().map_or(Ok(0), |ms| ms.parse())?;
                let patience = Duration::from_millis(ms);
                match word.as_str() {
                    "--connect" => client.set_connect_timeout(patience),
                    "--first" => client.set_first_byte_timeout(patience),
                    _ => client.set_between_bytes_timeout(patience),
                }
            }
            "--spin" => loop {
                std::hint::spin_loop();
            },
            word => {
                let (name, value) = word.split_once('=').unwrap_or((word, ""));
                request = request.header(name, HeaderValue::from_str(value)?);
            }
        }
    }
    let response = client.send(request.body(body)?).await?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let body = body.contents().await?;
    Ok(format!("{status} {}", String::from_utf8_lossy(body)))
}

struct Service;

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(
        request: wasip2::http::types::IncomingRequest,
        response_out: wasip2::http::types::ResponseOutparam,
    ) {
        let responder = wstd::http::server::Responder::new(response_out);
        block_on(async move {
            let answer = match wstd::http::request::try_from_incoming(request) {
                Ok(request) => relay(request).await,
                Err(error) => Err(error),
            };
            let sent = match answer {
                Ok(response) => responder.respond(response).await,
                Err(error) => {
                    let mut response = Response::new(Body::from(format!("{error:#}")));
                    *response.status_mut() = wstd::http::StatusCode::BAD_GATEWAY;
                    responder.respond(response).await
                }
            };
            // the peer has gone
            drop(sent);
        });
    }
}

/// Requests that this instance has answered.
static ANSWERED: AtomicU32 = AtomicU32::new(0);

/// The query is the address of the request to make; method and body are handed on as they come. The answer's header
/// `x-answered` says how many the instance has had.
async fn relay(request: Request<Body>) -> Result<Response<Body>, Error> {
    let answered = ANSWERED.fetch_add(1, Ordering::Relaxed) + 1;
    let url = request.uri().query().unwrap_or_default().parse::<Uri>()?;
    let onward = Request::builder().method(request.method()).uri(url);
    let response = Client::new()
        .send(onward.body(request.into_body())?)
        .await?;
    Ok(Response::builder()
        .status(response.status())
        .header("x-answered", answered.to_string())
        .body(response.into_body())?)
}

wasip2::cli::command::export!(Command);
wasip2::http::proxy::export!(Service);
