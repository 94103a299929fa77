//! Every route on one page; where it lies and what it takes stands at its handler, for the OpenAPI document too.

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, OriginalUri},
    http::{Method, StatusCode},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        admin, auth_server, backends, basalt, docs, health, hosts, info, inventory, license, metrics,
        publish, replicas, role, session, snapshots, syslog, targets, tasks, tenants, volumes,
    },
    app::SharedApp,
    auth::{Api, authenticate, require_role, require_role_in_tenant},
    envelope::ApiError,
    openapi,
    request::{log, tolerate_path},
};

/// Operations of the provisioner API that exist with and without a tenant in front (D2).
fn tenant_scoped() -> OpenApiRouter<SharedApp> {
    OpenApiRouter::new()
        .routes(routes!(volumes::read::list, volumes::create::create))
        .routes(routes!(volumes::read::by_id, volumes::delete::delete, volumes::expand::expand))
        .routes(routes!(volumes::read::by_alias))
        .routes(routes!(volumes::read::extended))
        .routes(routes!(volumes::clone::clone))
        .routes(routes!(snapshots::read::list, snapshots::take::create))
        .routes(routes!(snapshots::read::by_id, snapshots::delete::delete))
        .routes(routes!(snapshots::read::by_volume))
        .routes(routes!(snapshots::read::by_alias))
        .routes(routes!(snapshots::volume::create))
        .routes(routes!(snapshots::volume::create_too))
        .routes(routes!(publish::export::publish))
        .routes(routes!(publish::withdraw::unpublish))
        .routes(routes!(replicas::add::add))
        .routes(routes!(replicas::remove::terminate, replicas::remove::remove))
        .routes(routes!(replicas::state::set))
        .routes(routes!(replicas::migrate::migrate))
}

fn provisioner() -> (Router<SharedApp>, OpenApi) {
    let tenant_scoped = OpenApiRouter::with_openapi(openapi::head())
        .merge(tenant_scoped())
        .nest("/{tenant}", tenant_scoped())
        .layer(from_fn(require_role_in_tenant));
    let of_all = OpenApiRouter::new()
        .routes(routes!(info::info))
        .routes(routes!(backends::list, backends::add))
        .routes(routes!(backends::by_id, backends::update, backends::remove))
        .routes(routes!(backends::probe))
        .routes(routes!(auth_server::get, auth_server::set, auth_server::clear))
        .routes(routes!(license::get, license::install))
        .routes(routes!(syslog::list))
        .routes(routes!(syslog::forward))
        .routes(routes!(inventory::get))
        .routes(routes!(inventory::reset))
        .routes(routes!(tasks::list, tasks::update, tasks::remove))
        .routes(routes!(tenants::read::list, tenants::change::create))
        .routes(routes!(tenants::change::update, tenants::change::delete))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::delete))
        .routes(routes!(hosts::probe))
        .routes(routes!(targets::list))
        .routes(routes!(metrics::metrics))
        .routes(routes!(docs::home))
        .routes(routes!(docs::reference))
        .routes(routes!(docs::api))
        .routes(routes!(docs::asset))
        .routes(routes!(docs::icon))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(openapi::openapi))
        .layer(from_fn(require_role));
    let (routes, mut document) = tenant_scoped.merge(of_all).split_for_parts();
    openapi::add_errors(&mut document, &openapi::PROVISIONER);
    let routes = routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed);
    (routes, document)
}

fn basalt_v1() -> (Router<SharedApp>, OpenApi) {
    let (routes, mut document) = OpenApiRouter::new()
        .routes(routes!(basalt::status::status))
        .routes(routes!(basalt::drives::list, basalt::drives::add))
        .routes(routes!(basalt::drives::act, basalt::drives::remove))
        .routes(routes!(basalt::events::list))
        .routes(routes!(basalt::groups::create))
        .routes(routes!(basalt::secrets::get, basalt::secrets::put, basalt::secrets::delete))
        .routes(routes!(basalt::tls_keys::get, basalt::tls_keys::put, basalt::tls_keys::delete))
        .routes(routes!(basalt::nodes::list, basalt::nodes::join))
        .routes(routes!(basalt::nodes::invite))
        .routes(routes!(basalt::paths::show, basalt::paths::set))
        .routes(routes!(basalt::tokens::list, basalt::tokens::create))
        .routes(routes!(basalt::tokens::revoke))
        .routes(routes!(basalt::placements::explain))
        .routes(routes!(basalt::tokens::rotate))
        .split_for_parts();
    openapi::add_errors(&mut document, &openapi::BASALT);
    let routes = routes
        .fallback(basalt::not_found)
        .method_not_allowed_fallback(basalt::method_not_allowed)
        .layer(from_fn(require_role));
    (routes, document)
}

/// The handlers ask for privileges themselves: everybody may do something here.
fn session_v1() -> (Router<SharedApp>, OpenApi) {
    let (routes, mut document) = OpenApiRouter::new()
        .routes(routes!(session::login::login))
        .routes(routes!(session::own::who_am_i))
        .routes(routes!(session::own::roles))
        .routes(routes!(session::own::change_password))
        .routes(routes!(session::version::version))
        .routes(routes!(session::cluster::nodes))
        .routes(routes!(session::cluster::node))
        .routes(routes!(session::cluster::state))
        .routes(routes!(session::cluster::settings, session::cluster::put_settings))
        .routes(routes!(session::tokens::list, session::tokens::create))
        .routes(routes!(session::tokens::get, session::tokens::modify, session::tokens::delete))
        .routes(routes!(session::users::list, session::users::create))
        .routes(routes!(session::users::get, session::users::replace, session::users::delete))
        .routes(routes!(session::users::groups))
        .routes(routes!(session::users::set_password))
        .routes(routes!(session::groups::list, session::groups::create))
        .routes(routes!(session::groups::get, session::groups::replace, session::groups::delete))
        .routes(routes!(session::members::list, session::members::add))
        .routes(routes!(session::members::remove))
        .routes(routes!(session::identity::find))
        .routes(routes!(session::identity::expand))
        .routes(routes!(session::identity::roles))
        .split_for_parts();
    openapi::add_errors(&mut document, &openapi::SESSION);
    (routes, document)
}

/// The gate before it (`admin::admit`) knows what there is, so nothing else gets here.
fn admin_v1() -> (Router<SharedApp>, OpenApi) {
    let (routes, mut document) = OpenApiRouter::new()
        .routes(routes!(admin::setup::setup))
        .routes(routes!(admin::info::version))
        .routes(routes!(admin::info::changelog))
        .routes(routes!(admin::info::build))
        .routes(routes!(admin::info::health))
        .routes(routes!(admin::info::endpoints))
        .routes(routes!(admin::services::services))
        .routes(routes!(admin::bundles::logs))
        .routes(routes!(admin::bundles::debug))
        .routes(routes!(admin::reboot::reboot))
        .routes(routes!(admin::update::post, admin::update::get))
        .routes(routes!(admin::update::log))
        .routes(routes!(admin::backup::post, admin::backup::get))
        .routes(routes!(admin::backup::get_file))
        .routes(routes!(admin::backup::log))
        .routes(routes!(admin::backup::post_restore))
        .routes(routes!(admin::certs::post, admin::certs::get))
        .routes(routes!(admin::settings::post, admin::settings::get))
        .routes(routes!(admin::license::post, admin::license::get))
        .routes(routes!(admin::storage::post, admin::storage::get))
        .split_for_parts();
    openapi::add_errors(&mut document, &openapi::ADMIN);
    openapi::set_security(&mut document, &["adminToken", "adminHash"]);
    (routes.layer(DefaultBodyLimit::disable()), document)
}

/// The handlers judge this API's own tokens themselves.
fn role_v1() -> (Router<SharedApp>, OpenApi) {
    let (routes, mut document) = OpenApiRouter::new()
        .routes(routes!(role::version::paths))
        .routes(routes!(
            role::user_tokens::create,
            role::user_tokens::put,
            role::user_tokens::show,
            role::user_tokens::check
        ))
        .routes(routes!(role::roles::create, role::roles::put, role::machines::delete))
        .routes(routes!(
            role::roles::show,
            role::roles::validate,
            role::roles::delete,
            role::hosts::add,
            role::hosts::put
        ))
        .routes(routes!(role::tokens::issue, role::tokens::delete))
        .routes(routes!(role::tokens::list))
        .routes(routes!(role::policies::create, role::policies::put))
        .routes(routes!(role::policies::show, role::policies::check, role::policies::delete))
        .routes(routes!(
            role::tenants::list,
            role::tenants::create,
            role::tenants::put,
            role::tenants::delete_named
        ))
        .routes(routes!(
            role::tenants::show,
            role::tenants::check,
            role::tenants::change,
            role::tenants::put_change,
            role::tenants::delete
        ))
        .routes(routes!(role::resources::create, role::resources::put))
        .routes(routes!(
            role::resources::show,
            role::resources::check,
            role::resources::write,
            role::resources::put_write,
            role::resources::delete
        ))
        .routes(routes!(role::list::show, role::list::check))
        .routes(routes!(role::userdata::script))
        .split_for_parts();
    openapi::add_errors(&mut document, &openapi::ROLE);
    (routes, document)
}

/// Two APIs share this prefix.
fn v1() -> (Router<SharedApp>, OpenApi) {
    let (session, document) = session_v1();
    let (role, role_document) = role_v1();
    let routes = session.merge(role).fallback(no_v1).method_not_allowed_fallback(no_v1_method);
    (routes.layer(from_fn(role::dress)), document.merge_from(role_document))
}

async fn no_v1(uri: OriginalUri) -> Response {
    match Api::of(uri.path()) {
        Api::Role => role::not_found(uri).await.into_response(),
        _ => session::not_found(uri).await.into_response(),
    }
}

async fn no_v1_method(method: Method, uri: OriginalUri) -> Response {
    match Api::of(uri.path()) {
        Api::Role => role::method_not_allowed(method, uri).await.into_response(),
        _ => session::method_not_allowed(method, uri).await.into_response(),
    }
}

/// All APIs, before authentication, and what describes them.
fn routes() -> (Router<SharedApp>, OpenApi) {
    let (provisioner, document) = provisioner();
    let (basalt_v1, basalt_document) = basalt_v1();
    let (v1, v1_document) = v1();
    let (admin_v1, admin_document) = admin_v1();
    let routes = provisioner.nest("/basalt/v1", basalt_v1).nest("/v1", v1).nest(admin::PREFIX, admin_v1);
    let document = document.nest("/basalt/v1", basalt_document).nest("/v1", v1_document);
    let document = document.nest(admin::PREFIX, admin_document);
    (routes, document)
}

/// Unknown paths answer in the shape of the API that owns the prefix (session.md §12).
pub(crate) fn router(app: SharedApp) -> Router {
    let (routes, document) = routes();
    let routes = routes
        .layer(Extension(openapi::complete(document)))
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::model::tenant::is_tenant_id;

    /// axum lists a router's paths in its debug output and nowhere else.
    fn served() -> BTreeSet<String> {
        let shown = format!("{:?}", routes().0);
        let texts = shown.split('"').skip(1).step_by(2);
        // The fallback of a nested API is no path of it.
        let fallback = |t: &str| t.contains("__private__") || t == "/basalt/v1";
        texts.filter(|t| t.starts_with('/') && !fallback(t)).map(openapi::written).collect()
    }

    #[test]
    fn the_document_lists_exactly_the_paths_that_are_served() {
        let described: BTreeSet<String> =
            routes().1.paths.paths.keys().map(|path| openapi::written(path)).collect();
        assert!(described.contains("/{tenant}/volumes/{id}") && described.contains("/basalt/v1/status"));
        assert_eq!(served(), described);
    }

    #[test]
    fn no_tenant_can_have_a_path_of_ours() {
        for path in served() {
            let first = path.split('/').nth(1).unwrap_or_default();
            let is_free = first.is_empty() || first == "{tenant}";
            assert!(is_free || !is_tenant_id(first), "{first:?} may be a tenant's id");
        }
    }

    #[test]
    fn a_change_of_the_api_is_a_change_of_its_snapshot() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let text = openapi::complete(routes().1).pretty();
        if std::env::var_os("BASALT_UPDATE").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap();
        let differs = kept.lines().zip(text.lines()).find(|(kept, now)| kept != now);
        assert!(kept == text, "openapi.json is not the API's; BASALT_UPDATE=1 writes it anew: {differs:?}");
    }
}
