//! A log that stays small: when it is full it becomes the older half, and what was that goes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Appends whole lines to a file that only its owner may read.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    /// The file is put aside when it has as many.
    max_bytes: u64,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl LogFile {
    /// Goes on with what is there.
    ///
    /// # Errors
    /// The file cannot be made or opened.
    pub fn open(path: impl Into<PathBuf>, max_bytes: u64) -> io::Result<Self> {
        let path = path.into();
        let open = Mutex::new(Open::at(&path)?);
        Ok(Self { path, max_bytes, open })
    }

    /// Appends; `text` ends with a line break.
    ///
    /// # Errors
    /// It could not be written.
    pub fn append(&self, text: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.bytes >= self.max_bytes {
            fs::rename(&self.path, self.older())?;
            *open = Open::at(&self.path)?;
        }
        open.file.write_all(text)?;
        open.bytes += text.len() as u64;
        Ok(())
    }

    /// Everything that is kept, the oldest line first.
    pub(crate) fn text(&self) -> io::Result<String> {
        let mut bytes = Vec::new();
        for path in [&self.older(), &self.path] {
            match fs::read(path) {
                Ok(part) => bytes.extend(part),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn older(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_small_and_goes_on_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        for n in 0..10 {
            LogFile::open(&path, 20).unwrap().append(format!("line {n}..\n").as_bytes()).unwrap();
        }
        let text = LogFile::open(&path, 20).unwrap().text().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.last(), Some(&"line 9.."));
        assert!(lines.len() < 6 && lines.len() > 1, "{lines:?}");
    }
}
