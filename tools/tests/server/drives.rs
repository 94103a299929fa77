//! Drives that come, grow and go under a running server.

use std::fs;

use crate::support::Place;

#[test]
fn drives_come_grow_and_go() {
    let place = Place::new();
    let server = place.serve_file();
    let added = place.path("second.img");
    let spec = format!("{},size=1G", added.display());
    let drive = place.json(&["drive", "add", &spec]);
    let name = drive["name"].as_str().expect("a name").to_owned();
    assert!(place.text(&["drive", "list"]).contains("second.img"));
    let text = place.text(&["drive", "grow", &name, "8G"]);
    assert!(text.contains("8 GiB now"), "{text}");
    assert_eq!(fs::metadata(&added).expect("there").len(), 8 << 30);
    assert!(place.text(&["drive", "grow", &name]).contains("as before"));
    // It has more room than the first one, which could not take it over.
    place.text(&["volume", "create", "vol1", "5G", "--thick"]);
    let refused = place.run(&["drive", "remove", &name]);
    let needed = format!("{} bytes needed", 5_u64 << 30);
    assert!(refused.code == 1 && refused.stderr.contains(&needed), "{}", refused.stderr);
    let volumes = place.json(&["volume", "list"]);
    server.kill();

    // No flag names it, and it is there again.
    let server = place.serve_file();
    assert_eq!(place.json(&["volume", "list"]), volumes);
    place.text(&["volume", "delete", "vol1"]);
    place.text(&["drive", "remove", &name]);
    assert!(!place.text(&["drive", "list"]).contains("second.img"));
    assert!(added.exists(), "what is there stays");
    assert_eq!(server.terminate().code(), Some(0));
    let server = place.serve_file();
    assert!(!place.text(&["drive", "list"]).contains("second.img"));
    drop(server);
}

#[test]
fn a_drive_is_emptied_before_it_goes() {
    let place = Place::new();
    let server = place.serve_file();
    place.text(&["volume", "create", "vol1", "1G"]);
    place.text(&["snapshot", "create", "vol1", "monday"]);
    place.text(&["volume", "create", "vol2", "1G", "--thick"]);
    let first = place.path("drive.img").display().to_string();
    let second = place.path("second.img");
    place.text(&["drive", "add", &format!("{},size=4G", second.display())]);
    let text = place.text(&["drive", "remove", &first]);
    assert!(text.contains("removed drive"), "{text}");
    let drives = place.json(&["drive", "list"]);
    assert_eq!(drives.as_array().map(Vec::len), Some(1), "{drives}");
    assert!(place.text(&["drive", "check", &second.display().to_string()]).contains("one owner"));
    let before = [place.json(&["volume", "list"]), place.json(&["snapshot", "list"])];
    assert_eq!(before.each_ref().map(|list| list.as_array().map(Vec::len)), [Some(2), Some(1)]);
    assert_eq!(server.terminate().code(), Some(0));

    let _server = place.serve(&["--drive", &second.display().to_string()]);
    assert_eq!([place.json(&["volume", "list"]), place.json(&["snapshot", "list"])], before);
    assert!(!place.text(&["status"]).contains("problem"));
}

#[test]
fn an_added_drive_that_is_gone_stops_nobody() {
    let place = Place::new();
    let server = place.serve_file();
    let path = place.path("second.img");
    place.text(&["drive", "add", &format!("{},size=1G", path.display())]);
    place.text(&["volume", "create", "vol1", "1G"]);
    assert_eq!(server.terminate().code(), Some(0));
    fs::rename(&path, place.path("aside.img")).expect("moved");

    let _server = place.serve_file();
    let status = place.text(&["status"]);
    assert!(status.contains("failed") && status.contains("does not exist"), "{status}");
    assert!(!path.exists(), "no empty drive in its place");
    place.text(&["volume", "create", "vol2", "1G"]);
    fs::rename(place.path("aside.img"), &path).expect("moved back");
    place.text(&["drive", "add", &path.display().to_string()]);
    assert!(!place.text(&["status"]).contains("does not exist"));
}

#[test]
fn an_older_copy_of_a_drive_is_refused_until_it_is_accepted() {
    let place = Place::new();
    assert_eq!(place.serve_file().terminate().code(), Some(0));
    let (path, copy) = (place.path("drive.img"), place.path("copy.img"));
    let to_copy = |from, to| {
        let copied = std::process::Command::new("cp").arg("--sparse=always").args([from, to]).status();
        assert!(copied.expect("cp").success());
    };
    to_copy(&path, &copy);
    let server = place.serve_file();
    place.text(&["volume", "create", "vol1", "1G"]);
    assert_eq!(server.terminate().code(), Some(0));
    to_copy(&copy, &path);
    let drive = place.file_drive();
    let (code, text) = place.serve_fails(&["--drive", &drive]);
    assert!(code == 1 && text.contains("older copy") && text.contains("--accept-drive"), "{text}");
    let path = path.display().to_string();
    let (code, text) = place.serve_fails(&["--drive", &drive, "--accept-drive", "other.img"]);
    assert!(code == 2 && text.contains("--accept-drive other.img"), "{text}");
    let server = place.serve(&["--drive", &drive, "--accept-drive", &path]);
    assert!(place.text(&["status"]).contains("recorded but on no drive"));
    assert_eq!(server.terminate().code(), Some(0));
    let _server = place.serve_file();
}

#[test]
fn wrong_drives_change_nothing() {
    let place = Place::new();
    let _server = place.serve_file();
    for (arguments, code, reason) in [
        (vec!["drive", "add", "/dev/basalt-none"], 1, "no device"),
        (vec!["drive", "add", "/nonexistent/a.img,size=1G"], 1, "/nonexistent/a.img"),
        (vec!["drive", "add", "/tmp/basalt-a.img,size=1M"], 1, "size"),
        (vec!["drive", "add", "a.img,fast"], 2, "unknown option `fast`"),
        (vec!["drive", "add", "a.img,lossy"], 2, "lossy"),
        (vec!["drive", "grow", "none.img", "1G"], 3, "drive list"),
        (vec!["drive", "grow", "drive.img", "1G"], 3, "drive list"),
        (vec!["drive", "remove", "none.img"], 3, "drive list"),
    ] {
        let outcome = place.run(&arguments);
        assert_eq!(outcome.code, code, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(reason), "{arguments:?}: {}", outcome.stderr);
    }
    let path = place.path("drive.img").display().to_string();
    let shrunk = place.run(&["drive", "grow", &path, "1G"]);
    assert!(shrunk.code == 1 && shrunk.stderr.contains("does not shrink"), "{}", shrunk.stderr);
    let again = place.run(&["drive", "add", &path]);
    assert!(again.code == 1 && again.stderr.contains("exists already"), "{}", again.stderr);
    assert_eq!(place.json(&["drive", "list"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn drives_are_looked_into_live_and_offline() {
    let place = Place::new();
    let server = place.serve_file();
    place.text(&["volume", "create", "vol1", "1G"]);
    let volume = place.json(&["volume", "show", "vol1"])["uuid"].as_str().expect("a UUID").to_owned();
    let path = place.path("drive.img").display().to_string();
    assert!(place.text(&["drive", "check", &path]).contains("one owner"));
    let held = place.run(&["drive", "check", "--offline", &path]);
    assert!(held.code == 1 && held.stderr.contains("in use"), "{}", held.stderr);
    assert_eq!(server.terminate().code(), Some(0));

    let findings = place.json(&["drive", "check", "--offline", &path]);
    assert_eq!(
        (&findings["problems"], &findings["exact"]),
        (&serde_json::json!([]), &serde_json::json!(true))
    );
    assert!(place.text(&["drive", "dump", &path]).contains(&volume));
    let dump = place.json(&["drive", "dump", &path, "--volume", &volume]);
    assert_eq!((&dump["volumes"][0]["uuid"], &dump["map"]), (&volume.into(), &serde_json::json!([])));
    let nobody = place.run(&["drive", "dump", "/nonexistent.img"]);
    assert!(nobody.code == 1 && nobody.stderr.contains("/nonexistent.img"), "{}", nobody.stderr);
}
