//! The linear memories of wasm instances in this process or in one that it has started, seen from outside.
//!
//! wasmtime gives nobody the memory of a component's core instance, so the search goes over the process's own mappings
//! (Linux): a linear memory begins where a mapping begins, and holds the module's constants at the place that its data
//! section says.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Child;

use anyhow::{Context as _, Result};
use wasmparser::{DataKind, Operator, Parser, Payload};

/// Constants at a place in linear memory.
struct Constants {
    offset: u64,
    bytes: Vec<u8>,
}

/// Copies of all linear memories in which that component's module runs.
pub fn of_component(wasm: &Path) -> Result<Vec<Vec<u8>>> {
    of_component_in("self", wasm)
}

/// The same of a child of this process.
pub fn of_component_of(child: &Child, wasm: &Path) -> Result<Vec<Vec<u8>>> {
    of_component_in(&child.id().to_string(), wasm)
}

fn of_component_in(process: &str, wasm: &Path) -> Result<Vec<Vec<u8>>> {
    let wasm = fs::read(wasm).with_context(|| format!("cannot read {}", wasm.display()))?;
    let constants = constants(&wasm)?.context("the component's module has no data")?;
    let maps = fs::read_to_string(format!("/proc/{process}/maps"));
    let maps = maps.context("cannot read the maps of the process")?;
    let mappings: Vec<(u64, u64)> = maps.lines().filter_map(writable).collect();
    let memory = File::open(format!("/proc/{process}/mem"));
    let memory = memory.context("cannot open the memory of the process")?;
    let mut found = Vec::new();
    for (index, (start, _)) in mappings.iter().enumerate() {
        let there = read(
            &memory,
            start.saturating_add(constants.offset),
            constants.bytes.len(),
        );
        if there.is_none_or(|there| there != constants.bytes) {
            continue;
        }
        // the initial image and what the guest grew into are mappings of their own, side by side
        let mut end = *start;
        for (from, to) in mappings.iter().skip(index) {
            if *from != end {
                break;
            }
            end = *to;
        }
        let length =
            usize::try_from(end - start).context("a memory larger than the address space")?;
        let copy = read(&memory, *start, length);
        // instances of other tests come and go in this process: what has gone meanwhile may by now be the host's memory
        let there = read(
            &memory,
            start.saturating_add(constants.offset),
            constants.bytes.len(),
        );
        if there.as_ref() == Some(&constants.bytes) {
            found.extend(copy);
        }
    }
    Ok(found)
}

/// The largest data segment of the component's modules.
fn constants(wasm: &[u8]) -> Result<Option<Constants>> {
    let mut largest: Option<Constants> = None;
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::DataSection(section) = payload.context("the component cannot be parsed")?
        else {
            continue;
        };
        for segment in section {
            let segment = segment?;
            let DataKind::Active { offset_expr, .. } = segment.kind else {
                continue;
            };
            let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? else {
                continue;
            };
            if largest
                .as_ref()
                .is_none_or(|found| found.bytes.len() < segment.data.len())
            {
                largest = Some(Constants {
                    offset: u64::from(value.cast_unsigned()),
                    bytes: segment.data.to_vec(),
                });
            }
        }
    }
    Ok(largest)
}

/// Start and end of a mapping that can be written: `7f…-7f… rw-p …`.
fn writable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    rest.starts_with("rw")
        .then_some((address(start)?, address(end)?))
}

fn read(memory: &File, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    memory
        .read_exact_at(&mut bytes, address)
        .ok()
        .map(|()| bytes)
}
