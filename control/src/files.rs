//! Files that only the owner may read, replaced whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{ControlError, crash_point::crash_point, random};

/// Of every key that is made here.
const KEY_BYTES: usize = 32;

/// Makes the directory, and its parents, with mode 0700; an existing one is narrowed to that.
pub(crate) fn private_dir(path: &Path) -> Result<(), ControlError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    make().map_err(ControlError::file(path))
}

/// Replaces the file with `contents`, mode 0600. After a crash the old or the new text is there, never a part.
pub(crate) fn write_private(path: &Path, contents: &(impl AsRef<[u8]> + ?Sized)) -> Result<(), ControlError> {
    let replace = || {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        crash_point();
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(contents.as_ref())?;
        file.sync_all()?;
        crash_point();
        fs::rename(&new, path)?;
        crash_point();
        File::open(dir)?.sync_all()
    };
    replace().map_err(ControlError::file(path))
}

/// Removes the file, if there is one. After a crash it is there or not.
pub(crate) fn remove(path: &Path) -> Result<(), ControlError> {
    let remove = || {
        crash_point();
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        }
        File::open(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?.sync_all()
    };
    remove().map_err(ControlError::file(path))
}

/// The file's text, or `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, ControlError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ControlError::file(path)(e)),
    }
}

/// The key of 32 bytes that the file holds in base64; made at the first call. A file that holds anything else is an
/// error and stays as it is.
pub(crate) fn private_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, ControlError> {
    let wrong = || ControlError::bad_file(path, "holds no key of 32 bytes in base64");
    if let Some(text) = read_if_there(path)?.map(Zeroizing::new) {
        let key = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| wrong())?);
        return if key.len() == KEY_BYTES { Ok(key) } else { Err(wrong()) };
    }
    let key = Zeroizing::new(random::bytes::<KEY_BYTES>().to_vec());
    write_private(path, &Zeroizing::new(format!("{}\n", STANDARD.encode(&*key))))?;
    Ok(key)
}
