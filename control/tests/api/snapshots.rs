//! Snapshots, the volumes that show them, and clones: every field and ruling (provisioner §4.1, §4.3, D58, D64).

use crate::common::{Client, GIB, Running, memory_drive, node_config, uuid};
use dataplane::node::Node;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// Takes a snapshot and returns its UUID.
async fn snapshot(client: &Client, volume: &str, alias: &str) -> String {
    let made = client.post("/snapshots", json!({ "alias": alias, "volumeID": volume })).await;
    assert_eq!(made["status"], "Success", "{made}");
    made["persistentId"].as_str().unwrap().to_owned()
}

/// Makes a volume that shows a snapshot and returns its UUID.
async fn show(client: &Client, snapshot: &str, alias: &str, writable: bool) -> String {
    let body = json!({ "alias": alias, "snapshotID": snapshot, "writable": writable });
    let made = client.post("/snapshot_volumes", body).await;
    assert_eq!(made["status"], "Success", "{made}");
    made["persistentId"].as_str().unwrap().to_owned()
}

async fn one(client: &Client, path: &str) -> Value {
    client.get(path).await[0].take()
}

#[tokio::test]
async fn every_field_of_a_snapshot() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 20).await;
    let id = uuid(1);
    let body = json!({"alias": "s", "volumeID": volume.to_uppercase(), "snapshotID": id.to_uppercase(),
        "reservedSpacePercentage": 25});
    let made = client.post("/snapshots", body).await;
    assert_eq!(made, json!({"status": "Success", "description": "Success.", "persistentId": id}));
    let mut snapshot = one(&client, &format!("/snapshots/{id}")).await;
    assert!(snapshot["timestamp"].take().as_u64().unwrap() > 1_700_000_000_000);
    let expected = json!({"alias": "s", "volumeID": volume, "snapshotID": id, "replicaID": volume,
        "reservedSpacePercentage": 25, "reservedSpace": 5 * GIB, "capacity": 20 * GIB, "timestamp": null,
        "tenantId": "0", "uniqueBytes": 0});
    assert_eq!(snapshot, expected);
    // 20 of the volume, 5 of the snapshot.
    assert_eq!(one(&client, "/tenants").await["consumedCapacity"], 25);
}

#[tokio::test]
async fn every_way_to_list_them() {
    let running = Running::start().await;
    let client = running.client();
    let (a, b) = (client.volume("a", 1).await, client.volume("b", 1).await);
    for (n, volume, alias) in [(3, &a, "x"), (1, &a, "y"), (2, &b, "x")] {
        let body = json!({"alias": alias, "volumeID": volume, "snapshotID": uuid(n)});
        assert_eq!(client.post("/0/snapshots", body).await["status"], "Success");
    }
    let listed = async |path: &str| {
        let ids = client.get(path).await;
        let ids = ids.as_array().unwrap().iter().map(|s| s["snapshotID"].as_str().unwrap()[35..].to_owned());
        ids.collect::<Vec<_>>().concat()
    };
    assert_eq!(listed("/snapshots").await, "123");
    assert_eq!(listed("/0/snapshots?limit=1&offset=1").await, "2");
    assert_eq!(listed(&format!("/snapshots?marker={}", uuid(1))).await, "23");
    assert_eq!(listed(&format!("/snapshots/{}", uuid(2))).await, "2");
    assert_eq!(listed(&format!("/snapshots_by_vol/{a}")).await, "13");
    assert_eq!(listed("/snapshots_by_alias/x").await, "23");
    for unknown in ["/snapshots/no", "/snapshots_by_vol/no", "/snapshots_by_alias/no"] {
        assert_eq!(client.get(unknown).await, json!([]), "{unknown}");
    }
    assert_eq!(client.get("/snapshots?limit=0").await["status"], "InvalidInput");
    assert_eq!(client.get("/nobody/snapshots").await["status"], "TenantNotFound");
}

#[tokio::test]
async fn refusals_of_a_snapshot_change_nothing() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    let taken = snapshot(&client, &volume, "s").await;
    let cases = [
        (json!({"volumeID": volume}), "InvalidInput"),
        (json!({"alias": "t", "volumeID": volume, "reservedSpacePercentage": 101}), "InvalidInput"),
        (json!({"alias": "t", "volumeID": uuid(9)}), "NotExists"),
        (json!({"alias": "t", "volumeID": "no-uuid"}), "NotExists"),
        (json!({"alias": "t", "volumeID": volume, "snapshotID": taken}), "AlreadyExists"),
        (json!({"alias": "t", "volumeID": volume, "snapshotID": volume}), "AlreadyExists"),
    ];
    for (body, code) in cases {
        let answer = client.post("/snapshots", body.clone()).await;
        assert_eq!(answer["status"], code, "{body}: {answer}");
        assert!(!answer["description"].as_str().unwrap().is_empty());
    }
    let body = json!({"alias": "w", "uuid": taken, "capacity": 1});
    assert_eq!(client.post("/volumes", body).await["status"], "AlreadyExists", "UUIDs are unique");
    assert_eq!(client.get("/snapshots").await.as_array().unwrap().len(), 1);
    assert_eq!(running.node.snapshots().await.len(), 1);
    assert_eq!(client.delete(&format!("/snapshots/{}", uuid(9))).await["status"], "NotExists");
    assert_eq!(client.delete(&format!("/snapshots/{taken}?force=maybe")).await["status"], "InvalidInput");
}

#[tokio::test]
async fn every_field_of_a_snapshot_volume() {
    let running = Running::with(|c| c.reserve_floor_gib = Some(1)).await;
    let client = running.client();
    let body = json!({"alias": "v", "capacity": 20, "storageClass": {"blockSize": 512, "name": "gold",
        "desiredIOPSPerGB": 5, "maxIOPSPerGB": 9}});
    let volume = client.post("/volumes", body).await["persistentId"].as_str().unwrap().to_owned();
    let source = snapshot(&client, &volume, "s").await;
    let read_only = show(&client, &source, "r", false).await;
    let body = json!({"alias": "w", "snapshotID": source, "volumeID": uuid(2), "writable": true,
        "reservedSpacePercentage": 50, "maxIOPSPerGB": 10, "maxBWPerGB": 1000, "storageClassName": "silver",
        "allowSpan": false});
    let made = client.post("/0/snapshot_volume", body).await;
    assert_eq!(made, json!({"status": "Success", "description": "Success.", "persistentId": uuid(2)}));

    let mut view = one(&client, &format!("/volumes/{}", uuid(2))).await;
    let location = view["location"].take();
    assert_eq!((&location[0]["uuid"], &location[0]["replicaState"]), (&json!(uuid(2)), &json!("Available")));
    assert!(view["usedBytes"].take().is_u64() && view["sharedBytes"].take().is_u64());
    let expected = json!({"alias": "w", "uuid": uuid(2), "capacity": 20 * GIB, "provisioningType": "OTHER",
        "numReplicas": 1, "maxIOPS": 200, "desiredIOPS": 0, "maxBW": 20_000, "desiredBW": 0,
        "blockSize": "512B", "maxReplicaDownTime": 0, "location": null, "tenantId": "0",
        "protocol": "NVMeoF", "allowSpan": false, "storageClassName": "silver",
        "shareSSDBetweenVolumes": true, "inUse": false, "reservedSpace": 10 * GIB, "snapshotID": source,
        "writable": true, "usedBytes": null, "sharedBytes": null});
    assert_eq!(view, expected);
    let view = one(&client, &format!("/volumes/{read_only}")).await;
    assert_eq!((&view["writable"], &view["reservedSpace"]), (&json!(false), &json!(0)));
    // 20 of the volume, 2 of the snapshot, 10 of the writable volume, nothing of the read-only one.
    assert_eq!(one(&client, "/tenants").await["consumedCapacity"], 32);
    let limits = running.node.volume(uuid(2).parse().unwrap()).await.unwrap().limits;
    assert_eq!((limits.max_iops, limits.max_bytes_per_second), (200, 20_000));
    let metrics = client.raw(Method::GET, "/metrics", "").await.2;
    assert!(metrics.contains(r#"provisioningType="Snapshot/Clone""#), "{metrics}");
    for id in [&read_only, &uuid(2)] {
        let expanded = client.patch(&format!("/volumes/{id}"), json!({"newCapacity": 30})).await;
        assert_eq!(expanded["status"], "InvalidInput", "{expanded}");
    }
}

#[tokio::test]
async fn several_volumes_show_one_snapshot_and_stand_against_its_deletion() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    let source = snapshot(&client, &volume, "s").await;
    let (first, second) =
        (show(&client, &source, "r1", false).await, show(&client, &source, "r2", true).await);
    let cases = [
        (json!({"alias": "r1", "snapshotID": source}), "AlreadyExists"),
        (json!({"alias": "r3", "snapshotID": source, "volumeID": first}), "AlreadyExists"),
        (json!({"alias": "r3", "snapshotID": uuid(9)}), "NotExists"),
        (json!({"alias": "r3", "snapshotID": "no"}), "NotExists"),
        (json!({"alias": "r3", "snapshotID": source, "writable": 1}), "InvalidInput"),
    ];
    for (body, code) in cases {
        assert_eq!(client.post("/snapshot_volumes", body.clone()).await["status"], code, "{body}");
    }
    let delete = async |path: String| client.delete(&path).await["status"].as_str().unwrap().to_owned();
    let in_use = client.delete(&format!("/snapshots/{source}")).await;
    assert_eq!(in_use["status"], "VolumeIsInUse");
    assert!(in_use["description"].as_str().unwrap().contains("r1, r2"), "{in_use}");
    let in_use = client.delete(&format!("/volumes/{volume}")).await;
    assert_eq!(in_use["status"], "VolumeIsInUse");
    assert!(in_use["description"].as_str().unwrap().contains("snapshots: s"), "{in_use}");

    assert_eq!(delete(format!("/volumes/{first}")).await, "Success");
    assert_eq!(delete(format!("/snapshots/{source}")).await, "VolumeIsInUse");
    assert_eq!(delete(format!("/volumes/{second}")).await, "Success");
    assert_eq!(delete(format!("/snapshots/{source}")).await, "Success");
    // A replayed DELETE gets what Cinder accepts.
    assert_eq!(delete(format!("/snapshots/{source}")).await, "NotExists");
    assert_eq!(delete(format!("/volumes/{volume}")).await, "Success");
    assert_eq!(client.get("/snapshots").await, json!([]));
    assert_eq!(one(&client, "/tenants").await["consumedCapacity"], 0);
}

#[tokio::test]
async fn by_force_a_snapshot_goes_and_its_volumes_live_on() {
    let running = Running::start().await;
    let client = running.client();
    let volume = client.volume("v", 1).await;
    let source = snapshot(&client, &volume, "s").await;
    let (read_only, writable) =
        (show(&client, &source, "r", false).await, show(&client, &source, "w", true).await);
    let deleted = client.delete(&format!("/snapshots/{source}?force=true")).await;
    assert_eq!(deleted["status"], "Success", "{deleted}");
    assert_eq!(client.get("/snapshots").await, json!([]));
    for (id, can_write) in [(&read_only, false), (&writable, true)] {
        let view = one(&client, &format!("/volumes/{id}")).await;
        assert_eq!((&view["provisioningType"], view.get("snapshotID")), (&json!("OTHER"), None), "{view}");
        assert_eq!(view["writable"], can_write);
    }
    let expanded = client.patch(&format!("/volumes/{writable}"), json!({"newCapacity": 2})).await;
    assert_eq!(expanded["status"], "Success", "{expanded}");
    assert_eq!(client.delete(&format!("/volumes/{volume}")).await["status"], "Success");
    assert_eq!(client.get("/basalt/v1/status").await["problems"], json!([]));
}

#[tokio::test]
async fn clones() {
    let running = Running::with(|c| c.reserve_floor_gib = Some(0)).await;
    let client = running.client();
    let body = json!({"alias": "v", "capacity": 2, "storageClass": {"name": "gold", "maxIOPSPerGB": 7,
        "blockSize": 512}});
    let source = client.post("/volumes", body).await["persistentId"].as_str().unwrap().to_owned();
    let cases = [
        (json!({"sourceVolumeId": source}), "InvalidInput"),
        (json!({"alias": "c", "sourceVolumeId": uuid(9)}), "NotExists"),
        (json!({"alias": "v", "sourceVolumeId": source}), "AlreadyExists"),
        (json!({"alias": "c", "sourceVolumeId": source, "volumeId": source}), "AlreadyExists"),
        (json!({"alias": "c", "sourceVolumeId": source, "capacity": 1}), "InvalidSize"),
        (
            json!({"alias": "c", "sourceVolumeId": source, "capacity": 100, "reservedSpacePercentage": 100}),
            "NoFreeSpace",
        ),
    ];
    for (body, code) in cases {
        assert_eq!(client.post("/clone_volume", body.clone()).await["status"], code, "{body}");
    }
    assert_eq!(running.node.volumes().await.len(), 1, "nothing changed");

    let body = json!({"alias": "c", "sourceVolumeId": source, "volumeId": uuid(1), "capacity": 4,
        "reservedSpacePercentage": 50});
    let made = client.post("/0/clone_volume", body).await;
    assert_eq!(made, json!({"status": "Success", "description": "Success.", "persistentId": uuid(1)}));
    let view = one(&client, &format!("/volumes/{}", uuid(1))).await;
    let fields =
        ["capacity", "provisioningType", "reservedSpace", "maxIOPS", "blockSize", "storageClassName"];
    let expected = [json!(4 * GIB), json!("OTHER"), json!(2 * GIB), json!(28), json!("512B"), json!("gold")];
    assert_eq!(fields.map(|field| view[field].clone()), expected);
    assert_eq!((view.get("snapshotID"), &view["writable"]), (None, &json!(true)));
    // Independent from here on.
    assert_eq!(client.delete(&format!("/volumes/{source}")).await["status"], "Success");
    let expanded = client.patch(&format!("/volumes/{}", uuid(1)), json!({"newCapacity": 5})).await;
    assert_eq!(expanded["status"], "Success", "{expanded}");
    assert_eq!(client.delete(&format!("/volumes/{}", uuid(1))).await["status"], "Success");
}

#[tokio::test]
async fn groups_are_all_or_nothing() {
    let running = Running::start().await;
    let client = running.client();
    let (a, b) = (client.volume("a", 1).await, client.volume("b", 1).await);
    let post =
        async |body: Value| client.send(Method::POST, "/basalt/v1/snapshot-groups", body.to_string()).await;
    let refused = [
        (json!({"alias": "g", "volumes": [a, uuid(9)]}), 404, "not_found", json!(null)),
        (json!({"alias": "g", "volumes": [a, a]}), 400, "invalid_input", json!("volumes")),
        (json!({"volumes": [a, b]}), 400, "invalid_input", json!("alias")),
    ];
    for (body, status, code, field) in refused {
        let answer = post(body).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        assert_eq!((&answer.body["code"], &answer.body["field"]), (&json!(code), &field));
    }
    assert_eq!(client.get("/snapshots").await, json!([]));
    let not_json = client.send(Method::POST, "/basalt/v1/snapshot-groups", "[").await;
    assert_eq!((not_json.status, &not_json.body["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")));

    let made = post(json!({"alias": "g", "volumes": [a, b]})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let snapshots = client.get("/snapshots_by_alias/g").await;
    let [first, second] = snapshots.as_array().unwrap().as_slice() else { panic!("{snapshots}") };
    assert_eq!(first["timestamp"], second["timestamp"]);
    let told = made.body["snapshots"].as_array().unwrap();
    assert_eq!(told.iter().map(|s| s["volumeID"].as_str().unwrap()).collect::<Vec<_>>(), [&a, &b]);
    assert!(
        told.iter()
            .all(|s| s["snapshotID"] == first["snapshotID"] || s["snapshotID"] == second["snapshotID"])
    );
}

#[tokio::test]
async fn a_group_takes_volumes_of_several_drives() {
    let drives = vec![memory_drive("one", 8), memory_drive("two", 8)];
    let node = Node::start(node_config(drives)).unwrap();
    let running = Running::on(tempfile::tempdir().unwrap(), node, |_| {}).await;
    let client = running.client();
    // The second one goes to the drive with more room.
    let (a, b) = (client.volume("a", 1).await, client.volume("b", 1).await);
    let body = json!({"alias": "g", "volumes": [a, b]}).to_string();
    let made = client.send(Method::POST, "/basalt/v1/snapshot-groups", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let mut drives: Vec<_> = running.node.snapshots().await.iter().map(|s| s.parts[0].drive).collect();
    drives.dedup();
    assert_eq!(drives.len(), 2, "one on each");
    for snapshot in made.body["snapshots"].as_array().unwrap() {
        let path = format!("/snapshots/{}", snapshot["snapshotID"].as_str().unwrap());
        assert_eq!(client.delete(&path).await["status"], "Success");
    }
    assert!(running.node.snapshots().await.is_empty());
}

#[tokio::test]
async fn making_and_deleting_at_once_leaves_nothing_dangling() {
    let running = Running::start().await;
    let client = running.client();
    for round in 0..8 {
        let volume = client.volume(&format!("v{round}"), 1).await;
        let source = snapshot(&client, &volume, "s").await;
        let body = json!({ "alias": format!("r{round}"), "snapshotID": source, "volumeID": uuid(round) });
        let (shower, deleter) = (client.clone(), client.clone());
        let path = format!("/snapshots/{source}");
        let shown = tokio::spawn(async move { shower.post("/snapshot_volumes", body).await });
        let deleted = tokio::spawn(async move { deleter.delete(&path).await });
        let (shown, deleted) = (shown.await.unwrap(), deleted.await.unwrap());
        let codes = (shown["status"].as_str().unwrap(), deleted["status"].as_str().unwrap());
        assert!(matches!(codes, ("Success", "VolumeIsInUse") | ("NotExists", "Success")), "{codes:?}");
    }
    assert_eq!(client.get("/basalt/v1/status").await["problems"], json!([]));
}
