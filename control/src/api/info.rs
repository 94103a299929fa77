//! GET info.

use axum::{Json, extract::State, response::IntoResponse};
use serde_json::json;

use super::backends::backends;
use crate::{app::SharedApp, envelope::Reply, model::backend};

/// Op 6.
pub(crate) async fn info(State(app): State<SharedApp>) -> Reply {
    let observed = app.observe().await;
    let count = backends(&app).await?.len() as u64;
    let body = json!({
        "totalFreeSpace": backend::space(&observed.drives).available_bytes * count,
        // Of the contract, not of this server; Cinder supports this one.
        "version": "1.1",
        "authenticationMode": "JWT",
    });
    Ok(Json(body).into_response())
}
