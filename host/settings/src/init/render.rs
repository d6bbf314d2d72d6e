//! The text of a configuration to begin with, in each format.

use super::entry::{Entry, Value};
use crate::formats::{Format, quoted};

pub(super) fn rendered(document: &[Entry], format: Format) -> String {
    let mut out = String::new();
    match format {
        Format::Yaml => yaml(document, 0, &mut out),
        Format::Toml => toml(document, "", true, &mut out),
        Format::Json => {
            json(document, 0, &mut out);
            out.push('\n');
        }
    }
    out
}

fn json(entries: &[Entry], depth: usize, out: &mut String) {
    let active: Vec<&Entry> = entries.iter().filter(|entry| entry.is_active).collect();
    if active.is_empty() {
        out.push_str("{}");
        return;
    }
    out.push_str("{\n");
    for (at, entry) in active.iter().enumerate() {
        out.push_str(&format!(
            "{}{}: ",
            "  ".repeat(depth + 1),
            quoted(entry.name)
        ));
        match &entry.value {
            Value::Object(fields) => json(fields, depth + 1, out),
            other => out.push_str(&inline(other)),
        }
        out.push_str(if at + 1 < active.len() { ",\n" } else { "\n" });
    }
    out.push_str(&format!("{}}}", "  ".repeat(depth)));
}

/// A value on a line of its own, as JSON, YAML and TOML write it.
fn inline(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text),
        Value::Flag(flag) => flag.to_string(),
        Value::Texts(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", texts.join(", "))
        }
        Value::Object(_) => "{}".to_owned(),
    }
}

fn yaml(entries: &[Entry], depth: usize, out: &mut String) {
    for entry in entries {
        let indent = "  ".repeat(depth);
        for line in entry.comment.lines() {
            out.push_str(&format!("{indent}# {line}\n"));
        }
        let mut text = String::new();
        match &entry.value {
            Value::Object(fields) if fields.is_empty() => {
                text.push_str(&format!("{indent}{}: {{}}\n", entry.name));
            }
            Value::Object(fields) => {
                text.push_str(&format!("{indent}{}:\n", entry.name));
                yaml(fields, depth + 1, &mut text);
            }
            Value::Texts(_) => text.push_str(&format!(
                "{indent}{}: {}\n",
                entry.name,
                inline(&entry.value)
            )),
            Value::Text(one) => text.push_str(&format!("{indent}{}: {}\n", entry.name, plain(one))),
            Value::Flag(flag) => text.push_str(&format!("{indent}{}: {flag}\n", entry.name)),
        }
        push(entry.is_active, &text, out);
    }
}

/// A text of YAML: without quotes where no reader can take it for something else.
fn plain(text: &str) -> String {
    const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_plain {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn toml(entries: &[Entry], path: &str, is_active: bool, out: &mut String) {
    let is_table = |entry: &&Entry| matches!(entry.value, Value::Object(_));
    // what stands behind the head of a table belongs to that
    for entry in entries.iter().filter(|entry| !is_table(entry)) {
        for line in entry.comment.lines() {
            out.push_str(&format!("# {line}\n"));
        }
        let line = format!("{} = {}\n", entry.name, inline(&entry.value));
        push(is_active && entry.is_active, &line, out);
    }
    let tables = entries.iter().filter(is_table).enumerate();
    for (at, entry) in tables {
        let Value::Object(fields) = &entry.value else {
            continue;
        };
        let is_first = at == 0 && entries.iter().all(|entry| is_table(&entry));
        if !is_first && !out.ends_with("\n\n") {
            out.push('\n');
        }
        let path = match path {
            "" => entry.name.to_owned(),
            path => format!("{path}.{}", entry.name),
        };
        let is_active = is_active && entry.is_active;
        for line in entry.comment.lines() {
            out.push_str(&format!("# {line}\n"));
        }
        // a table of nothing but tables needs no head of its own
        if fields.is_empty() || fields.iter().any(|field| !is_table(&field)) {
            push(is_active, &format!("[{path}]\n"), out);
        }
        toml(fields, &path, is_active, out);
    }
}

/// Adds lines, as comments where they are not in effect.
fn push(is_active: bool, lines: &str, out: &mut String) {
    for line in lines.lines() {
        let indent = line.len() - line.trim_start().len();
        let (indent, rest) = line.split_at_checked(indent).unwrap_or(("", line));
        match is_active || rest.starts_with('#') {
            true => out.push_str(&format!("{line}\n")),
            false => out.push_str(&format!("{indent}#{rest}\n")),
        }
    }
}
