//! From a fresh directory to the lines that a host needs, and back.

use crate::support::Place;

const NQN: &str = "nqn.2014-08.org.nvmexpress:uuid:9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0001";
const HOST_ID: &str = "9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0001";

#[test]
fn the_printed_commands_lead_to_a_connect_line() {
    let place = Place::new();
    let server = place.serve_file();
    assert!(place.text(&["status"]).contains("volume create"), "status says what to do next");

    let created = place.text(&["volume", "create", "vol1", "2G"]);
    assert!(created.starts_with("created thin volume vol1 of 2 GiB, "), "{created}");
    place.text(&["host", "add", "web", "--nqn", NQN]);
    let published = place.text(&["publish", "vol1", "web"]);

    let port = server.port("NVMe/TCP");
    let uuid = place.json(&["volume", "show", "vol1"])["uuid"].as_str().expect("a UUID").to_owned();
    let connect = format!("  nvme connect --transport=tcp --traddr=127.0.0.1 --trsvcid={port} --nqn=nqn.");
    let options = format!("--hostnqn={NQN} --ctrl-loss-tmo=-1 --reconnect-delay=2");
    let discovery = format!("  --transport=tcp --traddr=127.0.0.1 --trsvcid={port} {options}");
    let lines: Vec<_> = published.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with(&connect) && line.ends_with(&options)), "{published}");
    assert!(lines.contains(&discovery.as_str()), "{published}");
    assert!(published.contains(&format!("/dev/disk/by-id/nvme-uuid.{uuid}")), "{published}");
    assert_eq!(place.text(&["publish", "vol1", "web"]), published, "asking twice is fine");
}

#[test]
fn lists_show_what_is_there() {
    let place = Place::new();
    let _server = place.serve_file();
    assert!(place.text(&["volume", "list"]).contains("no volumes yet"));
    assert!(place.text(&["host", "list"]).contains("no hosts yet"));
    assert_eq!(place.text(&["task", "list"]), "no tasks\n");

    place.text(&["volume", "create", "thin", "2G"]);
    place.text(&["volume", "create", "thick", "1G", "--thick", "--block-size", "512"]);
    place.text(&["host", "add", "web", "--nqn", NQN]);
    place.text(&["publish", "thin", "web"]);

    let table = place.text(&["volume", "list"]);
    let row = |name: &str| {
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(name)).expect(name);
        line.split("  ")
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(row("NAME")[..6], ["NAME", "SIZE", "USED", "TYPE", "BLOCK", "PUBLISHED"]);
    assert_eq!(row("thin")[..6], ["thin", "2 GiB", "0 B", "thin", "4KB", "yes"]);
    assert_eq!(row("thick")[..6], ["thick", "1 GiB", "0 B", "thick", "512B", "no"]);

    let hosts = place.text(&["host", "list"]);
    assert!(hosts.contains(&format!("web   {NQN}  {HOST_ID}")), "{hosts}");
    let show = place.text(&["volume", "show", "thin"]);
    assert!(
        show.contains("hosts       web\n") && show.contains("size        2 GiB (2147483648 bytes)\n"),
        "{show}"
    );
    let drives = place.text(&["drive", "list"]);
    assert!(drives.contains("drive.img") && drives.contains("online"), "{drives}");
    let status = place.text(&["status"]);
    assert!(status.contains("volumes: 2, 1 of them published") && status.contains("web"), "{status}");
}

#[test]
fn json_is_what_the_api_says() {
    let place = Place::new();
    let _server = place.serve_file();
    let volume = place.json(&["volume", "create", "vol1", "2G"]);
    assert_eq!((&volume["alias"], &volume["capacity"]), (&"vol1".into(), &(2u64 << 30).into()));
    let uuid = volume["uuid"].as_str().expect("a UUID");
    assert_eq!(place.json(&["volume", "list"])[0]["uuid"], uuid);
    assert_eq!(place.json(&["host", "add", "web", "--nqn", NQN])["uuid"], HOST_ID);
    let published = place.json(&["publish", "vol1", "web"]);
    assert_eq!(published["volume"]["uuid"], uuid);
    assert_eq!(published["paths"][0]["ip"], "127.0.0.1");
    assert_eq!(published["connected"], false);
}

#[test]
fn a_volume_is_named_by_alias_uuid_or_the_beginning_of_it() {
    let place = Place::new();
    let _server = place.serve_file();
    let uuids = ["aaaa1111-0000-4000-8000-000000000001", "aaaa2222-0000-4000-8000-000000000002"];
    for (name, uuid) in ["one", "two"].into_iter().zip(uuids) {
        place.text(&["volume", "create", name, "1G", "--uuid", uuid]);
    }
    for name in ["one", "aaaa1", "AAAA1111-0000-4000-8000-000000000001"] {
        assert_eq!(place.json(&["volume", "show", name])["alias"], "one", "{name}");
    }
    let ambiguous = place.run(&["volume", "show", "aaaa"]);
    assert_eq!(ambiguous.code, 3);
    assert!(uuids.iter().all(|uuid| ambiguous.stderr.contains(uuid)), "{}", ambiguous.stderr);
    let missing = place.run(&["volume", "delete", "on"]);
    assert_eq!(missing.code, 3, "the beginning of a name is no name: {}", missing.stderr);
}

#[test]
fn everything_made_can_be_changed_and_taken_away() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["volume", "create", "vol1", "1G"]);
    place.text(&["host", "add", "web", "--nqn", NQN]);
    place.text(&["publish", "vol1", "web"]);

    assert_eq!(place.text(&["volume", "expand", "vol1", "2G"]), "vol1 has 2 GiB now\n");
    let in_use = place.run(&["volume", "delete", "vol1"]);
    assert_eq!(in_use.code, 1);
    assert!(in_use.stderr.contains("VolumeIsInUse"), "{}", in_use.stderr);
    let host_in_use = place.run(&["host", "delete", "web"]);
    assert!(host_in_use.code == 1 && host_in_use.stderr.contains("vol1"), "{}", host_in_use.stderr);

    assert_eq!(place.text(&["unpublish", "vol1", "web"]), "unpublished vol1 from web\n");
    place.text(&["publish", "vol1", "web"]);
    assert_eq!(place.text(&["unpublish", "vol1", "--all"]), "unpublished vol1 from every host\n");
    place.text(&["volume", "delete", "vol1"]);
    place.text(&["host", "delete", "web"]);
    assert_eq!(place.json(&["volume", "list"]), serde_json::json!([]));
    assert_eq!(place.json(&["host", "list"]), serde_json::json!([]));
}
