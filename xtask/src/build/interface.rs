//! What a caller's component needs of `wit/`, in one file that needs no other.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::workspace;

/// What a caller's component needs of `wit/`, in one file that needs no other.
const INTERFACE: &str = "credentials.wit";

/// Its parts: the package's name is in the first.
const PARTS: [&str; 3] = ["types.wit", "exports.wit", "status.wit"];

/// The same over WASI 0.2.
pub(crate) const INTERFACE_P2: &str = "credentials-p2.wit";

/// The interface that callers import, as [`guests`] writes it.
pub(crate) fn interface_file() -> PathBuf {
    workspace::dist().join(INTERFACE)
}

/// `edgepass:credentials` for those who call it: without what hosts implement and what names something of WASI.
pub(super) fn interface() -> Result<String> {
    let mut text = String::from(
        "// What callers of a credential provider import: types, `credential-provider` and `status`. Made from wit/.\n",
    );
    for name in PARTS {
        text.push('\n');
        text.push_str(&part(name)?);
    }
    Ok(text)
}

/// `edgepass:credentials-p2` for those who call it, and in the same file the package of its types.
pub(super) fn interface_p2() -> Result<String> {
    let own = part("p2/exports.wit")?;
    let (types, status) = (part("types.wit")?, part("status.wit")?);
    // a package beside another one is in braces
    let (about, types) = types
        .split_once(&format!("package {PACKAGE};\n"))
        .with_context(|| format!("wit/types.wit is not of {PACKAGE}"))?;
    Ok(format!(
        "// What callers of a credential provider over WASI 0.2 import: `credential-provider`, its types and `status`. Made from wit/.\n\n{own}\n{about}package {PACKAGE} {{{types}\n{status}}}\n"
    ))
}

/// The package of the types.
const PACKAGE: &str = "edgepass:credentials@0.2.0";

fn part(name: &str) -> Result<String> {
    let path = workspace::root().join("wit").join(name);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", workspace::shown(&path)))
}
