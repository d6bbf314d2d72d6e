//! The commands that another program has: `edgepass-run`, which carries a compiler, so that this one is small.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use super::failure::Failure;

/// The program.
const PROGRAM: &str = "edgepass-run";

/// Its commands.
const COMMANDS: [&str; 3] = ["run", "serve-http", "compose"];

/// The arguments of the program, if the command line is for it as it stands: what follows the command is not looked at.
pub(crate) fn arguments(line: impl Iterator<Item = OsString>) -> Option<Vec<OsString>> {
    let line: Vec<OsString> = line.skip(1).collect();
    let is_its = |word: &OsStr| COMMANDS.iter().any(|command| word == *command);
    match line.as_slice() {
        [first, ..] if is_its(first) => Some(line),
        [help, command, ..] if help == "help" && is_its(command) => Some(line),
        _ => None,
    }
}

/// Says to a program that a process becomes by which process it was: one that is this program by another name would become
/// itself for ever.
const HANDED_OVER: &str = "EDGEPASS_HANDED_OVER";

/// Becomes the program: descriptors, signals and exit status are its own. Where a process cannot do that, it waits for it.
pub(crate) fn hand_over(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let this = std::process::id().to_string();
    if std::env::var_os(HANDED_OVER).is_some_and(|process| process == *this) {
        return Err(Failure::setup_with_hint(
            format!(
                "this is a command of {PROGRAM}, and what has that name is edgepass itself, renamed or linked"
            ),
            format!("take the {PROGRAM} of this release, from bin/ of its archive"),
        ));
    }
    // the one beside this program first: it is of the same release
    let beside = std::env::current_exe().ok();
    let beside = beside.and_then(|program| program.parent().map(|folder| folder.join(PROGRAM)));
    let beside = beside.map(|path| path.with_extension(std::env::consts::EXE_EXTENSION));
    let beside = beside.filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PathBuf::from(PROGRAM));
    let mut command = Command::new(&program);
    command.args(arguments).env(HANDED_OVER, this);
    become_it(&mut command).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::setup_with_hint(
                format!("this is a command of {PROGRAM}, which is neither beside edgepass nor in PATH"),
                format!(
                    "it is in bin/ of the release archive, or `cargo install --locked --git {} {PROGRAM}` builds it",
                    env!("CARGO_PKG_REPOSITORY")
                ),
            );
        }
        Failure::setup(format!("{} cannot be run: {error}", program.display()))
    })
}

#[cfg(unix)]
fn become_it(command: &mut Command) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;

    // what it prints of its usage then begins as people have written it
    Err(command.arg0("edgepass").exec())
}

#[cfg(not(unix))]
fn become_it(command: &mut Command) -> io::Result<ExitCode> {
    let is_this = |program: &OsStr| {
        let this = std::env::current_exe().and_then(std::fs::canonicalize).ok();
        this.is_some() && std::fs::canonicalize(program).ok() == this
    };
    if is_this(command.get_program()) {
        return Err(io::Error::other("it is edgepass itself"));
    }
    let status = command
        .status()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ok(status.map_or(ExitCode::FAILURE, ExitCode::from))
}

#[cfg(test)]
mod tests {
    use super::arguments;

    #[test]
    fn what_follows_the_command_is_not_looked_at() {
        for (line, expected) in [
            (
                "edgepass run app.wasm -v --help",
                Some("run app.wasm -v --help"),
            ),
            (
                "edgepass serve-http --listen x",
                Some("serve-http --listen x"),
            ),
            ("edgepass compose", Some("compose")),
            ("edgepass help run", Some("help run")),
            ("edgepass help token", None),
            ("edgepass token run", None),
            ("edgepass -v run app.wasm", None),
            ("edgepass", None),
        ] {
            let line = line.split(' ').map(Into::into);
            let expected = expected.map(|text| text.split(' ').map(Into::into).collect());
            assert_eq!(arguments(line), expected);
        }
    }
}
