//! The mistakes of variables that describe an identity alone: what is wrong, or not set beside others, is set to something good,
//! and the engine is asked again.

use edgepass::{Config, ConfigError, Environment, Secret};

use super::{MAX_MISTAKES, WHOLE};

/// What a variable may be set to, so that nothing more is to be said of it; the first that will do is taken.
const STAND_INS: &[&str] = &[
    "stand-in.example",
    "11111111-2222-3333-4444-555555555555",
    "/edgepass-stand-in",
    "https://login.microsoftonline.com",
    "https://stand-in.example",
    "http://127.0.0.1:1/stand-in",
    "http://127.0.0.1:1",
    "false",
    "prod",
    "1111111111111111111111111111111111111111",
];

/// All mistakes, that one first.
pub(super) fn all(first: ConfigError, environment: &Environment) -> Vec<ConfigError> {
    let mut found: Vec<ConfigError> = Vec::new();
    let given = environment;
    let mut environment = environment.clone();
    // variables that nobody has set so
    let mut stood_in: Vec<String> = Vec::new();
    let mut follows = false;
    let mut error = first;
    loop {
        let name = error.setting.clone();
        let was_given = given.get(&name).is_some();
        // from there on it is the stand-in that lacks what is not there
        follows |= stood_in
            .iter()
            .any(|stood_in| names(&error.message, stood_in));
        let is_known = |known: &ConfigError| {
            was_given && known.message == error.message && known.hint == error.hint
        };
        if (was_given || !follows) && !found.iter().any(is_known) {
            found.push(error);
        }
        let was_set = environment.get(&name).is_some();
        stood_in.push(name.clone());
        let values = STAND_INS.iter().copied().chain(was_set.then_some(""));
        let mut second_best = None;
        let mut next = None;
        for value in values {
            let stand_in = (name.clone(), Secret::new(value));
            let candidate = environment.clone().with([stand_in]);
            match Config::load(None, &candidate).err() {
                None => {
                    next = Some((candidate, None));
                    break;
                }
                // of a variable that was stood in for it is this value that is wrong, or that one
                Some(error) if error.setting == WHOLE || stood_in.contains(&error.setting) => {}
                Some(error) => {
                    second_best.get_or_insert((candidate, Some(error)));
                }
            }
        }
        match next.or(second_best) {
            Some((better, Some(next))) if found.len() < MAX_MISTAKES => {
                environment = better;
                error = next;
            }
            _ => return found,
        }
    }
}

/// Whether that variable is named in a text, as a word.
fn names(text: &str, variable: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|word| word == variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: (&str, &str) = ("AZURE_TENANT_ID", "t.example");
    const CLIENT: (&str, &str) = ("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000");
    const SECRET: (&str, &str) = ("AZURE_CLIENT_SECRET", "hunter2");
    const CERTIFICATE: (&str, &str) = ("AZURE_CLIENT_CERTIFICATE_PATH", "/c.pem");
    const PASSWORD: (&str, &str) = ("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2");
    const TOKEN_FILE: (&str, &str) = ("AZURE_FEDERATED_TOKEN_FILE", "/token");
    const GITHUB_URL: (&str, &str) = (
        "ACTIONS_ID_TOKEN_REQUEST_URL",
        "https://x.actions.githubusercontent.com/t?a=b",
    );
    const GITHUB_TOKEN: (&str, &str) = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2");
    const PIPELINES_URI: (&str, &str) = ("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com/x");
    const PIPELINES_TOKEN: (&str, &str) = ("SYSTEM_ACCESSTOKEN", "hunter2");
    const CONNECTION: (&str, &str) = (
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID",
        "11111111-2222-3333-4444-555555555555",
    );
    const PROXY: (&str, &str) = ("AZURE_KUBERNETES_TOKEN_PROXY", "https://10.0.0.1");
    const SNI: (&str, &str) = ("AZURE_KUBERNETES_SNI_NAME", "x.example");
    const CA_FILE: (&str, &str) = ("AZURE_KUBERNETES_CA_FILE", "/ca.pem");
    const ENDPOINT: (&str, &str) = ("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token");
    const HEADER: (&str, &str) = ("IDENTITY_HEADER", "hunter2");
    const IMDS: (&str, &str) = ("IMDS_ENDPOINT", "http://127.0.0.1:40342");
    const MSI_ENDPOINT: (&str, &str) = ("MSI_ENDPOINT", "http://127.0.0.1:41/msi/token");
    const MSI_SECRET: (&str, &str) = ("MSI_SECRET", "hunter2");

    fn mistakes(pairs: &[(&str, &str)]) -> Vec<String> {
        let environment = Environment::from_pairs(pairs.iter().copied());
        let found = crate::mistakes::all(None, &environment);
        found.iter().map(|error| error.setting.clone()).collect()
    }

    /// Every set-up of which a part is missing, and what it lacks: nothing that another one would.
    #[test]
    fn one_half_of_a_set_up_has_its_own_mistakes() {
        const THUMBPRINT: (&str, &str) = ("IDENTITY_SERVER_THUMBPRINT", "x");
        const CA_DATA: (&str, &str) = ("AZURE_KUBERNETES_CA_DATA", "x");
        let only = |name| ("AZURE_TOKEN_CREDENTIALS", name);
        let [environment, workload, dev] = [
            only("EnvironmentCredential"),
            only("WorkloadIdentityCredential"),
            only("dev"),
        ];
        let http = ("AZURE_AUTHORITY_HOST", "http://x");
        let both = &["AZURE_CLIENT_ID", "AZURE_TENANT_ID"][..];
        let client = &["AZURE_CLIENT_ID"][..];
        let tenant = &["AZURE_TENANT_ID"][..];
        let connection = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";
        /// Variables; what is said to be missing.
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
        let table: &[Row<'_>] = &[
            (&[], &[]),
            (&[TENANT], client),
            (&[CLIENT], &[]),
            // a secret, a certificate, the token file of the webhook
            (&[SECRET], both),
            (&[SECRET, CLIENT], tenant),
            (&[SECRET, TENANT], client),
            (&[CERTIFICATE], both),
            (&[CERTIFICATE, CLIENT], tenant),
            (&[CERTIFICATE, TENANT], client),
            (&[PASSWORD], &[CERTIFICATE.0]),
            (&[PASSWORD, CLIENT, TENANT], &[CERTIFICATE.0]),
            (&[TOKEN_FILE], both),
            (&[TOKEN_FILE, CLIENT], tenant),
            (&[TOKEN_FILE, TENANT], client),
            // jobs
            (
                &[GITHUB_URL],
                &[GITHUB_TOKEN.0, "AZURE_CLIENT_ID", "AZURE_TENANT_ID"],
            ),
            (&[GITHUB_URL, CLIENT, TENANT], &[GITHUB_TOKEN.0]),
            (&[GITHUB_TOKEN, CLIENT, TENANT], &[GITHUB_URL.0]),
            (&[GITHUB_URL, GITHUB_TOKEN], both),
            (&[GITHUB_URL, GITHUB_TOKEN, CLIENT], tenant),
            (&[GITHUB_URL, GITHUB_TOKEN, TENANT], client),
            (
                &[PIPELINES_URI],
                &[
                    PIPELINES_TOKEN.0,
                    connection,
                    "AZURE_CLIENT_ID",
                    "AZURE_TENANT_ID",
                ],
            ),
            (&[PIPELINES_TOKEN], &[PIPELINES_URI.0]),
            (&[CONNECTION], &[PIPELINES_URI.0]),
            (
                &[PIPELINES_URI, PIPELINES_TOKEN, CLIENT, TENANT],
                &[connection],
            ),
            (
                &[PIPELINES_URI, CONNECTION, CLIENT, TENANT],
                &[PIPELINES_TOKEN.0],
            ),
            (
                &[PIPELINES_TOKEN, CONNECTION, CLIENT, TENANT],
                &[PIPELINES_URI.0],
            ),
            (&[PIPELINES_URI, PIPELINES_TOKEN, CONNECTION], both),
            (
                &[PIPELINES_URI, PIPELINES_TOKEN, CONNECTION, CLIENT],
                tenant,
            ),
            // identity bindings
            (&[PROXY], &[TOKEN_FILE.0]),
            (&[SNI], &[TOKEN_FILE.0]),
            (&[CA_FILE], &[TOKEN_FILE.0]),
            (&[PROXY, CLIENT, TENANT], &[TOKEN_FILE.0]),
            (&[TOKEN_FILE, CLIENT, TENANT, SNI], &[SNI.0]),
            (&[TOKEN_FILE, CLIENT, TENANT, CA_FILE], &[CA_FILE.0]),
            (&[TOKEN_FILE, CLIENT, TENANT, SNI, CA_FILE], &[SNI.0]),
            (
                &[TOKEN_FILE, CLIENT, TENANT, PROXY, SNI, CA_FILE, CA_DATA],
                &[CA_DATA.0],
            ),
            (&[TOKEN_FILE, CLIENT, TENANT, PROXY], &[]),
            // platforms of managed identities
            (&[ENDPOINT], &[HEADER.0]),
            (&[HEADER], &[ENDPOINT.0]),
            (&[IMDS], &[ENDPOINT.0]),
            (&[ENDPOINT, IMDS], &[]),
            (&[MSI_ENDPOINT], &[]),
            (&[MSI_SECRET], &[MSI_ENDPOINT.0]),
            (&[ENDPOINT, TENANT], &[HEADER.0]),
            (&[ENDPOINT, CLIENT], &[HEADER.0]),
            (&[ENDPOINT, CLIENT, TENANT], &[HEADER.0]),
            (&[THUMBPRINT], &[ENDPOINT.0]),
            (&[ENDPOINT, HEADER, THUMBPRINT], &[ENDPOINT.0, THUMBPRINT.0]),
            // what is chosen
            (&[environment], &[SECRET.0]),
            (&[workload], &[TOKEN_FILE.0]),
            (&[dev], &["AZURE_TOKEN_CREDENTIALS"]),
            (
                &[dev, SECRET],
                &[
                    "AZURE_TOKEN_CREDENTIALS",
                    "AZURE_CLIENT_ID",
                    "AZURE_TENANT_ID",
                ],
            ),
            (&[http, SECRET, CLIENT, TENANT], &["AZURE_AUTHORITY_HOST"]),
        ];
        for (pairs, expected) in table {
            assert_eq!(mistakes(pairs), *expected, "{pairs:?}");
        }
    }
}
