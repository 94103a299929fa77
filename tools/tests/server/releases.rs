//! A release that was installed serves once it was ready, or the one before does (admin.md §5.1).

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::support::{PATIENCE, Place};

/// As an update leaves it.
fn install(place: &Place, program: impl FnOnce(&Path)) {
    let release = place.data_dir().join("releases/9.9");
    fs::create_dir_all(&release).expect("a directory");
    for (name, text) in [
        ("version.txt", "9.9\n"),
        ("changelog.txt", "x"),
        ("build.json", "{}"),
        ("trial.json", r#"{"before":null,"phase":"installed"}"#),
    ] {
        fs::write(release.join(name), text).expect("a file");
    }
    program(&release.join("basalt"));
    symlink("9.9", place.data_dir().join("releases/current")).expect("a link");
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// No process has the data directory.
fn wait_until_free(place: &Place) {
    let lock = fs::File::open(place.data_dir().join("lock")).expect("the server made it");
    let deadline = Instant::now() + PATIENCE;
    while flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        assert!(Instant::now() < deadline, "the release lives on without its parent");
        thread::sleep(Duration::from_millis(5));
    }
}

fn update_log(place: &Place) -> String {
    fs::read_to_string(place.data_dir().join("logs/update.log")).unwrap_or_default()
}

#[test]
fn one_that_does_not_become_ready_is_rolled_back() {
    for (text, why) in [
        ("exit 3", "its program ended with exit status: 3"),
        ("exec sleep 1000", "it was not ready within 1 s"),
    ] {
        let place = Place::new();
        let drive = place.file_drive();
        let server = place.serve_file();
        place.text(&["volume", "create", "kept", "1G"]);
        assert_eq!(server.terminate().code(), Some(0));
        install(&place, |path| script(path, text));
        let server = place.serve(&["--drive", &drive, "--release-seconds", "1"]);
        assert!(place.text(&["volume", "list"]).contains("kept"));
        let log = update_log(&place);
        assert!(log.contains("E1002: release 9.9 was rolled back") && log.contains(why), "{log}");
        assert!(place.text(&["events"]).contains("release 9.9 was rolled back"));
        server.kill();
        let _server = place.serve_file();
        assert_eq!(update_log(&place), log, "it is said once");
    }
}

#[test]
fn one_that_becomes_ready_serves_for_good() {
    let place = Place::new();
    let server = place.serve_file();
    assert_eq!(server.terminate().code(), Some(0));
    let ours = Path::new(env!("CARGO_BIN_EXE_basalt"));
    install(&place, |path| {
        if fs::hard_link(ours, path).is_err() {
            fs::copy(ours, path).expect("a copy");
        }
    });
    let server = place.serve_file();
    assert!(!place.data_dir().join("releases/9.9/trial.json").exists(), "it has passed");
    // The program that tried it stands for it: its death is the release's, its end, too.
    server.kill();
    wait_until_free(&place);
    let server = place.serve_file();
    assert_eq!(server.terminate().code(), Some(0));
    assert_eq!(update_log(&place), "");
}
