//! The filter itself dies: Envoy makes its VM anew, and what it knew comes back from the shared data.
//!
//! The module under test has no way to make it panic. A variant of it does: with a wrapper around the function that
//! gets a request's headers, which traps when there are very many of them.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use edgepass_emulator::Fault;
use edgepass_envoy_tests::{Connection, Envoy, Lab, Upstream, filter_path, get, until};
use serde_json::{Value, json};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{CodeSection, ExportSection, Function, FunctionSection, Module};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

/// The function that is wrapped.
const CALLBACK: &str = "proxy_on_request_headers";

/// From so many headers on it traps.
const FATAL: usize = 60;

/// What a request needs to be fatal.
fn fatal() -> Vec<(&'static str, &'static str)> {
    vec![("x-fatal", "1"); FATAL]
}

/// A module with one function more.
struct Wrapper {
    /// The wrapped function, and its type.
    inner: (u32, u32),
    /// The one that is added.
    outer: u32,
}

impl Wrapper {
    fn find(module: &[u8]) -> Self {
        let (mut imported, mut types, mut inner) = (0, Vec::new(), None);
        for payload in Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        if matches!(import.unwrap().ty, TypeRef::Func(_)) {
                            imported += 1;
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    types.extend(section.into_iter().map(Result::unwrap));
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export.unwrap();
                        if export.name == CALLBACK {
                            assert_eq!(export.kind, ExternalKind::Func);
                            inner = Some(export.index);
                        }
                    }
                }
                _ => {}
            }
        }
        let inner: u32 = inner.expect("the callback is exported");
        let own = usize::try_from(inner - imported).unwrap();
        Self {
            inner: (inner, types[own]),
            outer: imported + u32::try_from(types.len()).unwrap(),
        }
    }
}

impl Reencode for Wrapper {
    type Error = std::convert::Infallible;

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_function_section(self, functions, section)?;
        functions.function(self.inner.1);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_code_section(self, code, section)?;
        let mut body = Function::new([]);
        let fatal = i32::try_from(FATAL).unwrap();
        body.instructions()
            .local_get(1)
            .i32_const(fatal)
            .i32_ge_u()
            .if_(wasm_encoder::BlockType::Empty)
            .unreachable()
            .end()
            .local_get(0)
            .local_get(1)
            .local_get(2)
            .call(self.inner.0)
            .end();
        code.function(&body);
        Ok(())
    }

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Result<(), reencode::Error> {
        if export.name == CALLBACK {
            exports.export(CALLBACK, wasm_encoder::ExportKind::Func, self.outer);
            return Ok(());
        }
        reencode::utils::parse_export(self, exports, export)
    }
}

/// The variant of the module.
fn mortal(lab: &Lab) -> PathBuf {
    let module = fs::read(filter_path().unwrap()).unwrap();
    let mut wrapper = Wrapper::find(&module);
    let mut out = Module::new();
    wrapper
        .parse_core_module(&mut out, Parser::new(0), &module)
        .unwrap();
    let path = lab.dir().join("mortal.wasm");
    fs::write(&path, out.finish()).unwrap();
    path
}

#[test]
fn after_a_trap_the_vm_comes_back_with_the_token_and_the_other_worker_goes_on() {
    let lab = Lab::start().unwrap();
    lab.emulator.set_token_lifetime(8, Some(2));
    let upstream = Upstream::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let wasm = mortal(&lab);
    let envoy = Envoy::start(2, |dir| setup.write(dir, &wasm)).unwrap();
    // so many that each worker has some
    let mut callers: Vec<Connection> = (0..24)
        .map(|_| Connection::open(envoy.port()).unwrap())
        .collect();
    for caller in &mut callers {
        assert_eq!(caller.get("/", &[]).unwrap().status, 200);
    }

    let answer = callers[0].get("/", &fatal()).unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    let began = Instant::now();
    let mut failed = vec![false; callers.len()];
    let mut back = false;
    until("the worker serves again", || {
        for (caller, failed) in callers.iter_mut().zip(&mut failed) {
            let answer = caller.get("/", &[]).unwrap();
            *failed |= answer.status == 503;
            assert!([200, 503].contains(&answer.status), "{answer:?}");
        }
        back = callers[0].get("/", &[]).unwrap().status == 200;
        back
    })
    .unwrap();
    println!("served again after {:?}", began.elapsed());
    assert!(
        failed.iter().any(|failed| !failed),
        "the other worker was not affected"
    );
    // and for longer than a refresh takes, with nothing lost
    let until_now = lab.emulator.token_requests().len();
    until("two more refreshes", || {
        for caller in &mut callers {
            assert_eq!(caller.get("/", &[]).unwrap().status, 200);
        }
        lab.emulator.token_requests().len() >= until_now + 2
    })
    .unwrap();
    assert_eq!(envoy.stat("wasm.edgepass.vm_reload_success").unwrap(), 1);

    // both workers at once: one of them may have been the one that asks for all
    for caller in &mut callers {
        assert_eq!(caller.get("/", &fatal()).unwrap().status, 503);
    }
    until("both workers serve again", || {
        callers
            .iter_mut()
            .all(|caller| caller.get("/", &[]).unwrap().status == 200)
    })
    .unwrap();
    let until_now = lab.emulator.token_requests().len();
    until("two refreshes after that", || {
        for caller in &mut callers {
            assert_eq!(caller.get("/", &[]).unwrap().status, 200);
        }
        lab.emulator.token_requests().len() >= until_now + 2
    })
    .unwrap();
    assert!(envoy.stat("wasm.edgepass.vm_reload_success").unwrap() >= 3);
    assert_eq!(envoy.stat("wasm.edgepass.vm_reload_failure").unwrap(), 0);
    let reloads = envoy.stat("wasm.edgepass.vm_reload_success").unwrap();
    let asked = lab.emulator.token_requests();
    let close = asked
        .windows(2)
        .filter(|pair| pair[1].time_ms - pair[0].time_ms < 700);
    let close = u64::try_from(close.count()).unwrap();
    // an exchange that was under way when its VM died is made once more
    assert!(close <= reloads, "{close} of {} exchanges", asked.len());
}

#[test]
fn requests_that_wait_in_a_vm_that_dies_end_with_envoys_idle_timeout() {
    let lab = Lab::start().unwrap();
    lab.emulator.faults().push(Fault::hold().on("/token"));
    let upstream = Upstream::start().unwrap();
    let setup = lab.setup(&lab.plugin(json!({})), upstream.port());
    let wasm = mortal(&lab);
    // nobody but Envoy knows of these requests any more, and its own patience is five minutes
    let envoy = Envoy::start(1, |dir| {
        let mut config: Value = serde_json::from_str(&setup.write(dir, &wasm)).unwrap();
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        config.pointer_mut(manager).unwrap()["stream_idle_timeout"] = json!("4s");
        config.to_string()
    })
    .unwrap();
    let mut waiting: Vec<Connection> = (0..10)
        .map(|_| Connection::open(envoy.port()).unwrap())
        .collect();
    for caller in &mut waiting {
        caller.ask("/waits", &[]).unwrap();
    }
    let stat = "edgepass_requests_held_total";
    envoy.until_stat(stat, |count| count == 10).unwrap();
    let mut killer = Connection::open(envoy.port()).unwrap();
    assert_eq!(killer.get("/", &fatal()).unwrap().status, 503);
    for caller in &mut waiting {
        assert_eq!(caller.answer().unwrap().status, 503);
    }
    assert!(upstream.seen().is_empty(), "none goes on without a token");
    until("it serves again", || {
        get(envoy.port(), "/").unwrap().status == 200
    })
    .unwrap();
    lab.emulator.faults().release();
    // the exchange that was under way when the VM died, and the one of its successor
    let asked = lab.emulator.token_requests().len();
    assert!(asked <= 2, "{asked} exchanges");
}
