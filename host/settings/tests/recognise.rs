//! Files of other programs in the place of a configuration, and what is said of them.

use edgepass_settings::recognise::{Kind, Mistaken, Reader};

/// What people paste, and what it is called; each has its own remedy, and nothing of it is repeated.
#[test]
fn files_of_other_programs_are_called_what_they_are() {
    let mut remedies = Vec::new();
    for (text, name) in [
        (
            "spring:\n  cloud:\n    azure:\n      credential:\n        client-id: hunter2\n",
            "Spring",
        ),
        (
            "spring:\n  security:\n    oauth2:\n      client:\n        registration: {}\n",
            "Spring",
        ),
        (
            "# mine\nspring.cloud.azure.credential.client-secret=hunter2\n",
            "Spring",
        ),
        (
            "spring.security.oauth2.client.provider.a.token-uri=https://x.example\n",
            "Spring",
        ),
        (
            "provider = \"entra-id\"\noidc_issuer_url = \"https://x.example\"\nclient_secret = \"hunter2\"\n",
            "oauth2-proxy",
        ),
        (
            "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: []\n",
            "GitHub Actions",
        ),
        (
            "services:\n  app:\n    environment:\n      AZURE_CLIENT_ID: hunter2\n",
            "Docker Compose",
        ),
        ("services:\n  app:\n    image: x\n", "Docker Compose"),
        (
            "terraform {\n}\nprovider \"azurerm\" {\n  client_secret = \"hunter2\"\n}\n",
            "Terraform",
        ),
        (
            "resource \"azuread_application\" \"a\" {\n  display_name = \"hunter2\"\n}\n",
            "Terraform",
        ),
        (
            "{\"type\": \"external_account\", \"subject_token_type\": \"x\", \"credential_source\": {\"file\": \"/t\"}}",
            "Google Cloud",
        ),
        (
            "{\"type\": \"service_account\", \"private_key\": \"hunter2\", \"client_email\": \"x@y.example\"}",
            "Google Cloud",
        ),
        (
            "{\"client_id\": \"c\", \"client_secret\": \"hunter2\", \"refresh_token\": \"r\", \"type\": \"authorized_user\"}",
            "Google Cloud",
        ),
        (
            "{\"name\": \"f\", \"issuer\": \"https://x.example\", \"subject\": \"hunter2\", \"audiences\": []}",
            "a federated credential",
        ),
        (
            "{\"issuer\": \"https://x.example\", \"jwks_uri\": \"https://x.example/keys\"}",
            "metadata",
        ),
        (
            "{\"keys\": [{\"kty\": \"RSA\", \"d\": \"hunter2\"}]}",
            "JWK",
        ),
        (
            "{\"access_token\": \"hunter2\", \"token_type\": \"Bearer\"}",
            "an answer with a token",
        ),
        (
            "{\"accessToken\": \"hunter2\", \"tokenType\": \"Bearer\"}",
            "an answer with a token",
        ),
        (
            "{\"authority\": \"https://login.microsoftonline.com/t\", \"client_id\": \"c\", \"secret\": \"hunter2\"}",
            "MSAL",
        ),
        (
            "{\"auth\": {\"clientId\": \"c\", \"authority\": \"https://x.example/t\", \"clientSecret\": \"hunter2\"}}",
            "MSAL",
        ),
        (
            "<?xml version=\"1.0\"?>\n<configuration><add key=\"ClientId\" value=\"hunter2\"/></configuration>",
            "XML",
        ),
    ] {
        let said = Mistaken::of(text, Kind::Configuration, Reader::Command);
        let said = said.unwrap();
        assert!(said.message.contains(name), "{text}: {said:?}");
        assert!(!said.message.contains("hunter2"), "{said:?}");
        if !remedies.contains(&said.hint) {
            remedies.push(said.hint);
        }
    }
    assert_eq!(remedies.len(), 12);
}

/// What is read, or is told otherwise, stays what it is, whatever else it has.
#[test]
fn what_is_known_goes_before_files_of_other_programs() {
    for (text, kind) in [
        (
            "{\"identities\": {\"app\": {\"authority\": \"x\", \"client_id\": \"c\"}}}",
            Some(Kind::Configuration),
        ),
        (
            "{\"AzureAd\": {\"ClientId\": \"c\"}, \"Other\": {\"accessToken\": \"x\"}}",
            Some(Kind::AppSettings),
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  application.yaml: |\n    spring:\n",
            Some(Kind::Kubernetes),
        ),
        ("offspring: 1\n", None),
        ("jobs: 1\n", None),
        ("services: 1\n", None),
        ("a < b\n", None),
    ] {
        assert_eq!(Kind::of(text), kind, "{text}");
    }
}
