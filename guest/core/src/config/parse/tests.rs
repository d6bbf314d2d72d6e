use super::*;
use crate::config::document::ConfigFile;

fn error(json: &str) -> String {
    document::<ConfigFile>(json).unwrap_err().to_string()
}

#[test]
fn errors_say_where() {
    let text = error("{\n  \"identities\": {\"app\": {\"tenant\": \"t\"}}\n}");
    assert!(text.starts_with("identities.app.tenant: unknown field `tenant`, expected one of `tenant_id`, `client_id`"), "{text}");
    assert!(text.ends_with("; did you mean `tenant_id`?"), "{text}");
    let text = error(r#"{"client_id": "c"}"#);
    assert!(text.contains("inside of an identity: "), "{text}");
    assert!(
        error(r#"{"identities": {"app": {"credential": {"certificate": {}}}}}"#)
            .starts_with("identities.app.credential.certificate: missing field `name`")
    );
    assert!(
        error("{\n\"identities\": {},}")
            .starts_with("configuration: not JSON: trailing comma at line 2 column")
    );
    assert!(error("{").starts_with("configuration: not JSON: EOF"));
    assert!(
        error("{} {}")
            .starts_with("configuration: not JSON: trailing characters at line 1 column 4")
    );
    assert!(error(" \n").starts_with("configuration: empty"));
    assert!(
        error("[]").starts_with("configuration: expected an object, not a list"),
        "{}",
        error("[]")
    );
    assert!(
        error(&" ".repeat(MAX_CONFIG_BYTES + 1))
            .starts_with("configuration: longer than 262144 bytes")
    );
}

/// What is written inside of which object, and what the hint says.
#[test]
fn hints_say_what_to_write() {
    const TOP: &str = "VALUE";
    const IDENTITY: &str = r#"{"identities": {"app": VALUE}}"#;
    const CREDENTIAL: &str = r#"{"identities": {"app": {"credential": VALUE}}}"#;
    const LISTED: &str = r#"{"identities": {"app": {"credential": [VALUE]}}}"#;
    const CERTIFICATES: &str = r#"{"certificates": {"k": VALUE}}"#;

    for (place, value, says) in [
        // Microsoft.Identity.Web
        (TOP, r#"{"AzureAd": {}}"#, "no configuration of edgepass"),
        (
            IDENTITY,
            r#"{"ClientCredentials": []}"#,
            "are `credential` here",
        ),
        (
            IDENTITY,
            r#"{"clientCredentials": []}"#,
            "are `credential` here",
        ),
        (IDENTITY, r#"{"Instance": "x"}"#, "`authority_host`"),
        (
            IDENTITY,
            r#"{"TenantId": "x"}"#,
            "did you mean `tenant_id`?",
        ),
        (
            IDENTITY,
            r#"{"clientId": "x"}"#,
            "did you mean `client_id`?",
        ),
        (
            IDENTITY,
            r#"{"client-id": "x"}"#,
            "did you mean `client_id`?",
        ),
        (
            IDENTITY,
            r#"{"tokenEndpoint": "x"}"#,
            "did you mean `token_endpoint`?",
        ),
        (
            IDENTITY,
            r#"{"ClientSecret": "x"}"#,
            "{\"client_secret\": {\"env\": NAME}}",
        ),
        (
            IDENTITY,
            r#"{"ClientCertificates": []}"#,
            "certificates.NAME",
        ),
        (
            IDENTITY,
            r#"{"federated_token_file": {}}"#,
            "a token file is a credential",
        ),
        (
            IDENTITY,
            r#"{"managedIdentity": {}}"#,
            "{\"managed_identity\": {}}",
        ),
        (
            CREDENTIAL,
            r#"{"SourceType": "Path"}"#,
            "the name of its object",
        ),
        (
            LISTED,
            r#"{"SourceType": "Path"}"#,
            "the name of its object",
        ),
        (
            CREDENTIAL,
            r#"{"CertificateDiskPath": "x"}"#,
            "certificates.NAME",
        ),
        (
            CREDENTIAL,
            r#"{"certificatePassword": "x"}"#,
            "`password_env`",
        ),
        (
            CERTIFICATES,
            r#"{"certificatePassword": "x"}"#,
            "`password_file`",
        ),
        (
            CERTIFICATES,
            r#"{"CertificatePassword": "x"}"#,
            "`password_file`",
        ),
        (
            CERTIFICATES,
            r#"{"certificateFile": "x"}"#,
            "did you mean `certificate_file`?",
        ),
        // at the wrong level
        (
            CREDENTIAL,
            r#"{"certificate_file": "x"}"#,
            "certificates.NAME.certificate_file",
        ),
        (
            CREDENTIAL,
            r#"{"certificateFile": "x"}"#,
            "certificates.NAME.certificate_file",
        ),
        (
            CREDENTIAL,
            r#"{"certificate": {"certificate_file": "x"}}"#,
            "the `name` of a certificate here",
        ),
        (TOP, r#"{"client_id": "x"}"#, "inside of an identity"),
        (TOP, r#"{"TenantId": "x"}"#, "inside of an identity"),
        // within a kind
        (
            CREDENTIAL,
            r#"{"certificate": {"name": "k", "bound": true}}"#,
            "`use_bound_credential`",
        ),
        (
            CREDENTIAL,
            r#"{"certificate": {"name": "k", "SendX5C": true}}"#,
            "`send_x5c`",
        ),
        (
            CREDENTIAL,
            r#"{"certificate": {"name": "k", "UseBoundCredential": true}}"#,
            "`use_bound_credential`",
        ),
        (
            CREDENTIAL,
            r#"{"federated_token_file": {"tokenFilePath": "x"}}"#,
            "did you mean `path`?",
        ),
        (
            CREDENTIAL,
            r#"{"federated_token_file": {"file": "x"}}"#,
            "did you mean `path`?",
        ),
        (
            CREDENTIAL,
            r#"{"aws_web_identity": {"role_arn": "x"}}"#,
            "AWS_ROLE_ARN",
        ),
        (
            CREDENTIAL,
            r#"{"aws_web_identity": {"roleArn": "x"}}"#,
            "AWS_ROLE_ARN",
        ),
        (
            CREDENTIAL,
            r#"{"managed_identity": {"clientId": "x"}}"#,
            "did you mean `client_id`?",
        ),
        // a word where an object belongs
        (
            CREDENTIAL,
            r#""github_actions""#,
            "write {\"github_actions\": {}}",
        ),
        (
            CREDENTIAL,
            r#""GitHubActions""#,
            "write {\"github_actions\": {}}",
        ),
        (
            CREDENTIAL,
            r#""managed-identity""#,
            "write {\"managed_identity\": {}}",
        ),
        (LISTED, r#""spiffe""#, "write {\"spiffe\": {}}"),
        (
            CREDENTIAL,
            r#""hunter2""#,
            "with one of `federated_token_file`",
        ),
        (
            CREDENTIAL,
            r#"{"client_secret": "hunter2"}"#,
            "with one of `value`, `env`, `file`",
        ),
        (
            CREDENTIAL,
            r#"{"certificate": "hunter2"}"#,
            "with one of `name`",
        ),
        (
            CERTIFICATES,
            r#""hunter2""#,
            "with one of `certificate_file`",
        ),
        // paths of Windows
        (
            CREDENTIAL,
            r#"{"federated_token_file": {"path": "C:\keys\a"}}"#,
            "write a backslash twice",
        ),
        (
            CREDENTIAL,
            r#"{"federated_token_file": {"path": "\users"}}"#,
            "write a backslash twice",
        ),
    ] {
        let json = place.replace("VALUE", value);
        // so that a raw string of this table has one backslash
        let json = json.replace("\\\\", "\\");
        let text = error(&json);
        assert!(text.contains(says), "{json}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn errors_never_repeat_a_value() {
    for json in [
        r#"{"identities":{"app":{"credential":{"client_secret":"hunter2"}}}}"#,
        r#"{"identities":{"app":{"credential":{"client_secret":"hunter2, expected hunter2"}}}}"#,
        r#"{"identities":{"app":{"credential":"hunter2"}}}"#,
        r#"{"identities":{"app":{"credential":{"client_secret":{"value":["hunter2"]}}}}}"#,
        r#"{"identities":{"app":{"credential":{"client_assertion":"hunter2\", expected \"x"}}}}"#,
        r#"{"identities":"hunter2"}"#,
        r#"{"identities":{"app":{"credential":{"client_secret":["hunter2"]}}}}"#,
    ] {
        let text = error(json);
        assert!(
            !text.contains("hunter2") && text.starts_with("identities"),
            "{text}"
        );
    }
    let number =
        error(r#"{"identities":{"app":{"credential":{"client_secret":{"value":24680}}}}}"#);
    assert!(!number.contains("24680"), "{number}");
    assert!(
        number.starts_with(
            "identities.app.credential.client_secret.value: expected a string, not a number"
        ),
        "{number}"
    );
}

#[test]
fn repeated_names_are_errors() {
    assert!(error(r#"{"identities":{"a":{},"a":{}}}"#).contains("duplicate name `a`"));
    assert!(
        error(r#"{"certificates":{"c":{"certificate_file":"/c"},"c":{"certificate_file":"/d"}}}"#)
            .contains("duplicate name `c`")
    );
    assert!(
        error(r#"{"identities":{"a":{"client_id":"x","client_id":"y"}}}"#)
            .contains("duplicate field `client_id`")
    );
}
