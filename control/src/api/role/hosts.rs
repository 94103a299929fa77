//! Hosts of a role: added by users, or by themselves from their address (role.md §3.2, §3.7).

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{
    RoleError,
    answer::done,
    call::{Body, Call, Holder},
    change::{Fate, bounded, change},
};
use crate::{
    openapi::bodies::RoleHostAdd,
    role::{Arguments, K8S_EXTRA, Kind, Member as Host, ObjectYrn, RoleRecord, Rules, address_of},
};

/// What to drop before adding.
#[derive(Debug, Clone, Copy, Default)]
struct Clear {
    names: bool,
    addresses: bool,
}

/// Without `host` in it the caller's own address is added.
#[utoipa::path(post, path = "/role/{*name}", tag = "Roles", summary = "Add hosts to a role", security(("token" = [])),
    request_body = RoleHostAdd, responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn add(call: Call, body: Body) -> Result<Response, RoleError> {
    let body = body.fields();
    // Anything that is no truth value is false: a client sends a placeholder.
    let clear = |name: &str| body.truth(name, false).unwrap_or(false);
    let clear = Clear { names: clear("clear_hostname"), addresses: clear("clear_ips") };
    match body.raw("host") {
        Some(Value::Object(host)) => add_to(&call, &[Arguments(host.clone())], false, clear).await,
        Some(Value::Array(list)) => {
            let host = |value: &Value| match value {
                Value::Object(host) => Ok(Arguments(host.clone())),
                _ => Err(RoleError::bad("host must be an object or a list of objects")),
            };
            let hosts: Vec<Arguments> = list.iter().map(host).collect::<Result<_, _>>()?;
            add_to(&call, &bounded("host", hosts)?, true, clear).await
        }
        _ => Err(RoleError::bad("host must be an object or a list of objects")),
    }
}

#[utoipa::path(put, path = "/role/{*name}", tag = "Roles", summary = "Add a host to a role, by arguments", security(("token" = [])),
    params(("host" = Option<String>, Query, description = "name or address; absent: the caller's address"), ("port" = Option<u16>, Query, description = "0: any"), ("cuk" = Option<String>, Query, description = "the machine's id"), ("extra" = Option<String>, Query, description = "an initiator's name, or a known word"), ("tag" = Option<String>, Query, description = "anything"), ("inboundip" = Option<String>, Query, description = "an address"), ("outboundip" = Option<String>, Query, description = "an address")),
    responses((status = 201, body = Object, description = "done")))]
pub(crate) async fn put(call: Call) -> Result<Response, RoleError> {
    add_to(&call, std::slice::from_ref(&call.arguments), false, Clear::default()).await
}

async fn add_to(
    call: &Call,
    given: &[Arguments],
    in_list: bool,
    clear: Clear,
) -> Result<Response, RoleError> {
    let (name, who, by_user) = match call.holder().await? {
        Holder::Member(member) => {
            (call.named(Kind::Role, &member.tenant.name)?, member.user.user.name.clone(), true)
        }
        Holder::Role(token) => {
            let name = call.named(Kind::Role, &token.role.tenant)?;
            if name != token.role {
                return Err(RoleError::bad(format!("the role token is for {}", token.role)));
            }
            (name, format!("host {}", call.source), false)
        }
        Holder::Nobody => return Err(RoleError::bad("the header x-auth-token is missing")),
    };
    if name.path == "token" || name.path.starts_with("token/") {
        return Err(RoleError::bad("a role must not be called token"));
    }
    let mut hosts = Vec::new();
    for arguments in given {
        match arguments.text("host")? {
            Some(_) if !by_user => {
                return Err(RoleError::bad(
                    "host must not be given with a role token: the caller's address counts",
                ));
            }
            None if in_list => return Err(RoleError::bad("host must be given in each entry of the list")),
            Some(host) => hosts.push(read(arguments, host)?),
            None => hosts.push(read(arguments, &call.source.to_string())?),
        }
    }
    if in_list && hosts.is_empty() && !clear.names && !clear.addresses {
        return Ok(done(StatusCode::CREATED, json!({})));
    }
    let new = RoleRecord::new(name.clone());
    change::<RoleRecord>(&call.app, name, who, move |old| {
        let mut role = old.unwrap_or_else(|| new.clone());
        role.hosts.retain(|h| !if h.address().is_some() { clear.addresses } else { clear.names });
        hosts.iter().cloned().for_each(|host| role.add(host));
        role.hosts = bounded("a role's hosts", role.hosts)?;
        Ok(Fate::Keep(role))
    })
    .await?;
    Ok(done(StatusCode::CREATED, json!({})))
}

fn read(given: &Arguments, host: &str) -> Result<Host, RoleError> {
    const LONGEST: usize = 255;
    let fits = |text: &str| text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    if !fits(host) || host.contains(char::is_whitespace) {
        return Err(RoleError::bad("host must be a name or an address of at most 255 characters"));
    }
    let address = |name: &str| match given.text(name)? {
        None => Ok(None),
        Some(text) => match address_of(text) {
            Some(address) => Ok(Some(address)),
            None => Err(RoleError::bad(format!("{name} must be an IP address"))),
        },
    };
    let text = |name: &str| match decoded(given, name)?.filter(|text| !text.is_empty()) {
        Some(text) if !fits(&text) => {
            Err(RoleError::bad(format!("{name} must have at most {LONGEST} characters")))
        }
        text => Ok(text),
    };
    Ok(Host {
        extra: text("extra")?,
        tag: text("tag")?,
        inbound_ip: address("inboundip")?,
        outbound_ip: address("outboundip")?,
        ..Host::pattern(host, given.port()?, given.cuk()?)
    })
}

/// Text, or text that is JSON of a text.
fn decoded(given: &Arguments, name: &str) -> Result<Option<String>, RoleError> {
    let Some(text) = given.text(name)? else { return Ok(None) };
    match serde_json::from_str(text) {
        Err(_) => Ok(Some(text.to_owned())),
        Ok(Value::String(text)) => Ok(Some(text)),
        Ok(_) => Err(RoleError::bad(format!("{name} must be a string"))),
    }
}

/// The host that calls, as its address and arguments say.
pub(super) fn caller(call: &Call) -> Result<Host, RoleError> {
    let (port, cuk) = (call.arguments.port()?, call.arguments.cuk()?);
    Ok(Host::pattern(&call.source.to_string(), port, cuk))
}

/// Takes hosts out of a role; one that is not in it is no error.
pub(super) async fn remove(
    call: &Call,
    role: ObjectYrn,
    who: String,
    hosts: &[String],
) -> Result<(), RoleError> {
    let (port, cuk) = (call.arguments.port()?, call.arguments.cuk()?);
    let gone: Vec<Host> = hosts.iter().map(|host| Host::pattern(host, port, cuk.clone())).collect();
    change::<RoleRecord>(&call.app, role, who, move |old| {
        let Some(mut role) = old else { return Ok(Fate::Leave) };
        let before = role.hosts.len();
        gone.iter().for_each(|host| role.remove(host));
        Ok(if role.hosts.len() == before { Fate::Leave } else { Fate::Keep(role) })
    })
    .await
}

/// A member takes itself out.
pub(super) async fn leave(call: &Call) -> Result<(), RoleError> {
    let (role, host) = (call.named_in_full(Kind::Role)?, caller(call)?);
    let rules = Rules::read(&call.app.state).await?;
    if !rules.role(&role).is_some_and(|role| role.has(&host)) {
        return Err(RoleError::forbidden(format!("{} is no host of {role}", call.source)));
    }
    let who = format!("host {}", call.source);
    change::<RoleRecord>(&call.app, role, who, move |old| {
        let Some(mut role) = old else { return Ok(Fate::Leave) };
        role.remove(&host);
        Ok(Fate::Keep(role))
    })
    .await
}

/// Whether an entry belongs to a cluster that manages itself.
pub(super) fn is_k8s(host: &Host) -> bool {
    host.extra.as_deref() == Some(K8S_EXTRA)
}
