//! `cargo xtask package`: what a release consists of, in `dist/release/`.
//!
//! ```text
//! edgepass-VERSION-TARGET.tar.gz   commands, filter, component (also as machine code), interfaces, man pages, completions
//! crates/                          the packages of the library and the command
//! sbom/                            what each artifact is made of (CycloneDX)
//! oci/                             an image layout: command, filter (two forms), components, interfaces, and the bill of
//!                                  materials of each as what refers to it
//! SHA256SUMS                       of all files but those of the layout, which name themselves
//! ```
//!
//! The same tree gives the same bytes on every machine with the same compiler: nothing in them is of the day.

use crate::artifacts::{COMPONENTS, FILTERS};
use crate::digest::{self, sha256};
use crate::oci::{self, File, Layout, Reader};
use crate::sh::{Cmd, step};
use crate::{about, artifacts, build, bundle, consumer, workspace};
use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use flate2::read::GzDecoder;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use wit_component::DecodedWasm;

#[derive(Args)]
pub(crate) struct Options {
    /// Only the crates
    #[arg(long)]
    crates: bool,
    /// Build a program outside this tree from the packed crates as users do, from nothing: some minutes
    #[arg(long)]
    prove: bool,
}

/// What a registry gets, each after those that it builds on.
const CRATES: &[&str] = &[
    "edgepass-core",
    "edgepass-rules",
    "edgepass-settings",
    "edgepass-precompile",
    "edgepass-aot",
    "edgepass",
    "edgepass-cli",
];

/// What registries take at most.
const CRATE_BYTES: usize = 10 << 20;

/// The certification authorities of this machine, for an image that has nothing else.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What the archive has to be read.
const PAGES: &[&str] = &[
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "TROUBLESHOOTING.md",
];

/// The image layout, in the folder of the release.
const LAYOUT: &str = "oci";

const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(crate) fn run(options: &Options) -> Result<()> {
    let _lock = workspace::lock()?;
    if options.crates {
        crates()?;
        return Ok(());
    }
    build::all()?;
    bundle::check()?;
    let release = release()?;
    if options.prove {
        consumer::check(consumer::Code::Bundled)?;
    }
    let layout = release.join(LAYOUT);
    for path in digest::files(&release)? {
        if !path.starts_with(&layout) {
            eprintln!("  {}", workspace::shown(&path));
        }
    }
    for name in Reader::open(&layout)?.names() {
        eprintln!("  {}:{name}", workspace::shown(&layout));
    }
    Ok(())
}

/// Writes it into `dist/release/`, of what is built already.
pub(crate) fn release() -> Result<PathBuf> {
    let release = workspace::dist().join("release");
    if release.exists() {
        fs::remove_dir_all(&release).context("cannot empty dist/release")?;
    }
    fs::create_dir_all(release.join("crates")).context("cannot create dist/release")?;
    for path in crates()? {
        let name = path.file_name().unwrap_or_default();
        fs::copy(&path, release.join("crates").join(name)).context("cannot copy a crate")?;
    }
    step("writing the archive", || archive(&release))?;
    let target = target()?;
    let bills = step("writing the bills of materials", || {
        artifacts::bills(&release.join("sbom"), &target)
    })?;
    let layout = release.join(LAYOUT);
    step("building the command without shared libraries", || {
        link_whole()?.run()?;
        let command = build::released().join(build::COMMAND.1);
        let command = fs::read(command).context("cannot read the command")?;
        let bill = artifacts::bill_of_program(build::COMMAND, &command, &target)?;
        images(&layout, &command, &bill, &bills)
    })?;
    step("reading the images as their users do", || {
        check_images(&layout)
    })?;
    sums(&release)?;
    Ok(release)
}

/// The command of the image, where it is unpacked to be looked at.
pub(crate) fn image_command() -> PathBuf {
    workspace::target().join("edgepass").join("edgepass-image")
}

/// Packs the crates and looks at what is in them. They are not compiled here: a consumer does that.
pub(crate) fn crates() -> Result<Vec<PathBuf>> {
    step("packing the crates", || {
        let mut cmd = Cmd::cargo()
            .args(["package", "--locked", "--no-verify", "--allow-dirty"])
            .arg("--target-dir")
            .arg(workspace::target());
        for name in CRATES {
            cmd = cmd.args(["-p", name]);
        }
        cmd.quiet("package")?;
        CRATES
            .iter()
            .map(|name| {
                let path = packed(name);
                check_crate(name, &path)
                    .with_context(|| format!("the packed {name} is not as it should be"))?;
                Ok(path)
            })
            .collect()
    })
}

/// Unpacks the packed crates below a folder, each under its name.
pub(crate) fn unpack(into: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    CRATES
        .iter()
        .map(|name| {
            let bytes = fs::read(packed(name)).with_context(|| format!("{name} is not packed"))?;
            let mut archive = tar::Archive::new(GzDecoder::new(bytes.as_slice()));
            // packed files are all of one day: in a folder of the same name as an earlier one cargo would not see that they
            // have changed
            archive.set_preserve_mtime(false);
            archive
                .unpack(into)
                .with_context(|| format!("cannot unpack {name}"))?;
            Ok((*name, into.join(format!("{name}-{VERSION}"))))
        })
        .collect()
}

fn packed(name: &str) -> PathBuf {
    workspace::target()
        .join("package")
        .join(format!("{name}-{VERSION}.crate"))
}

fn check_crate(name: &str, path: &Path) -> Result<()> {
    let bytes = fs::read(path)?;
    ensure!(
        bytes.len() < CRATE_BYTES,
        "{} bytes are too many",
        bytes.len()
    );
    let files = unzipped(&bytes)?;
    let file = |file: &str| {
        files
            .get(&format!("{name}-{VERSION}/{file}"))
            .with_context(|| format!("{file} is missing"))
    };
    let license = fs::read(workspace::root().join("LICENSE"))?;
    ensure!(*file("LICENSE")? == license, "LICENSE is another one");
    ensure!(!file("README.md")?.is_empty(), "README.md is empty");
    let manifest: toml::Table = toml::from_str(std::str::from_utf8(file("Cargo.toml")?)?)?;
    let package = manifest.get("package").context("it has no package")?;
    for field in [
        "description",
        "license",
        "repository",
        "rust-version",
        "readme",
    ] {
        ensure!(package.get(field).is_some(), "`{field}` is missing");
    }
    ensure!(package.get("publish").is_none(), "`publish` forbids it");
    if name == "edgepass-aot" {
        let component = "component/credential-provider.wasm";
        let kept = fs::read(workspace::root().join("host/aot").join(component))?;
        ensure!(*file(component)? == kept, "{component} is another one");
    }
    // those in the sources are modules
    let tests = |path: &&String| path.contains("/tests/") && !path.contains("/src/");
    if let Some(path) = files.keys().find(tests) {
        bail!("{path} has no business in it");
    }
    Ok(())
}

fn unzipped(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(GzDecoder::new(bytes)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(path, content);
    }
    Ok(files)
}

/// Man pages of the command: name and text.
fn man_pages(command: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let page = |names: &[&str]| Cmd::new(command).arg("man").args(names).read();
    let mut pages = vec![("edgepass.1".to_owned(), page(&[])?.into_bytes())];
    for names in [
        &["token"][..],
        &["authorization-url"],
        &["config"],
        &["config", "check"],
        &["config", "schema"],
        &["envoy-config"],
        &["run"],
        &["serve-http"],
        &["compose"],
        &["completions"],
    ] {
        pages.push((
            format!("edgepass-{}.1", names.join("-")),
            page(names)?.into_bytes(),
        ));
    }
    Ok(pages)
}

fn archive(release: &Path) -> Result<()> {
    let dist = workspace::dist();
    let command = dist.join("edgepass");
    let top = format!("edgepass-{VERSION}-{}", target()?);
    let mut files: Vec<(String, u32, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, mode: u32, content: Vec<u8>| {
        files.push((format!("{top}/{name}"), mode, content));
    };
    let read = |path: &Path| {
        fs::read(path).with_context(|| format!("cannot read {}", workspace::shown(path)))
    };
    add("bin/edgepass", 0o755, read(&command)?);
    let run = build::RUN.1;
    add(&format!("bin/{run}"), 0o755, read(&dist.join(run))?);
    for wasm in FILTERS.iter().chain(COMPONENTS) {
        add(&format!("wasm/{}", wasm.file()), 0o644, wasm.content()?);
    }
    add(
        "lib/credential-provider.cwasm",
        0o644,
        read(&workspace::cwasm())?,
    );
    for name in PAGES {
        add(name, 0o644, read(&workspace::root().join(name))?);
    }
    add("credentials.wit", 0o644, read(&build::interface_file())?);
    let interface_p2 = dist.join(build::INTERFACE_P2);
    add(build::INTERFACE_P2, 0o644, read(&interface_p2)?);
    // what README leads to, and the template of a component, without what somebody has built in it
    for folder in [
        "docs",
        "wit",
        "examples/component",
        "examples/go",
        "examples/javascript",
        "examples/login-backend",
        "examples/python",
        "examples/python-async",
    ] {
        let root = workspace::root().join(folder);
        for path in digest::files(&root)? {
            let name = path.strip_prefix(&root)?;
            if !name.starts_with("target") {
                add(&format!("{folder}/{}", name.display()), 0o644, read(&path)?);
            }
        }
    }
    for (name, page) in man_pages(&command)? {
        add(&format!("share/man/man1/{name}"), 0o644, page);
    }
    for (shell, place) in [
        ("bash", "bash-completion/completions/edgepass"),
        ("zsh", "zsh/site-functions/_edgepass"),
        ("fish", "fish/vendor_completions.d/edgepass.fish"),
    ] {
        let script = Cmd::new(&command).args(["completions", shell]).read()?;
        add(&format!("share/{place}"), 0o644, script.into_bytes());
    }
    let entries: Vec<(&str, u32, &[u8])> = files
        .iter()
        .map(|(name, mode, content)| (name.as_str(), *mode, content.as_slice()))
        .collect();
    let archive = oci::gzip(&oci::tar(&entries)?)?;
    let unpacked = unzipped(&archive)?;
    ensure!(
        entries
            .iter()
            .all(|(name, _, content)| unpacked.get(*name).map(Vec::as_slice) == Some(content)),
        "what is in the archive is not what was put there"
    );
    fs::write(release.join(format!("{top}.tar.gz")), archive).context("cannot write the archive")
}

/// The target that `dist/edgepass` is for.
fn target() -> Result<String> {
    let about = Cmd::new("rustc").arg("-vV").read()?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// A compiler that links the command with everything in it.
const WHOLE: &str = r#"#!/bin/sh
rustc=$1
shift
case " $* " in
    *" --crate-name edgepass "*" --crate-type bin "*) exec "$rustc" "$@" -Ctarget-feature=+crt-static ;;
esac
exec "$rustc" "$@"
"#;

/// Builds the command with everything in it, so that an image needs nothing else. It is the selection of `dist/edgepass`, and a
/// wrapper of the compiler concerns this tree's crates alone, so no dependency is compiled again.
pub(crate) fn link_whole() -> Result<Cmd> {
    let wrapper = workspace::target().join("edgepass").join("rustc-whole");
    workspace::write_if_changed(&wrapper, WHOLE.as_bytes())?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
        .context("cannot make the compiler's wrapper executable")?;
    Ok(build::release(&[build::COMMAND]).env("RUSTC_WORKSPACE_WRAPPER", &wrapper))
}

const FILTER_IN_VOLUME: &str = "edgepass-envoy.wasm";

fn images(
    layout: &Path,
    command: &[u8],
    bill: &[u8],
    bills: &BTreeMap<&str, Vec<u8>>,
) -> Result<()> {
    let annotations = [
        ("title", "edgepass"),
        ("version", VERSION),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
    ]
    .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()));
    let mut layout = Layout::create(layout, annotations.into())?;
    let authorities = fs::read(AUTHORITIES).with_context(|| {
        format!("{AUTHORITIES} cannot be read: install the package ca-certificates")
    })?;
    layout.image(
        "edgepass",
        &[
            File {
                path: "usr/bin/edgepass",
                mode: 0o755,
                content: command.to_vec(),
            },
            File {
                path: "etc/ssl/certs/ca-certificates.crt",
                mode: 0o644,
                content: authorities,
            },
        ],
        &json!({
            "Entrypoint": ["/usr/bin/edgepass"],
            "Env": ["PATH=/usr/bin"],
            "User": "65532:65532",
        }),
        &[],
    )?;
    for wasm in FILTERS {
        let filter = wasm.content()?;
        layout.image(
            wasm.name,
            &[
                File {
                    path: "plugin.wasm",
                    mode: 0o644,
                    content: filter.clone(),
                },
                // the name under which `envoy-config` and the chart look for it in a volume of the image, whichever it is:
                // who takes the other image changes nothing else
                File {
                    path: FILTER_IN_VOLUME,
                    mode: 0o644,
                    content: filter.clone(),
                },
            ],
            &json!({}),
            &[("module.wasm.image/variant", "compat")],
        )?;
        layout.filter_artifact(&artifact(wasm.name), &filter)?;
    }
    for wasm in COMPONENTS {
        let component = wasm.content()?;
        let (imports, exports) = interfaces(&component)?;
        layout.component(wasm.name, &component, &imports, &exports)?;
    }
    layout.bill("edgepass", bill)?;
    for (name, bill) in bills {
        layout.bill(name, bill)?;
    }
    for wasm in FILTERS {
        let bill = bills.get(wasm.name).context("a filter has no bill")?;
        layout.bill(&artifact(wasm.name), bill)?;
    }
    for package in about::interfaces()? {
        layout.component(&package.reference(), &package.content, &[], &[])?;
    }
    layout.finish()
}

/// The name of a filter in its second form.
fn artifact(filter: &str) -> String {
    format!("{filter}-artifact")
}

/// What a component imports and exports.
fn interfaces(component: &[u8]) -> Result<(Vec<String>, Vec<String>)> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("the component is none");
    };
    let world = resolve.worlds.get(world).context("it has no world")?;
    let names = |items: Vec<_>| -> Vec<String> {
        items
            .into_iter()
            .map(|key| resolve.name_world_key(key))
            .collect()
    };
    Ok((
        names(world.imports.keys().collect()),
        names(world.exports.keys().collect()),
    ))
}

fn check_images(layout: &Path) -> Result<()> {
    let reader = Reader::open(layout)?;
    for wasm in FILTERS {
        let (image, filter) = (wasm.name, wasm.content()?);
        for name in [image.to_owned(), artifact(image)] {
            ensure!(
                reader.plugin(&name)? == filter,
                "{name} holds another module"
            );
        }
        // what a volume of the image has
        let volume = reader.unpack(image)?;
        ensure!(
            volume.get(FILTER_IN_VOLUME) == Some(&(0o644, filter)),
            "{image} has no {FILTER_IN_VOLUME}, or another one"
        );
    }
    let mut components = Vec::new();
    for wasm in COMPONENTS {
        components.push((wasm.name.to_owned(), wasm.content()?));
    }
    for package in about::interfaces()? {
        components.push((package.reference(), package.content));
    }
    for (name, built) in components {
        let component = reader.manifest(&name)?;
        let [layer] = component.layers.as_slice() else {
            bail!("{name} has not one layer");
        };
        ensure!(
            reader.blob(layer)? == built,
            "{name} holds another component"
        );
    }
    let named = FILTERS
        .iter()
        .chain(COMPONENTS)
        .map(|wasm| wasm.name.to_owned());
    let artifacts = FILTERS.iter().map(|wasm| artifact(wasm.name));
    for name in named.chain(artifacts).chain(["edgepass".to_owned()]) {
        let bills = reader.bills(&name)?;
        ensure!(bills.len() == 1, "{name} has {} bills", bills.len());
    }
    let command = reader.unpack("edgepass")?;
    let (mode, program) = command
        .get("usr/bin/edgepass")
        .context("the image of the command has no command")?;
    ensure!(*mode == 0o755, "the command of the image cannot be run");
    let bills = reader.bills("edgepass")?;
    let bill: serde_json::Value = serde_json::from_slice(bills.first().context("no bill")?)?;
    ensure!(
        bill.pointer("/metadata/component/hashes/0/content") == Some(&json!(sha256(program))),
        "the bill of the image is that of another command"
    );
    ensure!(
        wants_loader(program) == Some(false),
        "the command of the image wants shared libraries"
    );
    let place = image_command();
    fs::write(&place, program).context("cannot unpack the image")?;
    fs::set_permissions(&place, fs::Permissions::from_mode(*mode))?;
    let mut run = Cmd::new(&place).arg("--version");
    run.inner().env_clear();
    let said = run.read()?;
    ensure!(
        said.trim() == format!("edgepass {VERSION}"),
        "it says {said:?}"
    );
    Ok(())
}

/// Whether a program (ELF, 64 bits) names a dynamic loader: its segments have one of the type `PT_INTERP`.
fn wants_loader(program: &[u8]) -> Option<bool> {
    const INTERPRETER: usize = 3;
    let number = |at: usize, bytes: usize| -> Option<usize> {
        let digits = program.get(at..at.checked_add(bytes)?)?;
        let number = digits.iter().rev();
        Some(number.fold(0, |sum, digit| (sum << 8) | usize::from(*digit)))
    };
    if program.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let mut kinds = (0..count).map(|index| number(table.checked_add(index * size)?, 4));
    Some(kinds.any(|kind| kind == Some(INTERPRETER)))
}

fn sums(release: &Path) -> Result<()> {
    let mut text = String::new();
    for path in digest::files(release)? {
        let name = path.strip_prefix(release)?.display().to_string();
        if !Path::new(&name).starts_with(LAYOUT) {
            text.push_str(&format!("{}  {name}\n", sha256(&fs::read(&path)?)));
        }
    }
    fs::write(release.join("SHA256SUMS"), text).context("cannot write SHA256SUMS")
}

#[cfg(test)]
mod tests {
    use super::wants_loader;

    #[test]
    fn a_program_of_shared_libraries_names_its_loader() {
        let this = std::env::current_exe().expect("this program");
        let program = std::fs::read(this).expect("its bytes");
        assert_eq!(wants_loader(&program), Some(true));
        assert_eq!(wants_loader(b"#!/bin/sh\n"), None);
    }
}
