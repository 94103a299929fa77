//! /v1/role/token: role tokens, made by users or by member hosts for themselves (role.md §3.4, §3.5, §3.7).

use axum::{http::StatusCode, response::Response};
use serde_json::{Map, Value, json};
use time::macros::format_description;

use super::{
    RoleError,
    answer::{done, nothing},
    call::{Call, Holder},
    hosts, register_path,
};
use crate::{
    accounts::{Directory, new_token, token_digest},
    app::{SharedApp, now_ms},
    events::Kind as EventKind,
    limits,
    role::{Kind, ObjectYrn, RoleTokenCreator, RoleTokenRecord, Rules},
    state::{Change, Stored},
    store::StoreError,
    utc,
};

const DEFAULT_LIFE_S: u64 = 86_400;
/// Ten years: what "no expiry" means.
const LONGEST_LIFE_S: u64 = 315_360_000;

/// A user gets one for a role; a member host one for its address; a host's token renews itself.
#[utoipa::path(get, path = "/role/token/{*name}", tag = "Roles", summary = "A role token", security((), ("token" = [])),
    params(("expire" = Option<u64>, Query, description = "seconds; 0: ten years"), ("port" = Option<u16>, Query, description = "of the host that asks"), ("cuk" = Option<String>, Query, description = "of the host that asks")),
    responses((status = 200, body = Object, description = "the token, and the path of its registration script")))]
pub(crate) async fn issue(call: Call) -> Result<Response, RoleError> {
    let rules = Rules::read(&call.app.state).await?;
    let holder = match call.holder().await {
        // Here a token that is used elsewhere is a wrong request (role.md §3.4).
        Err(error) if error.is_unauthorized() && call.role_token().await.is_ok() => {
            return Err(RoleError::bad("the role token is for another address"));
        }
        holder => holder?,
    };
    let unknown = |role: &ObjectYrn| RoleError::not_found(format!("there is no {role}"));
    let (role, creator, life_s, old) = match holder {
        Holder::Member(member) => {
            let role = call.named(Kind::Role, &member.tenant.name)?;
            let life_s = match call.arguments.number("expire") {
                Some(0) => LONGEST_LIFE_S,
                Some(seconds) => seconds.min(LONGEST_LIFE_S),
                None => DEFAULT_LIFE_S,
            };
            (role, RoleTokenCreator::User(member.user.user.id), life_s, None)
        }
        Holder::Role(token) => {
            if call.named(Kind::Role, &token.role.tenant)? != token.role {
                return Err(RoleError::bad(format!("the role token is for {}", token.role)));
            }
            if matches!(token.creator, RoleTokenCreator::User(_)) {
                return Err(RoleError::bad("a role token that a user made does not renew itself"));
            }
            let life_s = (token.ends_ms - token.made_ms) / 1000;
            (token.role.clone(), token.creator.clone(), life_s, Some(token.digest))
        }
        Holder::Nobody => {
            let role = call.named_in_full(Kind::Role)?;
            let member = rules.member(&role, &hosts::caller(&call)?).cloned();
            let member = member.ok_or_else(|| unknown(&role))?;
            let (port, cuk) = (call.arguments.port()?, call.arguments.cuk()?.or(member.cuk.clone()));
            (role, RoleTokenCreator::Host(crate::role::Member { port, cuk, ..member }), DEFAULT_LIFE_S, None)
        }
    };
    rules.role(&role).ok_or_else(|| unknown(&role))?;
    let text = make(&call.app, &role, creator, life_s, old).await?;
    let path = register_path::of(&call.app.seal, &role, &text);
    Ok(done(StatusCode::OK, json!({ "token": text, "registerpath": path })))
}

/// Makes a token in place of an old one. Tokens that have ended are swept, and a role's oldest goes if it has too many.
async fn make(
    app: &SharedApp,
    role: &ObjectYrn,
    creator: RoleTokenCreator,
    life_s: u64,
    old: Option<String>,
) -> Result<String, RoleError> {
    let text = new_token();
    let digest = token_digest(&text);
    let now = now_ms();
    let sealed = app.seal.seal(&RoleTokenRecord::place(&digest), &text);
    let ends_ms = now + life_s * 1000;
    let record = RoleTokenRecord { digest, role: role.clone(), creator, sealed, made_ms: now, ends_ms };
    let (ended, live): (Vec<_>, Vec<_>) =
        app.state.list::<RoleTokenRecord>().await?.into_iter().partition(|t| t.value.ends_ms <= now);
    let mut own: Vec<_> = live.into_iter().filter(|token| token.value.role == *role).collect();
    own.sort_by_key(|token| token.value.made_ms);
    let too_many = (own.len() + 1).saturating_sub(limits::TOKENS_OF_ROLE);
    let swept = ended.iter().chain(own.iter().take(too_many)).map(|token| token.value.digest.clone());
    let change = swept
        .chain(old)
        .fold(Change::default(), |change, digest| change.forget_id::<RoleTokenRecord>(&digest));
    app.state.create(record, change).await?;
    app.events.add(EventKind::RolesChanged, role, format!("a role token of {} was made", role.key())).await;
    Ok(text)
}

#[utoipa::path(get, path = "/role/token/list/{*name}", tag = "Roles", summary = "The tokens of a role", security(("token" = [])),
    params(("expand" = Option<bool>, Query, description = "with all that is known of them; true unless said otherwise")),
    responses((status = 200, body = Object, description = "those that have not expired")))]
pub(crate) async fn list(call: Call) -> Result<Response, RoleError> {
    let member = call.member().await?;
    let role = call.named(Kind::Role, &member.tenant.name)?;
    let expand = call.arguments.truth("expand", true)?;
    if Rules::read(&call.app.state).await?.role(&role).is_none() {
        return Err(RoleError::not_found(format!("there is no {role}")));
    }
    let directory = call.app.auth.accounts.directory().await?;
    let mut tokens = Map::new();
    for token in of_role(&call.app, &role).await?.into_iter().filter(|t| now_ms() < t.value.ends_ms) {
        let token = token.value;
        let text = call.app.seal.unseal(&RoleTokenRecord::place(&token.digest), &token.sealed);
        let text = text.map_err(|e| RoleError::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?;
        let path = register_path::of(&call.app.seal, &role, &text);
        tokens.insert(text.to_string(), view(&token, &directory, path));
    }
    let tokens = match expand {
        true => Value::Object(tokens),
        false => tokens.into_iter().map(|(text, _)| text).collect(),
    };
    Ok(done(StatusCode::OK, json!({ "tokens": tokens })))
}

fn view(token: &RoleTokenRecord, directory: &Directory, path: String) -> Value {
    let (user, host) = match &token.creator {
        RoleTokenCreator::User(id) => (directory.user(*id).ok().map(|user| user.name.as_str()), None),
        RoleTokenCreator::Host(host) => (None, Some(host)),
    };
    json!({
        "date": text(token.made_ms), "expire": text(token.ends_ms), "user": user, "hostname": null,
        "ip": host.map(|host| &host.host), "port": host.map_or(0, |host| host.port),
        "cuk": host.and_then(|host| host.cuk.as_ref()), "registerpath": path,
    })
}

/// ISO 8601 in UTC with milliseconds.
fn text(epoch_ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    utc::text(epoch_ms, format).unwrap_or_default()
}

async fn of_role(app: &SharedApp, role: &ObjectYrn) -> Result<Vec<Stored<RoleTokenRecord>>, StoreError> {
    let tokens = app.state.list::<RoleTokenRecord>().await?.into_iter();
    Ok(tokens.filter(|token| token.value.role == *role).collect())
}

/// Any token of the user's tenant.
#[utoipa::path(delete, path = "/role/token/{*name}", tag = "Roles", summary = "Delete a role token", security(("token" = [])),
    responses((status = 204, description = "done"), (status = 403, description = "there is none in this tenant")))]
pub(crate) async fn delete(call: Call) -> Result<Response, RoleError> {
    let member = call.member().await?;
    let found = call.app.state.get::<RoleTokenRecord>(&token_digest(&call.path)).await?;
    let found = found.filter(|token| token.value.role.tenant == member.tenant.name);
    let token = found.ok_or_else(|| RoleError::forbidden("there is no such role token in this tenant"))?;
    remove(&call.app, &token.value, &member.user.user.name).await?;
    Ok(nothing())
}

/// The holder of a token gives it up.
pub(super) async fn revoke_own(call: &Call, token: RoleTokenRecord) -> Result<(), RoleError> {
    if call.named(Kind::Role, &token.role.tenant)? != token.role {
        return Err(RoleError::bad(format!("the role token is for {}", token.role)));
    }
    if let RoleTokenCreator::Host(host) = &token.creator
        && hosts::is_k8s(host)
        && (call.arguments.cuk()? != host.cuk || call.arguments.port()? != host.port)
    {
        return Err(RoleError::bad("cuk and port must be the token's"));
    }
    remove(&call.app, &token, &format!("host {}", call.source)).await
}

async fn remove(app: &SharedApp, token: &RoleTokenRecord, who: &str) -> Result<(), RoleError> {
    app.state.commit(Change::default().forget(token)).await?;
    let what = format!("{who} deleted a role token of {}", token.role.key());
    app.events.add(EventKind::RolesChanged, &token.role, what).await;
    Ok(())
}

/// All tokens of a role.
pub(super) async fn forget_all(app: &SharedApp, role: &ObjectYrn) -> Result<(), RoleError> {
    let tokens = of_role(app, role).await?;
    let change = tokens.iter().fold(Change::default(), |change, token| change.forget(&token.value));
    Ok(app.state.commit(change).await?)
}
