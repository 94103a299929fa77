//! POST and GET storage (admin.md §5.10).

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use serde_json::json;

use super::{
    AdminError,
    answer::{accepted, uncached},
};
use crate::{
    admin::{
        form::Form,
        storage::{StorageRecord, mark, store},
    },
    app::SharedApp,
    openapi::bodies::AdminStoragePost,
};

#[utoipa::path(post, path = "/storage", tag = "Administration", summary = "Say where backups are to live",
    request_body(content = AdminStoragePost, content_type = "multipart/form-data"),
    responses((status = 202, body = Object, description = "begun: GET shows it; the next restart goes there")))]
pub(crate) async fn post(State(app): State<SharedApp>, request: Request) -> Result<Response, AdminError> {
    let form = Form::read(request).await?.only(|field| app.admin.config.reads(field));
    let stored = app.state.get::<StorageRecord>(StorageRecord::KEY).await?;
    let stored = stored.as_ref().map(|stored| &stored.value);
    let helpers = &app.admin.config.storage_helpers;
    let record = StorageRecord::parse(form.text("settings")?, stored, &app.seal, helpers)
        .map_err(|e| AdminError::invalid(e.to_string()))?;
    let before = mark(&app.state).await?;
    let running = app.admin.storage.begin_over("another storage was asked for", Some(before))?;
    app.admin.audit.note("storage.post", "/storage");
    let this = SharedApp::clone(&app);
    tokio::spawn(async move {
        let app = SharedApp::clone(&this);
        match this.complete(async move { store(&app, record).await }).await {
            Ok(()) => running.succeed("the next restart uses it"),
            Err(error) => running.fail(&format!("it could not be stored: {error:?}")),
        }
    });
    Ok(accepted("storage"))
}

#[utoipa::path(get, path = "/storage", tag = "Administration", summary = "Where backups live",
    responses((status = 200, body = Object, description = "`storage`, `options`, and `pending` until the next restart")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let stored = app.state.get::<StorageRecord>(StorageRecord::KEY).await?;
    let record = stored.ok_or_else(AdminError::not_found)?.value;
    let options = app.admin.config.storage_helpers.options();
    let mut body = json!({ "storage": record.shown(), "options": options });
    if app.backup_store.record.as_ref() != Some(&record) {
        body["pending"] = json!(true);
    }
    Ok(uncached(Json(body)))
}
