//! Tenants, and what takes from their budgets.

use super::*;

fn tenant() -> Call {
    let body = json!({"name": "tenant", "tenantId": "t", "capacity": 10, "totalIOPS": 9000, "totalBW": 0});
    post("/tenants", &body)
}

fn delete_tenant() -> Call {
    delete("/tenants/t")
}

fn cases() -> Vec<Case> {
    let volume = json!({"alias": "v1", "uuid": id(1), "capacity": 2});
    let delete_volume = || delete(format!("/t/volumes/{}", id(1)));
    vec![
        Case {
            name: "tenant",
            before: vec![],
            call: tenant(),
            again: Some("TenantAlreadyExists"),
            after: vec![delete_tenant()],
            way: Way::Forward,
        },
        Case {
            name: "tenant's budget",
            before: vec![tenant()],
            call: put("/tenants/t", &json!({"capacity": 20, "totalIOPS": 9000, "totalBW": 0})),
            again: Some("Success"),
            after: vec![delete_tenant()],
            way: Way::Forward,
        },
        Case {
            name: "deletion of a tenant",
            before: vec![tenant()],
            call: delete_tenant(),
            again: Some("TenantNotFound"),
            after: vec![],
            way: Way::Forward,
        },
        Case {
            name: "tenant's volume",
            before: vec![tenant()],
            call: post("/t/volumes", &volume),
            again: Some("AlreadyExists"),
            after: vec![delete_volume(), delete_tenant()],
            way: Way::Back,
        },
        Case {
            name: "larger volume of a tenant",
            before: vec![tenant(), post("/t/volumes", &volume)],
            call: patch(format!("/t/volumes/{}", id(1)), &json!({"newCapacity": 10})),
            again: Some("InvalidSize"),
            after: vec![delete_volume(), delete_tenant()],
            way: Way::Forward,
        },
    ]
}

#[test]
fn tenants() {
    kill(&Site::of(1), cases());
}
