//! The wasm target: the installed toolchain's, rustup's, or built from source.
//!
//! A machine whose network does not reach the Rust download server can still
//! reach a Debian mirror, and Debian has the standard library's source for the
//! compilers of the last years. What is built from it goes to a private
//! sysroot under `target/`: the user's toolchain stays as it is.
//!
//! `EDGEPASS_WASM_STD` chooses: `auto` (default: installed, else rustup, else
//! source), `installed` (fail rather than fetch anything) or `source`.

use crate::sh::{Cmd, Outcome, step};
use crate::workspace;
use anyhow::{Context as _, Result, anyhow, bail};
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The target of every guest: nothing is imported but what a component's world declares, or a filter asks Envoy for by
/// itself. The one with WASI would bring its libc, of which Envoy would compile 11 kB.
pub(crate) const GUEST: &str = "wasm32-unknown-unknown";

/// The variable that chooses where the standard library comes from.
const CHOICE: &str = "EDGEPASS_WASM_STD";

/// rustup fetches some 25 MB; where its server cannot be
/// reached it would try for many minutes.
const RUSTUP_LIMIT: Duration = Duration::from_secs(150);

/// Debian suites that carry recent compilers, each with the suite that it
/// builds upon where it is not complete by itself.
const SUITES: &[&[&str]] = &[&["trixie-backports", "trixie"], &["forky"], &["sid"]];

/// Signs Debian's archive; every Debian-based image has it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A mirror of a whole suite's index is some 10 MB.
const APT_LIMIT: Duration = Duration::from_secs(300);

/// Where the standard library of a wasm target is.
pub(crate) enum Std {
    /// In the toolchain that cargo uses anyway.
    Installed,
    /// In a sysroot of our own.
    Private(PathBuf),
}

impl Std {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Installed => "in the installed toolchain".to_owned(),
            Self::Private(sysroot) => {
                format!("built from source, in {}", workspace::shown(sysroot))
            }
        }
    }

    /// Makes a cargo invocation for `target` use this library, and nothing of
    /// the flags that were meant for native code.
    pub(crate) fn apply(&self, cmd: Cmd, target: &str) -> Cmd {
        let cmd = cmd
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_RUSTFLAGS");
        match self {
            Self::Installed => cmd,
            Self::Private(sysroot) => cmd.env(
                &format!(
                    "CARGO_TARGET_{}_RUSTFLAGS",
                    target.to_uppercase().replace('-', "_")
                ),
                format!("--sysroot={}", sysroot.display()),
            ),
        }
    }
}

/// A setting of cargo with `more` flags for the compiler, that has what is built for [`GUEST`] name its dependencies' sources in the same way everywhere: a
/// panic says where it is, and whoever builds it has his registry elsewhere. Without it the component would be another
/// one for each builder, and name his folders.
pub(crate) fn flags(more: &[&str]) -> Result<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        // deprecated for a case that only Windows has
        env::home_dir().map(|home| home.join(".cargo"))
    });
    let sources = home
        .context("neither CARGO_HOME nor HOME is set")?
        .join("registry/src");
    let mut flags = Vec::new();
    // one folder for each registry, or mirror of one
    for entry in fs::read_dir(&sources).into_iter().flatten().flatten() {
        flags.push(format!(
            "--remap-path-prefix={}=crates",
            entry.path().display()
        ));
    }
    flags.sort_unstable();
    flags.extend(more.iter().map(ToString::to_string));
    Ok(format!("target.{GUEST}.rustflags={flags:?}"))
}

/// Makes `target` usable by the first way that works here.
pub(crate) fn ensure(target: &str) -> Result<Std> {
    let choice = env::var(CHOICE).unwrap_or_else(|_| "auto".to_owned());
    match choice.as_str() {
        "auto" | "" => {}
        "installed" => {
            if installed(target)? {
                return Ok(Std::Installed);
            }
            bail!("{target} is not installed and {CHOICE}=installed forbids to fetch it");
        }
        "source" => return from_source(target),
        other => bail!("{CHOICE} is `{other}`: give `auto`, `installed` or `source`"),
    }
    if installed(target)? {
        return Ok(Std::Installed);
    }
    // what an earlier run has built is there at once; rustup may not be
    if let Some(sysroot) = Private::new()?.ready(target)? {
        return Ok(Std::Private(sysroot));
    }
    if by_rustup()? && installed(target)? {
        return Ok(Std::Installed);
    }
    from_source(target).with_context(|| {
        format!(
            "cannot provide {target}: neither `rustup target add {target}` nor Debian's rust-src worked"
        )
    })
}

fn installed(target: &str) -> Result<bool> {
    Ok(probe(target, None)?.is_ok())
}

/// Compiles and links a small library: what is usable is what links. The inner
/// error is the compiler's.
fn probe(target: &str, sysroot: Option<&Path>) -> Result<Result<(), anyhow::Error>> {
    let folder = workspace::target().join("wasm-probe");
    fs::create_dir_all(&folder).context("cannot create target/wasm-probe")?;
    let source = folder.join("probe.rs");
    workspace::write_if_changed(
        &source,
        b"#[unsafe(no_mangle)]\npub extern \"C\" fn probe(n: usize) -> usize { vec![1u8; n].len() }\n",
    )?;
    let mut cmd = Cmd::new(rustc())
        .args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort"])
        .args(["--target", target])
        .arg("-o")
        .arg(folder.join(format!("{target}.wasm")))
        .arg(&source);
    if let Some(sysroot) = sysroot {
        cmd = cmd.arg("--sysroot").arg(sysroot);
    }
    Ok(cmd.read().map(drop))
}

fn by_rustup() -> Result<bool> {
    step("rustup target add", || {
        let outcome = Cmd::new("rustup")
            .args(["target", "add", GUEST])
            .timeout(RUSTUP_LIMIT)
            .attempt("rustup-target-add")?;
        match outcome {
            Outcome::Succeeded => {}
            Outcome::NotInstalled => eprintln!("    there is no rustup here"),
            Outcome::Failed => eprintln!("    failed: see target/logs/rustup-target-add.log"),
            Outcome::TimedOut => eprintln!(
                "    given up after {} s: its server does not answer",
                RUSTUP_LIMIT.as_secs()
            ),
        }
        Ok(outcome == Outcome::Succeeded)
    })
}

fn from_source(target: &str) -> Result<Std> {
    let private = Private::new()?;
    if let Some(sysroot) = private.ready(target)? {
        return Ok(Std::Private(sysroot));
    }
    private.build(target)?;
    match private.ready(target)? {
        Some(sysroot) => Ok(Std::Private(sysroot)),
        None => {
            let why = probe(target, Some(&private.sysroot()))?.err();
            Err(why.unwrap_or_else(|| anyhow!("the sysroot was not marked as complete")))
                .context("the standard library was built, and does not work")
        }
    }
}

/// The sysroot of our own for one compiler. Its folder carries the compiler's
/// version, so that another compiler never meets it.
struct Private {
    folder: PathBuf,
    version: String,
    host: String,
}

impl Private {
    fn new() -> Result<Self> {
        let text = Cmd::new(rustc())
            .arg("-vV")
            .missing("install Rust with rustup")
            .read()
            .context("cannot ask rustc for its version")?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
                .with_context(|| format!("`rustc -vV` has no line `{name}`"))
        };
        let release = field("release:")?;
        let commit: String = field("commit-hash:")
            .unwrap_or_default()
            .chars()
            .take(9)
            .collect();
        Ok(Self {
            folder: workspace::target()
                .join("wasm-std")
                .join(format!("{release}-{commit}")),
            version: release,
            host: field("host:")?,
        })
    }

    fn sysroot(&self) -> PathBuf {
        self.folder.join("sysroot")
    }

    /// The folder of a target's libraries in our sysroot.
    fn libraries(&self, target: &str) -> PathBuf {
        self.rustlib().join(target).join("lib")
    }

    fn rustlib(&self) -> PathBuf {
        self.sysroot().join("lib").join("rustlib")
    }

    fn mark(&self, target: &str) -> PathBuf {
        self.folder.join(format!("{target}.ready"))
    }

    /// The sysroot, if this target was completed in it and still works: the
    /// toolchain that it points into may be gone.
    fn ready(&self, target: &str) -> Result<Option<PathBuf>> {
        if !self.mark(target).exists() || probe(target, Some(&self.sysroot()))?.is_err() {
            return Ok(None);
        }
        Ok(Some(self.sysroot()))
    }

    fn build(&self, target: &str) -> Result<()> {
        self.drop_other_versions();
        let source = self.source()?;
        step(
            &format!("linking a sysroot of our own for rustc {}", self.version),
            || self.link(&source),
        )?;
        step(
            &format!("building the standard library for {target}"),
            || self.compile(target),
        )?;
        fs::write(self.mark(target), &self.version).context("cannot mark the sysroot as complete")
    }

    /// Sysroots of compilers that are no longer in use.
    fn drop_other_versions(&self) {
        let Some(all) = self.folder.parent() else {
            return;
        };
        for entry in fs::read_dir(all).into_iter().flatten().flatten() {
            if entry.path() != self.folder {
                // only disk space is at stake
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Folder of the standard library's source: the toolchain's own component
    /// when it is installed, Debian's package otherwise.
    fn source(&self) -> Result<PathBuf> {
        let installed = installed_sysroot()?.join("lib/rustlib/src/rust");
        if installed.join("library/Cargo.lock").exists() {
            return Ok(installed);
        }
        self.debian()?;
        let root = self.unpacked().join("usr/lib/rustlib/src/rust");
        if root.join("library").exists() {
            return Ok(root);
        }
        let root = self
            .unpacked()
            .join(format!("usr/src/rustc-{}", self.version));
        if root.join("library").exists() {
            return Ok(root);
        }
        bail!(
            "Debian's rust-src was unpacked in {} and holds no `library` where it is expected",
            workspace::shown(&self.unpacked())
        )
    }

    fn unpacked(&self) -> PathBuf {
        self.folder.join("debian")
    }

    /// Fetches and unpacks rust-src, once for all targets.
    /// Nothing is installed and nobody's apt state is touched.
    fn debian(&self) -> Result<()> {
        let done = self.folder.join("debian.ready");
        if done.exists() {
            return Ok(());
        }
        step("fetching rust-src from Debian", || {
            let apt = Apt::new(self.folder.join("apt"))?;
            let mirror = apt.mirror()?;
            for suites in SUITES {
                if apt.fetch(&mirror, suites, &self.version, &self.unpacked())? {
                    // the indexes are large, and the packages are unpacked
                    let _ = fs::remove_dir_all(&apt.folder);
                    return fs::write(&done, &self.version).context("cannot write a mark");
                }
            }
            bail!(
                "Debian has no rust-src {} (looked in {}): with network to the Rust download server run `rustup target add {}`, or install its rust-src with `rustup component add rust-src`",
                self.version,
                SUITES
                    .iter()
                    .filter_map(|suites| suites.first())
                    .copied()
                    .collect::<Vec<_>>()
                    .join(", "),
                GUEST
            )
        })
    }

    /// A sysroot of symbolic links to the installed one, in which there is room
    /// for more targets.
    fn link(&self, source: &Path) -> Result<()> {
        let installed = installed_sysroot()?;
        let lib = self.sysroot().join("lib");
        fs::create_dir_all(self.rustlib()).context("cannot create the sysroot")?;
        for entry in fs::read_dir(installed.join("lib"))
            .context("cannot list the installed sysroot")?
            .flatten()
        {
            if entry.file_name() != "rustlib" {
                relink(&entry.path(), &lib.join(entry.file_name()))?;
            }
        }
        for name in ["etc", self.host.as_str()] {
            let theirs = installed.join("lib/rustlib").join(name);
            if theirs.exists() {
                relink(&theirs, &self.rustlib().join(name))?;
            }
        }
        fs::create_dir_all(self.rustlib().join("src")).context("cannot create the sysroot")?;
        relink(source, &self.rustlib().join("src/rust"))?;
        // cargo asks the compiler where its sysroot is, to find the source there
        let wrapper = self.folder.join("rustc");
        fs::write(
            &wrapper,
            format!(
                "#!/bin/sh\nexec '{}' --sysroot '{}' \"$@\"\n",
                rustc(),
                self.sysroot().display()
            ),
        )
        .context("cannot write the compiler's wrapper")?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
            .context("cannot make the compiler's wrapper executable")
    }

    /// Builds an empty crate together with the standard library, and keeps the
    /// library.
    fn compile(&self, target: &str) -> Result<()> {
        let work = self.folder.join("build");
        workspace::write_if_changed(
            &work.join("Cargo.toml"),
            b"[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n",
        )?;
        workspace::write_if_changed(&work.join("src/lib.rs"), b"#![no_std]\n")?;
        Cmd::new(workspace::cargo())
            .args(["build", "--release", "--target", target])
            .arg("-Zbuild-std=std,panic_abort,panic_unwind,proc_macro")
            .dir(&work)
            .env("CARGO_TARGET_DIR", work.join("target"))
            .env("RUSTC", self.folder.join("rustc"))
            .env("RUSTC_BOOTSTRAP", "1")
            // fat LTO of the guests needs the bitcode
            .env("RUSTFLAGS", "-Cembed-bitcode=yes")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("RUSTC_WRAPPER")
            .quiet(&format!("wasm-std-{target}"))?;
        let built = work.join("target").join(target).join("release/deps");
        let into = self.libraries(target);
        fs::create_dir_all(&into).context("cannot create the target's folder")?;
        let mut copied = 0;
        for entry in fs::read_dir(&built)
            .context("cannot list the built library")?
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".rlib") && !name.starts_with("libempty-") {
                fs::copy(entry.path(), into.join(&name))
                    .with_context(|| format!("cannot copy {name}"))?;
                copied += 1;
            }
        }
        if copied == 0 {
            bail!("cargo built no library for {target}");
        }
        // it is only needed once
        let _ = fs::remove_dir_all(&work);
        Ok(())
    }
}

/// apt with a state of its own.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    fn new(folder: PathBuf) -> Result<Self> {
        for name in ["lists/partial", "archives/partial", "packages"] {
            fs::create_dir_all(folder.join(name)).context("cannot create a folder for apt")?;
        }
        Ok(Self { folder })
    }

    /// Base address of the Debian mirror that this machine is set up with.
    fn mirror(&self) -> Result<String> {
        let targets = |cmd: Cmd| {
            cmd.args(["indextargets", "--format"])
                .arg("$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)")
                .arg("Created-By: Packages")
                .read()
        };
        let apt = || Cmd::new("apt-get").missing(NO_APT);
        let mut listed = targets(apt())?;
        if main_archive(&listed).is_none() {
            // a fresh image has no lists yet; ours need no administrator
            let own = || self.options(apt(), false);
            own()
                .arg("update")
                .timeout(APT_LIMIT)
                .quiet("apt-update-own")
                .context("cannot read the package lists of this machine's mirror")?;
            listed = targets(own())?;
        }
        main_archive(&listed)
            .with_context(|| format!("this machine's apt knows no Debian main archive: {NO_APT}"))
    }

    /// Looks for the compiler's source in one suite and unpacks what is needed
    /// from it. `false`: the suite does not have this version.
    fn fetch(&self, mirror: &str, suites: &[&str], version: &str, into: &Path) -> Result<bool> {
        let sources: String = suites
            .iter()
            .map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
            .collect();
        fs::write(self.folder.join("sources.list"), sources)
            .context("cannot write a sources list")?;
        let apt = |program: &str| self.options(Cmd::new(program).missing(NO_APT), true);
        let suite = suites.first().copied().unwrap_or_default();
        let updated = apt("apt-get")
            .arg("update")
            .timeout(APT_LIMIT)
            .attempt(&format!("apt-update-{suite}"))?;
        if updated != Outcome::Succeeded {
            eprintln!("    {suite}: no index (target/logs/apt-update-{suite}.log)");
            return Ok(false);
        }
        let rows = apt("apt-cache").args(["madison", "rust-src"]).read()?;
        let Some(rust_src) = pick(&rows, "rust-src", &format!("{version}+")) else {
            eprintln!("    {suite}: no rust-src {version}");
            return Ok(false);
        };
        eprintln!("    {suite}: rust-src {rust_src}");
        let packages = self.folder.join("packages");
        apt("apt-get")
            .arg("download")
            .arg(format!("rust-src={rust_src}"))
            .dir(&packages)
            .timeout(APT_LIMIT)
            .quiet("apt-download")?;
        for entry in fs::read_dir(&packages)
            .context("cannot list the packages")?
            .flatten()
        {
            Cmd::new("dpkg")
                .arg("-x")
                .arg(entry.path())
                .arg(into)
                .missing("it is part of every Debian")
                .quiet("dpkg-unpack")?;
        }
        Ok(true)
    }

    fn options(&self, cmd: Cmd, own_sources: bool) -> Cmd {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let cmd = cmd
            .arg(format!("-oDir::State::lists={}", path("lists")))
            .arg(format!("-oDir::Cache::archives={}", path("archives")))
            .arg("-oDir::Cache::pkgcache=")
            .arg("-oDir::Cache::srcpkgcache=")
            .arg("-oAPT::Sandbox::User=root")
            .arg("-oAcquire::Languages=none")
            .arg("-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false");
        if !own_sources {
            return cmd;
        }
        cmd.arg(format!("-oDir::Etc::sourcelist={}", path("sources.list")))
            .arg("-oDir::Etc::sourceparts=-")
    }
}

const NO_APT: &str = "the standard library for wasm is built from Debian's rust-src where rustup cannot fetch it; install the target with `rustup target add wasm32-unknown-unknown` instead";

/// The main archive in what `apt-get indextargets` lists, as `origin|label|component|base`.
fn main_archive(listed: &str) -> Option<String> {
    listed.lines().find_map(|line| {
        let mut fields = line.split('|');
        let is_main = (fields.next(), fields.next(), fields.next())
            == (Some("Debian"), Some("Debian"), Some("main"));
        fields
            .next()
            .filter(|base| is_main && !base.is_empty())
            .map(str::to_owned)
    })
}

/// The first version of `package` in madison's table that begins with `prefix`.
fn pick(rows: &str, package: &str, prefix: &str) -> Option<String> {
    rows.lines().find_map(|row| {
        let mut columns = row.split('|').map(str::trim);
        let found = columns.next() == Some(package);
        columns
            .next()
            .filter(|version| found && version.starts_with(prefix))
            .map(str::to_owned)
    })
}

fn rustc() -> String {
    env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

fn installed_sysroot() -> Result<PathBuf> {
    Cmd::new(rustc())
        .args(["--print", "sysroot"])
        .read()
        .map(|text| PathBuf::from(text.trim()))
}

fn relink(to: &Path, at: &Path) -> Result<()> {
    if at.is_symlink() {
        fs::remove_file(at).with_context(|| format!("cannot replace {}", at.display()))?;
    }
    symlink(to, at).with_context(|| format!("cannot link {}", at.display()))
}

#[cfg(test)]
mod tests {
    use super::{main_archive, pick};

    #[test]
    fn the_main_archive_is_neither_security_nor_a_vendors() {
        let listed = "|.|main|https://other.example/\nDebian|Debian-Security|main|http://mirror.example/security/\nDebian|Debian|main|http://mirror.example/debian/\n";
        assert_eq!(
            main_archive(listed).as_deref(),
            Some("http://mirror.example/debian/")
        );
        assert_eq!(main_archive("|.|main|https://other.example/\n"), None);
    }

    #[test]
    fn picks_the_compilers_own_version() {
        let rows = "  rust-src | 1.96.1+dfsg1-2~bpo13+1 | x\n  rust-src | 1.95.0+dfsg1-2~bpo13+1 | x\n wasi-libc | 0.0~git2026 | x\n";
        assert_eq!(
            pick(rows, "rust-src", "1.95.0+").as_deref(),
            Some("1.95.0+dfsg1-2~bpo13+1")
        );
        assert_eq!(pick(rows, "rust-src", "1.9+"), None);
    }
}
