//! The parts that a module consists of.

use edgepass_core::{Secret, without_byte_order_mark};

use super::NotRead;

/// Parts of one module: a program's settings have some thousands.
const MAX_TOKENS: usize = 200_000;

/// What a part is.
#[derive(Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    /// `None` for bytes and for what is only known when it is run.
    Text(Option<Secret>),
    Number,
    Op(&'static str),
    Newline,
}

/// A part and where it stands.
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    /// Blanks before the line that it is on.
    pub(super) indent: usize,
}

impl Token {
    pub(super) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn is(&self, op: &str) -> bool {
        matches!(&self.kind, Kind::Op(own) if *own == op)
    }
}

/// Longer ones before those that they begin with.
const OPERATORS: &[&str] = &[
    "**=", "//=", ">>=", "<<=", "...", "==", "!=", "<=", ">=", "->", ":=", "+=", "-=", "*=", "/=",
    "%=", "@=", "&=", "|=", "^=", "**", "//", ">>", "<<", "=", "(", ")", "[", "]", "{", "}", ",",
    ":", ";", ".", "+", "-", "*", "/", "%", "@", "&", "|", "^", "~", "<", ">", "!", "$", "?", "`",
];

/// The bracket that ends what that one begins.
fn closing(bracket: &str) -> &'static str {
    match bracket {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// Takes a text apart.
pub(super) struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    indent: usize,
    /// The brackets that are open, and the line of each.
    open: Vec<(&'static str, usize)>,
    /// How far in the blocks are that are open, the module's own first.
    blocks: Vec<usize>,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            rest: without_byte_order_mark(text),
            line: 1,
            indent: 0,
            open: Vec::new(),
            blocks: vec![0],
            tokens: Vec::new(),
        }
    }

    pub(super) fn tokens(mut self) -> Result<Vec<Token>, NotRead> {
        self.no_conflict()?;
        self.begin_line();
        while let Some(next) = self.rest.chars().next() {
            if self.tokens.len() > MAX_TOKENS {
                return Err(NotRead::at(self.line, "is longer than settings are"));
            }
            let begins = self
                .tokens
                .last()
                .is_none_or(|last| last.kind == Kind::Newline);
            if begins && !next.is_whitespace() && !matches!(next, '#' | '\\') {
                self.begin_statement()?;
            }
            match next {
                '\n' => {
                    self.take("\n");
                    if self.open.is_empty() {
                        self.push(Kind::Newline, self.line);
                    }
                    self.line += 1;
                    self.no_conflict()?;
                    if self.open.is_empty() {
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
                        return Err(NotRead {
                            line: self.line,
                            reason: "has a backslash where none can be".to_owned(),
                            hint: "write a value with quotes around it".to_owned(),
                        });
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
        if let Some((bracket, line)) = self.open.pop() {
            let end = closing(bracket);
            return Err(NotRead {
                line,
                reason: format!("has a `{bracket}` that nothing closes"),
                hint: format!("write the `{end}` that ends it"),
            });
        }
        self.push(Kind::Newline, self.line);
        Ok(self.tokens)
    }

    /// That the line is none of those that git leaves where two versions have been merged and nobody has chosen: each side
    /// would be read, and the last one count.
    fn no_conflict(&self) -> Result<(), NotRead> {
        let line = self.rest.lines().next().unwrap_or_default();
        let mut marks = ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].iter();
        let is_mark = marks.any(|mark| {
            let rest = line.strip_prefix(mark);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        });
        if is_mark {
            return Err(NotRead {
                line: self.line,
                reason: "has a mark of git's for a conflict that is not resolved".to_owned(),
                hint: "keep one of the two sides, and take the marks away".to_owned(),
            });
        }
        Ok(())
    }

    /// That a statement begins where one may, as Python has it: as far in as the block that is open, further in behind a `:`, or
    /// as far as a block before it.
    fn begin_statement(&mut self) -> Result<(), NotRead> {
        let mut before = self.tokens.iter().rev();
        let last = before.find(|token| token.kind != Kind::Newline);
        let opens = last.is_some_and(|last| last.is(":"));
        let is_open = |indent: usize| self.blocks.last().is_some_and(|open| *open >= indent);
        if !is_open(self.indent) {
            if !opens {
                return Err(NotRead {
                    line: self.line,
                    reason: "begins further in than the line before it, which opens no block"
                        .to_owned(),
                    hint: "take the blanks before it away".to_owned(),
                });
            }
            self.blocks.push(self.indent);
            return Ok(());
        }
        self.blocks.retain(|open| *open <= self.indent);
        if self.blocks.last() != Some(&self.indent) {
            return Err(NotRead {
                line: self.line,
                reason: "begins where no line before it has begun".to_owned(),
                hint: "begin it as far in as the block that it belongs to".to_owned(),
            });
        }
        Ok(())
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
            return Err(self.no_python());
        };
        match *op {
            "(" | "[" | "{" => self.open.push((op, self.line)),
            ")" | "]" | "}" => match self.open.pop() {
                Some((bracket, _)) if closing(bracket) == *op => {}
                Some((bracket, line)) => {
                    let end = closing(bracket);
                    return Err(NotRead {
                        line: self.line,
                        reason: format!(
                            "has a `{op}` where the `{bracket}` of line {line} is open"
                        ),
                        hint: format!("write the `{end}` that ends that before it"),
                    });
                }
                None => {
                    return Err(NotRead {
                        line: self.line,
                        reason: format!("has a `{op}` that closes nothing"),
                        hint: "take it away, or write the bracket that it closes".to_owned(),
                    });
                }
            },
            _ => {}
        }
        self.skip(op.len());
        self.push(Kind::Op(op), self.line);
        Ok(())
    }

    /// Why the character that is next is in no module.
    fn no_python(&self) -> NotRead {
        let next = self.rest.chars().next().unwrap_or_default();
        let quotes = [
            '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}', '\u{ab}', '\u{bb}',
        ];
        let hint = match quotes.contains(&next) {
            true => "write \" or ' around a string: this is a quote of printed texts",
            false => NotRead::OTHERWISE,
        };
        NotRead {
            line: self.line,
            reason: format!(
                "has the character U+{:04X} outside of a string, which is no Python",
                u32::from(next)
            ),
            hint: hint.to_owned(),
        }
    }

    /// A string literal behind its prefix.
    fn text(&mut self, prefix: &str) -> Result<(), NotRead> {
        let begin = self.line;
        let has = |letter| prefix.to_ascii_lowercase().contains(letter);
        let (is_raw, mut is_known) = (has('r'), !(has('b') || has('f') || has('t')));
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let quote = quotes.iter().find(|quote| self.take(quote));
        let quote = *quote.unwrap_or(&"\"");
        let open = || NotRead {
            line: begin,
            reason: format!("has a string that begins with {quote} and does not end"),
            hint: match quote.len() {
                1 => format!("write the {quote} that ends it on the same line"),
                _ => format!("write the {quote} that ends it"),
            },
        };
        // room for all of it, so that no copy of a secret stays behind
        let end = self.rest.find(quote).unwrap_or_default();
        let mut text = String::with_capacity(end.max(64) * 2);
        loop {
            if self.take(quote) {
                break;
            }
            let next = self.rest.chars().next().ok_or_else(open)?;
            self.skip(next.len_utf8());
            match next {
                '\n' if quote.len() == 1 => return Err(open()),
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
                '\\' => is_known &= self.escape(&mut text),
                next => text.push(next),
            }
        }
        let text = Secret::new(text);
        self.push(Kind::Text(is_known.then_some(text)), begin);
        Ok(())
    }

    /// Reads an escape, and says whether it is a character that is known here: one that is named (`\N`), and one that is
    /// none, are left to Python, for this string alone.
    fn escape(&mut self, text: &mut String) -> bool {
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
                return true;
            }
            '\r' => {
                self.line += usize::from(self.take("\n"));
                return true;
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
                if code.is_some() {
                    self.skip(digits);
                }
                match code.and_then(char::from_u32) {
                    Some(character) => character,
                    None => return false,
                }
            }
            'N' => return false,
            other => {
                // Python keeps what it does not know
                text.push('\\');
                other
            }
        };
        text.push(plain);
        true
    }
}
