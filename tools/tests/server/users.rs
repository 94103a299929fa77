//! Users, logins and their tokens on the command line.

use crate::support::Place;

#[test]
fn a_user_logs_in_and_does_what_the_role_says() {
    let place = Place::new();
    let _server = place.serve_file();
    let short = place.run_with(&["user", "create", "alice"], "short\n");
    assert!(short.code == 1 && short.stderr.contains("at least 8 characters"), "{}", short.stderr);
    assert_eq!(place.run_with(&["user", "create", "alice"], "").code, 2, "no password");
    let made = place.run_with(&["user", "create", "alice", "--role", "observer"], "passw0rd!\n");
    assert!(made.stdout.starts_with("made user alice, 1000, with the role observer\n"), "{}", made.stderr);
    let row = |name: &str| {
        let list = place.text(&["user", "list"]);
        list.lines().find(|line| line.starts_with(name)).map(str::to_owned)
    };
    assert_eq!(row("alice").as_deref(), Some("alice  observer  yes      1000"));

    assert_eq!(place.run_with(&["login", "alice"], "wrong").code, 5);
    let login = place.run_with(&["login", "alice"], "passw0rd!\n").stdout;
    let bearer = login.trim();
    place.text(&["volume", "list", "--token", bearer]);
    let refused = place.run(&["volume", "create", "v", "1G", "--token", bearer]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(place.text(&["user", "role", "alice", "admin"]).contains("has the role admin now"));
    place.text(&["volume", "create", "v", "1G", "--token", bearer]);

    let service = place.text(&["user", "token", "create", "alice", "--expires", "30d"]);
    place.text(&["volume", "list", "--token", service.trim()]);
    let tokens = place.json(&["user", "token", "list"]);
    assert_eq!(tokens[0]["user"]["name"], "alice");
    place.text(&["user", "token", "delete", tokens[0]["id"].as_str().expect("text")]);
    assert_eq!(place.run(&["volume", "list", "--token", service.trim()]).code, 5);

    assert_eq!(place.run_with(&["user", "password", "alice"], "another one").code, 0);
    assert_eq!(place.run(&["volume", "list", "--token", bearer]).code, 5, "the session has ended");
    assert_eq!(place.text(&["user", "delete", "alice"]), "deleted user alice\n");
    assert_eq!(row("alice"), None);
    assert_eq!(place.run(&["user", "delete", "admin"]).code, 5);
    assert_eq!(place.run(&["user", "delete", "nobody"]).code, 3);
}
