//! Volumes of several copies that the host mirrors (provisioner §4.2, D22, D37, D39, D59).

use crate::common::{Client, Cluster, GIB, uuid};
use hyper::Method;
use serde_json::{Value, json};

fn backends(volume: &Value) -> Vec<String> {
    let locations = volume["location"].as_array().unwrap();
    locations.iter().map(|l| l["backend"]["persistentID"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn copies_are_made_grown_and_deleted_together() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.running.client();
    let id = client.replicated("v", 2, 2).await;
    let shown = client.get(&format!("/volumes/{id}")).await[0].clone();
    assert_eq!(backends(&shown), [Cluster::id(0), Cluster::id(1)]);
    assert_eq!((&shown["numReplicas"], &shown["replication"]), (&json!(2), &json!("host")));
    let copies = client.copies(&id).await;
    assert!(copies.iter().all(|(uuid, state)| *uuid != id && state == "Unknown"), "{copies:?}");
    assert_ne!(copies[0].0, copies[1].0);
    assert_eq!(cluster.counts().await.0, [1, 1, 0]);
    assert_eq!(client.get("/tenants").await[0]["consumedCapacity"], 4, "each copy takes its space");
    let free = async |index: usize| {
        let path = format!("/backends/{}", Cluster::id(index));
        client.get(&path).await[0]["availableCapacity"].as_u64().unwrap()
    };
    assert_eq!(free(2).await - free(0).await, 2 * GIB);

    let third = client.get(&format!("/volumes?backendId={}", Cluster::id(2))).await;
    assert_eq!(third, json!([]));
    let path = format!("/volumes/{id}");
    assert_eq!(client.patch(&path, json!({"newCapacity": 3})).await["status"], "Success");
    for index in [0, 1] {
        assert_eq!(cluster.node(index).volumes().await[0].size_bytes, 3 * GIB);
    }
    // All or none.
    cluster.take_away(1);
    let refused = client.patch(&path, json!({"newCapacity": 4})).await;
    assert_eq!(refused["status"], "NotAvailable", "{refused}");
    assert_eq!(client.delete(&path).await["status"], "NotAvailable");
    assert_eq!(cluster.node(0).volumes().await[0].size_bytes, 3 * GIB);
    assert_eq!(client.get(&path).await[0]["capacity"], 3 * GIB);
    cluster.bring_back(1).await;
    assert_eq!(client.delete(&path).await["status"], "Success");
    assert_eq!(cluster.counts().await.0, [0, 0, 0]);
    assert_eq!(client.get("/tenants").await[0]["consumedCapacity"], 0);
}

#[tokio::test]
async fn a_create_that_one_node_refuses_leaves_nothing() {
    let cluster = Cluster::of(2).await;
    let client = cluster.running.client();
    let wanted = |copies: u64| json!({"alias": "v", "capacity": 2, "storageClass": {"numReplicas": copies}});
    assert_eq!(client.post("/volumes", wanted(3)).await["status"], "NotEnoughMatchingBackends");
    // The server does not know that this one is going.
    cluster.node(1).shutdown().await;
    let refused = client.post("/volumes", wanted(2)).await;
    assert_ne!(refused["status"], "Success", "{refused}");
    assert_eq!(client.get("/volumes").await, json!([]));
    assert_eq!(cluster.node(0).volumes().await.len(), 0, "{refused}");
}

#[tokio::test]
async fn what_cannot_be_said_of_several_copies_is_refused() {
    let cluster = Cluster::of(2).await;
    let client = cluster.running.client();
    let id = client.replicated("v", 1, 2).await;
    let requests = [
        ("/snapshots", json!({"alias": "s", "volumeID": id})),
        ("/clone_volume", json!({"alias": "c", "sourceVolumeId": id})),
    ];
    for (path, body) in requests {
        assert_eq!(client.post(path, body).await["status"], "Replicated", "{path}");
    }
    let class = json!({"numReplicas": 2, "replication": "target"});
    let body = json!({"alias": "t", "capacity": 1, "storageClass": class});
    assert_eq!(client.post("/volumes", body).await["status"], "InvalidReplicas");
}

#[tokio::test]
async fn each_copy_is_a_target_of_its_own() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.running.client();
    let (id, simple) = (client.replicated("v", 1, 2).await, client.volume("simple", 1).await);
    client.host("h").await;
    // It lies on the third, which has most room.
    assert_eq!(client.publish(&simple, "h").await["status"], "Success");
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    assert_eq!(client.publish(&id, "h").await["status"], "AlreadyPublished");
    let shown = client.get(&format!("/volumes/{id}")).await[0].clone();
    let rows = client.get(&format!("/targets?hostId=h&volId={id}")).await;
    let rows = rows.as_array().unwrap();
    let of_rows: Vec<&str> =
        rows.iter().map(|row| row["backend"]["persistentID"].as_str().unwrap()).collect();
    assert_eq!(of_rows, backends(&shown), "in the order of the copies");
    assert_ne!(rows[0]["targetName"], rows[1]["targetName"]);
    for (index, (uuid, _)) in client.copies(&id).await.iter().enumerate() {
        let subsystems = cluster.node(index).subsystems().await;
        assert_eq!(subsystems[0].nqn, rows[index]["targetName"].as_str().unwrap());
        assert_eq!(subsystems[0].namespaces[0].uuid.to_string(), *uuid);
        assert_eq!(shown["location"][index]["inUse"], true);
    }
    assert_eq!(client.get("/targets?hostId=h").await.as_array().unwrap().len(), 3);

    assert_eq!(client.unpublish(&id, "h").await["status"], "Success");
    assert_eq!(cluster.counts().await.1, [0, 0, 1], "the other volume's stays");

    // One copy is enough, and the other one follows.
    cluster.take_away(1);
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    let in_use = async || {
        let shown = client.get(&format!("/volumes/{id}")).await;
        [0, 1].map(|index| shown[0]["location"][index]["inUse"].as_bool().unwrap())
    };
    assert_eq!(in_use().await, [true, false]);
    assert_eq!(client.publish(&id, "h").await["status"], "Success", "not all are exported yet");
    assert_eq!(client.get(&format!("/targets?hostId=h&volId={id}")).await.as_array().unwrap().len(), 1);
    cluster.bring_back(1).await;
    assert_eq!(in_use().await, [true, false]);
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    assert_eq!((in_use().await, cluster.counts().await.1), ([true, true], vec![1, 1, 1]));
    assert_eq!(client.publish(&id, "h").await["status"], "AlreadyPublished");

    // A node that is away does not keep the host from letting go; it is told when it is back.
    cluster.take_away(1);
    assert_eq!(client.unpublish(&id, "h").await["status"], "Success");
    assert_eq!(cluster.counts().await.1, [0, 1, 1]);
    cluster.bring_back(1).await;
    assert_eq!(cluster.counts().await.1, [0, 0, 1]);
    cluster.take_away(1);
    cluster.take_away(2);
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    assert_eq!(client.publish(&simple, "h").await["status"], "AlreadyPublished");
}

/// The code of a call without a body.
async fn code(client: &Client, method: Method, path: &str) -> String {
    client.send(method, path, "").await.body["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_copy_is_added_reported_on_and_removed_in_two_steps() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.running.client();
    let id = client.replicated("v", 1, 2).await;
    client.host("h").await;
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    let replica = format!("/replica/{id}");
    // As agents send it.
    let lists = json!({"sameRackAllowed": false, "racks": [], "zones": [], "regions": []});
    assert_eq!(client.post(&replica, lists).await["status"], "Success");
    assert_eq!(cluster.counts().await, (vec![1, 1, 1], vec![1, 1, 0]), "not exported yet");
    assert_eq!(client.get("/tenants").await[0]["consumedCapacity"], 3);
    let copies = client.copies(&id).await;
    assert_eq!(client.get(&format!("/volumes/{id}")).await[0]["numReplicas"], 3);
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    assert_eq!(client.publish(&id, "h").await["status"], "AlreadyPublished");
    assert_eq!(cluster.counts().await.1, [1, 1, 1]);

    // The agent reports; the time is that of the state.
    for (copy, word, shown) in [(0, "available", "Available"), (2, "Synchronizing", "Synchronizing")] {
        assert_eq!(
            code(&client, Method::PATCH, &format!("{replica}/{}/{word}", copies[copy].0)).await,
            "Success"
        );
        assert_eq!(client.copies(&id).await[copy].1, shown);
    }
    let metrics = client.raw(Method::GET, "/metrics", "").await.2;
    let of_copy = |uuid: &str| {
        let line = metrics.lines().find(|l| l.starts_with("ks_connected_replica_state{") && l.contains(uuid));
        line.unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(
        (of_copy(&copies[0].0), of_copy(&copies[1].0), of_copy(&copies[2].0)),
        ("0".into(), "3".into(), "4".into())
    );

    // Away, it stays as reported; without its node nothing is removed.
    let first = format!("{replica}/{}", copies[1].0);
    assert_eq!(code(&client, Method::DELETE, &first).await, "NoTerminating");
    assert_eq!(code(&client, Method::PATCH, &first).await, "Success");
    assert_eq!(code(&client, Method::PATCH, &first).await, "ReplicaTerminating");
    assert_eq!(
        code(&client, Method::PATCH, &format!("{replica}/{}", copies[2].0)).await,
        "ReplicaTerminating"
    );
    assert_eq!(code(&client, Method::PATCH, &format!("{first}/Available")).await, "ReplicaTerminating");
    assert_eq!(code(&client, Method::POST, &replica).await, "ReplicaTerminating");
    assert_eq!(cluster.counts().await.1, [1, 1, 1], "exported until it is gone");
    cluster.take_away(1);
    assert_eq!(code(&client, Method::DELETE, &first).await, "NotAvailable");
    cluster.bring_back(1).await;
    assert_eq!(cluster.counts().await.1, [1, 1, 1]);
    assert_eq!(code(&client, Method::DELETE, &first).await, "Success");
    assert_eq!(code(&client, Method::DELETE, &first).await, "NotExists");
    assert_eq!(cluster.counts().await, (vec![1, 0, 1], vec![1, 0, 1]));
    let rows = client.get(&format!("/targets?hostId=h&volId={id}")).await;
    assert_eq!(rows.as_array().unwrap().len(), 2);

    // Terminating copies are not exported anew.
    assert_eq!(client.unpublish(&id, "h").await["status"], "Success");
    let last = format!("{replica}/{}", copies[2].0);
    assert_eq!(code(&client, Method::PATCH, &last).await, "Success");
    assert_eq!(client.publish(&id, "h").await["status"], "Success");
    assert_eq!(client.publish(&id, "h").await["status"], "AlreadyPublished");
    assert_eq!(cluster.counts().await.1, [1, 0, 0]);
}

#[tokio::test]
async fn codes_of_replicas() {
    let mut cluster = Cluster::of(4).await;
    let client = cluster.running.client();
    let (id, simple) = (client.replicated("v", 1, 2).await, client.volume("simple", 1).await);
    let copies = client.copies(&id).await;
    let (first, nobody) = (copies[0].0.clone(), uuid(9));
    let add = format!("/replica/{id}");
    let rows = [
        ("TenantNotFound", Method::POST, format!("/nobody{add}")),
        ("NotExists", Method::POST, format!("/replica/{nobody}")),
        ("NotReplicated", Method::POST, format!("/replica/{simple}")),
        ("NotExists", Method::PATCH, format!("{add}/{nobody}")),
        ("NotExists", Method::PATCH, format!("/replica/x/{first}")),
        ("NotReplicated", Method::PATCH, format!("/replica/{simple}/{simple}")),
        ("NotExists", Method::DELETE, format!("{add}/{nobody}")),
        ("NoTerminating", Method::DELETE, format!("/replica/{simple}/{simple}")),
        ("InvalidInput", Method::PATCH, format!("{add}/{first}/Unknown")),
        ("InvalidInput", Method::PATCH, format!("{add}/{first}/Terminating")),
        ("NotExists", Method::PATCH, format!("{add}/{nobody}/Missing")),
        ("NotReplicated", Method::PATCH, format!("/replica/{simple}/{simple}/Missing")),
        ("Success", Method::PATCH, format!("/0{add}/{first}/Missing")),
        // The other one is all that is left.
        ("AllReplicasDown", Method::PATCH, format!("{add}/{}", copies[1].0)),
        ("Success", Method::POST, add.clone()),
        ("Success", Method::POST, add.clone()),
        ("InvalidReplicas", Method::POST, add.clone()),
    ];
    for (expected, method, path) in rows {
        assert_eq!(code(&client, method.clone(), &path).await, expected, "{method} {path}");
    }
    assert_eq!(client.post(&add, json!({"zones": "x"})).await["status"], "InvalidInput");

    // Where there is no place, the stage of the narrowing says why.
    let other = client.replicated("w", 1, 2).await;
    let add = format!("/replica/{other}");
    let lies_on = backends(&client.get(&format!("/volumes/{other}")).await[0]);
    assert_eq!(lies_on, [Cluster::id(0), Cluster::id(1)]);
    let put = async |index: usize, change: Value| {
        let answer = client.put(&format!("/backends/{}", Cluster::id(index)), change).await;
        assert_eq!(answer["status"], "Success");
    };
    assert_eq!(client.post(&add, json!({"zones": ["x"]})).await["status"], "TopologyConstraints");
    for index in 0..4 {
        put(index, json!({"rack": "r"})).await;
    }
    assert_eq!(code(&client, Method::POST, &add).await, "SameRackNotAllowed");
    let same_rack = json!({"sameRackAllowed": true});
    for index in [2, 3] {
        put(index, json!({"inUse": false})).await;
    }
    assert_eq!(client.post(&add, same_rack.clone()).await["status"], "NotInUse");
    for index in [2, 3] {
        put(index, json!({"inUse": true})).await;
        cluster.take_away(index);
    }
    assert_eq!(client.post(&add, same_rack.clone()).await["status"], "NotAvailable");
    for index in [2, 3] {
        cluster.bring_back(index).await;
    }
    assert_eq!(client.post(&add, same_rack).await["status"], "Success");
}

#[tokio::test]
async fn a_migration_is_a_task_for_the_hosts_agent() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.running.client();
    let (id, simple) = (client.replicated("v", 1, 2).await, client.volume("simple", 1).await);
    let copies = client.copies(&id).await;
    let rep = copies[1].0.clone();
    for host in ["h", "i"] {
        client.host(host).await;
    }
    let migrate = async |volume: &str, replica: &str| {
        let answer = client.post("/migrate_volume", json!({"volId": volume, "repId": replica})).await;
        answer["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(client.post("/migrate_volume", json!({"volId": id})).await["status"], "InvalidInput");
    assert_eq!(migrate("x", &rep).await, "VolumeNotFound");
    assert_eq!(migrate(&simple, &simple).await, "NotReplicated");
    assert_eq!(migrate(&id, &id).await, "ReplicaNotFound");
    assert_eq!(migrate(&id, &rep).await, "VolumeNotPublished");
    for host in ["h", "i"] {
        client.publish(&id, host).await;
    }
    assert_eq!(migrate(&id, &rep).await, "VolumePublishedToMultipleHosts");
    client.unpublish(&id, "i").await;
    cluster.take_away(1);
    assert_eq!(migrate(&id, &rep).await, "NotEnoughReplicas");
    cluster.bring_back(1).await;
    cluster.take_away(2);
    assert_eq!(migrate(&id, &rep).await, "NoBackendToMigrateReplica");
    cluster.bring_back(2).await;

    assert_eq!(migrate(&id, &rep).await, "Success");
    assert_eq!(migrate(&id, &rep).await, "TaskAlreadyRunning");
    let tasks = client.get("/tasks?hostId=h").await;
    let task = &tasks[0];
    let path = format!("/tasks?taskId={}&hostId=h", task["taskId"].as_str().unwrap());
    assert_eq!(client.delete(&path).await["status"], "OngoingTask");
    assert_eq!((&task["type"], &task["state"]), (&json!("RemoteMigration"), &json!("IDLE")));
    assert_eq!((&task["progress"], task.get("taskStatus")), (&json!(0.0), None));
    let configuration = json!([{"name": "volId", "value": id}, {"name": "replicaId", "value": rep},
        {"name": "volumeAlias", "value": "v"}]);
    assert_eq!(task["taskConfiguration"], configuration);
    // Unpublished, it ends, whatever the agent has made of it.
    let report =
        json!({"taskId": task["taskId"], "hostId": "h", "state": "RUNNING", "taskConfiguration": []});
    assert_eq!(client.put("/tasks", report).await["status"], "Success");
    assert_eq!(client.unpublish(&id, "h").await["status"], "Success");
    let tasks = client.get("/tasks?hostId=h").await;
    assert_eq!(tasks[0]["state"], "ABORTED");
    assert!(tasks[0]["endDate"].is_string());

    client.publish(&id, "h").await;
    assert_eq!(migrate(&id, &rep).await, "Success");
    assert_eq!(code(&client, Method::PATCH, &format!("/replica/{id}/{rep}")).await, "Success");
    assert_eq!(migrate(&id, &rep).await, "ReplicaTerminating");
}

#[tokio::test]
async fn what_is_used_is_of_all_copies_and_each_has_a_path() {
    let cluster = Cluster::of(2).await;
    let client = cluster.running.client();
    let id = client.replicated("v", 2, 2).await;
    let copies = client.copies(&id).await;
    let volume = format!("/volumes/{id}");
    let shown = client.get(&volume).await[0].take();
    let of_copy = |index: usize| shown["location"][index]["usedBytes"].as_u64().unwrap();
    assert_eq!(shown["usedBytes"].as_u64().unwrap(), of_copy(0) + of_copy(1));

    let path = format!("/basalt/v1/volumes/{id}/path-state");
    let states = async || -> Vec<Value> {
        let shown = client.get(&path).await;
        assert_eq!(shown.get("anaState"), None, "there are several");
        let paths = shown["paths"].as_array().unwrap().iter();
        paths.map(|path| path.get("anaState").cloned().unwrap_or_default()).collect()
    };
    let unclear = client.send(Method::POST, &path, json!({"anaState": "inaccessible"}).to_string()).await;
    assert_eq!((unclear.status.as_u16(), &unclear.body["field"]), (400, &json!("replicaID")));
    let second = json!({"anaState": "inaccessible", "replicaID": copies[1].0});
    let set = client.post(&path, second).await;
    assert_eq!(set["paths"][1]["replicaID"], json!(copies[1].0), "{set}");
    assert_eq!(states().await, [json!("optimized"), json!("inaccessible")]);

    cluster.take_away(1);
    assert_eq!(states().await, [json!("optimized"), Value::Null]);
    let shown = client.get(&volume).await[0].take();
    assert_eq!(shown.get("usedBytes"), None, "nobody knows what the other copy has");
    assert!(shown["location"][0]["usedBytes"].is_u64());
}
