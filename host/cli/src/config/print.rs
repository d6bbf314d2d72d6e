//! `edgepass config convert` and `edgepass config schema`.

use edgepass::{Config, process_environment};
use edgepass_settings::formats::{self, Format};
use zeroize::Zeroizing;

use super::required;
use crate::arguments::{ConvertArguments, ConvertFormat};
use crate::failure::{Failure, Warnings};
use crate::output;

/// Prints the document in another form. Whether it makes sense is for `check` to say, but for a file of another program.
pub(crate) fn convert(
    arguments: &ConvertArguments,
    warnings: &mut Warnings,
) -> Result<(), Failure> {
    let source = arguments.config.or_file(arguments.file.as_ref());
    let document = required(&source)?;
    // what another program reads would come out as it is, and be taken for a configuration
    let process = process_environment();
    let environment = document.environment(&process);
    let is_none = Config::load(Some(&document.text), &environment).is_err();
    if let Some(other) = document.mistaken().filter(|_| is_none) {
        return Err(Failure::Mistakes(vec![other]));
    }
    warnings.add(document.notes());
    warnings.add(&document.held_apart(&process));
    let yaml = match arguments.format {
        ConvertFormat::Json => None,
        ConvertFormat::Yaml => Some(as_yaml(&document.text)?),
    };
    let text = yaml.as_ref().unwrap_or(&document.text);
    output::write(text.as_bytes())?;
    match text.ends_with('\n') {
        true => Ok(()),
        false => output::write(b"\n"),
    }
}

/// A document as YAML that is read as the same document.
fn as_yaml(json: &str) -> Result<Zeroizing<String>, Failure> {
    let cannot = |why: String| {
        Failure::setup(format!(
            "the configuration cannot be written as YAML: {why}"
        ))
    };
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| cannot(error.to_string()))?;
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let text = serde_saphyr::to_string_with_options(&value, options);
    let text = Zeroizing::new(text.map_err(|error| cannot(error.to_string()))?);
    // what one writes and another reads otherwise (`no`, `1e3`) is found here, and not by a server
    let read = formats::Document::read(&text, Format::Yaml, None)
        .map_err(|error| cannot(error.to_string()))?;
    match serde_json::from_str::<serde_json::Value>(read.json()) {
        Ok(again) if again == value => Ok(text),
        _ => Err(cannot(
            "it would be read as another one; keep it as JSON".to_owned(),
        )),
    }
}

/// Prints the JSON Schema of the configuration.
pub(crate) fn schema() -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(&Config::schema())
        .map_err(|e| Failure::setup(format!("the schema cannot be written: {e}")))?;
    text.push('\n');
    output::write(text.as_bytes())
}
