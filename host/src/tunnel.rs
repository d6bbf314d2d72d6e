//! The tunnel that a proxy opens (CONNECT, RFC 9110 section 9.3.6), and why there is none. hyper's own client makes the
//! request: `Tunnel` of hyper-util keeps a proxy's refusal and what is no HTTP at all to itself, which are two things to
//! repair.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use bytes::Bytes;
use edgepass_core::{ConfigError, HttpErrorKind};
use http::header::{HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use wasmtime_wasi_http::Error;

use crate::connect::Stream;
use crate::limits;
use crate::proxy::Proxy;

/// Has the proxy at the other end of that connection open one to `target`, host and port.
pub(crate) async fn open(stream: Stream, proxy: &Proxy, target: &str) -> Result<Stream, NoTunnel> {
    let closed = || NoTunnel::closed(proxy);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits::TUNNEL_ANSWER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| closed())?;
    // it ends with the answer, or when nobody waits for one any more
    tokio::spawn(async move {
        if let Err(e) = connection.with_upgrades().await {
            log::debug!("the connection to the proxy: {e}");
        }
    });
    let request = request(proxy, target).ok_or_else(|| NoTunnel::refused(proxy, target, None))?;
    let response = sender.send_request(request).await;
    let response = response.map_err(|e| NoTunnel::unanswered(proxy, &e))?;
    if !response.status().is_success() {
        return Err(NoTunnel::answered(proxy, target, &response));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|_| closed())?;
    match upgraded.downcast::<TokioIo<Stream>>() {
        // servers that speak TLS wait for the client to begin
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(NoTunnel::no_proxy(proxy)),
    }
}

fn request(proxy: &Proxy, target: &str) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::connect(target).header(HOST, target);
    if let Some(authorization) = proxy.authorization() {
        let mut value = HeaderValue::from_str(authorization.expose()).ok()?;
        value.set_sensitive(true);
        request = request.header(PROXY_AUTHORIZATION, value);
    }
    request.body(Full::default()).ok()
}

/// Why a proxy opened no tunnel. Nothing was sent to the server.
#[derive(Debug)]
pub(crate) struct NoTunnel {
    reason: String,
    hint: String,
    /// Whether time may cure it.
    passes: bool,
}

impl NoTunnel {
    /// As [`HttpErrorKind::PROXY`] has it.
    pub(crate) fn error(&self) -> Error {
        let word = if self.passes {
            HttpErrorKind::PROXY
        } else {
            HttpErrorKind::PROXY_REFUSED
        };
        Error::InternalError(Some(format!("{word}: {self}")))
    }

    /// What names the proxy cannot be used.
    pub(crate) fn unusable(error: &ConfigError) -> Self {
        Self {
            reason: format!("{} {}", error.setting, error.message),
            hint: error.hint.clone().unwrap_or_default(),
            passes: false,
        }
    }

    /// There is no connection to the proxy; `reason` continues its name.
    pub(crate) fn unreachable(proxy: &Proxy, reason: &str) -> Self {
        Self {
            reason: format!("the proxy {proxy} {reason}"),
            hint: format!(
                "check host and port in {}, and that the proxy can be reached; NO_PROXY names hosts that are reached without it",
                proxy.source()
            ),
            passes: true,
        }
    }

    pub(crate) fn slow(proxy: &Proxy) -> Self {
        let seconds = limits::CONNECTION_TIMEOUT.as_secs();
        Self::unreachable(proxy, &format!("opened no way in {seconds} s"))
    }

    /// It speaks no TLS, or its certificate is not taken; `reason` continues its name.
    pub(crate) fn no_tls(proxy: &Proxy, reason: &str) -> Self {
        Self {
            reason: format!("no TLS with the proxy {proxy}, which {reason}"),
            hint: format!(
                "{} has https:// for a proxy that speaks TLS itself; most are http://, which tunnels TLS as well",
                proxy.source()
            ),
            passes: false,
        }
    }

    fn closed(proxy: &Proxy) -> Self {
        Self::unreachable(proxy, "closed the connection in place of an answer")
    }

    fn no_proxy(proxy: &Proxy) -> Self {
        Self {
            reason: format!("what answers at the proxy {proxy} is no HTTP proxy"),
            hint: format!(
                "check the port in {}; https:// there is for proxies that speak TLS themselves",
                proxy.source()
            ),
            passes: false,
        }
    }

    fn unanswered(proxy: &Proxy, error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::no_proxy(proxy);
        }
        let cause = error.source().and_then(|e| e.downcast_ref::<io::Error>());
        match cause.map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                Self::unreachable(proxy, "reset the connection in place of an answer")
            }
            _ => Self::closed(proxy),
        }
    }

    fn answered<B>(proxy: &Proxy, target: &str, response: &Response<B>) -> Self {
        match response.status() {
            // 401 is a server's answer; nobody but the proxy can have given it, and some do
            status @ (StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED) => {
                let of = |name| response.headers().get_all(name).iter();
                let mut offered = of(PROXY_AUTHENTICATE).chain(of(WWW_AUTHENTICATE)).peekable();
                // one that offers nothing has said nothing
                let takes_basic = offered.peek().is_none() || offered.any(is_basic);
                Self::no_credentials(proxy, status, takes_basic)
            }
            status if status.is_server_error() => Self {
                reason: format!("the proxy {proxy} did not reach {target} ({})", status.as_u16()),
                hint: "the proxy, or what lies behind it, does not get through; where the server is reached without it, name it in NO_PROXY".to_owned(),
                passes: true,
            },
            status => Self::refused(proxy, target, Some(status)),
        }
    }

    fn refused(proxy: &Proxy, target: &str, status: Option<StatusCode>) -> Self {
        let status = status.map(|status| format!(" ({})", status.as_u16()));
        Self {
            reason: format!(
                "the proxy {proxy} opens no way to {target}{}",
                status.unwrap_or_default()
            ),
            hint: format!(
                "have the proxy permit that host and port, or correct {}; where the server is reached without it, name it in NO_PROXY",
                proxy.source()
            ),
            passes: false,
        }
    }

    fn no_credentials(proxy: &Proxy, status: StatusCode, takes_basic: bool) -> Self {
        let (reason, hint) = if !takes_basic {
            (
                "asks for credentials in a way that is not supported",
                "only Basic is: have the proxy take that, or this machine's address".to_owned(),
            )
        } else if proxy.authorization().is_some() {
            (
                "does not take its credentials",
                format!(
                    "check user name and password in {}; what is no letter or digit is percent-encoded there, @ as %40",
                    proxy.source()
                ),
            )
        } else {
            ("asks for credentials", proxy.how_to_authenticate())
        };
        Self {
            reason: format!("the proxy {proxy} {reason} ({})", status.as_u16()),
            hint: if hint.contains(proxy.source()) {
                hint
            } else {
                format!("{hint}; {} names it", proxy.source())
            },
            passes: false,
        }
    }
}

/// Whether a challenge, or one of several in a line, is of that scheme.
fn is_basic(challenge: &HeaderValue) -> bool {
    let text = String::from_utf8_lossy(challenge.as_bytes()).to_ascii_lowercase();
    text.split([',', ' ']).any(|word| word.trim() == "basic")
}

impl fmt::Display for NoTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // the first `; ` is the border
        write!(f, "{}; {}", self.reason.replace("; ", ", "), self.hint)
    }
}

impl StdError for NoTunnel {}
