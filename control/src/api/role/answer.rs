//! What every answer of the role API has: its content type, the reason in a header for those who debug, CORS, and no body
//! on HEAD and DELETE (role.md §1).

use axum::{
    body::Body,
    extract::{OriginalUri, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::error::Reason;
use crate::auth::Api;

const DEBUG: &str = "x-k2hr3-debug";
const ERROR: HeaderName = HeaderName::from_static("x-k2hr3-error");

pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (status, kind, body.to_string()).into_response()
}

/// `{"result":true,"message":null}` and what else there is to say.
pub(super) fn done(status: StatusCode, more: Value) -> Response {
    let mut body = json!({ "result": true, "message": null });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    json(status, &body)
}

/// 204: yes, or done.
pub(super) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// Around all of `/v1`: paths of this API that do not exist are answered in its manner, too.
pub(crate) async fn dress(OriginalUri(uri): OriginalUri, request: Request, next: Next) -> Response {
    match Api::of(uri.path()) {
        Api::Role => dressed(request, next).await,
        _ => next.run(request).await,
    }
}

async fn dressed(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let debug = wants_reason(request.headers());
    let mut response = match method {
        Method::OPTIONS => nothing(),
        _ => next.run(request).await,
    };
    if let Some(reason) = response.extensions().get::<Reason>().filter(|_| debug) {
        let text: String = reason.0.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' }).collect();
        let value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("refused"));
        response.headers_mut().insert(ERROR, value);
    }
    if [Method::HEAD, Method::DELETE].contains(&method) && response.status() != StatusCode::NO_CONTENT {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        // Who asks with `curl -X HEAD` waits for a body otherwise.
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    if let Some(origin) = origin {
        allow_origin(response.headers_mut(), origin);
    }
    response
}

fn wants_reason(headers: &HeaderMap) -> bool {
    let value = headers.get(DEBUG).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["on", "ok", "debug", "dbg", "1"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Tokens travel in a header that browsers never add by themselves, so any page may ask.
fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, X-Auth-Token, x-k2hr3-debug"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "X-Auth-Token, x-k2hr3-error"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
