//! What an application may call of edgepass itself.

use edgepass::Provider;
use edgepass::downstream::Downstream;
use edgepass::link::{self, Permitted, ProviderView};
use edgepass::repeat::quoted;
use wasmtime::component::Linker;
use wasmtime_wasi_http::WasiHttpView;

use crate::arguments::Provided;
use crate::failure::Failure;

/// What names all identities.
const ALL: &str = "*";

/// The identities whose tokens it may ask for: those that it gets on its requests, and what the command line adds.
pub(crate) fn permitted(
    provider: &Provider,
    downstream: &Downstream,
    allowed: &[String],
) -> Result<Permitted, Failure> {
    if allowed.iter().any(|name| name == ALL) {
        return Ok(Permitted::all());
    }
    if let Some(unknown) = allowed.iter().find(|name| !provider.has_identity(name)) {
        return Err(Failure::setup(format!(
            "--allow-identity: there is no identity {}",
            quoted(unknown)
        ))
        .hint("name one of the configuration, or * for all"));
    }
    let of_rules = downstream.identities();
    // rules that are turned off are rules
    let default = (!downstream.has_rules()).then_some(None);
    let allowed = allowed.iter().map(|name| Some(name.as_str()));
    Ok(Permitted::of(
        provider,
        of_rules.chain(default).chain(allowed),
    ))
}

/// Over both versions of WASI.
pub(crate) fn add_to_linker<T>(linker: &mut Linker<T>, provide: &[Provided]) -> wasmtime::Result<()>
where
    T: ProviderView + WasiHttpView + 'static,
{
    for provided in provide {
        match provided {
            Provided::CredentialProvider => {
                link::add_provider_to_linker(linker)?;
                link::add_provider_p2_to_linker(linker)?;
            }
            Provided::OpaqueTokens => {
                link::add_opaque_tokens_to_linker(linker)?;
                link::add_opaque_tokens_p2_to_linker(linker)?;
            }
            Provided::Status => link::add_status_to_linker(linker)?,
        }
    }
    Ok(())
}
