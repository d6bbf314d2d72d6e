//! Files below the folders that the runtime has preopened.

use wit_bindgen::StreamResult;
use zeroize::Zeroizing;

use crate::bindings::edgepass::credentials::types::ReadError;
use crate::bindings::wasi::filesystem::preopens;
use crate::bindings::wasi::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags,
};

/// A token file, bytes: as much as the native host reads.
const MAX_BYTES: usize = 1024 * 1024;

/// The whole content now.
pub(crate) async fn read(path: &str) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut folders = preopens::get_directories();
    // the innermost first
    folders.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    let found = folders
        .iter()
        .find_map(|(folder, name)| below(path, name).map(|rest| (folder, rest)));
    let (folder, rest) = found.ok_or_else(|| {
        ReadError::Denied(
            "it is in no folder that the runtime has preopened (`wasmtime run --dir FOLDER::PATH`)"
                .to_owned(),
        )
    })?;
    // before it is opened: a pipe would wait for a writer, and there is no opening without that
    let found = folder.stat_at(PathFlags::SYMLINK_FOLLOW, rest.to_owned());
    regular(&found.await.map_err(failure)?.type_)?;
    let opened = folder.open_at(
        PathFlags::SYMLINK_FOLLOW,
        rest.to_owned(),
        OpenFlags::empty(),
        DescriptorFlags::READ,
    );
    let file = opened.await.map_err(failure)?;
    // and what was opened, which may be another by now
    let found = file.stat().await.map_err(failure)?;
    regular(&found.type_)?;
    let length = found.size;
    let too_large = || ReadError::TooLarge(MAX_BYTES as u64);
    let capacity = usize::try_from(length).map_err(|_| too_large())?;
    if capacity > MAX_BYTES {
        return Err(too_large());
    }
    let (mut content, end) = file.read_via_stream(0);
    // at once: growing would leave copies of the token behind
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity + 1));
    loop {
        if bytes.len() == bytes.capacity() {
            // it has grown meanwhile
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 2));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        let (result, back) = content.read(std::mem::take(&mut *bytes)).await;
        *bytes = back;
        if bytes.len() > MAX_BYTES {
            return Err(too_large());
        }
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    drop(content);
    end.await.map_err(failure)?;
    Ok(bytes)
}

/// Nothing but a file has an end that is sure to come.
fn regular(kind: &DescriptorType) -> Result<(), ReadError> {
    match kind {
        DescriptorType::RegularFile => Ok(()),
        _ => Err(ReadError::Other("it is not a regular file".to_owned())),
    }
}

/// What of a path is below a folder of that name.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = match folder.trim_end_matches('/') {
        "" | "." if folder != "/" => path.strip_prefix("./").unwrap_or(path),
        folder => path.strip_prefix(folder)?.strip_prefix('/')?,
    };
    (!rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

fn failure(code: ErrorCode) -> ReadError {
    match code {
        ErrorCode::NoEntry => ReadError::NotFound,
        ErrorCode::Access | ErrorCode::NotPermitted => {
            ReadError::Denied("the runtime may not read it".to_owned())
        }
        code => ReadError::Other(format!("the runtime says {code:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn a_path_is_found_below_its_folder() {
        for (path, folder, rest) in [
            ("/var/run/token", "/", Some("var/run/token")),
            ("/var/run/token", "/var/run", Some("token")),
            ("/var/run/token", "/var/run/", Some("token")),
            ("/var/running/token", "/var/run", None),
            ("/var/run", "/var/run", None),
            ("/var/run//token", "/var/run", None),
            ("token", ".", Some("token")),
            ("./token", "", Some("token")),
            ("/token", ".", None),
        ] {
            assert_eq!(below(path, folder), rest, "{path} in {folder}");
        }
    }
}
