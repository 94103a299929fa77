//! Every operation of the provisioner API that changes something.

mod hosts;
mod others;
mod replicas;
mod snapshots;
mod tenants;
mod volumes;

use hyper::Method;
use serde_json::{Value, json};

use super::{
    Case, Way, kill,
    life::{Call, GIVEN, call},
    site::Site,
};

const HOST: &str = "h";

/// What a test calls a volume or a snapshot.
fn id(n: u32) -> String {
    format!("{GIVEN}{n:012x}")
}

fn post(path: impl Into<String>, body: &Value) -> Call {
    call(Method::POST, path, body)
}

fn put(path: impl Into<String>, body: &Value) -> Call {
    call(Method::PUT, path, body)
}

fn patch(path: impl Into<String>, body: &Value) -> Call {
    call(Method::PATCH, path, body)
}

fn delete(path: impl Into<String>) -> Call {
    call(Method::DELETE, path, &Value::Null)
}

/// One copy in each of the racks; with limits, so that its nodes have to be told of them.
fn volume_in(n: u32, racks: &[&str], copies: usize) -> Call {
    let class = json!({"numReplicas": copies, "racks": racks, "maxIOPSPerGB": 1000});
    let body = json!({"alias": format!("v{n}"), "uuid": id(n), "capacity": 2, "storageClass": class});
    post("/volumes", &body)
}

fn volume_of(n: u32, copies: usize) -> Call {
    volume_in(n, &["r0", "r1", "r2"][..copies], copies)
}

fn delete_volume(n: u32) -> Call {
    delete(format!("/volumes/{}", id(n)))
}

fn host() -> Call {
    host_of("nqn.2014-08.org.example:h")
}

/// One that is not there any more at once, so that it can be deleted.
fn host_of(nqn: &str) -> Call {
    let probe = json!({"clientType": "Agent", "duration": 0, "hostId": HOST, "name": "name",
        "hostNqn": nqn, "version": "1"});
    post("/host_probe", &probe)
}

fn delete_host() -> Call {
    delete(format!("/hosts/{HOST}"))
}

fn publish(n: u32) -> Call {
    post("/publish", &json!({"volId": id(n), "hostId": HOST}))
}

fn unpublish(n: u32) -> Call {
    post("/unpublish", &json!({"volId": id(n), "hostId": HOST}))
}

/// The internal task that was noted first.
fn forget_task() -> Call {
    delete("/tasks?taskId=*").named("/tasks", "/0/taskId")
}
