//! The value of an expression, as far as it is a plain one.

use edgepass_core::Secret;

use super::lexer::{Kind, Token};
use super::{Assigned, NOT_PLAIN, NoValue, Reader, Remedy, Value};

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
    pub(super) fn whole(mut self) -> Result<Value, NoValue> {
        let value = self.either(0)?;
        match self.rest {
            [] => Ok(value),
            _ => Err(NOT_PLAIN.into()),
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
    fn either(&mut self, depth: usize) -> Result<Value, NoValue> {
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
    fn pass_by(&mut self) -> Result<(), NoValue> {
        let mut depth = 0_usize;
        while let Some(token) = self.rest.first() {
            match &token.kind {
                Kind::Op("(" | "[" | "{") => depth += 1,
                Kind::Op("," | ")" | "]" | "}") if depth == 0 => break,
                Kind::Op(")" | "]" | "}") => depth -= 1,
                // `a or b if c else d` is `d` where `c` is false
                Kind::Name(name) if depth == 0 && name == "if" => return Err(NOT_PLAIN.into()),
                _ => {}
            }
            self.next();
        }
        Ok(())
    }

    /// `a + b`, of strings.
    fn sum(&mut self, depth: usize) -> Result<Value, NoValue> {
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
                _ => return Err(NOT_PLAIN.into()),
            };
            value = self.reader.make(value)?;
        }
        Ok(value)
    }

    fn atom(&mut self, depth: usize) -> Result<Value, NoValue> {
        let not_plain = || NoValue::from(NOT_PLAIN);
        if depth > MAX_DEPTH {
            return Err("has brackets within brackets beyond what settings have".into());
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
                    Some(Assigned {
                        line,
                        value: Err(unknown),
                    }) => Err(NoValue {
                        reason: match &unknown.remedy {
                            Remedy::Variable(_) => {
                                format!("is that of {name} (line {line}), which {}", unknown.reason)
                            }
                            _ => {
                                format!("is that of {name} (line {line}), which is no plain value")
                            }
                        },
                        remedy: match &unknown.remedy {
                            Remedy::Variable(variable) => Remedy::Variable(variable.clone()),
                            _ => Remedy::Literal,
                        },
                    }),
                    None => Err(not_plain()),
                },
            },
            Kind::Op(_) | Kind::Newline => Err(not_plain()),
        }
    }

    /// Values with commas between them, to that bracket; and whether there was a comma.
    fn items(&mut self, end: &str, depth: usize) -> Result<(Vec<Value>, bool), NoValue> {
        let (mut items, mut had_comma) = (Vec::new(), false);
        while !self.take(end) {
            items.push(self.either(depth + 1)?);
            if self.take(",") {
                had_comma = true;
            } else if !self.rest.first().is_some_and(|token| token.is(end)) {
                return Err(NOT_PLAIN.into());
            }
        }
        Ok((items, had_comma))
    }

    /// To the brace that ends a dictionary or set.
    fn braces(&mut self) -> Result<(), NoValue> {
        let mut depth = 1_usize;
        while depth > 0 {
            let token = self.next().ok_or(NOT_PLAIN)?;
            match &token.kind {
                Kind::Op("(" | "[" | "{") => depth += 1,
                Kind::Op(")" | "]" | "}") => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// `os.environ["X"]`, `os.environ.get("X", "d")`, `os.getenv("X", "d")`, and without `os.`.
    fn variable(&mut self, depth: usize) -> Result<Option<Value>, NoValue> {
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
            && !matches!(&own.value, Err(unknown) if unknown.reason == super::IMPORTED)
        {
            return Err(NoValue::from(format!(
                "is taken from {first}, which line {} makes another",
                own.line
            )));
        }
        self.rest = self.rest.get(open..).unwrap_or_default();
        let mut arguments = self.arguments(close, depth)?;
        let default = match arguments.len() {
            2 if close == ")" => arguments.pop(),
            _ => None,
        };
        let [Value::Text { text: name, .. }] = arguments.as_slice() else {
            return Err(NOT_PLAIN.into());
        };
        let name = name.expose();
        let value = self.reader.environment.get(name);
        let from = format!("is taken from the variable {name}, which");
        if let Some(line) = self.reader.taken_away.get(name) {
            return Err(NoValue {
                reason: format!("{from} line {line} takes away"),
                remedy: Remedy::Constant,
            });
        }
        if let Some((line, all)) = self.reader.other_environment
            && (all || value.is_none())
        {
            let reason = format!("{from} line {line} may set");
            let remedy = match all {
                true => Remedy::Constant,
                false => Remedy::Variable(name.to_owned()),
            };
            return Err(NoValue { reason, remedy });
        }
        let variable = Some(name.to_owned());
        match (value, default) {
            (Some(value), _) => {
                let text = Secret::new(value);
                Ok(Some(Value::Text { text, variable }))
            }
            // which is what it says, and nobody has meant
            (None, Some(Value::Text { text, .. })) if text.expose().is_empty() => {
                Ok(Some(Value::Text { text, variable }))
            }
            (None, Some(default @ Value::Unset(_))) => Ok(Some(default)),
            (None, Some(default)) if default.is_true() => Ok(Some(default)),
            (None, _) if close == ")" => Ok(Some(Value::Unset(name.to_owned()))),
            (None, _) => Err(NoValue {
                reason: format!("{from} is not set"),
                remedy: Remedy::Variable(name.to_owned()),
            }),
        }
    }

    /// Arguments to that bracket, the last of which may be `default=…`.
    fn arguments(&mut self, end: &str, depth: usize) -> Result<Vec<Value>, NoValue> {
        let mut arguments = Vec::new();
        while !self.take(end) {
            let is_default = matches!(self.rest, [name, equals, ..]
                if name.name() == Some("default") && equals.is("="));
            if is_default {
                if arguments.len() != 1 || end != ")" {
                    return Err(NOT_PLAIN.into());
                }
                self.rest = self.rest.get(2..).unwrap_or_default();
            }
            arguments.push(self.either(depth + 1)?);
            if !self.take(",") && !self.rest.first().is_some_and(|token| token.is(end)) {
                return Err(NOT_PLAIN.into());
            }
        }
        Ok(arguments)
    }
}

fn joined(one: &Secret, other: &Secret) -> Secret {
    let mut text = String::with_capacity(one.expose().len() + other.expose().len());
    text.push_str(one.expose());
    text.push_str(other.expose());
    Secret::new(text)
}
