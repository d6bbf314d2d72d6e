//! Settings as .NET's configuration has them: flat, by paths with `:` between their parts, whose case does not count, the
//! file below, that of the environment over it and the variables above both (`Microsoft.Extensions.Configuration`: its JSON
//! and environment providers).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use edgepass_core::{ConfigError, Environment, Secret};

use crate::File;
use crate::json;

/// A setting and where it stands.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) value: Secret,
    /// For people: its path with file and line, or its variable.
    pub(crate) from: String,
    /// The variable that has it, or the one that would.
    pub(crate) variable: String,
}

impl Setting {
    pub(crate) fn text(&self) -> &str {
        self.value.expose().trim()
    }
}

/// All settings of a program.
pub(crate) struct Layers {
    name: String,
    settings: ByPath,
}

/// By their paths in lower case, with the path as it is spelt.
type ByPath = BTreeMap<String, (String, Setting)>;

impl Layers {
    /// The file, what another one over it says, and the variables that go before both. Variables of the files' sections,
    /// and of those, must not contradict each other; what others say is nothing to it.
    pub(crate) fn read(
        file: &File<'_>,
        over: Option<&File<'_>>,
        sections: &[&str],
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut settings = of_file(file)?;
        if let Some(over) = over {
            // null is a value as well, and takes one away
            settings.append(&mut of_file(over)?);
        }
        let section = |path: &str| path.split(':').next().unwrap_or_default().to_lowercase();
        let mut known: BTreeSet<String> = settings.keys().map(|path| section(path)).collect();
        known.extend(sections.iter().map(|name| section(name)));
        let mut by_variable: BTreeMap<String, (&str, &str)> = BTreeMap::new();
        for (name, value) in environment.pairs() {
            if !(name.contains("__") || name.contains(':')) {
                continue;
            }
            let path = name.replace("__", ":");
            let other = by_variable.insert(path.to_lowercase(), (name, value));
            let other =
                other.filter(|(_, other)| *other != value && known.contains(&section(&path)));
            if let Some((other, _)) = other {
                return Err(ConfigError::new(
                    name,
                    format!("says something else than {other}, and both are the setting {path}"),
                )
                .hint("unset one of the two: in their names the case of letters does not count"));
            }
            let setting = Setting {
                value: Secret::new(value),
                from: name.to_owned(),
                variable: name.to_owned(),
            };
            settings.insert(path.to_lowercase(), (path, setting));
        }
        Ok(Self {
            name: match over {
                Some(over) => format!("{} and {}", file.name, over.name),
                None => file.name.to_owned(),
            },
            settings,
        })
    }

    /// What the files are called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A setting that is not blank: .NET's programs take an empty text for none.
    pub(crate) fn get(&self, path: &str) -> Option<&Setting> {
        let (_, setting) = self.settings.get(&path.to_lowercase())?;
        (!setting.text().is_empty()).then_some(setting)
    }

    /// A setting that is there, and blank.
    pub(crate) fn blank(&self, path: &str) -> Option<&Setting> {
        let (_, setting) = self.settings.get(&path.to_lowercase())?;
        setting.text().is_empty().then_some(setting)
    }

    /// All settings that are not blank, by their paths as they are spelt.
    pub(crate) fn paths(&self) -> impl Iterator<Item = (&str, &Setting)> {
        let all = self.settings.values();
        let all = all.filter(|(_, setting)| !setting.text().is_empty());
        all.map(|(path, setting)| (path.as_str(), setting))
    }

    /// A setting that says yes or no; no if it is not there.
    pub(crate) fn flag(&self, path: &str) -> Result<bool, ConfigError> {
        let Some(setting) = self.get(path) else {
            return Ok(false);
        };
        // as Convert.ToBoolean of .NET takes it
        let is = |word: &str| setting.text().eq_ignore_ascii_case(word);
        if !(is("true") || is("false")) {
            return Err(ConfigError::new(&setting.from, "is neither true nor false")
                .hint("write true or false"));
        }
        Ok(is("true"))
    }

    /// Whether there is such a setting, or one below it.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.get(path).is_some() || !self.children(path).is_empty()
    }

    /// The next parts of the paths below that one (of all, below the empty one), as they are spelt, numbers in their
    /// order before names.
    pub(crate) fn children(&self, path: &str) -> Vec<String> {
        let prefix = match path {
            "" => String::new(),
            path => format!("{}:", path.to_lowercase()),
        };
        let mut found: BTreeMap<Key, String> = BTreeMap::new();
        let below = self.settings.range(prefix.clone()..);
        for (lower, (spelt, _)) in below.take_while(|(lower, _)| lower.starts_with(&prefix)) {
            let part = |path: &str| {
                let parts = path.split(':').nth(prefix.matches(':').count());
                parts.unwrap_or_default().to_owned()
            };
            found.entry(Key(part(lower))).or_insert_with(|| part(spelt));
        }
        found.into_values().collect()
    }

    /// A name for a setting that is not there.
    pub(crate) fn missing(&self, path: &str) -> String {
        format!("{path} ({})", self.name)
    }
}

/// The settings of one file, in which each is there once.
fn of_file(file: &File<'_>) -> Result<ByPath, ConfigError> {
    let mut settings = ByPath::new();
    for leaf in json::leaves(file)? {
        let path = leaf.path.join(":");
        let from = format!("{path} ({}, line {})", file.name, leaf.line);
        let setting = Setting {
            value: leaf.value.unwrap_or_else(|| Secret::new("")),
            variable: path.replace(':', "__"),
            from,
        };
        if let Some((_, before)) = settings.get(&path.to_lowercase()) {
            return Err(ConfigError::new(
                &setting.from,
                format!("is there twice: {}", before.from),
            )
            .hint("keep one of the two; .NET refuses such a file as well"));
        }
        settings.insert(path.to_lowercase(), (path, setting));
    }
    Ok(settings)
}

/// A part of a path, in the order of .NET's `ConfigurationKeyComparer`.
#[derive(Eq, PartialEq)]
struct Key(String);

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0.parse::<u32>(), other.0.parse::<u32>()) {
            (Ok(one), Ok(two)) => one.cmp(&two).then_with(|| self.0.cmp(&other.0)),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => self.0.cmp(&other.0),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
