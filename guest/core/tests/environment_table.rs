//! The table of the SDKs' variables in `docs/environment.md` is the one in the code.

use std::path::Path;

use edgepass_core::config::{Reading, VARIABLES};

#[test]
fn the_documented_table_is_the_one_in_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/environment.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut table = String::from("| variable | |\n|---|---|\n");
    for known in VARIABLES {
        let names: Vec<_> = known.names.iter().map(|name| format!("`{name}`")).collect();
        let text = match known.reading {
            Reading::Read(what_for) | Reading::ReadPlatform(what_for) => {
                format!("read: {what_for}")
            }
            Reading::Unread(what_to_do) => {
                format!("not used: {what_to_do}")
            }
        };
        table.push_str(&format!("| {} | {text} |\n", names.join(", ")));
    }
    assert!(
        document.contains(&table),
        "docs/environment.md needs this table:\n{table}"
    );
}
