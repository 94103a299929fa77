//! Volumes: every field and ruling (provisioner §4.1, §5).

use crate::common::{GIB, Running, memory_drive, node_config, uuid};
use dataplane::node::Node;
use hyper::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_field_of_a_thin_volume() {
    let running = Running::start().await;
    let client = running.client();
    let backend = client.get("/backends").await[0]["persistentID"].clone();
    client.put(&format!("/backends/{}", backend.as_str().unwrap()), json!({"zone": "nova"})).await;
    let id = uuid(1);
    let made = client
        .post(
            "/volumes",
            json!({"alias": "thin", "uuid": id.to_uppercase(), "capacity": 20, "provisioningType": "THIN",
                "reservedSpacePercentage": 25, "storageClass": {"name": "gold", "zones": ["nova", null],
                    "maxIOPSPerGB": 10, "desiredIOPSPerGB": 5, "maxBWPerGB": 1000, "desiredBWPerGB": 100,
                    "blockSize": 512, "maxReplicaDownTime": 7, "allowSpan": false}}),
        )
        .await;
    assert_eq!(made, json!({"status": "Success", "description": "Success.", "persistentId": id}));
    let mut volume = client.get(&format!("/volumes/{id}")).await[0].take();
    assert!(volume["usedBytes"].take().is_u64() && volume["location"][0]["usedBytes"].take().is_u64());
    let expected = json!({"alias": "thin", "uuid": id, "capacity": 20 * GIB, "provisioningType": "THIN",
        "numReplicas": 1, "maxIOPS": 200, "desiredIOPS": 100, "maxBW": 20_000, "desiredBW": 2000,
        "blockSize": "512B", "maxReplicaDownTime": 7, "location": [{"uuid": id,
            "backend": {"persistentID": backend}, "replicaState": "Available", "currentStateTime": 0,
            "inUse": false, "usedBytes": null}],
        "tenantId": "0", "protocol": "NVMeoF", "allowSpan": false, "storageClassName": "gold",
        "shareSSDBetweenVolumes": true, "inUse": false, "reservedSpace": 5 * GIB, "writable": true,
        "usedBytes": null, "sharedBytes": 0});
    assert_eq!(volume, expected);
}

#[tokio::test]
async fn a_thick_volume_omits_what_it_has_not() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("thick", 2).await;
    let volume = &client.get("/volumes_by_alias/thick").await[0];
    assert_eq!((&volume["uuid"], &volume["blockSize"]), (&json!(id), &json!("4KB")));
    for absent in ["reservedSpace", "snapshotID", "storageClassName"] {
        assert_eq!(volume.get(absent), None, "{absent}");
    }
    assert_eq!(volume["allowSpan"], true);
}

#[tokio::test]
async fn taken_names_and_the_order_of_checks() {
    let running = Running::start().await;
    let client = running.client();
    client.post("/volumes", json!({"alias": "a", "uuid": uuid(1), "capacity": 1})).await;
    let cases = [
        (json!({"alias": "b", "uuid": uuid(1), "capacity": 1}), "AlreadyExists"),
        (json!({"alias": "a", "uuid": uuid(2), "capacity": 1}), "AlreadyExists"),
        // Invalid input comes before what is taken, that before replicas, those before placement.
        (json!({"alias": "a", "uuid": uuid(1), "capacity": 0}), "InvalidInput"),
        (json!({"alias": "a", "capacity": 1, "storageClass": {"numReplicas": 2}}), "AlreadyExists"),
        (
            json!({"alias": "c", "capacity": 1, "storageClass": {"numReplicas": 2, "hostId": "x"}}),
            "InvalidReplicas",
        ),
        (json!({"alias": "c", "capacity": 1, "storageClass": {"numReplicas": 4}}), "InvalidReplicas"),
        (
            json!({"alias": "c", "capacity": 1, "storageClass": {"hostId": "x", "zones": ["z"]}}),
            "NoBackendWithHostIdExists",
        ),
        (json!({"alias": "c", "capacity": 1, "storageClass": {"zones": ["z"]}}), "NoMatchingBackend"),
        (json!({"alias": "c", "capacity": 1, "protocol": "Local"}), "NoMatchingBackend"),
        (json!({"alias": "c", "capacity": 65}), "NoMatchingBackend"),
        (
            json!({"alias": "c", "capacity": 1, "storageClass": {"desiredIOPSPerGB": 2_000_000}}),
            "NoMatchingBackend",
        ),
    ];
    for (body, code) in cases {
        let answer = client.post("/volumes", body.clone()).await;
        assert_eq!(answer["status"], code, "{body}");
        assert!(!answer["description"].as_str().unwrap().is_empty());
    }
    assert_eq!(client.get("/volumes").await.as_array().unwrap().len(), 1);
    assert_eq!(running.node.volumes().await.len(), 1);
    // A name that failed is not taken.
    client.volume("c", 1).await;
}

#[tokio::test]
async fn reserves_by_percentage_and_floor() {
    // (settings' floor, capacity, percentage, reserve in GiB)
    let table =
        [(None, 2, 0, 1), (None, 30, 0, 3), (Some(20), 10, 10, 10), (Some(20), 30, 0, 20), (None, 4, 100, 4)];
    for (floor, capacity, percentage, reserve) in table {
        let running = Running::with(|c| c.reserve_floor_gib = floor).await;
        let client = running.client();
        let made = client
            .post(
                "/volumes",
                json!({"alias": "t", "capacity": capacity, "provisioningType": "THIN",
                    "reservedSpacePercentage": percentage}),
            )
            .await;
        assert_eq!(made["status"], "Success", "{made}");
        assert_eq!(client.get("/volumes").await[0]["reservedSpace"], reserve * GIB);
        let tenant = &client.get("/tenants").await[0];
        assert_eq!(tenant["consumedCapacity"], reserve);
    }
}

#[tokio::test]
async fn thin_volumes_may_promise_more_than_there_is() {
    let running = Running::start().await;
    let client = running.client();
    for alias in ["a", "b"] {
        let body = json!({"alias": alias, "capacity": 100, "provisioningType": "THIN"});
        assert_eq!(client.post("/volumes", body).await["status"], "Success");
    }
}

#[tokio::test]
async fn expanding() {
    let running = Running::start().await;
    let client = running.client();
    let thick = client.volume("thick", 2).await;
    let thin = json!({"alias": "thin", "capacity": 10, "provisioningType": "THIN",
        "reservedSpacePercentage": 50, "storageClass": {"maxIOPSPerGB": 3}});
    let thin = client.post("/volumes", thin).await["persistentId"].as_str().unwrap().to_owned();
    let expand = async |id: &str, to: Value| {
        client.patch(&format!("/volumes/{id}"), json!({ "newCapacity": to })).await["status"].clone()
    };
    for wrong in [json!(2), json!("1"), json!("x"), json!(-3), json!(2.5)] {
        assert_eq!(expand(&thick, wrong.clone()).await, "InvalidSize", "{wrong}");
    }
    assert_eq!(expand(&thick, json!(100)).await, "NoFreeSpace");
    assert_eq!(expand(&uuid(9), json!(3)).await, "NotExists");
    assert_eq!(expand("no-uuid", json!(3)).await, "NotExists");
    assert_eq!(client.get(&format!("/volumes/{thick}")).await[0]["capacity"], 2 * GIB, "nothing changed");
    assert_eq!(expand(&thick, json!("3")).await, "Success");
    assert_eq!(expand(&thin, json!(20)).await, "Success");
    let volume = &client.get(&format!("/volumes/{thin}")).await[0];
    assert_eq!((&volume["capacity"], &volume["reservedSpace"]), (&json!(20 * GIB), &json!(10 * GIB)));
    assert_eq!(volume["maxIOPS"], 60);
    let sizes: Vec<u64> = running.node.volumes().await.iter().map(|v| v.size_bytes / GIB).collect();
    assert!(sizes.contains(&3) && sizes.contains(&20), "{sizes:?}");
}

#[tokio::test]
async fn pages_and_filters() {
    let running = Running::start().await;
    let client = running.client();
    for n in [3, 1, 2, 4] {
        client.post("/volumes", json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": 1})).await;
    }
    client.host("h").await;
    for n in [2, 4] {
        client.publish(&uuid(n), "h").await;
    }
    let list = async |query: &str| {
        let volumes = client.get(&format!("/volumes?{query}")).await;
        let aliases = volumes.as_array().unwrap().iter().map(|v| v["alias"].as_str().unwrap().to_owned());
        aliases.collect::<Vec<_>>().concat()
    };
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    assert_eq!(list("").await, "v1v2v3v4");
    assert_eq!(list("limit=2").await, "v1v2");
    assert_eq!(list("limit=2&offset=1").await, "v2v3");
    assert_eq!(list("offset=3").await, "v4");
    assert_eq!(list(&format!("marker={}", uuid(2).to_uppercase())).await, "v3v4");
    assert_eq!(list(&format!("marker={}&offset=1&limit=9", uuid(2))).await, "v4");
    assert_eq!(list("hostID=h").await, "v2v4");
    assert_eq!(list("hostID=h&limit=1&offset=1").await, "v4");
    assert_eq!(list(&format!("backendId={backend}&limit=3")).await, "v1v2v3");
    for wrong in ["limit=0", "limit=-1", "limit=x", "offset=-1", "offset=x", "limit="] {
        assert_eq!(client.get(&format!("/volumes?{wrong}")).await["status"], "InvalidInput", "{wrong}");
    }
}

#[tokio::test]
async fn extended_shows_drives_and_sessions() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("a", 2).await;
    let drive = client.get("/basalt/v1/drives").await[0].clone();
    let volume = client.get(&format!("/volume_extended/{id}")).await[0].take();
    let location = &volume["location"][0];
    let expected = json!([{"capacity": 2 * GIB, "ssdID": drive["id"], "ssdName": drive["name"]}]);
    assert_eq!((&location["subVolumes"], &location["sessions"]), (&expected, &json!([])));
    assert_eq!(volume["alias"], "a");
}

#[tokio::test]
async fn a_volume_may_span_drives_and_grow_over_them() {
    let drives = vec![memory_drive("one", 8), memory_drive("two", 8), memory_drive("three", 8)];
    let node = Node::start(node_config(drives)).unwrap();
    let running = Running::on(tempfile::tempdir().unwrap(), node, |_| {}).await;
    let client = running.client();
    let body = |span: bool| {
        json!({"alias": "a", "uuid": uuid(1), "capacity": 10, "provisioningType": "THICK",
               "storageClass": {"allowSpan": span}})
    };
    assert_eq!(client.post("/volumes", body(false)).await["status"], "NoMatchingBackend");
    assert_eq!(client.post("/volumes", body(true)).await["status"], "Success");
    let parts = async || {
        let volume = client.get(&format!("/volume_extended/{}", uuid(1))).await[0].take();
        let parts = volume["location"][0]["subVolumes"].as_array().unwrap().clone();
        let bytes: u64 = parts.iter().map(|part| part["capacity"].as_u64().unwrap()).sum();
        assert_eq!(bytes, volume["capacity"].as_u64().unwrap());
        parts.len()
    };
    assert_eq!(parts().await, 2);
    let grown = client.patch(&format!("/volumes/{}", uuid(1)), json!({"newCapacity": 20})).await;
    assert_eq!(grown["status"], "Success", "{grown}");
    assert!(parts().await > 2);
    let refused = client.patch(&format!("/volumes/{}", uuid(1)), json!({"newCapacity": 30})).await;
    assert_eq!(refused["status"], "NoFreeSpace", "{refused}");
    assert_eq!(client.delete(&format!("/volumes/{}", uuid(1))).await["status"], "Success");
    assert!(running.node.volumes().await.is_empty());
}

#[tokio::test]
async fn of_many_creators_of_one_alias_one_wins() {
    let running = Running::start().await;
    let client = running.client();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(
                async move { client.post("/volumes", json!({"alias": "same", "capacity": 1})).await },
            )
        })
        .collect();
    let mut codes = Vec::new();
    for task in tasks {
        codes.push(task.await.unwrap()["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(codes.iter().filter(|c| *c == "Success").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|c| *c == "AlreadyExists").count(), 11, "{codes:?}");
    assert_eq!(running.node.volumes().await.len(), 1);
}

#[tokio::test]
async fn a_create_goes_on_when_its_client_goes_away() {
    let running = Running::start().await;
    let client = running.client();
    for n in 0..8 {
        let request = client.clone();
        let body = json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": 1}).to_string();
        let sent = tokio::spawn(async move { request.send(Method::POST, "/volumes", body).await });
        tokio::task::yield_now().await;
        sent.abort();
    }
    // Whatever was begun is whole: a second try either makes it or finds it, and deleting it works.
    for n in 0..8 {
        let body = json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": 1});
        let code = client.post("/volumes", body).await["status"].clone();
        assert!(code == "Success" || code == "AlreadyExists", "{code}");
        assert_eq!(client.delete(&format!("/volumes/{}", uuid(n))).await["status"], "Success");
    }
    assert!(running.node.volumes().await.is_empty());
}

#[tokio::test]
async fn a_volume_on_the_node_that_nobody_recorded_is_not_taken_over() {
    let running = Running::start().await;
    let stranger = dataplane::node::VolumeSpec {
        uuid: uuid(5).parse().unwrap(),
        size_bytes: GIB,
        block_size: dataplane::node::BlockSize::B4096,
        reserved_bytes: GIB,
        drives: Vec::new(),
    };
    running.node.create_volume(stranger).await.unwrap();
    let client = running.client();
    let body = json!({"alias": "a", "uuid": uuid(5), "capacity": 1});
    assert_eq!(client.post("/volumes", body).await["status"], "AlreadyExists");
    assert_eq!(client.delete(&format!("/volumes/{}", uuid(5))).await["status"], "NotExists");
    assert_eq!(running.node.volumes().await.len(), 1);
    let problems = client.get("/basalt/v1/status").await["problems"].to_string();
    assert!(problems.contains(&uuid(5)), "{problems}");
}

#[tokio::test]
async fn a_path_is_taken_out_of_use_and_back() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("v", 1).await;
    let path = format!("/basalt/v1/volumes/{id}/path-state");
    let backend = client.get("/backends").await[0]["persistentID"].clone();
    let only = json!({"replicaID": id, "persistentID": backend, "anaState": "optimized"});
    let expected = json!({"volumeID": id, "anaState": "optimized", "paths": [only]});
    assert_eq!(client.get(&path).await, expected);
    for state in ["non-optimized", "change", "inaccessible", "optimized"] {
        let set = client.post(&path, json!({"anaState": state})).await;
        assert_eq!((&set["anaState"], &client.get(&path).await), (&json!(state), &set));
    }
    for (path, body, expected, field) in [
        (path.as_str(), json!({}), 400, json!("anaState")),
        (path.as_str(), json!({"anaState": "broken"}), 400, json!("anaState")),
        (path.as_str(), json!({"anaState": "change", "replicaID": "x"}), 400, json!("replicaID")),
        ("/basalt/v1/volumes/none/path-state", json!({"anaState": "change"}), 404, Value::Null),
    ] {
        let answer = client.send(Method::POST, path, body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["field"]), (expected, &field), "{path}");
    }
    let events = client.get("/basalt/v1/events").await.to_string();
    let backend = backend.as_str().unwrap();
    assert!(events.contains(&format!("through node {backend} is inaccessible")), "{events}");
}
