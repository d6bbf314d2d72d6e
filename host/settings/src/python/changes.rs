//! What gives values to names, or to variables, other than by an assignment.

use super::lexer::{Kind, Token};
use super::{Reader, Value};

/// Whether it may have a module as a value: this one, of which names can be set then.
pub(super) fn is_of_a_module(token: &Token) -> bool {
    matches!(
        token.name(),
        Some("modules" | "import_module" | "__import__")
    )
}

/// What is between the bracket at the beginning and the one that ends it, and what follows.
fn call(tokens: &[Token]) -> (&[Token], &[Token]) {
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        match &token.kind {
            Kind::Op("(" | "[" | "{") => depth += 1,
            Kind::Op(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    });
    let end = end.unwrap_or(tokens.len());
    let inside = tokens.get(1..end).unwrap_or_default();
    (inside, tokens.get(end + 1..).unwrap_or_default())
}

impl Reader<'_> {
    /// `in_scope` says whether a function or a class is around it, or begins with it.
    pub(super) fn look_for_changes(&mut self, tokens: &[Token], in_scope: bool) {
        for (at, token) in tokens.iter().enumerate() {
            let is_next = |op: &str| tokens.get(at + 1).is_some_and(|next| next.is(op));
            let after = |places: usize| tokens.get(at + places).and_then(Token::name);
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            let is_method = before.is_some_and(|before| before.is("."));
            let rest = tokens.get(at + 1..).unwrap_or_default();
            if token.is(":=") {
                self.unknown(
                    before.map_or(&[], std::slice::from_ref),
                    "is set within a value",
                );
            }
            let word = token.name().unwrap_or_default();
            match word {
                "exec" if is_next("(") && !is_method => self.forget(token.line, "may set any name"),
                "globals" | "vars" | "locals" | "setattr" if is_next("(") && !is_method => {
                    let is_checked = before.and_then(Token::name) == Some("in");
                    if self.may_set(word, rest, is_checked, in_scope) {
                        self.forget(token.line, "may set any name");
                    }
                }
                "global" => {
                    let names = tokens.get(at + 1..).unwrap_or_default();
                    self.unknown(names, "is set by a function");
                }
                "load_dotenv" | "read_dotenv" | "read_env" if is_next("(") => {
                    let all = overrides(call(rest).0);
                    self.other_variables(token.line, all);
                }
                "environ" if is_next("|=") => self.other_variables(token.line, true),
                "environ" if is_next(".") => match after(2) {
                    Some("setdefault") => self.other_variables(token.line, false),
                    Some("update" | "clear" | "popitem") => self.other_variables(token.line, true),
                    Some("pop") => {
                        let arguments = tokens.get(at + 3..).unwrap_or_default();
                        match call(arguments).0.first().map(|name| &name.kind) {
                            Some(Kind::Text(Some(name))) => {
                                let name = name.expose().to_owned();
                                self.taken_away.insert(name, token.line);
                            }
                            _ => self.other_variables(token.line, true),
                        }
                    }
                    _ => {}
                },
                word if is_next("(") && !is_method && self.includes.as_deref() == Some(word) => {
                    self.module.star_imports.push(token.line);
                    self.forget(token.line, "runs other files as part of the module");
                }
                _ => {}
            }
        }
    }

    fn other_variables(&mut self, line: usize, all: bool) {
        match self.other_environment {
            // the first line is the one to look at, unless a later one does more
            Some((_, before)) if before || !all => {}
            _ => self.other_environment = Some((line, all)),
        }
    }

    /// Whether a call of that function may give names of the module other values. What cannot be told may.
    fn may_set(&self, function: &str, rest: &[Token], is_checked: bool, in_scope: bool) -> bool {
        let (arguments, behind) = call(rest);
        let is_own = match (function, arguments) {
            ("setattr", _) | ("vars", [_, ..]) => {
                return self.holds_modules;
            }
            ("globals", _) => true,
            // of a function or a class they are its own
            _ => !in_scope,
        };
        // what only looks: `"X" in globals()`, `globals().get("X")`
        let looks = match behind {
            [dot, method, ..] if dot.is(".") => matches!(
                method.name(),
                Some("get" | "keys" | "values" | "items" | "copy")
            ),
            [bracket, ..] if bracket.is("[") => false,
            _ => is_checked,
        };
        is_own && !looks
    }

    /// What is added to a list: `name += [value]`, `name.append(value)`, and the like.
    pub(super) fn addition(&mut self, tokens: &[Token]) {
        let (name, value, is_list) = match tokens {
            [name, op, value @ ..] if op.is("+=") => (name, value, true),
            [name, dot, method, value @ ..] if dot.is(".") => {
                let (arguments, _) = call(value);
                match (method.name(), arguments) {
                    (Some("append"), value) => (name, value, false),
                    (Some("insert"), [_, comma, value @ ..]) if comma.is(",") => {
                        (name, value, false)
                    }
                    (Some("extend"), value) => (name, value, true),
                    _ => return,
                }
            }
            _ => return,
        };
        let Some(name) = name.name().map(str::to_owned) else {
            return;
        };
        let Ok(value) = self.evaluate(value) else {
            return;
        };
        let items = match (value, is_list) {
            (Value::List(items), true) => items,
            (value, false) => vec![value],
            _ => return,
        };
        self.module.added.entry(name).or_default().extend(items);
    }
}

/// Whether the call of a reader of `.env` with those arguments may give variables that are set another value:
/// `load_dotenv(override=True)`, `read_env(path, overwrite=True)`, `read_env(**values)`.
fn overrides(arguments: &[Token]) -> bool {
    arguments.iter().enumerate().any(|(at, token)| {
        let next = |places: usize| arguments.get(at + places);
        match token.name() {
            Some("override" | "overwrite") => {
                let is_no = next(2).and_then(Token::name) == Some("False");
                !(next(1).is_some_and(|op| op.is("=")) && is_no)
            }
            // by its place
            Some("True") => {
                let before = at.checked_sub(1).and_then(|before| arguments.get(before));
                !before.is_some_and(|op| op.is("="))
            }
            _ => token.is("**"),
        }
    })
}
