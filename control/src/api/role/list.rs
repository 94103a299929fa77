//! /v1/list: the names of a tenant's things, as a tree (role.md §4).

use std::collections::BTreeMap;

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    RoleError,
    answer::{done, nothing},
    call::Call,
    objects,
};
use crate::role::{Named, PolicyRecord, ResourceRecord, RoleRecord};

/// Of a tenant, and of a service in it.
const LISTS: [&str; 4] = ["role", "policy", "resource", "service"];

/// A name, and the names below it.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Self>);

#[utoipa::path(get, path = "/list/{*name}", tag = "Roles", summary = "Names of roles, policies or resources", security(("token" = [])),
    params(("expand" = Option<bool>, Query, description = "with the names below; false unless said otherwise")),
    responses((status = 200, body = Object, description = "sorted by name")))]
pub(crate) async fn show(call: Call) -> Result<Response, RoleError> {
    let expand = call.arguments.truth("expand", false)?;
    let tree = read(&call).await?;
    Ok(done(StatusCode::OK, json!({ "children": tree.view(expand) })))
}

#[utoipa::path(head, path = "/list/{*name}", tag = "Roles", summary = "Whether there is such a list", security(("token" = [])),
    responses((status = 204, description = "yes")))]
pub(crate) async fn check(call: Call) -> Result<Response, RoleError> {
    read(&call).await?;
    Ok(nothing())
}

async fn read(call: &Call) -> Result<Tree, RoleError> {
    let tenant = call.member().await?.tenant.name;
    let path = call.path.to_lowercase();
    let (kind, below) = path.split_once('/').unwrap_or((&path, ""));
    let paths = match kind {
        "role" => paths::<RoleRecord>(call, &tenant).await?,
        "policy" => paths::<PolicyRecord>(call, &tenant).await?,
        "resource" => {
            let mut paths = paths::<ResourceRecord>(call, &tenant).await?;
            paths.extend(objects::paths(&call.app, &tenant).await?);
            paths
        }
        // There are none here.
        "service" => Vec::new(),
        service if LISTS.contains(&below.split('/').next().unwrap_or_default()) => {
            return Err(RoleError::not_found(format!("there is no service {service:?}")));
        }
        _ => return Err(RoleError::bad(format!("{kind:?} is none of role, policy, resource, service"))),
    };
    let mut tree = Tree::default();
    for path in &paths {
        tree.add(path);
    }
    for part in below.split('/').filter(|part| !part.is_empty()) {
        let found = tree.0.remove(part);
        tree = found.ok_or_else(|| RoleError::not_found(format!("there is no {kind} {below:?}")))?;
    }
    Ok(tree)
}

async fn paths<T: Named>(call: &Call, tenant: &str) -> Result<Vec<String>, RoleError> {
    let records = call.app.state.list_under::<T>(&format!("{tenant}/")).await?;
    Ok(records.into_iter().map(|record| record.value.name().path.clone()).collect())
}

impl Tree {
    fn add(&mut self, path: &str) {
        path.split('/').fold(self, |tree, part| tree.0.entry(part.to_owned()).or_default());
    }

    fn view(&self, expand: bool) -> Vec<Value> {
        let child = |(name, below): (&String, &Self)| {
            let children = if expand { below.view(true) } else { Vec::new() };
            json!({ "name": name, "children": children })
        };
        self.0.iter().map(child).collect()
    }
}
