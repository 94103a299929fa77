//! /v1/role: roles by themselves (role.md §3.1, §3.3, §3.6, §3.7).

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::{
    RoleError,
    answer::{done, nothing},
    call::{Body, Call, Holder, names, own},
    change::{Fate, bounded, change},
    hosts, tokens,
};
use crate::{
    openapi::bodies::RoleCreate,
    role::{Arguments, Given, Kind, Member as Host, RoleRecord, Rules},
};

/// Absent policies and aliases stay as they are, empty ones go.
#[utoipa::path(post, path = "/role", tag = "Roles", summary = "Make or change a role", security(("token" = [])),
    request_body = RoleCreate, responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn create(call: Call, body: Body) -> Result<Response, RoleError> {
    save(&call, &body.object("role")?).await
}

#[utoipa::path(put, path = "/role", tag = "Roles", summary = "Make or change a role, by arguments", security(("token" = [])),
    params(("name" = String, Query, description = "the role"), ("policies" = Option<String>, Query, description = "full names"), ("alias" = Option<String>, Query, description = "full names of roles")),
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn put(call: Call) -> Result<Response, RoleError> {
    save(&call, &call.arguments).await
}

async fn save(call: &Call, given: &Arguments) -> Result<Response, RoleError> {
    let member = call.member().await?;
    let tenant = member.tenant.name.as_str();
    let name = own(Kind::Role, given.need("name")?, tenant)?;
    if name.path == "token" || name.path.starts_with("token/") {
        return Err(RoleError::bad("name must not be token, nor begin with token/"));
    }
    let policies = read_names(given, "policies", Kind::Policy, Some(tenant))?;
    let aliases = read_names(given, "alias", Kind::Role, None)?;
    let new = RoleRecord::new(name.clone());
    change::<RoleRecord>(&call.app, name, member.user.user.name, move |old| {
        let mut role = old.unwrap_or_else(|| new.clone());
        role.policies = policies.clone().or(role.policies);
        role.aliases = aliases.clone().or(role.aliases);
        Ok(Fate::Keep(role))
    })
    .await?;
    Ok(done(StatusCode::CREATED, json!({})))
}

/// An argument that is a list of full names.
pub(super) fn read_names(
    given: &Arguments,
    argument: &str,
    kind: Kind,
    tenant: Option<&str>,
) -> Result<Given<Vec<crate::role::ObjectYrn>>, RoleError> {
    Ok(match given.texts(argument)? {
        Given::Absent => Given::Absent,
        Given::Empty => Given::Empty,
        Given::Value(texts) => Given::Value(bounded(argument, names(kind, &texts, tenant)?)?),
    })
}

/// A role that does not exist shows as an empty one: clients look so whether a deletion was done.
#[utoipa::path(get, path = "/role/{*name}", tag = "Roles", summary = "A role", security(("token" = [])),
    params(("expand" = Option<bool>, Query, description = "with the policies of parents and aliases; true unless said otherwise")),
    responses((status = 200, body = Object, description = "its policies, aliases and hosts")))]
pub(crate) async fn show(call: Call) -> Result<Response, RoleError> {
    let member = call.member().await?;
    let name = call.named(Kind::Role, &member.tenant.name)?;
    let expand = call.arguments.truth("expand", true)?;
    let rules = Rules::read(&call.app.state).await?;
    let none = RoleRecord::new(name.clone());
    let role = rules.role(&name).unwrap_or(&none);
    let policies = if expand { rules.expanded(&name) } else { role.policies.clone() };
    let (ips, hostnames): (Vec<&Host>, Vec<&Host>) = role.hosts.iter().partition(|h| h.address().is_some());
    let role = json!({
        "policies": policies,
        "aliases": role.aliases,
        "hosts": { "hostnames": texts(hostnames), "ips": texts(ips) },
    });
    Ok(done(StatusCode::OK, json!({ "role": role })))
}

/// Sorted by their first three fields.
fn texts(mut hosts: Vec<&Host>) -> Vec<String> {
    let key = |host: &&Host| Host {
        extra: None,
        tag: None,
        inbound_ip: None,
        outbound_ip: None,
        ..(*host).clone()
    };
    hosts.sort_by_cached_key(|host| key(host).text());
    hosts.into_iter().map(Host::text).collect()
}

#[utoipa::path(head, path = "/role/{*name}", tag = "Roles", summary = "Whether a role, a role token or a membership is valid", security(("token" = [])),
    params(("port" = Option<u16>, Query, description = "of the host that asks"), ("cuk" = Option<String>, Query, description = "of the host that asks")),
    responses((status = 204, description = "yes"), (status = 403, description = "no")))]
pub(crate) async fn validate(call: Call) -> Result<Response, RoleError> {
    let rules = Rules::read(&call.app.state).await?;
    let valid = match call.holder().await? {
        Holder::Member(member) => rules.role(&call.named(Kind::Role, &member.tenant.name)?).is_some(),
        Holder::Role(token) => call.named(Kind::Role, &token.role.tenant)? == token.role,
        Holder::Nobody => {
            let role = call.named_in_full(Kind::Role)?;
            rules.is_member(&role, &hosts::caller(&call)?)
        }
    };
    match valid {
        true => Ok(nothing()),
        false => Err(RoleError::forbidden("no")),
    }
}

/// What is deleted depends on who asks: a user the role or hosts of it, a role token itself, a host its membership.
#[utoipa::path(delete, path = "/role/{*name}", tag = "Roles", summary = "Delete a role, hosts of it, a token or a membership", security(("token" = [])),
    params(("host" = Option<String>, Query, description = "one host, or a JSON list"), ("port" = Option<u16>, Query, description = "of the host"), ("cuk" = Option<String>, Query, description = "of the host")),
    responses((status = 204, description = "done")))]
pub(crate) async fn delete(call: Call) -> Result<Response, RoleError> {
    match call.holder().await? {
        Holder::Member(member) => {
            let name = call.named(Kind::Role, &member.tenant.name)?;
            let who = member.user.user.name.clone();
            match call.arguments.texts("host")? {
                Given::Value(texts) => hosts::remove(&call, name, who, &texts).await?,
                Given::Absent | Given::Empty => {
                    change::<RoleRecord>(&call.app, name.clone(), who, |_| Ok(Fate::Remove)).await?;
                    tokens::forget_all(&call.app, &name).await?;
                }
            }
        }
        Holder::Role(token) => tokens::revoke_own(&call, *token).await?,
        Holder::Nobody => hosts::leave(&call).await?,
    }
    Ok(nothing())
}
