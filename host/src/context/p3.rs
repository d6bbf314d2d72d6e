//! The imports over WASI 0.3.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};

use super::{Host, HostContextView, HostView};
use crate::bindings::{
    assertion_source, host_certificates, signatures, token_file, token_store, types,
};
use crate::certificate::Opened;
use crate::verify;

/// Adds exactly what a provider component imports.
pub(crate) fn add_to_linker<T: HostView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    // of wasi:cli the environment alone: no arguments, no exit, no standard streams
    wasmtime_wasi::p3::bindings::cli::environment::add_to_linker::<_, WasiCli>(linker, T::cli)?;
    wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
    wasmtime_wasi::p3::random::add_to_linker(linker)?;
    wasmtime_wasi_http::p3::add_to_linker(linker)?;
    token_file::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    host_certificates::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    assertion_source::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    token_store::add_to_linker::<_, Imports>(linker, T::edgepass)?;
    signatures::add_to_linker::<_, Imports>(linker, T::edgepass)
}

/// Adds standard error, where the HTTP filter writes its records. It is no import of a provider.
pub(crate) fn add_standard_error_to_linker<T: HostView + 'static>(
    linker: &mut Linker<T>,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p3::bindings::cli::stderr::add_to_linker::<_, WasiCli>(linker, T::cli)
}

/// Names the implementations below for the linker.
struct Imports;

impl HasData for Imports {
    type Data<'a> = HostContextView<'a>;
}

impl token_file::Host for HostContextView<'_> {}
impl token_store::Host for HostContextView<'_> {}
impl assertion_source::Host for HostContextView<'_> {}
impl host_certificates::Host for HostContextView<'_> {}

impl signatures::Host for HostContextView<'_> {
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

impl<T: HostView> token_file::HostWithStore<T> for Imports {
    async fn read(
        store: &Accessor<T, Self>,
        path: String,
    ) -> Result<Vec<u8>, token_file::ReadError> {
        host(store).read_file(path).await
    }
}

impl<T: HostView> assertion_source::HostWithStore<T> for Imports {
    async fn get_assertion(
        store: &Accessor<T, Self>,
        options: assertion_source::AssertionOptions,
    ) -> Result<assertion_source::Assertion, assertion_source::AssertionError> {
        host(store).get_assertion(options).await
    }
}

impl<T: HostView> token_store::HostWithStore<T> for Imports {
    async fn get(
        store: &Accessor<T, Self>,
        key: String,
    ) -> Result<Option<Vec<u8>>, token_store::StoreError> {
        host(store).get_stored(&key).await
    }

    async fn put(
        store: &Accessor<T, Self>,
        key: String,
        value: Vec<u8>,
        ttl_seconds: u32,
        only_if_absent: bool,
    ) -> Result<bool, token_store::StoreError> {
        host(store)
            .put_stored(&key, value, ttl_seconds, only_if_absent)
            .await
    }

    async fn delete(store: &Accessor<T, Self>, key: String) -> Result<(), token_store::StoreError> {
        host(store).delete_stored(&key).await
    }
}

impl<T: HostView> host_certificates::HostWithStore<T> for Imports {
    async fn open(
        store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Resource<Opened>, host_certificates::CertificateError>> {
        Ok(match host(store).open_certificate(&name).await {
            Ok(opened) => Ok(store.with(|mut store| store.get().table.push(opened))?),
            Err(error) => Err(error),
        })
    }
}

impl<T: HostView> host_certificates::HostCertificateWithStore<T> for Imports {
    async fn sign(
        store: &Accessor<T, Self>,
        certificate: Resource<Opened>,
        algorithm: host_certificates::Algorithm,
        input: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, host_certificates::CertificateError>> {
        let (opened, host) = store.with(|mut store| {
            let view = store.get();
            let opened = Opened(Arc::clone(&view.table.get(&certificate)?.0));
            Ok::<_, wasmtime::Error>((opened, view.host.clone()))
        })?;
        Ok(host.sign(&opened, algorithm.into(), input).await)
    }

    async fn send(
        store: &Accessor<T, Self>,
        certificate: Resource<Opened>,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
        let taken = store.with(|mut store| -> wasmtime::Result<_> {
            let view = store.get();
            let snapshot = Arc::clone(&view.table.get(&certificate)?.0);
            let egress = Arc::clone(&view.host.0.egress);
            let request = view.table.delete(request)?;
            // the request is complete when its response is here, so there is nothing further to report
            Ok((
                snapshot,
                egress,
                request.into_http(&mut store, async { Ok(()) }),
            ))
        })?;
        let (snapshot, egress, converted) = taken;
        let (request, options) = match converted {
            Ok(converted) => converted,
            Err(e) => return Ok(Err(e.downcast()?)),
        };
        let sent = async {
            let pool = snapshot.pool(&egress).await?;
            egress
                .send_on(&pool, snapshot.name(), request, options.as_deref().copied())
                .await
        };
        match sent.await {
            Ok(response) => store.with(|mut store| {
                let view = store.data_mut().http();
                let (response, _processed) = Response::from_http(view.hooks, response);
                Ok(Ok(view.table.push(response)?))
            }),
            Err(e) => {
                snapshot.note(&e);
                Ok(Err(error_code(e)))
            }
        }
    }
}

impl host_certificates::HostCertificate for HostContextView<'_> {
    fn chain(&mut self, certificate: Resource<Opened>) -> wasmtime::Result<Vec<Vec<u8>>> {
        Ok(self.table.get(&certificate)?.0.chain())
    }

    fn issuance(
        &mut self,
        certificate: Resource<Opened>,
    ) -> wasmtime::Result<Option<host_certificates::Issuance>> {
        let issuance = self.table.get(&certificate)?.0.issuance().cloned();
        Ok(issuance.map(Into::into))
    }

    fn drop(&mut self, certificate: Resource<Opened>) -> wasmtime::Result<()> {
        self.table.delete(certificate)?;
        Ok(())
    }
}

fn host<T: HostView>(store: &Accessor<T, Imports>) -> Host {
    store.with(|mut store| store.get().host.clone())
}

/// Of the errors that egress gives. (The same mapping inside wasmtime-wasi-http is private.)
fn error_code(error: wasmtime_wasi_http::Error) -> ErrorCode {
    use wasmtime_wasi_http::Error as E;
    use wasmtime_wasi_http::p3::bindings::http::types::{DnsErrorPayload, TlsAlertReceivedPayload};

    match error {
        E::DnsError { rcode, info_code } => {
            ErrorCode::DnsError(DnsErrorPayload { rcode, info_code })
        }
        E::DestinationUnavailable => ErrorCode::DestinationUnavailable,
        E::ConnectionRefused => ErrorCode::ConnectionRefused,
        E::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        E::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        E::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        E::TlsProtocolError => ErrorCode::TlsProtocolError,
        E::TlsCertificateError => ErrorCode::TlsCertificateError,
        E::TlsAlertReceived {
            alert_id,
            alert_message,
        } => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id,
            alert_message,
        }),
        E::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        E::HttpRequestBodySize(size) => ErrorCode::HttpRequestBodySize(size),
        E::HttpResponseBodySize(size) => ErrorCode::HttpResponseBodySize(size),
        E::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        E::HttpProtocolError => ErrorCode::HttpProtocolError,
        E::InternalError(reason) => ErrorCode::InternalError(reason),
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
