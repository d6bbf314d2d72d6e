//! Places of settings in a configuration, as its errors name them: `identities.app.credential[0].certificate.name`.

/// Whether a place is that one, or inside of it.
pub fn is_within(place: &str, around: &str) -> bool {
    let rest = place.strip_prefix(around);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// What is known of a place: of those that are the same or around it, that of the innermost.
pub fn innermost<'k>(known: &'k [(String, String)], place: &str) -> Option<&'k str> {
    let around = known.iter().filter(|(known, _)| is_within(place, known));
    let innermost = around.max_by_key(|(known, _)| known.len());
    innermost.map(|(_, of)| of.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_within_itself_and_whatever_is_around_it() {
        for (place, around, is_so) in [
            ("http", "http", true),
            ("http.rules[1].match", "http", true),
            ("http.rules[1].match", "http.rules", true),
            ("http.rules[1].match", "http.rules[1]", true),
            ("http.rules[10].match", "http.rules[1]", false),
            ("https", "http", false),
            ("http", "http.rules", false),
            ("identities.app2", "identities.app", false),
        ] {
            assert_eq!(is_within(place, around), is_so, "{place} in {around}");
        }
    }

    #[test]
    fn the_innermost_place_is_the_one_that_counts() {
        let known = [("http", "1"), ("http.rules[0]", "2"), ("http.rules", "3")];
        let known = known.map(|(place, line)| (place.to_owned(), line.to_owned()));
        for (place, line) in [
            ("http.rules[0].scopes[1]", Some("2")),
            ("http.rules[2]", Some("3")),
            ("http.other", Some("1")),
            ("host", None),
        ] {
            assert_eq!(innermost(&known, place), line, "{place}");
        }
    }
}
