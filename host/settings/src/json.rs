//! JSON as other programs take it in settings files: with comments, trailing commas and a byte order mark. Every value
//! with its line.

use edgepass_core::{ConfigError, Secret, without_byte_order_mark};
use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged as _;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use crate::File;

/// Values of one file. A program's settings have some hundreds.
const MAX_VALUES: usize = 10_000;

/// Characters of the path to one value, `:` included. Each value has its own, so that many long ones are much memory.
const MAX_PATH_CHARS: usize = 1024;

/// A value that is no object and no list.
pub(crate) struct Leaf {
    /// The names and numbers on the way to it.
    pub(crate) path: Vec<String>,
    /// As .NET turns it into text; `None` for null.
    pub(crate) value: Option<Secret>,
    /// Whether it is written as text.
    pub(crate) is_text: bool,
    pub(crate) line: usize,
}

/// All values of a file whose whole is an object.
pub(crate) fn leaves(file: &File<'_>) -> Result<Vec<Leaf>, ConfigError> {
    let text = without_byte_order_mark(file.text);
    let collect = CollectOptions {
        comments: CommentCollectionStrategy::Off,
        tokens: false,
    };
    let strict = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &collect, &strict).map_err(|error| {
        let (line, column) = (error.line_display(), error.column_display());
        // what a kind says of itself quotes nothing of the text
        let reason = error.kind().to_string().to_lowercase();
        ConfigError::new(
            file.name,
            format!("not JSON: {reason} at line {line} column {column}"),
        )
        .hint("mind commas, quotes and brackets at that place")
    })?;
    let Some(Value::Object(whole)) = parsed.value else {
        return Err(ConfigError::new(file.name, "is no JSON object")
            .hint("give the settings file itself: it begins with `{`"));
    };
    let mut walk = Walk {
        file,
        lines: text.match_indices('\n').map(|(at, _)| at).collect(),
        leaves: Vec::new(),
    };
    walk.object(&mut Vec::new(), &whole)?;
    Ok(walk.leaves)
}

struct Walk<'a> {
    file: &'a File<'a>,
    /// Where lines end.
    lines: Vec<usize>,
    leaves: Vec<Leaf>,
}

impl Walk<'_> {
    // its depth is bounded by that of the parser
    fn object(
        &mut self,
        path: &mut Vec<String>,
        object: &jsonc_parser::ast::Object<'_>,
    ) -> Result<(), ConfigError> {
        for property in &object.properties {
            self.inside(path, property.name.as_str().to_owned(), &property.value)?;
        }
        Ok(())
    }

    fn inside(
        &mut self,
        path: &mut Vec<String>,
        name: String,
        value: &Value<'_>,
    ) -> Result<(), ConfigError> {
        path.push(name);
        let result = self.value(path, value);
        path.pop();
        result
    }

    fn value(&mut self, path: &mut Vec<String>, value: &Value<'_>) -> Result<(), ConfigError> {
        match value {
            Value::Object(object) => self.object(path, object),
            Value::Array(array) => {
                for (index, item) in array.elements.iter().enumerate() {
                    self.inside(path, index.to_string(), item)?;
                }
                Ok(())
            }
            Value::StringLit(text) => self.leaf(path, Some(Secret::new(&*text.value)), value),
            Value::NumberLit(number) => self.leaf(path, Some(Secret::new(number.value)), value),
            Value::BooleanLit(flag) => {
                self.leaf(path, Some(Secret::new(flag.value.to_string())), value)
            }
            Value::NullKeyword(_) => self.leaf(path, None, value),
        }
    }

    fn leaf(
        &mut self,
        path: &[String],
        text: Option<Secret>,
        value: &Value<'_>,
    ) -> Result<(), ConfigError> {
        let chars: usize = path.iter().map(|name| name.len() + 1).sum();
        if self.leaves.len() == MAX_VALUES || chars > MAX_PATH_CHARS {
            let message = if chars > MAX_PATH_CHARS {
                format!("has a setting whose name is longer than {MAX_PATH_CHARS} characters")
            } else {
                format!("has more than {MAX_VALUES} settings")
            };
            return Err(ConfigError::new(self.file.name, message).hint("is it the right file?"));
        }
        let start = value.range().start;
        self.leaves.push(Leaf {
            path: path.to_vec(),
            value: text,
            is_text: matches!(value, Value::StringLit(_)),
            line: self.lines.partition_point(|end| *end < start) + 1,
        });
        Ok(())
    }
}
