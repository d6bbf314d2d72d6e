//! `cargo xtask compose`: plugs the provider into an application's component.

use crate::componentize::Files;
use crate::{build, componentize, workspace};
use anyhow::{Context as _, Result};
use clap::Args;
use std::fs;
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// The application: a component that imports edgepass:credentials/credential-provider, or with --http
    /// wasi:http/client, or the module of one that cargo leaves
    application: PathBuf,
    /// Where to write the composed component
    #[arg(long, short)]
    output: PathBuf,
    /// The component that exports it; dist/credential-provider.wasm by default
    #[arg(long)]
    provider: Option<PathBuf>,
    /// The component that the provider shares its tokens by: dist/token-store-keyvalue.wasm, or another that exports
    /// edgepass:credentials/token-store. Without it that is an import of the whole
    #[arg(long, value_name = "COMPONENT")]
    token_store: Option<PathBuf>,
    /// Put the HTTP filter between the requests of the application and the network: they get tokens by the rules of the
    /// configuration, and the application none
    #[arg(long)]
    http: bool,
    /// The HTTP filter; dist/edgepass-http.wasm by default
    #[arg(long, value_name = "FILE", requires = "http")]
    filter: Option<PathBuf>,
    /// An import that the application may share with the provider, for example wasi:http/client; once for each. Without
    /// it such an import is refused, and wasi:cli/environment is an empty one
    #[arg(long, value_name = "INTERFACE")]
    allow: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let built = build::provider();
    let filter = options.filter.clone().unwrap_or_else(build::http_filter);
    let provider = options.provider.as_ref().unwrap_or(&built);
    if let Some(folder) = options.output.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", workspace::shown(folder)))?;
    }
    let files = Files {
        application: &options.application,
        provider,
        token_store: options.token_store.as_deref(),
        filter: options.http.then_some(filter.as_path()),
        allowed: &options.allow,
    };
    let composed = componentize::compose(&files, &options.output)?;
    for name in composed.emptied {
        println!("{name} of the application is empty: the variables are the provider's");
    }
    if !composed.further.is_empty() {
        println!(
            "the application imports {}: a host must link them beside what `edgepass::link::add_to_linker` links",
            composed.further.join(", ")
        );
        if composed.further.iter().any(|name| is_wasi_0_2(name)) {
            println!(
                "those with the version 0.2 come from the target wasm32-wasip2: a host gives them with `wasmtime_wasi::p2::add_to_linker_async`, and a component for wasm32-unknown-unknown needs none"
            );
        }
    }
    if !composed.asked.is_empty() {
        println!(
            "the provider itself asks for tokens, by {}, and nobody in the whole answers it",
            composed.asked.join(", ")
        );
    }
    println!("wrote {}", workspace::shown(&options.output));
    Ok(())
}

fn is_wasi_0_2(import: &str) -> bool {
    import.starts_with("wasi:") && import.contains("@0.2")
}
