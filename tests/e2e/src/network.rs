//! A network without a policy, for compositions whose filter is what is tested: what it lets out arrives.

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// The network, over plain http.
#[derive(Debug)]
pub struct Network(Client<HttpConnector, WasiBody>);

type Sent = Result<
    (
        Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl Default for Network {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        // a benchmark has it too, and would measure the delay
        connector.set_nodelay(true);
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl WasiHttpHooks for Network {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let sent = self.0.request(request);
        Box::new(async move {
            let failed =
                |error: &dyn std::fmt::Display| Error::InternalError(Some(error.to_string()));
            let response = sent.await.map_err(|error| failed(&error))?;
            let response = response.map(|body| {
                let body = body.map_err(move |error| failed(&error));
                body.boxed_unsync()
            });
            let done = async { Ok(()) };
            Ok((
                response,
                Box::new(done) as Box<dyn Future<Output = _> + Send>,
            ))
        })
    }
}
