//! Before every operation: is it there, is the first start over, who asks, is it asked in the right way? In this order
//! (admin.md §1).

use std::net::IpAddr;

use axum::{
    extract::{Query, Request},
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::Response,
};

use super::{AdminError, Endpoint, PREFIX};
use crate::{admin::Credential, app::App, tls::Peer};

/// What the query says; one that cannot be read says nothing.
pub(super) fn credential(uri: &Uri) -> Option<Credential> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    Credential::find(&pairs)
}

/// Whether the other end is on this machine.
pub(super) fn is_local(peer: &Peer) -> bool {
    match peer.remote.ip() {
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(ip.is_loopback(), |ip| ip.is_loopback()),
        IpAddr::V4(ip) => ip.is_loopback(),
    }
}

/// Answers every request under the prefix, refused ones too.
pub(crate) async fn admit(app: &App, request: Request, next: Next) -> Response {
    let judged = judge(app, request.method(), request.uri());
    let mut response = match judged {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.answer(first_run(app)),
    };
    if let Some(error) = response.extensions_mut().remove::<AdminError>() {
        response = error.answer(first_run(app));
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn first_run(app: &App) -> Option<bool> {
    app.admin.config.first_run_words.map(|_| app.admin.token.is_pending())
}

fn judge(app: &App, method: &Method, uri: &Uri) -> Result<(), AdminError> {
    let (admin, path) = (&app.admin, uri.path());
    let endpoint = Endpoint::find(path).filter(|endpoint| admin.config.is_enabled(endpoint.group));
    let endpoint = endpoint.ok_or_else(AdminError::not_found)?;
    // Its handler judges the credential, because there it may be missing, and a wrong one takes its time.
    if endpoint.path == "setup" && method == Method::POST {
        return Ok(());
    }
    let target = path.strip_prefix(PREFIX).unwrap_or(path);
    if admin.token.is_pending() {
        admin.audit.note("token.firstrun.failed", target);
        return Err(AdminError::forbidden(
            "set a token first: POST setup with the one of credentials/setup-token",
        ));
    }
    if !admin.token.admits(credential(uri).as_ref(), method.as_str(), path) {
        admin.audit.note("token.authenticate.failed", target);
        return Err(AdminError::forbidden("token or hash are missing or wrong"));
    }
    match endpoint.takes(method) {
        true => Ok(()),
        false => Err(AdminError::invalid(format!("{path} does not take {method}"))),
    }
}

/// On every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000 ; includeSubDomains"),
    (header::X_FRAME_OPTIONS, "deny"),
    (header::X_XSS_PROTECTION, "1"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "object-src 'self';"),
];
