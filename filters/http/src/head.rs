//! The head of a request: what rules see of it, and the same again for another request.

use edgepass_rules::http::HttpRequest;
use wit_bindgen::{FutureReader, StreamReader};

use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, Method, Request, RequestOptions, Scheme, Trailers,
};

/// A request as rules see it.
pub(crate) struct Seen<'a>(pub(crate) &'a Request);

impl HttpRequest for Seen<'_> {
    fn method(&self) -> String {
        let name = match self.0.get_method() {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => return name,
        };
        name.to_owned()
    }

    fn scheme(&self) -> Option<String> {
        Some(match self.0.get_scheme()? {
            Scheme::Http => "http".to_owned(),
            Scheme::Https => "https".to_owned(),
            Scheme::Other(name) => name,
        })
    }

    fn authority(&self) -> Option<String> {
        self.0.get_authority()
    }

    fn path(&self) -> Option<String> {
        self.0.get_path_with_query()
    }

    fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.get_headers().get(name)
    }
}

/// What a request is made of, but for its body.
pub(crate) struct Head {
    method: Method,
    scheme: Scheme,
    authority: Option<String>,
    path: Option<String>,
    options: Option<RequestOptions>,
    /// Those of the application, without the one that is for the token.
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
    /// Of a request that a rule is for. What the application has put into the token's header is left out.
    pub(crate) fn of(request: &Request, header: &str) -> Result<Self, ErrorCode> {
        let headers = request.get_headers().clone();
        headers
            .delete(header)
            .map_err(|_| ErrorCode::ConfigurationError)?;
        Ok(Self {
            method: request.get_method(),
            // what it was judged by, and not what whoever sends it would choose
            scheme: request.get_scheme().unwrap_or(Scheme::Https),
            authority: request.get_authority(),
            path: request.get_path_with_query(),
            options: request.get_options().map(|options| options.clone()),
            headers,
        })
    }

    /// How long the body is, if that is announced.
    pub(crate) fn content_length(&self) -> Option<usize> {
        let value = self.headers.get("content-length").into_iter().next()?;
        std::str::from_utf8(&value).ok()?.trim().parse().ok()
    }

    /// The headers once more.
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
            request.set_method(&self.method)?;
            request.set_scheme(Some(&self.scheme))?;
            request.set_authority(self.authority.as_deref())?;
            request.set_path_with_query(self.path.as_deref())
        };
        // each was taken from a request
        set().map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        Ok((request, sent))
    }
}
