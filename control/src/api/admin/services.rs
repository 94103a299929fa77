//! GET services: what runs, by what it last told of itself (admin.md §5.4).

use axum::{Json, extract::State, response::Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::answer::uncached;
use crate::{
    admin::settings::AdminSettings,
    app::{App, SharedApp},
    limits,
};

#[utoipa::path(get, path = "/services", tag = "Administration", summary = "What runs here",
    responses((status = 200, body = Object, description = "a list of objects of one key: `running` or `not running`")))]
pub(crate) async fn services(State(app): State<SharedApp>) -> Response {
    // It answers, so it runs.
    let mut found = vec![("control-plane".to_owned(), true), ("provisioner".to_owned(), true)];
    let store = timeout(limits::NODE_ANSWER, app.state.get::<AdminSettings>(AdminSettings::KEY)).await;
    found.push(("metadata-store".to_owned(), matches!(store, Ok(Ok(_)))));
    found.push(("data-plane".to_owned(), app.is_node_alive()));
    found.push(("metadata-backup-store".to_owned(), is_backup_store_there(&app).await));
    found.extend(listeners(&app));
    found.extend(app.admin.heartbeats.parts());
    let services: Vec<Value> = found.into_iter().map(|(name, runs)| service(&name, runs)).collect();
    uncached(Json(json!({ "services": services })))
}

/// A server that is away makes looking for its files slow.
async fn is_backup_store_there(app: &SharedApp) -> bool {
    let this = SharedApp::clone(app);
    let look = tokio::task::spawn_blocking(move || this.backup_store.is_there());
    matches!(timeout(limits::NODE_ANSWER, look).await, Ok(Ok(true)))
}

fn service(name: &str, runs: bool) -> Value {
    json!({ name: if runs { "running" } else { "not running" } })
}

/// Of the API: whoever reads this came through one of them. Of hosts: they end with the data plane.
fn listeners(app: &App) -> Vec<(String, bool)> {
    let alive = app.is_node_alive();
    let api = app.listeners.iter().map(|address| (format!("api:{address}"), true));
    let portals = app.portals.iter().map(|address| (format!("nvme-tcp:{address}"), alive));
    api.chain(portals).collect()
}
