//! `edgepass-run compose`: an application and a provider as one component.

mod configuration;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use edgepass_compose::{Part, Parts};

use self::configuration::configuration;
use crate::arguments::{ComposeArguments, KEYVALUE, OF_THE_RELEASE};
use crate::failure::Failure;
use crate::inputs::Inputs;
use crate::read;

const PROVIDER: &str = "credential-provider.wasm";

const STANDALONE: &str = "edgepass-standalone.wasm";

const FILTER: &str = "edgepass-http.wasm";

pub(crate) fn compose(arguments: &ComposeArguments) -> Result<ExitCode, Failure> {
    if let Some(failure) = read::stream("--output", &arguments.output) {
        return Err(failure);
    }
    let (application, token_store) = arguments.parts();
    let application = part(application)?;
    let config = match &arguments.config {
        Some(path) => Some(configuration(path, arguments.http, arguments.standalone)?),
        None => None,
    };
    let provider = match &arguments.provider {
        Some(path) => part(path)?,
        None if arguments.standalone => released(STANDALONE, "--provider")?,
        None => released(PROVIDER, "--provider")?,
    };
    let filter = match &arguments.filter {
        _ if !arguments.http => None,
        Some(path) => Some(part(path)?),
        None => Some(released(FILTER, "--filter")?),
    };
    let token_store = match token_store {
        None => None,
        Some(path) if path.as_os_str() == OF_THE_RELEASE => {
            Some(released(KEYVALUE, "--token-store COMPONENT")?)
        }
        Some(path) => Some(part(path)?),
    };
    let parts = [Some(&application), Some(&provider), filter.as_ref()];
    let mut inputs = Inputs::default();
    for part in parts.into_iter().flatten().chain(&token_store) {
        inputs.add("a component of the composition", Path::new(&part.name));
    }
    if let (Some(path), Some(config)) = (&arguments.config, &config) {
        inputs.add("--config", path);
        inputs.add_all(&edgepass::named_files(config));
    }
    inputs.check("--output", &arguments.output)?;
    let composed = edgepass_compose::compose(Parts {
        application,
        provider,
        token_store,
        filter,
        allowed: arguments.allow.clone(),
        config: config.map(|config| config.to_string()),
    });
    let composed = composed.map_err(|error| Failure::setup(error.to_string()))?;
    let shown = read::shown(&arguments.output);
    write(&arguments.output, &composed.bytes).map_err(|error| {
        let failure = Failure::setup(format!("--output: cannot write {shown}: {error}"));
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory => failure
                .hint("name a file in a folder that is there and that this process may write in"),
            ErrorKind::InvalidInput | ErrorKind::IsADirectory => {
                failure.hint("name a file; what goes on by a pipe is written to a file first")
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                failure.hint("what was there is as it was; make room, or name a file elsewhere")
            }
            _ => failure,
        }
    })?;
    let mut text = String::new();
    for name in composed.emptied {
        text += &format!("{name} of the application is empty: the variables are the provider's\n");
    }
    if !composed.further.is_empty() {
        text += &format!(
            "the application imports {}, which whoever runs it has to give it\n",
            composed.further.join(", ")
        );
    }
    if !composed.asked.is_empty() {
        text += &format!(
            "the provider itself asks for tokens, by {}, and nobody in the whole answers it: compose it with credential-provider.wasm or credential-provider-p2.wasm first, and the application with that\n",
            composed.asked.join(", ")
        );
    }
    text += &format!("wrote {}\n", arguments.output.display());
    let said = io::stdout().lock().write_all(text.as_bytes());
    said.map_err(|error| Failure::setup(format!("standard output: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a file whole or not at all: a part of a component, which begins as one, would be in the place of a good one.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // a link leads to what is replaced
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(_) => path.to_owned(),
    };
    match fs::metadata(&path) {
        Ok(there) if there.is_dir() => return Err(ErrorKind::IsADirectory.into()),
        // somebody wants to see that it can be composed, and nothing more
        Ok(_) if path == Path::new("/dev/null") => return Ok(()),
        Ok(there) if !there.is_file() => {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        _ => {}
    }
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = path.with_file_name(beside);
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        if let Ok(there) = fs::metadata(&path) {
            file.set_permissions(there.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&beside, &path)
    });
    let Err(error) = written else {
        return Ok(());
    };
    // nothing may have been made
    let _ = fs::remove_file(&beside);
    match error.kind() {
        // a file may be given where its folder is not: by a mount of its own
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy
            if path.is_file() =>
        {
            fs::write(&path, bytes)
        }
        _ => Err(error),
    }
}

fn part(path: &Path) -> Result<Part, Failure> {
    Ok(Part {
        name: path.display().to_string(),
        bytes: read::whole(path)?,
    })
}

/// A component of the release that this program belongs to: beside it, as `cargo xtask build` leaves them, or in `wasm/`
/// beside its folder, as the archive has them.
fn released(name: &str, option: &str) -> Result<Part, Failure> {
    let places = places(name);
    match places.iter().find(|path| path.exists()) {
        Some(path) => part(path),
        None => {
            let looked: Vec<_> = places
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let looked = looked.join(" and ");
            Err(Failure::setup(format!("{name} is not there: looked at {looked}")).hint(format!(
                "it is in `wasm/` of the release archive, beside `bin/`, and `cargo xtask build` makes it in dist/; or name it by {option}"
            )))
        }
    }
}

fn places(name: &str) -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(fs::canonicalize);
    let program = program.unwrap_or_default();
    let Some(folder) = program.parent() else {
        return Vec::new();
    };
    let above = folder.parent().map(|above| above.join("wasm").join(name));
    [folder.join(name)].into_iter().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::write;
    use std::fs;
    use std::io::ErrorKind;
    use std::path::{Path, PathBuf};

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("edgepass-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap().flatten();
            let mut names: Vec<_> = entries
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_written_is_whole_and_nothing_stays_beside_it() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};

        let folder = Folder::new("compose-write");
        let (new, there, link) = ("new", "there", "link");
        let at = |name: &str| folder.0.join(name);
        fs::write(at(there), "before").unwrap();
        fs::set_permissions(at(there), fs::Permissions::from_mode(0o600)).unwrap();
        symlink(there, at(link)).unwrap();
        for (name, holds) in [(new, new), (there, there), (link, there)] {
            write(&at(name), name.as_bytes()).unwrap();
            assert_eq!(fs::read(at(holds)).unwrap(), name.as_bytes(), "{name}");
        }
        let mode = fs::metadata(at(there)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(at(link).is_symlink());
        write(Path::new("/dev/null"), b"x").unwrap();

        for (path, kind) in [
            (folder.0.clone(), ErrorKind::IsADirectory),
            (at("no/such/folder"), ErrorKind::NotFound),
            (PathBuf::from("/dev/zero"), ErrorKind::InvalidInput),
            // there is no room in it
            (PathBuf::from("/dev/full"), ErrorKind::InvalidInput),
        ] {
            let error = write(&path, b"x").unwrap_err();
            assert_eq!(error.kind(), kind, "{}", path.display());
        }
        assert_eq!(folder.names(), [link, new, there]);
    }
}
