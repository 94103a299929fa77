//! Snapshots and what is made of them, from the command line.

use crate::support::Place;

/// The cells of the row that begins with this name.
fn row(table: &str, name: &str) -> Vec<String> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name)).expect(name);
    line.split("  ").filter(|cell| !cell.is_empty()).map(|cell| cell.trim().to_owned()).collect()
}

#[test]
fn a_snapshot_is_taken_shown_and_deleted() {
    let place = Place::new();
    let _server = place.serve_file();
    assert!(place.text(&["snapshot", "list"]).contains("no snapshots yet"));
    place.text(&["volume", "create", "db", "1G"]);
    let taken = place.text(&["snapshot", "create", "db", "monday"]);
    assert!(taken.starts_with("took snapshot monday of db, ") && taken.contains("db@monday"), "{taken}");
    let table = place.text(&["snapshot", "list"]);
    assert_eq!(row(&table, "monday")[..4], ["monday", "db", "1 GiB", "0 B"]);
    assert_eq!(place.json(&["snapshot", "list", "--volume", "db"])[0]["alias"], "monday");

    let shown = place.text(&["snapshot", "volume", "db@monday", "look"]);
    assert!(shown.starts_with("created volume look of 1 GiB, read-only, showing snapshot monday"), "{shown}");
    place.text(&["snapshot", "volume", "monday", "try", "--writable", "--reserve", "100"]);
    let look = place.text(&["volume", "show", "look"]);
    assert!(look.contains("shows       snapshot ") && look.contains("writable    no\n"), "{look}");
    assert!(place.text(&["volume", "show", "db"]).contains("snapshots   monday\n"));

    let in_use = place.run(&["volume", "delete", "db"]);
    assert_eq!(in_use.code, 1);
    assert!(in_use.stderr.contains("snapshots: monday; delete them first"), "{}", in_use.stderr);
    let in_use = place.run(&["snapshot", "delete", "monday"]);
    assert_eq!(in_use.code, 1);
    let text = &in_use.stderr;
    assert!(
        text.contains("look, try") && text.contains("--force") && text.contains("VolumeIsInUse"),
        "{text}"
    );
    place.text(&["snapshot", "delete", "monday", "--force"]);
    assert_eq!(place.json(&["snapshot", "list"]), serde_json::json!([]));
    assert_eq!(place.json(&["volume", "show", "try"])["provisioningType"], "OTHER");
    for volume in ["db", "look", "try"] {
        place.text(&["volume", "delete", volume]);
    }
}

#[test]
fn several_volumes_at_one_instant() {
    let place = Place::new();
    let _server = place.serve_file();
    for volume in ["data", "log"] {
        place.text(&["volume", "create", volume, "1G"]);
    }
    let taken = place.text(&["snapshot", "create", "--volumes", "data,log", "both"]);
    assert!(taken.contains("took snapshot both of data, ") && taken.contains("both of log, "), "{taken}");
    let ambiguous = place.run(&["snapshot", "delete", "both"]);
    assert_eq!(ambiguous.code, 3, "{}", ambiguous.stderr);
    place.text(&["snapshot", "delete", "log@both"]);
    place.text(&["snapshot", "delete", "both"]);
    let missing = place.run(&["snapshot", "create", "both", "--volumes", "data,none"]);
    assert!(missing.code == 3 && missing.stderr.contains("`none`"), "{}", missing.stderr);
    assert_eq!(place.json(&["snapshot", "list"]), serde_json::json!([]));
}

#[test]
fn a_clone_is_a_volume_of_its_own() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["volume", "create", "db", "1G"]);
    let made = place.text(&["snapshot", "clone", "db", "copy", "--size", "2G"]);
    assert!(made.starts_with("created volume copy of 2 GiB, a clone of db, "), "{made}");
    place.text(&["volume", "delete", "db"]);
    assert_eq!(row(&place.text(&["volume", "list"]), "copy")[..4], ["copy", "2 GiB", "0 B", "other"]);
    place.text(&["snapshot", "create", "copy", "monday"]);
    let of_snapshot = place.run(&["snapshot", "clone", "copy@monday", "small"]);
    let step = "basalt snapshot volume copy@monday NAME --writable";
    assert!(of_snapshot.code == 3 && of_snapshot.stderr.contains(step), "{}", of_snapshot.stderr);
    let smaller = place.run(&["snapshot", "clone", "copy", "small", "--size", "1G"]);
    assert!(smaller.code == 1 && smaller.stderr.contains("InvalidSize"), "{}", smaller.stderr);
}

#[test]
fn events_tell_what_was_done() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["volume", "create", "db", "1G"]);
    place.text(&["snapshot", "create", "db", "monday"]);
    let text = place.text(&["events"]);
    assert!(text.contains("volume-created    created volume db of 1 GiB"), "{text}");
    let events = place.json(&["events", "--after", "2"]);
    assert_eq!(events[0]["kind"], "snapshot-created", "{events}");
    assert_eq!(place.text(&["events", "--after", "3"]), "no events\n");
}

#[test]
fn wrong_inputs_change_nothing() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["volume", "create", "db", "1G"]);
    for (arguments, code, reason) in [
        (vec!["snapshot", "create", "monday"], 2, "required"),
        (vec!["snapshot", "create", "db", "monday", "--volumes", "db"], 2, "--volumes"),
        (vec!["snapshot", "create", "db", "a/b"], 1, "InvalidInput"),
        (vec!["snapshot", "create", "none", "monday"], 3, "`none`"),
        (vec!["snapshot", "create", "--volumes", "db,db", "monday"], 1, "twice"),
        (vec!["snapshot", "delete", "db@none"], 3, "`none`"),
        (vec!["snapshot", "volume", "none", "look"], 3, "`none`"),
        (vec!["snapshot", "volume", "none", "look", "--reserve", "5"], 2, "--writable"),
        (vec!["snapshot", "clone", "db", "db"], 1, "AlreadyExists"),
        (vec!["snapshot", "clone", "db", "copy", "--size", "1500M"], 2, "whole number of GiB"),
        (vec!["events", "--after", "x"], 2, "--after"),
    ] {
        let outcome = place.run(&arguments);
        assert_eq!(outcome.code, code, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(reason), "{arguments:?}: {}", outcome.stderr);
    }
    assert_eq!(place.json(&["snapshot", "list"]), serde_json::json!([]));
}
