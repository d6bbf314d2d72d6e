//! The signature of a request to AWS, version 4, of the one form that is needed: a form that is posted to `/` of the
//! security token service, with all headers signed. (The library for it, `aws-sigv4`, signs any request, and brings a
//! runtime, a clock and an HTTP library with it; HMAC and SHA-256 are libraries here.)
//!
//! Source: "Create a signed AWS API request" of the IAM user guide. The tests compare with botocore.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::keys::Keys;
use crate::{Secret, SecretBytes, sha256_hex};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "sts";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

const DAY_S: u64 = 86_400;

/// The headers of a request with that body at that time, the signature among them.
pub(super) fn headers(
    keys: &Keys,
    region: &str,
    host: &str,
    body: &[u8],
    unix_s: u64,
) -> Vec<(&'static str, Secret)> {
    let (date, time) = stamp(unix_s);
    let time = format!("{date}T{time}Z");
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let session = keys.session_token.as_ref();
    // sorted by name
    let mut signed = vec![
        ("content-type", CONTENT_TYPE),
        ("host", host),
        ("x-amz-date", time.as_str()),
    ];
    signed.extend(session.map(|token| ("x-amz-security-token", token.expose())));
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let digest = sha256_hex(body);
    let mut parts = vec!["POST\n/\n\n"];
    for &(name, value) in &signed {
        parts.extend([name, ":", value, "\n"]);
    }
    parts.extend(["\n", &names, "\n", &digest]);
    // the session token is in it: one allocation, so that growing leaves no copies behind
    let request = Secret::new(parts.concat());
    let to_sign = format!(
        "{ALGORITHM}\n{time}\n{scope}\n{}",
        sha256_hex(request.expose().as_bytes())
    );
    let secret = Secret::new(format!("AWS4{}", keys.secret_key.expose()));
    let mut key = SecretBytes::new(secret.expose().as_bytes());
    for part in [date.as_str(), region, SERVICE, "aws4_request", &to_sign] {
        key = hmac(&key, part);
    }
    let signature: String = key.expose().iter().map(|b| format!("{b:02x}")).collect();
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        keys.access_key.expose()
    );
    let mut headers = vec![
        ("authorization", Secret::new(authorization)),
        ("content-type", Secret::new(CONTENT_TYPE)),
        ("x-amz-date", Secret::new(time)),
    ];
    headers.extend(session.map(|token| ("x-amz-security-token", token.clone())));
    headers
}

fn hmac(key: &SecretBytes, text: &str) -> SecretBytes {
    // a key of any length is one
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose()) else {
        return SecretBytes::default();
    };
    mac.update(text.as_bytes());
    SecretBytes::new(mac.finalize().into_bytes().as_slice())
}

/// `YYYYMMDD` and `hhmmss` of a Unix time.
fn stamp(unix_s: u64) -> (String, String) {
    let (days, second) = (unix_s / DAY_S, unix_s % DAY_S);
    // days since 0000-03-01, in eras of 400 years
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // months from March, which are 153 days every five
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + late;
    (
        format!("{year:04}{month:02}{day:02}"),
        format!(
            "{:02}{:02}{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_aws_reads_them() {
        for (unix_s, expected) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (951_868_800, "20000301T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_767_225_599, "20251231T235959Z"),
            (1_793_491_200, "20261101T000000Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            let (date, time) = stamp(unix_s);
            assert_eq!(format!("{date}T{time}Z"), expected);
        }
        // every day of four centuries comes after the one before
        let mut before = String::new();
        for day in 0..146_097 {
            let (date, _) = stamp(day * DAY_S);
            assert!(before < date, "{before} {date}");
            before = date;
        }
    }

    /// Signed by botocore 1.43.11 (`SigV4Auth`) at that time.
    #[test]
    fn a_signature_is_that_of_botocore() {
        for (access_key, secret_key, session_token, region, host, body, expected) in [
            (
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                None,
                "us-east-1",
                "sts.us-east-1.amazonaws.com",
                "Action=GetWebIdentityToken&Version=2011-06-15&Audience.member.1=api%3A%2F%2FAzureADTokenExchange&DurationSeconds=300&SigningAlgorithm=RS256",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261101/us-east-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5c96bb69e8a701fa20b9204bfb803e51e80a5f20bf0edf8c8a78917a818ceb7f",
            ),
            (
                "ASIAEXAMPLE",
                "secret",
                Some("IQoJb3JpZ2luX2VjEXAMPLE/+="),
                "cn-north-1",
                "sts.cn-north-1.amazonaws.com.cn",
                "a=b",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261101/cn-north-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=fa2d39c97c95727d015e2f2652f03861f924104f9b247971595f19fddcb9a219",
            ),
            (
                "ASIAEXAMPLE",
                "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss",
                Some("token"),
                "eu-central-1",
                "localhost:8443",
                "",
                "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/20261101/eu-central-1/sts/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=12e7478b2abfbeec1b3c0e26bd84b2941ffbde3f315509e049a8ad31898ee4c1",
            ),
        ] {
            let keys = Keys {
                access_key: access_key.into(),
                secret_key: secret_key.into(),
                session_token: session_token.map(Secret::from),
            };
            let headers = headers(&keys, region, host, body.as_bytes(), 1_793_491_200);
            let header = |name: &str| {
                let found = headers.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.expose())
            };
            assert_eq!(header("authorization"), Some(expected));
            assert_eq!(header("x-amz-date"), Some("20261101T000000Z"));
            assert_eq!(header("x-amz-security-token"), session_token);
        }
    }
}
