//! The value of an expression, as far as it is a plain one.

use edgepass_core::Secret;

use super::lexer::{Kind, Token};
use super::{Assigned, NOT_PLAIN, Reader, Value};

/// Brackets within brackets in one value.
const MAX_DEPTH: usize = 32;

/// An expression that is being read.
pub(super) struct Expression<'r, 't> {
    reader: &'r Reader<'r>,
    rest: &'t [Token],
}

impl<'r, 't> Expression<'r, 't> {
    pub(super) fn new(reader: &'r Reader<'r>, tokens: &'t [Token]) -> Self {
        let rest = tokens;
        Self { reader, rest }
    }

    /// The value of all of it.
    pub(super) fn whole(mut self) -> Result<Value, String> {
        let value = self.either(0)?;
        match self.rest {
            [] => Ok(value),
            _ => Err(NOT_PLAIN.to_owned()),
        }
    }

    fn next(&mut self) -> Option<&'t Token> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, op: &str) -> bool {
        let found = self.rest.first().is_some_and(|token| token.is(op));
        if found {
            self.next();
        }
        found
    }

    /// `a or b`.
    fn either(&mut self, depth: usize) -> Result<Value, String> {
        let mut value = self.sum(depth)?;
        while self.rest.first().and_then(Token::name) == Some("or") {
            self.next();
            if value.is_true() {
                self.pass_by()?;
            } else {
                value = self.sum(depth)?;
            }
        }
        Ok(value)
    }

    /// Leaves alone what Python does not look at behind an `or`: to the end of the value.
    fn pass_by(&mut self) -> Result<(), String> {
        let mut depth = 0_usize;
        while let Some(token) = self.rest.first() {
            match &token.kind {
                Kind::Op("(" | "[" | "{") => depth += 1,
                Kind::Op("," | ")" | "]" | "}") if depth == 0 => break,
                Kind::Op(")" | "]" | "}") => depth -= 1,
                // `a or b if c else d` is `d` where `c` is false
                Kind::Name(name) if depth == 0 && name == "if" => return Err(NOT_PLAIN.to_owned()),
                _ => {}
            }
            self.next();
        }
        Ok(())
    }

    /// `a + b`, of strings.
    fn sum(&mut self, depth: usize) -> Result<Value, String> {
        let mut value = self.atom(depth)?;
        while self.take("+") {
            value = match (value, self.atom(depth)?) {
                (Value::Text { text, .. }, Value::Text { text: more, .. }) => Value::Text {
                    text: joined(&text, &more),
                    variable: None,
                },
                (Value::List(mut items), Value::List(more)) => {
                    items.extend(more);
                    Value::List(items)
                }
                _ => return Err(NOT_PLAIN.to_owned()),
            };
            value = self.reader.make(value)?;
        }
        Ok(value)
    }

    fn atom(&mut self, depth: usize) -> Result<Value, String> {
        let not_plain = || NOT_PLAIN.to_owned();
        if depth > MAX_DEPTH {
            return Err("has brackets within brackets beyond what settings have".to_owned());
        }
        if let Some(value) = self.variable(depth)? {
            return Ok(value);
        }
        let token = self.next().ok_or_else(not_plain)?;
        match &token.kind {
            Kind::Text(text) => {
                let mut text = text.clone().ok_or_else(not_plain)?;
                while let Some(Token {
                    kind: Kind::Text(more),
                    ..
                }) = self.rest.first()
                {
                    text = joined(&text, more.as_ref().ok_or_else(not_plain)?);
                    self.next();
                }
                let variable = None;
                Ok(Value::Text { text, variable })
            }
            Kind::Number => Ok(Value::Number),
            Kind::Op("-" | "+") if self.rest.first().is_some_and(|t| t.kind == Kind::Number) => {
                self.next();
                Ok(Value::Number)
            }
            Kind::Op("(") => {
                let (mut items, had_comma) = self.items(")", depth)?;
                match (items.len(), had_comma) {
                    (1, false) => items.pop().ok_or_else(not_plain),
                    _ => Ok(Value::List(items)),
                }
            }
            Kind::Op("[") => Ok(Value::List(self.items("]", depth)?.0)),
            Kind::Op("{") => {
                self.braces()?;
                Ok(Value::Other)
            }
            Kind::Name(name) => match name.as_str() {
                "None" => Ok(Value::None),
                "True" => Ok(Value::Flag(true)),
                "False" => Ok(Value::Flag(false)),
                name => match self.reader.module.names.get(name) {
                    Some(Assigned {
                        value: Ok(value), ..
                    }) => self.reader.make(value.clone()),
                    Some(Assigned { line, .. }) => Err(format!(
                        "is that of {name} (line {line}), which is no plain value"
                    )),
                    None => Err(not_plain()),
                },
            },
            Kind::Op(_) | Kind::Newline => Err(not_plain()),
        }
    }

    /// Values with commas between them, to that bracket; and whether there was a comma.
    fn items(&mut self, end: &str, depth: usize) -> Result<(Vec<Value>, bool), String> {
        let (mut items, mut had_comma) = (Vec::new(), false);
        while !self.take(end) {
            items.push(self.either(depth + 1)?);
            if self.take(",") {
                had_comma = true;
            } else if !self.rest.first().is_some_and(|token| token.is(end)) {
                return Err(NOT_PLAIN.to_owned());
            }
        }
        Ok((items, had_comma))
    }

    /// To the brace that ends a dictionary or set.
    fn braces(&mut self) -> Result<(), String> {
        let mut depth = 1_usize;
        while depth > 0 {
            let token = self.next().ok_or_else(|| NOT_PLAIN.to_owned())?;
            match &token.kind {
                Kind::Op("(" | "[" | "{") => depth += 1,
                Kind::Op(")" | "]" | "}") => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// `os.environ["X"]`, `os.environ.get("X", "d")`, `os.getenv("X", "d")`, and without `os.`.
    fn variable(&mut self, depth: usize) -> Result<Option<Value>, String> {
        let (names, call) = match self.rest {
            [os, dot, rest @ ..] if os.name() == Some("os") && dot.is(".") => (rest, 2),
            rest => (rest, 0),
        };
        let (open, close) = match names {
            [environ, dot, get, open, ..]
                if environ.name() == Some("environ")
                    && dot.is(".")
                    && get.name() == Some("get")
                    && open.is("(") =>
            {
                (call + 4, ")")
            }
            [environ, open, ..] if environ.name() == Some("environ") && open.is("[") => {
                (call + 2, "]")
            }
            [getenv, open, ..] if getenv.name() == Some("getenv") && open.is("(") => {
                (call + 2, ")")
            }
            _ => return Ok(None),
        };
        // a function, a dictionary or an environment of the module's own
        let first = self.rest.first().and_then(Token::name).unwrap_or_default();
        if let Some(own) = self.reader.module.names.get(first)
            && !matches!(&own.value, Err(reason) if reason == super::IMPORTED)
        {
            return Err(format!(
                "is taken from {first}, which line {} makes another",
                own.line
            ));
        }
        self.rest = self.rest.get(open..).unwrap_or_default();
        let (mut arguments, _) = self.items(close, depth)?;
        let default = match arguments.len() {
            2 if close == ")" => arguments.pop(),
            _ => None,
        };
        let [Value::Text { text: name, .. }] = arguments.as_slice() else {
            return Err(NOT_PLAIN.to_owned());
        };
        let name = name.expose();
        let value = self.reader.environment.get(name);
        if let Some((line, all)) = self.reader.other_environment
            && (all || value.is_none())
        {
            return Err(format!(
                "is taken from the variable {name}, which line {line} may set"
            ));
        }
        match (value, default) {
            (Some(value), _) => Ok(Some(Value::Text {
                text: Secret::new(value),
                variable: Some(name.to_owned()),
            })),
            (None, Some(default)) => Ok(Some(default)),
            (None, None) if close == ")" => Ok(Some(Value::Unset(name.to_owned()))),
            (None, None) => Err(format!(
                "is taken from the variable {name}, which is not set"
            )),
        }
    }
}

fn joined(one: &Secret, other: &Secret) -> Secret {
    let mut text = String::with_capacity(one.expose().len() + other.expose().len());
    text.push_str(one.expose());
    text.push_str(other.expose());
    Secret::new(text)
}
