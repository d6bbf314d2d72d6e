//! Where settings are looked up: in variables, in JSON, or in a module.

use std::collections::BTreeMap;

use edgepass_core::{ConfigError, Environment, Secret, without_byte_order_mark};

use super::backends::{BACKENDS, Backend, PREFIX, PREFIX_OF_AZURE, SETTINGS};
use crate::formats::{Document, Format};
use crate::python::{self, Assigned, Module, NoValue, Remedy, Value};
use crate::{File, json};

/// The list of a program's backends, by their classes.
pub(super) const BACKENDS_SETTING: &str = "AUTHENTICATION_BACKENDS";

pub(super) type Names = BTreeMap<String, Assigned>;

pub(super) fn is_json(file: &File<'_>) -> bool {
    let text = without_byte_order_mark(file.text).trim_start();
    // a module of nothing but a dictionary assigns nothing
    file.name.ends_with(".json") || text.starts_with('{')
}

/// Whether it is a mapping in YAML, as charts of programs keep these settings. What Python has with a colon (`KEY: str = "a"`)
/// is none.
pub(super) fn is_yaml(file: &File<'_>) -> bool {
    if file.name.ends_with(".yaml") || file.name.ends_with(".yml") {
        return true;
    }
    let is_field = |line: &str| {
        let (name, rest) = line.split_once(':').unwrap_or_default();
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty()
            && name.chars().all(is_part)
            && (rest.is_empty() || rest.starts_with([' ', '\r']))
            && !rest.contains(" = ")
    };
    let text = without_byte_order_mark(file.text);
    let begins = |line: &&str| !line.is_empty() && !line.starts_with([' ', '\t', '#', '\r']);
    let mut lines = text.lines().filter(begins).peekable();
    lines.peek().is_some()
        && lines.all(|line| line.starts_with("---") || line.starts_with("- ") || is_field(line))
}

pub(super) fn of_yaml(file: &File<'_>) -> Result<Names, ConfigError> {
    let document = Document::parse(file.text, Format::Yaml, Some(file.name))?;
    let json = File {
        text: document.json(),
        ..*file
    };
    let mut names = of_json(&json)?;
    for (name, assigned) in &mut names {
        // FILE:LINE:COLUMN
        let place = document.place(name).unwrap_or_default();
        let line = place.rsplit(':').nth(1).and_then(|line| line.parse().ok());
        assigned.line = line.unwrap_or(assigned.line);
    }
    Ok(names)
}

pub(super) fn of_json(file: &File<'_>) -> Result<Names, ConfigError> {
    let mut names = Names::new();
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

pub(super) fn of_python(file: &File<'_>, environment: &Environment) -> Result<Module, ConfigError> {
    python::read(file.text, environment).map_err(|not_read| {
        let place = format!("{}, line {}", file.name, not_read.line);
        ConfigError::new(place, not_read.reason).hint(not_read.hint)
    })
}

/// Where settings are looked up.
pub(super) enum Settings<'a> {
    Variables(&'a Environment),
    File {
        file: &'a File<'a>,
        names: Names,
        /// What was added to the list of a program's backends behind its assignment.
        added: Vec<Value>,
        /// A variable of a setting's own name is taken where the file has no value that is known.
        environment: &'a Environment,
    },
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
            Self::File {
                file,
                names,
                environment,
                ..
            } => {
                let Some(Assigned { line, value }) = names.get(name) else {
                    return Ok(None);
                };
                let from = format!("{name} ({}, line {line})", file.name);
                let value = match value {
                    Ok(value) => value,
                    Err(unknown) => {
                        let Some(value) = environment.get(name).filter(|_| is_own(name)) else {
                            return Err(ConfigError::new(&from, &unknown.reason)
                                .hint(remedy(name, unknown)));
                        };
                        return Ok(Some(Setting {
                            text: Secret::new(value),
                            from: format!("{from}, from the variable {name}"),
                            variable: name.to_owned(),
                        }));
                    }
                };
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
        let Self::File { names, added, .. } = self else {
            return Vec::new();
        };
        let listed = names.get(BACKENDS_SETTING);
        let listed = match listed.map(|listed| &listed.value) {
            Some(Ok(Value::List(items))) => items.as_slice(),
            _ => &[],
        };
        let is_listed = |backend: &&Backend| {
            listed.iter().chain(added).any(
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

    /// The settings of those backends that a variable has in the place of the file, with the reason.
    pub(super) fn by_variables(&self, backends: &[&Backend]) -> Vec<String> {
        let Self::File {
            file,
            names,
            environment,
            ..
        } = self
        else {
            return Vec::new();
        };
        let own = |backend: &&Backend| {
            SETTINGS
                .iter()
                .map(|setting| backend.own(setting))
                .collect::<Vec<_>>()
        };
        let general = SETTINGS.iter().map(|setting| format!("{PREFIX}{setting}"));
        let known = backends.iter().flat_map(own).chain(general);
        let taken = known.filter_map(|name| {
            let Assigned { line, value } = names.get(&name)?;
            let unknown = value.as_ref().err()?;
            environment.get(&name)?;
            Some(format!(
                "{name} ({}, line {line}) is taken from the variable of that name: the value there {}",
                file.name, unknown.reason
            ))
        });
        taken.collect()
    }

    /// A setting for all backends that is there, and its line: without a list of backends nobody knows whose it is.
    pub(super) fn of_all_backends(&self) -> Option<(String, usize)> {
        let Self::File { names, .. } = self else {
            return None;
        };
        let general = ["KEY", "SECRET", "TENANT_ID"].iter();
        let mut general = general.map(|setting| format!("{PREFIX}{setting}"));
        general.find_map(|name| Some((name.clone(), names.get(&name)?.line)))
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

/// Whether a variable of that name is meant for the setting. Bare names (`KEY`) mean something else in most environments.
fn is_own(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// What gives a setting of that name its value.
fn remedy(name: &str, unknown: &NoValue) -> String {
    let write = match &unknown.remedy {
        Remedy::Literal => {
            "write the value itself there, in quotes, or os.environ[\"NAME\"]".to_owned()
        }
        Remedy::Constant => "write the value itself there, in quotes".to_owned(),
        Remedy::Outside => {
            "assign it once, outside of any condition, a plain value or os.environ[\"NAME\"]"
                .to_owned()
        }
        Remedy::Behind(line) => format!("move it behind line {line}"),
        Remedy::Variable(variable) if variable == name => format!("set the variable {name}"),
        Remedy::Variable(variable) => set_or_write(variable),
    };
    let instead = match &unknown.remedy {
        _ if !is_own(name) => return write,
        Remedy::Variable(variable) if variable == name => String::new(),
        _ => format!("; or set the variable {name}, which counts then"),
    };
    format!(
        "{write}{instead} (with all settings as variables of their names, leave --social-auth away)"
    )
}

pub(super) fn set_or_write(variable: &str) -> String {
    format!("set the variable {variable}, or write the value itself there")
}
