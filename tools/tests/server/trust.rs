//! Who is let in, and whom the command line trusts.

use std::{fs, process::Command};

use crate::support::{Outcome, Place, basalt};

fn remote(place: &Place) -> Command {
    let mut command = basalt();
    // Away from the data directory, as on another machine.
    command.current_dir(place.path("")).args(["--url", &place.url(), "--ca"]).arg(place.credential("ca.pem"));
    command
}

fn run(command: &mut Command) -> Outcome {
    Outcome::of(command.output().expect("basalt starts"))
}

fn token(place: &Place) -> String {
    fs::read_to_string(place.credential("token")).expect("readable").trim().to_owned()
}

#[test]
fn url_and_token_are_enough_with_the_authority() {
    let place = Place::new();
    let _server = place.serve(&["--drive", "mem:a,size=1G"]);
    let flags = run(remote(&place).args(["--token", &token(&place), "volume", "list"]));
    assert_eq!(flags.code, 0, "{}", flags.stderr);
    let mut command = basalt();
    command.current_dir(place.path("")).args(["volume", "list"]);
    command.env("BASALT_URL", place.url()).env("BASALT_TOKEN", token(&place));
    let variables = run(command.env("BASALT_CA", place.credential("ca.pem")));
    assert_eq!(variables.code, 0, "{}", variables.stderr);
}

#[test]
fn a_wrong_token_or_none_is_not_let_in() {
    let place = Place::new();
    let _server = place.serve(&["--drive", "mem:a,size=1G"]);
    for arguments in [&["--token", "wrong", "volume", "list"][..], &["volume", "list"]] {
        let outcome = run(remote(&place).args(arguments));
        assert_eq!(outcome.code, 5, "{arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_server_of_another_authority_gets_no_token() {
    let (place, other) = (Place::new(), Place::new());
    let _server = place.serve(&["--drive", "mem:a,size=1G"]);
    let _other = other.serve(&["--drive", "mem:a,size=1G"]);
    let mut command = basalt();
    command.args(["--url", &place.url(), "--token", "secret", "--ca"]).arg(other.credential("ca.pem"));
    let outcome = run(command.arg("status"));
    assert!(outcome.code == 4 && outcome.stderr.contains("not trusted"), "{}", outcome.stderr);
    let mut command = basalt();
    command.args(["--url", &place.url(), "--token", &token(&place), "--insecure", "volume", "list"]);
    assert_eq!(run(&mut command).code, 0, "unless told to trust anybody");
}

#[test]
fn a_rotated_token_is_the_only_one() {
    let place = Place::new();
    let server = place.serve_file();
    let old = token(&place);
    place.text(&["token", "rotate"]);
    let new = token(&place);
    assert_ne!(old, new);
    let check = |token: &str, code: i32| {
        let outcome = run(remote(&place).args(["--token", token, "volume", "list"]));
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
    };
    check(&old, 5);
    check(&new, 0);
    let issued = place.text(&["token", "create", "--role", "observer", "--expires", "2d", "--name", "web"]);
    check(issued.trim(), 0);
    assert!(place.text(&["token", "list"]).contains("observer  web"));
    place.text(&["token", "revoke", "web"]);
    check(issued.trim(), 5);
    assert_eq!(server.terminate().code(), Some(0));
    let _server = place.serve_file();
    check(&old, 5);
    check(&new, 0);
}
