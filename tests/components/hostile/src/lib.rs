//! An application component that tries to reach what the provider has.

use bindings::edgepass::credentials::types::{Algorithm, AssertionOptions};
use bindings::edgepass::credentials::{
    assertion_source, credential_provider, host_certificates, token_file,
};
use bindings::exports::edgepass::hostile::attempts::Guest;
use bindings::wasi::cli::environment;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{Fields, Method, Request, Scheme};
use bindings::wit_future;

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../wit", "wit"],
        world: "edgepass:hostile/application",
        generate_all,
    });
}

struct App;

#[expect(
    unsafe_code,
    reason = "the canonical ABI's entry points are unsafe; all of them are made by wit-bindgen"
)]
mod entry_points {
    use super::{App, bindings};

    bindings::export!(App with_types_in bindings);
}

async fn supplied(source: Option<String>) -> Result<String, String> {
    let options = AssertionOptions {
        identity: "app".to_owned(),
        client_id: "c".to_owned(),
        tenant: None,
        token_endpoint: "https://login.example/token".to_owned(),
        audience: None,
        claims: None,
        correlation_id: "0".to_owned(),
        client_capabilities: Vec::new(),
        fmi_path: None,
        source,
    };
    let supplied = assertion_source::get_assertion(options).await;
    supplied
        .map(|assertion| assertion.token)
        .map_err(|error| format!("{error:?}"))
}

impl Guest for App {
    fn variables() -> Vec<(String, String)> {
        environment::get_environment()
    }

    async fn read(path: String) -> Result<String, String> {
        let content = token_file::read(path).await;
        let content = content.map_err(|error| format!("{error:?}"))?;
        String::from_utf8(content).map_err(|error| error.to_string())
    }

    async fn supplied() -> Result<String, String> {
        let plain = supplied(None).await;
        // one of the host's own, which no configuration names
        let own = supplied(Some("identities.app.credential.executable".to_owned())).await;
        match (plain, own) {
            (Err(plain), Err(own)) => Err(format!("{plain} {own}")),
            (Ok(token), _) | (_, Ok(token)) => Ok(token),
        }
    }

    async fn asserted(audience: Option<String>) -> Result<String, String> {
        let asserted = credential_provider::get_client_assertion(None, audience).await;
        asserted
            .map(|assertion| assertion.assertion)
            .map_err(|error| format!("{error:?}"))
    }

    async fn signed(certificate: String, algorithm: String) -> Result<u32, String> {
        let algorithm = match algorithm.as_str() {
            "RS256" => Algorithm::Rs256,
            "PS256" => Algorithm::Ps256,
            _ => Algorithm::Es256,
        };
        let opened = host_certificates::open(certificate).await;
        let opened = opened.map_err(|error| format!("open: {error:?}"))?;
        let signature = opened.sign(algorithm, b"anything".to_vec()).await;
        let signature = signature.map_err(|error| format!("sign: {error:?}"))?;
        Ok(u32::try_from(signature.len()).unwrap_or(u32::MAX))
    }

    async fn sent(certificate: Option<String>, method: String, url: String) -> Result<u16, String> {
        let request = request(&method, &url)?;
        let response = match certificate {
            None => client::send(request).await,
            Some(name) => {
                let opened = host_certificates::open(name).await;
                let opened = opened.map_err(|error| format!("open: {error:?}"))?;
                opened.send(request).await
            }
        };
        response
            .map(|response| response.get_status_code())
            .map_err(|error| format!("send: {error:?}"))
    }
}

fn request(method: &str, url: &str) -> Result<Request, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no URL")?;
    let (authority, path) = rest.split_once('/').ok_or("no path")?;
    let (_trailers, trailers) = wit_future::new(|| Ok(None));
    let (request, _sent) = Request::new(Fields::new(), None, trailers, None);
    let set = || {
        request.set_method(&match method {
            "GET" => Method::Get,
            _ => Method::Post,
        })?;
        request.set_scheme(Some(&match scheme {
            "http" => Scheme::Http,
            _ => Scheme::Https,
        }))?;
        request.set_authority(Some(authority))?;
        request.set_path_with_query(Some(&format!("/{path}")))
    };
    set().map_err(|()| "no request")?;
    Ok(request)
}
