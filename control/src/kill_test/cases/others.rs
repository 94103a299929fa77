//! Nodes, tokens, the licence and the inventory.

use super::*;

/// Of a node that nobody directs.
fn probe() -> Value {
    json!({
        "persistentID": "02:00:5e:00:53:07", "mgmtIPs": ["192.0.2.7"], "mgmtPort": 443, "totalCapacity": 9,
        "availableCapacity": 4, "totalIOPS": 9, "usedIOPS": 3, "totalBW": 9, "usedBW": 1, "version": "1",
        "targetDriverVersion": "", "numberOfSSDs": 4, "Certified": true, "changes": 0, "authenticationMode": "LOCAL",
        "provisioner": {"inUse": true, "url": "https://192.0.2.1:30100", "pushInterval": 60, "tags": []},
    })
}

fn cases(site: &Site) -> Vec<Case> {
    let second = "/backends/02:00:00:00:00:01";
    let add =
        || post("/backends", &json!({"mgmtIPs": ["127.0.0.1"], "mgmtPort": site.ports[1], "rack": "r1"}));
    let install = |claims: &Value| post("/license", &json!({"license": site.license(claims)}));
    let token = || post("/basalt/v1/tokens", &json!({"role": "metrics", "name": "scraper"}));
    let revoke = || delete("/basalt/v1/tokens/*").named("/basalt/v1/tokens", "/0/id");
    vec![
        Case {
            name: "backend's place",
            before: vec![],
            call: put(second, &json!({"zone": "z", "inUse": false})),
            again: Some("Success"),
            after: vec![put(second, &json!({"zone": "", "inUse": true}))],
            way: Way::Forward,
        },
        Case {
            name: "backend's removal",
            before: vec![],
            call: delete(second),
            again: Some("NotExists"),
            after: vec![add()],
            way: Way::Forward,
        },
        Case {
            name: "backend",
            before: vec![delete(second)],
            call: add(),
            again: Some("AlreadyExists"),
            after: vec![],
            way: Way::Forward,
        },
        Case {
            name: "backend of another make",
            before: vec![],
            call: post("/probe", &probe()),
            again: Some("Success"),
            after: vec![delete("/backends/02:00:5e:00:53:07")],
            way: Way::Forward,
        },
        Case {
            name: "token",
            before: vec![],
            call: token(),
            again: None,
            after: vec![revoke()],
            way: Way::Forward,
        },
        Case {
            name: "token's end",
            before: vec![token()],
            call: revoke(),
            again: Some("not_found"),
            after: vec![],
            way: Way::Forward,
        },
        Case {
            name: "licence",
            before: vec![install(&json!({"type": "POC"})), forget_task()],
            call: install(&json!({"type": "PRODUCTION", "maxBackends": 3})),
            again: None,
            after: vec![forget_task(), install(&json!({"type": "POC"})), forget_task()],
            way: Way::Forward,
        },
    ]
}

#[test]
fn others() {
    let site = Site::of(2);
    kill(&site, cases(&site));
}
