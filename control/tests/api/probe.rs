//! Storage nodes of other makes, which tell of themselves (provisioner §2, op 7, D13 to D16).

use crate::common::{Client, Cluster, GIB, Running};
use hyper::Method;
use serde_json::{Value, json};

const ID: &str = "02:00:5e:00:53:07";

/// As a node at that address sends it.
fn probe(id: &str, ip: &str) -> Value {
    json!({
        "persistentID": id, "mgmtIPs": [ip], "mgmtPort": 8443, "totalCapacity": 500 * GIB,
        "availableCapacity": 200 * GIB, "totalIOPS": 1000, "usedIOPS": 300, "totalBW": 5000, "usedBW": 1000,
        "version": "3.1", "targetDriverVersion": "2.0", "numberOfSSDs": 4, "Certified": true, "changes": 1,
        "authenticationMode": "LDAP",
        "provisioner": {"inUse": true, "url": "https://192.0.2.1:30100", "pushInterval": 60, "tags": [
            {"name": "rack", "value": "r1"}, {"name": "hostId", "value": "h1"},
            {"name": "storageClassName", "value": "gold"}]},
    })
}

async fn backend(client: &Client, id: &str) -> Value {
    client.get(&format!("/backends/{id}")).await[0].take()
}

#[tokio::test]
async fn a_node_that_tells_of_itself_is_a_backend_with_its_figures() {
    let running = Running::start().await;
    let client = running.client();
    let tenant = client.get("/tenants").await;
    let free = client.get("/info").await["totalFreeSpace"].clone();
    let answer = client.post("/probe", probe(ID, "192.0.2.7")).await;
    let expected = json!({"status": "Success", "description": "Success.", "provisioner": {
        "inUse": true, "name": "basalt", "pushInterval": 60, "url": "https://192.0.2.1:30100", "tags": [
            {"name": "rack", "value": "r1"}, {"name": "hostId", "value": "h1"},
            {"name": "storageClassName", "value": "gold"}],
        "authorizationServer": null}});
    assert_eq!(answer, expected);
    let mut shown = backend(&client, ID).await;
    assert!(shown["lastProbTime"].take().is_u64());
    let expected = json!({"persistentID": ID, "mgmtIPs": ["192.0.2.7"], "mgmtPort": 8443, "rack": "r1",
        "inUse": true, "state": "Available", "totalCapacity": 500 * GIB, "availableCapacity": 200 * GIB,
        "numVolumes": 0, "lastProbTime": null, "probeInterval": 60, "totalBW": 5000, "availableBW": 4000,
        "totalIOPS": 1000, "availableIOPS": 700, "version": "3.1", "targetDriverVersion": "2.0", "numberOfSSDs": 4,
        "certified": true, "portals": [], "hostId": "h1", "name": ID, "authenticationMode": "LDAP"});
    assert_eq!(shown, expected);
    let node = client.get("/basalt/v1/nodes").await;
    let node = node.as_array().unwrap().iter().find(|n| n["persistentID"] == ID).unwrap().clone();
    assert_eq!((&node["directed"], &node["address"]), (&json!(false), &json!("192.0.2.7:8443")));
    let status = client.get("/basalt/v1/status").await;
    let listed = status["nodes"].as_array().unwrap().iter().find(|n| n["persistentID"] == ID).unwrap();
    assert_eq!((&listed["available"], &status["problems"]), (&json!(true), &json!([])));
    let inventory = client.get("/inventory").await.to_string();
    assert!(inventory.contains(ID) && inventory.contains("\"numSSDs\":4"), "{inventory}");

    let metrics = client.raw(Method::GET, "/metrics", "").await.2;
    for figure in [
        "ks_node_free_iops{node=\"ID\",name=\"ID\"} 700",
        "ks_node_state{node=\"ID\",name=\"ID\",rack=\"r1\"",
    ] {
        assert!(metrics.contains(&figure.replace("ID", ID)), "{figure}: {metrics}");
    }

    // It is no part of the pool: nothing can be made there.
    assert_eq!(client.get("/tenants").await, tenant);
    assert_eq!(client.get("/info").await["totalFreeSpace"], free);
    let there = json!({"alias": "v", "capacity": 1, "storageClass": {"racks": ["r1"]}});
    assert_eq!(client.post("/volumes", there.clone()).await["status"], "NoMatchingBackend");
    let explained = client.post("/basalt/v1/placements:explain", there).await;
    let verdict = explained["backends"].as_array().unwrap().iter().find(|b| b["persistentID"] == ID).unwrap();
    assert_eq!(verdict["failed"][0]["rule"], "directed", "{explained}");
    client.volume("elsewhere", 1).await;
    let admin = running.admin().await;
    assert_eq!(admin.get("/v1/cluster/nodes/").await.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn what_people_set_wins_over_what_a_node_tells() {
    let running = Running::start().await;
    let client = running.client();
    client.post("/probe", probe(ID, "192.0.2.7")).await;
    let path = format!("/backends/{ID}");
    let set = json!({"rack": "", "zone": "z", "inUse": false});
    assert_eq!(client.put(&path, set).await["status"], "Success");
    let own = client.get("/backends").await;
    let own =
        own.as_array().unwrap().iter().find(|b| b["persistentID"] != ID).unwrap()["persistentID"].clone();
    let own = own.as_str().unwrap();
    let taken = client.put(&format!("/backends/{own}"), json!({"hostId": "h1"})).await;
    assert_eq!(taken["status"], "BackendWithHostIdAlreadyExists");
    let mut next = probe(ID, "192.0.2.7");
    next["availableCapacity"] = json!(100 * GIB);
    let told = client.post("/probe", next).await["provisioner"].clone();
    let tags = json!([{"name": "zone", "value": "z"}, {"name": "hostId", "value": "h1"},
        {"name": "storageClassName", "value": "gold"}]);
    assert_eq!((&told["inUse"], &told["tags"]), (&json!(false), &tags));
    let shown = backend(&client, ID).await;
    assert_eq!((shown.get("rack"), &shown["availableCapacity"]), (None, &json!(100 * GIB)));

    // Another identity at the same address takes its place; at another one it is another backend.
    let other = "02:00:5e:00:53:08";
    client.post("/probe", probe(other, "192.0.2.7")).await;
    assert_eq!(client.get(&path).await, json!([]));
    let shown = backend(&client, other).await;
    assert_eq!((&shown["zone"], &shown["rack"], &shown["inUse"]), (&json!("z"), &json!("r1"), &json!(false)));
    client.post("/probe", probe(ID, "192.0.2.9")).await;
    assert_eq!(client.get("/backends").await.as_array().unwrap().len(), 3);
    assert_eq!(backend(&client, ID).await.get("hostId"), None, "the other one has it");
    let add = json!({"mgmtIPs": ["192.0.2.7"], "mgmtPort": 8443});
    assert_eq!(client.post("/backends", add).await["status"], "AlreadyExists");

    let events = client.get("/basalt/v1/events").await.to_string();
    assert!(events.contains("takes the place of"), "{events}");
    for id in [ID, other] {
        assert_eq!(client.delete(&format!("/backends/{id}")).await["status"], "Success");
    }
    assert_eq!(client.get("/backends").await.as_array().unwrap().len(), 1);
    assert_eq!(client.delete(&format!("/backends/{ID}?force=true")).await["status"], "NotExists");
}

#[tokio::test]
async fn a_node_of_this_provisioner_is_believed_by_its_own_answers_only() {
    let cluster = Cluster::of(2).await;
    let client = cluster.running.client();
    let id = Cluster::id(1);
    let figures = async || {
        let shown = backend(&client, &id).await;
        [&shown["totalCapacity"], &shown["version"], &shown["rack"]].map(Clone::clone)
    };
    let before = figures().await;
    client.put(&format!("/backends/{id}"), json!({"zone": "z"})).await;
    let told = client.post("/probe", probe(&id, "192.0.2.7")).await;
    assert_eq!(told["status"], "Success");
    assert_eq!(told["provisioner"]["tags"], json!([{"name": "zone", "value": "z"}]));
    assert_eq!(figures().await, before);
    client.volume("v", 1).await;
}

#[tokio::test]
async fn a_probe_with_something_missing_changes_nothing() {
    let running = Running::start().await;
    let client = running.client();
    let mut bad = probe(ID, "192.0.2.7");
    bad["provisioner"]["pushInterval"] = json!(5);
    let refused = client.post("/probe", bad).await;
    assert_eq!(refused["status"], "InvalidInput");
    assert!(refused["description"].as_str().unwrap().starts_with("provisioner.pushInterval"), "{refused}");
    assert_eq!(client.post("/probe", json!({})).await["status"], "InvalidInput");
    assert_eq!(client.get("/backends").await.as_array().unwrap().len(), 1);
    let answer = client.send(Method::GET, "/probe", "").await;
    assert_eq!(answer.status.as_u16(), 405);
}
