//! Snapshots, volumes that show them, and clones.

use super::*;

fn take(volume: u32, snapshot: u32) -> Call {
    post("/snapshots", &json!({"alias": "s", "volumeID": id(volume), "snapshotID": id(snapshot)}))
}

fn delete_snapshot(n: u32) -> Call {
    delete(format!("/snapshots/{}", id(n)))
}

fn show(snapshot: u32, volume: u32) -> Call {
    let body = json!({"alias": "shows", "snapshotID": id(snapshot), "volumeID": id(volume), "writable": true,
        "maxIOPSPerGB": 1000});
    post("/snapshot_volumes", &body)
}

fn cases() -> Vec<Case> {
    let delete_first = || delete("/snapshots/*").named("/snapshots", "/0/snapshotID");
    let clone = json!({"alias": "clone", "sourceVolumeId": id(1), "volumeId": id(3)});
    let group = json!({"alias": "group", "volumes": [id(1), id(3)]});
    vec![
        Case {
            name: "snapshot",
            before: vec![volume_of(1, 1)],
            call: take(1, 2),
            again: Some("AlreadyExists"),
            after: vec![delete_snapshot(2), delete_volume(1)],
            way: Way::Back,
        },
        Case {
            name: "snapshot of several volumes",
            before: vec![volume_of(1, 1), volume_of(3, 1)],
            call: post("/basalt/v1/snapshot-groups", &group),
            again: None,
            after: vec![delete_first(), delete_first(), delete_volume(1), delete_volume(3)],
            way: Way::Back,
        },
        Case {
            name: "snapshot's volume",
            before: vec![volume_of(1, 1), take(1, 2)],
            call: show(2, 3),
            again: Some("AlreadyExists"),
            after: vec![delete_volume(3), delete_snapshot(2), delete_volume(1)],
            way: Way::Back,
        },
        Case {
            name: "clone",
            before: vec![volume_of(1, 1)],
            call: post("/clone_volume", &clone),
            again: Some("AlreadyExists"),
            after: vec![delete_volume(3), delete_volume(1)],
            way: Way::Back,
        },
        Case {
            name: "snapshot's deletion",
            before: vec![volume_of(1, 1), take(1, 2)],
            call: delete_snapshot(2),
            again: Some("NotExists"),
            after: vec![delete_volume(1)],
            way: Way::Forward,
        },
        Case {
            name: "deletion of a snapshot with a volume",
            before: vec![volume_of(1, 1), take(1, 2), show(2, 3)],
            call: delete(format!("/snapshots/{}?force=true", id(2))),
            again: Some("NotExists"),
            after: vec![delete_volume(3), delete_volume(1)],
            way: Way::Forward,
        },
    ]
}

#[test]
fn snapshots() {
    kill(&Site::of(1), cases());
}
