//! /v1/policy: sets of resources and actions, allowed or denied (role.md §4).

use axum::{http::StatusCode, response::Response};
use serde_json::json;

use super::{
    RoleError,
    answer::{done, nothing},
    call::{Body, Call, action, own},
    change::{Fate, change},
    roles::read_names,
};
use crate::{
    openapi::bodies::PolicyCreate,
    role::{Arguments, Effect, Given, Kind, ObjectYrn, PolicyRecord, Rules, Yrn},
};

/// What is absent stays as it is, what is empty goes.
#[utoipa::path(post, path = "/policy", tag = "Roles", summary = "Make or change a policy", security(("token" = [])),
    request_body = PolicyCreate, responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn create(call: Call, body: Body) -> Result<Response, RoleError> {
    save(&call, &body.object("policy")?).await
}

#[utoipa::path(put, path = "/policy", tag = "Roles", summary = "Make or change a policy, by arguments", security(("token" = [])),
    params(("name" = String, Query, description = "the policy"), ("effect" = Option<String>, Query, description = "allow or deny"), ("action" = Option<String>, Query, description = "full names"), ("resource" = Option<String>, Query, description = "full names"), ("alias" = Option<String>, Query, description = "full names of policies")),
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn put(call: Call) -> Result<Response, RoleError> {
    save(&call, &call.arguments).await
}

async fn save(call: &Call, given: &Arguments) -> Result<Response, RoleError> {
    let member = call.member().await?;
    let tenant = Some(member.tenant.name.as_str());
    refuse_service(given)?;
    let name = own(Kind::Policy, given.need("name")?, &member.tenant.name)?;
    let effect = effect(given)?;
    let actions = match given.texts("action")? {
        Given::Absent => Given::Absent,
        Given::Empty => Given::Empty,
        Given::Value(texts) => {
            Given::Value(texts.iter().map(|text| action(text)).collect::<Result<Vec<_>, _>>()?)
        }
    };
    let resources = read_names(given, "resource", Kind::Resource, tenant)?;
    let aliases = read_names(given, "alias", Kind::Policy, tenant)?;
    let condition = given.text("condition")?.map(str::to_owned);
    let new = PolicyRecord::new(name.clone());
    change::<PolicyRecord>(&call.app, name, member.user.user.name, move |old| {
        let mut policy = old.unwrap_or_else(|| new.clone());
        policy.effect = effect.unwrap_or(policy.effect);
        policy.actions = actions.clone().or(policy.actions);
        policy.actions.sort_unstable();
        policy.actions.dedup();
        policy.resources = resources.clone().or(policy.resources);
        policy.aliases = aliases.clone().or(policy.aliases);
        policy.condition = condition.clone().or(policy.condition);
        Ok(Fate::Keep(policy))
    })
    .await?;
    Ok(done(StatusCode::CREATED, json!({})))
}

/// `None`: as it is.
fn effect(given: &Arguments) -> Result<Option<Effect>, RoleError> {
    if given.raw("effect").is_some_and(|value| value == "") {
        return Ok(Some(Effect::Deny));
    }
    match given.text("effect")? {
        None => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("allow") => Ok(Some(Effect::Allow)),
        Some(text) if text.eq_ignore_ascii_case("deny") => Ok(Some(Effect::Deny)),
        Some(_) => Err(RoleError::bad("effect must be allow or deny")),
    }
}

/// There are no services here.
pub(super) fn refuse_service(given: &Arguments) -> Result<(), RoleError> {
    match given.text("service")? {
        None => Ok(()),
        Some(service) => Err(RoleError::bad(format!("there is no service {service:?}"))),
    }
}

#[utoipa::path(get, path = "/policy/{*name}", tag = "Roles", summary = "A policy", security(("token" = [])),
    responses((status = 200, body = Object, description = "what it says, and how often it is referred to")))]
pub(crate) async fn show(call: Call) -> Result<Response, RoleError> {
    let member = call.member().await?;
    refuse_service(&call.arguments)?;
    let name = call.named(Kind::Policy, &member.tenant.name)?;
    let found = call.app.state.get::<PolicyRecord>(&name.key()).await?;
    let policy = found.ok_or_else(|| RoleError::bad(format!("there is no {name}")))?.value;
    let rules = Rules::read(&call.app.state).await?;
    let actions: Vec<String> = policy.actions.iter().map(|action| Yrn::Action(*action).to_string()).collect();
    let view = json!({
        "name": policy.name, "effect": policy.effect.word(), "action": actions, "resource": policy.resources,
        "condition": policy.condition.iter().collect::<Vec<_>>(), "reference": rules.references(&name),
        "alias": policy.aliases,
    });
    Ok(done(StatusCode::OK, json!({ "policy": view })))
}

/// Open to anyone, as the contract has it: the answer is yes or no.
#[utoipa::path(head, path = "/policy/{*name}", tag = "Roles", summary = "What a policy says of a resource", security(()),
    params(("tenant" = Option<String>, Query, description = "of short names"), ("resource" = String, Query, description = "the resource"), ("action" = String, Query, description = "read or write")),
    responses((status = 204, description = "allowed"), (status = 403, description = "not allowed")))]
pub(crate) async fn check(call: Call) -> Result<Response, RoleError> {
    let given = &call.arguments;
    refuse_service(given)?;
    let tenant = given.text("tenant")?.map(str::to_lowercase);
    let named = |kind: Kind, text: &str| match &tenant {
        Some(tenant) => own(kind, text, tenant),
        None => Ok(ObjectYrn::parse_as(kind, text)?),
    };
    let policy = named(Kind::Policy, &call.path)?;
    let resource = named(Kind::Resource, given.need("resource")?)?;
    let action = action(given.need("action")?)?;
    match Rules::read(&call.app.state).await?.verdict(&policy, &resource, action) {
        Some(Effect::Allow) => Ok(nothing()),
        _ => Err(RoleError::forbidden("not allowed")),
    }
}

#[utoipa::path(delete, path = "/policy/{*name}", tag = "Roles", summary = "Delete a policy", security(("token" = [])),
    responses((status = 204, description = "done"), (status = 403, description = "something refers to it")))]
pub(crate) async fn delete(call: Call) -> Result<Response, RoleError> {
    let member = call.member().await?;
    refuse_service(&call.arguments)?;
    let name = call.named(Kind::Policy, &member.tenant.name)?;
    if Rules::read(&call.app.state).await?.is_used(&name) {
        return Err(RoleError::forbidden(format!("a role or a policy refers to {name}")));
    }
    change::<PolicyRecord>(&call.app, name, member.user.user.name, |_| Ok(Fate::Remove)).await?;
    Ok(nothing())
}
