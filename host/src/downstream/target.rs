//! Where a request goes: what this library's requests have of it, for the judge of all of them
//! ([`Target`](edgepass_core::matching::Target)).

#[cfg(feature = "tower")]
use std::net::IpAddr;

use edgepass_core::Error;
use edgepass_core::matching::Target;
use http::Uri;
use http::header::{HOST, HeaderMap, HeaderValue};

use super::invalid;

/// Of a request's address, which must be whole.
pub(super) fn of(uri: &Uri) -> Result<Target, Error> {
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(invalid(
            "the address of the request has no scheme or no host, so nobody can say whom a token would go to",
            "make requests with whole addresses (https://host/path)",
        ));
    };
    Target::of(Some(scheme), authority.as_str())
}

/// Refuses what a token must not go to although a rule names it.
pub(super) fn check(
    target: &Target,
    headers: &HeaderMap,
    http_on_loopback: bool,
) -> Result<(), Error> {
    let named = headers.get_all(HOST).into_iter();
    target.check(named.map(HeaderValue::as_bytes), http_on_loopback)
}

/// An address as a host.
#[cfg(feature = "tower")]
pub(super) fn of_address(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spellings of hosts that are tried with every caller of the one judge.
    #[test]
    fn addresses_are_judged_as_everywhere() {
        type Spelling = (String, Option<String>);
        let spellings = include_str!("../../../guest/core/src/matching/spellings.json");
        let spellings: Vec<Spelling> = serde_json::from_str(spellings).unwrap();
        for (uri, expected) in spellings {
            // what is no URI for `http` is no request
            let target = uri.parse::<Uri>().ok().and_then(|uri| of(&uri).ok());
            let found =
                target.map(|target| format!("{} {} {}", target.scheme(), target.host, target.port));
            assert_eq!(found, expected, "{uri}");
        }
    }
}
