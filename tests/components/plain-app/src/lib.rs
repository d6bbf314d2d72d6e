//! An application component that sends requests by the crate `wasip3`, as one does that has nothing to do with edgepass.

use bindings::exports::edgepass::plain_app::requests::{Answer, Content, Guest, Message};
use futures::future::join_all;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use wasip3::{wit_future, wit_stream};
use wit_bindgen::{FutureWriter, StreamResult, StreamWriter};

mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "edgepass:plain-app/application",
    });
}

/// What is written at once, bytes.
const PIECE: usize = 64 * 1024;

/// What is kept of a response's body.
const BEGINNING: usize = 256;

struct App;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{App, bindings};

    bindings::export!(App with_types_in bindings);
}

impl Guest for App {
    async fn send(message: Message) -> Result<Answer, String> {
        let (request, body) = request(&message)?;
        let is_late = message.content.as_ref().is_some_and(|content| content.late);
        if is_late {
            let response = client::send(request).await;
            let response = response.map_err(|code| format!("{code:?}"))?;
            body.write(message.content).await;
            return answer(response).await;
        }
        let receive = async {
            let response = client::send(request).await;
            answer(response.map_err(|code| format!("{code:?}"))?).await
        };
        let (answer, ()) = futures::join!(receive, body.write(message.content));
        answer
    }

    async fn send_many(message: Message, times: u32) -> Vec<Result<u16, String>> {
        let calls = (0..times).map(|_| Self::send(message.clone()));
        let answers = join_all(calls).await.into_iter();
        answers.map(|answer| Ok(answer?.status)).collect()
    }
}

/// Where a request's body is written.
struct Body {
    content: Option<StreamWriter<u8>>,
    trailers: FutureWriter<Result<Option<Trailers>, ErrorCode>>,
}

impl Body {
    async fn write(self, what: Option<Content>) {
        let Some((mut writer, what)) = self.content.zip(what) else {
            return;
        };
        let mut left = what.length;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let rest = writer.write_all(vec![b'x'; now]).await;
            if !rest.is_empty() {
                // nobody reads it
                return;
            }
            left -= now as u64;
        }
        drop(writer);
        if let Ok(trailers) = fields(&what.trailers) {
            _ = self.trailers.write(Ok(Some(trailers))).await;
        }
    }
}

fn request(message: &Message) -> Result<(Request, Body), String> {
    let headers = fields(&message.headers)?;
    let (content, reader) = match &message.content {
        None => (None, None),
        Some(what) => {
            if what.announced {
                let length = what.length.to_string().into_bytes();
                let set = headers.set("content-length", &[length]);
                set.map_err(|error| format!("{error:?}"))?;
            }
            let (writer, reader) = wit_stream::new();
            (Some(writer), Some(reader))
        }
    };
    let (trailers, after) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(headers, reader, after, None);
    let method = match message.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "TRACE" => Method::Trace,
        other => Method::Other(other.to_owned()),
    };
    let scheme = message.scheme.as_deref().map(|scheme| match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    });
    let set = || {
        request.set_method(&method)?;
        request.set_scheme(scheme.as_ref())?;
        request.set_authority(message.authority.as_deref())?;
        request.set_path_with_query(message.path.as_deref())
    };
    set().map_err(|()| "no request can be made of that".to_owned())?;
    Ok((request, Body { content, trailers }))
}

async fn answer(response: Response) -> Result<Answer, String> {
    let status = response.get_status_code();
    let headers = texts(&response.get_headers());
    let (_received, received) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = Response::consume_body(response, received);
    let (mut length, mut beginning) = (0, Vec::new());
    let mut buffer = Vec::with_capacity(PIECE);
    loop {
        buffer.clear();
        let (result, piece) = content.read(buffer).await;
        length += piece.len() as u64;
        let missing = BEGINNING.saturating_sub(beginning.len());
        beginning.extend(piece.iter().take(missing));
        buffer = piece;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    let trailers = trailers.await.map_err(|code| format!("{code:?}"))?;
    Ok(Answer {
        status,
        headers,
        length,
        beginning: String::from_utf8_lossy(&beginning).into_owned(),
        trailers: trailers.as_ref().map(texts).unwrap_or_default(),
    })
}

fn fields(named: &[(String, String)]) -> Result<Fields, String> {
    let fields = Fields::new();
    for (name, value) in named {
        let set = fields.append(name, value.as_bytes());
        set.map_err(|error| format!("{name}: {error:?}"))?;
    }
    Ok(fields)
}

fn texts(fields: &Fields) -> Vec<(String, String)> {
    let all = fields.copy_all().into_iter();
    all.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()))
        .collect()
}
