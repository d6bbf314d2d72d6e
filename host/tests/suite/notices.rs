//! What is said of credentials and of the token store costs a call nothing that grows with the number of identities.

use edgepass::{Provider, Refresh, TokenRequest};
use serde_json::json;

use crate::providers::graph;
use crate::support::Lab;

/// Identities of one host, as some deployments have them.
const MANY: usize = 690;

/// The embedded component, which traps when it is asked for the status of all identities.
fn without_status() -> Vec<u8> {
    const EXPORT: &str = r#"(export "edgepass:credentials/status@0.2.0#identities" (func "#;

    let component = std::fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/aot/component/credential-provider.wasm"
    ));
    let text = wasmprinter::print_bytes(component.unwrap()).unwrap();
    let (_, after) = text.split_once(EXPORT).unwrap();
    let (function, _) = after.split_once(')').unwrap();
    // `$name`, or its index, which stands at its head as a comment
    let head = match function.starts_with('$') {
        true => format!("(func {function} "),
        false => format!("(func (;{function};) "),
    };
    let at = text.find(&head).unwrap();
    let (before, rest) = text.split_at(at);
    let mut trapping = String::with_capacity(text.len() + 32);
    trapping.push_str(before);
    // behind its type and its locals
    let mut lines = rest.lines();
    let mut is_head = true;
    for line in lines.by_ref() {
        let line_is_head = line.starts_with(&head) || line.trim_start().starts_with("(local ");
        if is_head && !line_is_head {
            trapping.push_str("unreachable\n");
            is_head = false;
        }
        trapping.push_str(line);
        trapping.push('\n');
    }
    wat::parse_str(trapping).unwrap()
}

/// Each with a list of which the first gives nothing, so that there is something to say.
fn many(lab: &Lab) -> String {
    let secret = json!({ "client_secret": { "value": lab.emulator.client_secret() } });
    let list = json!([{ "federated_token_file": { "path": "/nowhere/token" } }, secret]);
    let mut config = lab.config(&list);
    let identity = config["identities"]["app"].take();
    let identities = (0..MANY).map(|n| (format!("app{n}"), identity.clone()));
    config["identities"] = identities.collect::<serde_json::Map<_, _>>().into();
    config.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_asks_for_the_status_of_all_identities() {
    let lab = Lab::new();
    let provider: Provider = Provider::builder()
        .config_json(many(&lab))
        .ca_file(lab.files.ca_file())
        .component(without_status())
        .build()
        .await
        .unwrap();
    for n in [0, 1, MANY - 1] {
        for refresh in [Refresh::IfNeeded, Refresh::Force] {
            let request = TokenRequest {
                identity: Some(format!("app{n}")),
                refresh,
                ..graph()
            };
            provider.get_token(&request).await.unwrap();
        }
    }
    assert_eq!(provider.stats().restarts, 0, "it was asked");
    // and it would have been noticed
    provider.status().await.unwrap_err();
    assert!(provider.stats().restarts > 0);
}
