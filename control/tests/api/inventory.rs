//! Info, backends, tenants, metrics, and our own status (provisioner §2, §3, §4.9).

use crate::common::{GIB, Running};
use hyper::Method;
use serde_json::json;

#[tokio::test]
async fn info() {
    let running = Running::start().await;
    let info = running.stranger().get("/info").await;
    assert_eq!((&info["version"], &info["authenticationMode"]), (&json!("1.1"), &json!("JWT")));
    let free = info["totalFreeSpace"].as_u64().unwrap();
    running.client().volume("a", 3).await;
    assert_eq!(running.stranger().get("/info").await["totalFreeSpace"], free - 3 * GIB);
    assert_eq!((info.get("status"), info.get("syslogsBackend")), (None, None));
}

#[tokio::test]
async fn every_field_of_a_backend() {
    let running = Running::with(|c| c.node_name = "node-a".to_owned()).await;
    let client = running.client();
    client
        .post("/volumes", json!({"alias": "a", "capacity": 2, "storageClass": {"desiredIOPSPerGB": 50, "desiredBWPerGB": 7}}))
        .await;
    let mut backend = client.get("/backends").await[0].take();
    let id = backend["persistentID"].as_str().unwrap().to_owned();
    assert!(id.starts_with("02:") && id.len() == 17, "{id}");
    let total = backend["totalCapacity"].as_u64().unwrap();
    assert!((60 * GIB..=64 * GIB).contains(&total), "{total}");
    for field in ["totalCapacity", "availableCapacity", "lastProbTime"] {
        assert!(backend[field].take().is_u64(), "{field}");
    }
    let port = backend["portals"][0]["port"].take();
    assert!(port.as_u64().is_some_and(|p| p > 0));
    let (iops, bw) = (1_000_000, 10 * GIB);
    let expected = json!({"persistentID": id, "mgmtIPs": ["127.0.0.1"], "mgmtPort": running.address().port(),
        "inUse": true, "state": "Available", "totalCapacity": null, "availableCapacity": null,
        "numVolumes": 1, "lastProbTime": null, "probeInterval": 5, "totalBW": bw, "availableBW": bw - 14,
        "totalIOPS": iops, "availableIOPS": iops - 100, "version": env!("CARGO_PKG_VERSION"),
        "numberOfSSDs": 1, "certified": false,
        "portals": [{"ip": "127.0.0.1", "port": null, "transport": "TCP_IP"}], "name": "node-a",
        "authenticationMode": "LOCAL"});
    assert_eq!(backend, expected);
    assert_eq!(client.get(&format!("/backends/{id}")).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn updating_a_backend() {
    let running = Running::start().await;
    let client = running.client();
    let id = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    let path = format!("/backends/{id}");
    let set =
        json!({"rack": "r", "zone": "z", "region": "g", "hostId": "h", "mgmtPort": 443, "inUse": false});
    assert_eq!(client.put(&path, set).await["status"], "Success");
    // What Cinder's entity sends when only one field is set.
    let nulls =
        json!({"rack": null, "zone": null, "region": "", "hostId": null, "mgmtPort": null, "inUse": true});
    assert_eq!(client.put(&path, nulls).await["status"], "Success");
    let backend = &client.get(&path).await[0];
    assert_eq!(
        (&backend["rack"], &backend["zone"], &backend["hostId"]),
        (&json!("r"), &json!("z"), &json!("h"))
    );
    assert_eq!((&backend["mgmtPort"], &backend["inUse"]), (&json!(443), &json!(true)));
    assert_eq!(backend.get("region"), None);
    for (path, body, code) in [
        ("/backends/02:ff:ff:ff:ff:ff", json!({}), "NotExists"),
        (path.as_str(), json!({"zone": "x".repeat(256)}), "InvalidLocationValue"),
        (path.as_str(), json!({"mgmtPort": 99_999}), "InvalidInput"),
        (path.as_str(), json!({"inUse": "yes"}), "InvalidInput"),
    ] {
        assert_eq!(client.put(path, body.clone()).await["status"], code, "{body}");
    }
}

#[tokio::test]
async fn the_default_tenant() {
    let running = Running::start().await;
    let client = running.client();
    client.volume("a", 2).await;
    client
        .post("/volumes", json!({"alias": "b", "capacity": 4, "provisioningType": "THIN", "storageClass": {"desiredIOPSPerGB": 3, "desiredBWPerGB": 5}}))
        .await;
    let backend = client.get("/backends").await[0].clone();
    let tenants = client.get("/tenants/").await;
    let expected = json!([{"tenantId": "0", "name": "default",
        "capacity": backend["totalCapacity"].as_u64().unwrap() / GIB, "totalIOPS": backend["totalIOPS"],
        "totalBW": backend["totalBW"], "consumedCapacity": 3, "consumedIOPS": 12, "consumedBW": 20}]);
    assert_eq!(tenants, expected);
}

#[tokio::test]
async fn metrics() {
    let running = Running::with(|c| c.node_name = "n1".to_owned()).await;
    let client = running.client();
    let id = client.volume("vol \"1\"", 2).await;
    client.host("h").await;
    client.publish(&id, "h").await;
    let nqn = client.get("/targets").await[0]["name"].as_str().unwrap().to_owned();
    let node = client.get("/backends").await[0]["persistentID"].as_str().unwrap().to_owned();
    let (_, kind, text) = client.raw(Method::GET, "/metrics", "").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let names = [
        "ks_vol_capacity_bytes",
        "ks_connected_volumes_state",
        "ks_connected_replica_state",
        "ks_node_free_capacity_bytes",
        "ks_node_used_capacity_bytes",
        "ks_node_free_iops",
        "ks_node_used_iops",
        "ks_node_free_bw_bytes_per_sec",
        "ks_node_used_bw_bytes_per_sec",
        "ks_node_state",
    ];
    for name in names {
        assert!(text.contains(&format!("# TYPE {name} gauge\n")), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        assert_eq!(text.lines().filter(|l| l.starts_with(&format!("{name}{{"))).count(), 1, "{name}");
    }
    let blank = |x: u8| format!(r#",repUUID{x}="",nodeID{x}="",nodeName{x}="""#);
    let expected = [
        format!(
            r#"ks_vol_capacity_bytes{{uuid="{id}",alias="vol \"1\"",numReplicas="1",tenantID="0",storageClassName="unknown",provisioningType="Thick",protocol="NVMeoF",repUUID1="",nodeID1="{node}",nodeName1="n1"{}{}{}}} 2147483648"#,
            blank(2),
            blank(3),
            blank(4)
        ),
        format!(
            r#"ks_connected_volumes_state{{uuid="{id}",alias="vol \"1\"",hostId="h",hostname="name-h",nqn="{nqn}",version="1"}} 0"#
        ),
        format!(
            r#"ks_connected_replica_state{{uuid="{id}",alias="vol \"1\"",repUUID="{id}",hostId="h",hostname="name-h",nqn="{nqn}"}} 0"#
        ),
        format!(r#"ks_node_used_capacity_bytes{{node="{node}",name="n1"}} 2147483648"#),
        format!(r#"ks_node_state{{node="{node}",name="n1",rack="null",zone="null",region="null"}} 1"#),
    ];
    for line in expected {
        assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
    }
}

#[tokio::test]
async fn status_says_what_to_do_next() {
    let running = Running::start().await;
    let client = running.client();
    let next =
        async || client.get("/basalt/v1/status").await["next"][0].as_str().unwrap_or_default().to_owned();
    assert!(next().await.contains("volume create"));
    let id = client.volume("a", 2).await;
    assert!(next().await.contains("host add"));
    client.host("h").await;
    assert!(next().await.contains("publish"));
    client.publish(&id, "h").await;
    assert!(next().await.contains("connect"));
    let status = client.get("/basalt/v1/status").await;
    assert_eq!((&status["volumes"]["total"], &status["volumes"]["published"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&status["hosts"][0]["volumes"], &status["hosts"][0]["connected"]),
        (&json!(1), &json!(false))
    );
    assert_eq!((&status["problems"], &status["node"]["available"]), (&json!([]), &json!(true)));
    let drive = &status["drives"][0];
    assert_eq!((&drive["state"], drive["capacityBytes"].as_u64() > Some(60 * GIB)), (&json!("online"), true));
}
