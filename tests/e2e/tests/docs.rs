//! What the documentation shows works: every configuration is read by `edgepass config check`, every shell block is
//! run, every link leads to a file, every sample of WIT is part of the interface.
//!
//! Two commands are left out because they run this very test: `cargo xtask demo` and `cargo xtask test`; CI runs both.

#![cfg(test)]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

const PAGES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "TROUBLESHOOTING.md",
    "CHANGELOG.md",
    "docs/applications.md",
    "docs/benchmarks.md",
    "docs/components.md",
    "docs/compose.md",
    "docs/configuration.md",
    "docs/credentials/README.md",
    "docs/credentials/assertion-source.md",
    "docs/credentials/aws-web-identity.md",
    "docs/credentials/azure-pipelines.md",
    "docs/credentials/bound-certificate.md",
    "docs/credentials/certificate.md",
    "docs/credentials/client-assertion.md",
    "docs/credentials/client-secret.md",
    "docs/credentials/executable.md",
    "docs/credentials/federated-token-file.md",
    "docs/credentials/github-actions.md",
    "docs/credentials/google-metadata.md",
    "docs/credentials/key-vault.md",
    "docs/credentials/managed-identity.md",
    "docs/credentials/oidc-federation.md",
    "docs/credentials/private-key-jwt.md",
    "docs/credentials/spiffe.md",
    "docs/downstream.md",
    "docs/environment.md",
    "docs/envoy.md",
    "docs/formats.md",
    "docs/from-appsettings.md",
    "docs/from-python-social-auth.md",
    "docs/grants.md",
    "docs/install.md",
    "docs/interfaces.md",
    "docs/servers.md",
    "docs/networks.md",
    "docs/shared-cache.md",
    "docs/wasi-0-2.md",
    "examples/spin/README.md",
    "examples/wasmcloud/README.md",
    "host/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a page: their info string and text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((info.to_owned(), body.join("\n")));
        }
    }
    blocks
}

/// The blocks of that kind in all pages.
fn all(kind: &str) -> Vec<(&'static str, String)> {
    let of_page = |name: &&'static str| {
        let name = *name;
        blocks(&page(name))
            .into_iter()
            .filter(|(info, _)| info == kind)
            .map(move |(_, body)| (name, body))
            .collect::<Vec<_>>()
    };
    PAGES.iter().flat_map(of_page).collect()
}

fn edgepass() -> PathBuf {
    let path = root().join("dist/edgepass");
    assert!(
        path.exists(),
        "{} is missing: run `cargo xtask build`",
        path.display()
    );
    path
}

#[test]
fn configurations_are_valid() {
    for (kind, ending) in [
        ("json", "json"),
        ("yaml edgepass", "yaml"),
        ("toml edgepass", "toml"),
    ] {
        check_configurations(kind, ending);
    }
}

/// The blocks of that kind are good configurations, in files with that ending.
fn check_configurations(kind: &str, ending: &str) {
    let configurations = all(kind);
    assert!(!configurations.is_empty(), "no page shows a {kind}");
    let file = root().join(format!("target/docs-config.{ending}"));
    for (page, text) in configurations {
        fs::write(&file, &text).expect("target/ can be written");
        let check = Command::new(edgepass())
            .args(["config", "check", "--config"])
            .arg(&file)
            .env_clear()
            // what a page shows of commands is run by nobody here
            .env("EDGEPASS_ALLOW_EXECUTABLES", "1")
            .output()
            .expect("the command runs");
        assert!(
            check.status.success(),
            "{page}: {}\n{text}",
            String::from_utf8_lossy(&check.stderr)
        );
    }
}

/// The page of formats shows one document in two of them, and in files what it has people paste.
#[test]
fn formats_say_the_same() {
    let of_kind = |kind: &str| -> Vec<String> {
        let blocks = blocks(&page("docs/formats.md")).into_iter();
        let found = blocks.filter(|(info, _)| info == kind);
        found.map(|(_, text)| text).collect()
    };
    let json = |text: &str, ending: &str| {
        let file = root().join(format!("target/docs-convert.{ending}"));
        fs::write(&file, text).expect("target/ can be written");
        let converted = Command::new(edgepass())
            .args(["config", "convert"])
            .arg(&file)
            .env_clear()
            .output()
            .expect("the command runs");
        assert!(converted.status.success(), "{text}");
        serde_json::from_slice::<Value>(&converted.stdout).expect("JSON")
    };
    let (yaml, toml) = (of_kind("yaml edgepass"), of_kind("toml edgepass"));
    assert_eq!((yaml.len(), toml.len()), (3, 1), "one for each use");
    assert_eq!(json(&yaml[0], "yaml"), json(&toml[0], "toml"));
    let pasted = of_kind("sh").join("\n");
    for shown in &yaml[1..] {
        let (_, text) = shown.split_once('\n').expect("a first line with its name");
        assert!(pasted.contains(&format!("\n{text}\nEND\n")), "{text}");
    }
}

/// Settings of other programs begin with a comment that says how they are given. They are checked in that way, with the file
/// in the place of its name.
#[test]
fn settings_of_other_programs_are_valid() {
    let comments = [("jsonc", "// "), ("python", "# ")];
    let mut checked = 0;
    for (kind, comment) in comments {
        for (page, text) in all(kind) {
            let given = text
                .lines()
                .next()
                .and_then(|line| line.strip_prefix(comment));
            let given = given.and_then(|line| line.strip_prefix("edgepass token "));
            let given = given.unwrap_or_else(|| panic!("{page}: how is it given?\n{text}"));
            let mut words = given.split_whitespace();
            let (option, name) = (
                words.next().expect("an option"),
                words.next().expect("a file"),
            );
            let file = root().join("target").join(format!("docs-{name}"));
            fs::write(&file, &text).expect("target/ can be written");
            // which identity is of no interest to a check
            let rest: Vec<&str> = words.take_while(|word| *word != "--identity").collect();
            let check = Command::new(edgepass())
                .args(["config", "check", option])
                .arg(&file)
                .args(rest)
                .env_clear()
                .output()
                .expect("the command runs");
            let said = String::from_utf8_lossy(&check.stderr);
            assert!(check.status.success(), "{page}: {said}\n{text}");
            checked += 1;
        }
    }
    assert!(checked >= 8, "{checked} samples");
}

/// What the manifests for other runtimes let out and hand in by it is compared in `tests/manifests`.
#[test]
fn the_configuration_for_other_runtimes_is_valid() {
    let check = Command::new(edgepass())
        .args(["config", "check", "--config"])
        .arg(root().join("examples/spin/edgepass.json"))
        .env_clear()
        .output()
        .expect("the command runs");
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
}

#[test]
fn every_page_is_looked_at() {
    for folder in ["docs", "docs/credentials"] {
        let files = fs::read_dir(root().join(folder)).expect("a folder");
        for file in files.map(|file| file.expect("a file").path()) {
            let name = file.strip_prefix(root()).expect("of the workspace");
            let name = name.to_str().expect("text");
            assert!(!name.ends_with(".md") || PAGES.contains(&name), "{name}");
        }
    }
}

/// The table of kinds says which of them go into Envoy, and into which module. Those do, by a configuration of their page,
/// and the others are refused by name.
#[test]
fn kinds_go_into_envoy_as_the_table_says() {
    let table = page("docs/credentials/README.md");
    let rows = table.lines().filter(|line| line.starts_with("| [`"));
    let mut kinds = 0;
    for row in rows {
        kinds += 1;
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let file = cells[1].split('(').nth(1).expect("a link");
        let file = file.split(['#', ')']).next().expect("a name");
        let kind = cells[1].split('`').nth(1).expect("a name");
        let of_kind = blocks(&page(&format!("docs/credentials/{file}")))
            .into_iter()
            .filter(|(info, text)| info == "json" && text.contains(&format!("\"{kind}\"")));
        let of_kind: Vec<String> = of_kind.map(|(_, text)| text).collect();
        assert!(!of_kind.is_empty(), "{kind}: no configuration");
        let in_envoy = cells[4];
        assert!(
            ["yes", "full module", "no"]
                .iter()
                .any(|word| in_envoy.starts_with(word)),
            "{kind}: {in_envoy}"
        );
        for module in ["default", "full"] {
            let made = |text: &String| {
                let file = root().join("target/docs-envoy.json");
                fs::write(&file, text).expect("target/ can be written");
                let made = Command::new(edgepass())
                    .args([
                        "envoy-config",
                        "--module",
                        module,
                        "--upstream",
                        "upstream.example:80",
                        "--config",
                    ])
                    .arg(&file)
                    .env_clear()
                    .env("EDGEPASS_ALLOW_EXECUTABLES", "1")
                    .output()
                    .expect("the command runs");
                (
                    made.status.success(),
                    String::from_utf8_lossy(&made.stderr).into_owned(),
                )
            };
            let said: Vec<(bool, String)> = of_kind.iter().map(made).collect();
            let works = said.iter().any(|(works, _)| *works);
            let expected = in_envoy.starts_with("yes")
                || in_envoy.starts_with("full module") && module == "full";
            assert_eq!(works, expected, "{kind}, module {module}: {said:?}");
            // and where another module would do, which
            let why = match in_envoy.starts_with("full module") {
                true => "edgepass-envoy-full.wasm",
                false => "Envoy",
            };
            let by_name = |said: &str| said.contains(&format!(".{kind}")) && said.contains(why);
            assert!(
                works || said.iter().all(|(_, said)| by_name(said)),
                "{kind} is not refused by its name: {said:?}"
            );
        }
    }
    assert!(kinds >= 16, "{kinds} kinds");
}

#[test]
fn settings_of_cargo_are_those_of_this_workspace() {
    let workspace = page("Cargo.toml");
    let settings = all("toml");
    assert!(!settings.is_empty(), "docs/benchmarks.md shows a profile");
    let of_cargo = settings.iter().filter(|(_, text)| !is_dependencies(text));
    for (page, text) in of_cargo {
        for line in text.lines() {
            let setting = line.split('#').next().unwrap_or_default().trim();
            assert!(
                workspace.lines().any(|line| line.trim() == setting),
                "{page}: {setting}"
            );
        }
    }
}

#[test]
fn shell_blocks_run() {
    let commands = all("sh");
    assert!(!commands.is_empty(), "README shows commands");
    for (page, text) in commands {
        let text: String = text
            .lines()
            .filter(|line| {
                !["cargo xtask demo", "cargo xtask test", "cargo xtask bench"]
                    .iter()
                    .any(|own| line.starts_with(own))
            })
            // the build that runs this test has made what the block builds, and holds cargo's lock
            .filter(|line| !line.starts_with("cargo xtask build"))
            .collect::<Vec<_>>()
            .join("\n");
        if text.trim().is_empty() {
            continue;
        }
        let _trial = trial();
        let _ = fs::remove_dir_all(root().join("target/try"));
        fs::create_dir_all(root().join("target/try")).expect("target/ can be written");
        let (status, said) = run(&text);
        assert!(status.success(), "{page}: {status}\n{text}\n---\n{said}");
        if text.contains("edgepass token") {
            assert!(
                said.contains("\"access_token\"") || said.contains("authorization: Bearer "),
                "{page}: no token came\n{said}"
            );
        }
    }
}

/// The blocks share `target/try`: one at a time.
fn trial() -> MutexGuard<'static, ()> {
    static TRIAL: Mutex<()> = Mutex::new(());
    TRIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a block as a user would paste it, and ends what it leaves running.
fn run(text: &str) -> (ExitStatus, String) {
    let script = format!("set -e\n{text}\n");
    let output = root().join("target/docs-block.log");
    let log = fs::File::create(&output).expect("target/ can be written");
    // a process group of its own, so that what the block leaves running can be ended
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("sh runs");
    let status = shell.wait().expect("sh ends");
    let group = format!("-{}", shell.id());
    let _ = Command::new("kill")
        .args(["--", &group])
        .stderr(Stdio::null())
        .status();
    let said = fs::read_to_string(&output).unwrap_or_default();
    let _ = fs::remove_file(&output);
    (status, said)
}

#[test]
fn what_is_to_be_tried_can_be_tried_again() {
    let blocks = all("sh");
    let (_, text) = blocks
        .iter()
        .find(|(_, text)| text.contains("edgepass-emulator"))
        .expect("README shows a trial");
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("cargo xtask build"))
        .map(|line| format!("{line}\n"))
        .collect();
    let _trial = trial();
    let env = root().join("target/try/env");
    let _ = fs::remove_dir_all(root().join("target/try"));
    fs::create_dir_all(root().join("target/try")).expect("target/ can be written");
    for before in ["nothing", "one that has ended", "one that was killed"] {
        if before == "one that was killed" {
            let gone = "export AZURE_AUTHORITY_HOST='https://localhost:1/'\n";
            fs::write(&env, gone).expect("target/ can be written");
        }
        // the emulator has ended when its `env` is gone and the shell has seen it end
        let (status, said) = run(&format!("{text}wait $! || true\n[ ! -e target/try/env ]\n"));
        assert!(status.success(), "after {before}: {status}\n{said}");
        assert!(
            said.contains("\"access_token\""),
            "after {before}: no token came\n{said}"
        );
    }
}

#[test]
fn nobody_teaches_to_send_a_request_without_a_token() {
    for name in PAGES.iter().copied().chain(["host/cli/src/arguments.rs"]) {
        for (number, line) in page(name).lines().enumerate() {
            // what a command substitution in an argument prints when it fails is nothing, and curl goes on
            let is_taught = line.contains("curl") && line.contains("\"$(edgepass");
            assert!(!is_taught, "{name}:{}: {line}", number + 1);
        }
    }
}

/// Whether a block of TOML has the dependencies of a program of its own.
fn is_dependencies(text: &str) -> bool {
    text.starts_with("[dependencies]")
}

/// The example is what CI builds from packed crates.
#[test]
fn dependency_lines_are_those_of_the_example() {
    let example = page("examples/library/Cargo.toml");
    let lines: Vec<_> = all("toml")
        .into_iter()
        .filter(|(_, text)| is_dependencies(text))
        .flat_map(|(page, text)| {
            let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
            lines.into_iter().map(move |line| (page, line))
        })
        .filter(|(_, line)| !line.is_empty())
        .collect();
    assert!(lines.len() >= 6, "two pages show three lines: {lines:?}");
    for (page, line) in lines {
        assert!(
            example.lines().any(|own| own == line),
            "{page} shows `{line}`, which examples/library/Cargo.toml does not have"
        );
    }
}

/// There is no container engine where tests run; what the recipe runs is what the page has people run.
#[test]
fn the_dockerfile_builds_as_the_page_says() {
    let (recipe, install) = (page("Dockerfile"), page("docs/install.md"));
    let runs: Vec<_> = recipe
        .lines()
        .filter_map(|line| line.strip_prefix("RUN "))
        .collect();
    let [run] = runs.as_slice() else {
        panic!("one step builds: {runs:?}");
    };
    let (command, folder) = run.split_once(" --root ").expect("a place to install to");
    assert!(install.lines().any(|line| line == command), "{command}");
    let copied = format!("COPY --from=build {folder}/bin/edgepass ");
    assert!(recipe.contains(&copied), "{recipe}");
    assert!(root().join("host/cli/Cargo.toml").is_file());
}

/// Neither is compiled where it stands: one is a test of the library's documentation, the other the template that is built.
#[test]
fn code_is_that_which_is_compiled_elsewhere() {
    let only = |name: &str, kind: &str| {
        let of_kind = blocks(&page(name))
            .into_iter()
            .filter(|(info, _)| info == kind);
        let texts: Vec<String> = of_kind.map(|(_, text)| text).collect();
        let [text] = texts.as_slice() else {
            panic!("{name} has one block {kind}: {texts:?}");
        };
        text.clone()
    };
    assert_eq!(
        only("README.md", "rust,no_run"),
        only("host/README.md", "rust,no_run")
    );
    let template = page("examples/component/src/lib.rs");
    let shown = only("docs/components.md", "rust,ignore");
    assert!(template.contains(&shown), "{shown}");
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for name in PAGES {
        let text = page(name);
        let folder = root().join(name).parent().expect("a folder").to_path_buf();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() {
                root().join(name)
            } else {
                folder.join(path)
            };
            assert!(
                file.exists(),
                "{name} links to {target}, which does not exist"
            );
            if !anchor.is_empty() {
                let text = fs::read_to_string(&file).expect("a text");
                let found = text.lines().any(|line| {
                    // as GitHub names headings
                    let heading = line.trim_start_matches('#').trim().to_lowercase();
                    let named = heading
                        .chars()
                        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                    named.collect::<String>().replace(' ', "-") == anchor
                        // or by itself
                        || line.contains(&format!("<a id=\"{anchor}\"></a>"))
                });
                assert!(found, "{name} links to {target}, which has no such heading");
            }
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} links: the search is broken");
}

#[test]
fn wit_samples_name_what_is_there() {
    let samples = all("wit");
    assert!(!samples.is_empty(), "README shows a world");
    let wit = ["types", "status", "exports", "opaque", "imports", "worlds"]
        .map(|file| page(&format!("wit/{file}.wit")))
        .concat();
    for (page, text) in samples {
        for import in text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("import edgepass:credentials/"))
        {
            let (interface, version) = import
                .trim_end_matches(';')
                .split_once('@')
                .expect("a version");
            assert!(
                wit.contains(&format!("interface {interface} {{")),
                "{page}: no interface {interface}"
            );
            assert!(
                wit.contains(&format!("package edgepass:credentials@{version};")),
                "{page}: no version {version}"
            );
        }
    }
}
