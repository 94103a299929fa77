//! Authentication stands before routing: without it nobody learns which paths exist.

use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, Refused, may};
use crate::{
    accounts::Caller,
    api::{basalt, session},
    app::SharedApp,
    envelope::ApiError,
    tls::Peer,
};

pub(crate) async fn authenticate(
    State(app): State<SharedApp>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let judged = app.auth.judge(request.method(), path, request.headers(), &peer).await;
    match judged {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(refused) => {
            tracing::info!(method = %request.method(), path, peer = %peer.remote, %refused, "refused a request");
            answer(path, &refused)
        }
    }
}

/// Around the APIs whose operations need a role and nothing finer. It stands at their routes, not at their paths, so
/// that no path gets around it.
pub(crate) async fn require_role(request: Request, next: Next) -> Response {
    // Without a caller the operation was found to be open to anyone.
    let judged = request.extensions().get::<Caller>().map_or(Ok(()), |caller| may(caller, request.method()));
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
        Api::Session => session::SessionError::new(status, refused.to_string()).into_response(),
        Api::Provisioner => ApiError::protocol(status, refused.to_string()).into_response(),
    };
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
