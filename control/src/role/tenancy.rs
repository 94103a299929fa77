//! Tenants as the role API sees them: the provisioner's, and who may act in them (role.md §5).

use super::{PolicyRecord, ResourceRecord, RoleRecord, RoleTokenRecord, TenantProfile};
use crate::{
    accounts::UserIdentity,
    model::{
        DEFAULT_TENANT,
        tenant::{DEFAULT_TENANT_NAME, TenantRecord},
    },
    state::{Change, State, Stored},
    store::StoreError,
};

#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) id: String,
    /// In lower case: names are compared so here.
    pub(crate) name: String,
    pub(crate) profile: TenantProfile,
}

impl Tenant {
    /// Administrators act in every tenant, others in those that list them.
    pub(crate) fn admits(&self, user: &UserIdentity) -> bool {
        user.administrator || self.profile.users.contains(&user.user.id)
    }
}

/// All of them, by id.
pub(crate) async fn tenants(state: &State) -> Result<Vec<Tenant>, StoreError> {
    let profiles = state.list::<TenantProfile>().await?;
    let tenant = |id: &str, name: &str| Tenant {
        id: id.to_owned(),
        name: name.to_lowercase(),
        profile: profile(&profiles, id),
    };
    let records = state.list::<TenantRecord>().await?;
    let others = records.iter().map(|record| tenant(&record.value.id, &record.value.name));
    Ok([tenant(DEFAULT_TENANT, DEFAULT_TENANT_NAME)].into_iter().chain(others).collect())
}

fn profile(profiles: &[Stored<TenantProfile>], id: &str) -> TenantProfile {
    let found = profiles.iter().find(|profile| profile.value.tenant_id == id);
    let none = || TenantProfile { tenant_id: id.to_owned(), ..TenantProfile::default() };
    found.map_or_else(none, |stored| stored.value.clone())
}

/// With a tenant everything goes that has its name: whoever makes another of that name starts anew.
pub(crate) async fn forget(
    state: &State,
    id: &str,
    name: &str,
    mut change: Change,
) -> Result<Change, StoreError> {
    let name = name.to_lowercase();
    let below = format!("{name}/");
    for role in state.list_under::<RoleRecord>(&below).await? {
        change = change.forget(&role.value);
    }
    for policy in state.list_under::<PolicyRecord>(&below).await? {
        change = change.forget(&policy.value);
    }
    for resource in state.list_under::<ResourceRecord>(&below).await? {
        change = change.forget(&resource.value);
    }
    for token in state.list::<RoleTokenRecord>().await? {
        if token.value.role.tenant == name {
            change = change.forget(&token.value);
        }
    }
    Ok(change.forget_id::<TenantProfile>(id))
}
