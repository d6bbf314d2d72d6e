//! A settings module in Python, read and never run: plain assignments of literals, of names of the module, and of what
//! `os.environ` has. What else is in it is left alone; a name that something else gives its value has none here, and the
//! reason is kept.

mod changes;
mod expression;
mod lexer;

use std::cell::Cell;
use std::collections::BTreeMap;

use edgepass_core::{Environment, Secret};

use self::expression::Expression;
use self::lexer::{Kind, Lexer, Token};

/// Characters and values that are made of others while a module is read. Settings are some hundred; a name that is twice the
/// one before, line after line, would be more than a machine has.
const MAX_MADE: usize = 1 << 20;

/// What a module assigns.
pub(crate) struct Module {
    /// By name, the last assignment.
    pub(crate) names: BTreeMap<String, Assigned>,
    /// What was added to a list behind its assignment, by the list's name.
    pub(crate) added: BTreeMap<String, Vec<Value>>,
    /// Lines that import all names of another module.
    pub(crate) star_imports: Vec<usize>,
}

/// What was given to a name.
#[derive(Clone)]
pub(crate) struct Assigned {
    pub(crate) line: usize,
    /// The value, or why there is none.
    pub(crate) value: Result<Value, NoValue>,
}

/// Why a name has no value here.
#[derive(Clone, Debug)]
pub(crate) struct NoValue {
    /// Continues the name.
    pub(crate) reason: String,
    pub(crate) remedy: Remedy,
}

/// What gives the name a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Remedy {
    /// A plain value where it stands, or a variable's.
    Literal,
    /// The same, and no variable.
    Constant,
    /// The value where no condition and no loop is around it.
    Outside,
    /// The assignment behind that line.
    Behind(usize),
    /// That variable.
    Variable(String),
}

impl From<&str> for NoValue {
    fn from(reason: &str) -> Self {
        Self::from(reason.to_owned())
    }
}

impl From<String> for NoValue {
    fn from(reason: String) -> Self {
        let remedy = Remedy::Literal;
        Self { reason, remedy }
    }
}

/// A value of Python's.
#[derive(Clone)]
pub(crate) enum Value {
    None,
    /// None because that variable is not set.
    Unset(String),
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
            Self::None | Self::Unset(_) => false,
            Self::Flag(flag) => *flag,
            Self::Text { text, .. } => !text.expose().is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Number | Self::Other => true,
        }
    }

    /// Characters, and one for each value.
    fn size(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.expose().len().saturating_add(1),
            Self::List(items) => items
                .iter()
                .fold(1, |sum, item| sum.saturating_add(item.size())),
            Self::None | Self::Unset(_) | Self::Flag(_) | Self::Number | Self::Other => 1,
        }
    }

    /// What it is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::None | Self::Unset(_) => "None",
            Self::Flag(_) => "True or False",
            Self::Number => "a number",
            Self::Text { .. } => "a string",
            Self::List(_) => "a list",
            Self::Other => "a dictionary or set",
        }
    }
}

/// Why a module cannot be read.
pub(crate) struct NotRead {
    pub(crate) line: usize,
    /// What the line has.
    pub(crate) reason: String,
    /// What to do about it.
    pub(crate) hint: String,
}

impl NotRead {
    /// What to do about a text that may be something else than a module.
    const OTHERWISE: &str = "give a settings module in Python, or the settings as JSON";

    fn at(line: usize, reason: &str) -> Self {
        Self {
            line,
            reason: reason.to_owned(),
            hint: Self::OTHERWISE.to_owned(),
        }
    }
}

/// Reads a module.
pub(crate) fn read(text: &str, environment: &Environment) -> Result<Module, NotRead> {
    let tokens = Lexer::new(text).tokens()?;
    let mut reader = Reader {
        environment,
        module: Module {
            names: BTreeMap::new(),
            added: BTreeMap::new(),
            star_imports: Vec::new(),
        },
        blocks: Vec::new(),
        room: Cell::new(MAX_MADE),
        other_environment: None,
        taken_away: BTreeMap::new(),
        includes: None,
        holds_modules: tokens.iter().any(changes::is_of_a_module),
    };
    for line in tokens.split(|token| token.kind == Kind::Newline) {
        let Some(first) = line.first() else {
            continue;
        };
        let indent = first.indent;
        for (index, statement) in statements(line).into_iter().enumerate() {
            // what follows in `if …: a = 1; b = 2` is in the block as well
            reader.statement(
                indent + usize::from(index > 0 && begins_block(first)),
                statement,
            );
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
    /// What is left of [`MAX_MADE`].
    room: Cell<usize>,
    /// The line that gives variables of the environment other values, and whether also to those that are set.
    other_environment: Option<(usize, bool)>,
    /// Variables that the module takes out of the environment, and where.
    taken_away: BTreeMap<String, usize>,
    /// What `include` of django-split-settings is called, which runs other files as if they were part of the module.
    includes: Option<String>,
    /// Whether the module itself may be had as a value, of which names can be set.
    holds_modules: bool,
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
        self.look_for_changes(tokens, is_inside || is_scope);
        if begins_block(first) || tokens.last().is_some_and(|last| last.is(":")) {
            self.blocks.push((indent, is_scope));
        }
        if is_inside || is_scope {
            if !is_inside && let Some(at) = tokens.iter().position(|t| t.name() == Some(begins)) {
                self.unknown(
                    tokens.get(at + 1..at + 2).unwrap_or_default(),
                    "is defined by the module",
                );
            }
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

    /// No name has a value that is known, because of that line.
    fn forget(&mut self, line: usize, why: &str) {
        let known = self.module.names.values_mut();
        for assigned in known.filter(|assigned| assigned.value.is_ok()) {
            assigned.value = Err(NoValue {
                reason: format!("may be set anew by line {line}, which {why}"),
                remedy: Remedy::Behind(line),
            });
        }
    }

    /// Room for a value that is made of others.
    fn make(&self, value: Value) -> Result<Value, NoValue> {
        let left = self.room.get().checked_sub(value.size());
        let left = left.ok_or("is made of more than settings have")?;
        self.room.set(left);
        Ok(value)
    }

    /// None of those names has a value that is known here.
    fn unknown(&mut self, tokens: &[Token], reason: &str) {
        for token in tokens {
            if let Some(name) = token.name() {
                let value = Err(match reason {
                    BLOCK => NoValue {
                        reason: reason.to_owned(),
                        remedy: Remedy::Outside,
                    },
                    _ => reason.into(),
                });
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
            self.forget(star.line, "imports all names of another module");
            return;
        }
        let is_of_split_settings = tokens.get(1).and_then(Token::name) == Some("split_settings");
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
                if is_of_split_settings && part.first().and_then(Token::name) == Some("include") {
                    self.includes = bound.name().map(str::to_owned);
                }
                self.unknown(std::slice::from_ref(*bound), IMPORTED);
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
            self.addition(tokens);
            if let [name, next, ..] = tokens {
                let reason = match &next.kind {
                    Kind::Op(op) if changes(op) => CHANGED,
                    // legal for a type, and then no value either
                    _ if name
                        .name()
                        .is_some_and(|name| self.module.names.contains_key(name)) =>
                    {
                        return;
                    }
                    Kind::Op(":") => "has a `:` behind it, and no `=` with a value",
                    Kind::Op("==") => "has `==` behind it, which compares and sets nothing",
                    Kind::Text(_) | Kind::Number => "has a value behind it, and no `=`",
                    _ => return,
                };
                self.unknown(std::slice::from_ref(name), reason);
            }
            return;
        }
        let value = match value {
            [] => Err("has nothing behind its `=`".into()),
            [.., comma] if comma.is(",") => {
                Err("ends in a comma, which makes it a tuple: take the comma away".into())
            }
            value => self.evaluate(value),
        };
        for target in parts {
            let target = split_at_top(target, ":").into_iter().next();
            match target.unwrap_or_default() {
                [name] if name.name().is_some() => {
                    let line = name.line;
                    let name = name.name().unwrap_or_default().to_owned();
                    let value = value.clone().and_then(|value| self.make(value));
                    self.module.added.remove(&name);
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

    fn evaluate(&self, tokens: &[Token]) -> Result<Value, NoValue> {
        Expression::new(self, tokens).whole()
    }
}

/// Whether what follows a word on its line, or below it, is a block.
fn begins_block(first: &Token) -> bool {
    const WORDS: &[&str] = &[
        "if", "elif", "else", "for", "while", "try", "except", "finally", "with", "async", "def",
        "class",
    ];
    first.name().is_some_and(|word| WORDS.contains(&word))
}

const NOT_PLAIN: &str = "is no plain value, and a settings module is read, not run";

const IMPORTED: &str = "is imported from another module";

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
        // `except …: name = …`: rather a name too many than one too few
        "for" | "with" | "except" if !parts.is_empty() => {
            let before = tokens.len() - value.len();
            tokens.get(..before).unwrap_or_default()
        }
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
