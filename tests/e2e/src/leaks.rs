//! The search for secrets in text.
//!
//! Every secret, its base64 in each alignment and its hexadecimal digits are cut into blocks. A text that has any run of [`RUN`] characters of
//! one of them has at least one whole block, so looking up each window of the text finds it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// Characters of a block. Twelve random base64 characters are 72 bits: none stands anywhere by accident.
const BLOCK: usize = 12;

/// The shortest run that is found for certain.
pub const RUN: usize = 2 * BLOCK;

/// What is looked at of a memory at once, bytes.
const PAGE: usize = 4096;

/// The shortest text that can be a secret.
const SHORTEST: usize = 8;

/// Secrets, ready to be searched for.
#[derive(Default)]
pub struct Secrets {
    /// Block to the secret's kind.
    blocks: HashMap<Vec<u8>, String>,
    /// Secrets that are shorter than a run, whole.
    short: HashMap<String, String>,
    count: usize,
}

impl Secrets {
    /// The secrets that the tests recorded in that directory.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut secrets = Self::default();
        for (path, text) in texts(dir)? {
            for line in text.lines() {
                let json: Value = serde_json::from_str(line).with_context(|| path.clone())?;
                let (Some(kind), Some(value)) = (field(&json, "kind"), field(&json, "value"))
                else {
                    bail!("{path}: a line without kind or value");
                };
                ensure!(
                    value.len() >= SHORTEST,
                    "{path}: a {kind} of {} bytes would be found anywhere",
                    value.len()
                );
                secrets.add(kind, value);
            }
        }
        ensure!(
            secrets.count > 0,
            "no secret is on record in {}",
            dir.display()
        );
        Ok(secrets)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// One more.
    pub fn add(&mut self, kind: &str, value: &str) {
        self.count += 1;
        let percent: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
        for form in [value, &percent] {
            if form.len() < RUN {
                self.short.insert(form.to_owned(), kind.to_owned());
            }
            self.add_blocks(kind, form.as_bytes());
        }
        for hex in [hex(value, false), hex(value, true)] {
            self.add_blocks(&format!("{kind}, hexadecimal"), hex.as_bytes());
        }
        // inside something longer, a secret's base64 has one of three alignments; its ends then differ
        for skip in 0..3 {
            let tail = value.as_bytes().get(skip..).unwrap_or_default();
            for encoded in [STANDARD_NO_PAD.encode(tail), URL_SAFE_NO_PAD.encode(tail)] {
                let whole = encoded.len().saturating_sub(3);
                self.add_blocks(
                    &format!("{kind}, base64"),
                    encoded.get(..whole).unwrap_or_default().as_bytes(),
                );
            }
        }
    }

    /// The kind of the first secret that occurs in the text.
    #[must_use]
    pub fn find_in(&self, text: &str) -> Option<&str> {
        let whole = self
            .short
            .iter()
            .find(|(secret, _)| text.contains(secret.as_str()));
        let run = || {
            text.as_bytes()
                .windows(BLOCK)
                .find_map(|window| self.blocks.get(window))
        };
        whole.map(|(_, kind)| kind).or_else(run).map(String::as_str)
    }

    /// The kind of the first secret that occurs in that memory.
    #[must_use]
    pub fn find_in_memory(&self, memory: &[u8]) -> Option<&str> {
        // most pages of a linear memory have nothing in them
        let pages: Vec<&[u8]> = memory.chunks(PAGE).collect();
        let runs = pages.split(|page| page.iter().all(|byte| *byte == 0));
        runs.filter(|run| !run.is_empty()).find_map(|run| {
            let bytes = run.concat();
            self.find_in(&String::from_utf8_lossy(&bytes))
        })
    }

    fn add_blocks(&mut self, kind: &str, bytes: &[u8]) {
        for block in bytes.chunks_exact(BLOCK) {
            self.blocks.insert(block.to_vec(), kind.to_owned());
        }
    }
}

fn hex(text: &str, upper: bool) -> String {
    let digits = text.bytes().map(|byte| match upper {
        false => format!("{byte:02x}"),
        true => format!("{byte:02X}"),
    });
    digits.collect()
}

/// Every file below that directory as text, with its path.
pub fn texts(dir: &Path) -> Result<Vec<(String, String)>> {
    let shown = || format!("cannot read {}", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(shown)? {
        let path = entry.with_context(shown)?.path();
        if path.is_dir() {
            found.extend(texts(&path)?);
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        found.push((
            path.display().to_string(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ));
    }
    Ok(found)
}

fn field<'a>(json: &'a Value, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str =
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.q8Zr3pT0uVnXw5yK1mB7cD2eF4gH6iJ9kL0oPaRsQtU-vWxYz_A";

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.add("token", TOKEN);
        secrets.add("client secret", "p+w &%=~8Q");
        secrets.add("padded secret", "abcdefghijklmnop~+&=%_8Qzyxwvut");
        secrets
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secrets = secrets();
        let signature = TOKEN.rsplit('.').next().unwrap();
        for text in [
            format!("token={TOKEN}"),
            format!("…{}…", signature.get(7..7 + RUN).unwrap()),
            "the secret p+w &%=~8Q was refused".to_owned(),
            "client_secret=p%2Bw+%26%25%3D%7E8Q&scope=x".to_owned(),
            "client_secret=abcdefghijklmnop%7E%2B%26%3D%25_8Qzyxwvut".to_owned(),
            STANDARD_NO_PAD.encode(format!("client:{TOKEN}")),
            STANDARD_NO_PAD.encode(format!("a:{TOKEN}")),
            URL_SAFE_NO_PAD.encode(format!("ab:{TOKEN}")),
            hex(TOKEN, false),
            hex(&format!("x{TOKEN}"), true),
        ] {
            assert!(secrets.find_in(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn other_text_is_no_secret() {
        let text = "edgepass: error: localhost:1234 refused: invalid_client: AADSTS700213 (HTTP 401) [redacted]";
        assert_eq!(secrets().find_in(text), None);
    }
}
