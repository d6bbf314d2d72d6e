//! What a configuration to begin with consists of: fields, and what is said of each.

/// A field and what is said of it.
pub(super) struct Entry {
    pub(super) comment: String,
    pub(super) name: &'static str,
    pub(super) value: Value,
    /// One that is not is a comment itself, to be taken up by hand.
    pub(super) is_active: bool,
}

pub(super) enum Value {
    Text(String),
    Flag(bool),
    Texts(Vec<String>),
    Object(Vec<Entry>),
}

pub(super) fn entry(comment: &str, name: &'static str, value: Value) -> Entry {
    Entry {
        comment: comment.to_owned(),
        name,
        value,
        is_active: true,
    }
}

pub(super) fn text(comment: &str, name: &'static str, value: &str) -> Entry {
    entry(comment, name, Value::Text(value.to_owned()))
}

pub(super) fn object(comment: &str, name: &'static str, fields: Vec<Entry>) -> Entry {
    entry(comment, name, Value::Object(fields))
}

/// Not in effect.
pub(super) fn aside(entry: Entry) -> Entry {
    Entry {
        is_active: false,
        ..entry
    }
}
