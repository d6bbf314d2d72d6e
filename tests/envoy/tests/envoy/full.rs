//! The module with every credential, as `edgepass envoy-config --module full` sets Envoy up for it.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use edgepass_emulator::{App, TokenService};
use edgepass_envoy_tests::{Answer, Envoy, Lab, Upstream, full_filter_path, get, until, validate};
use serde_json::{Value, json};

use crate::faults::class_is;
use crate::generated::{envoy_config, plain, text};
use crate::secrets::assert_hidden;

/// An application that trusts the tokens of a platform.
const TRUSTING: &str = "7c1d2e3f-0000-4000-8000-00000000000a";

/// What Entra ID's federated credentials are for.
const EXCHANGE: &str = "api://AzureADTokenExchange";

/// What the command prints for the full module, in that environment.
pub(crate) fn printed(
    lab: &Lab,
    upstream: &Upstream,
    dir: &Path,
    config: &Value,
    environment: &[(&str, String)],
) -> String {
    let wasm = fs::canonicalize(full_filter_path().unwrap()).unwrap();
    let ca_file = lab.dir().join("ca.pem");
    let upstream = format!("127.0.0.1:{}", upstream.port());
    let arguments = [
        ["--module", "full"],
        ["--listen", "127.0.0.1:0"],
        ["--admin", "127.0.0.1:0"],
        ["--upstream", &upstream],
        ["--wasm", wasm.to_str().unwrap()],
        ["--ca-file", ca_file.to_str().unwrap()],
        ["--socket-dir", dir.to_str().unwrap()],
    ]
    .concat();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    text(&envoy_config(dir, config, &arguments, &environment))
}

/// An Envoy in that environment that runs what was printed there, and its first answer.
pub(crate) fn run(
    lab: &Lab,
    upstream: &Upstream,
    config: &Value,
    environment: &[(&str, String)],
) -> (Envoy, Answer) {
    run_with(lab, upstream, config, environment, 2)
}

/// The same with so many workers.
pub(crate) fn run_with(
    lab: &Lab,
    upstream: &Upstream,
    config: &Value,
    environment: &[(&str, String)],
    workers: u32,
) -> (Envoy, Answer) {
    let write = |dir: &Path| printed(lab, upstream, dir, config, environment);
    let envoy = Envoy::start_in(environment, workers, write).unwrap();
    let answer = get(envoy.port(), "/").unwrap();
    (envoy, answer)
}

/// A configuration with that credential and the emulator's client certificate.
fn with_certificate(lab: &Lab, credential: Value) -> Value {
    let volume = lab.dir().join("identity");
    let mut config = plain(lab);
    config["identities"]["app"]["credential"] = credential;
    config["certificates"]["app"] = json!({
        "certificate_file": volume.join("client.pem"),
        "private_key_file": volume.join("client.key"),
    });
    config
}

/// A configuration of the application that trusts that platform, which has a list: a job or machine elsewhere goes on with
/// a token file.
fn trusting(lab: &Lab, platform: TokenService, credential: &Value) -> Value {
    let app = App::new(TRUSTING).federated(platform.issuer(), platform.subject(), EXCHANGE);
    lab.emulator.register_app(app);
    let mut config = plain(lab);
    let identity = &mut config["identities"]["app"];
    identity["client_id"] = json!(TRUSTING);
    identity["credential"] = json!([
        credential,
        {"federated_token_file": {"path": lab.token_file()}},
    ]);
    config
}

/// Header or claims of a JWT.
pub(crate) fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The lines of a PEM file that nobody else may see.
fn secrets(key: &Path) -> Vec<String> {
    let text = fs::read_to_string(key).unwrap();
    let lines = text.lines().filter(|line| line.len() > 60);
    lines.map(str::to_owned).collect()
}

/// What Entra ID recommends, which Envoy has no function for: so it is not allowed to sign.
#[test]
fn ps256_is_signed_in_the_module_and_by_the_next_key_after_a_rotation() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(6, Some(2));
    let upstream = Upstream::start().unwrap();
    let config = with_certificate(&lab, json!({"certificate": {"name": "app"}}));
    let key = lab.dir().join("identity/client.key");
    let mut hidden = secrets(&key);
    let (envoy, answer) = run(&lab, &upstream, &config, &[]);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let configuration = fs::read_to_string(envoy.dir().join("envoy.yaml")).unwrap();
    assert!(configuration.contains("capability_restriction_config"));
    assert!(!configuration.contains("proxy_call_foreign_function"));
    let thumbprint = || {
        let asked = lab.emulator.token_requests();
        let last = asked.last().unwrap();
        assert_eq!(last.status, Some(200));
        let header = part(&last.field("client_assertion").unwrap(), 0);
        assert_eq!(header["alg"], "PS256");
        assert!(header.get("x5t").is_none());
        header["x5t#S256"].as_str().unwrap().to_owned()
    };
    let before = thumbprint();
    lab.emulator.rotate_certificate().unwrap();
    hidden.extend(secrets(&key));
    until("the next one is used", || {
        assert_eq!(get(envoy.port(), "/").unwrap().status, 200);
        thumbprint() != before
    })
    .unwrap();
    assert_hidden(&envoy, &[answer], &hidden);
}

#[test]
fn a_key_that_cannot_sign_is_said() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = with_certificate(&lab, json!({"certificate": {"name": "app"}}));
    config["envoy"]["request_deadline_ms"] = json!(200);
    for (kind, words) in [
        (
            "PRIVATE KEY",
            "its private key cannot be read; give it as PKCS#8 or PKCS#1 in PEM",
        ),
        ("EC PRIVATE KEY", "cannot sign with PS256"),
    ] {
        let key = format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
        fs::write(lab.dir().join("identity/client.key"), key).unwrap();
        let write = |dir: &Path| printed(&lab, &upstream, dir, &config, &[]);
        let envoy = Envoy::start(2, write).unwrap();
        class_is(&envoy, "credential-unavailable");
        envoy.until_logged(words).unwrap();
        assert!(lab.emulator.token_requests().is_empty());
    }
}

/// What a server wants besides the protocol's own is in the form.
#[test]
fn further_parameters_are_sent() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["identities"]["app"]["additional_parameters"] =
        json!({"edge_tag": "a", "edge_zone": "b"});
    let (envoy, answer) = run(&lab, &upstream, &config, &[]);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    let form = asked[0].form();
    let sent = |wanted: &str| {
        let mut values = form.iter().filter(|(name, _)| name == wanted);
        values.next().map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (sent("edge_tag"), sent("edge_zone")),
        (Some("a"), Some("b"))
    );
}

/// RS256 is Envoy's in this module as well, which is quicker.
#[test]
fn rs256_is_signed_by_envoy_as_ever() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let credential = json!({"certificate": {"name": "app", "algorithm": "RS256"}});
    let config = with_certificate(&lab, credential);
    let (envoy, answer) = run(&lab, &upstream, &config, &[]);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let configuration = fs::read_to_string(envoy.dir().join("envoy.yaml")).unwrap();
    assert!(configuration.contains("proxy_call_foreign_function"));
    let header = part(&lab.assertions()[0], 0);
    assert_eq!(header["alg"], "RS256");
}

/// The configuration is printed where the platform is, whose variables say whom to ask and what to show.
#[test]
fn platforms_are_asked_through_clusters() {
    for (credential, platform, keys) in [
        (
            json!({"github_actions": {}}),
            TokenService::GitHub,
            "[ACTIONS_ID_TOKEN_REQUEST_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL]",
        ),
        (
            json!({"azure_pipelines": {}}),
            TokenService::Pipelines,
            "[AZURESUBSCRIPTION_SERVICE_CONNECTION_ID, SYSTEM_ACCESSTOKEN, SYSTEM_OIDCREQUESTURI]",
        ),
        (
            json!({"google_metadata": {}}),
            TokenService::Google,
            "[GCE_METADATA_HOST]",
        ),
    ] {
        let lab = Lab::start_with_metadata().unwrap();
        let upstream = Upstream::start().unwrap();
        let config = trusting(&lab, platform, &credential);
        let variables = lab.emulator.token_service_variables(platform);
        let (envoy, answer) = run(&lab, &upstream, &config, &variables);
        assert_eq!(
            answer.status,
            200,
            "{platform:?} {answer:?}\n{}",
            envoy.log()
        );
        let configuration = fs::read_to_string(envoy.dir().join("envoy.yaml")).unwrap();
        assert!(
            configuration.contains(&format!("host_env_keys: {keys}")),
            "{configuration}"
        );
        let asked = lab.emulator.token_requests();
        assert_eq!(asked.len(), 1, "{platform:?}");
        let assertion = asked[0].field("client_assertion").unwrap();
        assert_eq!(
            part(&assertion, 1)["iss"],
            platform.issuer(),
            "{platform:?}"
        );
        let mut hidden = lab.emulator.token_service_secrets();
        hidden.push(assertion);
        for secret in &hidden {
            assert!(!configuration.contains(secret), "{platform:?}");
        }
        assert_hidden(&envoy, &[answer], &hidden);
    }
}

/// A machine of another cloud: what Google's server would be asked for is not there, and the machine's managed identity is.
#[test]
fn a_managed_identity_takes_the_place_of_what_is_not_there() {
    let lab = Lab::start_with_metadata().unwrap();
    let upstream = Upstream::start().unwrap();
    let identities = lab.emulator.managed_identities();
    let mut assigned = identities.iter().filter(|one| one.resource_id.is_some());
    let assigned = assigned.next().unwrap();
    let issuer = lab.emulator.tenant_issuer();
    let app = App::new(TRUSTING).federated(&issuer, &assigned.object_id, EXCHANGE);
    lab.emulator.register_app(app);
    let mut config = plain(&lab);
    let identity = &mut config["identities"]["app"];
    identity["client_id"] = json!(TRUSTING);
    identity["credential"] = json!([
        {"google_metadata": {"service_account": "nobody@edgepass.iam.gserviceaccount.com"}},
        {"managed_identity_assertion": {"client_id": assigned.client_id}},
    ]);
    let machine = lab.emulator.metadata_authority().unwrap();
    let host = machine.trim_start_matches("http://").to_owned();
    let variables = [
        (
            "AZURE_POD_IDENTITY_AUTHORITY_HOST",
            format!("http://{host}"),
        ),
        ("GCE_METADATA_HOST", host),
    ];
    let (envoy, answer) = run(&lab, &upstream, &config, &variables);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    let asked = lab.emulator.token_requests();
    assert_eq!(asked.len(), 1);
    let assertion = asked[0].field("client_assertion").unwrap();
    assert_eq!(part(&assertion, 1)["sub"], assigned.object_id);
    envoy
        .until_logged("google_metadata `credential[0]` is left aside")
        .unwrap();
}

/// Outside of a job the list goes on. The command has said so, and Envoy says it once.
#[test]
fn away_from_its_platform_a_list_goes_on() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let mut config = plain(&lab);
    config["identities"]["app"]["credential"] = json!([
        {"github_actions": {}},
        {"federated_token_file": {"path": lab.token_file()}},
    ]);
    let said = envoy_config(lab.dir(), &config, &["--module", "full"], &[]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("run this in the job"), "{said}");
    let (envoy, answer) = run(&lab, &upstream, &config, &[]);
    assert_eq!(answer.status, 200, "{answer:?}\n{}", envoy.log());
    assert_eq!(lab.assertions(), [lab.workload_token().unwrap()]);
    envoy.until_logged("is left aside").unwrap();
    assert!(envoy.log().contains("github_actions"), "{}", envoy.log());
}

/// The other module has none of it, and says where it is; and so does the command.
#[test]
fn the_default_module_names_this_one() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let ps256 = with_certificate(&lab, json!({"certificate": {"name": "app"}}));
    let mut google = plain(&lab);
    google["identities"]["app"]["credential"] = json!({"google_metadata": {}});
    for (config, words) in [
        (
            ps256,
            "identities.app.credential.certificate.algorithm: is PS256, which Envoy has no function for",
        ),
        (
            google,
            "identities.app.credential.google_metadata: is not in edgepass-envoy.wasm",
        ),
    ] {
        let refused = envoy_config(lab.dir(), &config, &[], &[]);
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(
            said.contains(words) && said.contains("edgepass-envoy-full.wasm"),
            "{said}"
        );

        // what was printed for the full module, with the other in its place
        let full: PathBuf = fs::canonicalize(full_filter_path().unwrap()).unwrap();
        let other = fs::canonicalize(edgepass_envoy_tests::filter_path().unwrap()).unwrap();
        let (good, said) = validate(|dir| {
            let text = printed(&lab, &upstream, dir, &config, &[]);
            text.replace(full.to_str().unwrap(), other.to_str().unwrap())
        })
        .unwrap();
        assert!(!good && said.contains(words), "{said}");
        assert!(said.contains("edgepass-envoy-full.wasm"), "{said}");
    }
}

/// What the other module does this one does as well.
#[test]
fn a_token_file_is_enough_here_too() {
    let lab = Lab::start().unwrap();
    let upstream = Upstream::start().unwrap();
    let config = plain(&lab);
    let (_envoy, answer) = run(&lab, &upstream, &config, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    // and what is printed for it is what is printed for the other, but for the module's name
    let of = |module: &str| {
        let arguments = ["--module", module];
        text(&envoy_config(lab.dir(), &config, &arguments, &[]))
    };
    assert_eq!(
        of("full").replace("edgepass-envoy-full.wasm", "edgepass-envoy.wasm"),
        of("default")
    );
}
