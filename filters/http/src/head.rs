//! The head of a request: what rules see of it, and the same again for another request.

use std::cell::OnceCell;

use edgepass_rules::http::HttpRequest;
use wit_bindgen::{FutureReader, StreamReader};

use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, Method, Request, RequestOptions, Scheme, Trailers,
};

/// A request as rules see it. Each look at it is a call of the host, so there is one for each of its parts.
pub(crate) struct Seen<'a> {
    request: &'a Request,
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path: Option<String>,
    headers: OnceCell<Fields>,
}

impl<'a> Seen<'a> {
    pub(crate) fn of(request: &'a Request) -> Self {
        Self {
            request,
            method: request.get_method(),
            scheme: request.get_scheme(),
            authority: request.get_authority(),
            path: request.get_path_with_query(),
            headers: OnceCell::new(),
        }
    }

    /// For a request that a rule is for.
    pub(crate) fn into_head(self) -> Head {
        let options = self.request.get_options();
        Head {
            method: self.method,
            // what it was judged by, and not what whoever sends it would choose
            scheme: self.scheme.unwrap_or(Scheme::Https),
            authority: self.authority,
            path: self.path,
            options: options.map(|options| options.clone()),
            headers: match self.headers.into_inner() {
                Some(headers) => headers,
                None => self.request.get_headers(),
            },
        }
    }
}

impl HttpRequest for Seen<'_> {
    fn method(&self) -> &str {
        match &self.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => name,
        }
    }

    fn scheme(&self) -> Option<&str> {
        Some(match self.scheme.as_ref()? {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Other(name) => name,
        })
    }

    fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    fn header(&self, name: &str) -> Vec<Vec<u8>> {
        let headers = self.headers.get_or_init(|| self.request.get_headers());
        headers.get(name)
    }
}

/// What a request is made of, but for its body.
pub(crate) struct Head {
    method: Method,
    scheme: Scheme,
    authority: Option<String>,
    path: Option<String>,
    options: Option<RequestOptions>,
    /// Those of the application.
    headers: Fields,
}

/// The application's own body and what comes after it.
pub(crate) type Content = (
    StreamReader<u8>,
    FutureReader<Result<Option<Trailers>, ErrorCode>>,
);

/// A request, and what becomes of sending it.
pub(crate) type Made = (Request, FutureReader<Result<(), ErrorCode>>);

impl Head {
    /// How long the body is, if that is announced. Methods that hardly ever have one are not asked, because each look is a call
    /// of the host: such a body is one whose length nobody knows.
    pub(crate) fn content_length(&self) -> Option<usize> {
        if matches!(self.method, Method::Get | Method::Head) {
            return None;
        }
        let value = self.headers.get("content-length").into_iter().next()?;
        std::str::from_utf8(&value).ok()?.trim().parse().ok()
    }

    /// The headers once more, for a token in the place of what the application has in that header.
    pub(crate) fn headers(&self) -> Fields {
        self.headers.clone()
    }

    /// A request with these headers and that body.
    pub(crate) fn make(
        &self,
        headers: Fields,
        content: Option<StreamReader<u8>>,
        trailers: FutureReader<Result<Option<Trailers>, ErrorCode>>,
    ) -> Result<Made, ErrorCode> {
        let options = self.options.as_ref().map(RequestOptions::clone);
        let (request, sent) = Request::new(headers, content, trailers, options);
        let set = || {
            // the one that a request has by itself
            if !matches!(self.method, Method::Get) {
                request.set_method(&self.method)?;
            }
            request.set_scheme(Some(&self.scheme))?;
            request.set_authority(self.authority.as_deref())?;
            request.set_path_with_query(self.path.as_deref())
        };
        // each was taken from a request
        set().map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        Ok((request, sent))
    }
}
