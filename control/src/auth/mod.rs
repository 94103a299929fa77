//! Who is let in (provisioner D55, session.md §3): a client certificate of our own CA, or a bearer; and what for:
//! Observers read, Administrators change.

mod certificate;
mod issued;
mod layer;
mod token;

use axum::http::{HeaderMap, Method, StatusCode, header};

pub(crate) use certificate::Certificates;
use issued::Judged;
pub(crate) use issued::{IssueError, IssuedRole, IssuedToken, IssuedTokens};
pub(crate) use layer::{authenticate, require_role, require_role_in_tenant};
pub(crate) use token::{RotateError, Tokens};

use crate::{
    AuthSettings, Require,
    accounts::{Accounts, Caller, Roles},
    api::admin,
    oidc::Oidc,
    store::StoreError,
    tls::Peer,
};

/// Judges each request by itself: certificates expire, tokens rotate and users change while connections live.
pub(crate) struct Authenticator {
    pub(crate) settings: AuthSettings,
    pub(crate) certificates: Certificates,
    pub(crate) tokens: Tokens,
    pub(crate) issued: IssuedTokens,
    pub(crate) oidc: Oidc,
    pub(crate) accounts: Accounts,
}

/// Why a request is not let in; the text tells the client what to bring.
#[derive(Debug, thiserror::Error)]
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
    #[error("the bearer token has expired")]
    TokenExpired,
    #[error("the bearer token opens GET /metrics only")]
    MetricsOnly,
    #[error("this needs the role Administrators")]
    MayNotChange,
    #[error("this needs the role Observers or Administrators")]
    MayNotRead,
    #[error("the bearer token could not be checked: {0}")]
    Unchecked(#[from] StoreError),
}

impl Refused {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::MayNotChange | Self::MayNotRead | Self::MetricsOnly => StatusCode::FORBIDDEN,
            Self::Unchecked(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::UNAUTHORIZED,
        }
    }
}

const METRICS: &str = "/metrics";

/// Who was let in.
enum Entrant {
    Caller(Caller),
    /// Holds a token that opens the metrics only.
    Scraper,
}

/// The API that owns a path: it has its own errors, and its own idea of what a certificate is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Provisioner,
    Basalt,
    Session,
    /// It has a credential of its own (`api::admin`).
    Admin,
    Role,
}

/// What the session API owns of `/v1` (session.md §12).
const SESSION: [&str; 8] = [
    "/v1/session",
    "/v1/version",
    "/v1/cluster",
    "/v1/node",
    "/v1/auth",
    "/v1/users",
    "/v1/groups",
    "/v1/identity",
];

impl Api {
    pub(crate) fn of(path: &str) -> Self {
        let is_under =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        match path {
            _ if is_under("/basalt") => Self::Basalt,
            _ if is_under(admin::PREFIX) => Self::Admin,
            _ if SESSION.iter().any(|prefix| is_under(prefix)) => Self::Session,
            _ if is_under("/v1") => Self::Role,
            _ => Self::Provisioner,
        }
    }
}

impl Authenticator {
    /// `None`: the operation needs nobody in particular.
    async fn judge(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        peer: &Peer,
    ) -> Result<Option<Caller>, Refused> {
        if self.is_open(method, path) {
            return Ok(None);
        }
        let entrant = match Api::of(path) {
            // Certificates and issued tokens count on the other APIs only (D55).
            Api::Session => self.session_token(headers).await.map(Entrant::Caller)?,
            Api::Admin => return Ok(None),
            // Its handlers judge tokens of its own.
            Api::Role => return Ok(None),
            Api::Provisioner | Api::Basalt => self.identify(headers, peer).await?,
        };
        match entrant {
            Entrant::Caller(caller) => Ok(Some(caller)),
            Entrant::Scraper if is_reading(method) && path == METRICS => Ok(None),
            Entrant::Scraper => Err(Refused::MetricsOnly),
        }
    }

    async fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Entrant, Refused> {
        let certificate = self.certificates.verify(&peer.chain);
        match (self.settings.require, certificate) {
            // It settles it whatever the token says: Cinder without one sends `Bearer Unknown`.
            (Require::Any | Require::Certificate, true) => Ok(Entrant::Caller(Caller::ADMINISTRATOR)),
            (Require::Any, false) => match self.any_token(headers).await {
                Err(Refused::NoToken) => Err(Refused::NoCredential),
                Err(Refused::TokenNotValid) => Err(Refused::WrongToken),
                judged => judged,
            },
            (Require::Certificate | Require::Both, false) => Err(Refused::NoCertificate),
            (Require::Token, _) | (Require::Both, true) => self.any_token(headers).await,
        }
    }

    async fn any_token(&self, headers: &HeaderMap) -> Result<Entrant, Refused> {
        match self.session_token(headers).await {
            Err(Refused::TokenNotValid) => {}
            judged => return judged.map(Entrant::Caller),
        }
        let Some(token) = bearer(headers) else { return Err(Refused::NoToken) };
        let roles = match self.issued.judge(token).await? {
            Judged::Valid(IssuedRole::Admin) => Roles::ADMINISTRATOR,
            Judged::Valid(IssuedRole::Observer) => Roles::OBSERVER,
            Judged::Valid(IssuedRole::Metrics) => return Ok(Entrant::Scraper),
            Judged::Expired => return Err(Refused::TokenExpired),
            Judged::Unknown => self.oidc.judge(token).await.ok_or(Refused::TokenNotValid)?,
        };
        Ok(Entrant::Caller(Caller { roles, ..Caller::ADMINISTRATOR }))
    }

    /// The administrator's token, or a user's session or access token.
    async fn session_token(&self, headers: &HeaderMap) -> Result<Caller, Refused> {
        let Some(token) = bearer(headers) else { return Err(Refused::NoToken) };
        if self.tokens.is_valid(token) {
            return Ok(Caller::ADMINISTRATOR);
        }
        self.accounts.caller(token).await?.ok_or(Refused::TokenNotValid)
    }

    fn is_open(&self, method: &Method, path: &str) -> bool {
        if *method == Method::POST {
            // Who joins has an invite instead.
            return path == "/v1/session/login" || path == "/basalt/v1/nodes";
        }
        is_reading(method)
            && match path {
                "/" | "/healthz" | "/readyz" | "/openapi.json" | "/favicon.ico" | "/v1/version"
                | "/v1/node/state" | "/docs" | "/docs/api" => true,
                _ if path.starts_with("/docs/api/") => true,
                "/info" => self.settings.open_info,
                METRICS => self.settings.open_metrics,
                _ => false,
            }
    }
}

/// What the caller's roles allow on the APIs that know nothing finer.
fn may(caller: &Caller, method: &Method) -> Result<(), Refused> {
    match is_reading(method) {
        _ if caller.roles.administrator => Ok(()),
        true if caller.roles.observer => Ok(()),
        true => Err(Refused::MayNotRead),
        false => Err(Refused::MayNotChange),
    }
}

/// As `may`, and whoever is a member of the tenant does everything in it (role.md §5).
fn may_in_tenant(caller: &Caller, method: &Method, tenant: &str) -> Result<(), Refused> {
    if caller.tenants.contains(tenant) { Ok(()) } else { may(caller, method) }
}

fn is_reading(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
