//! The pages for people: `/`, `/docs` and `/docs/api` (session.md §9). They need no login, so they show nothing that
//! does; every asset is in the program, and nothing is fetched from elsewhere.

mod reference;

use std::sync::Arc;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::Config;

use crate::{
    api::role,
    app::SharedApp,
    envelope::ApiError,
    openapi::{Document, Status},
    request::Params,
};

const HOME: &str = include_str!("docs/home.html");
const API: &str = include_str!("docs/api.html");
const PAGE_JS: &str = include_str!("docs/page.js");
const SESSION_JS: &str = include_str!("docs/session.js");
const HOME_JS: &str = include_str!("docs/home.js");
const PAGE_CSS: &str = include_str!("docs/page.css");

/// Three columns of basalt, seen from above.
const ICON: &str = include_str!("docs/icon.svg");

/// Swagger UI styles elements as it goes and draws with data URLs; scripts come from us alone.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

#[utoipa::path(get, path = "/", tag = "About", summary = "Where to go from here", security(()),
    responses((status = 200, description = "a page for browsers, links as JSON for everybody else",
        content((String = "text/html"), (Object = "application/json")))))]
pub(crate) async fn home(State(app): State<SharedApp>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accepts.contains("text/html") {
        return role::version::versions();
    }
    let health = if app.nodes.is_any_alive() { "ready" } else { "no storage node answers" };
    let page = HOME
        .replace("{node}", &escaped(&app.node_name()))
        .replace("{version}", env!("CARGO_PKG_VERSION"))
        .replace("{health}", health);
    file("text/html; charset=utf-8", page)
}

#[utoipa::path(get, path = "/docs", tag = "About", summary = "Every operation on one page", security(()),
    responses((status = 200, body = String, content_type = "text/html", description = "made from /openapi.json")))]
pub(crate) async fn reference(Extension(document): Extension<Document>) -> Response {
    file("text/html; charset=utf-8", reference::page(document.text()))
}

#[utoipa::path(get, path = "/docs/api", tag = "About", summary = "Try calls in the browser", security(()),
    responses((status = 200, body = String, content_type = "text/html", description = "Swagger UI")))]
pub(crate) async fn api() -> Response {
    file("text/html; charset=utf-8", API)
}

#[utoipa::path(get, path = "/docs/api/{file}", tag = "About", summary = "The parts of these pages", security(()),
    responses(
        (status = 200, content((String = "text/javascript"), (String = "text/css")), description = "a part"),
        (status = 404, body = Status, description = "there is no such part")))]
pub(crate) async fn asset(params: Params) -> Result<Response, ApiError> {
    let name = params.get("file");
    match name {
        "session.js" => Ok(file("text/javascript; charset=utf-8", SESSION_JS)),
        "page.js" => Ok(file("text/javascript; charset=utf-8", PAGE_JS)),
        "home.js" => Ok(file("text/javascript; charset=utf-8", HOME_JS)),
        "page.css" => Ok(file("text/css; charset=utf-8", PAGE_CSS)),
        "swagger-ui-bundle.js" => swagger(name, "text/javascript; charset=utf-8"),
        "swagger-ui.css" => swagger(name, "text/css; charset=utf-8"),
        _ => Err(ApiError::protocol(StatusCode::NOT_FOUND, format!("there is no /docs/api/{name}"))),
    }
}

/// Browsers ask for it at every site.
#[utoipa::path(get, path = "/favicon.ico", tag = "About", summary = "The icon of these pages", security(()),
    responses((status = 200, body = String, content_type = "image/svg+xml", description = "drawn, not painted")))]
pub(crate) async fn icon() -> Response {
    file("image/svg+xml", ICON)
}

fn swagger(name: &str, kind: &'static str) -> Result<Response, ApiError> {
    match utoipa_swagger_ui::serve(name, Arc::new(Config::from("/openapi.json"))) {
        Ok(Some(found)) => Ok(file(kind, found.bytes.into_owned())),
        _ => Err(ApiError::internal(format!("{name} is not in this program"))),
    }
}

fn file(kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // For browsers that do not know frame-ancestors.
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        // What the page shows of the node is old at once.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// As text of an HTML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
