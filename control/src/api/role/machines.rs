//! DELETE /v1/role?cuk=: a machine that is dead leaves every role at once (role.md §3.7).

use axum::response::Response;

use super::{
    RoleError,
    answer::nothing,
    call::Call,
    change::{Fate, change},
    hosts,
};
use crate::role::{Given, Kind, Member as Host, ObjectYrn, RoleRecord, Rules, host_text};

/// The tenant and the role whose hosts clear up after others. Nobody does until administrators make them.
const CLEANERS: (&str, &str) = ("k2hr3admin", "delhostrole");

/// Which entries go.
#[derive(Clone)]
struct Machine {
    cuk: String,
    /// In their one form; empty: all.
    addresses: Vec<String>,
    /// Who is no cleaner takes out itself alone, and only what its cluster registered.
    only: Option<Host>,
}

impl Machine {
    fn is(&self, entry: &Host) -> bool {
        let named = self.addresses.is_empty() || self.addresses.contains(&entry.host);
        let allowed = |only: &Host| only.host == entry.host && hosts::is_k8s(entry);
        let is_address = entry.address().is_some();
        is_address && entry.cuk.as_ref() == Some(&self.cuk) && named && self.only.as_ref().is_none_or(allowed)
    }
}

/// The caller's address decides what it may do; no token does.
#[utoipa::path(delete, path = "/role", tag = "Roles", summary = "Take a machine out of every role", security(()),
    params(("cuk" = String, Query, description = "the machine's id"), ("host" = Option<String>, Query, description = "only these addresses: one, or a JSON list"), ("extra" = Option<String>, Query, description = "may say openstack-auto-v1")),
    responses((status = 204, description = "done"), (status = 400, description = "without cuk, or not allowed")))]
pub(crate) async fn delete(call: Call) -> Result<Response, RoleError> {
    let cuk = call.arguments.cuk()?.ok_or_else(|| RoleError::bad("cuk must be given"))?;
    let addresses = match call.arguments.texts("host")? {
        Given::Value(texts) => texts.iter().map(|text| host_text(text)).collect(),
        Given::Absent | Given::Empty => Vec::new(),
    };
    let rules = Rules::read(&call.app.state).await?;
    let caller = Host::pattern(&call.source.to_string(), 0, None);
    let cleaners = ObjectYrn::new(Kind::Role, CLEANERS.0, CLEANERS.1)?;
    let only = if rules.is_member(&cleaners, &caller) { None } else { Some(caller) };
    let machine = Machine { cuk, addresses, only };
    let affected: Vec<ObjectYrn> = rules
        .roles()
        .filter(|role| role.hosts.iter().any(|entry| machine.is(entry)))
        .map(|role| role.name.clone())
        .collect();
    if affected.is_empty() && machine.only.is_some() {
        return Err(RoleError::bad(format!("{} may not take machines out of roles", call.source)));
    }
    for role in affected {
        let (who, machine) = (format!("host {}", call.source), machine.clone());
        change::<RoleRecord>(&call.app, role, who, move |old| {
            let Some(mut role) = old else { return Ok(Fate::Leave) };
            let before = role.hosts.len();
            role.hosts.retain(|entry| !machine.is(entry));
            Ok(if role.hosts.len() == before { Fate::Leave } else { Fate::Keep(role) })
        })
        .await?;
    }
    Ok(nothing())
}
