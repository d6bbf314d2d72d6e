//! Which characters may be printed, and text of those alone. Secrets in it are not looked for here.

/// Whether a character may be printed: it neither moves the cursor nor hides, nor changes the direction of what comes
/// after it.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Text that is safe to print on one line, without what may not be printed and not longer than `max_chars`.
pub fn printable(text: &str, max_chars: usize) -> String {
    let mut kept = text.chars().filter(|c| is_printable(*c));
    let mut out: String = kept.by_ref().take(max_chars).collect();
    if kept.next().is_some() {
        out.push('…');
    }
    out
}

/// The text with a space for each control character and without what else is not printed.
pub(crate) fn visible(text: &str) -> String {
    let visible = text.chars().filter_map(|c| match c {
        c if c.is_control() => Some(' '),
        c => is_printable(c).then_some(c),
    });
    visible.collect()
}
/// A name that somebody has written, for an error about it: what stands in a wrong place may be a secret, and is repeated only
/// where it looks like a name. Of a field without the space behind its colon, `secret:…`, that is what stands before.
pub(crate) fn shown_name(name: &str) -> &str {
    /// Bytes of a name that people have given.
    const MOST: usize = 40;
    /// From so many bytes on, one that mixes digits and letters of both cases looks like a secret.
    const RANDOM: usize = 12;
    /// From so many on, one of digits and letters alone does: a hexadecimal key.
    const KEY: usize = 20;

    let name = name.split([':', '=']).next().unwrap_or_default();
    let has = |test: fn(&u8) -> bool| name.as_bytes().iter().any(test);
    let is_mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    let is_random =
        name.len() >= RANDOM && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
    let is_key = name.len() >= KEY && name.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_name = name.chars().all(is_printable) && name.len() <= MOST;
    match is_name && !(is_mixed && (is_random || is_key)) {
        true => name,
        false => "(not repeated)",
    }
}

#[cfg(test)]
mod tests {
    use super::shown_name;

    #[test]
    fn a_name_is_shown_where_it_looks_like_one() {
        const HIDDEN: &str = "(not repeated)";
        for (name, shown) in [
            ("tenent_id", "tenent_id"),
            ("clientId", "clientId"),
            ("graph-2024", "graph-2024"),
            (
                "11111111-2222-3333-4444-555555555555",
                "11111111-2222-3333-4444-555555555555",
            ),
            (
                "client_secret:Zk8Q~4cVtYpLm2nBxW.r7JdHs0Gf5uEa1oIbTq",
                "client_secret",
            ),
            ("value=Zk8Q~4cVtYpLm2nBxW.r7JdHs0Gf5uEa1oIbTq", "value"),
            ("Zk8Q~4cVtYpLm2nBxW.r7JdHs0Gf5uEa1oIbTq", HIDDEN),
            (
                "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJhdWQiOiJ4In0.c2ln",
                HIDDEN,
            ),
            ("f16898f7d2c4417b9e0a3b5c6d7e8f90", HIDDEN),
            ("F16898F7D2C4417B9E0A3B5C6D7E8F90AABBCCDD", HIDDEN),
            ("a\u{202e}b", HIDDEN),
        ] {
            assert_eq!(shown_name(name), shown, "{name}");
        }
    }
}
