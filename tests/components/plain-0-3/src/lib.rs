//! An application of WASI 0.3 that knows nothing of edgepass, made with a public crate: as a command it makes the requests
//! that its arguments say, as a service it makes the one that its query says.

use futures::future::join_all;
use wasip3::cli::{environment, stdout};
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::{wit_future, wit_stream};
use wit_bindgen::{StreamReader, StreamResult};

/// What is written and read at once, bytes.
const PIECE: usize = 64 * 1024;

/// What is printed of a body, bytes.
const BEGINNING: usize = 256;

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    /// `METHOD URL [NAME=VALUE]... [--bytes NUMBER] [--times NUMBER] [--connect MS] [--first MS] [--between MS]`, one kind of
    /// request or several with `--` between them: those of one kind are made at once, and the last three are the timeouts of
    /// `wasi:http`. Prints status and body of each, or the error.
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments = arguments.get(1..).unwrap_or_default();
        let mut all = Ok(());
        for words in arguments.split(|word| word == "--") {
            let lines = match Message::parse(words) {
                Ok(message) => {
                    let calls = (0..message.times).map(|_| message.ask());
                    join_all(calls).await
                }
                Err(error) => vec![Err(error)],
            };
            for line in lines {
                let line = line.unwrap_or_else(|error| {
                    all = Err(());
                    format!("error: {error}")
                });
                print(format!("{line}\n")).await;
            }
        }
        all
    }
}

/// A request, as the arguments say.
struct Message {
    method: Method,
    url: Url,
    headers: Vec<(String, Vec<u8>)>,
    bytes: Option<usize>,
    times: usize,
    /// `connect`, `first` and `between`, nanoseconds.
    patience: [Option<u64>; 3],
}

impl Message {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut words = words.iter();
        let (Some(method), Some(url)) = (words.next(), words.next()) else {
            return Err("METHOD URL".to_owned());
        };
        let mut message = Self {
            method: method_of(method),
            url: Url::parse(url).ok_or("no URL")?,
            headers: Vec::new(),
            bytes: None,
            times: 1,
            patience: [None; 3],
        };
        while let Some(word) = words.next() {
            let mut number = || {
                let number = words.next().and_then(|number| number.parse().ok());
                number.ok_or_else(|| format!("{word} NUMBER"))
            };
            match word.as_str() {
                "--bytes" => message.bytes = Some(number()?),
                "--times" => message.times = number()?,
                "--connect" | "--first" | "--between" => {
                    let [connect, first, between] = &mut message.patience;
                    let patience = match word.as_str() {
                        "--connect" => connect,
                        "--first" => first,
                        _ => between,
                    };
                    *patience = Some(number()? as u64 * 1_000_000);
                }
                word => {
                    let (name, value) = word.split_once('=').unwrap_or((word, ""));
                    let header = (name.to_owned(), value.as_bytes().to_vec());
                    message.headers.push(header);
                }
            }
        }
        Ok(message)
    }

    fn options(&self) -> Result<Option<RequestOptions>, String> {
        if self.patience == [None; 3] {
            return Ok(None);
        }
        let [connect, first, between] = self.patience;
        let options = RequestOptions::new();
        let set = || {
            options.set_connect_timeout(connect)?;
            options.set_first_byte_timeout(first)?;
            options.set_between_bytes_timeout(between)
        };
        set().map_err(|error| format!("{error:?}"))?;
        Ok(Some(options))
    }

    async fn ask(&self) -> Result<String, String> {
        let headers = Fields::from_list(&self.headers).map_err(|error| format!("{error:?}"))?;
        let (content, reader) = match self.bytes {
            None => (None, None),
            Some(length) => {
                let (writer, reader) = wit_stream::new();
                (Some((writer, length)), Some(reader))
            }
        };
        let (trailers, after) = wit_future::new(|| Ok(None));
        let (request, _sent) = Request::new(headers, reader, after, self.options()?);
        self.url.put_on(&request, &self.method)?;
        let write = async {
            let Some((mut writer, mut left)) = content else {
                return;
            };
            while left > 0 {
                let now = left.min(PIECE);
                if !writer.write_all(vec![b'x'; now]).await.is_empty() {
                    // nobody reads it
                    return;
                }
                left -= now;
            }
            drop(writer);
            _ = trailers.write(Ok(None)).await;
        };
        let receive = async {
            let response = client::send(request).await;
            let response = response.map_err(|code| format!("{code:?}"))?;
            let status = response.get_status_code();
            let (_received, received) = wit_future::new(|| Ok(()));
            let (content, trailers) = Response::consume_body(response, received);
            let (length, beginning) = read(content).await;
            trailers.await.map_err(|code| format!("{code:?}"))?;
            Ok(if length > BEGINNING {
                format!("{status} {length} bytes")
            } else {
                format!("{status} {beginning}")
            })
        };
        let (answer, ()) = futures::join!(receive, write);
        answer
    }
}

async fn read(mut content: StreamReader<u8>) -> (usize, String) {
    let (mut length, mut beginning) = (0, Vec::new());
    let mut buffer = Vec::with_capacity(PIECE);
    loop {
        buffer.clear();
        let (result, piece) = content.read(buffer).await;
        length += piece.len();
        let missing = BEGINNING.saturating_sub(beginning.len());
        beginning.extend(piece.iter().take(missing));
        buffer = piece;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    (length, String::from_utf8_lossy(&beginning).into_owned())
}

async fn print(text: String) {
    let (mut to, from) = wit_stream::new();
    let written = stdout::write_via_stream(from);
    to.write_all(text.into_bytes()).await;
    drop(to);
    // there is nobody to tell that it cannot be said
    _ = written.await;
}

struct Service;

impl wasip3::exports::http::handler::Guest for Service {
    /// The query is the address of the request to make; method and body are handed on as they come, and so is the answer.
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let unknown = || ErrorCode::InternalError(Some("the query is no URL".to_owned()));
        let path = request.get_path_with_query().unwrap_or_default();
        let (_, query) = path.split_once('?').ok_or_else(unknown)?;
        let url = Url::parse(query).ok_or_else(unknown)?;
        let method = request.get_method();
        let (_answered, answer) = wit_future::new(|| Ok(()));
        let (content, trailers) = Request::consume_body(request, answer);
        let (onward, _sent) = Request::new(Fields::new(), Some(content), trailers, None);
        let put = url.put_on(&onward, &method);
        put.map_err(|reason| ErrorCode::InternalError(Some(reason)))?;
        client::send(onward).await
    }
}

/// A URL in the parts of `wasi:http`.
struct Url {
    scheme: Scheme,
    authority: String,
    path: String,
}

impl Url {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        Some(Self {
            scheme: match scheme {
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                other => Scheme::Other(other.to_owned()),
            },
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }

    fn put_on(&self, request: &Request, method: &Method) -> Result<(), String> {
        let set = || {
            request.set_method(method)?;
            request.set_scheme(Some(&self.scheme))?;
            request.set_authority(Some(&self.authority))?;
            request.set_path_with_query(Some(&self.path))
        };
        set().map_err(|()| "no request can be made of that".to_owned())
    }
}

fn method_of(text: &str) -> Method {
    match text {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    }
}

wasip3::cli::command::export!(Command);
wasip3::http::service::export!(Service);
