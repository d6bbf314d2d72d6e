//! The same imports over WASI 0.2.

use std::future::Future;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks};

use super::{Host, HostView};
use crate::bindings::p2::edgepass::credentials_p2::{
    assertion_source, host_certificates, signatures, token_file, token_store,
};
use crate::bindings::types;
use crate::certificate::Opened;
use crate::egress::{Sent, sent};
use crate::verify;

/// Adds what a provider component over WASI 0.2 imports beside WASI itself.
pub(crate) fn add_to_linker<T: HostView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    token_file::add_to_linker::<_, Imports>(linker, view)?;
    host_certificates::add_to_linker::<_, Imports>(linker, view)?;
    assertion_source::add_to_linker::<_, Imports>(linker, view)?;
    token_store::add_to_linker::<_, Imports>(linker, view)?;
    signatures::add_to_linker::<_, Imports>(linker, view)
}

/// Names the implementations below for the linker.
struct Imports;

impl HasData for Imports {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    host: Host,
    http: WasiHttpCtxView<'a>,
}

fn view<T: HostView>(data: &mut T) -> View<'_> {
    View {
        host: data.edgepass().host.clone(),
        http: data.http(),
    }
}

impl token_file::Host for View<'_> {
    async fn read(&mut self, path: String) -> Result<Vec<u8>, types::ReadError> {
        self.host.read_file(path).await
    }
}

impl assertion_source::Host for View<'_> {
    async fn get_assertion(
        &mut self,
        options: types::AssertionOptions,
    ) -> Result<types::Assertion, types::AssertionError> {
        self.host.get_assertion(options).await
    }
}

impl token_store::Host for View<'_> {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, types::StoreError> {
        self.host.get_stored(&key).await
    }

    async fn put(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_seconds: u32,
        only_if_absent: bool,
    ) -> Result<bool, types::StoreError> {
        self.host
            .put_stored(&key, value, ttl_seconds, only_if_absent)
            .await
    }

    async fn delete(&mut self, key: String) -> Result<(), types::StoreError> {
        self.host.delete_stored(&key).await
    }
}

impl signatures::Host for View<'_> {
    fn verify(
        &mut self,
        algorithm: types::Algorithm,
        key: types::PublicKey,
        input: Vec<u8>,
        signature: Vec<u8>,
    ) -> Result<bool, String> {
        verify::signature(algorithm.into(), &key.into(), &input, &signature)
    }
}

impl host_certificates::Host for View<'_> {
    async fn open(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Opened>, types::CertificateError>> {
        Ok(match self.host.open_certificate(&name).await {
            Ok(opened) => Ok(self.http.table.push(opened)?),
            Err(error) => Err(error),
        })
    }
}

impl host_certificates::HostCertificate for View<'_> {
    fn chain(&mut self, certificate: Resource<Opened>) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.http.table.get(&certificate)?.0.chain())
    }

    fn issuance(
        &mut self,
        certificate: Resource<Opened>,
    ) -> wasmtime::Result<Option<types::Issuance>> {
        let issuance = self.http.table.get(&certificate)?.0.issuance().cloned();
        Ok(issuance.map(Into::into))
    }

    async fn sign(
        &mut self,
        certificate: Resource<Opened>,
        algorithm: types::Algorithm,
        input: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, types::CertificateError>> {
        let opened = self.http.table.get(&certificate)?;
        Ok(self.host.sign(opened, algorithm.into(), input).await)
    }

    fn send(
        &mut self,
        certificate: Resource<Opened>,
        request: Resource<HostOutgoingRequest>,
        options: Option<Resource<RequestOptions>>,
    ) -> wasmtime::Result<Result<Resource<HostFutureIncomingResponse>, ErrorCode>> {
        let opened = Opened(Arc::clone(&self.http.table.get(&certificate)?.0));
        // as any request, on another connection
        let mut view = WasiHttpCtxView {
            ctx: self.http.ctx,
            table: self.http.table,
            hooks: &mut Certified {
                host: self.host.clone(),
                opened,
            },
        };
        match view.handle(request, options) {
            Ok(response) => Ok(Ok(response)),
            Err(error) => Ok(Err(error.downcast()?)),
        }
    }

    fn drop(&mut self, certificate: Resource<Opened>) -> wasmtime::Result<()> {
        self.http.table.delete(certificate)?;
        Ok(())
    }
}

/// Sends on connections that are authenticated with a certificate.
struct Certified {
    host: Host,
    opened: Opened,
}

impl WasiHttpHooks for Certified {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let egress = Arc::clone(&self.host.0.egress);
        let snapshot = Arc::clone(&self.opened.0);
        Box::new(async move {
            let response = async {
                let pool = snapshot.pool(&egress).await?;
                egress
                    .send_on(&pool, snapshot.name(), request, options)
                    .await
            };
            // the response is complete: no connection is left to be driven
            sent(response.await.inspect_err(|error| snapshot.note(error))?)
        })
    }

    /// The client writes `host` itself.
    fn set_host_header(&mut self) -> bool {
        false
    }
}
