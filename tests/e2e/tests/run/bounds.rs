//! What an application may take of the machine.

use anyhow::{Result, ensure};
use edgepass_e2e::Lab;

use crate::{edgepass_run, rules};

/// A command of two modules: the first has that much for itself, the second tries for more and is done if it gets that.
fn component(first: &str, second: &str, grow: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(format!(
        r#"(component
            (core module $first {first})
            (core module $second
                {second}
                (func (export "run") (result i32) (i32.eq {grow} (i32.const -1))))
            (core instance (instantiate $first))
            (core instance $i (instantiate $second))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.6" (instance $exported)))"#
    ))?)
}

/// `--max-memory` bounds all memories and tables together: a page has 64 KiB, an element of a table eight bytes.
#[test]
fn memories_and_tables_together_are_bounded() -> Result<()> {
    let lab = Lab::new("run-bounds")?;
    let config = rules(&lab, 1);
    let pages = |pages: u32| format!("(memory.grow (i32.const {pages}))");
    let elements = |elements: u32| format!("(table.grow (ref.null func) (i32.const {elements}))");
    // 10 MiB
    let (memory, table) = ("(memory 160)", "(table 1310720 funcref)");
    for (name, first, second, grow, fits) in [
        ("one memory", "", "(memory 1)", pages(160), true),
        ("a second memory", memory, "(memory 1)", pages(160), false),
        ("a smaller one", memory, "(memory 1)", pages(64), true),
        (
            "a table",
            "",
            "(table 1 funcref)",
            elements(1_310_720),
            true,
        ),
        (
            "a large table",
            "",
            "(table 1 funcref)",
            elements(4_000_000),
            false,
        ),
        (
            "a table beside a memory",
            memory,
            "(table 1 funcref)",
            elements(1_310_720),
            false,
        ),
        (
            "a memory beside a table",
            table,
            "(memory 1)",
            pages(160),
            false,
        ),
        (
            "a second table",
            table,
            "(table 1 funcref)",
            elements(1_310_720),
            false,
        ),
    ] {
        let application = lab.write("bounds.wasm", component(first, second, &grow)?)?;
        let application = application.display().to_string();
        for (mib, fits) in [("16", fits), ("64", true)] {
            let arguments = ["run", "--max-memory", mib, &application];
            let ran = edgepass_run(&lab, &config, &arguments)?.run()?;
            let expected = if fits { 0 } else { 1 };
            ensure!(
                ran.code == Some(expected),
                "{name}, {mib} MiB: {:?} {}",
                ran.code,
                ran.stderr
            );
        }
    }
    // what it has from the beginning
    for (first, word) in [
        ("(memory 512)", "memory limits"),
        ("(table 4000000 funcref)", "table limits"),
    ] {
        let application = lab.write("bounds.wasm", component(first, "(memory 1)", &pages(1))?)?;
        let application = application.display().to_string();
        let arguments = ["run", "--max-memory", "16", &application];
        let ran = edgepass_run(&lab, &config, &arguments)?.run()?;
        ensure!(
            ran.code == Some(2),
            "{first}: {:?} {}",
            ran.code,
            ran.stderr
        );
        for word in [word, "--max-memory"] {
            ensure!(ran.stderr.contains(word), "{first}: {}", ran.stderr);
        }
    }
    Ok(())
}
