//! /v1/resource: data for the hosts of roles, and what hosts have to know of volumes (role.md §4, §5).

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    RoleError,
    answer::{done, nothing},
    call::{Body, Call, Holder, own},
    change::{Fate, change},
    hosts, objects,
    policies::refuse_service,
    roles::read_names,
};
use crate::{
    openapi::bodies::{ResourceCreate, ResourceWrite},
    role::{Action, Arguments, Given, Kind, Member as Host, ObjectYrn, ResourceRecord, Rules},
};

/// Who asks, and for what: a user of the tenant, or a host in a role that its policies let do that.
enum Asker {
    User,
    Host(Box<Host>),
}

#[utoipa::path(post, path = "/resource", tag = "Roles", summary = "Make or change a resource", security(("token" = [])),
    request_body = ResourceCreate, responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn create(call: Call, body: Body) -> Result<Response, RoleError> {
    by_user(&call, &body.object("resource")?).await
}

#[utoipa::path(put, path = "/resource", tag = "Roles", summary = "Make or change a resource, by arguments", security(("token" = [])),
    params(("name" = String, Query, description = "the resource"), ("type" = Option<String>, Query, description = "string or object"), ("data" = Option<String>, Query, description = "of that type"), ("keys" = Option<String>, Query, description = "an object"), ("alias" = Option<String>, Query, description = "full names of resources")),
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn put(call: Call) -> Result<Response, RoleError> {
    by_user(&call, &call.arguments).await
}

async fn by_user(call: &Call, given: &Arguments) -> Result<Response, RoleError> {
    let member = call.member().await?;
    refuse_service(given)?;
    let name = own(Kind::Resource, given.need("name")?, &member.tenant.name)?;
    let aliases = read_names(given, "alias", Kind::Resource, None)?;
    save(call, name, member.user.user.name, given, aliases).await
}

/// With a role token whose role may write there.
#[utoipa::path(post, path = "/resource/{*name}", tag = "Roles", summary = "Change a resource as a host", security(("token" = [])),
    request_body = ResourceWrite, responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn write(call: Call, body: Body) -> Result<Response, RoleError> {
    by_host(&call, &body.object("resource")?).await
}

#[utoipa::path(put, path = "/resource/{*name}", tag = "Roles", summary = "Change a resource as a host, by arguments", security(("token" = [])),
    params(("type" = Option<String>, Query, description = "string or object"), ("data" = Option<String>, Query, description = "of that type"), ("keys" = Option<String>, Query, description = "an object")),
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn put_write(call: Call) -> Result<Response, RoleError> {
    by_host(&call, &call.arguments).await
}

async fn by_host(call: &Call, given: &Arguments) -> Result<Response, RoleError> {
    if let Holder::Member(_) = call.holder().await? {
        return Err(RoleError::bad("a role token is needed, not a user token"));
    }
    let (name, _) = asked(call, Action::Write).await?;
    save(call, name, format!("host {}", call.source), given, Given::Absent).await
}

async fn save(
    call: &Call,
    name: ObjectYrn,
    who: String,
    given: &Arguments,
    aliases: Given<Vec<ObjectYrn>>,
) -> Result<Response, RoleError> {
    objects::refuse(&name)?;
    let (string, object) = data(given)?;
    let keys = given.object("keys")?;
    let new = ResourceRecord::new(name.clone());
    change::<ResourceRecord>(&call.app, name, who, move |old| {
        let mut resource = old.unwrap_or_else(|| new.clone());
        resource.string = string.clone().map_or(resource.string, Some);
        resource.object = object.clone().map_or(resource.object, Some);
        resource.keys = match keys.clone() {
            Given::Absent => resource.keys,
            Given::Empty => Default::default(),
            Given::Value(map) => map.into_iter().collect(),
        };
        resource.aliases = aliases.clone().or(resource.aliases);
        Ok(Fate::Keep(resource))
    })
    .await?;
    Ok(done(StatusCode::CREATED, json!({})))
}

/// Absent data stays as it is.
fn data(given: &Arguments) -> Result<(Option<String>, Option<Value>), RoleError> {
    match given.text("type")?.unwrap_or("string") {
        "string" => match given.raw("data") {
            None => Ok((None, None)),
            Some(Value::String(text)) => Ok((Some(text.clone()).filter(|text| text != "None"), None)),
            Some(_) => Err(RoleError::bad("data must be a string, as type says")),
        },
        "object" => match given.structured("data") {
            None => Ok((None, None)),
            Some(value @ (Value::Object(_) | Value::Array(_))) => Ok((None, Some(value))),
            Some(_) => Err(RoleError::bad("data must be an object, as type says")),
        },
        _ => Err(RoleError::bad("type must be string or object")),
    }
}

#[utoipa::path(get, path = "/resource/{*name}", tag = "Roles", summary = "A resource", security((), ("token" = [])),
    params(("expand" = Option<bool>, Query, description = "with what its aliases say; true unless said otherwise"), ("type" = Option<String>, Query, description = "for hosts: string, object or keys"), ("keyname" = Option<String>, Query, description = "for hosts: one of the keys"), ("role" = Option<String>, Query, description = "for hosts without a token: the role that they are in"), ("port" = Option<u16>, Query, description = "of the host"), ("cuk" = Option<String>, Query, description = "of the host")),
    responses((status = 200, body = Object, description = "all of it for users, one part of it for hosts")))]
pub(crate) async fn show(call: Call) -> Result<Response, RoleError> {
    Ok(done(StatusCode::OK, json!({ "resource": wanted(&call).await? })))
}

#[utoipa::path(head, path = "/resource/{*name}", tag = "Roles", summary = "Whether a resource can be had", security((), ("token" = [])),
    params(("role" = Option<String>, Query, description = "as for GET")),
    responses((status = 204, description = "yes"), (status = 403, description = "no")))]
pub(crate) async fn check(call: Call) -> Result<Response, RoleError> {
    match wanted(&call).await {
        Err(error) if error.is_not_found() => Err(RoleError::forbidden("there is no such resource")),
        wanted => wanted.map(|_| nothing()),
    }
}

async fn wanted(call: &Call) -> Result<Value, RoleError> {
    let (name, asker) = asked(call, Action::Read).await?;
    let expand = call.arguments.truth("expand", true)?;
    let host = match &asker {
        Asker::User => None,
        Asker::Host(host) => Some(host.as_ref()),
    };
    let missing = || RoleError::not_found(format!("there is no {name}"));
    let own = find(call, &name, host).await?.ok_or_else(missing)?;
    let aliases = own.aliases.clone();
    // A host reads by its own permission only, so what other resources say does not come with it.
    let resource = if expand && host.is_none() { expanded(call, own).await? } else { own };
    if let Asker::User = asker {
        let mut view = json!({ "string": resource.string, "object": resource.object, "keys": resource.keys });
        if !expand {
            view["aliases"] = json!(aliases);
        }
        return Ok(view);
    }
    let key = call.arguments.text("keyname")?;
    let part = match call.arguments.text("type")?.unwrap_or("string") {
        "string" => resource.string.map(Value::from),
        "object" => resource.object,
        "keys" => match key {
            Some(key) => resource.keys.get(key).cloned(),
            None => Some(json!(resource.keys)),
        },
        _ => return Err(RoleError::bad("type must be string, object or keys")),
    };
    part.ok_or_else(missing)
}

/// The resource as it is kept, or as the volume or snapshot of that name is now.
async fn find(
    call: &Call,
    name: &ObjectYrn,
    host: Option<&Host>,
) -> Result<Option<ResourceRecord>, RoleError> {
    match objects::is_ours(name) {
        true => objects::find(&call.app, name, host).await,
        false => Ok(call.app.state.get::<ResourceRecord>(&name.key()).await?.map(|stored| stored.value)),
    }
}

/// What its aliases in the same tenant say, and over it what it says itself. Each resource counts once.
async fn expanded(call: &Call, resource: ResourceRecord) -> Result<ResourceRecord, RoleError> {
    let mut order = vec![resource];
    let mut next = 0;
    while next < order.len() {
        for alias in order[next].aliases.clone() {
            let seen = alias.tenant != order[0].name.tenant || order.iter().any(|r| r.name == alias);
            if !seen && let Some(found) = find(call, &alias, None).await? {
                order.push(found);
            }
        }
        next += 1;
    }
    let mut all = order.split_off(1);
    let own = order.remove(0);
    all.reverse();
    let mut sum = ResourceRecord::new(own.name.clone());
    for part in all.into_iter().chain([own]) {
        sum.string = part.string.or(sum.string);
        sum.object = part.object.or(sum.object);
        sum.keys.extend(part.keys);
    }
    Ok(sum)
}

/// The resource that the path names, if the caller may do that with it.
async fn asked(call: &Call, action: Action) -> Result<(ObjectYrn, Asker), RoleError> {
    refuse_service(&call.arguments)?;
    let (role, name, host) = match call.holder().await? {
        Holder::Member(member) => {
            let name = call.named(Kind::Resource, &member.tenant.name)?;
            return Ok((name, Asker::User));
        }
        Holder::Role(token) => {
            let name = call.named(Kind::Resource, &token.role.tenant)?;
            (token.role.clone(), name, hosts::caller(call)?)
        }
        Holder::Nobody => {
            let name = call.named_in_full(Kind::Resource)?;
            let role = ObjectYrn::parse_as(Kind::Role, call.arguments.need("role")?)?;
            let host = hosts::caller(call)?;
            let member = Rules::read(&call.app.state).await?.member(&role, &host).cloned();
            let Some(member) = member.filter(|_| role.tenant == name.tenant) else {
                return Err(RoleError::forbidden(format!("{} is no host of {role}", call.source)));
            };
            (role, name, member)
        }
    };
    let rules = Rules::read(&call.app.state).await?;
    match rules.role_allows(&role, &name, action) {
        true => {
            let member = rules.member(&role, &host).cloned().unwrap_or(host);
            Ok((name, Asker::Host(Box::new(member))))
        }
        false => Err(RoleError::forbidden(format!("{role} may not {} {name}", action.word()))),
    }
}

/// Without `type` all of it; else that part.
#[utoipa::path(delete, path = "/resource/{*name}", tag = "Roles", summary = "Delete a resource, or parts of it", security(("token" = [])),
    params(("type" = Option<String>, Query, description = "anytype, string, object, keys or aliases"), ("keynames" = Option<String>, Query, description = "only these keys"), ("aliases" = Option<String>, Query, description = "only these aliases")),
    responses((status = 204, description = "done")))]
pub(crate) async fn delete(call: Call) -> Result<Response, RoleError> {
    let member = call.member().await?;
    let name = call.named(Kind::Resource, &member.tenant.name)?;
    objects::refuse(&name)?;
    let part = call.arguments.text("type")?.map(str::to_owned);
    if part.as_deref().is_some_and(|part| !["anytype", "string", "object", "keys", "aliases"].contains(&part))
    {
        return Err(RoleError::bad("type must be anytype, string, object, keys or aliases"));
    }
    let keys = call.arguments.texts("keynames")?;
    let aliases = read_names(&call.arguments, "aliases", Kind::Resource, None)?;
    change::<ResourceRecord>(&call.app, name, member.user.user.name, move |old| {
        let Some(mut resource) = old else { return Ok(Fate::Leave) };
        let Some(part) = part.as_deref() else { return Ok(Fate::Remove) };
        if ["anytype", "string"].contains(&part) {
            resource.string = None;
        }
        if ["anytype", "object"].contains(&part) {
            resource.object = None;
        }
        if ["anytype", "keys"].contains(&part) {
            match &keys {
                Given::Value(gone) => resource.keys.retain(|key, _| !gone.contains(key)),
                Given::Absent | Given::Empty => resource.keys.clear(),
            }
        }
        if part == "aliases" {
            match &aliases {
                Given::Value(gone) => resource.aliases.retain(|alias| !gone.contains(alias)),
                Given::Absent | Given::Empty => resource.aliases.clear(),
            }
        }
        Ok(Fate::Keep(resource))
    })
    .await?;
    Ok(nothing())
}
