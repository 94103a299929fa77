//! Copies that come and go one by one, and the tasks of agents about them.

use super::*;

/// The volume's first copy.
fn of_first(call: Call) -> Call {
    call.named(format!("/volumes/{}", id(1)), "/0/location/0/uuid")
}

fn terminate() -> Call {
    of_first(patch(format!("/replica/{}/*", id(1)), &Value::Null))
}

fn remove() -> Call {
    of_first(delete(format!("/replica/{}/*", id(1))))
}

fn migrate() -> Call {
    of_first(post("/migrate_volume", &json!({"volId": id(1), "repId": "*"})))
}

fn report(state: &str) -> Call {
    let body = json!({"taskId": "*", "hostId": HOST, "state": state, "progress": 5});
    put("/tasks", &body).named("/tasks", "/0/taskId")
}

fn cases() -> Vec<Case> {
    let published = || vec![host(), volume_in(1, &["r0", "r1", "r2"], 2), publish(1)];
    let with = |more: &[Call]| [published(), more.to_vec()].concat();
    let clean = || vec![unpublish(1), delete_volume(1), delete_host()];
    let clean_with_task = || vec![unpublish(1), forget_task(), delete_volume(1), delete_host()];
    vec![
        Case {
            name: "copy",
            before: published(),
            call: post(format!("/replica/{}", id(1)), &json!({"racks": ["r0", "r1", "r2"]})),
            again: Some("NotEnoughMatchingBackends"),
            after: clean(),
            way: Way::Back,
        },
        Case {
            name: "first step of a copy's removal",
            before: published(),
            call: terminate(),
            again: Some("ReplicaTerminating"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "copy's removal",
            before: with(&[terminate()]),
            call: remove(),
            again: Some("NotExists"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "copy's state",
            before: published(),
            call: of_first(patch(format!("/replica/{}/*/Synchronizing", id(1)), &Value::Null)),
            again: Some("Success"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "migration",
            before: published(),
            call: migrate(),
            again: Some("TaskAlreadyRunning"),
            after: clean_with_task(),
            way: Way::Forward,
        },
        Case {
            name: "unpublish during a migration",
            before: with(&[migrate()]),
            call: unpublish(1),
            again: Some("VolumeNotPublished"),
            after: vec![forget_task(), delete_volume(1), delete_host()],
            way: Way::Forward,
        },
        Case {
            name: "report on a task",
            before: with(&[migrate()]),
            call: report("RUNNING"),
            again: Some("Success"),
            after: clean_with_task(),
            way: Way::Forward,
        },
        Case {
            name: "deletion of a task",
            before: with(&[migrate(), report("RUNNING"), report("FINISHED")]),
            call: forget_task(),
            again: Some("NoTask"),
            after: clean(),
            way: Way::Forward,
        },
    ]
}

#[test]
fn copies() {
    kill(&Site::of(3), cases());
}
