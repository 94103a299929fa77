//! Updates (admin.md §5.1).

use axum::{
    Json,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Map, json};

use super::{
    AdminError,
    answer::{accepted, uncached},
};
use crate::{
    admin::{
        JobError, NotBegun,
        form::{Form, Spool},
        update::{UpdateError, apply},
    },
    app::{App, SharedApp},
    events::Kind,
    limits,
    openapi::bodies::AdminUpdatePost,
};

#[utoipa::path(post, path = "/update", tag = "Administration", summary = "Install a release",
    request_body(content = AdminUpdatePost, content_type = "multipart/form-data"),
    responses((status = 202, body = Object, description = "begun: GET tells how far it is")))]
pub(crate) async fn post(State(app): State<SharedApp>, request: Request) -> Result<Response, AdminError> {
    if app.admin.update_keys.is_none() {
        return Err(AdminError::invalid("no update key configured"));
    }
    if app.admin.update.is_running() {
        return Err(busy(&app));
    }
    let spool =
        Spool { field: "update", dir: app.admin.dir.join("incoming"), max_bytes: limits::UPDATE_BYTES };
    let package = Form::read_with(request, Some(&spool)).await?.file("update")?;
    let before = Some(app.admin.releases.mark());
    let running =
        app.admin.update.begin_over("a package was uploaded", before).map_err(|error| match error {
            NotBegun::Busy => busy(&app),
            error => error.into(),
        })?;
    app.admin.audit.note("update.post", "/update");
    let this = SharedApp::clone(&app);
    tokio::spawn(async move {
        match apply(&this, package.path(), &running).await {
            Ok(version) => {
                let said = format!("release {version} was installed; the next restart starts it");
                this.events.add(Kind::ReleaseInstalled, &version, &said).await;
                running.succeed(&said);
            }
            Err(error) => running.fail_with(JobError::new(error.code(), error.to_string())),
        }
    });
    Ok(accepted("update"))
}

/// What runs goes on.
fn busy(app: &App) -> AdminError {
    let error = UpdateError::Running;
    app.admin.update.note_error(JobError::new(error.code(), error.to_string()));
    AdminError::invalid(error.to_string()).code(error.code())
}

#[utoipa::path(get, path = "/update", tag = "Administration", summary = "How far the update is",
    responses((status = 200, body = Object, description = "`status` is null if there never was one")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Response {
    let job = &app.admin.update;
    let state = job.state();
    let mut body = Map::from_iter([("status".to_owned(), json!(state.status))]);
    body.insert("log".to_owned(), json!(state.status.map(|_| job.last_lines())));
    if state.status.is_some() {
        body.insert("percentage".to_owned(), json!(state.percentage));
    }
    if let Some(error) = state.error {
        body.insert("error-message".to_owned(), json!(error.message));
        body.insert("error-code".to_owned(), json!(error.code));
    }
    uncached(Json(body))
}

#[utoipa::path(get, path = "/update/log", tag = "Administration", summary = "What was done about updates",
    responses((status = 200, body = String, content_type = "text/plain", description = "done")))]
pub(crate) async fn log(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let text = app.admin.update.text().filter(|text| !text.is_empty()).ok_or_else(AdminError::not_found)?;
    Ok(uncached(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()))
}
