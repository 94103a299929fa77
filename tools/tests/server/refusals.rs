//! Wrong inputs: each with its exit code and a reason that names the thing, and nothing changed.

use std::fs;

use crate::support::Place;

#[test]
fn wrong_flags_of_serve() {
    let place = Place::new();
    for (arguments, code, reason) in [
        (vec!["--drive", "a.img,fast"], 2, "unknown option `fast`"),
        (vec!["--drive", "mem:a"], 2, "needs a size"),
        (vec!["--drive", "mem:a,size=1G", "--drive", "mem:a,size=1G"], 2, "--drive mem:a is named twice"),
        (vec!["--cores", "0"], 2, "--cores 0"),
        (vec!["--api", "localhost:1"], 2, "--api"),
        (vec!["--nvme", "127.0.0.1:4420,advertise=0.0.0.0"], 2, "--nvme"),
        (vec!["--format", "other.img"], 2, "--format other.img"),
        (vec!["--log", "loud=yes=no"], 2, "--log loud=yes=no"),
        (vec!["--log-format", "xml"], 2, "--log-format"),
        (vec!["--config", "/nonexistent.toml"], 2, "--config /nonexistent.toml"),
        (vec!["--drive", "/nonexistent/a.img,size=1G"], 1, "/nonexistent/a.img"),
        (vec!["--drive", "/dev/basalt-none,size=1G"], 1, "no such device"),
        (vec!["--drive", "/proc/version"], 1, "/proc/version"),
    ] {
        let (got, text) = place.serve_fails(&arguments);
        assert_eq!(got, code, "{arguments:?}: {text}");
        assert!(text.contains(reason), "{arguments:?}: {text}");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    for flag in ["--api", "--nvme"] {
        let (code, text) = place.serve_fails(&["--drive", "mem:a,size=1G", flag, &address]);
        assert!(code == 1 && text.contains(&address), "{flag}: {text}");
    }
}

#[test]
fn wrong_inputs_of_commands_change_nothing() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["volume", "create", "vol1", "2G"]);
    place.text(&["host", "add", "web", "--nqn", "nqn.2014-08.org.example:web"]);
    let before = (place.json(&["volume", "list"]), place.json(&["host", "list"]));
    for (arguments, code, reason) in [
        (vec!["volume", "create", "vol2", "big"], 2, "`big` is not a size"),
        (vec!["volume", "create", "vol2", "0"], 2, "size of 0"),
        (vec!["volume", "create", "vol2", "1500M"], 2, "whole number of GiB"),
        (vec!["volume", "create", "vol2", "1G", "--block-size", "1024"], 2, "--block-size"),
        (vec!["volume", "create", "vol2", "1G", "--reserve", "101"], 2, "--reserve"),
        (vec!["volume", "create", "vol2", "1G", "--uuid", "42"], 2, "--uuid"),
        (vec!["volume", "create", "vol1", "1G"], 1, "AlreadyExists"),
        (vec!["volume", "create", "a/b", "1G"], 1, "InvalidInput"),
        (vec!["volume", "create", "", "1G"], 1, "InvalidInput"),
        (vec!["volume", "create", "vol2", "9000T", "--thick"], 1, "("),
        (vec!["volume", "expand", "vol1", "1G"], 1, "InvalidSize"),
        (vec!["volume", "migrate", "vol1", "abcd"], 3, "no copy `abcd`"),
        (vec!["replica", "add", "vol1"], 1, "NotReplicated"),
        (vec!["replica", "remove", "vol9", "abcd"], 3, "no volume `vol9`"),
        (vec!["replica", "set", "vol1", "abcd", "unknown"], 2, "unknown"),
        (vec!["volume", "show", "vol9"], 3, "no volume `vol9`"),
        (vec!["volume", "delete", "vol9"], 3, "no volume `vol9`"),
        (vec!["publish", "vol1", "db"], 3, "no host `db`"),
        (vec!["publish", "vol9", "web"], 3, "no volume `vol9`"),
        (vec!["unpublish", "vol1", "web"], 1, "VolumeNotPublished"),
        (vec!["unpublish", "vol1"], 2, "HOST"),
        (vec!["host", "add", "web", "--nqn", "nqn.2014-08.org.example:other"], 1, "AlreadyExists"),
        (vec!["host", "add", "db", "--nqn", "not-an-nqn"], 2, "begins with `nqn.`"),
        (vec!["host", "delete", "db"], 3, "no host `db`"),
    ] {
        let outcome = place.run(&arguments);
        assert_eq!(outcome.code, code, "{arguments:?}: {}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains(reason), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{arguments:?}: {}", outcome.stdout);
    }
    assert_eq!((place.json(&["volume", "list"]), place.json(&["host", "list"])), before);
}

#[test]
fn errors_are_json_for_scripts() {
    let place = Place::new();
    let _server = place.serve(&["--drive", "mem:a,size=1G"]);
    let outcome = place.run(&["volume", "show", "vol9", "--json"]);
    let error: serde_json::Value = serde_json::from_str(&outcome.stderr).expect("one JSON object");
    assert_eq!((error["code"].as_str(), outcome.code), (Some("NotFound"), 3));
}

#[test]
fn no_server_is_said_with_what_to_do() {
    let place = Place::new();
    let outcome = place.run(&["status"]);
    assert!(outcome.code == 4 && outcome.stderr.contains("--data-dir"), "{}", outcome.stderr);

    assert_eq!(place.serve(&["--drive", "mem:a,size=1G"]).terminate().code(), Some(0));
    let outcome = place.run(&["status"]);
    assert!(outcome.code == 4 && outcome.stderr.contains("basalt serve"), "{}", outcome.stderr);
    fs::remove_file(place.credential("token")).expect("it was there");
    assert_eq!(place.run(&["status"]).code, 5);
}
