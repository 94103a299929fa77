//! Tenants, their budgets and what keeps them apart (provisioner §3).

use crate::common::{Client, GIB, Running, uuid};
use hyper::Method;
use serde_json::{Value, json};

/// Makes a tenant with that budget of GiB, IOPS and bytes per second.
async fn tenant(client: &Client, id: &str, capacity: u64, iops: u64, bandwidth: u64) {
    let body = json!({"name": format!("name-{id}"), "tenantId": id, "capacity": capacity,
        "totalIOPS": iops, "totalBW": bandwidth});
    let made = client.post("/tenants", body).await;
    assert_eq!(made, json!({"status": "Success", "description": "Success.", "tenantId": id}));
}

/// The tenant's row, without what is the same as it was given.
async fn consumed(client: &Client, id: &str) -> (u64, u64, u64) {
    let tenants = client.get("/tenants").await;
    let row = tenants.as_array().unwrap().iter().find(|row| row["tenantId"] == id).unwrap().clone();
    let number = |name: &str| row[name].as_u64().unwrap();
    (number("consumedCapacity"), number("consumedIOPS"), number("consumedBW"))
}

#[tokio::test]
async fn made_listed_changed_and_deleted() {
    let running = Running::start().await;
    let client = running.client();
    let body = json!({"Name": "first", "capacity": 5, "totalIOPS": 6, "totalBW": 7});
    let made = client.post("/tenants/", body).await;
    let id = made["tenantId"].as_str().unwrap().to_owned();
    let row = json!({"tenantId": id, "name": "first", "capacity": 5, "totalIOPS": 6, "totalBW": 7,
        "consumedCapacity": 0, "consumedIOPS": 0, "consumedBW": 0});
    let tenants = client.get("/tenants").await;
    assert_eq!((&tenants[0]["tenantId"], &tenants[1]), (&json!("0"), &row));

    let path = format!("/tenants/{id}");
    let changed = json!({"capacity": 1, "totalIOPS": 0, "totalBW": 2, "name": "ignored"});
    assert_eq!(client.put(&path, changed).await["status"], "Success");
    let now = client.get("/tenants").await[1].clone();
    assert_eq!((&now["name"], &now["capacity"], &now["totalIOPS"]), (&json!("first"), &json!(1), &json!(0)));

    assert_eq!(client.delete(&path).await["status"], "Success");
    assert_eq!(client.delete(&path).await["status"], "TenantNotFound");
    assert_eq!(client.get("/tenants").await.as_array().unwrap().len(), 1);
    let again = json!({"name": "first", "capacity": 0, "totalIOPS": 0, "totalBW": 0});
    assert_eq!(client.post("/tenants", again).await["status"], "Success", "the name is free again");
    let events = client.get("/basalt/v1/events").await.to_string();
    for kind in ["tenant-created", "tenant-changed", "tenant-deleted"] {
        assert!(events.contains(kind), "{kind}");
    }
}

#[tokio::test]
async fn every_refusal() {
    let running = Running::start().await;
    let client = running.client();
    tenant(&client, "a", 4, 0, 0).await;
    tenant(&client, "empty", 4, 0, 0).await;
    client.post("/a/volumes", json!({"alias": "v", "capacity": 2})).await;
    let new = |name: &str, id: Value| json!({"name": name, "tenantId": id, "capacity": 1, "totalIOPS": 0, "totalBW": 0});
    let budget = |capacity: Value| json!({"capacity": capacity, "totalIOPS": 0, "totalBW": 0});
    let of = |id: &str| json!({"tenantId": id, "capacity": 9, "totalIOPS": 0, "totalBW": 0});
    let cases = [
        (Method::POST, "/tenants", new("name-a", Value::Null), "TenantAlreadyExists"),
        (Method::POST, "/tenants", new("default", Value::Null), "TenantAlreadyExists"),
        (Method::POST, "/tenants", new("b", json!("a")), "TenantAlreadyExists"),
        (Method::POST, "/tenants", new("b", json!("0")), "TenantAlreadyExists"),
        (Method::POST, "/tenants", new("b", json!("tenants")), "InvalidInput"),
        (Method::POST, "/tenants", new("b", json!("a/b")), "InvalidInput"),
        (Method::POST, "/tenants", budget(json!(1)), "InvalidInput"),
        (Method::PUT, "/tenants/a", budget(json!(-1)), "InvalidInput"),
        (Method::PUT, "/tenants/a", budget(Value::Null), "InvalidInput"),
        (Method::PUT, "/tenants/a", budget(json!(1)), "InvalidInput"),
        (Method::PUT, "/tenants/a", of("b"), "InvalidInput"),
        (Method::PUT, "/tenants/0", budget(json!(9)), "InvalidInput"),
        (Method::PUT, "/tenants/b", of("b"), "TenantNotFound"),
        (Method::DELETE, "/tenants/0", json!({}), "InvalidInput"),
        (Method::DELETE, "/tenants/b", json!({}), "TenantNotFound"),
        (Method::DELETE, "/tenants/a", json!({}), "TenantHasVolumes"),
    ];
    let before = client.get("/tenants").await;
    for (method, path, body, code) in cases {
        let answer = client.send(method.clone(), path, body.to_string()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["status"]),
            (200, &json!(code)),
            "{method} {path} {body}"
        );
        assert!(!answer.body["description"].as_str().unwrap().is_empty());
    }
    assert_eq!(client.get("/tenants").await, before);

    // Nothing to have a share of.
    let backend = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    client.put(&format!("/backends/{backend}"), json!({"inUse": false})).await;
    assert_eq!(client.post("/tenants", new("c", Value::Null)).await["status"], "NoBackends");
    assert_eq!(client.put("/tenants/a", of("a")).await["status"], "NoBackends");
    assert_eq!(client.delete("/tenants/empty").await["status"], "NoBackends");
}

#[tokio::test]
async fn each_part_of_a_budget_is_kept_by_everything_that_takes() {
    let running = Running::with(|c| c.reserve_floor_gib = Some(1)).await;
    let client = running.client();
    tenant(&client, "t", 10, 100, 1000).await;
    let class = |iops: u64, bandwidth: u64| json!({"desiredIOPSPerGB": iops, "desiredBWPerGB": bandwidth});
    let volume = |n: u32, gib: u64, class: Value| json!({"alias": format!("v{n}"), "uuid": uuid(n), "capacity": gib, "storageClass": class});
    let refused = async |method: Method, path: &str, body: Value| {
        let answer = client.send(method, path, body.to_string()).await.body;
        assert_eq!(answer["status"], "TenantCapacityExceeded", "{path} {body}");
        answer["description"].as_str().unwrap().to_owned()
    };
    let done = async |path: &str, body: Value| {
        assert_eq!(client.post(path, body.clone()).await["status"], "Success", "{path} {body}");
    };

    let why = refused(Method::POST, "/t/volumes", volume(1, 11, json!({}))).await;
    assert!(why.contains("capacity is 10 GiB, 11 GiB are needed"), "{why}");
    let why = refused(Method::POST, "/t/volumes", volume(1, 4, class(26, 0))).await;
    assert!(why.contains("totalIOPS is 100 IOPS, 104"), "{why}");
    let why = refused(Method::POST, "/t/volumes", volume(1, 4, class(0, 251))).await;
    assert!(why.contains("totalBW is 1000 bytes/s, 1004"), "{why}");
    assert_eq!(consumed(&client, "t").await, (0, 0, 0));

    done("/t/volumes", volume(1, 4, class(20, 200))).await;
    assert_eq!(consumed(&client, "t").await, (4, 80, 800));
    // Rates grow with the size.
    let path = format!("/t/volumes/{}", uuid(1));
    let why = refused(Method::PATCH, &path, json!({"newCapacity": 6})).await;
    assert!(why.contains("totalIOPS"), "{why}");
    assert_eq!(client.get(&path).await[0]["capacity"], 4 * GIB, "nothing changed");
    assert_eq!(client.patch(&path, json!({"newCapacity": 5})).await["status"], "Success");
    // A clone has its source's rates.
    let clone =
        |n: u32, of: u32| json!({"alias": format!("v{n}"), "volumeId": uuid(n), "sourceVolumeId": uuid(of)});
    refused(Method::POST, "/t/clone_volume", clone(2, 1)).await;

    let take = |n: u32, percent: u64| json!({"alias": "s", "volumeID": uuid(1), "snapshotID": uuid(n), "reservedSpacePercentage": percent});
    done("/t/snapshots", take(10, 60)).await;
    assert_eq!(consumed(&client, "t").await, (8, 100, 1000));
    refused(Method::POST, "/t/snapshots", take(11, 60)).await;
    let group = json!({"alias": "g", "volumes": [uuid(1)], "reservedSpacePercentage": 60, "tenantId": "t"});
    assert_eq!(client.status(Method::POST, "/basalt/v1/snapshot-groups", group).await, 409);
    let show = |n: u32, writable: bool, percent: u64| {
        json!({"alias": format!("v{n}"), "volumeID": uuid(n), "snapshotID": uuid(10), "writable": writable,
            "reservedSpacePercentage": percent})
    };
    refused(Method::POST, "/t/snapshot_volumes", show(20, true, 60)).await;
    done("/t/snapshot_volumes", show(20, true, 40)).await;
    done("/t/snapshot_volumes", show(21, false, 0)).await;
    assert_eq!(consumed(&client, "t").await, (10, 100, 1000));
    refused(Method::POST, "/t/volumes", volume(3, 1, json!({}))).await;

    // The default tenant shows what all consume of the pool, and its own rates.
    done("/volumes", volume(4, 3, class(1, 1))).await;
    assert_eq!(consumed(&client, "0").await, (13, 3, 3));
    // What is given back can be taken again, and a larger budget counts at once.
    assert_eq!(client.delete(&format!("/t/volumes/{}", uuid(20))).await["status"], "Success");
    done("/t/volumes", volume(5, 1, json!({}))).await;
    let more = json!({"capacity": 20, "totalIOPS": 0, "totalBW": 0});
    assert_eq!(client.put("/tenants/t", more).await["status"], "Success");
    done("/t/clone_volume", clone(2, 1)).await;
}

#[tokio::test]
async fn of_many_who_want_the_last_of_it_some_get_it() {
    let running = Running::start().await;
    let client = running.client();
    tenant(&client, "t", 3, 0, 0).await;
    let tasks: Vec<_> = (0..24)
        .map(|n| {
            let client = client.clone();
            let body = json!({"alias": format!("v{n}"), "capacity": 1});
            tokio::spawn(async move { client.post("/t/volumes", body).await })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        match answer["status"].as_str().unwrap() {
            "Success" => made += 1,
            other => assert_eq!(other, "TenantCapacityExceeded", "{answer}"),
        }
    }
    assert_eq!((made, running.node.volumes().await.len()), (3, 3));
    assert_eq!(consumed(&client, "t").await, (3, 0, 0));
}

#[tokio::test]
async fn a_tenant_that_is_deleted_while_others_make_volumes_leaves_none_behind() {
    let running = Running::start().await;
    let client = running.client();
    for round in 0..4 {
        tenant(&client, "t", 10, 0, 0).await;
        let (maker, deleter) = (client.clone(), client.clone());
        let make = tokio::spawn(async move {
            maker.post("/t/volumes", json!({"alias": "v", "uuid": uuid(1), "capacity": 1})).await
        });
        let delete = tokio::spawn(async move { deleter.delete("/tenants/t").await });
        let (made, deleted) = (make.await.unwrap(), delete.await.unwrap());
        match (made["status"].as_str().unwrap(), deleted["status"].as_str().unwrap()) {
            ("Success", "TenantHasVolumes") => {
                client.delete(&format!("/t/volumes/{}", uuid(1))).await;
                assert_eq!(client.delete("/tenants/t").await["status"], "Success");
            }
            ("TenantNotFound", "Success") => {}
            other => panic!("round {round}: {other:?}"),
        }
        assert!(running.node.volumes().await.is_empty());
    }
}

#[tokio::test]
async fn a_tenant_sees_and_touches_its_own_only() {
    let running = Running::start().await;
    let client = running.client();
    tenant(&client, "a", 20, 0, 0).await;
    tenant(&client, "b", 20, 0, 0).await;
    let body = json!({"alias": "same", "uuid": uuid(1), "capacity": 1});
    assert_eq!(client.post("/a/volumes", body).await["status"], "Success");
    // Aliases are the tenant's own, UUIDs everybody's (D29).
    let body = |n: u32| json!({"alias": "same", "uuid": uuid(n), "capacity": 1});
    assert_eq!(client.post("/b/volumes", body(1)).await["status"], "AlreadyExists");
    assert_eq!(client.post("/b/volumes", body(2)).await["status"], "Success");
    let body = json!({"alias": "s", "snapshotID": uuid(10), "volumeID": uuid(1)});
    assert_eq!(client.post("/a/snapshots", body).await["status"], "Success");
    client.host("h").await;

    let (volume, snapshot) = (uuid(1), uuid(10));
    let reads = [
        ("/volumes".to_owned(), 1),
        (format!("/volumes/{volume}"), 0),
        ("/volumes_by_alias/same".to_owned(), 1),
        (format!("/volume_extended/{volume}"), 0),
        ("/snapshots".to_owned(), 0),
        (format!("/snapshots/{snapshot}"), 0),
        (format!("/snapshots_by_vol/{volume}"), 0),
        ("/snapshots_by_alias/s".to_owned(), 0),
    ];
    for (path, of_b) in reads {
        let own = client.get(&format!("/a{path}")).await;
        assert_eq!(own.as_array().unwrap().len(), 1, "{path}");
        assert_eq!(own[0]["tenantId"], "a", "{path}");
        assert_eq!(client.get(&format!("/b{path}")).await.as_array().unwrap().len(), of_b, "{path}");
        for default in ["", "/0"] {
            assert_eq!(client.get(&format!("{default}{path}")).await, json!([]), "{default}{path}");
        }
    }
    let writes = [
        (Method::PATCH, format!("/volumes/{volume}"), json!({"newCapacity": 5}), "NotExists"),
        (Method::DELETE, format!("/volumes/{volume}"), json!({}), "NotExists"),
        (Method::DELETE, format!("/snapshots/{snapshot}"), json!({}), "NotExists"),
        (
            Method::POST,
            "/clone_volume".to_owned(),
            json!({"alias": "c", "sourceVolumeId": volume}),
            "NotExists",
        ),
        (Method::POST, "/snapshots".to_owned(), json!({"alias": "c", "volumeID": volume}), "NotExists"),
        (
            Method::POST,
            "/snapshot_volumes".to_owned(),
            json!({"alias": "c", "snapshotID": snapshot}),
            "NotExists",
        ),
        (
            Method::POST,
            "/snapshot_volume".to_owned(),
            json!({"alias": "c", "snapshotID": snapshot}),
            "NotExists",
        ),
        (Method::POST, "/publish".to_owned(), json!({"hostId": "h", "volId": volume}), "VolumeNotFound"),
        (Method::POST, "/unpublish".to_owned(), json!({"volId": volume}), "VolumeNotFound"),
    ];
    for (method, path, body, code) in writes {
        for prefix in ["/b", "", "/0"] {
            let answer = client.send(method.clone(), &format!("{prefix}{path}"), body.to_string()).await;
            assert_eq!(answer.body["status"], code, "{method} {prefix}{path}");
        }
        let nobody = client.send(method.clone(), &format!("/nobody{path}"), body.to_string()).await;
        assert_eq!(nobody.body["status"], "TenantNotFound", "{method} {path}");
    }
    let group = |tenant: &str| json!({"alias": "g", "volumes": [volume], "tenantId": tenant});
    for (tenant, status) in [("b", 404), ("0", 404), ("nobody", 404), ("a", 201)] {
        assert_eq!(client.status(Method::POST, "/basalt/v1/snapshot-groups", group(tenant)).await, status);
    }
    assert_eq!(client.post("/a/publish", json!({"hostId": "h", "volId": volume})).await["status"], "Success");
    assert_eq!(client.post("/a/unpublish", json!({"volId": volume})).await["status"], "Success");
}

#[tokio::test]
async fn tenants_outlive_a_restart() {
    let running = Running::start().await;
    tenant(&running.client(), "t", 2, 0, 0).await;
    running.client().post("/t/volumes", json!({"alias": "v", "capacity": 1})).await;
    let before = running.client().get("/tenants").await;
    let (dir, node) = running.stop().await;
    let running = Running::on(dir, node, |_| {}).await;
    assert_eq!(running.client().get("/tenants").await, before);
    assert_eq!(running.client().get("/t/volumes").await.as_array().unwrap().len(), 1);
}
