//! Reading requests leniently where the contract says so and strictly everywhere else; every refusal is in the
//! API's own shape.

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::{
        FromRequest, FromRequestParts, OptionalFromRequest, OriginalUri, Path, Query as AxumQuery, Request,
    },
    http::{StatusCode, Uri, request::Parts},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};

use crate::{
    envelope::{ApiError, Failure},
    limits,
};

/// The JSON object that a request carries, whatever its content type says (curl's default is another).
pub(crate) struct JsonBody(pub(crate) Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Self::parse(&read_body(request).await?)
    }
}

/// No body at all is none.
impl<S: Send + Sync> OptionalFromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Option<Self>, ApiError> {
        let bytes = read_body(request).await?;
        if bytes.is_empty() { Ok(None) } else { Self::parse(&bytes).map(Some) }
    }
}

impl JsonBody {
    fn parse(bytes: &[u8]) -> Result<Self, ApiError> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(bad("the request body must be a JSON object")),
            Err(e) => Err(bad(format!("the request body is not JSON: {e}"))),
        }
    }
}

fn bad(why: impl Into<String>) -> ApiError {
    ApiError::protocol(StatusCode::BAD_REQUEST, why)
}

/// All of the body; bounded in size and time.
pub(crate) async fn read_body(request: Request) -> Result<Vec<u8>, ApiError> {
    let bytes = timeout(limits::READ, receive(request.into_body())).await.map_err(|_| {
        ApiError::protocol(StatusCode::REQUEST_TIMEOUT, "the request body did not come in time")
    })?;
    let bytes = bytes.map_err(|e| bad(format!("the request body could not be read: {e}")))?;
    bytes.ok_or_else(|| {
        let why = format!("a request body may have {} bytes", limits::BODY_BYTES);
        ApiError::protocol(StatusCode::PAYLOAD_TOO_LARGE, why)
    })
}

/// `None`: the body is too long. Its rest is received all the same, up to a bound, because a client that cannot finish
/// sending does not read why it was refused.
async fn receive(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let (mut bytes, mut received) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        received += data.len();
        if received <= limits::BODY_BYTES {
            bytes.extend_from_slice(&data);
        } else if received > limits::BODY_BYTES + limits::DISCARDED_BODY_BYTES {
            break;
        }
    }
    Ok((received <= limits::BODY_BYTES).then_some(bytes))
}

/// The variable parts of the path, percent-decoded.
pub(crate) struct Params(HashMap<String, String>);

impl Params {
    /// Empty if the route has no such part.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(params)) => Ok(Self(params)),
            Err(e) => Err(ApiError::protocol(StatusCode::BAD_REQUEST, e.to_string())),
        }
    }
}

/// Query parameters; names in any case (D3), of a repeated one the last counts.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    /// Names are in lower case.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    pub(crate) fn truth(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Failure::invalid(format!("{name} must be true or false"))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match AxumQuery::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
            Ok(AxumQuery(pairs)) => {
                Ok(Self(pairs.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect()))
            }
            Err(e) => Err(ApiError::protocol(StatusCode::BAD_REQUEST, e.to_string())),
        }
    }
}

/// One line per request, for `--log debug`.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let began = Instant::now();
    let response = next.run(request).await;
    let status = response.status().as_u16();
    tracing::debug!(%method, path, status, elapsed = ?began.elapsed(), "answered");
    response
}

/// Runs before routing: repeated and trailing slashes, `%3A` and `/LICENSE` mean what they look like (D3).
pub(crate) async fn tolerate_path(mut request: Request, next: Next) -> Response {
    if let Some(uri) = tolerated(request.uri()) {
        *request.uri_mut() = uri.clone();
        request.extensions_mut().insert(OriginalUri(uri));
    }
    next.run(request).await
}

/// The path in its one form, or `None` if it has it already.
fn tolerated(uri: &Uri) -> Option<Uri> {
    let mut path = String::with_capacity(uri.path().len());
    for part in uri.path().split('/').filter(|part| !part.is_empty()) {
        path.push('/');
        path.push_str(&part.replace("%3A", ":").replace("%3a", ":"));
    }
    if path.is_empty() {
        path.push('/');
    }
    // The one path that clients write in capitals, too.
    if path.eq_ignore_ascii_case("/license") {
        path.make_ascii_lowercase();
    }
    if path == uri.path() {
        return None;
    }
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    // What remains of a valid path is one.
    path.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_form() {
        let cases = [
            ("/volumes", "/volumes"),
            ("/volumes/", "/volumes"),
            ("//volumes//x/?a=%2F&b=//", "/volumes/x?a=%2F&b=//"),
            ("/", "/"),
            ("/LICENSE", "/license"),
            ("/LICENSE/x", "/LICENSE/x"),
            ("//", "/"),
            ("/backends/02%3Aab%3a01", "/backends/02:ab:01"),
            ("/volumes_by_alias/a%2Fb", "/volumes_by_alias/a%2Fb"),
        ];
        for (given, expected) in cases {
            let uri: Uri = given.parse().unwrap();
            assert_eq!(tolerated(&uri).unwrap_or(uri).to_string(), expected, "{given}");
        }
    }
}
