//! The configuration as a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use edgepass_core::{ConfigError, Environment};
use edgepass_settings::formats::{self, Format};
use zeroize::Zeroizing;

use crate::files::read_bounded;
use crate::limits;
use crate::repeat::{NOT_REPEATED, NoPath, PATH_FOR_DOCUMENT, is_path, is_plain_path, no_path};

/// Where the configuration of a builder comes from.
pub(crate) enum Document {
    /// The text itself.
    Given(Zeroizing<String>, Format),
    /// What `EDGEPASS_CONFIG_JSON` holds.
    Text(Zeroizing<String>),
    File(PathBuf),
    /// The file that `EDGEPASS_CONFIG` names.
    Variable(PathBuf),
    /// `EDGEPASS_CONFIG` and `EDGEPASS_CONFIG_JSON` are both set.
    Both,
    /// `EDGEPASS_CONFIG_JSON` is not Unicode.
    NotText,
}

impl Document {
    /// What the variables say, that of a path and that of the document itself; `None` if they are unset or blank.
    pub(crate) fn of_variables(path: Option<OsString>, text: Option<OsString>) -> Option<Self> {
        let set = |value: &OsString| value.to_str().is_none_or(|text| !text.trim().is_empty());
        match (path.filter(set), text.filter(set)) {
            (None, None) => None,
            (Some(path), None) => Some(Self::Variable(path.into())),
            (None, Some(text)) => {
                let text = text.into_string().map(Zeroizing::new);
                Some(text.map_or(Self::NotText, Self::Text))
            }
            (Some(_), Some(_)) => Some(Self::Both),
        }
    }

    /// Reads it.
    pub(crate) fn load(self) -> Result<formats::Document, ConfigError> {
        match self {
            Self::Given(text, format) => formats::Document::read(&text, format, None),
            Self::Text(json) => {
                if is_path(&json) {
                    return Err(ConfigError::new(
                        Environment::EDGEPASS_CONFIG_JSON,
                        PATH_FOR_DOCUMENT.message,
                    )
                    .hint(PATH_FOR_DOCUMENT.hint));
                }
                let name = Environment::EDGEPASS_CONFIG_JSON;
                formats::Document::read(&json, Format::Json, Some(name))
            }
            Self::Both => Err(ConfigError::new(
                Environment::EDGEPASS_CONFIG_JSON,
                "is set, and so is EDGEPASS_CONFIG: only one of them can be meant",
            )
            .hint("unset one of the two")),
            Self::NotText => Err(ConfigError::new(
                Environment::EDGEPASS_CONFIG_JSON,
                "is not UTF-8 text",
            )
            .hint("write it as UTF-8")),
            Self::File(path) => {
                let name = path.display().to_string();
                let text = read(&path).map_err(|NoText { reason, hint }| {
                    ConfigError::new("configuration", format!("{name} {reason}")).hint(hint)
                })?;
                formats::Document::read(&text, Format::of_path(&path), Some(&name))
            }
            Self::Variable(path) => {
                // what is no path may be a configuration with secrets in it, and is not repeated
                if let Some(NoPath { message, hint }) = no_path(&path.to_string_lossy()) {
                    return Err(ConfigError::new(Environment::EDGEPASS_CONFIG, message).hint(hint));
                }
                let shown = path.to_str().filter(|text| is_plain_path(text));
                let text = read(&path).map_err(|NoText { reason, hint }| {
                    let error = |name: &str| {
                        ConfigError::new(Environment::EDGEPASS_CONFIG, format!("{name} {reason}"))
                    };
                    match shown {
                        Some(name) => error(name).hint(hint),
                        None => error("what it names").hint(NOT_REPEATED),
                    }
                })?;
                let name = shown.unwrap_or(Environment::EDGEPASS_CONFIG);
                formats::Document::read(&text, Format::of_path(&path), Some(name))
            }
        }
    }
}

/// What a configuration says.
///
/// # Errors
///
/// Why it is not text in UTF-8. It continues the configuration's name.
pub fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    /// In text of mostly Latin letters every other byte is zero.
    fn is_utf16(bytes: &[u8]) -> bool {
        let has_mark = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        let zero = |offset| {
            bytes
                .iter()
                .skip(offset)
                .step_by(2)
                .filter(|b| **b == 0)
                .count()
        };
        let (even, odd) = (zero(0), zero(1));
        let most = |zeros: usize, others: usize| others == 0 && zeros > bytes.len() / 4;
        has_mark || most(even, odd) || most(odd, even)
    }

    if is_utf16(bytes) {
        return Err("is UTF-16, and not UTF-8 text");
    }
    if bytes.contains(&0) {
        return Err("is not text: it has a NUL character");
    }
    std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")
}

/// What the settings file of a .NET program says: UTF-8, or UTF-16 that begins with its mark, which `StreamReader` of .NET reads
/// as well.
///
/// # Errors
///
/// Why it is not text. It continues the file's name.
pub fn dotnet_text(bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return text(bytes).map(|text| Zeroizing::new(text.to_owned())),
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().skip(1).map(|pair| unit(*pair));
    let mut out = Zeroizing::new(String::with_capacity(bytes.len()));
    for character in char::decode_utf16(units) {
        match character {
            Ok('\0') => return Err("is not text: it has a NUL character"),
            Ok(character) => out.push(character),
            Err(_) => return Err("begins as UTF-16, and is not"),
        }
    }
    match rest {
        [] => Ok(out),
        _ => Err("begins as UTF-16, and is not"),
    }
}

/// Why a file gave no text.
pub(crate) struct NoText {
    /// Continues its name.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) hint: &'static str,
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, NoText> {
    let bytes = bytes_of(path)?;
    let text = text(&bytes).map_err(no_utf8)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The same of the settings file of a .NET program.
pub(crate) fn read_dotnet(path: &Path) -> Result<Zeroizing<String>, NoText> {
    dotnet_text(&bytes_of(path)?).map_err(no_utf8)
}

fn bytes_of(path: &Path) -> Result<Zeroizing<Vec<u8>>, NoText> {
    read_bounded(path, limits::CONFIG_BYTES).map_err(|error| NoText {
        reason: format!("cannot be read: {error}"),
        hint: error.fix(),
    })
}

fn no_utf8(reason: &str) -> NoText {
    NoText {
        reason: reason.to_owned(),
        hint: "write it as UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a value of `EDGEPASS_CONFIG` that names no file.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        /// It is not even looked for.
        Refused,
        /// It is looked for, and not named.
        Withheld,
        Named,
    }

    #[test]
    fn only_what_is_plainly_a_path_is_repeated() {
        use Fate::{Named, Refused, Withheld};

        let long_part = format!("/{}", "a".repeat(41));
        let long = "/a".repeat(257);
        let longest = "/a".repeat(2049);
        for (value, fate) in [
            (r#"{"identities": {}}"#, Refused),
            ("\u{feff} {}", Refused),
            ("[]", Refused),
            ("-", Refused),
            ("'/none/edgepass.json'", Refused),
            ("\"/none/edgepass.json\"", Refused),
            ("/none/\"quoted\"", Refused),
            ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", Refused),
            (" eyJpZGVudGl0aWVzIjoge319", Refused),
            ("-----BEGIN PRIVATE KEY-----\nMII", Refused),
            ("-----BEGIN PRIVATE KEY-----", Refused),
            ("/none/\u{1b}[2J", Refused),
            (&longest, Refused),
            ("ewogICJpZGVudGl0aWVzIjoge30KfQ==", Withheld),
            ("ewogICJpZGVudGl0aWVzIjoge30KfQ", Withheld),
            ("eyAgImlkZW50aXRpZXMiOiB7fSB9", Withheld),
            ("abc8Q~0123456789abcdefghijklmnopqrstuvwx", Withheld),
            ("hunter2", Withheld),
            ("hunter", Withheld),
            ("none/edgepass.json", Withheld),
            ("/aB3/xYz0123456789ABCdef", Withheld),
            ("/none/eyJhbGciOiJSUzI1NiJ9.e30.c2ln", Withheld),
            ("/none/Sup3r+Secret==", Withheld),
            (&long_part, Withheld),
            (&long, Withheld),
            #[cfg(unix)]
            ("/none/My Files/edgepass.json", Named),
            #[cfg(unix)]
            ("/none/11111111-2222-3333-4444-555555555555/größe", Named),
        ] {
            let error = Document::Variable(value.into()).load().unwrap_err();
            assert_eq!(error.setting, Environment::EDGEPASS_CONFIG);
            let said = format!("{error:#}");
            let found = match () {
                () if said.contains("is not a path") => Refused,
                () if said.contains("what it names") => Withheld,
                () => Named,
            };
            assert_eq!(found, fate, "{value}: {said}");
            // `-` stands in the remedy
            assert_eq!(
                said.contains(value),
                fate == Named || value == "-",
                "{said}"
            );
        }
    }

    #[test]
    fn a_path_in_the_place_of_the_document_is_told_from_one() {
        for (text, expected) in [
            ("/etc/edgepass/config.json", true),
            ("./edgepass.json", true),
            ("../x", true),
            ("~/edgepass.json", true),
            ("edgepass.json", true),
            (" /etc/edgepass.json\n", true),
            ("{}", false),
            ("{\"a\": \"/x.json\"}", false),
            ("\"/etc/edgepass.json\"", false),
            ("identities", false),
            ("/* a comment */ {}", false),
            ("eyJhIjoxfQ==", false),
            ("abc8Q~0123456789", false),
        ] {
            let document = Document::of_variables(None, Some(text.into())).unwrap();
            let refused = document.load().is_err_and(|error| {
                error.setting == Environment::EDGEPASS_CONFIG_JSON
                    && format!("{error:#}").contains("set EDGEPASS_CONFIG to the path")
                    && !format!("{error:#}").contains(text.trim())
            });
            assert_eq!(refused, expected, "{text}");
        }
    }

    #[test]
    fn the_format_goes_by_the_name_of_the_file() {
        let folder = std::env::temp_dir().join(format!("edgepass-document-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (yaml, toml, json) = ("a: {b: x}\n", "a.b = \"x\"\n", "{\"a\":{\"b\":\"x\"}}");
        for (name, text, format) in [
            ("c.yaml", yaml, Format::Yaml),
            ("c.yml", yaml, Format::Yaml),
            ("c.toml", toml, Format::Toml),
            ("c.json", json, Format::Json),
            ("c", json, Format::Json),
        ] {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            for document in [
                Document::File(path.clone()),
                Document::Variable(path.clone()),
            ] {
                let document = document.load().unwrap();
                assert_eq!(
                    (document.json(), document.format()),
                    (json, format),
                    "{name}"
                );
                let place = document.place("a.b").unwrap_or_default();
                assert!(place.contains(":1:"), "{name}: {place}");
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
        let text = Document::of_variables(None, Some(json.into())).unwrap();
        let place = text.load().unwrap().place("a.b").unwrap_or_default();
        assert_eq!(place, "EDGEPASS_CONFIG_JSON:1:7");
        // a variable is JSON, whatever it looks like
        assert!(
            Document::of_variables(None, Some(yaml.into()))
                .unwrap()
                .load()
                .is_ok_and(|d| d.format() == Format::Json)
        );
    }

    #[test]
    fn what_is_no_text_is_named_as_what_it_is() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        let little = utf16("{\"größe\": 1}", u16::to_le_bytes);
        let big = utf16("{\"größe\": 1}", u16::to_be_bytes);
        let marked = [&b"\xff\xfe"[..], &little].concat();
        for (bytes, expected) in [
            (&b"{}"[..], ""),
            ("\u{feff}{\"größe\": 1}".as_bytes(), ""),
            (b"", ""),
            (&little, "UTF-16"),
            (&big, "UTF-16"),
            (&marked, "UTF-16"),
            (b"\xfe\xff", "UTF-16"),
            (b"{\"a\": \"\0\"}", "NUL"),
            (b"{\"a\": 1}\0", "NUL"),
            (b"{\"a\": 1}\0\0\0\0\0\0\0\0\0\0\0\0", "NUL"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0", "NUL"),
            (b"{\"caf\xe9\": 1}", "is not UTF-8"),
        ] {
            match text(bytes) {
                Ok(_) => assert_eq!(expected, "", "{bytes:?}"),
                Err(said) => assert!(
                    !expected.is_empty() && said.contains(expected),
                    "{bytes:?}: {said}"
                ),
            }
        }
    }

    #[test]
    fn a_program_of_dotnet_has_settings_in_utf_16_as_well() {
        let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            text.encode_utf16().flat_map(bytes).collect()
        };
        let said = "{\"größe\": \"🔑\"}";
        let marked = format!("\u{feff}{said}");
        for (bytes, expected) in [
            (said.as_bytes().to_vec(), Ok(said)),
            (marked.clone().into_bytes(), Ok(&*marked)),
            (utf16(&marked, u16::to_le_bytes), Ok(said)),
            (utf16(&marked, u16::to_be_bytes), Ok(said)),
            (utf16("\u{feff}", u16::to_le_bytes), Ok("")),
            (utf16(said, u16::to_le_bytes), Err("is UTF-16")),
            (
                [&utf16(&marked, u16::to_le_bytes)[..], b"x"].concat(),
                Err("begins as UTF-16, and is not"),
            ),
            (
                b"\xff\xfe\x00\xd8x\x00".to_vec(),
                Err("begins as UTF-16, and is not"),
            ),
            (b"\xff\xfe\x00\x00".to_vec(), Err("NUL")),
        ] {
            match (dotnet_text(&bytes), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(*text, expected),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
                (found, expected) => panic!("{bytes:?}: {found:?}, {expected:?}"),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_document_that_is_not_unicode_is_refused() {
        use std::os::unix::ffi::OsStringExt;

        let text = OsString::from_vec(b"{\"identities\": {\"caf\xe9\": {}}}".to_vec());
        let document = Document::of_variables(None, Some(text)).unwrap();
        let error = document.load().unwrap_err();
        assert_eq!(error.setting, Environment::EDGEPASS_CONFIG_JSON);
        let said = format!("{error:#}");
        assert!(
            said.contains("is not UTF-8 text") && said.contains("write it as UTF-8"),
            "{said}"
        );
        assert!(!said.contains("caf"), "{said}");
    }
}
