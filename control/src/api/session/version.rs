//! GET version (session.md §5).

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::SharedApp;

#[derive(Debug, Serialize, ToSchema)]
struct VersionView {
    /// The product and, after a blank, its version.
    revision_id: &'static str,
    /// The commit that it was built from.
    build_id: String,
    /// `release` or `debug`.
    flavor: &'static str,
    /// Of the commit.
    build_date: String,
}

#[utoipa::path(get, path = "/version", tag = "About", summary = "What is running here", security(()),
    responses((status = 200, body = VersionView, description = "done")))]
pub(crate) async fn version(State(app): State<SharedApp>) -> Response {
    let view = VersionView {
        revision_id: concat!("Basalt ", env!("CARGO_PKG_VERSION")),
        build_id: app.config.commit.clone(),
        flavor: if cfg!(debug_assertions) { "debug" } else { "release" },
        build_date: app.config.commit_date.clone(),
    };
    Json(view).into_response()
}
