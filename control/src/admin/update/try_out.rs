//! A new release shows that it can work here before it is taken: it runs, and it reads a copy of the metadata. Its hook
//! may say no, too.

use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::{
    process::geteuid,
    thread::{clear_ambient_capability_set, set_no_new_privs},
};

use super::{UpdateError, package::PROGRAM};
use crate::{
    admin::program,
    store::{Entry, copy_to},
};

/// Each has this long.
const LIMIT: Duration = Duration::from_secs(120);

/// In a release: a shell script that says whether it can be taken here. It need not be there.
pub(super) const HOOK: &str = "hook.sh";
/// Bytes of a hook: a pipe takes it at once.
const MAX_HOOK_BYTES: u64 = 32 << 10;
/// Who runs it where this server is root.
const NOBODY: u32 = 65_534;

/// The metadata as the new program would find it.
pub(super) fn copy_metadata(path: &Path, entries: Vec<Entry>) -> Result<(), UpdateError> {
    copy_to(path, entries).map_err(|e| UpdateError::Step(e.to_string()))
}

pub(super) fn check_itself(release: &Path, copy: &Path) -> Result<(), UpdateError> {
    let mut command = Command::new(release.join(PROGRAM));
    command.arg("self-check").arg(copy).env_clear().stdout(Stdio::null());
    let ended = program::run(command, b"", LIMIT);
    ended.map_err(|why| UpdateError::Step(format!("its program's self-check {why}")))
}

/// Runs the release's hook, if it has one, without privileges: as nobody where this server is root, as this server's
/// own user otherwise, and unable to gain any. It cannot look into the data directory then, so it is read for it.
pub(super) fn ask_hook(release: &Path, version: &str, installed: &str) -> Result<(), UpdateError> {
    let failed = |why: String| UpdateError::Step(format!("its hook {why}"));
    let path = release.join(HOOK);
    match fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(file) if file.len() > MAX_HOOK_BYTES => {
            return Err(failed(format!("has more than {MAX_HOOK_BYTES} bytes")));
        }
        _ => {}
    }
    let script = fs::read(path)?;
    let mut command = Command::new("/bin/sh");
    command.arg("-s").current_dir("/").env_clear().env("PATH", "/usr/bin:/bin").stdout(Stdio::null());
    command.env("BASALT_VERSION", version).env("BASALT_INSTALLED_VERSION", installed);
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    // What a thread gave up is given up for what it starts, and for nobody else.
    let run = thread::spawn(move || {
        let given_up = set_no_new_privs(true).and_then(|()| clear_ambient_capability_set());
        given_up.map_err(|e| format!("cannot be run without privileges: {e}"))?;
        program::run(command, &script, LIMIT)
    });
    run.join().unwrap_or_else(|_| Err("failed in this server".to_owned())).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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

    #[test]
    fn a_hook_has_no_privileges_and_may_say_no() {
        let dir = tempfile::tempdir().unwrap();
        let ask = || ask_hook(dir.path(), "2.0", "1.0").map_err(|e| e.to_string());
        assert_eq!(ask(), Ok(()), "there is none");
        let hook = |text: &str| fs::write(dir.path().join(HOOK), text).unwrap();
        hook(
            "test $BASALT_VERSION = 2.0 && test $BASALT_INSTALLED_VERSION = 1.0 && test \"$(id -u)\" != 0 &&\n\
              grep -q 'NoNewPrivs:.*1' /proc/self/status && grep -q 'CapEff:.*0000000000000000' /proc/self/status\n",
        );
        assert_eq!(ask(), Ok(()));
        hook("exit 7\n");
        let error = ask_hook(dir.path(), "2.0", "1.0").unwrap_err();
        assert!(
            error.code() == "E1002" && error.to_string().contains("hook ended with exit status: 7"),
            "{error}"
        );
        hook(&"#".repeat(40 << 10));
        assert!(ask().unwrap_err().contains("more than"));
    }
}
