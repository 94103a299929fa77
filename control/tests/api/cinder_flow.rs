//! What the Cinder driver does, with the bodies it sends (provisioner §6).

use crate::common::{GIB, Running, uuid};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn create_attach_extend_detach_delete() {
    let running = Running::start().await;
    // Cinder has no token set: the certificate settles it.
    let cinder = running.client().authorization("Bearer Unknown");
    let id = uuid(1);

    let stats = cinder.get("/tenants").await;
    let (total, used) = (&stats[0]["capacity"], &stats[0]["consumedCapacity"]);
    assert_eq!((&stats[0]["tenantId"], used.as_u64()), (&json!("0"), Some(0)));
    assert!((32..=64).contains(&total.as_u64().unwrap()), "{stats}");

    let created = cinder
        .post(
            "/volumes",
            json!({"alias": format!("volume-{id}"), "capacity": 10, "protocol": "NVMeoF",
                "provisioningType": "THICK", "reservedSpacePercentage": 0, "storageClass": {
                    "allowSpan": true, "blockSize": 4096, "desiredBWPerGB": 0, "desiredIOPSPerGB": 0,
                    "maxBWPerGB": 0, "maxIOPSPerGB": 0, "maxReplicaDownTime": 0, "numReplicas": 1,
                    "sameRackAllowed": false}, "uuid": id}),
        )
        .await;
    assert_eq!(created["status"], "Success", "{created}");
    assert_eq!(cinder.get("/tenants").await[0]["consumedCapacity"], 10);

    // initialize_connection, steps 1 to 6.
    let probe = json!({"clientType": "Agent", "duration": 30, "hostId": "c8d2", "name": "host-1",
        "hostNqn": "nqn.2014-08.org.nvmexpress:uuid:beaae2de", "version": "cinder-driver-0.1"});
    assert_eq!(cinder.post("/host_probe", probe).await["status"], "Success");
    assert_eq!(cinder.publish(&id, "c8d2").await["status"], "Success");
    assert_eq!(cinder.publish(&id, "c8d2").await["status"], "AlreadyPublished");
    let volumes = cinder.get(&format!("/volumes/{id}")).await;
    let location = &volumes[0]["location"];
    assert_eq!((volumes.as_array().unwrap().len(), location.as_array().unwrap().len()), (1, 1));
    assert_eq!((&volumes[0]["writable"], &location[0]["uuid"]), (&json!(true), &json!(id)));
    let targets = cinder.get(&format!("/targets?hostId=c8d2&volId={id}")).await;
    assert_eq!(targets.as_array().unwrap().len(), 1);
    let nqn = targets[0]["targetName"].as_str().unwrap();
    assert!(nqn.starts_with("nqn.2026-11.io.basalt:"), "{nqn}");
    let backend = targets[0]["backend"]["persistentID"].as_str().unwrap();
    assert_eq!(location[0]["backend"]["persistentID"], backend);
    let backends = cinder.get(&format!("/backends/{}", backend.replace(':', "%3A"))).await;
    let portal = &backends[0]["portals"][0];
    assert_eq!((&portal["ip"], &portal["transport"]), (&json!("127.0.0.1"), &json!("TCP_IP")));
    assert!(portal["port"].as_u64().is_some_and(|p| p > 0), "{portal}");

    // What the node was told.
    let subsystems = running.node.subsystems().await;
    assert_eq!((subsystems.len(), subsystems[0].nqn.as_str()), (1, nqn));
    assert_eq!(subsystems[0].allowed_hosts, ["nqn.2014-08.org.nvmexpress:uuid:beaae2de"]);
    let namespace = &subsystems[0].namespaces[0];
    assert_eq!((namespace.nsid, namespace.uuid.to_string()), (1, id.clone()));

    // extend, while attached, with the string it sends.
    let extended = cinder.patch(&format!("/volumes/{id}"), json!({"newCapacity": "12"})).await;
    assert_eq!(extended["status"], "Success", "{extended}");
    assert_eq!(cinder.get(&format!("/volumes/{id}")).await[0]["capacity"], 12 * GIB);

    // terminate_connection, then again without a connector (force-detach).
    assert_eq!(cinder.delete(&format!("/volumes/{id}")).await["status"], "VolumeIsInUse");
    assert_eq!(cinder.unpublish(&id, "c8d2").await["status"], "Success");
    assert_eq!(cinder.post("/unpublish", json!({"volId": id})).await["status"], "VolumeNotPublished");
    assert_eq!(running.node.subsystems().await.len(), 0);

    assert_eq!(cinder.delete(&format!("/volumes/{id}")).await["status"], "Success");
    // A replayed DELETE gets what Cinder accepts.
    assert_eq!(cinder.delete(&format!("/volumes/{id}")).await["status"], "NotExists");
    assert_eq!(cinder.get(&format!("/volumes/{id}")).await, json!([]));
    assert_eq!(cinder.get("/tenants").await[0]["consumedCapacity"], 0);
}

#[tokio::test]
async fn a_trailing_slash_in_kioxia_url_doubles_the_first_slash() {
    let running = Running::start().await;
    let client = running.client();
    let made = client.post("//volumes", json!({"alias": "a", "capacity": 1})).await;
    assert_eq!(made["status"], "Success");
    assert_eq!(client.get("//volumes//").await.as_array().unwrap().len(), 1);
    assert_eq!(client.send(Method::GET, "///info/", "").await.body["version"], "1.1");
}
