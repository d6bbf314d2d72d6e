//! Requests over WASI 0.3.

use std::future::Future;

use edgepass_core::{HttpRequest, HttpResponse, SecretBytes, Via, wipe};
use wit_bindgen::{FutureReader, StreamResult};

use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{ErrorCode, Response};
use crate::bindings::{wit_future, wit_stream};
use crate::body::{Body, TooLarge};
use crate::effects::{Certificates, Failure};
use crate::message::{address, answer_to, fields, response};

pub(crate) use crate::bindings::wasi::http::types::Request as Message;

/// What the host says when a message was sent.
type Sent = FutureReader<Result<(), ErrorCode>>;

/// Sends a request and reads what comes back.
pub(crate) async fn exchange(
    request: HttpRequest,
    via: Via,
    certificates: &Certificates,
) -> Result<HttpResponse, Failure> {
    let limit = request.max_response_bytes;
    let (message, sent, upload) = build(request)?;
    let answer = async {
        let response = match via {
            Via::Public => client::send(message).await?,
            Via::Certificate(handle) => {
                let certificate = certificates.get(handle).ok_or(Failure::NoCertificate)?;
                certificate.send(message).await?
            }
        };
        let answer = read(response, limit).await;
        // what became of the upload is not asked: the response tells, or the error in its place. Let go of before, it would
        // end the answer: a host may have its connection live in it
        drop(sent);
        answer
    };
    answer_to(upload, answer).await
}

/// The message, what tells whether it was sent, and the future that feeds its body to the host.
fn build(request: HttpRequest) -> Result<(Message, Sent, impl Future<Output = ()>), Failure> {
    let headers = fields(&request)?;
    let (trailers, trailers_rx) = wit_future::new(|| Ok(None));
    let (content, content_rx) = if request.body.is_empty() {
        (None, None)
    } else {
        let (content, content_rx) = wit_stream::new();
        (Some(content), Some(content_rx))
    };
    let (message, sent) = Message::new(headers, content_rx, trailers_rx, None);
    // no timeouts of the host's: dropping the call ends it when its time is over, and setting each is a call by itself
    address(&message, &request)?;

    let body = request.body;
    let upload = async move {
        if let Some(mut content) = content {
            // the one copy that a stream needs comes back when it has been taken, and is wiped here
            let mut copy = content.write_all(body.expose().to_vec()).await;
            wipe(&mut copy);
        }
        _ = trailers.write(Ok(None)).await;
    };
    Ok((message, sent, upload))
}

async fn read(incoming: Response, limit: usize) -> Result<HttpResponse, Failure> {
    let status = incoming.get_status_code();
    let fields = incoming.get_headers();
    let (received, received_rx) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = Response::consume_body(incoming, received_rx);
    let mut body = Body::new(limit);
    loop {
        let (result, buffer) = content.read(body.lend()).await;
        body.take_back(buffer)
            .map_err(|TooLarge| Failure::TooLarge)?;
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    // a stream ends in the same way whether the body was whole or not; only the trailers tell
    trailers.await?;
    drop(received);
    Ok(response(status, &fields, SecretBytes::new(body.finish())))
}
