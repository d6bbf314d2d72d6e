//! Which name was meant by one that is not known.

/// The known name that is nearest, if one is near enough: a third of the letters may be wrong, or the name is part of
/// the other (`tenant` of `tenant_id`).
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| -> Vec<char> {
        let letters = text.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
        letters.flat_map(char::to_lowercase).collect()
    };
    let name = plain(name);
    let rate = |known: &&'k str| {
        let letters = plain(known);
        let distance = distance(&name, &letters);
        let is_near = distance * 3 <= name.len().max(letters.len());
        let is_part = name.len() > 2 && (letters.starts_with(&name) || letters.ends_with(&name));
        (is_near || is_part).then_some((distance, *known))
    };
    let mut near: Vec<_> = known.iter().filter_map(rate).collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.first().map(|(_, known)| *known)
}

/// Letters to change, add, leave out, or to swap with their neighbour (optimal string alignment), row by row.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &other) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&above, j) + usize::from(letter != other);
            let mut least = changed.min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let is_swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(&other) && b.get(j - 1) == Some(&letter);
            if is_swapped {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &[
        "tenant_id",
        "client_id",
        "authority_host",
        "authority_hosts",
        "endpoint_version",
        "token_endpoint",
        "mtls_token_endpoint",
        "additionally_allowed_tenants",
        "scopes",
        "credential",
        "ca_file",
    ];

    #[test]
    fn what_was_meant() {
        for (written, meant) in [
            ("tenant", Some("tenant_id")),
            ("tenantId", Some("tenant_id")),
            ("tenant-id", Some("tenant_id")),
            ("tennat_id", Some("tenant_id")),
            ("clientid", Some("client_id")),
            ("authority", Some("authority_host")),
            ("authorityHost", Some("authority_host")),
            ("scope", Some("scopes")),
            ("credentials", Some("credential")),
            ("Credential", Some("credential")),
            ("CA_FILE", Some("ca_file")),
            ("token_url", None),
            ("x", None),
            ("", None),
            ("a", None),
            ("something_else_entirely", None),
        ] {
            assert_eq!(nearest(written, KNOWN), meant, "{written}");
        }
        assert_eq!(nearest("anything", &[]), None);
    }

    #[test]
    fn distances() {
        let between = |a: &str, b: &str| {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            distance(&letters(a), &letters(b))
        };
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abd", 1),
            ("abc", "ab", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                (between(a, b), between(b, a)),
                (expected, expected),
                "{a} {b}"
            );
        }
    }
}
