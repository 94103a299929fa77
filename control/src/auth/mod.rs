//! Who is let in (provisioner D55): a client certificate of our own CA, or a bearer token.

mod certificate;
mod layer;
mod token;

use axum::http::{HeaderMap, Method, header};

pub(crate) use certificate::Certificates;
pub(crate) use layer::authenticate;
pub(crate) use token::{RotateError, Tokens, keep_admin_password};

use crate::{AuthSettings, Require, tls::Peer};

/// Judges each request by itself: certificates expire and tokens rotate while connections live.
pub(crate) struct Authenticator {
    pub(crate) settings: AuthSettings,
    pub(crate) certificates: Certificates,
    pub(crate) tokens: Tokens,
}

/// Why a request is not let in; the text tells the client what to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("present a client certificate of this server's CA, or a bearer token")]
    NoCredential,
    #[error("the bearer token is not valid, and no client certificate of this server's CA was presented")]
    WrongToken,
    #[error("a client certificate of this server's CA is required")]
    NoCertificate,
    #[error("a bearer token is required")]
    NoToken,
    #[error("the bearer token is not valid")]
    TokenNotValid,
}

impl Authenticator {
    fn judge(&self, method: &Method, path: &str, headers: &HeaderMap, peer: &Peer) -> Result<(), Refused> {
        if self.is_open(method, path) {
            return Ok(());
        }
        let certificate = || self.certificates.verify(&peer.chain);
        let token = || bearer(headers).map(|token| self.tokens.is_valid(token));
        let require_token = || match token() {
            Some(true) => Ok(()),
            Some(false) => Err(Refused::TokenNotValid),
            None => Err(Refused::NoToken),
        };
        match self.settings.require {
            // A certificate settles it whatever the token says: Cinder without one sends `Bearer Unknown`.
            Require::Any if certificate() => Ok(()),
            Require::Any => match token() {
                Some(true) => Ok(()),
                Some(false) => Err(Refused::WrongToken),
                None => Err(Refused::NoCredential),
            },
            Require::Certificate | Require::Both if !certificate() => Err(Refused::NoCertificate),
            Require::Certificate => Ok(()),
            Require::Token | Require::Both => require_token(),
        }
    }

    fn is_open(&self, method: &Method, path: &str) -> bool {
        (*method == Method::GET || *method == Method::HEAD)
            && match path {
                "/" | "/healthz" | "/readyz" | "/openapi.json" => true,
                "/info" => self.settings.open_info,
                "/metrics" => self.settings.open_metrics,
                _ => false,
            }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
