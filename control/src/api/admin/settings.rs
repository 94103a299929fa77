//! POST and GET settings (admin.md §5.7).

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    AdminError,
    answer::{accepted, uncached},
};
use crate::{
    admin::{
        form::Form,
        settings::{AdminSettings, apply, mark},
    },
    app::SharedApp,
    openapi::bodies::AdminSettingsPost,
};

#[derive(Debug, Serialize, ToSchema)]
struct SettingsView {
    #[serde(flatten)]
    settings: AdminSettings,
    /// There where addresses wait for the next restart.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
}

#[utoipa::path(post, path = "/settings", tag = "Administration", summary = "Change the settings",
    request_body(content = AdminSettingsPost, content_type = "multipart/form-data"),
    responses((status = 202, body = Object, description = "begun: GET shows them once they are taken")))]
pub(crate) async fn post(State(app): State<SharedApp>, request: Request) -> Result<Response, AdminError> {
    let form = Form::read(request).await?.only(|field| app.admin.config.reads(field));
    let settings = AdminSettings::parse(form.text("settings")?, app.config.log_filter.as_deref())
        .map_err(|e| AdminError::invalid(e.to_string()))?;
    let before = mark(&app.state).await?;
    let running = app.admin.settings.begin_over("new settings were uploaded", Some(before))?;
    app.admin.audit.note("settings.post", "/settings");
    let this = SharedApp::clone(&app);
    tokio::spawn(async move {
        if let Err(wrong) = settings.check_addresses() {
            return running.fail(&wrong.to_string());
        }
        let app = SharedApp::clone(&this);
        match this.complete(async move { apply(&app, settings).await }).await {
            Ok(()) => running.succeed("the settings were taken"),
            Err(error) => running.fail(&format!("they could not be stored: {error:?}")),
        }
    });
    Ok(accepted("settings"))
}

#[utoipa::path(get, path = "/settings", tag = "Administration", summary = "The settings",
    responses((status = 200, body = SettingsView, description = "done")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let stored = app.state.get::<AdminSettings>(AdminSettings::KEY).await?;
    let settings = stored.ok_or_else(AdminError::not_found)?.value;
    let pending = *settings.addresses() != app.addresses_at_start;
    Ok(uncached(Json(SettingsView { settings, pending })))
}
