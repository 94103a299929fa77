//! Roles, policies and resources of tenants (role.md): what is stored of them, and what follows from it.

mod arguments;
mod grants;
mod member;
mod records;
mod rules;
mod tenancy;
mod yrn;

pub(crate) use arguments::{ArgumentError, Arguments, Given};
pub(crate) use grants::means;
pub(crate) use member::{K8S_EXTRA, Member, address_of, host_text};
pub(crate) use records::{
    Action, Effect, Named, PolicyRecord, ResourceRecord, RoleRecord, RoleTokenCreator, RoleTokenRecord,
    TenantProfile,
};
pub(crate) use rules::Rules;
pub(crate) use tenancy::{Tenant, forget, tenants};
pub(crate) use yrn::{Kind, ObjectYrn, Yrn, YrnError};
