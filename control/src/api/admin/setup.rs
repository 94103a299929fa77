//! POST setup: the token itself (admin.md §1.1).

use axum::{
    Extension,
    extract::{OriginalUri, Request, State},
    response::Response,
};

use super::{
    AdminError,
    answer::done,
    gate::{credential, is_local},
};
use crate::{
    admin::{SetupError, form::Form},
    app::SharedApp,
    openapi::bodies::AdminSetup,
    tls::Peer,
};

#[utoipa::path(post, path = "/setup", tag = "Administration", summary = "Set the token",
    request_body(content = AdminSetup, content_type = "multipart/form-data"),
    responses((status = 200, body = Object, description = "done; the old token counts no more")))]
pub(crate) async fn setup(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Response, AdminError> {
    let (token, audit) = (&app.admin.token, &app.admin.audit);
    let permit = token.admit_setup(credential(&uri).as_ref(), uri.path(), is_local(&peer)).await;
    let Some(permit) = permit else {
        audit.note("token.authenticate.failed", "/setup");
        return Err(AdminError::forbidden("token or hash are missing or wrong"));
    };
    let form = Form::read(request).await.inspect_err(|_| audit.note("token.setup.failed", "/setup"))?;
    let new = form.text("newtoken").map(str::to_owned);
    let new = new.inspect_err(|_| audit.note("token.setup.failed", "/setup"))?;
    let this = SharedApp::clone(&app);
    let set = tokio::task::spawn_blocking(move || this.admin.token.set(&permit, &new)).await;
    match set {
        Ok(Ok(())) => {
            audit.note("token.update.success", "/setup");
            Ok(done())
        }
        Ok(Err(error)) => {
            audit.note("token.setup.failed", "/setup");
            Err(match error {
                SetupError::Raced => AdminError::forbidden(error.to_string()),
                error => AdminError::invalid(error.to_string()),
            })
        }
        Err(_) => Err(AdminError::invalid("the server failed in this request")),
    }
}
