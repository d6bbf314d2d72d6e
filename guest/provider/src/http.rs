//! Requests over WASI 0.3.

use std::future::{Future, pending};
use std::pin::pin;

use edgepass_core::{HttpRequest, HttpResponse, SecretBytes, Via, wipe};
use futures::future::{Either, select};
use wit_bindgen::{FutureReader, StreamResult};

use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use crate::bindings::{wit_future, wit_stream};
use crate::body::{Body, TooLarge};
use crate::effects::{Certificates, Failure, MAX_HEADER_VALUE_BYTES, fields_of, wanted_headers};

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
    // a server may answer before it has taken the whole body, or without taking it: the answer is what counts
    let upload = async {
        upload.await;
        pending::<()>().await;
    };
    match select(pin!(answer), pin!(upload)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answer)) => answer.await,
    }
}

/// The message, what tells whether it was sent, and the future that feeds its body to the host.
fn build(request: HttpRequest) -> Result<(Request, Sent, impl Future<Output = ()>), Failure> {
    let HttpRequest {
        method,
        scheme,
        authority,
        path,
        headers,
        body,
        ..
    } = request;

    let mut fields = fields_of(method, &headers, &body);
    let headers = Fields::from_list(&fields);
    for (_, value) in &mut fields {
        wipe(value);
    }
    let headers = headers.map_err(|_| Failure::Unsendable("headers"))?;

    let (trailers, trailers_rx) = wit_future::new(|| Ok(None));
    let (content, content_rx) = if body.is_empty() {
        (None, None)
    } else {
        let (content, content_rx) = wit_stream::new();
        (Some(content), Some(content_rx))
    };
    let (message, sent) = Request::new(headers, content_rx, trailers_rx, None);
    // no timeouts of the host's: dropping the call ends it when its time is over, and setting each is a call by itself

    let method = match method {
        "POST" => Method::Post,
        "GET" => Method::Get,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => Scheme::Other(other.to_owned()),
    };
    message
        .set_method(&method)
        .map_err(|()| Failure::Unsendable("method"))?;
    message
        .set_scheme(Some(&scheme))
        .map_err(|()| Failure::Unsendable("scheme"))?;
    message
        .set_authority(Some(&authority))
        .map_err(|()| Failure::Unsendable("host name"))?;
    message
        .set_path_with_query(Some(&path))
        .map_err(|()| Failure::Unsendable("path"))?;

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

async fn read(response: Response, limit: usize) -> Result<HttpResponse, Failure> {
    let status = response.get_status_code();
    let fields = response.get_headers();
    let (received, received_rx) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = Response::consume_body(response, received_rx);
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
    let body = SecretBytes::new(body.finish());
    let headers = wanted_headers(status, body.expose())
        .filter_map(|name| header(&fields, name).map(|value| (name.to_owned(), value)))
        .collect();
    Ok(HttpResponse {
        status,
        headers,
        body,
    })
}

fn header(fields: &Fields, name: &str) -> Option<String> {
    let value = fields.get(name).into_iter().next()?;
    if value.len() > MAX_HEADER_VALUE_BYTES {
        None
    } else {
        String::from_utf8(value).ok()
    }
}
