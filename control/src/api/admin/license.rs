//! POST and GET license (admin.md §5.9).

use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};

use super::{AdminError, answer::uncached};
use crate::{
    admin::{entitlement::Entitlement, form::Form},
    app::SharedApp,
    events::Kind,
    openapi::bodies::AdminLicensePost,
};

#[utoipa::path(post, path = "/license", tag = "Administration", summary = "Install a license",
    request_body(content = AdminLicensePost, content_type = "multipart/form-data"),
    responses((status = 200, body = Entitlement, description = "done")))]
pub(crate) async fn post(State(app): State<SharedApp>, request: Request) -> Result<Response, AdminError> {
    let form = Form::read(request).await?.only(|field| app.admin.config.reads(field));
    let file = form.bytes("license")?;
    let invalid = |why: String| AdminError::new(StatusCode::NOT_FOUND, why);
    let Some(keys) = &app.admin.update_keys else {
        return Err(invalid("the license cannot be checked: no update key configured".to_owned()));
    };
    let license = Entitlement::open(file, keys).map_err(|e| invalid(e.to_string()))?;
    app.admin.audit.note("license.post", "/license");
    let (this, new) = (SharedApp::clone(&app), license.clone());
    app.complete(async move {
        new.install(&this.state).await?;
        let said = format!("a license for {} users until {} was installed", new.users, new.expires);
        this.events.add(Kind::LicenseInstalled, &new.name, said).await;
        Ok(())
    })
    .await
    .map_err(|error| AdminError::invalid(format!("the license could not be stored: {error:?}")))?;
    Ok(Json(license).into_response())
}

#[utoipa::path(get, path = "/license", tag = "Administration", summary = "The license",
    responses((status = 200, body = Entitlement, description = "done")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Result<Response, AdminError> {
    let license = Entitlement::installed(&app.state).await?.ok_or_else(AdminError::not_found)?;
    Ok(uncached(Json(license)))
}
