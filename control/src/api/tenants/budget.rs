//! What a tenant takes from its budget: judged and recorded in one, so that of two who want the last of it one gets
//! it.

use std::collections::HashMap;

use tokio::sync::MutexGuard;

use super::not_found;
use crate::{
    app::App,
    envelope::{ApiError, Code, Failure},
    model::{
        DEFAULT_TENANT,
        snapshot::SnapshotRecord,
        tenant::TenantRecord,
        volume::{Reserved, VolumeRecord},
    },
    state::Change,
    store::StoreError,
};

/// A place in a tenant's budget. What takes it is committed together with `change`, which fails (`Conflict`) if
/// anybody took from the budget, changed it or deleted the tenant since.
pub(crate) struct Admission<'a> {
    pub(crate) change: Change,
    /// Held until the commit, so that this process' requests wait for each other instead of failing.
    pub(crate) turn: Option<MutexGuard<'a, ()>>,
}

/// Whether the tenant may take `more` than it consumes; `TenantCapacityExceeded` if not. Everything that makes
/// something for a tenant asks, even if it takes nothing: so a tenant with something in it is never deleted. Tenant 0
/// has no budget (D18). No other lock is taken while this one is held.
pub(crate) async fn admit<'a>(
    app: &'a App,
    tenant_id: &str,
    more: Reserved,
) -> Result<Admission<'a>, ApiError> {
    if tenant_id == DEFAULT_TENANT {
        return Ok(Admission { change: Change::default(), turn: None });
    }
    let turn = app.tenant_locks.lock(tenant_id).await;
    // Read before the sums: who takes something later than these were read has written the tenant, too.
    let Some(tenant) = app.state.get::<TenantRecord>(tenant_id).await? else {
        return Err(not_found(tenant_id).into());
    };
    let taken = consumed(app).await?.remove(tenant_id).unwrap_or_default().plus(more);
    if let Err(shortage) = tenant.value.budget.check(taken) {
        let why = format!("the budget of tenant {:?} is exceeded: its {shortage}", tenant.value.name);
        return Err(Failure::new(Code::TenantCapacityExceeded, why).into());
    }
    Ok(Admission { change: Change::default().replace(&tenant), turn: Some(turn) })
}

/// What each tenant that has something consumes (D19), by tenant id.
pub(super) async fn consumed(app: &App) -> Result<HashMap<String, Reserved>, StoreError> {
    let mut sums: HashMap<String, Reserved> = HashMap::new();
    let mut add = |tenant: String, more: Reserved| {
        let sum = sums.entry(tenant).or_default();
        *sum = sum.plus(more);
    };
    for volume in app.state.list::<VolumeRecord>().await?.into_iter().map(|v| v.value) {
        let more = Reserved::of(&volume);
        add(volume.tenant_id, more);
    }
    for snapshot in app.state.list::<SnapshotRecord>().await?.into_iter().map(|s| s.value) {
        let more = Reserved::bytes(snapshot.size.reserved_bytes);
        add(snapshot.tenant_id, more);
    }
    Ok(sums)
}
