//! Authentication stands before routing: without it nobody learns which paths exist.

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{api::basalt, app::SharedApp, envelope::ApiError, tls::Peer};

pub(crate) async fn authenticate(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let Err(refused) = app.auth.judge(request.method(), path, request.headers(), &peer) else {
        return next.run(request).await;
    };
    tracing::info!(method = %request.method(), path, peer = %peer.remote, %refused, "refused a request");
    let mut response = match path.starts_with("/basalt/") {
        true => basalt::unauthorized(refused),
        false => ApiError::protocol(StatusCode::UNAUTHORIZED, refused.to_string()).into_response(),
    };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
