//! A settings module in Python, read and never run: plain assignments of literals, of names of the module, and of what
//! `os.environ` has. What else is in it is left alone; a name that something else gives its value has none here, and the
//! reason is kept.

mod expression;
mod lexer;

use std::collections::BTreeMap;

use edgepass_core::{Environment, Secret};

use self::expression::Expression;
use self::lexer::{Kind, Lexer, Token};

/// What a module assigns.
pub(crate) struct Module {
    /// By name, the last assignment.
    pub(crate) names: BTreeMap<String, Assigned>,
    /// Lines that import all names of another module.
    pub(crate) star_imports: Vec<usize>,
}

/// What was given to a name.
#[derive(Clone)]
pub(crate) struct Assigned {
    pub(crate) line: usize,
    /// The value, or why there is none; the reason continues the name.
    pub(crate) value: Result<Value, String>,
}

/// A value of Python's.
#[derive(Clone)]
pub(crate) enum Value {
    None,
    Flag(bool),
    /// Which one is nothing that settings here need.
    Number,
    Text {
        text: Secret,
        /// The variable that has it.
        variable: Option<String>,
    },
    /// A list or a tuple.
    List(Vec<Value>),
    /// A dictionary or a set, of which nothing is needed.
    Other,
}

impl Value {
    /// Python's truth value.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Flag(flag) => *flag,
            Self::Text { text, .. } => !text.expose().is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Number | Self::Other => true,
        }
    }

    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Flag(_) => "True or False",
            Self::Number => "a number",
            Self::Text { .. } => "a string",
            Self::List(_) => "a list",
            Self::Other => "a dictionary or set",
        }
    }
}

/// Why a module cannot be read, and on which line.
pub(crate) type NotRead = (usize, &'static str);

/// Reads a module.
pub(crate) fn read(text: &str, environment: &Environment) -> Result<Module, NotRead> {
    let tokens = Lexer::new(text).tokens()?;
    let mut reader = Reader {
        environment,
        module: Module {
            names: BTreeMap::new(),
            star_imports: Vec::new(),
        },
        blocks: Vec::new(),
    };
    for line in tokens.split(|token| token.kind == Kind::Newline) {
        let Some(first) = line.first() else {
            continue;
        };
        let indent = first.indent;
        for statement in statements(line) {
            reader.statement(indent, statement);
        }
    }
    Ok(reader.module)
}

/// The simple statements of a line.
fn statements(line: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0_usize;
    let ends = |token: &Token| {
        match &token.kind {
            Kind::Op("(" | "[" | "{") => depth += 1,
            Kind::Op(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.kind == Kind::Op(";")
    };
    let parts = line.split(ends);
    parts.filter(|statement| !statement.is_empty()).collect()
}

struct Reader<'a> {
    environment: &'a Environment,
    module: Module,
    /// The blocks around a statement: how far each is indented, and whether names in it are not the module's.
    blocks: Vec<(usize, bool)>,
}

impl Reader<'_> {
    fn statement(&mut self, indent: usize, tokens: &[Token]) {
        let Some(first) = tokens.first() else {
            return;
        };
        while self
            .blocks
            .last()
            .is_some_and(|(block, _)| *block >= indent)
        {
            self.blocks.pop();
        }
        let word = first.name().unwrap_or_default();
        let begins = match word {
            "async" => tokens.get(1).and_then(Token::name).unwrap_or_default(),
            word => word,
        };
        let is_scope = matches!(begins, "def" | "class");
        let is_inside = self.blocks.iter().any(|(_, is_scope)| *is_scope);
        if tokens.last().is_some_and(|last| last.is(":")) {
            self.blocks.push((indent, is_scope));
        }
        if is_inside || is_scope {
            return;
        }
        let in_block = !self.blocks.is_empty();
        match begins {
            "import" | "from" => self.import(tokens),
            "del" => self.unknown(tokens, "is deleted"),
            "if" | "elif" | "else" | "for" | "while" | "try" | "except" | "finally" | "with" => {
                self.unknown(targets(tokens), BLOCK);
            }
            _ if in_block => self.unknown(targets(tokens), BLOCK),
            _ => self.assignment(tokens),
        }
    }

    /// None of those names has a value that is known here.
    fn unknown(&mut self, tokens: &[Token], reason: &str) {
        for token in tokens {
            if let Some(name) = token.name() {
                let value = Err(reason.to_owned());
                let line = token.line;
                let names = &mut self.module.names;
                names.insert(name.to_owned(), Assigned { line, value });
            }
        }
    }

    fn import(&mut self, tokens: &[Token]) {
        let names = match tokens.iter().position(|t| t.name() == Some("import")) {
            Some(at) => tokens.get(at + 1..).unwrap_or_default(),
            None => return,
        };
        if let [star] = names
            && star.is("*")
        {
            self.module.star_imports.push(star.line);
            return;
        }
        for part in names.split(|token| token.is(",")) {
            // the name behind `as`, or the first one
            let names = part.iter().filter(|token| token.name().is_some());
            let names: Vec<&Token> = names.collect();
            let bound = match names.as_slice() {
                [.., word, alias] if word.name() == Some("as") => Some(alias),
                [first, ..] => Some(first),
                [] => None,
            };
            if let Some(bound) = bound {
                self.unknown(
                    std::slice::from_ref(*bound),
                    "is imported from another module",
                );
            }
        }
    }

    fn assignment(&mut self, tokens: &[Token]) {
        const CHANGED: &str = "is changed after it was set";

        let mut parts = split_at_top(tokens, "=");
        let Some(value) = parts.pop() else {
            return;
        };
        if parts.is_empty() {
            // `name += …`, and whatever assigns nothing
            if let [name, op, ..] = tokens
                && matches!(&op.kind, Kind::Op(op) if changes(op))
            {
                self.unknown(std::slice::from_ref(name), CHANGED);
            }
            return;
        }
        let value = self.evaluate(value);
        for target in parts {
            let target = split_at_top(target, ":").into_iter().next();
            match target.unwrap_or_default() {
                [name] if name.name().is_some() => {
                    let line = name.line;
                    let name = name.name().unwrap_or_default().to_owned();
                    let value = value.clone();
                    self.module.names.insert(name, Assigned { line, value });
                }
                // `name["key"] = …`, `name.part = …`
                [name, next, ..] if next.is("[") || next.is(".") => {
                    self.unknown(std::slice::from_ref(name), CHANGED);
                }
                several => self.unknown(several, "is set together with others"),
            }
        }
    }

    fn evaluate(&self, tokens: &[Token]) -> Result<Value, String> {
        Expression::new(self, tokens).whole()
    }
}

const NOT_PLAIN: &str = "is no plain value, and a settings module is read, not run";

const BLOCK: &str = "is set under a condition or in a loop, and a settings module is read, not run";

/// What a statement within a block, or one that begins it, may give a value to.
fn targets(tokens: &[Token]) -> &[Token] {
    let after = |word: &str| {
        let at = tokens.iter().position(|token| token.name() == Some(word));
        at.and_then(|at| tokens.get(at + 1..)).unwrap_or_default()
    };
    let begins = tokens.first().and_then(Token::name).unwrap_or_default();
    let mut parts = split_at_top(tokens, "=");
    let value = parts.pop().unwrap_or_default();
    match begins {
        "for" => {
            let bound = after("for")
                .split(|token| token.name() == Some("in"))
                .next();
            bound.unwrap_or_default()
        }
        "with" | "except" => after("as"),
        _ if parts.is_empty() => {
            let is_changed = matches!(tokens.get(1).map(|token| &token.kind),
                Some(Kind::Op(op)) if changes(op));
            tokens.get(..usize::from(is_changed)).unwrap_or_default()
        }
        _ => {
            let before = tokens.len() - value.len();
            let before = tokens.get(..before).unwrap_or_default();
            // `if …: name = …`
            match begins {
                "if" | "elif" | "else" | "while" | "try" | "finally" => {
                    let last = split_at_top(before, ":").pop();
                    last.unwrap_or_default()
                }
                _ => before,
            }
        }
    }
}

/// Whether an operator assigns and reads, as `+=` does.
fn changes(op: &str) -> bool {
    op.len() > 1 && op.ends_with('=') && !matches!(op, "==" | "!=" | "<=" | ">=" | ":=")
}

/// The parts between operators of that kind that are in no brackets.
fn split_at_top<'t>(tokens: &'t [Token], op: &str) -> Vec<&'t [Token]> {
    let mut depth = 0_usize;
    let parts = tokens.split(|token| {
        match &token.kind {
            Kind::Op("(" | "[" | "{") => depth += 1,
            Kind::Op(")" | "]" | "}") => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && token.is(op)
    });
    parts.collect()
}
