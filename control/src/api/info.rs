//! GET info.

use axum::{Json, extract::State, response::IntoResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::SharedApp, envelope::Reply, model::backend};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct InfoView {
    /// Bytes.
    total_free_space: u64,
    /// Of the contract, not of this server; Cinder supports 1.1.
    version: &'static str,
    authentication_mode: &'static str,
}

/// Op 6.
#[utoipa::path(get, path = "/info", tag = "About", summary = "Version and free space", security(()),
    responses((status = 200, body = InfoView, description = "done")))]
pub(crate) async fn info(State(app): State<SharedApp>) -> Reply {
    let observed = app.observe().await;
    let view = InfoView {
        total_free_space: backend::space(observed.drives()).available_bytes,
        version: "1.1",
        // As the contract's samples spell it (D49).
        authentication_mode: if app.auth.oidc.is_set() { "OPEN_IDC" } else { "JWT" },
    };
    Ok(Json(view).into_response())
}
