//! The REST API as a client sees it: one HTTPS connection, JSON both ways.

use std::{borrow::Cow, future::Future, time::Duration};

use control::OWN_SERVER_NAME;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    error::CliError,
    server::{Server, Trust},
    tls,
};

/// A connected server.
#[derive(Debug)]
pub(crate) struct Client {
    server: Server,
    url: String,
    /// Id of the tenant to act for; `None`: the default one.
    tenant: Option<String>,
    requests: SendRequest<Full<Bytes>>,
}

/// What the error shapes of the APIs may hold: the provisioner's envelope, `/basalt/v1`'s and the session API's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Verdict {
    status: Option<String>,
    code: Option<String>,
    error_class: Option<String>,
    description: Option<String>,
    message: Option<String>,
}

impl Client {
    pub(crate) async fn connect(server: Server) -> Result<Self, CliError> {
        let url = server.address.url();
        let unreachable = |reason: String| CliError::Unreachable { url: server.address.url(), reason };
        let config = tls::client_config(&server)?;
        // Of an installation whose own authority we trust we want its own certificate, not the one for everybody.
        let name = match server.trust {
            Trust::Installation(_) => OWN_SERVER_NAME.to_owned(),
            Trust::Public(_) | Trust::Anybody => server.address.host.clone(),
        };
        let name = ServerName::try_from(name).map_err(|error| CliError::Usage(format!("{url}: {error}")))?;
        let socket = TcpStream::connect((server.address.host.as_str(), server.address.port));
        let socket = match tokio::time::timeout(CONNECT_LIMIT, socket).await {
            Ok(connected) => connected.map_err(|error| unreachable(error.to_string()))?,
            Err(_) => return Err(unreachable("no answer".to_owned())),
        };
        let stream = tokio::time::timeout(
            CONNECT_LIMIT,
            TlsConnector::from(std::sync::Arc::new(config)).connect(name, socket),
        );
        let stream = match stream.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) if is_certificate_error(&error) => {
                return Err(CliError::Untrusted { url, reason: error.to_string() });
            }
            Ok(Err(error)) => return Err(unreachable(error.to_string())),
            Err(_) => return Err(unreachable("no TLS handshake".to_owned())),
        };
        let (requests, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(error.to_string()))?;
        // Its error reaches us through the request that it ends.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self { server, url, tenant: None, requests })
    }

    /// For texts that name the server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on volumes and snapshots are those of this tenant.
    pub(crate) fn act_for(&mut self, tenant_id: String) {
        self.tenant = Some(tenant_id);
    }

    pub(crate) fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The host part of the URL: an address of the node as this caller sees it.
    pub(crate) fn host(&self) -> &str {
        &self.server.address.host
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, CliError> {
        let value = self.call(Method::GET, path, None).await?;
        self.parse(value)
    }

    /// As [`Self::get`], of a resource that need not be there.
    pub(crate) async fn get_if_there<T: DeserializeOwned>(
        &mut self,
        path: &str,
    ) -> Result<Option<T>, CliError> {
        match self.get(path).await {
            Ok(resource) => Ok(Some(resource)),
            Err(CliError::Refused { code, .. }) if code == "not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A call that changes something; the answer is the envelope or resource as it came.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, CliError> {
        let request = self.request(method, path, body)?;
        let broken = |url: &str, reason: String| CliError::Broken { url: url.to_owned(), reason };
        let answer = within(&self.url, self.requests.send_request(request)).await?;
        let answer = answer.map_err(|error| broken(&self.url, error.to_string()))?;
        let status = answer.status();
        let bytes = within(&self.url, read_body(answer.into_body())).await?;
        let bytes = bytes.map_err(|reason| broken(&self.url, reason))?;
        self.judge(status, &bytes)
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, value: Value) -> Result<T, CliError> {
        serde_json::from_value(value)
            .map_err(|error| CliError::BadAnswer { url: self.url.clone(), reason: error.to_string() })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Request<Full<Bytes>>, CliError> {
        let authority = self.url.trim_start_matches("https://");
        let uri = in_tenant(self.tenant(), path);
        let mut request = Request::builder().method(method).uri(uri.as_ref()).header(header::HOST, authority);
        if let Some(token) = &self.server.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        // Names and ids come from people and from the server, the token from a person.
        let unsendable = |error: hyper::http::Error| CliError::Usage(format!("{path}: {error}"));
        request.body(Full::new(bytes)).map_err(unsendable)
    }

    /// Success by the HTTP status *and*, where there is an envelope, by its own `status` (provisioner §1.3).
    fn judge(&self, status: StatusCode, bytes: &[u8]) -> Result<Value, CliError> {
        let value: Value = match bytes {
            // Done, with nothing to say (session.md §1).
            [] if status.is_success() => Value::Null,
            bytes => serde_json::from_slice(bytes).map_err(|_| CliError::BadAnswer {
                url: self.url.clone(),
                reason: format!("HTTP {status} without JSON"),
            })?,
        };
        // Lists and other resources carry none of these keys.
        let verdict = Verdict::deserialize(&value).unwrap_or_default();
        let message = verdict.description.or(verdict.message).unwrap_or_else(|| status.to_string());
        let refused = match verdict.status.or(verdict.code).or(verdict.error_class) {
            Some(code) if code != "Success" && (value.get("status").is_some() || !status.is_success()) => {
                Some(code)
            }
            _ if !status.is_success() => Some(status.as_u16().to_string()),
            _ => None,
        };
        match refused {
            None => Ok(value),
            Some(_) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(CliError::Unauthorized { url: self.url.clone(), message })
            }
            Some(code) => Err(CliError::Refused { code, message }),
        }
    }
}

/// The path as the tenant's, if it is about something that tenants have of their own (provisioner D2).
fn in_tenant<'a>(tenant: Option<&str>, path: &'a str) -> Cow<'a, str> {
    let first = path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    match tenant {
        Some(tenant) if OF_TENANTS.contains(&first) => format!("/{}{path}", encode(tenant)).into(),
        _ => path.into(),
    }
}

/// First words of the paths that exist for each tenant.
const OF_TENANTS: [&str; 12] = [
    "volumes",
    "volumes_by_alias",
    "volume_extended",
    "snapshots",
    "snapshots_by_vol",
    "snapshots_by_alias",
    "snapshot_volumes",
    "clone_volume",
    "publish",
    "unpublish",
    "replica",
    "migrate_volume",
];

/// Percent-encodes everything but the characters that stand for themselves in a path segment or query value.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(byte);
    let encode = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

async fn read_body(body: Incoming) -> Result<Bytes, String> {
    match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err("the answer is too long".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn within<T>(url: &str, work: impl Future<Output = T>) -> Result<T, CliError> {
    let broken = |_| CliError::Broken { url: url.to_owned(), reason: "no answer in time".to_owned() };
    tokio::time::timeout(ANSWER_LIMIT, work).await.map_err(broken)
}

fn is_certificate_error(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// The limits that the API's own clients have (provisioner §1.1).
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Room for 50,000 volumes in one list.
const MAX_ANSWER_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tenants_have_goes_under_their_prefix() {
        for (path, scoped) in [
            ("/volumes", "/a%20b/volumes"),
            ("/volumes/x?y=z", "/a%20b/volumes/x?y=z"),
            ("/snapshots?uniqueBytes=false", "/a%20b/snapshots?uniqueBytes=false"),
            ("/migrate_volume", "/a%20b/migrate_volume"),
            ("/tenants", "/tenants"),
            ("/hosts?limit=1", "/hosts?limit=1"),
            ("/basalt/v1/volumes/x/path-state", "/basalt/v1/volumes/x/path-state"),
        ] {
            assert_eq!(in_tenant(Some("a b"), path), scoped);
            assert_eq!(in_tenant(None, path), path);
        }
    }

    #[test]
    fn only_harmless_characters_go_as_they_are() {
        assert_eq!(encode("02:00:5e:10:00:00"), "02:00:5e:10:00:00");
        assert_eq!(encode("a b/c?d&e%ü"), "a%20b%2Fc%3Fd%26e%25%C3%BC");
    }
}
