//! A new release shows that it can work here before it is taken: it runs, and it reads a copy of the metadata.

use std::{
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{UpdateError, package::PROGRAM};
use crate::store::{Entry, copy_to};

/// It has this long.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// The metadata as the new program would find it.
pub(super) fn copy_metadata(path: &Path, entries: Vec<Entry>) -> Result<(), UpdateError> {
    copy_to(path, entries).map_err(|e| UpdateError::Step(e.to_string()))
}

pub(super) fn check_itself(release: &Path, copy: &Path) -> Result<(), UpdateError> {
    let mut command = Command::new(release.join(PROGRAM));
    command.arg("self-check").arg(copy);
    run(command, "its program's self-check")
}

fn run(mut command: Command, what: &str) -> Result<(), UpdateError> {
    let failed = |why: String| UpdateError::Step(format!("{what} {why}"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let began = Instant::now();
    let mut child = loop {
        match command.spawn() {
            Ok(child) => break child,
            // A process that was just forked elsewhere still has the file open that we wrote.
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && began.elapsed() < LIMIT => {
                thread::sleep(LOOK);
            }
            Err(e) => return Err(failed(format!("does not start: {e}"))),
        }
    };
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(failed(format!("ended with {status}"))),
            None if began.elapsed() > LIMIT => break,
            None => thread::sleep(LOOK),
        }
    }
    child.kill()?;
    child.wait()?;
    Err(failed(format!("did not end within {} s", LIMIT.as_secs())))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn what_fails_or_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = check_itself(dir.path(), dir.path()).unwrap_err();
        assert!(error.code() == "E1002" && error.to_string().contains("does not start"), "{error}");
        let program = dir.path().join(PROGRAM);
        for (text, good) in [("#!/bin/sh\ntest \"$1\" = self-check\n", true), ("#!/bin/sh\nexit 3\n", false)]
        {
            fs::write(&program, text).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(check_itself(dir.path(), dir.path()).is_ok(), good, "{text}");
        }
    }
}
