//! Hosts, publishing, targets (provisioner §4.5, §4.6, D39, D60, D61).

use crate::common::{Running, uuid};
use control::Replication;
use serde_json::{Value, json};

fn probe(id: &str, duration: u64) -> Value {
    json!({"clientType": "Openstack", "duration": duration, "hostId": id, "name": format!("name-{id}"),
        "hostNqn": format!("nqn.2014-08.org.nvmexpress:uuid:{id}"), "version": "1", "multipath": true,
        "usedNamespacesIds": [true, false, true]})
}

#[tokio::test]
async fn one_nqn_per_host_and_nsids_of_its_own() {
    let running = Running::start().await;
    let client = running.client();
    for n in 1..=3 {
        client.post("/volumes", json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": 1})).await;
    }
    client.host("a").await;
    client.host("b").await;
    for (volume, host) in [(1, "a"), (2, "a"), (3, "a"), (1, "b")] {
        assert_eq!(client.publish(&uuid(volume), host).await["status"], "Success");
    }
    let targets = client.get("/targets").await;
    let rows = targets.as_array().unwrap();
    assert_eq!(rows.len(), 2, "one row per host");
    let backend = client.get("/backends").await[0]["persistentID"].clone();
    let a = &rows[0];
    assert_eq!(a["name"], a["targetName"]);
    assert_eq!((&a["alias"], &a["hostTargetConnectedTo"]), (&json!("name-a"), &json!("name-a")));
    assert_eq!((&a["backend"], &a["numNamespaces"]), (&json!({"persistentID": backend}), &json!(3)));
    assert_eq!(a["connectedBackends"], json!([{"persistentID": backend}]));
    assert_eq!(client.get("/targets?hostId=b").await.as_array().unwrap().len(), 1);
    assert_eq!(client.get(&format!("/targets?volId={}", uuid(1))).await.as_array().unwrap().len(), 2);
    assert_eq!(client.get(&format!("/targets?volId={}&hostId=b", uuid(2))).await, json!([]));

    let nsids = async |host: &str| {
        let subsystems = running.node.subsystems().await;
        let ours = subsystems.iter().find(|s| s.allowed_hosts[0].ends_with(host)).unwrap();
        let mut nsids: Vec<_> = ours.namespaces.iter().map(|n| (n.uuid.to_string(), n.nsid)).collect();
        nsids.sort();
        nsids.into_iter().map(|(_, nsid)| nsid).collect::<Vec<_>>()
    };
    assert_eq!((nsids("a").await, nsids("b").await), (vec![1, 2, 3], vec![1]));
    // An NSID is not given again while the host is published anything, and nothing is renumbered.
    client.unpublish(&uuid(2), "a").await;
    client.publish(&uuid(2), "a").await;
    assert_eq!(nsids("a").await, [1, 4, 3]);
    assert_eq!(client.get("/targets?hostId=a").await[0]["name"], a["name"], "the NQN stays");
    assert_eq!(client.get(&format!("/volumes/{}", uuid(1))).await[0]["inUse"], true);
}

#[tokio::test]
async fn in_host_mode_there_is_one_nqn_per_host_and_backend() {
    let running = Running::with(|c| {
        c.default_replication = Replication::Host;
        c.nqn_prefix = "nqn.2026-11.example.storage:".to_owned();
    })
    .await;
    let client = running.client();
    let id = client.volume("v", 1).await;
    client.host("a").await;
    client.publish(&id, "a").await;
    let row = client.get(&format!("/targets?hostId=a&volId={id}")).await[0].clone();
    assert_eq!(row["connectedBackends"], json!([row["backend"]]));
    assert!(row["name"].as_str().unwrap().starts_with("nqn.2026-11.example.storage:"), "{row}");
    assert_eq!(client.get("/volumes").await[0]["location"][0]["replicaState"], "Unknown");
    assert_eq!(client.unpublish(&id, "a").await["status"], "Success");
}

#[tokio::test]
async fn codes_of_publish_and_unpublish() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("v", 1).await;
    client.host("h").await;
    let cases = [
        ("/publish", json!({"hostId": "h"}), "InvalidInput"),
        ("/publish", json!({"volId": id}), "InvalidInput"),
        ("/publish", json!({"volId": 5, "hostId": "h"}), "InvalidInput"),
        ("/publish", json!({"volId": id, "hostId": "nobody"}), "HostNotFound"),
        ("/publish", json!({"volId": uuid(9), "hostId": "h"}), "VolumeNotFound"),
        ("/publish", json!({"volId": "x", "hostId": "h"}), "VolumeNotFound"),
        ("/unpublish", json!({"hostId": "h"}), "InvalidInput"),
        ("/unpublish", json!({"volId": id, "hostId": "nobody"}), "HostNotFound"),
        ("/unpublish", json!({"volId": uuid(9), "hostId": "h"}), "VolumeNotFound"),
        ("/unpublish", json!({"volId": id, "hostId": "h"}), "VolumeNotPublished"),
        ("/unpublish", json!({"volId": id}), "VolumeNotPublished"),
        ("/0/publish", json!({"volId": id, "hostId": "h"}), "Success"),
        ("/publish", json!({"volId": id, "hostId": "h"}), "AlreadyPublished"),
    ];
    for (path, body, code) in cases {
        assert_eq!(client.post(path, body.clone()).await["status"], code, "{path} {body}");
    }
    client.host("other").await;
    assert_eq!(client.publish(&id, "other").await["status"], "Success", "several hosts at once");
    assert_eq!(client.post("/unpublish", json!({"volId": id, "hostId": null})).await["status"], "Success");
    assert_eq!(client.get("/targets").await, json!([]), "a target goes with its last namespace");
    assert_eq!(client.get("/volumes").await[0]["inUse"], false);
}

#[tokio::test]
async fn a_volume_that_is_lost_cannot_be_published_and_the_others_can() {
    let running = Running::start().await;
    let client = running.client();
    let (lost, whole) = (client.volume("lost", 1).await, client.volume("whole", 1).await);
    client.host("h").await;
    running.node.delete_volume(lost.parse().unwrap()).await.unwrap();
    assert_eq!(client.publish(&lost, "h").await["status"], "PublishFailed");
    assert_eq!(client.get(&format!("/volumes/{lost}")).await[0]["location"][0]["replicaState"], "Missing");
    assert_eq!(client.publish(&whole, "h").await["status"], "Success");
    assert_eq!(client.delete(&format!("/volumes/{lost}")).await["status"], "Success");
}

#[tokio::test]
async fn local_volumes_are_for_their_own_host() {
    let running = Running::start().await;
    let client = running.client();
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    client.put(&format!("/backends/{backend}"), json!({"hostId": "node-host"})).await;
    let made = client.post("/volumes", json!({"alias": "l", "capacity": 1, "protocol": "Local"})).await;
    let id = made["persistentId"].as_str().unwrap();
    client.host("node-host").await;
    client.host("other").await;
    assert_eq!(client.publish(id, "other").await["status"], "VolumeNotInHost");
    assert_eq!(client.unpublish(id, "other").await["status"], "VolumeNotInHost");
    assert_eq!(client.publish(id, "node-host").await["status"], "Success");
    assert_eq!(client.get("/targets").await, json!([]), "a Local volume has no target");
    assert_eq!(client.delete(&format!("/volumes/{id}")).await["status"], "VolumeIsInUse");
    assert_eq!(client.unpublish(id, "node-host").await["status"], "Success");
}

#[tokio::test]
async fn hosts() {
    let running = Running::start().await;
    let client = running.client();
    assert_eq!(client.post("/host_probe", probe("b", 30)).await["status"], "Success");
    client.post("/host_probe", probe("A", 0)).await;
    let mut hosts = client.get("/hosts").await;
    assert!(hosts[1]["lastProbTime"].take().is_u64());
    let expected = json!({"uuid": "b", "name": "name-b", "nqn": "nqn.2014-08.org.nvmexpress:uuid:b",
        "clientType": "Openstack", "state": "Available", "version": "1", "lastProbTime": null,
        "duration": 30, "multipath": true, "usedNamespacesIds": [1, 3]});
    assert_eq!(hosts[1], expected);
    assert_eq!(hosts[0]["state"], "Unavailable");
    assert_eq!(client.get("/hosts?hostName=name-b").await.as_array().unwrap().len(), 1);
    assert_eq!(client.get("/hosts?limit=1&marker=a").await[0]["uuid"], "b");
    assert_eq!(client.get("/hosts?limit=0").await["status"], "InvalidInput");
    for (id, code) in [("nobody", "NotExists"), ("b", "HostAvailable"), ("A", "Success"), ("A", "NotExists")]
    {
        assert_eq!(client.delete(&format!("/hosts/{id}")).await["status"], code, "{id}");
    }
    for missing in ["hostId", "hostNqn", "name", "clientType", "version", "duration"] {
        let mut body = probe("c", 1);
        body[missing] = json!(null);
        let answer = client.post("/host_probe", body).await;
        assert_eq!(answer["status"], "InvalidInput");
        assert!(answer["description"].as_str().unwrap().starts_with(missing), "{answer}");
    }
}

#[tokio::test]
async fn a_host_that_goes_takes_its_publications_along() {
    let running = Running::start().await;
    let client = running.client();
    let (one, two) = (client.volume("one", 1).await, client.volume("two", 1).await);
    client.host("h").await;
    client.publish(&one, "h").await;
    client.publish(&two, "h").await;
    assert_eq!(client.delete("/hosts/h").await["status"], "Success");
    assert!(running.node.subsystems().await.is_empty());
    assert_eq!(client.get("/targets").await, json!([]));
    for id in [one, two] {
        assert_eq!(client.delete(&format!("/volumes/{id}")).await["status"], "Success");
    }
}

#[tokio::test]
async fn a_new_nqn_is_let_in_instead_of_the_old() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.volume("v", 1).await;
    client.host("h").await;
    client.publish(&id, "h").await;
    let mut again = probe("h", 30);
    again["hostNqn"] = json!("nqn.2014-08.org.nvmexpress:uuid:new");
    client.post("/host_probe", again).await;
    let subsystems = running.node.subsystems().await;
    assert_eq!(subsystems[0].allowed_hosts, ["nqn.2014-08.org.nvmexpress:uuid:new"]);
}

#[tokio::test]
async fn publishing_and_deleting_at_once_never_leaves_half() {
    let running = Running::start().await;
    let client = running.client();
    client.host("h").await;
    for n in 0..6 {
        client.post("/volumes", json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": 1})).await;
        let id = uuid(n);
        let path = format!("/volumes/{id}");
        let (published, deleted) = tokio::join!(client.publish(&id, "h"), client.delete(&path));
        let (published, deleted) = (&published["status"], &deleted["status"]);
        if deleted == "Success" {
            assert_eq!(published, "VolumeNotFound");
        } else {
            assert_eq!((published, deleted), (&json!("Success"), &json!("VolumeIsInUse")));
        }
    }
    let published = client.get("/volumes?hostId=h").await.as_array().unwrap().len();
    let exported: usize = running.node.subsystems().await.iter().map(|s| s.namespaces.len()).sum();
    assert_eq!(published, exported);
}

#[tokio::test]
async fn many_attachments_of_one_host_at_once() {
    let running = Running::start().await;
    let client = running.client();
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let id = client.volume(&format!("v{n}"), 1).await;
                client.host("h").await;
                assert_eq!(client.publish(&id, "h").await["status"], "Success");
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let [subsystem] = running.node.subsystems().await.try_into().unwrap();
    let mut nsids: Vec<u32> = subsystem.namespaces.iter().map(|n| n.nsid).collect();
    nsids.sort_unstable();
    assert_eq!(nsids, (1..=24).collect::<Vec<_>>(), "each its own");
}
