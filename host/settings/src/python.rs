//! A settings module in Python, read and never run: plain assignments of literals, of names of the module, and of what
//! `os.environ` has. What else is in it is left alone; a name that something else gives its value has none here, and the
//! reason is kept.

use std::collections::BTreeMap;

use edgepass_core::{Environment, Secret};

/// Parts of one module: a program's settings have some thousands.
const MAX_TOKENS: usize = 200_000;

/// Brackets within brackets in one value.
const MAX_DEPTH: usize = 32;

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

#[derive(Clone, PartialEq)]
enum Kind {
    Name(String),
    /// `None` for bytes and for what is only known when it is run.
    Text(Option<Secret>),
    Number,
    Op(&'static str),
    Newline,
}

struct Token {
    kind: Kind,
    line: usize,
    /// Blanks before the line that it is on.
    indent: usize,
}

impl Token {
    fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            _ => None,
        }
    }

    fn is(&self, op: &str) -> bool {
        matches!(&self.kind, Kind::Op(own) if *own == op)
    }
}

/// Longer ones before those that they begin with.
const OPERATORS: &[&str] = &[
    "**=", "//=", ">>=", "<<=", "...", "==", "!=", "<=", ">=", "->", ":=", "+=", "-=", "*=", "/=",
    "%=", "@=", "&=", "|=", "^=", "**", "//", ">>", "<<", "=", "(", ")", "[", "]", "{", "}", ",",
    ":", ";", ".", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "!", "$", "?", "`",
];

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    indent: usize,
    depth: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
            indent: 0,
            depth: 0,
            tokens: Vec::new(),
        }
    }

    fn tokens(mut self) -> Result<Vec<Token>, NotRead> {
        self.begin_line();
        while let Some(next) = self.rest.chars().next() {
            if self.tokens.len() > MAX_TOKENS {
                return Err((self.line, "is longer than settings are"));
            }
            match next {
                '\n' => {
                    self.take("\n");
                    if self.depth == 0 {
                        self.push(Kind::Newline, self.line);
                    }
                    self.line += 1;
                    if self.depth == 0 {
                        self.begin_line();
                    }
                }
                '#' => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.skip(end);
                }
                '\\' => {
                    self.take("\\");
                    self.take("\r");
                    if !self.take("\n") {
                        return Err((self.line, "has a backslash where none can be"));
                    }
                    self.line += 1;
                }
                c if c.is_whitespace() => self.skip(c.len_utf8()),
                '"' | '\'' => self.text("")?,
                c if c.is_ascii_digit() => {
                    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
                    let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
                    self.skip(end);
                    self.push(Kind::Number, self.line);
                }
                c if c.is_alphabetic() || c == '_' => self.name()?,
                _ => self.operator()?,
            }
        }
        self.push(Kind::Newline, self.line);
        Ok(self.tokens)
    }

    fn begin_line(&mut self) {
        let is_blank = |c| matches!(c, ' ' | '\t' | '\u{c}');
        let blanks = self.rest.find(|c| !is_blank(c));
        self.indent = blanks.unwrap_or(self.rest.len());
        self.skip(self.indent);
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn push(&mut self, kind: Kind, line: usize) {
        self.tokens.push(Token {
            kind,
            line,
            indent: self.indent,
        });
    }

    fn name(&mut self) -> Result<(), NotRead> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        let is_prefix = name.len() <= 2 && name.chars().all(|c| "rRbBuUfFtT".contains(c));
        self.rest = rest;
        if is_prefix && rest.starts_with(['"', '\'']) {
            return self.text(name);
        }
        self.push(Kind::Name(name.to_owned()), self.line);
        Ok(())
    }

    fn operator(&mut self) -> Result<(), NotRead> {
        let known = OPERATORS.iter().find(|op| self.rest.starts_with(**op));
        let Some(op) = known else {
            return Err((self.line, "is no Python"));
        };
        match *op {
            "(" | "[" | "{" => self.depth += 1,
            ")" | "]" | "}" => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.skip(op.len());
        self.push(Kind::Op(op), self.line);
        Ok(())
    }

    /// A string literal behind its prefix.
    fn text(&mut self, prefix: &str) -> Result<(), NotRead> {
        const OPEN: &str = "has a string without an end";

        let begin = self.line;
        let has = |letter| prefix.to_ascii_lowercase().contains(letter);
        let (is_raw, is_known) = (has('r'), !(has('b') || has('f') || has('t')));
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let quote = quotes.iter().find(|quote| self.take(quote));
        let quote = *quote.ok_or((begin, OPEN))?;
        // room for all of it, so that no copy of a secret stays behind
        let end = self.rest.find(quote).unwrap_or_default();
        let mut text = String::with_capacity(end.max(64) * 2);
        loop {
            if self.take(quote) {
                break;
            }
            let next = self.rest.chars().next().ok_or((begin, OPEN))?;
            self.skip(next.len_utf8());
            match next {
                '\n' if quote.len() == 1 => return Err((begin, OPEN)),
                '\n' => {
                    self.line += 1;
                    text.push('\n');
                }
                // line ends are all the same to Python
                '\r' if self.rest.starts_with('\n') => {}
                '\\' if is_raw => {
                    text.push('\\');
                    // a quote behind it ends nothing
                    if let Some(next) = self.rest.chars().next() {
                        self.skip(next.len_utf8());
                        self.line += usize::from(next == '\n');
                        text.push(next);
                    }
                }
                '\\' => self.escape(&mut text)?,
                next => text.push(next),
            }
        }
        let text = Secret::new(text);
        self.push(Kind::Text(is_known.then_some(text)), begin);
        Ok(())
    }

    fn escape(&mut self, text: &mut String) -> Result<(), NotRead> {
        let next = self.rest.chars().next().unwrap_or_default();
        self.skip(next.len_utf8());
        let digits = match next {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        let plain = match next {
            '\n' => {
                self.line += 1;
                return Ok(());
            }
            '\r' => {
                self.line += usize::from(self.take("\n"));
                return Ok(());
            }
            '\\' | '\'' | '"' => next,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '0'..='7' => {
                let mut code = next.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    self.skip(1);
                    code = code * 8 + digit;
                }
                char::from_u32(code).unwrap_or_default()
            }
            _ if digits > 0 => {
                let code = self.rest.get(..digits);
                let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
                let code = code.and_then(char::from_u32);
                self.skip(digits);
                code.ok_or((self.line, "has an escape in a string that is no character"))?
            }
            'N' => return Err((self.line, "has a character by its name (\\N) in a string")),
            other => {
                // Python keeps what it does not know
                text.push('\\');
                other
            }
        };
        text.push(plain);
        Ok(())
    }
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
        let mut expression = Expression {
            reader: self,
            rest: tokens,
        };
        let value = expression.either(0)?;
        match expression.rest {
            [] => Ok(value),
            _ => Err(NOT_PLAIN.to_owned()),
        }
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

struct Expression<'r, 't> {
    reader: &'r Reader<'r>,
    rest: &'t [Token],
}

impl<'t> Expression<'_, 't> {
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
        }
        Ok(value)
    }

    fn atom(&mut self, depth: usize) -> Result<Value, String> {
        let not_plain = || NOT_PLAIN.to_owned();
        if depth > MAX_DEPTH {
            return Err("has brackets within brackets beyond what settings have".to_owned());
        }
        if let Some(value) = self.variable()? {
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
                    }) => Ok(value.clone()),
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
    fn variable(&mut self) -> Result<Option<Value>, String> {
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
        self.rest = self.rest.get(open..).unwrap_or_default();
        let (mut arguments, _) = self.items(close, 0)?;
        let default = match arguments.len() {
            2 if close == ")" => arguments.pop(),
            _ => None,
        };
        let [Value::Text { text: name, .. }] = arguments.as_slice() else {
            return Err(NOT_PLAIN.to_owned());
        };
        let name = name.expose();
        match (self.reader.environment.get(name), default) {
            (Some(value), _) => Ok(Some(Value::Text {
                text: Secret::new(value),
                variable: Some(name.to_owned()),
            })),
            (None, Some(default)) => Ok(Some(default)),
            (None, None) if close == ")" => Ok(Some(Value::None)),
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
