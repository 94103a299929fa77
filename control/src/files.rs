//! Files that only the owner may read, replaced whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::ControlError;

/// Makes the directory, and its parents, with mode 0700; an existing one is narrowed to that.
pub(crate) fn private_dir(path: &Path) -> Result<(), ControlError> {
    let make = || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    };
    make().map_err(ControlError::file(path))
}

/// Replaces the file with `contents`, mode 0600. After a crash the old or the new text is there, never a part.
pub(crate) fn write_private(path: &Path, contents: &str) -> Result<(), ControlError> {
    let replace = || {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(contents.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(dir)?.sync_all()
    };
    replace().map_err(ControlError::file(path))
}

/// The file's text, or `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, ControlError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ControlError::file(path)(e)),
    }
}
