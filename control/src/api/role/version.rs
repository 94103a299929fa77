//! GET / and /v1 for programs: which versions there are, and what the API serves (role.md §4 Version).

use std::collections::BTreeMap;

use axum::{
    Extension,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::answer;
use crate::openapi::Document;

/// The answer to GET / for those who do not ask for HTML.
pub(crate) fn versions() -> Response {
    answer::json(StatusCode::OK, &json!({ "version": ["v1"] }))
}

/// By group: each path of this API with its methods.
#[utoipa::path(get, path = "/", tag = "Roles", summary = "What the role API serves", security(()),
    responses((status = 200, body = Object, description = "groups of paths, each with its methods")))]
pub(crate) async fn paths(Extension(document): Extension<Document>) -> Response {
    let groups = groups(document.text());
    answer::json(StatusCode::OK, &json!(groups)).into_response()
}

/// From the OpenAPI document, so that it lists what is served.
fn groups(document: &str) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut groups: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let is_role = |operation: &Value| operation["tags"][0] == "Roles";
        let methods = item.as_object().into_iter().flatten().filter(|(_, operation)| is_role(operation));
        let methods: Vec<String> = methods.map(|(method, _)| method.to_ascii_uppercase()).collect();
        let group = path.split('/').nth(2).filter(|group| !group.is_empty());
        if let (Some(group), false) = (group, methods.is_empty()) {
            groups.entry(group.to_owned()).or_default().insert(path.clone(), methods);
        }
    }
    groups
}
