//! Where volumes would lie, and why not elsewhere (provisioner §5.2, D59).

use crate::common::{Client, GIB, Running, memory_drive, node_config};
use control::Replication;
use dataplane::node::Node;
use hyper::Method;
use serde_json::{Value, json};

const EXPLAIN: &str = "/basalt/v1/placements:explain";

async fn explain(client: &Client, body: Value) -> Value {
    client.post(EXPLAIN, body).await
}

#[tokio::test]
async fn what_fits_is_chosen_as_create_chooses_it() {
    let drives = vec![memory_drive("small", 8), memory_drive("large", 16)];
    let node = Node::start(node_config(drives)).unwrap();
    let running = Running::on(tempfile::tempdir().unwrap(), node, |_| {}).await;
    let client = running.client();
    let backend = client.get("/backends").await[0]["persistentID"].clone();
    for (gib, drives) in [(4, 1), (20, 2)] {
        // What says which volume it is may stand there.
        let body = json!({"alias": "v", "capacity": gib});
        let explained = explain(&client, body.clone()).await;
        let verdict = json!([{"persistentID": backend, "fits": true, "failed": []}]);
        assert_eq!((&explained["backends"], &explained["refusal"]), (&verdict, &Value::Null));
        assert_eq!((&explained["copies"], &explained["capacityBytes"]), (&json!(1), &json!(gib * GIB)));
        let chosen = &explained["chosen"][0];
        assert_eq!((&chosen["persistentID"], chosen["drives"].as_array().unwrap().len()), (&backend, drives));
        assert_eq!(client.get("/volumes").await, json!([]), "nothing was made");

        let made = client.post("/volumes", body).await;
        let path = format!("/volume_extended/{}", made["persistentId"].as_str().unwrap());
        let parts = client.get(&path).await[0]["location"][0]["subVolumes"].clone();
        for part in parts.as_array().unwrap() {
            assert!(chosen["drives"].as_array().unwrap().contains(&part["ssdID"]), "{part} {chosen}");
        }
        client.delete(&path.replace("volume_extended", "volumes")).await;
    }
}

#[tokio::test]
async fn each_broken_rule_has_its_numbers() {
    let running = Running::with(|c| c.declared_iops = 1000).await;
    let client = running.client();
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    client.put(&format!("/backends/{backend}"), json!({"zone": "nova", "rack": "r1"})).await;
    let body = json!({"capacity": 100, "storageClass": {"zones": ["a", "b"], "racks": ["r1"], "regions": ["x"],
        "desiredIOPSPerGB": 11}});
    let explained = explain(&client, body.clone()).await;
    let failed = &explained["backends"][0]["failed"];
    assert_eq!(explained["backends"][0]["fits"], false);
    assert_eq!(failed[0], json!({"rule": "zone", "wanted": ["a", "b"], "has": "nova"}));
    assert_eq!(failed[1], json!({"rule": "region", "wanted": ["x"], "has": null}));
    assert_eq!(failed[2], json!({"rule": "iops", "wanted": 1100, "has": 1000}));
    assert_eq!((&failed[3]["rule"], &failed[3]["wanted"]), (&json!("space"), &json!(100 * GIB)));
    let has = failed[3]["has"].as_u64().unwrap();
    assert!((60 * GIB..64 * GIB).contains(&has), "{has}");
    assert_eq!((&explained["chosen"], failed.as_array().unwrap().len()), (&json!([]), 4));

    // The same code and words as the request itself gets.
    let mut create = body;
    create["alias"] = json!("v");
    let refused = client.post("/volumes", create).await;
    assert_eq!(explained["refusal"]["code"], "NoMatchingBackend");
    assert_eq!(explained["refusal"]["message"], refused["description"]);

    client.put(&format!("/backends/{backend}"), json!({"inUse": false})).await;
    let failed = explain(&client, json!({"capacity": 1})).await["backends"][0]["failed"].clone();
    assert_eq!(failed, json!([{"rule": "in-use", "wanted": true, "has": false}]));
}

#[tokio::test]
async fn several_copies_need_several_backends_and_a_host_that_mirrors() {
    for default in [Replication::Target, Replication::Host] {
        let running = Running::with(|c| c.default_replication = default).await;
        let client = running.client();
        for (word, copies) in [(json!(null), 2), (json!("target"), 2), (json!("host"), 2), (json!("host"), 3)]
        {
            let is_host = word == "host" || (word.is_null() && default == Replication::Host);
            let code = if is_host { "NotEnoughMatchingBackends" } else { "InvalidReplicas" };
            let class = json!({"numReplicas": copies, "replication": word});
            let body = json!({"alias": "v", "capacity": 1, "storageClass": class});
            let refused = client.post("/volumes", body.clone()).await;
            assert_eq!(refused["status"], code, "{body} {default:?}");
            let explained = explain(&client, body).await;
            let refusal = &explained["refusal"];
            assert_eq!(
                (&refusal["code"], &refusal["message"]),
                (&refused["status"], &refused["description"])
            );
            assert_eq!(
                (&explained["copies"], &explained["backends"][0]["fits"]),
                (&json!(copies), &json!(true))
            );
            if !is_host {
                assert_eq!(refusal["message"], "target mirroring is not available yet; use replication host");
            }
        }
        let single = json!({"alias": "v", "capacity": 1, "storageClass": {"replication": "host"}});
        assert_eq!(client.post("/volumes", single).await["status"], "Success");
        assert_eq!(client.get("/volumes").await[0]["replication"], "host");
    }
}

#[tokio::test]
async fn a_tenants_budget_counts_and_wrong_fields_are_named() {
    let running = Running::start().await;
    let client = running.client();
    client
        .post("/tenants", json!({"name": "t", "tenantId": "t", "capacity": 2, "totalIOPS": 0, "totalBW": 0}))
        .await;
    let of = |gib: u64| json!({"capacity": gib, "tenantId": "t"});
    assert_eq!(explain(&client, of(2)).await["refusal"], Value::Null);
    let refused = explain(&client, of(3)).await;
    assert_eq!(refused["refusal"]["code"], "TenantCapacityExceeded");
    assert_eq!((&refused["chosen"], &refused["backends"][0]["fits"]), (&json!([]), &json!(true)));
    let host = json!({"capacity": 3, "tenantId": "t", "storageClass": {"hostId": "nobody"}});
    assert_eq!(explain(&client, host).await["refusal"]["code"], "NoBackendWithHostIdExists");
    for (body, status, field) in [
        (json!({}), 400, json!("capacity")),
        (json!({"capacity": 0}), 400, json!("capacity")),
        (json!({"capacity": 1, "storageClass": {"zones": "nova"}}), 400, json!("storageClass.zones")),
        (
            json!({"capacity": 1, "storageClass": {"replication": "x"}}),
            400,
            json!("storageClass.replication"),
        ),
        (json!({"capacity": 1, "tenantId": 5}), 400, json!("tenantId")),
        (json!({"capacity": 1, "tenantId": "nobody"}), 404, Value::Null),
    ] {
        let answer = client.send(Method::POST, EXPLAIN, body.to_string()).await;
        assert_eq!((answer.status.as_u16(), &answer.body["field"]), (status, &field), "{body}");
    }
}
