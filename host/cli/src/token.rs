//! `edgepass token`.

use std::path::Path;

use edgepass::{Builder, Provider, Refresh, Token, TokenRequest, process_environment};
use zeroize::Zeroizing;

use super::arguments::{TokenArguments, TokenFormat};
use super::failure::{Failure, Warnings};
use super::{config, output};

/// A component, bytes: ours has some hundred thousand.
#[cfg(feature = "compiler")]
const COMPONENT_BYTES: u64 = 64 * 1024 * 1024;

pub(crate) fn run(arguments: &TokenArguments, warnings: &mut Warnings) -> Result<(), Failure> {
    let environment = process_environment();
    let json = config::read(&arguments.config)?;
    let mut builder = Provider::builder().environment(environment.clone());
    if let Some(json) = &json {
        builder = builder.config_json(json.as_str());
    }
    if let Some(path) = &arguments.ca_file {
        builder = builder.ca_file(path);
    }
    if let Some(path) = &arguments.component {
        builder = with_component(builder, path)?;
    }
    let request = TokenRequest {
        identity: arguments.identity.clone(),
        tenant: arguments.tenant.clone(),
        claims: arguments.claims.clone(),
        refresh: if arguments.force_refresh {
            Refresh::Force
        } else {
            Refresh::IfNeeded
        },
        ..TokenRequest::for_scopes(arguments.scope.iter().cloned())
    };
    // one question: more threads would only cost their start
    // time and connections alone: the drivers of signals and processes take files that there may not be
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|e| Failure::setup(format!("no tokio runtime: {e}")))?;
    let token = runtime.block_on(async {
        let provider = match builder.build().await {
            Ok(provider) => provider,
            Err(error) => {
                config::warn_of_unread(json.as_deref(), &environment, warnings);
                return Err(Failure::from(error));
            }
        };
        warnings.add(provider.warnings());
        provider.get_token(&request).await.map_err(Failure::from)
    });
    // do not wait for what still runs: a background refresh, or a file system that hangs
    runtime.shutdown_background();
    print(&token?, arguments.format)
}

#[cfg(feature = "compiler")]
fn with_component(builder: Builder, path: &Path) -> Result<Builder, Failure> {
    Ok(builder.component(config::read_file(
        path,
        "--component",
        "component",
        COMPONENT_BYTES,
    )?))
}

#[cfg(not(feature = "compiler"))]
fn with_component(_: Builder, _: &Path) -> Result<Builder, Failure> {
    Err(Failure::setting(
        "--component",
        "this edgepass has no compiler, and runs only the component inside",
        "build one that has it: cargo build --release -p edgepass-cli --features compiler",
    ))
}

fn print(token: &Token, format: TokenFormat) -> Result<(), Failure> {
    let text = match format {
        TokenFormat::Json => json(token)?,
        TokenFormat::Header => Zeroizing::new(format!(
            "Authorization: {}\n",
            token.authorization()?.expose()
        )),
        TokenFormat::Token => Zeroizing::new(format!("{}\n", token.token.expose())),
    };
    output::write(text.as_bytes())
}

fn json(token: &Token) -> Result<Zeroizing<String>, Failure> {
    #[derive(serde::Serialize)]
    struct Printed<'a> {
        access_token: &'a str,
        token_type: &'a str,
        expires_on: u64,
        refresh_on: u64,
        scope: &'a str,
        identity: &'a str,
    }
    let printed = Printed {
        access_token: token.token.expose(),
        token_type: &token.token_type,
        expires_on: token.expires_on,
        refresh_on: token.refresh_on,
        scope: &token.scope,
        identity: &token.identity,
    };
    let mut text = Zeroizing::new(
        serde_json::to_string(&printed)
            .map_err(|e| Failure::setup(format!("the token cannot be written: {e}")))?,
    );
    text.push('\n');
    Ok(text)
}
