//! The data directory: one server at a time, and where its API is for the other commands.

use std::{
    fs::{self, File, OpenOptions},
    io,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::ready::usable;
use crate::API_URL_FILE;

#[derive(Debug, thiserror::Error)]
pub(crate) enum DataDirError {
    #[error("--data-dir {} is in use by another `basalt serve`", .0.display())]
    InUse(PathBuf),
    #[error("--data-dir: {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// An existing data directory that no other server uses while this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// The kernel lets go of the lock when the process ends, however it ends.
    _lock: File,
}

impl DataDir {
    pub(crate) fn lock(path: &Path) -> Result<Self, DataDirError> {
        let lock_path = path.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = |source: io::Error| DataDirError::File { path: lock_path.clone(), source };
        let lock = options.open(&lock_path).map_err(file)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataDirError::InUse(path.to_owned())),
            Err(error) => Err(file(error.into())),
        }
    }

    /// Whether the passphrase of a first start waits to be used.
    pub(crate) fn has_setup_token(&self) -> bool {
        let file = fs::metadata(self.path.join("credentials/setup-token"));
        file.is_ok_and(|file| file.len() > 0)
    }

    /// Says where the API listens, for commands on this machine. Replaced whole, so that none reads half of it. With port
    /// 0, which the kernel has yet to choose, it says nothing, and no more what an earlier server said.
    pub(crate) fn write_api_url(&self, listen: SocketAddr) -> Result<(), DataDirError> {
        let path = self.path.join(API_URL_FILE);
        let written = if listen.port() == 0 {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        } else {
            let (address, _) = usable(listen);
            let new = path.with_extension("new");
            fs::write(&new, format!("https://{address}\n")).and_then(|()| fs::rename(&new, &path))
        };
        written.map_err(|source| DataDirError::File { path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_at_a_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = DataDir::lock(directory.path()).expect("nobody has it");
        assert!(matches!(DataDir::lock(directory.path()), Err(DataDirError::InUse(_))));
        drop(first);
        assert!(DataDir::lock(directory.path()).is_ok());
    }

    #[test]
    fn a_port_that_is_not_chosen_yet_is_told_to_nobody() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data_dir = DataDir::lock(directory.path()).expect("nobody has it");
        let told = || fs::read_to_string(directory.path().join(API_URL_FILE)).ok();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        for (port, expected) in [(0, None), (5, Some("https://127.0.0.1:5\n")), (0, None)] {
            data_dir.write_api_url(at(port)).expect("written");
            assert_eq!(told().as_deref(), expected);
        }
    }
}
