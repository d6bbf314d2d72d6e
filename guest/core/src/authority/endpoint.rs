//! An https URL that requests may go to, taken apart. Whose it is, and whether credentials may go there, is said elsewhere.

use std::fmt;

use crate::authority::host::{HTTPS_PORT, canonical_authority};
use crate::refusal::Refusal;

/// A URL in the configuration, characters. Browsers and proxies stop at about this; an endpoint has a tenth of it.
const MAX_URL_CHARS: usize = 2048;

/// An https URL in the parts that a request needs.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// Host, with the port if it is not 443.
    pub authority: String,
    /// Path and query, begins with `/`.
    pub path: String,
}

impl Endpoint {
    /// The URL.
    pub fn url(&self) -> String {
        format!("https://{}{}", self.authority, self.path)
    }

    /// Takes an absolute https URL without userinfo and fragment apart.
    pub(crate) fn parse(url: &str) -> Result<Self, Refusal> {
        let url = HttpsUrl::parse(url)?;
        if url.fragment {
            return Err(Refusal::new(
                "has a fragment, which is no part of a request (RFC 9110 section 7.1)",
                "leave out the `#` and what follows",
            ));
        }
        let path = if url.rest.starts_with('/') {
            url.rest.to_owned()
        } else {
            format!("/{}", url.rest)
        };
        if path
            .split(['?', '/'])
            .any(|segment| matches!(segment, "." | ".."))
        {
            return Err(Refusal::new(
                "has `.` or `..` in its path",
                "write the path as the server has it",
            ));
        }
        Ok(Self {
            authority: url.authority,
            path,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// The parts of an https URL.
pub(super) struct HttpsUrl<'a> {
    pub(super) authority: String,
    /// Path and query.
    pub(super) rest: &'a str,
    pub(super) fragment: bool,
}

impl<'a> HttpsUrl<'a> {
    pub(super) fn parse(url: &'a str) -> Result<Self, Refusal> {
        if url.is_empty() {
            return Err(Refusal::new("is empty", "write https://host"));
        }
        if url.len() > MAX_URL_CHARS {
            return Err(Refusal::new(
                format!("is longer than {MAX_URL_CHARS} characters"),
                "check that it is the URL alone",
            ));
        }
        if url
            .chars()
            .any(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c))
        {
            return Err(Refusal::new(
                "has a space or another character that a URL may not have",
                "write the URL without quotes and line breaks, other characters percent-encoded",
            ));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            // what stands before an `@` would be a password, and is not repeated
            let host = url.rsplit('@').next().unwrap_or_default();
            return Err(Refusal::new(
                "is not an absolute URL",
                format!("write https://{host}"),
            ));
        };
        if !scheme.eq_ignore_ascii_case("https") {
            return Err(Refusal::new(
                format!("has the scheme `{scheme}`, but https only is taken"),
                "write https://…; for a server with a certificate of its own authority see host.ca_file",
            ));
        }
        let (rest, fragment) = rest
            .split_once('#')
            .map_or((rest, false), |(rest, _)| (rest, true));
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or_default();
        if authority.contains('@') {
            return Err(Refusal::new(
                "has a user name or password in it",
                "leave out what stands before the `@`",
            ));
        }
        Ok(Self {
            authority: canonical_authority(authority, HTTPS_PORT)?,
            rest,
            fragment,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_that_are_refused() {
        for (url, expected) in [
            (
                "http://idp.example/token",
                "scheme `http`, but https only is taken",
            ),
            ("idp.example/token", "not an absolute URL"),
            ("user:pw@idp.example/token", "not an absolute URL"),
            (
                "https://idp.example/token#x",
                "fragment, which is no part of a request",
            ),
            ("https://user:pw@idp.example/token", "user name or password"),
            ("https://idp.example/a/../token", "`..` in its path"),
            ("https://idp.example/to ken", "space"),
            ("https://idp.example\\@evil.example/token", "character"),
            ("https://idp.example:0/token", "not a port"),
            ("https://idp.example:99999/token", "not a port"),
            ("https://idp.example:+1/token", "not a port"),
            ("https://idp.example:+443/token", "not a port"),
            ("https://idp.example:-443/token", "not a port"),
            ("https://idp.example: 443/token", "space"),
            ("https://idp.example:/token", "not a port"),
            ("https:///token", "not a host name"),
            ("https://idp..example/token", "not a host name"),
            ("https://-idp.example/token", "not a host name"),
            ("https://[::g]/token", "not a host name"),
            ("https://idp%2eexample/token", "not a host name"),
            ("https://münchen.example/token", "character"),
            ("", "empty"),
        ] {
            let refusal = Endpoint::parse(url).unwrap_err();
            assert!(
                refusal.message.contains(expected),
                "{url}: {}",
                refusal.message
            );
            assert!(!format!("{refusal:?}").contains("pw"), "{refusal:?}");
        }
        assert_eq!(
            Endpoint::parse("https://[::1]:8443").unwrap().url(),
            "https://[::1]:8443/"
        );
        assert_eq!(
            Endpoint::parse("https://idp.example?p=x").unwrap().url(),
            "https://idp.example/?p=x"
        );
    }
}
