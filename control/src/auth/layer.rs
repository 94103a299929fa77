//! Authentication stands before routing: without it nobody learns which paths exist.

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, Refused, is_reading, may, may_in_tenant};
use crate::{
    accounts::Caller,
    api::{admin, basalt, role, session},
    app::{SharedApp, now_ms},
    envelope::ApiError,
    model::DEFAULT_TENANT,
    request::Params,
    syslog::{Logging, Severity, Syslog},
    tls::Peer,
};

pub(crate) async fn authenticate(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let judged = app.auth.judge(&method, &path, request.headers(), &peer).await;
    let user = judged.as_ref().ok().and_then(Option::as_ref).map(|caller| caller.user.to_string());
    let response = match judged {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            match Api::of(&path) {
                Api::Admin => admin::admit(&app, request, next).await,
                _ => next.run(request).await,
            }
        }
        Err(refused) => {
            tracing::info!(%method, path, peer = %peer.remote, %refused, "refused a request");
            answer(&path, &refused)
        }
    };
    if !is_reading(&method) {
        audit(&app.syslog, &method, &path, &peer, user, response.status());
    }
    response
}

/// Who asked for a change, and how that was answered: never what was in the request.
fn audit(
    syslog: &Syslog,
    method: &Method,
    path: &str,
    peer: &Peer,
    user: Option<String>,
    status: StatusCode,
) {
    let user = user.unwrap_or_else(|| "-".to_owned());
    let text = format!("{method} {path} of user {user} was answered {}", status.as_u16());
    let parameters = [
        ("method", method.to_string()),
        ("path", path.to_owned()),
        ("user", user),
        ("peer", peer.remote.to_string()),
        ("status", status.as_u16().to_string()),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value)).into();
    syslog.tell(Logging::Command, Severity::Info, now_ms(), text, parameters);
}

/// Around the APIs whose operations need a role and nothing finer. It stands at their routes, not at their paths, so
/// that no path gets around it.
pub(crate) async fn require_role(request: Request, next: Next) -> Response {
    // Without a caller the operation was found to be open to anyone.
    let judged = request.extensions().get::<Caller>().map_or(Ok(()), |caller| may(caller, request.method()));
    go_on(judged, request, next).await
}

/// Around operations on what belongs to a tenant: the path's, or else the default one.
pub(crate) async fn require_role_in_tenant(params: Params, request: Request, next: Next) -> Response {
    let tenant = Some(params.get("tenant")).filter(|tenant| !tenant.is_empty()).unwrap_or(DEFAULT_TENANT);
    let caller = request.extensions().get::<Caller>();
    let judged = caller.map_or(Ok(()), |caller| may_in_tenant(caller, request.method(), tenant));
    go_on(judged, request, next).await
}

async fn go_on(judged: Result<(), Refused>, request: Request, next: Next) -> Response {
    match judged {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            tracing::info!(method = %request.method(), path = request.uri().path(), %refused, "refused a request");
            answer(request.uri().path(), &refused)
        }
    }
}

/// In the shape of the API that was asked.
fn answer(path: &str, refused: &Refused) -> Response {
    let status = refused.status();
    let mut response = match Api::of(path) {
        Api::Basalt => basalt::refused(status, refused),
        Api::Admin => admin::AdminError::new(status, refused.to_string()).into_response(),
        Api::Session => session::SessionError::new(status, refused.to_string()).into_response(),
        Api::Role => role::RoleError::new(status, refused.to_string()).into_response(),
        Api::Provisioner => ApiError::protocol(status, refused.to_string()).into_response(),
    };
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
