//! POST and GET certs (admin.md §5.8).

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::{
    AdminError,
    answer::{accepted, uncached},
};
use crate::{
    admin::{
        Running,
        certs::{PublicCertificate, mark},
        form::Form,
    },
    app::{App, SharedApp},
    openapi::bodies::AdminCertsPost,
};

#[utoipa::path(post, path = "/certs", tag = "Administration", summary = "Replace the API's certificate",
    request_body(content = AdminCertsPost, content_type = "multipart/form-data"),
    responses((status = 202, body = Object, description = "begun: GET tells how it went")))]
pub(crate) async fn post(State(app): State<SharedApp>, request: Request) -> Result<Response, AdminError> {
    let form = Form::read(request).await?.only(|field| app.admin.config.reads(field));
    let (public, private) = (form.text("public")?.to_owned(), form.text("private")?.to_owned());
    let ca = form.text_if_there("ca")?.map(str::to_owned);
    let before = mark(&app.credentials).map_err(|e| AdminError::invalid(e.to_string()))?;
    let running = app.admin.certs.begin_over("a new certificate was uploaded", Some(before))?;
    app.admin.audit.note("certs.post", "/certs");
    spawn_blocking(move || replace(&app, running, &public, &private, ca.as_deref()));
    Ok(accepted("certs"))
}

/// Connections that are there keep what they have; new ones see the new certificate.
fn replace(app: &App, running: Running, public: &str, private: &str, ca: Option<&str>) {
    let new = match PublicCertificate::check(public, private, ca) {
        Ok(new) => new,
        Err(wrong) => return running.fail(&wrong.to_string()),
    };
    if let Some(warning) = &new.warning {
        running.note(warning);
    }
    if let Err(error) = new.store(&app.credentials) {
        return running.fail(&format!("it could not be stored: {error}"));
    }
    app.tls.show(new.key);
    running.succeed("the certificate was replaced");
}

#[utoipa::path(get, path = "/certs", tag = "Administration", summary = "How the last replacement went",
    responses((status = 200, body = Object, description = "`status` and `log`, both null if there was none")))]
pub(crate) async fn get(State(app): State<SharedApp>) -> Response {
    let job = &app.admin.certs;
    let status = job.state().status;
    let log = status.map(|_| job.last_lines());
    uncached(Json(json!({ "status": status, "log": log })))
}
