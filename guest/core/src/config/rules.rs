//! What single texts must look like. Each rule answers with the reason; the caller knows which setting it was.

use crate::refusal::Refusal;

/// A tenant, characters: a domain name is the longest form.
const MAX_TENANT_CHARS: usize = 253;

/// A client ID, characters. Entra's are 36; other servers use URLs.
const MAX_CLIENT_ID_CHARS: usize = 512;

/// A name in the configuration, characters: long enough for generated ones, short enough for a log line.
const MAX_NAME_CHARS: usize = 128;

/// A path, characters (`PATH_MAX` of Linux).
const MAX_PATH_CHARS: usize = 4096;

/// Scopes and the like, characters.
const MAX_SCOPE_CHARS: usize = 2048;

/// The suffix that asks for everything an app was granted at a resource.
pub(crate) const DEFAULT_SCOPE: &str = "/.default";

/// What templates and shells leave in a value: quotes that only a shell takes off, and places that nothing has filled
/// in. The value is not repeated.
pub(crate) fn filled_in(text: &str) -> Result<(), Refusal> {
    #[cfg(feature = "key-vault")]
    no_reference_to_a_vault(text)?;
    const QUOTES: [char; 7] = [
        '"', '\'', '`', '\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}',
    ];
    /// How a place to fill in begins and ends: of shells, Kubernetes, Helm, Azure Pipelines, documentation, Windows.
    const PLACES: [(char, char); 4] = [('{', '}'), ('(', ')'), ('<', '>'), ('%', '%')];

    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        return Err(Refusal::new(
            "is in quotes",
            "write it without: outside of a shell, in an env file for example, they are part of the value",
        ));
    }
    let begins_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '{' | '<' | ' ');
    let is_place = |&(open, close): &(char, char)| {
        let Some((before, rest)) = text.split_once(open) else {
            return false;
        };
        // brackets alone mean nothing: `$(NAME)`; what is percent-encoded neither: `%NAME%` alone or before a path
        (open != '(' || before.ends_with('$'))
            && (open != '%' || before.is_empty())
            && rest.starts_with(begins_a_name)
            && rest.contains(close)
    };
    // `$NAME`
    let is_variable = |word: &str| {
        word.strip_prefix('$')
            .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
    };
    let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '$' | '_')));
    if PLACES.iter().any(is_place) || words.any(is_variable) {
        return Err(Refusal::new(
            "was never filled in: the place for the value is still there",
            "write the value itself, and see to it that what should replace it (shell, Helm, envsubst) does",
        ));
    }
    Ok(())
}

/// That App Service has put the secret in the place of a reference to it. Where it may not read the vault it leaves that.
#[cfg(feature = "every-credential")]
pub(crate) fn no_reference_to_a_vault(text: &str) -> Result<(), Refusal> {
    if !text.trim_start().starts_with("@Microsoft.KeyVault(") {
        return Ok(());
    }
    Err(Refusal::new(
        "is a reference to a secret in a Key Vault, which nothing has put in its place",
        "let the app's identity read the vault, or give the secret by a variable or file",
    ))
}

/// That no blank is around it, which nobody sees.
#[cfg(feature = "key-vault")]
fn no_blank_around(text: &str) -> Result<(), Refusal> {
    match text.trim() == text {
        true => Ok(()),
        false => Err(Refusal::new(
            "has a blank or a line break at its beginning or end",
            "take it away: what was copied, and `echo` in a shell, bring one along",
        )),
    }
}

/// A GUID or a domain, and not one of the names that mean many tenants.
pub(crate) fn tenant(tenant: &str) -> Result<(), Refusal> {
    const FORM: &str = "write the tenant's GUID or one of its domains";
    bounded(tenant, MAX_TENANT_CHARS, FORM)?;
    filled_in(tenant)?;
    #[cfg(feature = "key-vault")]
    no_blank_around(tenant)?;
    if !tenant
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
    {
        return Err(Refusal::new(
            "has characters besides letters, digits, `.` and `-`",
            FORM,
        ));
    }
    if tenant.split('.').any(str::is_empty) {
        return Err(Refusal::new(
            "is not a domain name: it has two dots in a row, or one at an end",
            FORM,
        ));
    }
    if is_many_tenants(tenant) {
        return Err(Refusal::new(
            format!("is `{tenant}`, but an app gets its tokens from one tenant (AADSTS9001023)"),
            FORM,
        ));
    }
    Ok(())
}

/// Whether it is one of Entra ID's names for many tenants.
pub(crate) fn is_many_tenants(tenant: &str) -> bool {
    ["common", "organizations", "consumers"]
        .iter()
        .any(|many| tenant.eq_ignore_ascii_case(many))
}

/// A region of Azure becomes a label of a host name. The SDKs' words for finding it out mean nothing here: it takes a
/// request to the machine's metadata service before each first one.
#[cfg(feature = "every-credential")]
pub(crate) fn region(region: &str) -> Result<(), Refusal> {
    const FORM: &str = "write the region's name as westus2";
    const MAX_REGION_CHARS: usize = 63;
    bounded(region, MAX_REGION_CHARS, FORM)?;
    filled_in(region)?;
    #[cfg(feature = "key-vault")]
    no_blank_around(region)?;
    if !region.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Refusal::new(
            "has characters besides letters and digits",
            FORM,
        ));
    }
    let asks = |word: &str| region.eq_ignore_ascii_case(word);
    if asks("tryautodetect") || asks("autodiscoverregion") || asks("true") {
        return Err(Refusal::new(
            "asks to find the region out, which is not done here",
            FORM,
        ));
    }
    Ok(())
}

/// A policy of Azure AD B2C becomes a segment of a path.
#[cfg(feature = "every-credential")]
pub(crate) fn policy(policy: &str) -> Result<(), Refusal> {
    const FORM: &str = "write its name as B2C_1_signin";
    bounded(policy, MAX_NAME_CHARS, FORM)?;
    filled_in(policy)?;
    #[cfg(feature = "key-vault")]
    no_blank_around(policy)?;
    if !policy
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    {
        return Err(Refusal::new(
            "has characters besides letters, digits, `_` and `-`",
            FORM,
        ));
    }
    Ok(())
}

/// RFC 6749 appendix A.1 without the space, which is always a mistake.
pub(crate) fn client_id(client_id: &str) -> Result<(), Refusal> {
    const FORM: &str =
        "write the application (client) ID as the portal shows it, without quotes and line breaks";
    bounded(client_id, MAX_CLIENT_ID_CHARS, FORM)?;
    filled_in(client_id)?;
    #[cfg(feature = "key-vault")]
    no_blank_around(client_id)?;
    if !client_id.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Refusal::new(
            "has a space, control or non-ASCII character",
            FORM,
        ));
    }
    Ok(())
}

/// A client ID is sent as it is and comes back in errors, so a secret in its place would be shown. Entra ID's secrets have a
/// `~`, which none of its client IDs has.
pub(crate) fn no_secret_of_entra(client_id: &str) -> Result<(), Refusal> {
    if client_id.contains('~') {
        return Err(Refusal::new(
            "looks like a client secret",
            "write the application (client) ID there, and the secret in its place: the two may be swapped",
        ));
    }
    Ok(())
}

/// Names of identities and certificates.
pub(crate) fn name(name: &str) -> Result<(), Refusal> {
    const FORM: &str = "use letters, digits, `.`, `_` and `-`";
    bounded(name, MAX_NAME_CHARS, FORM)?;
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    {
        return Err(Refusal::new("has a name that is not usable", FORM));
    }
    Ok(())
}

/// The process has no working directory that means anything to a sandbox, so paths are absolute. What is refused is
/// not repeated: it may be a secret in the place of the file that holds it.
pub(crate) fn path(path: &str) -> Result<(), Refusal> {
    const FORM: &str = "write the absolute path of the file";

    // what is in a file, in the place of its path; the longest of them are longer than a path
    let begins = |start: &str| path.trim_start().starts_with(start);
    let is_json = begins("{") && path.contains('"');
    if is_json || begins("eyJ") || begins("-----BEGIN") {
        return Err(Refusal::new("is what a file holds, and not its path", FORM));
    }
    bounded(path, MAX_PATH_CHARS, FORM)?;
    filled_in(path)?;
    if path.chars().any(char::is_control) {
        // `\t` and `\n` are characters of JSON where nobody has written them as such
        let is_windows = cfg!(not(target_family = "wasm")) && path.get(1..2) == Some(":");
        return Err(Refusal::new(
            "has a control character",
            match is_windows {
                true => "write each backslash twice, or use slashes (C:/tokens/token)",
                false => "look for a line break at its end",
            },
        ));
    }
    if !is_absolute(path) {
        return Err(Refusal::new("is a relative path, or none at all", FORM));
    }
    Ok(())
}

/// A GUID as Azure writes it.
#[cfg(feature = "every-credential")]
pub(crate) fn guid(id: &str) -> Result<(), Refusal> {
    if crate::authority::is_guid(id) {
        return Ok(());
    }
    Err(Refusal::new(
        "is not a GUID",
        "write it as 66666666-7777-8888-9999-000000000000, without braces",
    ))
}

/// A region of AWS becomes a part of a host name.
#[cfg(feature = "every-credential")]
pub(crate) fn aws_region(region: &str) -> Result<(), Refusal> {
    const MAX_REGION_CHARS: usize = 32;
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty()
        && region.len() <= MAX_REGION_CHARS
        && region.bytes().all(is_part)
        && !region.starts_with('-')
        && !region.ends_with('-')
    {
        return Ok(());
    }
    Err(Refusal::new(
        "is not a region of AWS",
        "write it as eu-central-1",
    ))
}

/// Whether that is the name of a role (letters, digits and `+=,.@_-`): it becomes a part of a path.
#[cfg(feature = "every-credential")]
pub(crate) fn aws_role(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    !name.is_empty() && name != "." && name != ".." && name.bytes().all(is_part)
}

/// A Unix socket by its URI (SPIFFE Workload Endpoint section 4).
#[cfg(feature = "every-credential")]
pub(crate) fn unix_socket(uri: &str) -> Result<(), Refusal> {
    const FORM: &str = "write it as unix:///run/spire/sockets/agent.sock";
    /// What the kernel takes, without the zero at its end (`sun_path`).
    const MAX_SOCKET_CHARS: usize = 107;
    let Some(rest) = uri.strip_prefix("unix:") else {
        return Err(Refusal::new("is not unix: and an absolute path", FORM));
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if !path.starts_with('/') || path.contains(['?', '#', '%']) || path.len() > MAX_SOCKET_CHARS {
        return Err(Refusal::new("is not unix: and an absolute path", FORM));
    }
    self::path(path)
}

/// The path in such an address.
#[cfg(feature = "every-credential")]
pub(crate) fn socket_path(uri: &str) -> String {
    let path = uri.trim_start_matches("unix:");
    format!("/{}", path.trim_start_matches('/'))
}

/// A SPIFFE ID (SPIFFE-ID section 2).
#[cfg(feature = "every-credential")]
pub(crate) fn spiffe_id(id: &str) -> Result<(), Refusal> {
    /// SPIFFE-ID section 2.3.
    const MAX_ID_CHARS: usize = 2048;
    audience(id)?;
    if !id.starts_with("spiffe://") || id.len() > MAX_ID_CHARS {
        return Err(Refusal::new(
            "is not a SPIFFE ID",
            "write it as spiffe://trust-domain/path",
        ));
    }
    Ok(())
}

/// A name of a server for TLS (RFC 6066 section 3): a DNS name, no address and no port.
#[cfg(feature = "every-credential")]
pub(crate) fn server_name(name: &str) -> Result<(), Refusal> {
    const FORM: &str = "write the DNS name alone, such as proxy.example, without https:// and port";
    filled_in(name)?;
    let is_host = crate::authority::canonical_authority(name, 0).is_ok();
    if !is_host || name.contains([':', '[']) || name.parse::<std::net::IpAddr>().is_ok() {
        return Err(Refusal::new("is not a DNS name", FORM));
    }
    Ok(())
}

/// `client_assertion_type` is an absolute URI (RFC 7521 section 4.2).
pub(crate) fn assertion_type(uri: &str) -> Result<(), Refusal> {
    const FORM: &str = "leave it out for urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    absolute_uri(uri, FORM)
}

/// A resource is an absolute URI without a fragment (RFC 8707 section 2).
#[cfg(feature = "every-credential")]
pub(crate) fn resource(uri: &str) -> Result<(), Refusal> {
    const FORM: &str = "write it as https://api.example, as the server knows the resource";
    absolute_uri(uri, FORM)?;
    filled_in(uri)?;
    if uri.contains('#') {
        return Err(Refusal::new(
            "has a fragment, which a resource may not have (RFC 8707 section 2)",
            "leave out the `#` and what follows",
        ));
    }
    Ok(())
}

/// The name of a parameter (RFC 6749 section 8.2).
#[cfg(feature = "every-credential")]
pub(crate) fn parameter_name(name: &str) -> Result<(), Refusal> {
    self::name(name)
}

/// The value of a parameter: any text. One without a value counts as left out (RFC 6749 section 3.2), which is written by
/// leaving it out.
#[cfg(feature = "every-credential")]
pub(crate) fn parameter(value: &str) -> Result<(), Refusal> {
    const FORM: &str = "write what the server's documentation asks for, or leave the parameter out";
    bounded(value, MAX_SCOPE_CHARS, FORM)?;
    filled_in(value)?;
    if value.chars().any(char::is_control) {
        return Err(Refusal::new(
            "has a control character",
            "look for a line break at its end",
        ));
    }
    Ok(())
}

fn absolute_uri(uri: &str, form: &'static str) -> Result<(), Refusal> {
    bounded(uri, MAX_SCOPE_CHARS, form)?;
    match is_absolute_uri(uri) {
        true => Ok(()),
        false => Err(Refusal::new("is not an absolute URI", form)),
    }
}

/// Whether it is a scheme, and something after it of characters that a URI has (RFC 3986 sections 2 and 4.3). A fragment is
/// looked for by who takes none.
pub fn is_absolute_uri(uri: &str) -> bool {
    let scheme_ends = uri.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && !rest.is_empty()
    });
    scheme_ends
        && uri
            .chars()
            .all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c))
}

/// An audience may be any text that JSON and a log line take.
pub(crate) fn audience(audience: &str) -> Result<(), Refusal> {
    const FORM: &str = "leave it out, or write the audience that the server expects";
    bounded(audience, MAX_SCOPE_CHARS, FORM)?;
    filled_in(audience)?;
    if audience
        .chars()
        .any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(Refusal::new("has a space or control character", FORM));
    }
    Ok(())
}

/// A value of `xms_cc`.
#[cfg(feature = "every-credential")]
pub(crate) fn capability(capability: &str) -> Result<(), Refusal> {
    const FORM: &str = "write `cp1`";
    bounded(capability, MAX_SCOPE_CHARS, FORM)?;
    if capability.bytes().any(|b| !b.is_ascii_alphanumeric()) {
        return Err(Refusal::new(
            "has other characters than letters and digits",
            FORM,
        ));
    }
    Ok(())
}

/// `kid` (RFC 7515 section 4.1.4): any text, so only what is no name at all is refused.
#[cfg(feature = "every-credential")]
pub(crate) fn key_id(kid: &str) -> Result<(), Refusal> {
    const FORM: &str = "write the kid of the registered key, or leave it out";
    bounded(kid, MAX_NAME_CHARS, FORM)?;
    filled_in(kid)?;
    if kid.chars().any(char::is_control) {
        return Err(Refusal::new("has a control character", FORM));
    }
    Ok(())
}

/// Scopes that ask for something about the user, and not for a token of a resource (OpenID Connect Core sections 3.1.2.1,
/// 5.4 and 11).
pub(crate) const OIDC_SCOPES: [&str; 6] = [
    "openid",
    "profile",
    "email",
    "address",
    "phone",
    "offline_access",
];

/// Whether a scope says of which resource it is, as the v1 endpoint of Entra ID takes resources: by a URI, or the GUID of an
/// application. The name of a permission alone (`user_impersonation`) does not.
pub(crate) fn names_resource(scope: &str) -> bool {
    scope.contains([':', '/']) || crate::authority::is_guid(scope)
}

/// One scope token, Entra ID's or any other server's: `1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 section 3.3). It is
/// encoded wherever it is sent.
pub(crate) fn scope(scope: &str) -> Result<(), Refusal> {
    const FORM: &str = "write it as the server's documentation does, for Entra ID <resource>/.default, such as \
                        https://graph.microsoft.com/.default";
    bounded(scope, MAX_SCOPE_CHARS, FORM)?;
    filled_in(scope)?;
    if scope.contains(' ') {
        return Err(Refusal::new(
            "has a blank in it",
            "give each scope by itself",
        ));
    }
    if !scope
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    {
        return Err(Refusal::new(
            "has a character that a scope may not have (RFC 6749 section 3.3)",
            FORM,
        ));
    }
    Ok(())
}

fn bounded(text: &str, max_chars: usize, form: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::new("is empty", form));
    }
    if text.len() > max_chars {
        return Err(Refusal::new(
            format!("is longer than {max_chars} characters"),
            form,
        ));
    }
    Ok(())
}

fn is_absolute(path: &str) -> bool {
    let drive =
        matches!(path.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    path.starts_with('/') || path.starts_with("\\\\") || drive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: fn(&str) -> Result<(), Refusal>, good: &[&str], bad: &[(&str, &str)]) {
        for text in good {
            assert_eq!(rule(text), Ok(()), "{text}");
        }
        for (text, expected) in bad {
            let refusal = rule(text).unwrap_err();
            assert!(
                refusal.message.contains(expected),
                "{text:?}: {}",
                refusal.message
            );
        }
    }

    #[test]
    fn what_was_never_filled_in_is_refused_and_not_repeated() {
        type Rule = fn(&str) -> Result<(), Refusal>;
        let rules = [
            (tenant as Rule, "hunter2"),
            (client_id, "hunter2"),
            (path, "/hunter2"),
            (audience, "api://hunter2"),
            (scope, "api://hunter2/.default"),
        ];
        for (rule, good) in rules {
            rule(good).unwrap();
            for (left, right) in [
                ("\"", "\""),
                ("'", "'"),
                ("\"", ""),
                ("", "'"),
                ("`", "`"),
                ("\u{201c}", "\u{201d}"),
            ] {
                let refusal = rule(&format!("{left}{good}{right}")).unwrap_err();
                assert_eq!(refusal.message, "is in quotes", "{left}{good}{right}");
            }
            for place in [
                "$CLIENT_ID",
                "${CLIENT_ID}",
                "${CLIENT_ID:-x}",
                "$(CLIENT_ID)",
                "$env:CLIENT_ID",
                "{{ .Values.clientId }}",
                "{{clientId}}",
                "{66666666-7777-8888-9999-000000000000}",
                "#{ClientId}#",
                "<client-id>",
                "<your client id>",
                "<<client_id>>",
                "%CLIENT_ID%",
            ] {
                for text in [place.to_owned(), good.replace("hunter2", place)] {
                    if text.starts_with('%') || !place.starts_with('%') {
                        let refusal = rule(&text).unwrap_err();
                        assert!(
                            refusal.message.starts_with("was never filled in"),
                            "{text}: {}",
                            refusal.message
                        );
                        assert!(!format!("{refusal:?}").contains("lient"), "{refusal:?}");
                    }
                }
            }
        }
        for odd in [
            "a$",
            "$",
            "$1",
            "a$b",
            "{}",
            "<>",
            "f(x)",
            "100%",
            "a%20b%20c",
            "a<b",
            "{",
            "it's",
            "a\"b",
        ] {
            assert_eq!(filled_in(odd), Ok(()), "{odd}");
        }
    }

    #[test]
    fn tenants() {
        check(
            tenant,
            &[
                "11111111-2222-3333-4444-555555555555",
                "contoso.onmicrosoft.com",
                "contoso",
            ],
            &[
                ("", "empty"),
                ("..", "not a domain name"),
                (".", "not a domain name"),
                ("a..b", "not a domain name"),
                ("contoso.com.", "not a domain name"),
                ("a/b", "besides letters"),
                ("a\\b", "besides letters"),
                ("a%2fb", "besides letters"),
                ("a b", "besides letters"),
                ("tenant\n", "a line break at its"),
                (" tenant", "has a blank"),
                ("ten ant", "besides letters"),
                ("münchen.example", "besides letters"),
                ("common", "AADSTS9001023"),
                ("Organizations", "AADSTS9001023"),
                ("consumers", "AADSTS9001023"),
                (&"a".repeat(254), "longer than 253"),
            ],
        );
    }

    #[test]
    fn client_ids() {
        check(
            client_id,
            &[
                "66666666-7777-8888-9999-000000000000",
                "https://client.example/id",
                "spiffe://x/y",
            ],
            &[
                ("", "empty"),
                ("a b", "space"),
                ("id\n", "a line break at its"),
                ("i\nd", "control"),
                ("idé", "non-ASCII"),
                (&"a".repeat(513), "longer than 512"),
            ],
        );
    }

    #[test]
    fn secrets_of_entra_are_no_client_ids() {
        check(
            no_secret_of_entra,
            &["66666666-7777-8888-9999-000000000000", "app-1"],
            &[("abc8Q~hunter2", "client secret")],
        );
    }

    #[test]
    fn names() {
        check(
            name,
            &["app", "app.prod_2-b"],
            &[("", "empty"), ("a/b", "not usable"), ("a b", "not usable")],
        );
    }

    #[test]
    fn paths() {
        check(
            path,
            &[
                "/var/run/token",
                "C:\\token",
                "c:/token",
                "\\\\server\\share\\token",
            ],
            &[
                ("", "empty"),
                ("token", "relative path"),
                ("./token", "relative"),
                ("C:token", "relative"),
                ("/token\n", "control character"),
                ("C:\token", "control character"),
                ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "what a file holds"),
                (
                    &format!("eyJ{}", "a".repeat(MAX_PATH_CHARS)),
                    "what a file holds",
                ),
                ("\n{\"kty\": \"RSA\"}", "what a file holds"),
                ("-----BEGIN CERTIFICATE-----\nMII", "what a file holds"),
            ],
        );
        for (text, hint) in [
            ("C:\token", "each backslash twice"),
            ("/a\tb", "line break"),
        ] {
            assert!(path(text).unwrap_err().hint.contains(hint), "{text:?}");
        }
    }

    #[test]
    fn assertion_types() {
        check(
            assertion_type,
            &[
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "https://example.test/type",
            ],
            &[
                ("", "empty"),
                ("jwt-bearer", "not an absolute URI"),
                ("urn:", "not an absolute URI"),
                (":x", "not an absolute URI"),
                ("1a:x", "not an absolute URI"),
                ("urn:a b", "not an absolute URI"),
                ("urn:a\nb", "not an absolute URI"),
            ],
        );
    }

    #[test]
    fn audiences() {
        check(
            audience,
            &[
                "api://AzureADTokenExchange",
                "https://idp.example/",
                "münchen",
            ],
            &[("", "empty"), ("a b", "space"), ("a\u{7f}", "control")],
        );
    }

    #[test]
    #[cfg(feature = "every-credential")]
    fn capabilities() {
        check(
            capability,
            &["cp1", "CP1", "llt"],
            &[
                ("", "empty"),
                ("cp 1", "letters"),
                ("c\"", "letters"),
                ("é", "letters"),
            ],
        );
    }

    #[test]
    #[cfg(feature = "every-credential")]
    fn key_ids() {
        check(
            key_id,
            &[
                "1",
                "2026-11",
                "a b",
                "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            ],
            &[("", "empty"), ("a\n", "control"), ("<kid>", "")],
        );
    }

    #[test]
    fn scopes() {
        check(
            scope,
            &[
                "read",
                "https://x/y?z=%20&a",
                "a+b",
                "https://x/*/.default",
                "https://x//.default",
                "api://a_b-c.d/.default",
            ],
            &[
                ("", "empty"),
                ("a b", "a blank in it"),
                ("a\"b", "RFC 6749"),
                ("a\\b", "RFC 6749"),
                ("a\tb", "RFC 6749"),
                ("é", "RFC 6749"),
            ],
        );
        // each of RFC 6749's characters, alone and among the others
        let all: String = ('!'..='~').filter(|c| !matches!(c, '"' | '\\')).collect();
        assert_eq!(all.len(), 92);
        scope(&all).unwrap();
        for c in all.chars() {
            scope(&format!("a{c}b")).unwrap();
        }
    }
}
