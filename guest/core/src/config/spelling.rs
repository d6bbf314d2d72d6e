//! Which name was meant by one that is not known, and what was meant by a name that another tool has.

/// Names of other tools and of other places, in plain letters, which mean the same; the place, by one of its fields; and what to
/// do. A place is empty where the same holds everywhere. Of two that fit the first counts.
const FOREIGN: &[(&[&str], &str, &str)] = &[
    // Microsoft.Identity.Web
    (
        &["clientcredentials"],
        "endpoint_version",
        "Microsoft.Identity.Web's ClientCredentials are `credential` here: an object of one kind, such as {\"certificate\": {\"name\": …}}, or a list of those",
    ),
    (
        &["clientcertificates"],
        "endpoint_version",
        "write `credential`, {\"certificate\": {\"name\": NAME}}, and the files under certificates.NAME",
    ),
    (
        &["instance"],
        "endpoint_version",
        "Microsoft.Identity.Web's Instance is `authority_host` here",
    ),
    (
        &["sourcetype"],
        "",
        "the kind of a credential is the name of its object here: {\"client_secret\": {…}}, {\"certificate\": {…}}",
    ),
    (
        &["certificatediskpath"],
        "",
        "the files of a certificate stand under certificates.NAME: `certificate_file`, and `password_file` for a PFX",
    ),
    (
        &["certificatepassword", "password"],
        "private_key_file",
        "name where the password is: `password_file`, or `password_env` with the name of a variable",
    ),
    (
        &["certificatepassword"],
        "",
        "the password of a key stands beside its file, under certificates.NAME: `password_file`, or `password_env` with the name of a variable",
    ),
    (
        &["sendcertificatechain"],
        "use_bound_credential",
        "did you mean `send_x5c`?",
    ),
    (
        &["bound"],
        "use_bound_credential",
        "did you mean `use_bound_credential`?",
    ),
    // of a certificate, at the wrong level
    (
        &["certificatefile"],
        "client_secret",
        "write {\"certificate\": {\"name\": NAME}} here, and the file under certificates.NAME.certificate_file",
    ),
    (
        &["privatekeyfile"],
        "client_secret",
        "write {\"private_key_jwt\": {\"name\": NAME}} here, and the file under certificates.NAME.private_key_file",
    ),
    (
        &["certificatefile", "path"],
        "use_bound_credential",
        "write the `name` of a certificate here, and the file under certificates.NAME.certificate_file",
    ),
    (
        &["privatekeyfile"],
        "use_bound_credential",
        "write the `name` of a certificate here, and the file under certificates.NAME.private_key_file",
    ),
    // of a credential, at the identity's level
    (
        &["clientsecret"],
        "endpoint_version",
        "a secret is a credential: {\"credential\": {\"client_secret\": {\"env\": NAME}}}",
    ),
    (
        &["clientassertion"],
        "endpoint_version",
        "an assertion is a credential: {\"credential\": {\"client_assertion\": {\"file\": PATH}}}",
    ),
    (
        &["federatedtokenfile", "tokenfilepath"],
        "endpoint_version",
        "a token file is a credential: {\"credential\": {\"federated_token_file\": {\"path\": PATH}}}",
    ),
    (
        &["certificate"],
        "endpoint_version",
        "a certificate is a credential: {\"credential\": {\"certificate\": {\"name\": NAME}}}, and its files stand under certificates.NAME",
    ),
    (
        &["managedidentity"],
        "endpoint_version",
        "a managed identity is a credential: {\"credential\": {\"managed_identity\": {}}}",
    ),
    (
        &["tokenfilepath", "file"],
        "token_proxy",
        "did you mean `path`?",
    ),
    // Spring, oauth2-proxy, Envoy and other clients of OAuth 2.0
    (
        &["tokenurl", "tokenuri"],
        "endpoint_version",
        "did you mean `token_endpoint`?",
    ),
    (
        &["issueruri", "issuerurl", "oidcissuerurl"],
        "endpoint_version",
        "did you mean `issuer`?",
    ),
    (
        &["audience"],
        "endpoint_version",
        "a parameter that the server wants of each request stands under `additional_parameters`; Entra ID takes `scopes`",
    ),
    // the cloud, by its name
    (
        &[
            "cloud",
            "environment",
            "azureenvironment",
            "azurecloudinstance",
        ],
        "endpoint_version",
        "a cloud is its host here: `authority_host`, https://login.microsoftonline.us for example",
    ),
    // AWS, Google Cloud
    (
        &["rolearn"],
        "",
        "the role is the one that this machine, pod or session has at AWS (AWS_ROLE_ARN, or that of its service account); leave it out",
    ),
    (
        &["webidentitytokenfile"],
        "",
        "AWS's token file is AWS_WEB_IDENTITY_TOKEN_FILE in the environment; leave it out",
    ),
    (
        &["serviceaccountemail"],
        "service_account",
        "did you mean `service_account`?",
    ),
    // of an identity, at the top
    (
        &["clientid", "tenantid", "credential"],
        "default_identity",
        "client, tenant and credential stand inside of an identity: {\"identities\": {\"app\": {…}}}",
    ),
    (
        &["azuread"],
        "default_identity",
        "this is a section of Microsoft.Identity.Web's settings, and no configuration of edgepass: {\"identities\": {\"app\": {\"tenant_id\": …, \"client_id\": …, \"credential\": {…}}}}",
    ),
];

/// What to do about a name that other tools or other places have.
pub(super) fn foreign(name: &str, known: &[&str]) -> Option<&'static str> {
    // one that is only spelt in another way is what it is
    if same(name, known).is_some() {
        return None;
    }
    let name = plain(name);
    let is_named = |foreign: &&str| name.iter().copied().eq(foreign.chars());
    let mut found = FOREIGN.iter().filter(|(names, place, _)| {
        (place.is_empty() || known.contains(place)) && names.iter().any(is_named)
    });
    found.next().map(|(.., hint)| *hint)
}

/// The known name that is the same but for its spelling.
pub(super) fn same<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = plain(name);
    known.iter().copied().find(|known| plain(known) == name)
}

/// Its letters without upper case and what is between words.
fn plain(text: &str) -> Vec<char> {
    let letters = text.chars().filter(|c| !matches!(c, '_' | '-' | ' ' | '.'));
    letters.flat_map(char::to_lowercase).collect()
}

/// The known name that is nearest, if one is near enough: a third of the letters may be wrong, or the name is part of
/// the other (`tenant` of `tenant_id`).
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
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
    fn every_field_is_known_again_in_the_spellings_of_other_tools() {
        use crate::config::document::{ConfigFile, ConsumersFile, HostFile, IdentityFile};
        use crate::config::parse::Object;
        use crate::config::{CertificateFiles, TokenStoreFile, envoy::EnvoyFile, http::HttpFile};
        use crate::credential::CredentialFile;

        let words = |name: &str| -> Vec<String> { name.split('_').map(str::to_owned).collect() };
        let capital = |word: &String| {
            word.get(..1).unwrap_or_default().to_uppercase() + word.get(1..).unwrap_or_default()
        };
        let mut tried = 0;
        for known in [
            ConfigFile::FIELDS,
            ConsumersFile::FIELDS,
            HostFile::FIELDS,
            TokenStoreFile::FIELDS,
            IdentityFile::FIELDS,
            CertificateFiles::FIELDS,
            CredentialFile::FIELDS,
            EnvoyFile::FIELDS,
            HttpFile::FIELDS,
        ] {
            for name in known.iter().filter(|name| !name.starts_with('$')) {
                let words = words(name);
                let pascal: String = words.iter().map(capital).collect();
                let camel = pascal.get(..1).unwrap_or_default().to_lowercase()
                    + pascal.get(1..).unwrap_or_default();
                for written in [
                    &pascal,
                    &camel,
                    &words.join("-"),
                    &words.join(""),
                    &name.to_uppercase(),
                ] {
                    assert_eq!(foreign(written, known), None, "{written}");
                    assert_eq!(nearest(written, known), Some(*name), "{written}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 200, "{tried}");
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
