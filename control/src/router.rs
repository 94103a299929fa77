//! Every route on one page.

use axum::{
    Router,
    extract::OriginalUri,
    http::{Method, StatusCode},
    middleware::{from_fn, from_fn_with_state},
    routing::{delete, get, post},
};

use crate::{
    api::{backends, basalt, health, hosts, info, metrics, publish, snapshots, targets, tenants, volumes},
    app::SharedApp,
    auth::authenticate,
    envelope::ApiError,
    request::{log, tolerate_path},
};

/// Operations of the provisioner API that exist with and without a tenant in front (D2).
fn tenant_scoped() -> Router<SharedApp> {
    Router::new()
        .route("/volumes", get(volumes::list).post(volumes::create))
        .route("/volumes/{id}", get(volumes::by_id).delete(volumes::delete).patch(volumes::expand))
        .route("/volumes_by_alias/{alias}", get(volumes::by_alias))
        .route("/volume_extended/{id}", get(volumes::extended))
        .route("/clone_volume", post(volumes::clone))
        .route("/snapshots", get(snapshots::list).post(snapshots::create))
        .route("/snapshots/{id}", get(snapshots::by_id).delete(snapshots::delete))
        .route("/snapshots_by_vol/{id}", get(snapshots::by_volume))
        .route("/snapshots_by_alias/{alias}", get(snapshots::by_alias))
        // Both spellings (D3).
        .route("/snapshot_volume", post(snapshots::create_volume))
        .route("/snapshot_volumes", post(snapshots::create_volume))
        .route("/publish", post(publish::publish))
        .route("/unpublish", post(publish::unpublish))
}

fn provisioner() -> Router<SharedApp> {
    Router::new()
        .merge(tenant_scoped())
        .nest("/{tenant}", tenant_scoped())
        .route("/info", get(info::info))
        // Adding and removing backends and tenants comes with the cluster: 404, not 405, until then.
        .route("/backends", get(backends::list).post(not_found))
        .route("/backends/{id}", get(backends::by_id).put(backends::update).delete(not_found))
        .route("/tenants", get(tenants::list).post(not_found))
        .route("/hosts", get(hosts::list))
        .route("/hosts/{id}", delete(hosts::delete))
        .route("/host_probe", post(hosts::probe))
        .route("/targets", get(targets::list))
        .route("/metrics", get(metrics::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
}

fn basalt_v1() -> Router<SharedApp> {
    Router::new()
        .route("/status", get(basalt::status))
        .route("/drives", get(basalt::drives).post(basalt::add_drive))
        .route("/drives/{id}", post(basalt::act_on_drive).delete(basalt::remove_drive))
        .route("/events", get(basalt::events))
        .route("/snapshot-groups", post(basalt::create_snapshot_group))
        .route("/tokens:rotate", post(basalt::rotate_token))
        .fallback(basalt::not_found)
        .method_not_allowed_fallback(basalt::method_not_allowed)
}

/// Unknown paths answer in the shape of the API that owns the prefix (session.md §12).
pub(crate) fn router(app: SharedApp) -> Router {
    let routes = Router::new()
        .merge(provisioner())
        .nest("/basalt/v1", basalt_v1())
        .route("/", get(health::root))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .layer(from_fn_with_state(app.clone(), authenticate))
        .with_state(app);
    // Around the router, not in it: routing must see the path as it was meant.
    Router::new().fallback_service(routes).layer(from_fn(tolerate_path)).layer(from_fn(log))
}

async fn not_found(OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::protocol(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::protocol(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}", uri.path()))
}
