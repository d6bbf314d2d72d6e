//! What a fault does to an answer.

use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use serde_json::Value;

use crate::clock::http_date;
use crate::delivery::Delivery;
use crate::encoding::base64url;
use crate::errors::Refusal;
use crate::faults::Fault;
use crate::issuer::Mint;
use crate::jose::{Jws, SigningKey};
use crate::reply::Reply;
use crate::request::Call;
use crate::world::World;

/// An error page as a proxy would send it.
const HTML_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
    <body><h1>Bad Gateway</h1><p>The proxy server received an invalid response.</p></body></html>\n";

/// The answer given without looking at the request, if the fault has one.
pub(crate) fn instead(fault: &Fault, world: &World, call: &Call) -> Option<(Reply, Option<u32>)> {
    let status = |otherwise| {
        fault
            .status
            .and_then(|code| StatusCode::from_u16(code).ok())
            .unwrap_or(otherwise)
    };
    if let Some(code) = fault.aadsts {
        let refusal = Refusal::plain(code);
        let authority = world.identity.authority();
        let mut body = refusal.body(&authority, &call.trace_id, &call.correlation_id, call.now);
        if let Some(fields) = body.as_object_mut() {
            let extra = [("suberror", &fault.suberror), ("claims", &fault.claims)];
            for (name, value) in extra {
                if let Some(value) = value {
                    fields.insert(name.into(), Value::from(value.as_str()));
                }
            }
        }
        return Some((Reply::json(status(refusal.status()), &body), Some(code)));
    }
    if let Some(location) = &fault.redirect {
        let mut reply = Reply::text(status(StatusCode::FOUND), "text/plain", "");
        reply.set(LOCATION, location);
        return Some((reply, None));
    }
    if fault.html {
        let page = fault.body.clone().unwrap_or_else(|| HTML_PAGE.to_owned());
        return Some((
            Reply::text(status(StatusCode::OK), "text/html; charset=utf-8", page),
            None,
        ));
    }
    if fault.status.is_some() || fault.body.is_some() {
        let body = fault
            .body
            .clone()
            .unwrap_or_else(|| "injected failure\n".to_owned());
        return Some((
            Reply::text(status(StatusCode::OK), "text/plain", body),
            None,
        ));
    }
    None
}

/// Changes an answer that is about to be sent.
pub(crate) fn alter(fault: &Fault, world: &World, reply: &mut Reply) {
    let now = world.clock.now();
    if let Some(value) = &fault.retry_after {
        reply.set(RETRY_AFTER, value);
    }
    if let Some(seconds) = fault.retry_after_date_in {
        reply.set(RETRY_AFTER, &http_date(now.saturating_add(seconds)));
    }
    if let Some(content_type) = &fault.content_type {
        reply.set(CONTENT_TYPE, content_type);
    }
    if let Some(seconds) = fault.date_skew {
        reply.set(DATE, &http_date(now.saturating_add(seconds)));
    }
    alter_json(fault, world, reply);
    if let Some(size) = fault.oversize {
        let mut padded = reply.body.to_vec();
        padded.resize(size.max(padded.len()), b' ');
        reply.body = Bytes::from(padded);
    }
}

/// How the altered answer travels.
pub(crate) fn deliver(fault: &Fault, reply: &mut Reply) -> Delivery {
    if fault.truncate {
        reply.set(CONTENT_LENGTH, &reply.body.len().to_string());
        return Delivery::truncated(&reply.body);
    }
    if fault.trickle_bytes.is_some() || fault.trickle_ms.is_some() {
        let pause = Duration::from_millis(fault.trickle_ms.unwrap_or(10));
        return Delivery::trickle(&reply.body, fault.trickle_bytes.unwrap_or(1), pause);
    }
    Delivery::whole(reply.body.clone())
}

fn alter_json(fault: &Fault, world: &World, reply: &mut Reply) {
    if fault.omit.is_empty()
        && !fault.string_numbers
        && fault.token_type.is_none()
        && fault.id_token.is_none()
        && fault.fields.is_empty()
    {
        return;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&reply.body) else {
        return;
    };
    for name in &fault.omit {
        fields.remove(name);
    }
    if let Some(token_type) = &fault.token_type {
        fields.insert("token_type".into(), Value::from(token_type.as_str()));
    }
    if let (Some(mint), Some(Value::String(token))) = (&fault.id_token, fields.get("id_token")) {
        let token = reissue(world, mint, token).unwrap_or_default();
        fields.insert("id_token".into(), Value::from(token));
    }
    fields.extend(fault.fields.clone());
    if fault.string_numbers {
        for value in fields.values_mut().filter(|value| value.is_number()) {
            *value = Value::from(value.to_string());
        }
    }
    reply.body = Bytes::from(serde_json::to_vec(&fields).unwrap_or_default());
}

/// The token with those differences, signed anew: by another key if told so,
/// by the client's secret with an algorithm for that, and not at all with none.
pub(crate) fn reissue(world: &World, mint: &Mint, token: &str) -> Option<String> {
    let Jws {
        mut header,
        mut claims,
        ..
    } = Jws::parse(token)?;
    let now = world.clock.now();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    let after = |seconds: i64| Value::from(now.saturating_add(seconds));
    add("iss", mint.issuer.clone().map(Value::from));
    add("sub", mint.subject.clone().map(Value::from));
    add("aud", mint.audience.clone());
    add("exp", mint.expires_in.map(after));
    add(
        "nbf",
        Some(mint.not_before_in).filter(|by| *by != 0).map(after),
    );
    add("iat", Some(mint.issued_in).filter(|by| *by != 0).map(after));
    claims.extend(mint.claims.clone());
    for name in &mint.omit {
        claims.remove(name);
        header.remove(name);
    }
    if let Some(kid) = &mint.kid {
        header.insert("kid".into(), Value::from(kid.as_str()));
    }
    header.extend(mint.header.clone());
    let algorithm = header
        .get("alg")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let (header, claims) = (Value::Object(header), Value::Object(claims));
    let part = |value: &Value| serde_json::to_vec(value).map(|bytes| base64url(&bytes));
    let input = format!("{}.{}", part(&header).ok()?, part(&claims).ok()?);
    match algorithm.as_str() {
        "HS256" => {
            let secret = world.identity.client_secret.as_bytes();
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let signature = hmac::sign(&key, input.as_bytes());
            Some(format!("{input}.{}", base64url(signature.as_ref())))
        }
        "none" => Some(format!("{input}.")),
        _ if mint.foreign_key => SigningKey::generate("stranger")
            .ok()?
            .sign(&header, &claims)
            .ok(),
        _ => world.keys.newest().ok()?.sign(&header, &claims).ok(),
    }
}
