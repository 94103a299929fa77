//! Backup and restore of the metadata (admin.md §5.11).

use std::fs;

use axum::{
    Json,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{
    AdminError,
    answer::{accepted, done, uncached},
    download::download,
};
use crate::{
    admin::{
        JobStatus,
        backup::{RestoreError, api_backup, make, restore, restore_mark},
        form::{Form, Spool},
        health::human,
    },
    app::SharedApp,
    limits,
    openapi::bodies::{AdminBackupPost, AdminRestorePost},
};

#[utoipa::path(post, path = "/backup", tag = "Administration", summary = "Make a backup, or drop it",
    request_body(content = AdminBackupPost, content_type = "multipart/form-data"),
    responses((status = 202, body = Object, description = "begun: GET tells how it went")))]
pub(crate) async fn post(State(app): State<SharedApp>, request: Request) -> Result<Response, AdminError> {
    let form = Form::read(request).await?.only(|field| app.admin.config.reads(field));
    match form.text("action")?.to_ascii_uppercase().as_str() {
        "START" => start(&app)?,
        "STOP" => stop(&app)?,
        _ => return Err(AdminError::invalid("action must be START or STOP")),
    }
    app.admin.audit.note("backup.post", "/backup");
    Ok(accepted("backup"))
}

fn start(app: &SharedApp) -> Result<(), AdminError> {
    let running = app.admin.backup.begin("a backup was asked for")?;
    let this = SharedApp::clone(app);
    tokio::spawn(async move {
        match make(&this, api_backup(&this.backups())).await {
            Ok(made) => {
                running.note(&format!("size check: {} bytes, {} are free", made.bytes, made.free_bytes));
                running.note(&format!("backup.tar created, {} bytes, sha256 {}", made.bytes, made.sha256));
                let result = json!({ "filesize": human(made.bytes), "sha256": made.sha256 });
                running.succeed_with("the backup is complete", Some(result));
            }
            Err(error) => running.fail(&error.to_string()),
        }
    });
    Ok(())
}

/// A backup that is being made is forgotten when it is there.
fn stop(app: &SharedApp) -> Result<(), AdminError> {
    let failed = |error: &dyn std::fmt::Display| AdminError::invalid(format!("backup.tar stays: {error}"));
    app.admin.backup.clear("the backup was deleted").map_err(|error| failed(&error))?;
    match fs::remove_file(api_backup(&app.backups())) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
        _ => Ok(()),
    }
}

#[utoipa::path(get, path = "/backup", tag = "Administration", summary = "How the backup went",
    responses((status = 200, body = Object, description = "`status`; of a success `filesize` and `sha256`")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let state = app.admin.backup.state();
    let status = state.status.ok_or_else(AdminError::not_found)?;
    let mut body = json!({ "status": status });
    if let Some(result) = state.result.filter(|_| status == JobStatus::Success) {
        body["filesize"] = result["filesize"].clone();
        body["sha256"] = result["sha256"].clone();
    }
    Ok(uncached(Json(body)))
}

#[utoipa::path(get, path = "/backup/download", tag = "Administration", summary = "The backup",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "backup.tar")))]
pub(crate) async fn get_file(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    if app.admin.backup.state().status != Some(JobStatus::Success) {
        return Err(AdminError::not_found());
    }
    download(&api_backup(&app.backups()), "backup.tar").await
}

#[utoipa::path(get, path = "/backup/log", tag = "Administration", summary = "What was done about backups",
    responses((status = 200, body = String, content_type = "text/plain", description = "done")))]
pub(crate) async fn log(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let text = app.admin.backup.text().filter(|text| !text.is_empty()).ok_or_else(AdminError::not_found)?;
    Ok(uncached(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()))
}

#[utoipa::path(post, path = "/backup/restore", tag = "Administration", summary = "Restore a backup",
    request_body(content = AdminRestorePost, content_type = "multipart/form-data"),
    responses((status = 200, body = Object, description = "the metadata is as it was then")))]
pub(crate) async fn post_restore(
    State(app): State<SharedApp>,
    request: Request,
) -> Result<Response, AdminError> {
    let spool =
        Spool { field: "archive", dir: app.admin.dir.join("incoming"), max_bytes: limits::BACKUP_BYTES };
    let mut form = Form::read_with(request, Some(&spool)).await?.only(|field| app.admin.config.reads(field));
    let archive = form.file("archive")?;
    let before = restore_mark(&app.state).await?;
    let running = app.admin.restore.begin_over("an archive was uploaded", Some(before))?;
    app.admin.audit.note("backup.restore", "/backup/restore");
    let this = SharedApp::clone(&app);
    // It is carried through even if its client goes away.
    let restored = tokio::spawn(async move {
        let restored = restore(&this, archive.path()).await;
        match &restored {
            Ok(()) => {
                this.admin.backup.note("a backup was restored");
                running.succeed("it was restored");
            }
            Err(error) => {
                this.admin.backup.note(&format!("a backup was not restored: {error}"));
                running.fail(&error.to_string());
            }
        }
        restored
    });
    match restored.await {
        Ok(Ok(())) => Ok(done()),
        Ok(Err(RestoreError::Store(error))) => Err(error.into()),
        Ok(Err(error)) => Err(AdminError::invalid(error.to_string())),
        Err(_) => Err(AdminError::invalid("the server failed in this request")),
    }
}
