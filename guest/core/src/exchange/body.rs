//! What a body is, in words and never by its content.

use std::fmt;

use crate::effect::HttpResponse;
use crate::text::bytes_without_byte_order_mark;

/// The hint for an answer that no token endpoint gives.
pub(super) const NO_TOKEN_ENDPOINT: &str =
    "check that the authority host is a token endpoint and that no proxy answers in its place";

/// How compressed bodies begin; Brotli has no such mark.
const COMPRESSED: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x78\x01", "deflate"),
    (b"\x78\x5e", "deflate"),
    (b"\x78\x9c", "deflate"),
    (b"\x78\xda", "deflate"),
];

/// The body without its byte order mark (RFC 8259 section 8.1 lets a parser ignore it).
pub(super) fn text(response: &HttpResponse) -> &[u8] {
    bytes_without_byte_order_mark(response.body.expose())
}

/// A body that is not what it should be.
pub(super) struct Body {
    form: Form,
    bytes: usize,
}

enum Form {
    Empty,
    Compressed(&'static str),
    Utf16,
    Markup,
    Html,
    Json,
    /// What GitHub answers where JSON is not asked for, and servers older than RFC 6749 always.
    #[cfg(feature = "key-vault")]
    Parameters,
    Other,
}

impl Body {
    pub(super) fn of(response: &HttpResponse) -> Self {
        let text = text(response);
        let header = |name| {
            let value = response.header(name).unwrap_or_default();
            value.trim().to_ascii_lowercase()
        };
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        let coding = header("content-encoding");
        let form = match first {
            None => Form::Empty,
            Some(b'<') => Form::Markup,
            Some(b'{' | b'[') => Form::Json,
            _ if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") => Form::Utf16,
            _ => match COMPRESSED.iter().find(|(mark, _)| text.starts_with(mark)) {
                Some((_, coding)) => Form::Compressed(coding),
                None if coding == "br" => Form::Compressed("brotli"),
                None if !matches!(coding.as_str(), "" | "identity") => {
                    Form::Compressed("a content coding")
                }
                None if header("content-type").contains("html") => Form::Html,
                #[cfg(feature = "key-vault")]
                None if is_form(text) => Form::Parameters,
                None => Form::Other,
            },
        };
        Self {
            form,
            bytes: response.body.len(),
        }
    }

    /// Whether it is text, or nothing: a server's or proxy's fault that may pass. What is written in a coding or a form that
    /// nobody asked for comes in it again.
    pub(super) fn is_text(&self) -> bool {
        #[cfg(feature = "key-vault")]
        if matches!(self.form, Form::Parameters) {
            return false;
        }
        !matches!(self.form, Form::Compressed(_) | Form::Utf16)
    }

    pub(super) fn hint(&self) -> &'static str {
        match self.form {
            Form::Compressed(_) => {
                "the request accepts no compression (accept-encoding: identity): look for what compresses all the same, the server or a proxy on the way"
            }
            Form::Utf16 => {
                "JSON is exchanged in UTF-8 (RFC 8259 section 8.1): look at how the server writes it"
            }
            #[cfg(feature = "key-vault")]
            Form::Parameters => {
                "a token response is JSON (RFC 6749 section 5.1), which the request asks for (accept: application/json): look for a setting of the server that has it answer so"
            }
            _ => NO_TOKEN_ENDPOINT,
        }
    }
}

/// Whether it is `application/x-www-form-urlencoded` with a token or an error in it, whatever its content type says.
#[cfg(feature = "key-vault")]
fn is_form(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'&')
        .any(|field| field.starts_with(b"access_token=") || field.starts_with(b"error="))
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            Form::Empty => return f.write_str("an empty body"),
            Form::Compressed(coding) => {
                return write!(
                    f,
                    "a body of {} bytes, compressed with {coding},",
                    self.bytes
                );
            }
            Form::Utf16 => "a body in UTF-16",
            Form::Markup => "an HTML or XML page",
            Form::Html => "an HTML page",
            Form::Json => "a JSON body",
            #[cfg(feature = "key-vault")]
            Form::Parameters => "a form",
            Form::Other => "a body",
        };
        write!(f, "{form} of {} bytes", self.bytes)
    }
}
