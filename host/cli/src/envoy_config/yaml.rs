//! Texts in YAML.

/// A text as a double-quoted scalar on one line, in ASCII. Whatever is in it, it can be nothing but this scalar.
pub(super) fn scalar(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            // YAML knows no surrogate pairs: a character is one escape, whichever it is
            _ => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// A block moved to the right. Lines that are empty stay so.
pub(super) fn indented(columns: usize, block: &str) -> String {
    let margin = " ".repeat(columns);
    block
        .lines()
        .map(|line| match line {
            "" => "\n".to_owned(),
            line => format!("{margin}{line}\n"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_is_one_line_whatever_is_in_it() {
        assert_eq!(scalar("/etc/envoy"), "\"/etc/envoy\"");
        assert_eq!(
            scalar("a\": {b: c}\n- d\\"),
            "\"a\\\": {b: c}\\U0000000a- d\\\\\""
        );
        for hostile in [
            "",
            "no",
            "1e3",
            "~",
            "a: b # c",
            "*x",
            "%@`",
            "\u{2028}\u{85}\u{0}😀é\t",
        ] {
            let text = scalar(hostile);
            let inside = text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            assert!(
                inside.is_some_and(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b))),
                "{text}"
            );
        }
        assert_eq!(scalar("😀"), "\"\\U0001f600\"");
    }

    #[test]
    fn blocks_move_whole() {
        assert_eq!(indented(2, "a:\n- b\n\n- c"), "  a:\n  - b\n\n  - c\n");
    }
}
