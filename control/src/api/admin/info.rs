//! What this server is and has: version, changelog, build, health, endpoints (admin.md §5.5, §5.6, §3).

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{AdminError, ENDPOINTS, PREFIX, answer::uncached};
use crate::{admin::health::Health, app::SharedApp};

#[utoipa::path(get, path = "/version", tag = "Administration", summary = "The installed version",
    responses((status = 200, body = Object, description = "done")))]
pub(crate) async fn version(State(app): State<SharedApp>) -> Response {
    Json(json!({ "version": app.release().version })).into_response()
}

#[utoipa::path(get, path = "/changelog", tag = "Administration", summary = "What changed",
    responses((status = 200, body = String, content_type = "text/plain", description = "done")))]
pub(crate) async fn changelog(State(app): State<SharedApp>) -> Response {
    let text = app.release().changelog;
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[utoipa::path(get, path = "/build", tag = "Administration", summary = "What it was built from",
    responses((status = 200, body = Object, description = "`builddate`: Unix seconds, as text; `running_version` where an update waits for a restart")))]
pub(crate) async fn build(State(app): State<SharedApp>) -> Response {
    let (release, running) = (app.release(), &app.admin.releases.running_version);
    let mut build = release.build;
    if *running != release.version {
        build["running_version"] = json!(running);
    }
    Json(build).into_response()
}

#[utoipa::path(get, path = "/health", tag = "Administration", summary = "How full this machine is",
    responses((status = 200, body = Health, description = "done")))]
pub(crate) async fn health(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let (data_dir, clock) = (app.config.data_dir.clone(), app.admin.clock.last());
    let read = tokio::task::spawn_blocking(move || Health::read(&data_dir, clock)).await;
    match read {
        Ok(Ok(health)) => Ok(uncached(Json(health))),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the machine's health cannot be read");
            Err(AdminError::not_found())
        }
        Err(_) => Err(AdminError::not_found()),
    }
}

#[utoipa::path(get, path = "/endpoints", tag = "Administration", summary = "What is switched on",
    responses((status = 200, body = Object, description = "first-level paths")))]
pub(crate) async fn endpoints(State(app): State<SharedApp>) -> Response {
    let enabled = ENDPOINTS.iter().filter(|e| app.admin.config.is_enabled(e.group) && !e.path.contains('/'));
    let mut paths: Vec<String> = enabled.map(|endpoint| format!("{PREFIX}/{}", endpoint.path)).collect();
    paths.push("/docs".to_owned());
    Json(json!({ "endpoints": paths })).into_response()
}
