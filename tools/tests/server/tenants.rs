//! Tenants and placement on the command line.

use crate::support::Place;

#[test]
fn a_tenant_has_volumes_of_its_own_up_to_its_budget() {
    let place = Place::new();
    let _server = place.serve_file();
    let made = place.text(&["tenant", "create", "acme", "3G", "--iops", "100", "--id", "a1"]);
    assert!(made.starts_with("made tenant acme, a1\n"), "{made}");
    place.text(&["--tenant", "acme", "volume", "create", "v", "2G", "--thick", "--iops-per-gib", "5"]);
    place.text(&["volume", "create", "v", "1G"]);

    assert_eq!(place.json(&["volume", "show", "v", "--tenant", "a1"])["tenantId"], "a1");
    assert_eq!(place.json(&["volume", "show", "v"])["tenantId"], "0");
    let list = place.text(&["tenant", "list"]);
    let row = list.lines().find(|line| line.starts_with("acme ")).expect("a row");
    assert!(row.contains("2 GiB of 3 GiB") && row.contains("10 of 100") && row.ends_with("a1"), "{list}");

    let refused = place.run(&["--tenant", "acme", "volume", "create", "w", "2G", "--thick"]);
    assert!(refused.code == 1 && refused.stderr.contains("TenantCapacityExceeded"), "{}", refused.stderr);
    place.text(&["tenant", "set", "acme", "--capacity", "9G"]);
    place.text(&["--tenant", "acme", "snapshot", "create", "--volumes", "v", "s"]);
    assert_eq!(place.json(&["--tenant", "acme", "snapshot", "list"])[0]["tenantId"], "a1");

    let refused = place.run(&["tenant", "delete", "acme"]);
    assert!(refused.code == 1 && refused.stderr.contains("TenantHasVolumes"), "{}", refused.stderr);
    place.text(&["--tenant", "acme", "snapshot", "delete", "s"]);
    place.text(&["--tenant", "acme", "volume", "delete", "v"]);
    assert_eq!(place.text(&["tenant", "delete", "acme"]), "deleted tenant acme, a1\n");
    assert_eq!(place.run(&["--tenant", "acme", "volume", "list"]).code, 3);
}

#[test]
fn placement_is_explained() {
    let place = Place::new();
    let _server = place.serve_file();
    let text = place.text(&["placement", "explain", "1G"]);
    assert!(text.contains("chosen"), "{text}");
    let refused = place.run(&[
        "placement",
        "explain",
        "1G",
        "--zones",
        "nova",
        "--replicas",
        "2",
        "--replication",
        "host",
    ]);
    let text = refused.stdout;
    assert_eq!(refused.code, 1);
    assert!(text.contains("zone: wanted nova, has none") && text.contains("(NoMatchingBackend)"), "{text}");
}
