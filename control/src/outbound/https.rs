//! Single HTTPS requests with bounded answers: no redirects, no connection that stays.

use std::{fmt::Display, str::FromStr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode, Uri,
    body::Bytes,
    client::conn::http1::handshake,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{Trust, TrustError};

/// A slow server costs its caller no more than this.
const PATIENCE: Duration = Duration::from_secs(10);
/// Key sets and tokens have a few KiB.
const ANSWER_BYTES: usize = 256 << 10;

/// `https://HOST[:PORT]/PATH`, without user, query allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpsUrl(Uri);

impl FromStr for HttpsUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri: Uri = text.parse().map_err(|_| "must be a URL")?;
        if uri.scheme_str() != Some("https") {
            return Err("must begin with https://");
        }
        match uri.authority() {
            Some(authority) if !authority.host().is_empty() && !authority.as_str().contains('@') => {
                Ok(Self(uri))
            }
            _ => Err("must name a host, and no user"),
        }
    }
}

impl Display for HttpsUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpsError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(HttpsUrl, String),
    #[error("{0} did not answer in {time} s", time = PATIENCE.as_secs())]
    Late(HttpsUrl),
    #[error("{0} answers HTTP {1}")]
    Status(HttpsUrl, StatusCode),
}

pub(crate) async fn get(trust: &Trust, url: &HttpsUrl) -> Result<Bytes, HttpsError> {
    send(trust, url, Request::builder().method(Method::GET), Bytes::new()).await
}

/// Sends a form, as the user with that password.
pub(crate) async fn post_form(
    trust: &Trust,
    url: &HttpsUrl,
    user: &str,
    password: &str,
    form: &[(&str, &str)],
) -> Result<Bytes, HttpsError> {
    let pairs: Vec<String> =
        form.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    // RFC 6749 §2.3.1: encoded as in a form before they are put together.
    let basic = Zeroizing::new(format!("{}:{}", encoded(user), encoded(password)));
    let request = Request::builder()
        .method(Method::POST)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(basic.as_bytes())));
    send(trust, url, request, pairs.join("&").into()).await
}

async fn send(
    trust: &Trust,
    url: &HttpsUrl,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<Bytes, HttpsError> {
    let answer = timeout(PATIENCE, exchange(trust, url, request, body)).await;
    answer.unwrap_or_else(|_| Err(HttpsError::Late(url.clone())))
}

async fn exchange(
    trust: &Trust,
    url: &HttpsUrl,
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<Bytes, HttpsError> {
    let unreachable = |reason: &dyn Display| HttpsError::Unreachable(url.clone(), reason.to_string());
    let authority = url.0.authority().expect("checked when it was parsed");
    let host = authority.host().trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned()).map_err(|e| unreachable(&e))?;
    let connector = TlsConnector::from(trust.client_config()?);
    let socket = trust.names.connect(host, authority.port_u16().unwrap_or(443)).await;
    let stream = connector.connect(name, socket.map_err(|e| unreachable(&e))?).await;
    let stream = stream.map_err(|e| unreachable(&e))?;
    let (mut requests, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
    // Its error reaches us through the request; it ends with `requests`.
    tokio::spawn(async { drop(connection.await) });
    let path = url.0.path_and_query().map_or("/", |path| path.as_str());
    let request = request
        .uri(path)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .body(Full::new(body))
        .map_err(|e| unreachable(&e))?;
    let answer = requests.send_request(request).await.map_err(|e| unreachable(&e))?;
    let status = answer.status();
    if !status.is_success() {
        return Err(HttpsError::Status(url.clone(), status));
    }
    let bytes = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
    Ok(bytes.map_err(|e| unreachable(&e))?.to_bytes())
}

/// `application/x-www-form-urlencoded`.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
    let encode = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_no_users() {
        for good in ["https://a", "https://a.example:8443/x?y=z", "https://[::1]:1/"] {
            assert!(good.parse::<HttpsUrl>().is_ok(), "{good}");
        }
        for wrong in ["", "a", "http://a/", "https://", "https:///x", "https://u:p@a/", "file:///etc/passwd"]
        {
            assert!(wrong.parse::<HttpsUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn forms_encode_all_that_could_end_a_value() {
        assert_eq!(encoded("a b&c=d:ü"), "a%20b%26c%3Dd%3A%C3%BC");
    }
}
