//! The command line.

/// What it takes.
pub(crate) const USAGE: &str = "\
usage: [--identity NAME] [--format json|token] [SCOPE ...]
the identity and its scopes are the configuration's if left out (EDGEPASS_CONFIG_JSON, or AZURE_TENANT_ID, AZURE_CLIENT_ID
and AZURE_FEDERATED_TOKEN_FILE)
";

/// What is asked for.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) identity: Option<String>,
    pub(crate) form: Form,
    pub(crate) scopes: Vec<String>,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Form {
    /// One JSON document.
    #[default]
    Json,
    /// The token alone.
    Token,
}

impl Arguments {
    /// Nothing if help is asked for.
    pub(crate) fn parse(line: &[String]) -> Result<Option<Self>, String> {
        let mut arguments = Self::default();
        let mut words = line.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word.as_str(), None),
            };
            let mut value = || {
                let value = value.or_else(|| words.next().map(String::as_str));
                value.ok_or_else(|| format!("{option} wants a value"))
            };
            match option {
                "--help" | "-h" => return Ok(None),
                "--identity" => arguments.identity = Some(value()?.to_owned()),
                "--format" | "-o" => {
                    arguments.form = match value()? {
                        "json" => Form::Json,
                        "token" => Form::Token,
                        _ => return Err("--format is json or token".to_owned()),
                    }
                }
                // not repeated: what stands in a wrong place may be a secret
                _ if option.starts_with('-') => return Err("there is no such option".to_owned()),
                _ => arguments.scopes.push(word.clone()),
            }
        }
        Ok(Some(arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, Form};

    fn parsed(line: &str) -> Result<Option<Arguments>, String> {
        let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn a_line_is_an_identity_a_form_and_scopes() {
        let of = |identity: Option<&str>, form, scopes: &[&str]| {
            Ok(Some(Arguments {
                identity: identity.map(ToOwned::to_owned),
                form,
                scopes: scopes.iter().map(ToString::to_string).collect(),
            }))
        };
        for (line, expected) in [
            ("", of(None, Form::Json, &[])),
            ("a b", of(None, Form::Json, &["a", "b"])),
            // a scope may have the sign of an option with a value
            ("api://x?a=b", of(None, Form::Json, &["api://x?a=b"])),
            (
                "--identity app --format token s",
                of(Some("app"), Form::Token, &["s"]),
            ),
            (
                "s --identity=app -o json",
                of(Some("app"), Form::Json, &["s"]),
            ),
            ("--help", Ok(None)),
            ("--identity", Err("--identity wants a value".to_owned())),
            ("--format yaml", Err("--format is json or token".to_owned())),
            ("--scope x", Err("there is no such option".to_owned())),
        ] {
            assert_eq!(parsed(line), expected, "{line}");
        }
    }
}
