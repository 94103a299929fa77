//! The role API over HTTP (role.md §2 to §4): tokens, roles, hosts, policies, resources, lists.

use crate::common::{Client, Running};
use hyper::Method;
use serde_json::{Value, json};

const TENANT: &str = "default";

/// Status and body; of a success `result` is true, else false with a reason.
async fn call(client: &Client, method: Method, path: &str, body: Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let (status, kind, answer) = client.raw(method.clone(), path, text).await;
    let status = status.as_u16();
    if [Method::HEAD, Method::DELETE].contains(&method) {
        assert_eq!(answer, "", "{method} {path}");
        return (status, Value::Null);
    }
    assert_eq!(kind, "application/json; charset=utf-8", "{method} {path}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["result"], status < 300, "{method} {path}: {answer}");
    if status >= 400 {
        assert!(!answer["message"].as_str().unwrap().is_empty(), "{method} {path}");
    }
    (status, answer)
}

async fn ok(client: &Client, method: Method, path: &str, body: Value) -> Value {
    let (status, answer) = call(client, method.clone(), path, body).await;
    assert!(status < 300, "{method} {path}: {status} {answer}");
    answer
}

/// What each role API test begins with: an administrator's token in the default tenant.
pub(crate) async fn scoped(running: &Running) -> Client {
    let credentials = json!({"username": "admin", "password": running.admin_password()});
    let body = json!({"auth": {"tenantName": "Default", "passwordCredentials": credentials}});
    let answer = ok(&running.stranger(), Method::POST, "/v1/user/tokens", body).await;
    assert_eq!((&answer["scoped"], &answer["message"]), (&json!(true), &json!("succeed")));
    with(running, "U", &answer)
}

fn with(running: &Running, kind: &str, answer: &Value) -> Client {
    let token = answer["token"].as_str().unwrap();
    running.stranger().header("x-auth-token", &format!("{kind}={token}"))
}

fn yrn(kind: &str, path: &str) -> String {
    format!("yrn:yahoo:::{TENANT}:{kind}:{path}")
}

async fn role(client: &Client, path: &str) -> Value {
    ok(client, Method::GET, &format!("/v1/role/{path}?expand=false"), Value::Null).await["role"].clone()
}

#[tokio::test]
async fn user_tokens_from_passwords_tokens_and_bearers() {
    let running = Running::start().await;
    let (stranger, password) = (running.stranger(), running.admin_password());
    let tokens = "/v1/user/tokens";
    let credentials = json!({"username": "admin", "password": password});
    let body = json!({"auth": {"passwordCredentials": credentials}});
    let unscoped = ok(&stranger, Method::POST, tokens, body).await;
    assert_eq!(unscoped["scoped"], false);
    let holder = with(&running, "U", &unscoped);
    let shown = ok(&holder, Method::GET, tokens, Value::Null).await;
    assert_eq!((&shown["user"], &shown["scoped"]), (&json!("admin"), &json!(false)));
    assert_eq!(shown["tenants"][0]["name"], TENANT);
    let scoped = ok(&holder, Method::POST, tokens, json!({"auth": {"tenantName": TENANT}})).await;
    assert_eq!(scoped["scoped"], true);
    let bare = stranger.clone().header("x-auth-token", scoped["token"].as_str().unwrap());
    assert_eq!(call(&bare, Method::HEAD, tokens, Value::Null).await.0, 204);

    // What one real client sends: placeholders beside the real ones, and `user` in the URL.
    let broken = json!({"username": "<user name>", "password": "<pass phrase>"});
    let auth =
        json!({"user": "admin", "password": password, "tenantName": TENANT, "passwordCredentials": broken});
    assert_eq!(ok(&stranger, Method::POST, tokens, json!({"auth": auth})).await["scoped"], true);
    let put = format!("{tokens}?user=admin&password={password}&tenantname={TENANT}");
    assert_eq!(ok(&stranger, Method::PUT, &put, Value::Null).await["scoped"], true);

    // A login's bearer is one, too, and its tokens end with it.
    let login = stranger.login("admin", &password).await;
    let bearer = login.body["bearer_token"].as_str().unwrap();
    let by_bearer = stranger.clone().header("x-auth-token", &format!("U={bearer}"));
    let foreign = ok(&by_bearer, Method::POST, tokens, Value::Null).await;
    let foreign = with(&running, "U", &foreign);
    assert_eq!(call(&foreign, Method::HEAD, tokens, Value::Null).await.0, 204);
    let change = json!({"old_password": password, "new_password": "another one"});
    let other = running.admin().await;
    assert_eq!(other.status(Method::POST, "/v1/session/change-password", change).await, 200);
    for ended in [&foreign, &holder, &bare] {
        assert_eq!(call(ended, Method::HEAD, tokens, Value::Null).await.0, 401);
    }
    let wrong = json!({"auth": {"passwordCredentials": {"username": "admin", "password": "wrong"}}});
    assert_eq!(call(&stranger, Method::POST, tokens, wrong).await.0, 404);
    assert_eq!(call(&stranger, Method::POST, tokens, Value::Null).await.0, 400);
    assert_eq!(call(&stranger, Method::GET, tokens, Value::Null).await.0, 400);
    let elsewhere = json!({"auth": {"tenantName": "elsewhere"}});
    let holder = by_bearer_of(&running, "another one").await;
    assert_eq!(call(&holder, Method::POST, tokens, elsewhere).await.0, 404);
    assert_eq!(call(&holder, Method::GET, "/v1/role/r", Value::Null).await.0, 401, "not scoped");
}

async fn by_bearer_of(running: &Running, password: &str) -> Client {
    let login = running.stranger().login("admin", password).await;
    running.stranger().header("x-auth-token", login.body["bearer_token"].as_str().unwrap())
}

#[tokio::test]
async fn roles_with_their_hosts() {
    let running = Running::start().await;
    let user = scoped(&running).await;
    let policies = json!([yrn("policy", "p"), yrn("policy", "q")]);
    let body = json!({"role": {"name": "R1/Sub", "policies": policies, "alias": "yrn:yahoo:::other:role:x"}});
    ok(&user, Method::POST, "/v1/role", body).await;
    let shown = role(&user, &yrn("role", "r1/sub")).await;
    assert_eq!((&shown["policies"], &shown["aliases"]), (&policies, &json!(["yrn:yahoo:::other:role:x"])));
    assert_eq!(call(&user, Method::HEAD, "/v1/role/r1", Value::Null).await.0, 204, "parents are made");
    // Absent stays, empty goes; in URLs lists come in any notation.
    ok(&user, Method::PUT, "/v1/role?name=r1/sub&alias=", Value::Null).await;
    let shown = role(&user, "r1/sub").await;
    assert_eq!((&shown["policies"], &shown["aliases"]), (&policies, &json!([])));
    let python = format!("/v1/role?name=r1&policies=[%27{}%27]", yrn("policy", "top"));
    ok(&user, Method::PUT, &python, Value::Null).await;
    let expanded = ok(&user, Method::GET, "/v1/role/r1/sub", Value::Null).await;
    assert_eq!(
        expanded["role"]["policies"],
        json!([yrn("policy", "top"), yrn("policy", "p"), yrn("policy", "q")])
    );

    let hosts = json!({"host": [{"host": "10.0.0.2", "port": 0}, {"host": "10.0.0.10", "port": "8080", "cuk": "c"},
        {"host": "B.example", "extra": "openstack-auto-v1", "tag": "t"}, {"host": "a.example", "cuk": " c "}]});
    ok(&user, Method::POST, "/v1/role/r1", hosts).await;
    let expected = json!({"ips": ["10.0.0.10 8080 c", "10.0.0.2 * "],
        "hostnames": ["a.example * c", "b.example *  openstack-auto-v1 t"]});
    assert_eq!(role(&user, "r1").await["hosts"], expected);
    // Any port swallows the entry with one; `None` is what a client writes for nothing.
    ok(&user, Method::PUT, "/v1/role/r1?host=10.0.0.10&port=0&cuk=c&inboundip=None", Value::Null).await;
    let host = json!({"host": {"host": "10.0.0.3"}, "clear_hostname": true, "clear_ips": "<true/false>"});
    ok(&user, Method::POST, "/v1/role/r1", host).await;
    let expected = json!({"ips": ["10.0.0.10 * c", "10.0.0.2 * ", "10.0.0.3 * "], "hostnames": []});
    assert_eq!(role(&user, "r1").await["hosts"], expected);
    let gone = "/v1/role/r1?host=[%2210.0.0.2%22,%2210.0.0.3%22,%2210.9.9.9%22]";
    assert_eq!(call(&user, Method::DELETE, gone, Value::Null).await.0, 204);
    assert_eq!(role(&user, "r1").await["hosts"]["ips"], json!(["10.0.0.10 * c"]));

    let tree = ok(&user, Method::GET, "/v1/list/role?expand=True", Value::Null).await;
    assert_eq!(tree["children"], json!([{"name": "r1", "children": [{"name": "sub", "children": []}]}]));
    assert_eq!(call(&user, Method::DELETE, "/v1/role/r1", Value::Null).await.0, 204);
    assert_eq!(call(&user, Method::DELETE, "/v1/role/r1", Value::Null).await.0, 204, "again");
    assert_eq!(call(&user, Method::HEAD, "/v1/role/r1", Value::Null).await.0, 403);
    assert_eq!(call(&user, Method::HEAD, "/v1/role/r1/sub", Value::Null).await.0, 204);
    assert_eq!(role(&user, "r1").await["policies"], json!([]));
}

#[tokio::test]
async fn refusals_say_why_and_change_nothing() {
    let running = Running::start().await;
    let user = scoped(&running).await;
    ok(&user, Method::POST, "/v1/role", json!({"role": {"name": "r"}})).await;
    let before = role(&user, "r").await;
    let long = "x".repeat(256);
    for (method, path, body, status) in [
        (Method::POST, "/v1/role", json!({"role": {}}), 400),
        (Method::POST, "/v1/role", json!({"name": "x"}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": "token"}}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": "token/x"}}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": long}}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": "yrn:yahoo:::other:role:r"}}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": yrn("policy", "r")}}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": "r", "policies": ["p"]}}), 400),
        (
            Method::POST,
            "/v1/role",
            json!({"role": {"name": "r", "policies": ["yrn:yahoo:::o:policy:p"]}}),
            400,
        ),
        (Method::POST, "/v1/role", json!({"role": {"name": "r", "policies": {}}}), 400),
        (Method::POST, "/v1/role", json!({"role": {"name": "r", "alias": [yrn("policy", "p")]}}), 400),
        (Method::POST, "/v1/role/r", json!({}), 400),
        (Method::POST, "/v1/role/r", json!({"host": "h"}), 400),
        (Method::POST, "/v1/role/r", json!({"host": [{"port": 1}]}), 400),
        (Method::POST, "/v1/role/r", json!({"host": {"host": "h", "port": 70000}}), 400),
        (Method::POST, "/v1/role/r", json!({"host": {"host": "h", "inboundip": "h"}}), 400),
        (Method::POST, "/v1/role/r", json!({"host": {"host": "a b"}}), 400),
        (Method::PUT, "/v1/role/r?host=h&extra=[1]", Value::Null, 400),
        (Method::GET, "/v1/role/r?expand=yes", Value::Null, 400),
        (Method::GET, "/v1/role/token/none", Value::Null, 404),
        (Method::GET, "/v1/role/token/list/none", Value::Null, 404),
        (Method::GET, "/v1/policy/none", Value::Null, 400),
        (Method::GET, "/v1/resource/none", Value::Null, 404),
        (Method::GET, "/v1/list/none", Value::Null, 400),
        (Method::GET, "/v1/list/none/role", Value::Null, 404),
        (Method::GET, "/v1/list/role/none", Value::Null, 404),
        (Method::POST, "/v1/policy", json!({"policy": {"name": "p", "effect": "maybe"}}), 400),
        (Method::POST, "/v1/policy", json!({"policy": {"name": "a/b"}}), 400),
        (Method::POST, "/v1/policy", json!({"policy": {"name": "p", "action": ["own"]}}), 400),
        (Method::POST, "/v1/resource", json!({"resource": {"name": "volume/x"}}), 400),
        (Method::POST, "/v1/resource", json!({"resource": {"name": "x", "type": "text"}}), 400),
        (Method::GET, "/v1/none", Value::Null, 404),
        (Method::PATCH, "/v1/role", json!({}), 405),
        (Method::DELETE, "/v1/role/token/none", Value::Null, 403),
    ] {
        let (found, answer) = call(&user, method.clone(), path, body.clone()).await;
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
    }
    let (status, ..) = user.raw(Method::POST, "/v1/role", "{").await;
    assert_eq!(status, 400, "no JSON");
    assert_eq!(role(&user, "r").await, before);
    let tree = ok(&user, Method::GET, "/v1/list/role", Value::Null).await;
    assert_eq!(tree["children"], json!([{"name": "r", "children": []}]));
}

#[tokio::test]
async fn a_host_registers_itself_with_a_role_token() {
    let running = Running::start().await;
    let user = scoped(&running).await;
    let stranger = running.stranger();
    let full = yrn("role", "r1");
    let path = format!("/v1/role/{full}");
    ok(&user, Method::POST, "/v1/role", json!({"role": {"name": "r1"}})).await;
    let made = ok(&user, Method::GET, "/v1/role/token/r1?expire=0", Value::Null).await;
    let holder = with(&running, "R", &made);
    assert_eq!(call(&stranger, Method::HEAD, &path, Value::Null).await.0, 403, "not yet a member");
    ok(&holder, Method::PUT, &format!("{path}?cuk=c1&extra=None"), Value::Null).await;
    assert_eq!(role(&user, "r1").await["hosts"]["ips"], json!(["127.0.0.1 * c1"]));
    for (method, path, status) in [
        (Method::HEAD, path.clone(), 204),
        (Method::HEAD, format!("/v1/role/{}", yrn("role", "other")), 403),
        (Method::PUT, format!("/v1/role/{}", yrn("role", "other")), 400),
        (Method::PUT, format!("{path}?host=10.0.0.9"), 400),
        (Method::GET, path.clone(), 400),
        (Method::GET, format!("/v1/role/token/{full}"), 400),
    ] {
        let found = call(&holder, method.clone(), &path, Value::Null).await.0;
        let expected = if method == Method::HEAD && status == 403 { 403 } else { status };
        assert_eq!(found, expected, "{method} {path}");
    }

    // The member asks for itself, without any token, and from one address only.
    assert_eq!(call(&stranger, Method::HEAD, &format!("{path}?cuk=other"), Value::Null).await.0, 403);
    assert_eq!(call(&stranger, Method::HEAD, &path, Value::Null).await.0, 204);
    let own = ok(&stranger, Method::GET, &format!("/v1/role/token/{full}?cuk=c1"), Value::Null).await;
    let member = with(&running, "R", &own);
    let elsewhere = with(&running, "R", &own).header("x-forwarded-for", "10.0.0.7");
    assert_eq!(call(&elsewhere, Method::HEAD, &path, Value::Null).await.0, 401);
    assert_eq!(call(&elsewhere, Method::GET, &format!("/v1/role/token/{full}"), Value::Null).await.0, 400);
    let renewed = ok(&member, Method::GET, &format!("/v1/role/token/{full}"), Value::Null).await;
    assert_eq!(call(&member, Method::HEAD, &path, Value::Null).await.0, 401, "the old one is gone");

    let list = "/v1/role/token/list/r1";
    let tokens = ok(&user, Method::GET, list, Value::Null).await["tokens"].clone();
    let text = |answer: &Value| answer["token"].as_str().unwrap().to_owned();
    let (by_user, by_host) = (&tokens[text(&made)], &tokens[text(&renewed)]);
    assert_eq!((&by_user["user"], &by_user["ip"]), (&json!("admin"), &Value::Null));
    assert_eq!(
        (&by_host["user"], &by_host["ip"], &by_host["cuk"]),
        (&Value::Null, &json!("127.0.0.1"), &json!("c1"))
    );
    let short = ok(&user, Method::GET, &format!("{list}?expand=false"), Value::Null).await;
    assert_eq!(short["tokens"].as_array().unwrap().len(), 2);

    // A token gives itself up; users delete any of their tenant.
    assert_eq!(call(&with(&running, "R", &renewed), Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(call(&with(&running, "R", &renewed), Method::HEAD, &path, Value::Null).await.0, 401);
    assert_eq!(call(&stranger, Method::DELETE, &path, Value::Null).await.0, 204, "the host leaves");
    assert_eq!(call(&stranger, Method::DELETE, &path, Value::Null).await.0, 403);
    let gone = format!("/v1/role/token/{}", text(&made));
    assert_eq!(call(&user, Method::DELETE, &gone, Value::Null).await.0, 204);
    assert_eq!(call(&holder, Method::HEAD, &path, Value::Null).await.0, 401);
    let store = std::fs::read(running.dir.path().join("control.redb")).unwrap();
    let kept = |text: String| store.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(!kept(text(&made)) && !kept(text(&renewed)), "texts are sealed");
}

#[tokio::test]
async fn policies_judge_and_resources_are_read_through_them() {
    let running = Running::start().await;
    let user = scoped(&running).await;
    let stranger = running.stranger();
    let read = "yrn:yahoo::::action:read";
    let resource = json!({"resource": {"name": "x", "type": "string", "data": "text", "keys": {"k": "v"}}});
    ok(&user, Method::POST, "/v1/resource", resource).await;
    ok(&user, Method::PUT, "/v1/resource?name=x&keys={%27k%27:%20%27w%27}&service=None", Value::Null).await;
    let shown = ok(&user, Method::GET, "/v1/resource/x", Value::Null).await;
    assert_eq!(shown["resource"], json!({"string": "text", "object": null, "keys": {"k": "w"}}));
    let policy =
        json!({"name": "p", "effect": "allow", "action": [read], "resource": [yrn("resource", "x")]});
    ok(&user, Method::POST, "/v1/policy", json!({"policy": policy})).await;
    let shown = ok(&user, Method::GET, "/v1/policy/p", Value::Null).await["policy"].clone();
    assert_eq!(
        (&shown["effect"], &shown["action"], &shown["reference"]),
        (&json!("allow"), &json!([read]), &json!(0))
    );
    let check = |query: &str| format!("/v1/policy/p?{query}");
    for (query, status) in [
        ("tenant=default&resource=x&action=read", 204),
        ("tenant=default&resource=x&action=write", 403),
        ("tenant=default&resource=y&action=read", 403),
        ("resource=x&action=read", 400),
        ("tenant=default&action=read", 400),
    ] {
        assert_eq!(call(&stranger, Method::HEAD, &check(query), Value::Null).await.0, status, "{query}");
    }

    ok(&user, Method::POST, "/v1/role", json!({"role": {"name": "r", "policies": [yrn("policy", "p")]}}))
        .await;
    assert_eq!(call(&user, Method::DELETE, "/v1/policy/p", Value::Null).await.0, 403, "a role refers to it");
    let token = ok(&user, Method::GET, "/v1/role/token/r", Value::Null).await;
    let holder = with(&running, "R", &token);
    let part = |query: &str| format!("/v1/resource/{}?{query}", yrn("resource", "x"));
    assert_eq!(ok(&holder, Method::GET, &part(""), Value::Null).await["resource"], "text");
    let key = part("type=keys&keyname=k");
    assert_eq!(ok(&holder, Method::GET, &key, Value::Null).await["resource"], "w");
    let write = json!({"resource": {"data": "other"}});
    assert_eq!(call(&holder, Method::POST, "/v1/resource/x", write).await.0, 403);
    let as_member = part(&format!("role={}", yrn("role", "r")));
    assert_eq!(call(&stranger, Method::GET, &as_member, Value::Null).await.0, 403);
    ok(&user, Method::PUT, "/v1/role/r?host=127.0.0.1", Value::Null).await;
    assert_eq!(ok(&stranger, Method::GET, &as_member, Value::Null).await["resource"], "text");
    assert_eq!(call(&stranger, Method::HEAD, &as_member, Value::Null).await.0, 204);

    let pool = ok(&user, Method::GET, "/v1/resource/pool/default", Value::Null).await["resource"].clone();
    assert!(pool["keys"]["capacity"].as_u64() >= pool["keys"]["available"].as_u64(), "{pool}");
    assert!(pool["keys"]["available"].as_u64() > Some(0), "{pool}");
    assert_eq!(call(&user, Method::GET, "/v1/resource/pool/other", Value::Null).await.0, 404);
    assert_eq!(call(&user, Method::DELETE, "/v1/resource/pool/default", Value::Null).await.0, 400);

    assert_eq!(call(&user, Method::DELETE, "/v1/resource/x?type=string", Value::Null).await.0, 204);
    assert_eq!(
        ok(&user, Method::GET, "/v1/resource/x", Value::Null).await["resource"]["string"],
        Value::Null
    );
    assert_eq!(call(&user, Method::DELETE, "/v1/resource/x", Value::Null).await.0, 204);
    assert_eq!(call(&user, Method::GET, "/v1/resource/x", Value::Null).await.0, 404);
    assert_eq!(call(&user, Method::DELETE, "/v1/role/r", Value::Null).await.0, 204);
    assert_eq!(
        call(&holder, Method::HEAD, "/v1/role/r", Value::Null).await.0,
        401,
        "tokens go with their role"
    );
    assert_eq!(call(&user, Method::DELETE, "/v1/policy/p", Value::Null).await.0, 204);
}

#[tokio::test]
async fn versions_reasons_scripts_and_other_origins() {
    let running = Running::start().await;
    let stranger = running.stranger();
    assert_eq!(body(&stranger, "/").await, json!({"version": ["v1"]}));
    let paths = body(&stranger, "/v1").await;
    assert_eq!(paths["role"]["/v1/role"], json!(["DELETE", "POST", "PUT"]));
    assert!(paths["user"]["/v1/user/tokens"].as_array().unwrap().contains(&json!("HEAD")), "{paths}");

    let user = scoped(&running).await;
    ok(&user, Method::POST, "/v1/role", json!({"role": {"name": "r"}})).await;
    let token = ok(&user, Method::GET, "/v1/role/token/r", Value::Null).await;
    let path = format!("/v1/userdata/{}", token["registerpath"].as_str().unwrap());
    let agent = stranger.clone().header("user-agent", "Cloud-Init 0.7.9");
    let (status, kind, script) = agent.raw(Method::GET, &path, "").await;
    assert_eq!(status, 200);
    assert!(kind.starts_with("multipart/mixed; boundary="), "{kind}");
    assert!(
        script.contains(token["token"].as_str().unwrap())
            && script.contains("/v1/role/yrn:yahoo:::default:role:r")
    );
    let (status, _, script) = agent.raw(Method::GET, "/v1/userdata/none", "").await;
    assert!(status == 200 && script.contains("exit 1"));
    assert_eq!(stranger.raw(Method::GET, &path, "").await.0, 400);
}

#[tokio::test]
async fn tenants_and_who_may_act_in_them() {
    let running = Running::start().await;
    let admin = running.admin().await;
    let member = json!({"name": "alice", "primary_group": "513", "password": "passw0rd!"});
    admin.post("/v1/users/", member).await;
    let user = scoped(&running).await;
    let made = json!({"tenant": {"name": "Demo", "desc": "d", "users": ["alice"]}});
    ok(&user, Method::POST, "/v1/tenant", made.clone()).await;
    assert_eq!(call(&user, Method::POST, "/v1/tenant", made).await.0, 400, "it exists");
    let tenant = ok(&user, Method::GET, "/v1/tenant/local@demo", Value::Null).await["tenant"].clone();
    assert_eq!((&tenant["users"], &tenant["desc"]), (&json!(["admin", "alice"]), &json!("d")));
    let id = tenant["id"].as_str().unwrap();
    let storage = admin.get("/tenants").await;
    let storage = storage.as_array().unwrap().iter().find(|t| t["tenantId"] == id).unwrap();
    assert_eq!((&storage["name"], &storage["capacity"]), (&json!("local@demo"), &json!(0)));

    // A user of the tenant sees and changes what is under its prefix, and nothing else.
    let login = running.stranger().login("alice", "passw0rd!").await;
    let bearer = login.body["bearer_token"].as_str().unwrap();
    let alice = running.stranger().bearer(bearer).header("x-auth-token", bearer);
    assert_eq!(alice.get(&format!("/{id}/volumes")).await, json!([]));
    let volume = json!({"alias": "v", "capacity": 1});
    let refused = alice.post(&format!("/{id}/volumes"), volume.clone()).await;
    assert_eq!(refused["status"], "TenantCapacityExceeded");
    for path in ["/volumes", "/0/volumes", "/tenants", "/hosts"] {
        assert_eq!(alice.status(Method::GET, path, Value::Null).await, 403, "{path}");
    }
    assert_eq!(alice.status(Method::POST, "/volumes", volume).await, 403);
    let listed = ok(&alice, Method::GET, "/v1/tenant?expand=False", Value::Null).await;
    assert_eq!(listed["tenants"], json!(["local@demo"]));
    let scope = |name: &str| json!({"auth": {"tenantName": name}});
    assert_eq!(call(&alice, Method::POST, "/v1/user/tokens", scope("default")).await.0, 404);
    let token = ok(&alice, Method::POST, "/v1/user/tokens", scope("local@demo")).await;
    let inside = with(&running, "U", &token);
    ok(&inside, Method::POST, "/v1/role", json!({"role": {"name": "r"}})).await;
    assert_eq!(call(&inside, Method::GET, "/v1/role/yrn:yahoo:::default:role:r", Value::Null).await.0, 400);
    let role = "/v1/role/yrn:yahoo:::local@demo:role:r";
    assert_eq!(call(&inside, Method::HEAD, role, Value::Null).await.0, 204);

    // Whoever is no user of it any more is out at once; what the tenant had goes with it.
    let path = "/v1/tenant/local@demo";
    assert_eq!(call(&inside, Method::POST, path, json!({"tenant": {"id": id, "users": []}})).await.0, 403);
    assert_eq!(call(&user, Method::POST, path, json!({"tenant": {"id": "x", "users": []}})).await.0, 400);
    assert_eq!(
        call(&user, Method::POST, path, json!({"tenant": {"id": id, "users": ["nobody"]}})).await.0,
        400
    );
    assert_eq!(call(&user, Method::POST, path, json!({"tenant": {"id": id, "users": []}})).await.0, 200);
    assert_eq!(call(&inside, Method::HEAD, role, Value::Null).await.0, 401);
    assert_eq!(alice.status(Method::GET, &format!("/{id}/volumes"), Value::Null).await, 403);
    assert_eq!(call(&user, Method::DELETE, "/v1/tenant?tenant=default&id=0", Value::Null).await.0, 403);
    assert_eq!(call(&user, Method::DELETE, &format!("{path}?id={id}"), Value::Null).await.0, 204);
    assert_eq!(call(&user, Method::HEAD, path, Value::Null).await.0, 400);
    ok(&user, Method::PUT, "/v1/tenant?name=demo", Value::Null).await;
    let again = ok(&user, Method::POST, "/v1/user/tokens", scope("local@demo")).await;
    let tree = ok(&with(&running, "U", &again), Method::GET, "/v1/list/role", Value::Null).await;
    assert_eq!(tree["children"], json!([]));
}

#[tokio::test]
async fn a_host_that_is_taken_out_does_not_bring_itself_back() {
    let running = Running::start().await;
    let (user, stranger) = (scoped(&running).await, running.stranger());
    let path = format!("/v1/role/{}", yrn("role", "r"));
    ok(&user, Method::PUT, "/v1/role/r?host=127.0.0.1&cuk=c", Value::Null).await;
    let path_of_token = format!("/v1/role/token/{}", yrn("role", "r"));
    let own = ok(&stranger, Method::GET, &path_of_token, Value::Null).await;
    let member = with(&running, "R", &own);
    assert_eq!(call(&member, Method::HEAD, &path, Value::Null).await.0, 204);
    ok(&user, Method::DELETE, "/v1/role/r?host=127.0.0.1", Value::Null).await;
    for (method, path) in [
        (Method::HEAD, path.as_str()),
        (Method::PUT, &path),
        (Method::GET, &path_of_token),
        (Method::GET, "/v1/resource/x"),
        (Method::DELETE, &path),
    ] {
        assert_eq!(call(&member, method.clone(), path, Value::Null).await.0, 403, "{method} {path}");
    }
    assert_eq!(role(&user, "r").await["hosts"]["ips"], json!([]));
}

#[tokio::test]
async fn a_dead_machine_leaves_every_role_at_once() {
    let running = Running::start().await;
    let (user, stranger) = (scoped(&running).await, running.stranger());
    let hosts = json!({"host": [{"host": "10.0.0.1", "cuk": "dead"}, {"host": "10.0.0.2", "cuk": "dead"},
        {"host": "10.0.0.3", "cuk": "alive"}, {"host": "dead.example", "cuk": "dead"},
        {"host": "127.0.0.1", "cuk": "pod", "extra": "k8s-auto-v1"}, {"host": "10.0.0.4", "cuk": "pod", "extra": "k8s-auto-v1"}]});
    for name in ["a", "b"] {
        ok(&user, Method::POST, &format!("/v1/role/{name}"), hosts.clone()).await;
    }
    let before = role(&user, "a").await;
    for refused in ["/v1/role", "/v1/role?cuk=None", "/v1/role?cuk=dead&extra=openstack-auto-v1"] {
        assert_eq!(call(&stranger, Method::DELETE, refused, Value::Null).await.0, 400, "{refused}");
    }
    assert_eq!(role(&user, "a").await, before);
    // A node takes out what its cluster registered for it, and nothing else.
    assert_eq!(call(&stranger, Method::DELETE, "/v1/role?cuk=pod", Value::Null).await.0, 204);
    let ips = json!(["10.0.0.1 * dead", "10.0.0.2 * dead", "10.0.0.3 * alive", "10.0.0.4 * pod k8s-auto-v1"]);
    assert_eq!(role(&user, "a").await["hosts"]["ips"], ips);

    let tenant = json!({"name": "k2hr3admin", "capacity": 1, "totalIOPS": 0, "totalBW": 0});
    assert_eq!(running.client().post("/tenants", tenant).await["status"], "Success");
    let scope = json!({"auth": {"tenantName": "k2hr3admin"}});
    let inside = with(&running, "U", &ok(&user, Method::POST, "/v1/user/tokens", scope).await);
    ok(&inside, Method::PUT, "/v1/role/delhostrole?host=127.0.0.1", Value::Null).await;
    let one = "/v1/role?cuk=dead&host=10.0.0.2&extra=openstack-auto-v1";
    assert_eq!(call(&stranger, Method::DELETE, one, Value::Null).await.0, 204);
    let ips = json!(["10.0.0.1 * dead", "10.0.0.3 * alive", "10.0.0.4 * pod k8s-auto-v1"]);
    assert_eq!(role(&user, "b").await["hosts"]["ips"], ips);
    assert_eq!(call(&stranger, Method::DELETE, "/v1/role?cuk=dead", Value::Null).await.0, 204);
    for name in ["a", "b"] {
        let hosts = role(&user, name).await["hosts"].clone();
        let ips = json!(["10.0.0.3 * alive", "10.0.0.4 * pod k8s-auto-v1"]);
        assert_eq!((&hosts["ips"], &hosts["hostnames"]), (&ips, &json!(["dead.example * dead"])));
    }
}

async fn body(client: &Client, path: &str) -> Value {
    serde_json::from_str(&client.raw(Method::GET, path, "").await.2).unwrap()
}
