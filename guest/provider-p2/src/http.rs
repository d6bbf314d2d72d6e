//! Requests over WASI 0.2.

use edgepass_core::{HttpRequest, HttpResponse, SecretBytes, Via, wipe};

use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, FutureIncomingResponse, IncomingResponse, OutgoingBody, http_error_code,
};
use crate::bindings::wasi::io::streams::{InputStream, StreamError};
use crate::body::{Body, TooLarge};
use crate::effects::{Certificates, Failure};
use crate::message::{address, answer_to, fields, response};
use crate::tasks::ready;

pub(crate) use crate::bindings::wasi::http::types::OutgoingRequest as Message;

/// Sends a request and reads what comes back.
pub(crate) async fn exchange(
    request: HttpRequest,
    via: Via,
    certificates: &Certificates,
) -> Result<HttpResponse, Failure> {
    let limit = request.max_response_bytes;
    let message = Message::new(fields(&request)?);
    address(&message, &request)?;
    let content = message.body().map_err(|()| Failure::Unsendable("body"))?;
    // no timeouts of the host's: what takes too long is dropped, and setting each is a call by itself
    let response = match via {
        Via::Public => outgoing_handler::handle(message, None)?,
        Via::Certificate(handle) => {
            let certificate = certificates.get(handle).ok_or(Failure::NoCertificate)?;
            certificate.send(message, None)?
        }
    };
    let answer = async {
        let response = receive(response).await?;
        read(&response, limit).await
    };
    answer_to(upload(content, request.body.expose()), answer).await
}

/// Feeds the body to the host. What became of it is not asked: the response tells, or the error in its place.
async fn upload(content: OutgoingBody, body: &[u8]) {
    if !body.is_empty() && write(&content, body).await.is_err() {
        return;
    }
    _ = OutgoingBody::finish(content, None);
}

async fn write(content: &OutgoingBody, mut rest: &[u8]) -> Result<(), StreamError> {
    let stream = content.write().map_err(|()| StreamError::Closed)?;
    while !rest.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            ready(stream.subscribe()).await;
            continue;
        }
        let (now, later) = rest.split_at(room.min(rest.len()));
        stream.write(now)?;
        rest = later;
    }
    stream.flush()?;
    ready(stream.subscribe()).await;
    stream.check_write().map(drop)
}

async fn receive(response: FutureIncomingResponse) -> Result<IncomingResponse, Failure> {
    loop {
        match response.get() {
            Some(Ok(response)) => return Ok(response?),
            // it was taken before, and nobody does that
            Some(Err(())) => return Err(Failure::Code(ErrorCode::InternalError(None))),
            None => ready(response.subscribe()).await,
        }
    }
}

async fn read(incoming: &IncomingResponse, limit: usize) -> Result<HttpResponse, Failure> {
    let status = incoming.status();
    let incomplete = |()| Failure::Code(ErrorCode::HttpResponseIncomplete);
    let content = incoming.consume().map_err(incomplete)?;
    let body = {
        let stream = content.stream().map_err(incomplete)?;
        read_all(&stream, limit).await?
    };
    Ok(response(status, &incoming.headers(), body))
}

async fn read_all(stream: &InputStream, limit: usize) -> Result<SecretBytes, Failure> {
    let mut body = Body::new(limit);
    loop {
        let mut buffer = body.lend();
        let room = buffer.capacity() - buffer.len();
        let read = stream.read(u64::try_from(room).unwrap_or(u64::MAX));
        let (mut piece, end) = match read {
            Ok(piece) => (piece, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        // no more than there is room for, or the buffer would leave a copy behind
        buffer.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        let is_empty = piece.is_empty();
        wipe(&mut piece);
        body.take_back(buffer)
            .map_err(|TooLarge| Failure::TooLarge)?;
        match end {
            None if is_empty => ready(stream.subscribe()).await,
            None => {}
            Some(StreamError::Closed) => return Ok(SecretBytes::new(body.finish())),
            Some(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                return Err(code.unwrap_or(ErrorCode::HttpResponseIncomplete).into());
            }
        }
    }
}
