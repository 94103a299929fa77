//! Volumes, and hosts that they are published to.

use super::*;

fn cases(copies: usize) -> Vec<Case> {
    vec![
        Case {
            name: "create",
            before: vec![],
            call: volume_of(1, copies),
            again: Some("AlreadyExists"),
            after: vec![delete_volume(1)],
            way: Way::Back,
        },
        Case {
            name: "expand",
            before: vec![volume_of(1, copies)],
            call: patch(format!("/volumes/{}", id(1)), &json!({"newCapacity": 3})),
            again: Some("InvalidSize"),
            after: vec![delete_volume(1)],
            way: Way::Forward,
        },
        Case {
            name: "delete",
            before: vec![volume_of(1, copies)],
            call: delete_volume(1),
            again: Some("NotExists"),
            after: vec![],
            way: Way::Forward,
        },
        Case {
            name: "publish",
            before: vec![host(), volume_of(1, copies)],
            call: publish(1),
            again: Some("AlreadyPublished"),
            after: vec![unpublish(1), delete_volume(1), delete_host()],
            way: Way::Forward,
        },
        Case {
            name: "unpublish",
            before: vec![host(), volume_of(1, copies), publish(1)],
            call: unpublish(1),
            again: Some("VolumeNotPublished"),
            after: vec![delete_volume(1), delete_host()],
            way: Way::Forward,
        },
    ]
}

#[test]
fn of_one_copy() {
    kill(&Site::of(1), cases(1));
}

#[test]
fn of_two_copies() {
    kill(&Site::of(2), cases(2));
}
