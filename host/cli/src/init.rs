//! `edgepass config init`: a configuration to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use edgepass::process_environment;
use edgepass_settings::formats::Format;
use edgepass_settings::init::beginning;
use edgepass_settings::social_auth;

use super::arguments::InitArguments;
use super::failure::Failure;
use super::{output, repeat};

/// The option that names the file.
const OUTPUT: &str = "--output";

/// The argument that means standard output.
const STDOUT: &str = "-";

pub(crate) fn run(arguments: &InitArguments) -> Result<(), Failure> {
    let path = arguments.output.as_deref();
    let path = path.filter(|path| path.as_os_str() != STDOUT);
    let format = match (arguments.format, path) {
        (Some(format), _) => Format::from(format),
        (None, Some(path)) if path.extension().is_some() => Format::of_path(path),
        (None, _) => Format::Yaml,
    };
    let environment = process_environment();
    // without a configuration these say who it is, and not what a template would
    if let Some(imported) = social_auth::import_environment(&environment)? {
        return Err(Failure::setting(
            "SOCIAL_AUTH_…",
            format!(
                "{} say who this is, and no configuration is needed",
                imported.source
            ),
            "to have one all the same, made of them: edgepass config convert -o yaml",
        ));
    }
    let begun = beginning(&environment, format)?;
    match path {
        Some(path) => write(path, &begun.text, arguments.force),
        None => output::write(begun.text.as_bytes()),
    }
}

/// Writes the file whole, and never over another unless that is wanted.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let shown = path.to_str().filter(|path| repeat::is_harmless(path));
    let shown = shown.unwrap_or("what it names");
    let mut options = OpenOptions::new();
    match force {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::setting(
            OUTPUT,
            format!("{shown} is there already"),
            "name another file, or say --force to write over it",
        ),
        _ => Failure::setting(
            OUTPUT,
            format!("{shown} cannot be written: {error}"),
            "name a file in a folder where you may write",
        ),
    })
}
