//! Where settings are looked up: in variables, in JSON, or in a module.

use std::collections::BTreeMap;

use edgepass_core::{ConfigError, Environment, Secret, without_byte_order_mark};

use super::backends::{BACKENDS, Backend, PREFIX_OF_AZURE, SETTINGS};
use crate::python::{self, Assigned, Value};
use crate::{File, json};

/// The list of a program's backends, by their classes.
const BACKENDS_SETTING: &str = "AUTHENTICATION_BACKENDS";

pub(super) type Names = BTreeMap<String, Assigned>;

pub(super) fn is_json(file: &File<'_>) -> bool {
    let text = without_byte_order_mark(file.text).trim_start();
    // a module of nothing but a dictionary assigns nothing
    file.name.ends_with(".json") || text.starts_with('{')
}

pub(super) fn of_json(file: &File<'_>) -> Result<BTreeMap<String, Assigned>, ConfigError> {
    let mut names: BTreeMap<String, Assigned> = BTreeMap::new();
    for leaf in json::leaves(file)? {
        let line = leaf.line;
        let value = match leaf.value {
            None => Value::None,
            Some(text) if leaf.is_text => Value::Text {
                text,
                variable: None,
            },
            Some(text) if text.expose() == "true" => Value::Flag(true),
            Some(text) if text.expose() == "false" => Value::Flag(false),
            Some(_) => Value::Number,
        };
        match leaf.path.as_slice() {
            [name] => {
                let value = Ok(value);
                if names
                    .insert(name.clone(), Assigned { line, value })
                    .is_some()
                {
                    return Err(ConfigError::new(
                        format!("{name} ({}, line {line})", file.name),
                        "is there twice",
                    )
                    .hint("keep one of the two"));
                }
            }
            [name, ..] => {
                let list = names.entry(name.clone()).or_insert(Assigned {
                    line,
                    value: Ok(Value::List(Vec::new())),
                });
                if let Ok(Value::List(items)) = &mut list.value {
                    items.push(value);
                }
            }
            [] => {}
        }
    }
    Ok(names)
}

pub(super) fn of_python(
    file: &File<'_>,
    environment: &Environment,
) -> Result<(Names, Vec<usize>), ConfigError> {
    let module = python::read(file.text, environment).map_err(|not_read| {
        let place = format!("{}, line {}", file.name, not_read.line);
        ConfigError::new(place, not_read.reason).hint(not_read.hint)
    })?;
    Ok((module.names, module.star_imports))
}

/// Where settings are looked up.
pub(super) enum Settings<'a> {
    Variables(&'a Environment),
    File { file: &'a File<'a>, names: Names },
}

/// A setting that is there and is text.
pub(super) struct Setting {
    pub(super) text: Secret,
    /// For people: its name with file and line, or its variable.
    pub(super) from: String,
    /// The variable that has it, or the one that would.
    pub(super) variable: String,
}

impl Setting {
    pub(super) fn text(&self) -> &str {
        self.text.expose().trim()
    }
}

impl Settings<'_> {
    /// The value of a name; `None` if there is no such name. What Python takes for false is an empty text.
    pub(super) fn named(&self, name: &str) -> Result<Option<Setting>, ConfigError> {
        match self {
            Self::Variables(environment) => Ok(environment.get(name).map(|value| Setting {
                text: Secret::new(value),
                from: name.to_owned(),
                variable: name.to_owned(),
            })),
            Self::File { file, names } => {
                let Some(Assigned { line, value }) = names.get(name) else {
                    return Ok(None);
                };
                let from = format!("{name} ({}, line {line})", file.name);
                let value = value.as_ref().map_err(|reason| {
                    ConfigError::new(&from, reason).hint(match variable_not_set(reason) {
                        Some(variable) => set_or_write(variable),
                        None => "write the value itself there, in quotes, or os.environ[\"NAME\"]"
                            .to_owned(),
                    })
                })?;
                let setting = |text, variable: &Option<String>| Setting {
                    text,
                    from: match variable {
                        Some(variable) => format!("{from}, from the variable {variable}"),
                        None => from.clone(),
                    },
                    variable: variable.clone().unwrap_or_else(|| name.to_owned()),
                };
                match value {
                    Value::Text { text, variable } => Ok(Some(setting(text.clone(), variable))),
                    value if !value.is_true() => Ok(Some(setting(Secret::new(""), &None))),
                    other => Err(ConfigError::new(
                        &from,
                        format!("is {}, and not a string", other.kind()),
                    )
                    .hint("write it as a string")),
                }
            }
        }
    }

    /// Whether it has any setting of an Azure backend, whatever for.
    pub(super) fn has_azures(&self) -> bool {
        match self {
            Self::Variables(_) => false,
            Self::File { names, .. } => names.keys().any(|name| name.starts_with(PREFIX_OF_AZURE)),
        }
    }

    /// The backends that it is about: those of the program's list, or those that have settings of their own.
    pub(super) fn backends(&self) -> Vec<&'static Backend> {
        let Self::File { names, .. } = self else {
            return Vec::new();
        };
        let listed = names.get(BACKENDS_SETTING);
        let listed = match listed.map(|listed| &listed.value) {
            Some(Ok(Value::List(items))) => items.as_slice(),
            _ => &[],
        };
        let is_listed = |backend: &&Backend| {
            listed.iter().any(
                |item| matches!(item, Value::Text { text, .. } if text.expose() == backend.class),
            )
        };
        let of_list: Vec<_> = BACKENDS.iter().filter(is_listed).collect();
        if !of_list.is_empty() {
            return of_list;
        }
        let has_own = |backend: &&Backend| {
            let mut own = SETTINGS.iter().map(|setting| backend.own(setting));
            own.any(|name| names.contains_key(&name))
        };
        BACKENDS.iter().filter(has_own).collect()
    }

    /// That no variable says something else than the file.
    pub(super) fn check_variables(&self, environment: &Environment) -> Result<(), ConfigError> {
        let Self::File { names, .. } = self else {
            return Ok(());
        };
        for backend in BACKENDS {
            for setting in SETTINGS {
                let name = backend.own(setting);
                let Some(variable) = environment.get(&name).filter(|_| names.contains_key(&name))
                else {
                    continue;
                };
                if let Ok(Some(setting)) = self.named(&name)
                    && setting.text() != variable.trim()
                {
                    return Err(ConfigError::new(
                        setting.from,
                        format!("says something else than the variable {name}"),
                    )
                    .hint("unset the variable, or have the module take it: os.environ[…]"));
                }
            }
        }
        Ok(())
    }
}

/// The variable that a value is taken from, where that is why there is none.
fn variable_not_set(reason: &str) -> Option<&str> {
    let variable = reason.strip_prefix("is taken from the variable ")?;
    variable.strip_suffix(", which is not set")
}

pub(super) fn set_or_write(variable: &str) -> String {
    format!("set the variable {variable}, or write the value itself there")
}
