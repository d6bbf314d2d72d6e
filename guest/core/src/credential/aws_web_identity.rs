//! A token that AWS gives a role about itself, `sts:GetWebIdentityToken` (outbound identity federation). The request is
//! signed with the role's own keys, which come from the environment, from the container's endpoint (ECS, EKS Pod
//! Identity) or from the metadata service of the machine (IMDSv2), in the order of the AWS SDKs. Both are asked for at
//! each exchange and kept nowhere: the token lives for minutes.
//!
//! Sources: the service model of STS 2011-06-15; "Getting started with outbound identity federation" of the IAM user
//! guide; "Container credential provider" and "IMDS credential provider" of the AWS SDKs' reference.

mod keys;
mod signature;

use crate::config::Client;
use crate::config::error::{ConfigError, check};
use crate::config::parse::{Choice, object};
use crate::config::place::Place;
use crate::config::rules;
use crate::credential::platform::{self, Question, Server, element};
use crate::credential::{Failure, Kind, Purpose, Supplied, SupplyAssertion};
use crate::distinction::Distinction;
use crate::flow::Io;
use crate::needs::{self, PathPattern, Scheme};
use crate::{Secret, SecretBytes};

use keys::Source;

/// Replaces the endpoint of the service, as in the AWS SDKs: an https URL without a path.
const ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

/// The region, by the two names that the AWS SDKs read.
const REGION: &str = "AWS_REGION";
const DEFAULT_REGION: &str = "AWS_DEFAULT_REGION";

/// How long a token lives unless it is told, seconds: that of the service.
const USUAL_DURATION_S: u64 = 300;

const WHO: &str = "the security token service of AWS";

const HINT: &str = "switch outbound identity federation on in the account (aws iam \
                    enable-outbound-web-identity-federation), and allow the role sts:GetWebIdentityToken";

const ELSEWHERE: &str = "run it with a role of AWS, and say the region by `region` or AWS_REGION; elsewhere use another credential";

/// The algorithm of the token.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum SigningAlgorithm {
    /// ECDSA with P-384; not taken by Entra ID.
    #[cfg_attr(feature = "schema", schemars(rename = "ES384"))]
    Es384,
    /// RSASSA-PKCS1-v1_5, SHA-256.
    #[default]
    #[cfg_attr(feature = "schema", schemars(rename = "RS256"))]
    Rs256,
}

impl Choice for SigningAlgorithm {
    const CHOICES: &[(&str, Self)] = &[("ES384", Self::Es384), ("RS256", Self::Rs256)];
}

impl SigningAlgorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
        }
    }
}

object! {
    /// A token that AWS gives a role about itself (`sts:GetWebIdentityToken`).
    #[derive(Clone, Debug, Default)]
    pub(crate) struct AwsWebIdentityFile {
        /// The audience that the federated credential expects; that of the identity's cloud by default, in the public
        /// one `api://AzureADTokenExchange`, and for other servers the URL of the token endpoint.
        audience: Option<String> = optional_text,
        /// The region whose security token service is asked; `AWS_REGION` or `AWS_DEFAULT_REGION` by default.
        region: Option<String> = optional_text,
        /// The algorithm of the token.
        #[cfg_attr(feature = "schema", schemars(default))]
        signing_algorithm: SigningAlgorithm = choice,
        /// How long the token lives, seconds: 60 to 3600, 300 by default.
        duration_s: Option<u64> = optional_number,
    }
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct AwsWebIdentity {
    audience: String,
    /// Without a region this is not AWS.
    service: Option<Service>,
    algorithm: SigningAlgorithm,
    duration_s: u64,
}

#[derive(Clone, Debug)]
struct Service {
    server: Server,
    region: String,
    keys: Source,
}

impl Kind for AwsWebIdentity {
    type Document = AwsWebIdentityFile;
    type Of = Client;

    fn check(
        document: &AwsWebIdentityFile,
        place: &Place<'_>,
        client: &Client,
    ) -> Result<Self, ConfigError> {
        let audience = platform::audience(document.audience.as_deref(), place, client)?;
        let duration_s = document.duration_s.unwrap_or(USUAL_DURATION_S);
        if !(60..=3600).contains(&duration_s) {
            return Err(
                ConfigError::new(place.at("duration_s"), "is not from 60 to 3600")
                    .hint("leave it out for 300 seconds: an exchange takes one"),
            );
        }
        let region = document.region.as_deref();
        let region = place
            .optional("region", region, Some(REGION))
            .or_else(|| place.optional("region", None, Some(DEFAULT_REGION)));
        let service = region
            .map(|region| {
                region.check(rules::filled_in)?;
                region.check(rules::aws_region)?;
                let server = server(place, region.value)?;
                let root = PathPattern::Exact("/".to_owned());
                server.need(place, needs::Purpose::PlatformPost, root);
                Ok(Service {
                    server,
                    region: region.value.to_owned(),
                    keys: Source::check(place)?,
                })
            })
            .transpose()?;
        Ok(Self {
            audience,
            service,
            algorithm: document.signing_algorithm,
            duration_s,
        })
    }

    fn describe(&self) -> String {
        let keys = match &self.service {
            Some(service) => service.keys.describe(),
            None => "no region is known",
        };
        format!("AWS web identity token for {} ({keys})", self.audience)
    }

    fn distinguish(&self, out: &mut Distinction) {
        let Self {
            audience,
            service,
            algorithm,
            duration_s,
        } = self;
        out.add(audience);
        out.add(algorithm.name());
        out.add(&duration_s.to_string());
        if let Some(Service {
            server,
            region,
            keys,
        }) = service
        {
            out.add(&server.authority);
            out.add(region);
            keys.distinguish(out);
        }
    }
}

impl SupplyAssertion for AwsWebIdentity {
    async fn assertion(&self, io: &Io, purpose: &Purpose<'_>) -> Result<Supplied, Failure> {
        let Some(service) = &self.service else {
            return Err(platform::not_here(
                format!(
                    "no region of AWS is known: neither the setting region nor {REGION} nor {DEFAULT_REGION} is set"
                ),
                ELSEWHERE,
            ));
        };
        let keys = service.keys.keys(io, purpose.correlation_id).await?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", "GetWebIdentityToken")
            .append_pair("Version", "2011-06-15")
            .append_pair("Audience.member.1", &self.audience)
            .append_pair("DurationSeconds", &self.duration_s.to_string())
            .append_pair("SigningAlgorithm", self.algorithm.name());
        let body = form.finish();
        let headers = signature::headers(
            &keys,
            &service.region,
            &service.server.authority,
            body.as_bytes(),
            io.now().unix_ms / 1000,
        );
        let mut secrets = keys.secrets();
        // whoever has the signature may ask the same once more, for as long as AWS takes it
        let signature = headers.iter().find(|(name, _)| *name == "authorization");
        let signature = signature.and_then(|(_, value)| value.expose().rsplit_once("Signature="));
        secrets.extend(signature.map(|(_, signature)| Secret::new(signature)));
        let question = Question {
            who: WHO,
            server: &service.server,
            purpose: needs::Purpose::PlatformPost,
            path: "/".to_owned(),
            headers,
            body: SecretBytes::new(body),
            secrets: &secrets,
            correlation_id: purpose.correlation_id,
            hint: HINT,
        };
        let answer = question.ask(io).await?;
        let xml = std::str::from_utf8(answer.body.expose()).unwrap_or_default();
        let token = element(xml, "WebIdentityToken").ok_or_else(|| {
            platform::invalid(format!("{WHO} gave an answer without `WebIdentityToken`"))
        })?;
        platform::supplied(WHO, Secret::new(token))
    }
}

/// The regional endpoint: the global one does not have this call.
fn server(place: &Place<'_>, region: &str) -> Result<Server, ConfigError> {
    let Some(url) = place.variable_alone(ENDPOINT) else {
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        return Ok(Server {
            scheme: Scheme::Https,
            authority: format!("sts.{region}.{domain}"),
        });
    };
    check(ENDPOINT, rules::filled_in(url))?;
    let (server, path) = Server::https(ENDPOINT, url)?;
    if path != "/" {
        return Err(ConfigError::new(ENDPOINT, "has a path or query")
            .hint("write https:// and the host alone"));
    }
    Ok(server)
}
