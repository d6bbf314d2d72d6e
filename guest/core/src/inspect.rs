//! A look into a JWT without verifying it: when it expires, and whom it claims to be for the hints of errors.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::Json;
use crate::limits::MAX_ASSERTION_BYTES;
use crate::text::printable;

/// Characters kept of a claim. Kubernetes subjects and GitHub ones with environment names stay below; what is longer
/// does not help anybody who reads a hint.
const MAX_CLAIM_CHARS: usize = 256;

/// Audiences kept. Projected tokens have one or two.
const MAX_AUDIENCES: usize = 8;

/// What a JWT says of itself. **Not verified**: good for scheduling and for hints, for nothing else.
///
/// The strings are cleaned of control characters and cut, because they are printed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct JwtSummary {
    /// `iss`.
    pub iss: Option<String>,
    /// `sub`.
    pub sub: Option<String>,
    /// `aud`, which may be one or several.
    pub aud: Vec<String>,
    /// `exp`, Unix seconds.
    pub exp: Option<u64>,
    /// `nbf`, Unix seconds.
    pub nbf: Option<u64>,
    /// `iat`, Unix seconds.
    pub iat: Option<u64>,
    /// `alg` of the header.
    pub alg: Option<String>,
    /// `x5t#S256` of `cnf`: the certificate that it is bound to (RFC 8705 section 3.1).
    pub x5t_s256: Option<String>,
    /// It is of letters, digits, `-`, `_` and `.` alone: base64url without padding.
    pub(crate) is_plain: bool,
}

/// Looks into a compact JWS. `None` if it is not one.
pub fn inspect_jwt(token: &str) -> Option<JwtSummary> {
    if token.len() > MAX_ASSERTION_BYTES {
        return None;
    }
    let mut parts = token.split('.');
    let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    decode(signature)?;
    let header = object(header)?;
    let claims = object(claims)?;
    Some(JwtSummary {
        iss: text(claims.get("iss")),
        sub: text(claims.get("sub")),
        aud: audiences(claims.get("aud")),
        exp: seconds(claims.get("exp")),
        nbf: seconds(claims.get("nbf")),
        iat: seconds(claims.get("iat")),
        alg: text(header.get("alg")),
        x5t_s256: text(claims.get("cnf").and_then(|cnf| cnf.get("x5t#S256"))),
        is_plain: !token.contains('='),
    })
}

fn decode(part: &str) -> Option<Vec<u8>> {
    // RFC 7515 section 2 leaves the padding out; some writers do not
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()
}

fn object(part: &str) -> Option<Json> {
    let json = Json::parse_answer(&decode(part)?).ok()?;
    matches!(json, Json::Object(_)).then_some(json)
}

fn text(value: Option<&Json>) -> Option<String> {
    value?
        .text()
        .map(|text| printable(text.expose(), MAX_CLAIM_CHARS))
}

fn audiences(value: Option<&Json>) -> Vec<String> {
    match value {
        Some(Json::List(items)) => items
            .iter()
            .filter_map(|item| text(Some(item)))
            .take(MAX_AUDIENCES)
            .collect(),
        other => text(other).into_iter().collect(),
    }
}

/// A NumericDate: RFC 7519 allows fractions, and MSAL.NET writes numbers as strings.
pub(crate) fn seconds(value: Option<&Json>) -> Option<u64> {
    match value? {
        Json::Whole(number) => Some(*number),
        Json::Number(number) => whole(*number),
        Json::Text(text) => text.expose().parse().ok(),
        _ => None,
    }
}

fn whole(number: f64) -> Option<u64> {
    // 2^53: beyond it a float does not even tell seconds apart
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked first"
    )]
    (0.0..EXACT).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jws(header: &str, claims: &str) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims),
            URL_SAFE_NO_PAD.encode("sig")
        )
    }

    #[test]
    fn reads_a_projected_token() {
        let token = jws(
            r#"{"alg":"RS256","kid":"k"}"#,
            r#"{"aud":["api://AzureADTokenExchange"],"exp":1790003600,"iat":1790000000,"iss":"https://issuer.example/","kubernetes.io":{"namespace":"ns"},"nbf":1790000000,"sub":"system:serviceaccount:ns:app"}"#,
        );
        assert_eq!(
            inspect_jwt(&token).unwrap(),
            JwtSummary {
                iss: Some("https://issuer.example/".into()),
                sub: Some("system:serviceaccount:ns:app".into()),
                aud: vec!["api://AzureADTokenExchange".into()],
                exp: Some(1_790_003_600),
                nbf: Some(1_790_000_000),
                iat: Some(1_790_000_000),
                alg: Some("RS256".into()),
                x5t_s256: None,
                is_plain: true,
            }
        );
    }

    #[test]
    fn times_may_be_fractions_or_strings() {
        let summary = inspect_jwt(&jws(
            "{}",
            r#"{"exp":1790003600.75,"nbf":"1790000000","iat":-5,"aud":"one"}"#,
        ))
        .unwrap();
        assert_eq!(
            (summary.exp, summary.nbf, summary.iat),
            (Some(1_790_003_600), Some(1_790_000_000), None)
        );
        assert_eq!(summary.aud, ["one"]);
        let odd = inspect_jwt(&jws("{}", r#"{"exp":1e300,"nbf":null,"iat":[1]}"#)).unwrap();
        assert_eq!((odd.exp, odd.nbf, odd.iat), (None, None, None));
    }

    #[test]
    fn the_certificate_of_a_bound_token_is_found() {
        for (claims, found) in [
            (r#"{"cnf":{"x5t#S256":"abc"}}"#, Some("abc")),
            (r#"{"cnf":{"jkt":"abc"}}"#, None),
            (r#"{"cnf":"abc"}"#, None),
            ("{}", None),
        ] {
            let summary = inspect_jwt(&jws("{}", claims)).unwrap();
            assert_eq!(summary.x5t_s256.as_deref(), found, "{claims}");
        }
    }

    #[test]
    fn padding_is_tolerated() {
        let padded = format!(
            "{}=.{}==.c2ln",
            URL_SAFE_NO_PAD.encode("{} "),
            URL_SAFE_NO_PAD.encode(r#"{"sub":"x"}"#)
        );
        assert_eq!(inspect_jwt(&padded).unwrap().sub.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_not_a_jws_gives_nothing() {
        let good = jws("{}", "{}");
        assert!(inspect_jwt(&good).is_some());
        for bad in [
            "".to_owned(),
            "not a token".to_owned(),
            "a.b".to_owned(),
            format!("{good}.more"),
            format!("{good}\n"),
            jws("[]", "{}"),
            jws("{}", "\"text\""),
            jws("{}", "{"),
            "<html>.<body>.</body>".to_owned(),
            jws("{}", &"[".repeat(10_000)),
            jws(
                "{}",
                &format!(r#"{{"sub":"{}"}}"#, "x".repeat(MAX_ASSERTION_BYTES)),
            ),
        ] {
            assert_eq!(inspect_jwt(&bad), None, "{}", printable(&bad, 40));
        }
    }

    #[test]
    fn claims_are_cleaned_and_cut_before_anybody_prints_them() {
        let long = "é".repeat(1000);
        let token = jws(
            "{}",
            &format!(
                r#"{{"iss":"a\u001b[31m\nb\u202ec","sub":"{long}","aud":{:?}}}"#,
                vec!["a"; 100]
            ),
        );
        let summary = inspect_jwt(&token).unwrap();
        assert_eq!(summary.iss.as_deref(), Some("a[31mbc"));
        assert_eq!(summary.sub.unwrap().chars().count(), MAX_CLAIM_CHARS + 1);
        assert_eq!(summary.aud.len(), MAX_AUDIENCES);
    }
}
