//! The GETs of volumes: always arrays (D6), unknown ones empty (D7).

use axum::{Json, extract::State, response::IntoResponse};

use super::{
    find,
    view::{VolumeView, exported},
};
use crate::{
    api::tenants::Tenant,
    app::{App, SharedApp},
    envelope::{ApiError, Reply},
    model::{page::Page, target::TargetRecord, volume::VolumeRecord},
    openapi::Answer,
    request::{Params, Query},
    state::{AliasRecord, alias_id},
};

/// Op 16. Filters, then pages.
#[utoipa::path(get, path = "/volumes", tag = "Volumes", summary = "List volumes",
    params(("limit" = Option<u64>, Query, description = "at most so many"), ("offset" = Option<u64>, Query, description = "leave out so many"), ("marker" = Option<String>, Query, description = "only those with a larger id"), ("backendId" = Option<String>, Query, description = "only those with a replica there"), ("hostId" = Option<String>, Query, description = "only those published to it")),
    responses((status = 200, body = Answer<Vec<VolumeView>>, description = "done")))]
pub(crate) async fn list(State(app): State<SharedApp>, tenant: Tenant, query: Query) -> Reply {
    let page = Page::parse(query.get("limit"), query.get("offset"), query.get("marker"))?;
    let backend = query.get("backendId");
    let host = query.get("hostId");
    let all = app.state.list::<VolumeRecord>().await?;
    let chosen = all.into_iter().map(|v| v.value).filter(|v| {
        v.tenant_id == tenant.id()
            && v.exists()
            && backend.is_none_or(|b| v.shown_replicas().any(|r| r.backend == b))
            && host.is_none_or(|h| v.published_to.contains(h))
    });
    let chosen = page.cut(chosen.collect(), |v| v.uuid.to_string());
    views(&app, chosen).await
}

/// Op 16 for one.
#[utoipa::path(get, path = "/volumes/{id}", tag = "Volumes", summary = "A volume, or an empty list",
    responses((status = 200, body = Answer<Vec<VolumeView>>, description = "done")))]
pub(crate) async fn by_id(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let found = find(&app, tenant.id(), params.get("id")).await?;
    views(&app, found.map(|v| v.value).into_iter().collect()).await
}

/// Op 17.
#[utoipa::path(get, path = "/volumes_by_alias/{alias}", tag = "Volumes", summary = "The volume of that alias, or an empty list",
    responses((status = 200, body = Answer<Vec<VolumeView>>, description = "done")))]
pub(crate) async fn by_alias(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let alias = app.state.get::<AliasRecord>(&alias_id(tenant.id(), params.get("alias"))).await?;
    let found = match alias {
        Some(alias) => find(&app, tenant.id(), &alias.value.volume.to_string()).await?,
        None => None,
    };
    views(&app, found.map(|v| v.value).into_iter().collect()).await
}

/// Op 18.
#[utoipa::path(get, path = "/volume_extended/{id}", tag = "Volumes", summary = "A volume with its drives and sessions",
    responses((status = 200, body = Answer<Vec<VolumeView>>, description = "done")))]
pub(crate) async fn extended(State(app): State<SharedApp>, tenant: Tenant, params: Params) -> Reply {
    let Some(volume) = find(&app, tenant.id(), params.get("id")).await? else {
        return Ok(Json(Vec::<VolumeView>::new()).into_response());
    };
    let volume = volume.value;
    let observed = app.observe().await;
    let targets: Vec<TargetRecord> = app.state.list().await?.into_iter().map(|t| t.value).collect();
    let controllers = app.controllers().await;
    let view = VolumeView::new(&app, &volume, &observed, &exported(&targets));
    Ok(Json([view.extended(&observed, &targets, &controllers)]).into_response())
}

async fn views(app: &App, volumes: Vec<VolumeRecord>) -> Result<axum::response::Response, ApiError> {
    let observed = app.observe().await;
    let targets: Vec<TargetRecord> = app.state.list().await?.into_iter().map(|t| t.value).collect();
    let exported = exported(&targets);
    let views: Vec<_> = volumes.iter().map(|v| VolumeView::new(app, v, &observed, &exported)).collect();
    Ok(Json(views).into_response())
}
