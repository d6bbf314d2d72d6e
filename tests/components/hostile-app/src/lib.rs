//! An application of WASI 0.3 that tries to get hold of the tokens that its requests are given: as a service it takes an
//! attempt as the body of a request, composed by its export `attempts`. It keeps all that it gets, so whatever reaches it
//! is in its linear memory when somebody looks.
//!
//! An attempt is lines of text. The first is one of
//!
//! | | |
//! |---|---|
//! | `environment` | reads variables, arguments and the folder |
//! | `fill MIB` | takes memory that it has not had before, and looks for what is in it |
//! | `send METHOD SCHEME AUTHORITY PATH [OPTION]…` | sends a request; `-` for a part that is left out |
//!
//! and of `send` the further ones are `h NAME=VALUE` and `t NAME=VALUE`, headers and trailers, in which `\r`, `\n` and `\0`
//! stand for these characters. Its options: `bytes=N` of a body, `times=N` at once, `follow=N` redirects with all headers,
//! `between=MS` for the next byte, and what is done with the answer: `then=drop` (before it comes, when a request for the
//! path of `until=PATH` is answered), `then=hold` (its body is not read), `then=trap`, `then=spin`.

use std::cell::RefCell;
use std::fmt::Write as _;

use bindings::exports::edgepass::hostile_app::attempts::Guest;
use futures::future::{Either, join_all, select};
use wasip3::cli::environment;
use wasip3::exports::http::handler;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::{wit_future, wit_stream};
use wit_bindgen::StreamResult;

mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "edgepass:hostile-app/application",
    });
}

/// What is read and written at once, bytes.
const PIECE: usize = 64 * 1024;

/// What is kept of a body.
const KEPT: usize = 256 * 1024;

thread_local! {
    /// Everything that came.
    static LOOT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Answers whose bodies are not read.
    static HELD: RefCell<Vec<Response>> = const { RefCell::new(Vec::new()) };
}

struct App;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{App, bindings};

    bindings::export!(App with_types_in bindings);
    wasip3::http::service::export!(App);
}

impl Guest for App {
    async fn attempt(what: String) -> String {
        attempt(&what).await
    }
}

impl handler::Guest for App {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let (_received, received) = wit_future::new(|| Ok(()));
        let (mut body, _trailers) = Request::consume_body(request, received);
        let mut what = Vec::new();
        loop {
            let (result, piece) = body.read(Vec::with_capacity(PIECE)).await;
            what.extend(piece);
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        let told = attempt(&String::from_utf8_lossy(&what)).await;
        let (mut writer, reader) = wit_stream::new();
        let (_trailers, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(reader), trailers);
        wit_bindgen::spawn_local(async move {
            _ = writer.write_all(told.into_bytes()).await;
        });
        Ok(response)
    }
}

async fn attempt(what: &str) -> String {
    let told = tried(what)
        .await
        .unwrap_or_else(|error| format!("error: {error}"));
    keep(told.clone());
    told
}

fn keep(text: String) {
    LOOT.with_borrow_mut(|loot| loot.push(text));
}

async fn tried(what: &str) -> Result<String, String> {
    let mut lines = what.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    match words.next() {
        Some("environment") => Ok(format!(
            "{:?} {:?} {:?}",
            environment::get_environment(),
            environment::get_arguments(),
            environment::get_initial_cwd()
        )),
        Some("fill") => fill(words.next()),
        Some("send") => {
            let plan = Plan::of(&words.collect::<Vec<_>>(), lines)?;
            let calls = (0..plan.times).map(|_| plan.carry_out());
            let mut all = String::new();
            for told in join_all(calls).await {
                let line = told.unwrap_or_else(|error| format!("error: {error}"));
                _ = writeln!(all, "{line}");
            }
            Ok(all)
        }
        other => Err(format!("what is {other:?}?")),
    }
}

/// Memory that is new must be zero, whoever had it before.
fn fill(mib: Option<&str>) -> Result<String, String> {
    let pages = mib.and_then(|mib| mib.parse::<usize>().ok()).ok_or("MIB")? * 16;
    let before = core::arch::wasm32::memory_grow::<0>(pages);
    if before == usize::MAX {
        return Err("no more memory".to_owned());
    }
    #[expect(
        unsafe_code,
        reason = "the pages have just been added, and the allocator does not know of them"
    )]
    // SAFETY: the range is within the linear memory, and nobody else writes there
    let new =
        unsafe { core::slice::from_raw_parts((before * 65_536) as *const u8, pages * 65_536) };
    match new.iter().position(|byte| *byte != 0) {
        None => Ok("it is zero".to_owned()),
        Some(at) => Ok(format!("there is something at {at}")),
    }
}

/// What is done with an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Read,
    Drop,
    Hold,
    Trap,
    Spin,
}

/// A request, in the parts of `wasi:http`.
#[derive(Clone)]
struct Plan {
    method: String,
    scheme: Option<String>,
    authority: Option<String>,
    path: Option<String>,
    headers: Vec<(String, String)>,
    trailers: Vec<(String, String)>,
    bytes: usize,
    times: usize,
    follow: usize,
    between: Option<u64>,
    until: Option<String>,
    then: Then,
}

impl Plan {
    fn of<'a>(words: &[&str], lines: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let [method, scheme, authority, path, options @ ..] = words else {
            return Err("METHOD SCHEME AUTHORITY PATH".to_owned());
        };
        let part = |word: &str| (word != "-").then(|| plain(word));
        let mut plan = Self {
            method: (*method).to_owned(),
            scheme: part(scheme),
            authority: part(authority),
            path: part(path),
            headers: Vec::new(),
            trailers: Vec::new(),
            bytes: 0,
            times: 1,
            follow: 0,
            between: None,
            until: None,
            then: Then::Read,
        };
        for option in options {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let number = || value.parse::<usize>().map_err(|_| format!("{option}?"));
            match name {
                "bytes" => plan.bytes = number()?,
                "times" => plan.times = number()?,
                "follow" => plan.follow = number()?,
                "between" => plan.between = Some(number()? as u64 * 1_000_000),
                "until" => plan.until = Some(plain(value)),
                "then" => {
                    plan.then = match value {
                        "drop" => Then::Drop,
                        "hold" => Then::Hold,
                        "trap" => Then::Trap,
                        "spin" => Then::Spin,
                        _ => return Err(format!("{option}?")),
                    }
                }
                _ => return Err(format!("{option}?")),
            }
        }
        for line in lines {
            let (kind, named) = line.split_once(' ').ok_or("KIND NAME=VALUE")?;
            let (name, value) = named.split_once('=').ok_or("NAME=VALUE")?;
            let named = (plain(name), plain(value));
            match kind {
                "h" => plan.headers.push(named),
                "t" => plan.trailers.push(named),
                _ => return Err(format!("{line}?")),
            }
        }
        Ok(plan)
    }

    async fn carry_out(&self) -> Result<String, String> {
        let mut plan = self.clone();
        let mut told = String::new();
        for _ in 0..=self.follow {
            let (answer, next) = plan.send().await?;
            told += &answer;
            let Some(next) = next else { break };
            plan.move_on(&next);
        }
        Ok(told)
    }

    /// To where a redirect says, with all that the request had.
    fn move_on(&mut self, location: &str) {
        match location.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                self.scheme = Some(scheme.to_owned());
                self.authority = Some(authority.to_owned());
                self.path = Some(format!("/{path}"));
            }
            None => self.path = Some(location.to_owned()),
        }
    }

    /// A request to the same service, by its answer.
    fn until_it_is_time(
        &self,
    ) -> Result<impl Future<Output = Result<u16, String>> + use<>, String> {
        let path = self.until.as_deref().ok_or("then=drop until=PATH")?;
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
        let set = || {
            request.set_scheme(self.scheme.as_deref().map(scheme).as_ref())?;
            request.set_authority(self.authority.as_deref())?;
            request.set_path_with_query(Some(path))
        };
        set().map_err(|()| "no request can be made of that".to_owned())?;
        Ok(async move {
            let response = client::send(request).await;
            let response = response.map_err(|code| format!("{code:?}"))?;
            Ok(response.get_status_code())
        })
    }

    /// What came, and where it says to go on.
    async fn send(&self) -> Result<(String, Option<String>), String> {
        let options = RequestOptions::new();
        if self.between.is_some() {
            options
                .set_between_bytes_timeout(self.between)
                .map_err(|error| format!("{error:?}"))?;
        }
        let (writer, reader) = wit_stream::new();
        let (after, trailers) = wit_future::new(|| Ok(None));
        let content = (self.bytes > 0 || !self.trailers.is_empty()).then_some(reader);
        let (request, sent) =
            Request::new(fields(&self.headers)?, content, trailers, Some(options));
        let set = || {
            request.set_method(&method(&self.method))?;
            request.set_scheme(self.scheme.as_deref().map(scheme).as_ref())?;
            request.set_authority(self.authority.as_deref())?;
            request.set_path_with_query(self.path.as_deref())
        };
        set().map_err(|()| "no request can be made of that".to_owned())?;
        // handles of what is sent, to look at afterwards
        let own = request.get_headers();
        let own_options = request.get_options();
        let trailers = match self.trailers.is_empty() {
            true => None,
            false => Some(fields(&self.trailers)?),
        };
        let bytes = self.bytes;
        wit_bindgen::spawn_local(async move {
            let (mut writer, mut left) = (writer, bytes);
            while left > 0 {
                let now = left.min(PIECE);
                if !writer.write_all(vec![b'x'; now]).await.is_empty() {
                    break;
                }
                left -= now;
            }
            drop(writer);
            _ = after.write(Ok(trailers)).await;
        });
        let call = Box::pin(client::send(request));
        if self.then == Then::Drop {
            // who has got the requests says when all of them are there
            let until = Box::pin(self.until_it_is_time()?);
            return match select(call, until).await {
                Either::Left(_) => Err("an answer came first".to_owned()),
                Either::Right((told, call)) => {
                    drop(call);
                    keep(shown(&own));
                    Ok((format!("dropped {}", told?), None))
                }
            };
        }
        let answered = call.await;
        let mut told = format!("own {}", shown(&own));
        drop(own_options);
        let response = match answered {
            Ok(response) => response,
            Err(code) => {
                keep(told.clone());
                let ended = sent.await;
                return Err(format!("{code:?} {ended:?} {told}"));
            }
        };
        let status = response.get_status_code();
        let headers = response.get_headers();
        told = format!("{status} {told} got {}", shown(&headers));
        keep(told.clone());
        match self.then {
            Then::Read | Then::Drop => {}
            Then::Hold => {
                HELD.with_borrow_mut(|held| held.push(response));
                return Ok((told, None));
            }
            Then::Trap => core::arch::wasm32::unreachable(),
            Then::Spin => loop {
                std::hint::spin_loop();
            },
        }
        let location = headers.get("location").into_iter().next();
        let location = location.map(|value| String::from_utf8_lossy(&value).into_owned());
        let (body, after) = read(response).await?;
        told = format!("{told} after {after} body {body}");
        Ok((told, location.filter(|_| (300..400).contains(&status))))
    }
}

async fn read(response: Response) -> Result<(String, String), String> {
    let (_received, received) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = Response::consume_body(response, received);
    let (mut body, mut buffer) = (Vec::new(), Vec::with_capacity(PIECE));
    loop {
        buffer.clear();
        let (result, piece) = content.read(buffer).await;
        let room = KEPT.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        buffer = piece;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    let after = match trailers.await {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(trailers)) => shown(&trailers),
        Err(code) => format!("{code:?}"),
    };
    Ok((String::from_utf8_lossy(&body).into_owned(), after))
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        other => Method::Other(other.to_owned()),
    }
}

fn scheme(name: &str) -> Scheme {
    match name {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    }
}

fn fields(named: &[(String, String)]) -> Result<Fields, String> {
    let fields = Fields::new();
    for (name, value) in named {
        let set = fields.append(name, value.as_bytes());
        set.map_err(|error| format!("{name}: {error:?}"))?;
    }
    Ok(fields)
}

fn shown(fields: &Fields) -> String {
    let all = fields.copy_all().into_iter();
    let all = all.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    format!("{:?}", all.collect::<Vec<_>>())
}

fn plain(text: &str) -> String {
    text.replace("\\r", "\r")
        .replace("\\n", "\n")
        .replace("\\0", "\0")
        .replace("\\s", " ")
}
