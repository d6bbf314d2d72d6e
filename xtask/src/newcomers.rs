//! The ways of those who arrive: what README and docs/install.md print is done as it is printed, in a folder outside of this
//! tree, with the tree as the git repository that those pages name.
//!
//! The lines themselves come from the pages. What takes the place of the world: git is told to look for the address in a
//! bare repository beside (`url.….insteadOf`), and the emulator stands for Entra ID. What is compiled lands in this tree's
//! `target/`, where the dependencies are already. The other ways are gone elsewhere: a program from packed crates
//! (`consumer.rs`), the template of a component (`template.rs`), the shell blocks of the pages in the tree, Envoy as its page has
//! it run (both in tests/), a client of the Azure SDK (tests/e2e/tests/azure.rs).

use crate::emulator::Emulator;
use crate::sh::{Cmd, Outcome, step};
use crate::workspace::{self, Outside};
use crate::{build, consumer, package, shipped};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The address of the repository, as the pages have it.
const ADDRESS: &str = env!("CARGO_PKG_REPOSITORY");

/// What the emulator gives tokens for.
const SCOPE: &str = "api://edgepass-demo/.default";

pub(crate) fn check() -> Result<()> {
    let place = Outside::new("newcomers")?;
    let world = World::new(&place.0)?;
    let command = step("installing the command as README says", || install(&world))?;
    step("trying it twice as README says", || {
        try_it(&world, &command)
    })?;
    let emulator = Emulator::start(&place.0.join("entra"))?;
    step("two identities, and curl", || {
        two_identities(&world, &emulator, &command)
    })?;
    step("a program that depends on the address", || {
        program(&world, &emulator)
    })?;
    release(&world, &emulator)?;
    step("looking at the Dockerfile", || dockerfile(&world))
}

/// The folder outside, and a git repository that has this tree under its public address.
struct World {
    place: PathBuf,
    /// What is in the tree, by its path.
    files: BTreeSet<String>,
    repository: PathBuf,
    /// Of cargo's home, what was there before.
    before: BTreeSet<PathBuf>,
}

impl World {
    fn new(place: &Path) -> Result<Self> {
        let repository = place.join("repository.git");
        let git = |arguments: &[&str]| {
            // the same tree is the same commit, so that cargo compiles it once
            let mut cmd = Cmd::new("git")
                .args(arguments)
                .env("GIT_DIR", &repository)
                .missing("install git");
            for who in ["AUTHOR", "COMMITTER"] {
                cmd = cmd
                    .env(&format!("GIT_{who}_NAME"), "edgepass")
                    .env(&format!("GIT_{who}_EMAIL"), "edgepass@localhost")
                    .env(&format!("GIT_{who}_DATE"), "2000-01-01T00:00:00Z");
            }
            cmd
        };
        git(&["init", "--quiet", "--bare", "--initial-branch", "main"]).read()?;
        let in_tree = |arguments: &[&str]| git(arguments).env("GIT_WORK_TREE", workspace::root());
        // as it is now, committed or not
        in_tree(&["add", "--all", "."]).read()?;
        let files = git(&["ls-files"])
            .read()?
            .lines()
            .map(str::to_owned)
            .collect();
        let tree = git(&["write-tree"]).read()?;
        let commit = git(&["commit-tree", "-m", "edgepass", tree.trim()]).read()?;
        git(&["update-ref", "refs/heads/main", commit.trim()]).read()?;
        Ok(Self {
            place: place.to_owned(),
            files,
            repository,
            before: of_cargo()?,
        })
    }

    /// A shell in a folder of the place, for which the address leads to the repository. What cargo compiles there is shared.
    fn shell(&self, folder: &Path, script: &str) -> Cmd {
        // after what somebody else may have said in the same way
        let count = env::var("GIT_CONFIG_COUNT").ok();
        let count: u32 = count.and_then(|count| count.parse().ok()).unwrap_or(0);
        Cmd::new("sh")
            .arg("-c")
            .arg(format!("set -e\n{script}"))
            .dir(folder)
            .env("CARGO_TARGET_DIR", workspace::target())
            .env("CARGO_INSTALL_ROOT", self.place.join("local"))
            .env("CARGO_NET_GIT_FETCH_WITH_CLI", "true")
            .env("GIT_CONFIG_COUNT", (count + 1).to_string())
            .env(
                &format!("GIT_CONFIG_KEY_{count}"),
                format!("url.file://{}.insteadOf", self.repository.display()),
            )
            .env(&format!("GIT_CONFIG_VALUE_{count}"), ADDRESS)
            .env_remove("EDGEPASS_CWASM")
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.place.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {name}"))?;
        Ok(folder)
    }
}

impl Drop for World {
    /// Whoever has never had edgepass from its address has nothing of it in cargo's home afterwards.
    fn drop(&mut self) {
        for folder in of_cargo().unwrap_or_default().difference(&self.before) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Where cargo keeps repositories named as ours.
fn of_cargo() -> Result<BTreeSet<PathBuf>> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let git = home.context("cargo has no home")?.join("git");
    let mut found = BTreeSet::new();
    for kind in ["db", "checkouts"] {
        // where there is none there is none of ours
        for entry in fs::read_dir(git.join(kind)).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("edgepass-") {
                found.insert(entry.path());
            }
        }
    }
    Ok(found)
}

/// A page of the tree.
fn page(name: &str) -> Result<String> {
    fs::read_to_string(workspace::root().join(name)).with_context(|| format!("cannot read {name}"))
}

/// The only line of a page that begins so.
fn line(name: &str, begin: &str) -> Result<String> {
    let text = page(name)?;
    let mut lines = text.lines().filter(|line| line.starts_with(begin));
    match (lines.next(), lines.next()) {
        (Some(line), None) => Ok(line.to_owned()),
        _ => bail!("{name} has not one line that begins with `{begin}`"),
    }
}

/// The first fenced block of a page of that kind that has this in it.
fn block(name: &str, kind: &str, part: &str) -> Result<String> {
    let text = page(name)?;
    let begin = format!("```{kind}\n");
    let mut blocks = text
        .split(&begin)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next());
    let found = blocks.find(|block| block.contains(part));
    found
        .map(str::to_owned)
        .with_context(|| format!("{name} has no block of {kind} with `{part}` in it"))
}

/// The command by `cargo install`, from the address.
fn install(world: &World) -> Result<PathBuf> {
    const BEGIN: &str = "AWS_LC_SYS_NO_JITTER_ENTROPY=1 cargo install ";

    let printed = line("README.md", BEGIN)?;
    ensure!(
        line("docs/install.md", BEGIN)? == printed,
        "README.md and docs/install.md install in different ways"
    );
    world
        .shell(&world.folder("install")?, &printed)
        .quiet("cargo-install")?;
    let command = world.place.join("local/bin/edgepass");
    let said = Cmd::new(&command).arg("--version").read()?;
    ensure!(said.starts_with("edgepass "), "it says {said:?}");
    let bytes = fs::read(&command).context("cargo installed no command")?;
    eprintln!("    it has {} bytes", bytes.len());
    if let Some(name) = shipped::compiler_in(&bytes) {
        bail!("the installed command has code of {name} in it, which only its build should have");
    }
    Ok(command)
}

/// README's block beside the emulator, with the command that was installed.
fn try_it(world: &World, command: &Path) -> Result<()> {
    let folder = world.folder("try")?;
    let dist = world.folder("try/dist")?;
    symlink(command, dist.join("edgepass")).context("cannot link the command")?;
    let emulator = workspace::dist().join("edgepass-emulator");
    symlink(emulator, dist.join("edgepass-emulator")).context("cannot link the emulator")?;
    let printed = block("README.md", "sh", "dist/edgepass-emulator")?;
    let lines: Vec<&str> = printed
        .lines()
        .filter(|line| *line != "cargo xtask build")
        .collect();
    // the next one begins when this emulator has ended
    let script = format!("{}\nwait $emulator || true\n", lines.join("\n"));
    for _ in 0..2 {
        let said = world.shell(&folder, &script).read()?;
        ensure!(
            said.contains("\"access_token\"") && said.contains("curl -H \"Authorization: Bearer"),
            "it says {said:?}"
        );
    }
    Ok(())
}

/// README's configuration with the emulator in the place of its servers, and an API that says who has asked.
fn two_identities(world: &World, emulator: &Emulator, command: &Path) -> Result<()> {
    let folder = world.folder("two")?;
    let printed = block("README.md", "json", "\"partner\"")?;
    let mut config: Value = serde_json::from_str(&printed).context("README's configuration")?;
    let authority = emulator.variable("AZURE_AUTHORITY_HOST")?;
    let authority = authority.trim_end_matches('/');
    let tenant = emulator.variable("AZURE_TENANT_ID")?;
    let client = emulator.variable("AZURE_CLIENT_ID")?;
    let host = authority.trim_start_matches("https://");
    for (place, value) in [
        ("/identities/app/tenant_id", json!(tenant)),
        ("/identities/app/client_id", json!(client)),
        (
            "/identities/app/credential/federated_token_file/path",
            json!(emulator.variable("AZURE_FEDERATED_TOKEN_FILE")?),
        ),
        (
            "/identities/partner/token_endpoint",
            json!(format!("{authority}/{tenant}/oauth2/v2.0/token")),
        ),
        ("/identities/partner/client_id", json!(client)),
        ("/identities/partner/scopes", json!([SCOPE])),
        (
            "/identities/partner/credential/client_secret/file",
            json!(emulator.file("client.secret")),
        ),
        ("/authority_hosts", json!([host])),
    ] {
        *config
            .pointer_mut(place)
            .with_context(|| format!("README's configuration has no {place}"))? = value;
    }
    // README's is of the public cloud, which needs no name
    let app = config.pointer_mut("/identities/app");
    let app = app
        .and_then(Value::as_object_mut)
        .context("README's identity `app` is none")?;
    app.insert("authority_host".to_owned(), json!(authority));
    fs::write(folder.join("edgepass.json"), config.to_string()).context("cannot write it")?;

    let api = Api::start(&folder)?;
    let script = format!(
        "cd '{}'
PATH='{}':$PATH
edgepass config check --strict edgepass.json
for identity in app partner; do
    h=$(edgepass token -c edgepass.json --identity $identity -o header) && curl -sS --noproxy '*' --retry 30 --retry-delay 1 \
         --retry-connrefused -H \"$h\" http://127.0.0.1:{}/$identity
done
",
        folder.display(),
        command.parent().unwrap_or(command).display(),
        api.port
    );
    let said = emulator.workload(&script).read()?;
    for part in [
        "identity app\n",
        "identity partner\n",
        "GET /app with a token for https://graph.microsoft.com\n",
        "GET /partner with a token for api://edgepass-demo\n",
    ] {
        ensure!(said.contains(part), "no {part:?} in what it says: {said}");
    }
    Ok(())
}

/// The API that docs/envoy.md asks. It ends with the value.
struct Api {
    child: std::process::Child,
    port: u16,
}

impl Api {
    fn start(folder: &Path) -> Result<Self> {
        let free = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
        let port = free.local_addr()?.port();
        drop(free);
        let mut cmd = Cmd::new("python3")
            .arg(workspace::root().join("docs/examples/envoy/echo.py"))
            .arg(port.to_string())
            .dir(folder)
            .missing("install python3");
        cmd.inner().stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self {
            child: cmd.spawn()?,
            port,
        })
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new project with README's lines. It has this tree's versions of dependencies and its profile, and takes machine code
/// that is there: what has been compiled is not compiled again, and with the default features, which build the compiler
/// for the build script, the address was installed from before.
fn program(world: &World, emulator: &Emulator) -> Result<()> {
    let folder = world.folder("program")?;
    let add = line("README.md", "cargo add --git ")?;
    world
        .shell(&folder, "cargo new --quiet --vcs none app")
        .quiet("cargo-new")?;
    let app = folder.join("app");
    fs::copy(workspace::root().join("Cargo.lock"), app.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    // what `cargo install` has fetched is all that it takes
    let shell = |script: &str| world.shell(&app, script).env("CARGO_NET_OFFLINE", "true");
    shell(&add).quiet("cargo-add")?;
    let without = format!("cargo add --git {ADDRESS} --no-default-features edgepass");
    shell(&without).quiet("cargo-add")?;
    let path = app.join("Cargo.toml");
    let mut manifest = fs::read_to_string(&path).context("cargo wrote no Cargo.toml")?;
    ensure!(
        manifest.contains(ADDRESS) && manifest.contains("default-features = false"),
        "cargo add wrote {manifest}"
    );
    manifest.push_str(&consumer::profile()?);
    fs::write(&path, manifest).context("cannot write Cargo.toml")?;
    let code = block("README.md", "rust,no_run", "async fn main")?;
    fs::write(app.join("src/main.rs"), code).context("cannot write main.rs")?;
    shell("cargo build")
        .env("EDGEPASS_CWASM", workspace::cwasm())
        .quiet("cargo-build-program")?;
    let program = workspace::target().join("debug/app");
    let run = format!("exec '{}'", program.display());
    let said = emulator.workload(&run).read()?;
    let length = said
        .trim()
        .strip_prefix("authorization: ")
        .and_then(|rest| rest.strip_suffix(" characters"))
        .and_then(|length| length.parse::<usize>().ok());
    ensure!(
        length.is_some_and(|length| length > 100),
        "it says {said:?}"
    );
    Ok(())
}

/// What `cargo xtask package` writes is what docs/install.md says, and runs.
fn release(world: &World, emulator: &Emulator) -> Result<()> {
    let release = package::release()?;
    step("using the release as docs/install.md says", || {
        let token = |command: &Path| -> Result<()> {
            let run = format!("exec '{}' token -s {SCOPE} -o token", command.display());
            let said = emulator.workload(&run).read()?;
            ensure!(
                said.starts_with("ey"),
                "{} gave no token",
                command.display()
            );
            Ok(())
        };
        Cmd::new("sha256sum")
            .args(["--check", "--strict", "SHA256SUMS"])
            .dir(&release)
            .read()?;
        let summed = fs::read_to_string(release.join("SHA256SUMS")).context("no SHA256SUMS")?;
        let mut archives = summed
            .lines()
            .filter_map(|line| line.split_once("  "))
            .filter(|(_, name)| name.ends_with(".tar.gz"));
        let (Some((_, archive)), None) = (archives.next(), archives.next()) else {
            bail!("SHA256SUMS names not one archive");
        };
        let folder = world.folder("release")?;
        Cmd::new("tar")
            .args(["--extract", "--gzip", "--strip-components=1", "--file"])
            .arg(release.join(archive))
            .dir(&folder)
            .read()?;
        token(&folder.join("bin/edgepass"))?;
        for (name, ours) in [
            (
                "wasm/edgepass-envoy.wasm",
                workspace::dist().join("edgepass-envoy.wasm"),
            ),
            (
                "wasm/edgepass-envoy-full.wasm",
                workspace::dist().join("edgepass-envoy-full.wasm"),
            ),
            (
                "wasm/credential-provider.wasm",
                workspace::dist().join("credential-provider.wasm"),
            ),
            ("bin/edgepass-run", workspace::dist().join("edgepass-run")),
            (
                "wasm/edgepass-http.wasm",
                workspace::dist().join("edgepass-http.wasm"),
            ),
            (
                "wasm/edgepass-standalone.wasm",
                workspace::dist().join(build::STANDALONE),
            ),
            (
                "wasm/credential-provider-p2.wasm",
                workspace::dist().join("credential-provider-p2.wasm"),
            ),
            (
                "wasm/token-store-keyvalue.wasm",
                workspace::dist().join("token-store-keyvalue.wasm"),
            ),
            (
                "examples/component/wit/deps/credentials.wit",
                workspace::dist().join("credentials.wit"),
            ),
            ("credentials.wit", workspace::dist().join("credentials.wit")),
            (
                "credentials-p2.wit",
                workspace::dist().join("credentials-p2.wit"),
            ),
            ("lib/credential-provider.cwasm", workspace::cwasm()),
        ] {
            let same = fs::read(folder.join(name)).ok() == fs::read(ours).ok();
            ensure!(same, "the archive has no {name}, or another one");
        }
        // the command becomes the program beside it, and that finds the archive's components
        let composed = folder.join("composed.wasm");
        Cmd::new(folder.join("bin/edgepass"))
            .args(["compose", "--http", "--standalone", "--output"])
            .arg(&composed)
            .arg(workspace::components().join("plain-0-3.wasm"))
            .read()?;
        ensure!(composed.exists(), "the release composes nothing");
        let completions = folder.join("share/bash-completion/completions/edgepass");
        Cmd::new("bash").arg("-n").arg(completions).read()?;
        for page in ["edgepass.1", "edgepass-token.1", "edgepass-config-check.1"] {
            let text = fs::read_to_string(folder.join("share/man/man1").join(page))
                .with_context(|| format!("the archive has no {page}"))?;
            ensure!(text.contains(".TH edgepass"), "{page} is no man page");
        }
        let readme = fs::read_to_string(folder.join("README.md")).context("no README.md")?;
        let links = readme
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next());
        let is_there = |link: &&str| folder.join(link).exists();
        let (there, missing): (Vec<_>, Vec<_>) = links
            .filter(|link| link.starts_with("docs/") || link.starts_with("examples/"))
            .partition(is_there);
        ensure!(
            !there.is_empty() && missing.is_empty(),
            "README of the archive leads to {missing:?}, which are not in it"
        );
        // the command of the image, which `package` has unpacked to look at it
        token(&package::image_command())
    })
}

/// How long an engine may take to say that it is there.
const ENGINE: Duration = Duration::from_secs(20);

/// The recipe is followed by an engine where there is one. Where there is none its parts are what was done above.
fn dockerfile(world: &World) -> Result<()> {
    let recipe = page("Dockerfile")?;
    let lines = |word: &str| -> Vec<Vec<String>> {
        let of_word = recipe.lines().filter_map(|line| line.strip_prefix(word));
        of_word
            .map(|rest| rest.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let ignored: Vec<String> = page(".dockerignore")?.lines().map(str::to_owned).collect();
    for pattern in &ignored {
        let hidden = |file: &&String| {
            let rest = file.strip_prefix(pattern.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        ensure!(
            !pattern.contains(['*', '?', '[', '!', '#']),
            "{pattern:?} in .dockerignore is more than this check understands"
        );
        let found = world.files.iter().find(hidden);
        ensure!(found.is_none(), ".dockerignore hides {found:?}");
    }
    let mut stages = BTreeSet::new();
    for from in lines("FROM ") {
        if let [_, word, name] = from.as_slice()
            && word == "AS"
        {
            stages.insert(name.clone());
        }
    }
    for copy in lines("COPY ") {
        let (sources, stage) = match copy.as_slice() {
            [option, sources @ .., _] if option.starts_with("--from=") => {
                (sources, option.strip_prefix("--from="))
            }
            [sources @ .., _] => (sources, None),
            [] => bail!("COPY copies nothing"),
        };
        if let Some(stage) = stage {
            ensure!(stages.contains(stage), "there is no stage {stage}");
            ensure!(
                sources == ["/out/bin/edgepass"],
                "{sources:?} is not what `cargo install --root /out` writes"
            );
            continue;
        }
        for source in sources {
            let is_there = source == "." || world.files.iter().any(|file| file.starts_with(source));
            ensure!(is_there, "COPY names {source}, which is not in the tree");
        }
    }
    let runs = lines("RUN ");
    let expected = "cargo install --locked --path host/cli --root /out";
    ensure!(
        runs == [expected.split(' ').map(str::to_owned).collect::<Vec<_>>()],
        "it runs {runs:?}, and what was tried is {expected:?}"
    );
    let rust = format!("FROM rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    ensure!(
        recipe.contains(&rust),
        "its compiler is not that of Cargo.toml"
    );

    let engine = Cmd::new("docker").arg("info").timeout(ENGINE);
    match engine.attempt("docker-info")? {
        Outcome::Succeeded => {}
        Outcome::NotInstalled => {
            eprintln!("    not tested: docker build (docker is not installed)");
            return Ok(());
        }
        Outcome::Failed | Outcome::TimedOut => {
            eprintln!("    not tested: docker build (no docker daemon answers)");
            return Ok(());
        }
    }
    let clone = world.place.join("clone");
    world
        .shell(&world.place, &format!("git clone --quiet {ADDRESS} clone"))
        .read()?;
    Cmd::new("docker")
        .args(["build", "--tag", "edgepass-newcomers", "."])
        .dir(&clone)
        .quiet("docker-build")?;
    let said = Cmd::new("docker")
        .args(["run", "--rm", "edgepass-newcomers", "--version"])
        .read()?;
    ensure!(said.starts_with("edgepass "), "the image says {said:?}");
    Ok(())
}
