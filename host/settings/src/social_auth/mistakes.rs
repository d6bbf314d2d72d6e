//! All that is wrong with a settings file: each mistake is put right by a stand-in, and the file read again.

use edgepass_core::{ConfigError, Environment, Secret};

use super::backends::{BACKENDS, PREFIX, SETTINGS};
use super::{Read, import_read, said};
use crate::File;
use crate::python::{Assigned, Value};
use crate::recognise::is_of_variables;

/// More than anybody mends at once.
const MAX_MISTAKES: usize = 20;

/// What is wrong with a settings file, in the order in which it is read; nothing if nothing is.
pub fn mistakes(file: &File<'_>, environment: &Environment) -> Vec<ConfigError> {
    let mut read = match Read::of(file, environment) {
        Ok(read) => read,
        // what cannot be read has no second mistake
        Err(error) => return vec![said(file, error)],
    };
    let mut found: Vec<ConfigError> = Vec::new();
    // which helps all of them at once
    let is_list = is_of_variables(file.text);
    while let Err(error) = import_read(file, read.clone(), environment) {
        // the name, before the file and line
        let name = error
            .setting
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned();
        let is_known = found.iter().any(|known| known.setting == error.setting);
        if is_known || found.len() == MAX_MISTAKES {
            break;
        }
        found.push(said(file, error));
        if is_list {
            break;
        }
        let Some(value) = stand_in(&name) else {
            break;
        };
        let line = read.names.get(&name).map_or(1, |assigned| assigned.line);
        let text = Secret::new(value);
        let value = Ok(Value::Text {
            text,
            variable: None,
        });
        read.names.insert(name, Assigned { line, value });
    }
    found
}

/// A value that a setting of that name may have.
fn stand_in(name: &str) -> Option<&'static str> {
    let mut known = SETTINGS.iter().filter(|setting| {
        BACKENDS.iter().any(|backend| backend.own(setting) == name)
            || name == **setting
            || name.strip_prefix(PREFIX) == Some(**setting)
    });
    Some(match *known.next()? {
        "AUTHORITY_HOST" => edgepass_core::authority::PUBLIC_HOST,
        "AUTHORITY_URL" => "https://login.example/stand-in",
        "POLICY" => "b2c_stand_in",
        "FEDERATED_TOKEN_FILE" => "/stand-in",
        _ => "stand-in",
    })
}
