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
