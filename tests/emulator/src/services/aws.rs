//! AWS: where a role's keys are handed out, and `sts:GetWebIdentityToken`, with its signature verified.

use aws_lc_rs::hmac;
use http::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{TokenService, parameter};
use crate::encoding::{base64url, random};
use crate::issuer::Mint;
use crate::reply::Reply;
use crate::request::Call;
use crate::world::World;

/// The region that the security token service is of.
pub(super) const REGION: &str = "eu-central-1";

/// Where a container gets the keys of its role.
pub(super) const CONTAINER_PATH: &str = "/aws/container/v1/credentials";

const SESSION_PATH: &str = "/latest/api/token";
const ROLES_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const ROLE: &str = "edgepass-demo";

/// How far the time of a request may be off, seconds.
const SKEW: i64 = 300;

/// The keys of the role.
pub(super) struct Role {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: String,
    pub(super) container_token: String,
    /// Of the metadata service.
    session: String,
}

impl Role {
    pub(super) fn new() -> Self {
        Self {
            access_key: "ASIAEDGEPASSDEMO0001".to_owned(),
            secret_key: format!("{}/+", base64url(&random::<30>())),
            session_token: format!("IQoJ{}/+==", base64url(&random::<90>())),
            container_token: format!("Basic.{}", base64url(&random::<24>())),
            session: format!("{}==", base64url(&random::<24>())),
        }
    }

    fn keys(&self) -> Reply {
        Reply::json(
            StatusCode::OK,
            &json!({
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": self.access_key,
                "SecretAccessKey": self.secret_key,
                "Token": self.session_token,
                "Expiration": "2099-01-01T00:00:00Z",
            }),
        )
    }
}

/// The container's endpoint and the metadata service in its second version.
pub(super) fn on_machine(world: &World, call: &Call) -> Option<Reply> {
    let role = &world.services.aws;
    let plain = |status, text: &str| Some(Reply::text(status, "text/plain", text.to_owned()));
    if call.path == CONTAINER_PATH {
        if call.method != Method::GET || call.header("authorization") != Some(&role.container_token)
        {
            return Some(Reply::json(
                StatusCode::FORBIDDEN,
                &json!({ "code": "AccessDenied", "message": "the authorization token is not valid" }),
            ));
        }
        return Some(role.keys());
    }
    if !call.path.starts_with("/latest/") {
        return None;
    }
    if call.headers.contains_key("x-forwarded-for") {
        return plain(StatusCode::FORBIDDEN, "a proxy sent it");
    }
    if call.path == SESSION_PATH {
        let life = call.header("x-aws-ec2-metadata-token-ttl-seconds");
        let life: Option<u32> = life.and_then(|life| life.parse().ok());
        return match (call.method == Method::PUT, life) {
            (true, Some(1..=21_600)) => plain(StatusCode::OK, &role.session),
            (true, _) => plain(StatusCode::BAD_REQUEST, "no time to live"),
            (false, _) => plain(StatusCode::METHOD_NOT_ALLOWED, "PUT it"),
        };
    }
    if call.method != Method::GET || call.header("x-aws-ec2-metadata-token") != Some(&role.session)
    {
        return plain(StatusCode::UNAUTHORIZED, "no session");
    }
    match call.path.strip_prefix(ROLES_PATH) {
        Some("") => plain(StatusCode::OK, ROLE),
        Some(ROLE) => Some(role.keys()),
        _ => plain(StatusCode::NOT_FOUND, "not found"),
    }
}

/// A refusal in the dialect of AWS.
fn refusal(status: StatusCode, code: &str, message: &str) -> Box<Reply> {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    );
    Box::new(Reply::text(status, "text/xml", body))
}

/// `GetWebIdentityToken`.
pub(super) fn security_token(world: &World, call: &Call) -> Result<Reply, Box<Reply>> {
    verify(&world.services.aws, call)
        .map_err(|(code, message)| refusal(StatusCode::FORBIDDEN, code, message))?;
    let invalid = |message: &str| refusal(StatusCode::BAD_REQUEST, "ValidationError", message);
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&call.body)
        .into_owned()
        .collect();
    let field = |name: &str| parameter(&form, name);
    if field("Action") != Some("GetWebIdentityToken") || field("Version") != Some("2011-06-15") {
        return Err(refusal(
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            "no such action",
        ));
    }
    let audience = field("Audience.member.1").ok_or_else(|| invalid("no audience"))?;
    if field("SigningAlgorithm") != Some("RS256") {
        return Err(invalid("SigningAlgorithm is not RS256, the only one here"));
    }
    let duration: i64 = match field("DurationSeconds").map(str::parse) {
        None => 300,
        Some(Ok(seconds)) if (60..=3600).contains(&seconds) => seconds,
        Some(_) => return Err(invalid("DurationSeconds is not from 60 to 3600")),
    };
    let mint = Mint::new().audience(audience).expires_in(duration);
    let token = world.services.mint(TokenService::AwsEnvironment, &mint)?;
    let body = format!(
        "<GetWebIdentityTokenResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
         <GetWebIdentityTokenResult>\n<WebIdentityToken>{token}</WebIdentityToken>\n\
         <Expiration>2099-01-01T00:00:00Z</Expiration>\n</GetWebIdentityTokenResult>\n\
         <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\n</GetWebIdentityTokenResponse>"
    );
    Ok(Reply::text(StatusCode::OK, "text/xml", body))
}

/// The signature, from the request as it came.
fn verify(role: &Role, call: &Call) -> Result<(), (&'static str, &'static str)> {
    let incomplete = |message| ("IncompleteSignature", message);
    let authorization = call
        .header("authorization")
        .and_then(|value| value.strip_prefix("AWS4-HMAC-SHA256 "))
        .ok_or_else(|| incomplete("no AWS4-HMAC-SHA256 authorization"))?;
    let part = |name: &str| {
        let mut parts = authorization.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let credential = part("Credential").ok_or_else(|| incomplete("no Credential"))?;
    let names = part("SignedHeaders").ok_or_else(|| incomplete("no SignedHeaders"))?;
    let signature = part("Signature").ok_or_else(|| incomplete("no Signature"))?;
    let time = call
        .header("x-amz-date")
        .ok_or_else(|| incomplete("no X-Amz-Date"))?;
    let [access_key, date, region, service, "aws4_request"] =
        credential.split('/').collect::<Vec<_>>()[..]
    else {
        return Err(incomplete("the credential scope has not five parts"));
    };
    if access_key != role.access_key
        || call.header("x-amz-security-token") != Some(&role.session_token)
    {
        return Err(("InvalidClientTokenId", "the security token is invalid"));
    }
    if !time.starts_with(date) || region != REGION || service != "sts" {
        return Err((
            "SignatureDoesNotMatch",
            "the credential is scoped for something else",
        ));
    }
    let at = unix_seconds(time).ok_or_else(|| incomplete("X-Amz-Date is no time"))?;
    if (at - call.now).abs() > SKEW {
        return Err((
            "SignatureDoesNotMatch",
            "signature expired or not yet current",
        ));
    }
    let names: Vec<&str> = names.split(';').collect();
    let has = |name: &str| names.contains(&name);
    let all = ["host", "x-amz-date", "x-amz-security-token"];
    if !names.is_sorted() || !all.iter().all(|name| has(name)) {
        return Err((
            "SignatureDoesNotMatch",
            "a header that has to be signed is not",
        ));
    }
    let mut canonical = format!("{}\n{}\n{}\n", call.method, call.path, call.query);
    for name in &names {
        let value = match *name {
            "host" => call.host.as_str(),
            name => call.header(name).unwrap_or_default(),
        };
        let value: Vec<&str> = value.split(' ').filter(|word| !word.is_empty()).collect();
        canonical.push_str(&format!("{name}:{}\n", value.join(" ")));
    }
    canonical.push_str(&format!(
        "\n{}\n{}",
        names.join(";"),
        hex(&Sha256::digest(&call.body))
    ));
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{date}/{region}/sts/aws4_request\n{}",
        hex(&Sha256::digest(canonical.as_bytes()))
    );
    let mut key = format!("AWS4{}", role.secret_key).into_bytes();
    for part in [date, region, "sts", "aws4_request", to_sign.as_str()] {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&signing, part.as_bytes()).as_ref().to_vec();
    }
    if hex(&key) == signature {
        Ok(())
    } else {
        Err((
            "SignatureDoesNotMatch",
            "the request signature we calculated does not match the signature you provided",
        ))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of `YYYYMMDDThhmmssZ`.
fn unix_seconds(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u8>().ok();
    let year = text.get(..4)?.parse().ok()?;
    let month = time::Month::try_from(number(4, 6)?).ok()?;
    let date = time::Date::from_calendar_date(year, month, number(6, 8)?).ok()?;
    let time = date
        .with_hms(number(9, 11)?, number(11, 13)?, number(13, 15)?)
        .ok()?;
    (text.len() == 16 && text.get(8..9) == Some("T") && text.ends_with('Z'))
        .then(|| time.assume_utc().unix_timestamp())
}
