//! Texts that stand for a value which nobody has put there. A secret may be any text, so that only what is whole such a place
//! is one here; whoever asks is to warn and not to refuse.

/// Longer than a place for a value is.
const MAX_CHARS: usize = 200;

/// Words that documentation has in the place of a secret, letters alone.
const WORDS: [&str; 3] = ["changeme", "replaceme", "insertsecrethere"];

/// Whether the whole text is the place for a value: of shells, Kubernetes, Helm, Azure Pipelines, Octopus, Windows and
/// documentation.
pub fn is_place(text: &str) -> bool {
    let text = text.trim();
    if text.chars().count() > MAX_CHARS {
        return false;
    }
    let between = |open: &str, close: &str| {
        let inside = text.strip_prefix(open)?.strip_suffix(close)?;
        let inside = inside.trim();
        inside
            .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            .then_some(inside)
    };
    let is_name = |inside: &str| {
        inside
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.-:".contains(c))
    };
    let is_said = |inside: &str| {
        inside
            .chars()
            .all(|c| c.is_alphanumeric() || " _-.:,/'()".contains(c))
    };
    // `${NAME:-default}` too, and what Helm's `{{ … }}` has of quotes and pipes
    let is_expression = |inside: &str| !inside.contains(['{', '}']);
    between("${", "}").is_some_and(is_expression)
        || between("{{", "}}").is_some_and(is_expression)
        || text.strip_prefix("{{").is_some_and(|rest| rest.trim_start().starts_with('.') && rest.ends_with("}}"))
        || between("$(", ")").is_some_and(is_name)
        || between("#{", "}#").is_some_and(is_name)
        || between("__", "__").is_some_and(|inside| is_name(inside) && inside.chars().all(|c| !c.is_ascii_lowercase()))
        || between("{", "}").is_some_and(is_said)
        || between("<", ">").is_some_and(is_said)
        || between("%", "%").is_some_and(is_name)
        // in these brackets a single word may be anything
        || between("[", "]").is_some_and(|inside| is_said(inside) && inside.contains(' '))
        || is_variable(text)
        || is_words(text)
}

/// Whether quotes are around it that only a shell takes off.
pub fn is_in_quotes(text: &str) -> bool {
    let text = text.trim();
    let mut quotes = ['"', '\''].into_iter();
    quotes.any(|quote| {
        let inside = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        inside.is_some_and(|inside| !inside.is_empty() && !inside.contains(quote))
    })
}

/// `$AZURE_CLIENT_SECRET`, `$env:AZURE_CLIENT_SECRET`.
fn is_variable(text: &str) -> bool {
    let Some(name) = text.strip_prefix('$') else {
        return false;
    };
    let name = name.strip_prefix("env:").unwrap_or(name);
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.contains('_')
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(is_part)
}

/// `your-client-secret`, `Your AzureAD Secret`, `changeme`.
fn is_words(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphabetic() || " _-".contains(c);
    if !text.chars().all(is_part) {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split([' ', '_', '-']).filter(|word| !word.is_empty());
    let plain: String = words.clone().collect();
    WORDS.contains(&plain.as_str())
        || words.next() == Some("your") && words.any(|word| ["secret", "password"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::{is_in_quotes, is_place};

    #[test]
    fn only_what_is_whole_a_place_is_one() {
        for place in [
            "${AZURE_CLIENT_SECRET}",
            "${AZURE_CLIENT_SECRET:-}",
            "$(AZURE_CLIENT_SECRET)",
            "$(System.AccessToken)",
            "$AZURE_CLIENT_SECRET",
            "$env:AZURE_CLIENT_SECRET",
            "{{ .Values.clientSecret }}",
            "{{ client_secret | quote }}",
            "{SECRET_VALUE}",
            "{your secret}",
            "<client-secret>",
            "<your client secret>",
            " <YOUR_SECRET> ",
            "#{ClientSecret}#",
            "%CLIENT_SECRET%",
            "__CLIENT_SECRET__",
            "[Copy the client secret added to the app from the Azure portal]",
            "[Enter here a client secret for your application]",
            "your-client-secret",
            "YOUR_CLIENT_SECRET",
            "Your AzureAD Secret",
            "changeme",
            "CHANGE_ME",
            "replace-me",
        ] {
            assert!(is_place(place), "{place}");
        }
        // secrets of Entra and of other servers, with such characters within
        for secret in [
            "",
            "hunter2",
            "a.B8Q~xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "a<b>c",
            "<",
            "<>",
            "<b~Q8>",
            "x${A}",
            "${A}x",
            "${}",
            "{}",
            "{\"a\": 1}",
            "{a=b}",
            "[word]",
            "$1$salt$hash",
            "$ecret",
            "$ECRET",
            "%20%",
            "100%",
            "%41%42%",
            "(secret)",
            "__secret__",
            "yoursecret",
            "your cat is my secret's",
            "s3cr3t-your-secret",
            "secret",
        ] {
            assert!(!is_place(secret), "{secret}");
        }
        let long = format!("<{}>", "a".repeat(300));
        assert!(!is_place(&long));
    }

    #[test]
    fn quotes_are_around_all_of_it() {
        for text in ["\"hunter2\"", "'hunter2'", " \"a'b\"\n"] {
            assert!(is_in_quotes(text), "{text}");
        }
        for text in ["", "\"", "\"\"", "'a", "a'", "'a\"", "'a'b'", "hunter2"] {
            assert!(!is_in_quotes(text), "{text}");
        }
    }
}
