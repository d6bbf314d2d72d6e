//! Whether what came is what was wanted.

use super::*;

impl Wanted {
    /// The credentials in the request, when it is as it should be.
    pub(super) fn check(&self, request: &HttpRequest) -> Checked<Vec<String>> {
        let url = match self.url.contains('?') {
            true => format!("{}://{}{}", request.scheme, request.authority, request.path),
            false => request.url(),
        };
        same("url", &url, &self.url)?;
        same("method", &request.method, &self.method.as_str())?;
        for (name, wanted) in &self.headers {
            let value = request.headers.iter().find(|(n, _)| n == name);
            let value = value.map(|(_, value)| value.expose());
            same(&format!("header {name}"), &value, &Some(wanted.as_str()))?;
        }
        let form: Vec<(String, String)> = form_urlencoded::parse(request.body.expose())
            .into_owned()
            .collect();
        let names = |pairs: Vec<&String>| {
            pairs
                .into_iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(",")
        };
        same(
            "form",
            &names(form.iter().map(|(name, _)| name).collect()),
            &names(self.form.iter().map(|(name, _)| name).collect()),
        )?;
        let mut credentials = Vec::new();
        for ((name, value), (_, wanted)) in form.iter().zip(&self.form) {
            check_text(name, value, wanted)?;
            if SECRETS.contains(&name.as_str()) {
                credentials.push(value.clone());
            }
        }
        Ok(credentials)
    }
}

/// A text as it is written, any, or a JWT with this in it.
pub(super) fn check_text(name: &str, value: &str, wanted: &Value) -> Checked {
    match wanted {
        Value::String(any) if any == "*" => Ok(()),
        Value::Object(parts) => parts.iter().try_for_each(|(part, wanted)| {
            let place = ["header", "claims"].iter().position(|name| name == part);
            let place = place.ok_or_else(|| format!("a JWT has no {part}"))?;
            let encoded = value.split('.').nth(place).unwrap_or_default();
            let decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|e| e.to_string())?;
            let found: Value = serde_json::from_slice(&decoded).map_err(|e| e.to_string())?;
            contains(&format!("{name}.{part}"), &found, wanted)
        }),
        wanted => same(name, &Value::from(value), wanted),
    }
}

impl Scripted {
    pub(super) fn as_result(&self) -> Result<HttpResponse, HttpError> {
        if let Some(kind) = &self.error {
            let kind = match kind.as_str() {
                "connect" => HttpErrorKind::Connect,
                "dns" => HttpErrorKind::Dns,
                "reset" => HttpErrorKind::Reset,
                "server-certificate" => HttpErrorKind::ServerCertificate,
                "server-name" => HttpErrorKind::ServerName,
                "server-certificate-date" => HttpErrorKind::ServerCertificateDate,
                "server-certificate-unfit" => HttpErrorKind::ServerCertificateUnfit,
                "client-certificate" => HttpErrorKind::ClientCertificate,
                "no-client-certificate" => HttpErrorKind::NoClientCertificate,
                "proxy" => HttpErrorKind::Proxy,
                "proxy-refused" => HttpErrorKind::ProxyRefused,
                "timeout" => HttpErrorKind::Timeout,
                "body-too-large" => HttpErrorKind::BodyTooLarge,
                other => panic!("no such failure: {other}"),
            };
            return Err(HttpError {
                kind,
                detail: self.detail.clone().unwrap_or_default(),
            });
        }
        let mut headers: Vec<_> = self.headers.clone().into_iter().collect();
        if self.json.is_some() {
            headers.push(("content-type".into(), "application/json".into()));
        }
        let body = self.json.as_ref().map(Value::to_string);
        Ok(HttpResponse {
            status: self.status,
            headers,
            body: SecretBytes::new(body.or_else(|| self.body.clone()).unwrap_or_default()),
        })
    }
}

impl WantedError {
    pub(super) fn check(&self, error: &Error) -> Checked {
        let detail = error.detail();
        same("class", &error.class().name(), &self.class.as_str())?;
        includes("message", &detail.message, &self.message)?;
        includes(
            "hint",
            detail.hint.as_deref().unwrap_or_default(),
            &self.hint,
        )?;
        same("aadsts", &detail.aadsts, &self.aadsts)?;
        same("http_status", &detail.http_status, &self.http_status)?;
        same("oauth_error", &detail.oauth_error, &self.oauth_error)?;
        same(
            "retry_after_ms",
            &detail.retry_after_ms,
            &self.retry_after_ms,
        )?;
        if let Some(retryable) = self.retryable {
            same("retryable", &detail.retryable, &retryable)?;
        }
        for (name, found, wanted) in [
            (
                "correlation_id",
                &detail.correlation_id,
                &self.correlation_id,
            ),
            ("trace_id", &detail.trace_id, &self.trace_id),
        ] {
            if wanted.is_some() {
                same(name, found, wanted)?;
            }
        }
        if let Some(wanted) = &self.credential {
            let found = detail.credential.as_ref();
            same("kind", &found.map(|c| &c.kind), &Some(&wanted.kind))?;
            same(
                "name",
                &found.and_then(|c| c.name.as_ref()),
                &wanted.name.as_ref(),
            )?;
        }
        let found = detail.attempts.iter();
        let found: Vec<_> = found
            .map(|a| {
                (
                    &a.credential.kind,
                    a.credential.name.as_ref(),
                    a.class.name(),
                )
            })
            .collect();
        let wanted = self.attempts.iter();
        let wanted: Vec<_> = wanted
            .map(|a| (&a.kind, a.name.as_ref(), a.class.as_str()))
            .collect();
        same("attempts", &found, &wanted)?;
        let claims = detail
            .claims
            .as_deref()
            .and_then(|claims| serde_json::from_str(claims).ok());
        same::<Option<Value>>("claims", &claims, &self.claims)
    }
}

impl WantedConfigError {
    pub(super) fn check(&self, error: &ConfigError) -> Checked {
        same("setting", &error.setting, &self.setting)?;
        includes("message", &error.message, &self.message)?;
        includes(
            "hint",
            error.hint.as_deref().unwrap_or_default(),
            &self.hint,
        )
    }
}

pub(super) fn check_token(token: &AccessToken, wanted: &Value) -> Checked {
    let source = match token.source {
        TokenSource::Exchange => "exchange",
        TokenSource::Cache => "cache",
        TokenSource::SharedExchange => "shared-exchange",
    };
    let found = serde_json::json!({
        "token": token.token.expose(),
        "token_type": token.token_type,
        "expires_on": token.expires_on,
        "refresh_on": token.refresh_on,
        "scope": token.scope,
        "identity": token.identity,
        "source": source,
        "certificate_thumbprint": token.certificate_thumbprint,
        "refresh_token": token.refresh_token.as_ref().map(Secret::expose),
        "id_token": token.id_token.as_ref().map(Secret::expose),
        "issued_token_type": token.issued_token_type,
    });
    let mut wanted = wanted.clone();
    // jitter: a range of unix seconds
    if let Some(range) = wanted
        .as_object_mut()
        .and_then(|wanted| wanted.remove("refresh_on_between"))
    {
        let (from, to): (u64, u64) = serde_json::from_value(range).map_err(|e| e.to_string())?;
        if !(from..=to).contains(&token.refresh_on) {
            return Err(format!("refresh_on is {}", token.refresh_on));
        }
    }
    contains("token", &found, &wanted)
}

/// Every wanted field is there with its value; `*` is any.
fn contains(what: &str, found: &Value, wanted: &Value) -> Checked {
    match (found, wanted) {
        (_, Value::String(any)) if any == "*" && !found.is_null() => Ok(()),
        (Value::Object(found), Value::Object(wanted)) => {
            for (name, wanted) in wanted {
                let found = found.get(name).unwrap_or(&Value::Null);
                contains(&format!("{what}.{name}"), found, wanted)?;
            }
            Ok(())
        }
        _ => same(what, found, wanted),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Checked {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} is {found:?} instead of {wanted:?}"))
}

fn includes(what: &str, found: &str, wanted: &[String]) -> Checked {
    match wanted.iter().find(|part| !found.contains(part.as_str())) {
        None => Ok(()),
        Some(part) => Err(format!("{what} lacks {part:?}: {found}")),
    }
}
