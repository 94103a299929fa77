//! The OpenAPI document says what the server does.

use crate::common::{Client, Running};
use hyper::Method;
use serde_json::{Value, json};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Every path with nothing behind its variables; not of the administration API, which has a credential of its own.
fn paths(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let paths = paths.filter(|(path, _)| !path.starts_with("/api/v1/admin/"));
    paths.map(|(path, item)| (path.replace("{tenant}", "0").replace(['{', '}'], ""), item)).collect()
}

fn operation<'a>(item: &'a Value, method: &Method) -> &'a Value {
    &item[method.as_str().to_ascii_lowercase()]
}

#[tokio::test]
async fn every_method_is_served_or_not_as_described() {
    let running = Running::start().await;
    let client = running.admin().await;
    let document = running.stranger().get("/openapi.json").await;
    for (path, item) in paths(&document) {
        for method in METHODS {
            let (status, ..) = client.raw(method.clone(), &path, "").await;
            match operation(item, &method) {
                // Of what comes with the cluster: not there yet.
                Value::Null => assert!([404, 405].contains(&status.as_u16()), "{method} {path}: {status}"),
                _ => assert_ne!(status, 405, "{method} {path}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_said_to_be_open_is_and_nothing_else() {
    let running = Running::start().await;
    let document = running.stranger().get("/openapi.json").await;
    let stranger: Client = running.stranger();
    let mut open = 0;
    for (path, item) in paths(&document) {
        // The role API has tokens of its own, and finds paths before it judges them.
        if item.as_object().unwrap().values().any(|operation| operation["tags"][0] == "Roles") {
            continue;
        }
        for method in METHODS {
            let operation = operation(item, &method);
            let is_open = operation["security"] == json!([{}]);
            let (status, ..) = stranger.raw(method.clone(), &path, "").await;
            assert_eq!(status == 401, !is_open, "{method} {path}: {status}");
            open += usize::from(is_open);
        }
    }
    assert!(open >= 5, "{open}");
}

#[tokio::test]
async fn answers_have_the_fields_that_the_document_names() {
    let running = Running::start().await;
    let client = running.client();
    client.volume("a", 1).await;
    client.host("h").await;
    let document = running.stranger().get("/openapi.json").await;
    let schemas = &document["components"]["schemas"];
    for (path, schema) in [
        ("/volumes", "VolumeView"),
        ("/backends", "BackendView"),
        ("/hosts", "HostView"),
        ("/tenants", "TenantView"),
        ("/basalt/v1/drives", "DriveView"),
        ("/basalt/v1/events", "Event"),
    ] {
        let answer = client.get(path).await;
        let described = schemas[schema]["properties"].as_object().unwrap();
        for field in answer[0].as_object().unwrap().keys() {
            assert!(described.contains_key(field), "{path}: {field} is not in {schema}");
        }
        for field in schemas[schema]["required"].as_array().unwrap() {
            assert!(!answer[0][field.as_str().unwrap()].is_null(), "{path}: {field}");
        }
    }
}
