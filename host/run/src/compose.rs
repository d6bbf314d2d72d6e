//! `edgepass-run compose`: an application and a provider as one component.

mod configuration;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use edgepass_compose::{Part, Parts};

use self::configuration::configuration;
use crate::arguments::{ComposeArguments, KEYVALUE};
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::read;

const PROVIDER: &str = "credential-provider.wasm";

const STANDALONE: &str = "edgepass-standalone.wasm";

const FILTER: &str = "edgepass-http.wasm";

pub(crate) fn compose(arguments: &ComposeArguments) -> Result<ExitCode, Failure> {
    let (application, token_store) = arguments.parts();
    let application = part(application)?;
    let config = match &arguments.config {
        Some(path) => Some(configuration(path, arguments.http, arguments.standalone)?),
        None => None,
    };
    let provider = match &arguments.provider {
        Some(path) => part(path)?,
        None if arguments.standalone => released(STANDALONE, "--provider")?,
        None => released(PROVIDER, "--provider")?,
    };
    let filter = match &arguments.filter {
        _ if !arguments.http => None,
        Some(path) => Some(part(path)?),
        None => Some(released(FILTER, "--filter")?),
    };
    let token_store = match token_store {
        None => None,
        Some(path) if path.as_os_str() == KEYVALUE => {
            Some(released(KEYVALUE, "--token-store COMPONENT")?)
        }
        Some(path) => Some(part(path)?),
    };
    let parts = [Some(&application), Some(&provider), filter.as_ref()];
    let mut inputs = Inputs::default();
    for part in parts.into_iter().flatten().chain(&token_store) {
        inputs.add("a component of the composition", Path::new(&part.name));
    }
    if let (Some(path), Some(config)) = (&arguments.config, &config) {
        inputs.add("--config", path);
        inputs.add_all(&edgepass::named_files(config));
    }
    inputs.check("--output", &arguments.output)?;
    let composed = edgepass_compose::compose(Parts {
        application,
        provider,
        token_store,
        filter,
        allowed: arguments.allow.clone(),
        config: config.map(|config| config.to_string()),
    });
    let composed = composed.map_err(|error| Failure::setup(error.to_string()))?;
    let shown = read::shown(&arguments.output);
    fs::write(&arguments.output, &composed.bytes).map_err(|error| {
        Failure::setup(format!("--output: cannot write {shown}: {error}"))
            .hint("name a file in a folder that is there and that this process may write in")
    })?;
    let mut text = String::new();
    for name in composed.emptied {
        text += &format!("{name} of the application is empty: the variables are the provider's\n");
    }
    if !composed.further.is_empty() {
        text += &format!(
            "the application imports {}, which whoever runs it has to give it\n",
            composed.further.join(", ")
        );
    }
    text += &format!("wrote {}\n", arguments.output.display());
    let said = io::stdout().lock().write_all(text.as_bytes());
    said.map_err(|error| Failure::setup(format!("standard output: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

fn part(path: &Path) -> Result<Part, Failure> {
    Ok(Part {
        name: path.display().to_string(),
        bytes: read::whole(path)?,
    })
}

/// A component of the release that this program belongs to: beside it, as `cargo xtask build` leaves them, or in `wasm/`
/// beside its folder, as the archive has them.
fn released(name: &str, option: &str) -> Result<Part, Failure> {
    let places = places(name);
    match places.iter().find(|path| path.exists()) {
        Some(path) => part(path),
        None => {
            let looked: Vec<_> = places
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let looked = looked.join(" and ");
            Err(Failure::setup(format!("{name} is not there: looked at {looked}")).hint(format!(
                "it is in `wasm/` of the release archive, beside `bin/`, and `cargo xtask build` makes it in dist/; or name it by {option}"
            )))
        }
    }
}

fn places(name: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(fs::canonicalize);
    let program = program.unwrap_or_default();
    let Some(folder) = program.parent() else {
        return Vec::new();
    };
    let above = folder.parent().map(|above| above.join("wasm").join(name));
    [folder.join(name)].into_iter().chain(above).collect()
}
