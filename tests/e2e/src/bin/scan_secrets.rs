//! Searches everything that the end-to-end tests printed for the secrets that they used. Run it after them:
//! `cargo run --release -p edgepass-e2e --bin scan-secrets`.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use edgepass_e2e::leaks::{Secrets, texts};
use edgepass_e2e::{output_root, secrets_root};

/// Leaks that are named one by one; more of them have the same cause.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    match scan() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(leaks) => {
            eprintln!("{leaks} lines of output have a secret");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!(
                "the output of the tests cannot be searched: {error:#}; run `cargo xtask test` first"
            );
            ExitCode::FAILURE
        }
    }
}

/// How many lines have a secret. Each is named by its place and never shown.
fn scan() -> Result<usize> {
    let secrets = Secrets::load(&secrets_root())?;
    let outputs = texts(&output_root())?;
    ensure!(
        !outputs.is_empty(),
        "no output is on record in {}",
        output_root().display()
    );
    let mut lines = 0;
    let mut leaks = 0;
    for (path, text) in &outputs {
        for (index, line) in text.lines().enumerate() {
            lines += 1;
            if let Some(kind) = secrets.find_in(line) {
                leaks += 1;
                if leaks <= SHOWN {
                    eprintln!("{path}:{}: {kind}", index + 1);
                }
            }
        }
    }
    println!(
        "{lines} lines in {} files searched for {} secrets: {leaks} found",
        outputs.len(),
        secrets.count()
    );
    Ok(leaks)
}
