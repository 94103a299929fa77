//! The inventory, the license and the authorization server on the command line.

use std::fs;

use crate::support::Place;

#[test]
fn what_there_is_and_what_is_refused() {
    let place = Place::new();
    let _server = place.serve_file();
    let inventory = place.text(&["inventory", "list"]);
    assert!(inventory.lines().count() == 2 && inventory.contains("  new  "), "{inventory}");
    place.text(&["inventory", "reset"]);
    assert!(place.text(&["license", "show"]).starts_with("POC\n"));
    assert!(place.text(&["auth-server", "show"]).starts_with("no authorization server"));

    let file = place.path("settings.json");
    let settings = r#"{"provisionerResourceID": "p"}"#;
    for (command, content, code, said) in [
        (["license", "install"], "none", 1, "InvalidLicense"),
        (["auth-server", "set"], "{", 2, "is not JSON"),
        (["auth-server", "set"], settings, 1, "provisionerClientID"),
    ] {
        fs::write(&file, content).expect("writable");
        let refused = place.run(&[command[0], command[1], file.to_str().expect("a name")]);
        assert!(refused.code == code && refused.stderr.contains(said), "{command:?}: {}", refused.stderr);
    }
    let refused = place.run(&["auth-server", "clear"]);
    assert!(refused.code == 1 && refused.stderr.contains("InvalidAuthMode"), "{}", refused.stderr);
    assert_eq!(place.run(&["licence", "install", "no-such-file"]).code, 2);
}
