//! What is replaced in a text is in a text: one that was written anew would be left as it is, and speak of settings that
//! nobody has written.

use std::fs;
use std::path::Path;

use super::PHRASES;

/// Rust sources below a folder of the tree, but for those files. What a text has on a line of its own is joined.
fn sources(folder: &str, but_for: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder);
    let mut folders = vec![root];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs")
                && !but_for.iter().any(|name| path.ends_with(name))
            {
                text += &fs::read_to_string(&path).unwrap();
            }
        }
    }
    let lines = text.split("\\\n").enumerate();
    lines
        .map(|(index, line)| if index == 0 { line } else { line.trim_start() })
        .collect()
}

#[test]
fn each_phrase_is_one_that_is_said() {
    let said = ["guest/core/src", "host/src"].map(|folder| sources(folder, &["config/walk.rs"]));
    for (phrase, _) in PHRASES {
        // the certificate of that name
        let written = phrase.replace("default", "{name}");
        assert!(
            said.iter().any(|said| said.contains(&written)),
            "nobody says {phrase:?}"
        );
    }
}
