//! Takes volumes back from hosts that no role of their tenant grants them any more (role.md §5, §7). It looks at what is,
//! not at what changed: a crash in between costs nothing, and a publish that passed a change unseen is found, too.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use uuid::Uuid;

use crate::{
    api::publish,
    app::App,
    envelope::ApiError,
    model::{host::HostRecord, volume::VolumeRecord},
    role::{PolicyRecord, RoleRecord, Rules, tenants},
    state::Stored,
};

/// Without any change that we heard of. Of those of hosts and tenants we do not hear, and they must count within five
/// seconds, too.
const LOOK: Duration = Duration::from_secs(3);

/// Looks until dropped: at once after a change of roles, policies or publications.
pub(crate) async fn run(app: Arc<App>) {
    let mut roles = app.state.watch::<RoleRecord>();
    let mut policies = app.state.watch::<PolicyRecord>();
    let mut volumes = app.state.watch::<VolumeRecord>();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let more = tokio::select! {
            changed = roles.next() => changed.is_some(),
            changed = policies.next() => changed.is_some(),
            changed = volumes.next() => changed.is_some(),
            _ = look.tick() => true,
        };
        if !more {
            return;
        }
        if let Err(error) = pass(&app).await {
            tracing::warn!(?error, "what roles grant could not be judged");
        }
    }
}

async fn pass(app: &Arc<App>) -> Result<(), ApiError> {
    let this = Arc::clone(app);
    // As a change, so that a shutdown waits for it and leaves nobody at the store.
    for (volume, host) in app.complete(async move { lost(&this).await }).await? {
        if let Err(error) = publish::grant::revoke(app, volume, &host).await {
            tracing::warn!(%volume, host, ?error, "a volume could not be taken back from its host");
        }
    }
    Ok(())
}

/// What is published without a grant: volumes, each with a host.
async fn lost(app: &App) -> Result<Vec<(Uuid, String)>, ApiError> {
    let rules = Rules::read(&app.state).await?;
    let tenants = tenants(&app.state).await?;
    if !tenants.iter().any(|tenant| rules.restrict(&tenant.name)) {
        return Ok(Vec::new());
    }
    let hosts: Vec<Stored<HostRecord>> = app.state.list().await?;
    let mut lost = Vec::new();
    for volume in app.state.list::<VolumeRecord>().await? {
        let volume = volume.value;
        let Some(tenant) = tenants.iter().find(|tenant| tenant.id == volume.tenant_id) else { continue };
        for id in &volume.published_to {
            let host = hosts.iter().find(|host| host.value.id == *id);
            if host.is_some_and(|host| !rules.grant(&tenant.name, &volume, &host.value)) {
                lost.push((volume.uuid, id.clone()));
            }
        }
    }
    Ok(lost)
}
