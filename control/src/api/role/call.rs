//! Who calls, with what, from where: what every handler of the role API takes (role.md §1.2).

use std::net::IpAddr;

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, request::Parts},
};
use serde_json::{Map, Value};

use super::RoleError;
use crate::{
    accounts::{UserIdentity, token_digest},
    app::{SharedApp, now_ms},
    request::{Params, Query, read_body},
    role::{
        Arguments, Kind, ObjectYrn, RoleTokenCreator, RoleTokenRecord, Rules, Tenant, Yrn, address_of,
        tenants,
    },
    tls::Peer,
};

/// A request, its token not yet judged.
pub(crate) struct Call {
    pub(super) app: SharedApp,
    token: Option<Token>,
    /// Where it came from.
    pub(super) source: IpAddr,
    /// Of the URL.
    pub(super) arguments: Arguments,
    /// What follows the API's own words in the path.
    pub(super) path: String,
}

#[derive(Clone)]
enum Token {
    User(String),
    Role(String),
}

/// A user inside a tenant.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) user: UserIdentity,
    pub(super) tenant: Tenant,
}

/// What a request's token is good for.
pub(super) enum Holder {
    Member(Box<Member>),
    Role(Box<RoleTokenRecord>),
    /// No token: only the address speaks.
    Nobody,
}

impl FromRequestParts<SharedApp> for Call {
    type Rejection = RoleError;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, RoleError> {
        let query = Query::from_request_parts(parts, app).await?;
        let params = Params::from_request_parts(parts, app).await?;
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.remote.ip().to_canonical());
        let peer = peer.ok_or_else(|| RoleError::bad("the request has no address"))?;
        Ok(Self {
            app: SharedApp::clone(app),
            token: token(&parts.headers)?,
            source: source(peer, &parts.headers),
            arguments: Arguments::of_query(query.pairs()),
            path: params.get("name").to_owned(),
        })
    }
}

fn token(headers: &HeaderMap) -> Result<Option<Token>, RoleError> {
    let Some(value) = headers.get("x-auth-token") else { return Ok(None) };
    let text = value.to_str().map_err(|_| RoleError::unauthorized("the token is not valid"))?.trim();
    Ok(Some(match (text.strip_prefix("U="), text.strip_prefix("R=")) {
        (Some(user), _) => Token::User(user.to_owned()),
        (_, Some(role)) => Token::Role(role.to_owned()),
        _ => Token::User(text.to_owned()),
    }))
}

/// A proxy on this machine is believed whom it speaks for, nobody else.
fn source(peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next()).and_then(|text| address_of(text.trim()));
    first.filter(|_| peer.is_loopback()).unwrap_or(peer)
}

impl Call {
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The user of a token or bearer, scoped or not.
    pub(super) async fn user(&self) -> Result<UserIdentity, RoleError> {
        match &self.token {
            None => Err(RoleError::bad("the header x-auth-token is missing")),
            Some(Token::Role(_)) => Err(RoleError::bad("a user token is needed, not a role token")),
            Some(Token::User(text)) => {
                let found = self.app.auth.accounts.user_identity(text).await?;
                found.ok_or_else(|| RoleError::unauthorized("the user token is not valid"))
            }
        }
    }

    /// A user who acts in a tenant.
    pub(super) async fn member(&self) -> Result<Member, RoleError> {
        let user = self.user().await?;
        let Some(scope) = user.tenant.clone() else {
            return Err(RoleError::unauthorized("a token that is scoped to a tenant is needed"));
        };
        let tenants = tenants(&self.app.state).await?;
        let tenant = tenants.into_iter().find(|tenant| tenant.name == scope && tenant.admits(&user));
        let gone = || RoleError::unauthorized(format!("the token's tenant {scope:?} is closed to its user"));
        Ok(Member { tenant: tenant.ok_or_else(gone)?, user })
    }

    /// Whoever the token speaks for; a role token that is used from a wrong address for nobody.
    pub(super) async fn holder(&self) -> Result<Holder, RoleError> {
        match &self.token {
            None => Ok(Holder::Nobody),
            Some(Token::User(_)) => Ok(Holder::Member(Box::new(self.member().await?))),
            Some(Token::Role(_)) => {
                let token = self.role_token().await?;
                match token.address() {
                    Some(address) if address != self.source => {
                        Err(RoleError::unauthorized("the role token is for another address"))
                    }
                    _ => self.still_a_host(token).await,
                }
            }
        }
    }

    /// A host's token is good while the host is in the role: it must not bring itself back.
    async fn still_a_host(&self, token: RoleTokenRecord) -> Result<Holder, RoleError> {
        if let RoleTokenCreator::Host(host) = &token.creator
            && !Rules::read(&self.app.state).await?.is_member(&token.role, host)
        {
            return Err(RoleError::forbidden(format!("{} is no host of {}", host.host, token.role)));
        }
        Ok(Holder::Role(Box::new(token)))
    }

    /// The role token, wherever it is used from.
    pub(super) async fn role_token(&self) -> Result<RoleTokenRecord, RoleError> {
        let wrong = || RoleError::unauthorized("the role token is not valid");
        let Some(Token::Role(text)) = &self.token else {
            return Err(RoleError::bad("a role token is needed"));
        };
        let token =
            self.app.state.get::<RoleTokenRecord>(&token_digest(text)).await?.ok_or_else(wrong)?.value;
        if let RoleTokenCreator::User(id) = token.creator {
            let user = self.app.auth.accounts.identity(id).await?.ok_or_else(wrong)?;
            let mut tenants = tenants(&self.app.state).await?.into_iter();
            tenants.find(|t| t.name == token.role.tenant && t.admits(&user)).ok_or_else(wrong)?;
        }
        match now_ms() < token.ends_ms {
            true => Ok(token),
            false => Err(wrong()),
        }
    }

    /// The object that the path names, by its name in the tenant or in full.
    pub(super) fn named(&self, kind: Kind, tenant: &str) -> Result<ObjectYrn, RoleError> {
        own(kind, &self.path, tenant)
    }

    /// Without a token only a full name says which tenant is meant.
    pub(super) fn named_in_full(&self, kind: Kind) -> Result<ObjectYrn, RoleError> {
        Ok(ObjectYrn::parse_as(kind, &self.path)?)
    }
}

/// A name in the tenant, or a full name that must be the tenant's.
pub(super) fn own(kind: Kind, text: &str, tenant: &str) -> Result<ObjectYrn, RoleError> {
    let name = match text.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("yrn:")) {
        true => ObjectYrn::parse_as(kind, text)?,
        false => ObjectYrn::new(kind, tenant, text)?,
    };
    match name.tenant == tenant {
        true => Ok(name),
        false => Err(RoleError::bad(format!("{name} is of another tenant than {tenant}"))),
    }
}

/// Full names of a kind; with `tenant` they must be its own.
pub(super) fn names(kind: Kind, texts: &[String], tenant: Option<&str>) -> Result<Vec<ObjectYrn>, RoleError> {
    let name = |text: &String| {
        let name = ObjectYrn::parse_as(kind, text)?;
        match tenant.is_none_or(|tenant| name.tenant == tenant) {
            true => Ok(name),
            false => Err(RoleError::bad(format!("{name} is of another tenant"))),
        }
    };
    texts.iter().map(name).collect()
}

/// `read` or `write`, alone or in full.
pub(super) fn action(text: &str) -> Result<crate::role::Action, RoleError> {
    match (crate::role::Action::parse(text), text.parse::<Yrn>()) {
        (Some(action), _) | (_, Ok(Yrn::Action(action))) => Ok(action),
        _ => Err(RoleError::bad(format!("{text:?} is no action: there are read and write"))),
    }
}

/// The JSON object of a body; nothing at all is an empty one.
pub(crate) struct Body(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = RoleError;

    async fn from_request(request: Request, _: &S) -> Result<Self, RoleError> {
        let bytes = read_body(request).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(RoleError::bad("the request body must be a JSON object")),
            Err(e) => Err(RoleError::bad(format!("the request body is not JSON: {e}"))),
        }
    }
}

impl Body {
    pub(super) fn fields(self) -> Arguments {
        Arguments(self.0)
    }

    /// The object under that name, which must be there.
    pub(super) fn object(mut self, name: &str) -> Result<Arguments, RoleError> {
        match self.0.remove(name) {
            Some(Value::Object(map)) => Ok(Arguments(map)),
            _ => Err(RoleError::bad(format!("{name} must be an object in the request body"))),
        }
    }
}
