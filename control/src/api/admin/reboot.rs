//! GET reboot: this service starts again, the machine does not (admin.md §5.3).

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{admin::backup, app::SharedApp, events::Kind};

#[utoipa::path(get, path = "/reboot", tag = "Administration", summary = "Restart the service",
    responses((status = 202, body = Object, description = "it follows, after a backup of the metadata")))]
pub(crate) async fn reboot(State(app): State<SharedApp>) -> Response {
    if app.admin.restart.begin() {
        app.admin.audit.note("reboot.get", "/reboot");
        tokio::spawn(restart(app));
    }
    (StatusCode::ACCEPTED, Json(json!({ "Status": "202 Accepted" }))).into_response()
}

/// Without a backup there is no restart.
async fn restart(app: SharedApp) {
    match backup::make(&app, app.backups().join("before-restart.tar")).await {
        Ok(_) => {
            app.events.add(Kind::ServerRestarts, app.node_name(), "the server restarts on request").await;
            app.admin.restart.go();
        }
        Err(error) => {
            tracing::error!(%error, "the metadata could not be backed up, so the server does not restart");
            app.admin.backup.note(&format!("no restart: the metadata could not be backed up: {error}"));
            app.admin.restart.give_up();
        }
    }
}
