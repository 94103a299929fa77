//! The GETs of snapshots: always arrays (D6), unknown ones empty (D7).

use std::collections::HashMap;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};

use super::{
    find,
    view::{SnapshotView, unique_bytes},
};
use crate::{
    api::tenants::Tenant,
    app::SharedApp,
    envelope::{ApiError, Reply},
    fields::parse_uuid,
    model::{page::Page, snapshot::SnapshotRecord},
    openapi::Answer,
    request::{Params, Query},
};

/// Op 26.
#[utoipa::path(get, path = "/snapshots", tag = "Snapshots", summary = "List snapshots",
    params(("limit" = Option<u64>, Query, description = "at most so many"), ("offset" = Option<u64>, Query, description = "leave out so many"), ("marker" = Option<String>, Query, description = "only those with a larger id"), ("uniqueBytes" = Option<bool>, Query, description = "false leaves out uniqueBytes")),
    responses((status = 200, body = Answer<Vec<SnapshotView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, tenant: Tenant, query: Query) -> Reply {
    let page = Page::parse(query.get("limit"), query.get("offset"), query.get("marker"))?;
    chosen(&app, &tenant, &query, &page, |_| true).await
}

/// Op 26 for one.
#[utoipa::path(get, path = "/snapshots/{id}", tag = "Snapshots", summary = "A snapshot, or an empty list",
    params(("uniqueBytes" = Option<bool>, Query, description = "false leaves out uniqueBytes")),
    responses((status = 200, body = Answer<Vec<SnapshotView>>, description = "done")))]
pub(crate) async fn by_id(
    State(app): State<SharedApp>,
    tenant: Tenant,
    params: Params,
    query: Query,
) -> Reply {
    let found = find(&app, tenant.id(), params.get("id")).await?;
    views(&app, &query, found.map(|s| s.value).into_iter().collect()).await
}

/// Op 27.
#[utoipa::path(get, path = "/snapshots_by_vol/{id}", tag = "Snapshots", summary = "The snapshots of a volume",
    params(("uniqueBytes" = Option<bool>, Query, description = "false leaves out uniqueBytes")),
    responses((status = 200, body = Answer<Vec<SnapshotView>>, description = "done")))]
pub(crate) async fn by_volume(
    State(app): State<SharedApp>,
    tenant: Tenant,
    params: Params,
    query: Query,
) -> Reply {
    let volume = parse_uuid(params.get("id"));
    chosen(&app, &tenant, &query, &Page::default(), |s| Some(s.volume) == volume).await
}

/// Op 28. Aliases of snapshots need not be unique (D29).
#[utoipa::path(get, path = "/snapshots_by_alias/{alias}", tag = "Snapshots", summary = "The snapshots of that alias",
    params(("uniqueBytes" = Option<bool>, Query, description = "false leaves out uniqueBytes")),
    responses((status = 200, body = Answer<Vec<SnapshotView>>, description = "done")))]
pub(crate) async fn by_alias(
    State(app): State<SharedApp>,
    tenant: Tenant,
    params: Params,
    query: Query,
) -> Reply {
    chosen(&app, &tenant, &query, &Page::default(), |s| s.alias == params.get("alias")).await
}

async fn chosen(
    app: &SharedApp,
    tenant: &Tenant,
    query: &Query,
    page: &Page,
    wanted: impl Fn(&SnapshotRecord) -> bool,
) -> Reply {
    let all = app.state.list::<SnapshotRecord>().await?.into_iter().map(|s| s.value);
    let chosen = all.filter(|s| s.tenant_id == tenant.id() && s.exists() && wanted(s));
    views(app, query, page.cut(chosen.collect(), |s| s.uuid.to_string())).await
}

/// `uniqueBytes=false`, which is ours, spares the node the walks.
async fn views(app: &SharedApp, query: &Query, snapshots: Vec<SnapshotRecord>) -> Result<Response, ApiError> {
    let unique = match query.truth("uniqueBytes")?.unwrap_or(true) {
        true => unique_bytes(app, snapshots.iter()).await,
        false => HashMap::new(),
    };
    let views = snapshots.iter().map(|s| SnapshotView::new(s, unique.get(&s.uuid).copied()));
    Ok(Json(views.collect::<Vec<_>>()).into_response())
}
