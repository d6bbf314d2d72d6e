//! What a request and its response are in `wasi:http`, of which both versions of WASI have the same.

use std::future::{Future, pending};
use std::pin::pin;

use edgepass_core::{HttpRequest, HttpResponse, Secret, SecretBytes, wipe};
use futures::future::{Either, select};

use crate::bindings::wasi::http::types::{Fields, Method, Scheme};
use crate::effects::Failure;
use crate::http::Message;
use crate::imports::header_refusal;

/// Response headers that are looked at; no other is copied into the sandbox's memory. Each is a call of the host, which
/// costs as much as reading the body.
fn wanted_headers(status: u16, body: &[u8]) -> impl Iterator<Item = &'static str> {
    // some servers refuse with a success
    let always = ["date", "retry-after"].as_slice();
    // what says what it is need not be told
    let of_body: &[_] = match body.first() {
        Some(b'{') => &[],
        // a token of Google's metadata server is bare text
        _ => &["content-encoding", "content-type", "metadata-flavor"],
    };
    let of_status: &[_] = match status {
        200..=299 => &[],
        401 => &["location", "server", "www-authenticate", "x-vss-e2eid"],
        _ => &["location", "server", "x-vss-e2eid"],
    };
    [always, of_body, of_status].into_iter().flatten().copied()
}

/// The longest header value that is taken, bytes: what common servers accept for a whole line. A longer one is left
/// out, because half a value could mean something else.
const MAX_HEADER_VALUE_BYTES: usize = 8 * 1024;

/// The fields of a request. No copy of what is in them stays behind.
pub(crate) fn fields(request: &HttpRequest) -> Result<Fields, Failure> {
    let mut fields = fields_of(request.method, &request.headers, &request.body);
    let accepted = Fields::from_list(&fields);
    for (_, value) in &mut fields {
        wipe(value);
    }
    accepted.map_err(|_| Failure::Unsendable("headers"))
}

fn fields_of(
    method: &str,
    headers: &[(&'static str, Secret)],
    body: &SecretBytes,
) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<(String, Vec<u8>)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.expose().as_bytes().to_vec()))
        .collect();
    // some servers want a length of what is posted, if it is nothing (RFC 9110 section 8.6)
    if !body.is_empty() || method != "GET" {
        fields.push((
            "content-length".to_owned(),
            body.len().to_string().into_bytes(),
        ));
    }
    fields
}

/// Says in a message what it asks of which server.
pub(crate) fn address(message: &Message, request: &HttpRequest) -> Result<(), Failure> {
    let method = match request.method {
        "POST" => Method::Post,
        "GET" => Method::Get,
        "PUT" => Method::Put,
        other => Method::Other(other.to_owned()),
    };
    let scheme = match request.scheme {
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
        .set_authority(Some(&request.authority))
        .map_err(|()| Failure::Unsendable("host name"))?;
    message
        .set_path_with_query(Some(&request.path))
        .map_err(|()| Failure::Unsendable("path"))
}

/// The answer, while the body is uploaded. A server may answer before it has taken the whole body, or without taking it: the
/// answer is what counts.
pub(crate) async fn answer_to<T>(
    upload: impl Future<Output = ()>,
    answer: impl Future<Output = T>,
) -> T {
    let upload = async {
        upload.await;
        pending::<()>().await;
    };
    match select(pin!(answer), pin!(upload)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), answer)) => answer.await,
    }
}

/// What the engine gets of a response.
pub(crate) fn response(status: u16, fields: &Fields, body: SecretBytes) -> HttpResponse {
    let headers = wanted_headers(status, body.expose())
        .filter_map(|name| header(fields, name).map(|value| (name.to_owned(), value)))
        .collect();
    HttpResponse {
        status,
        headers,
        body,
    }
}

fn header(fields: &Fields, name: &str) -> Option<String> {
    let value = fields.get(name).into_iter().next()?;
    if value.len() > MAX_HEADER_VALUE_BYTES {
        None
    } else {
        String::from_utf8(value).ok()
    }
}

/// Sets one header in place of what is there. The error says why the fields do not accept it, in words.
pub(crate) fn set_header(fields: &Fields, name: &str, value: &Secret) -> Result<(), String> {
    // one copy, which is wiped when it has crossed
    let mut values = [value.expose().as_bytes().to_vec()];
    let set = fields.set(name, &values);
    for value in &mut values {
        wipe(value);
    }
    set.map_err(|error| header_refusal(&error, name))
}
