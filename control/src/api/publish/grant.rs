//! Whom the roles of a tenant grant its volumes (role.md §5, §7).

use uuid::Uuid;

use super::withdraw::withdraw;
use crate::{
    app::{App, SharedApp, retry},
    envelope::{ApiError, Code, Failure},
    events::Kind,
    model::{host::HostRecord, volume::VolumeRecord},
    reconcile::subsystems,
    role::{Rules, tenants},
    store::StoreError,
    tasks,
};

/// Before a volume is published. What changes meanwhile is seen afterwards (`revoke`).
pub(super) async fn check(app: &App, volume: &VolumeRecord, host: &HostRecord) -> Result<(), ApiError> {
    match is_granted(app, volume, host).await? {
        true => Ok(()),
        false => {
            let why = format!("no role of the tenant grants volume {} to host {:?}", volume.uuid, host.id);
            Err(Failure::new(Code::Forbidden, why).into())
        }
    }
}

async fn is_granted(app: &App, volume: &VolumeRecord, host: &HostRecord) -> Result<bool, StoreError> {
    let tenants = tenants(&app.state).await?;
    let Some(tenant) = tenants.into_iter().find(|tenant| tenant.id == volume.tenant_id) else {
        return Ok(true);
    };
    Ok(Rules::read(&app.state).await?.grant(&tenant.name, volume, host))
}

/// Takes a volume back from a host whose permission is gone, if it still is.
pub(crate) async fn revoke(app: &SharedApp, volume: Uuid, host: &str) -> Result<(), ApiError> {
    let (this, host) = (SharedApp::clone(app), host.to_owned());
    app.complete(async move {
        let _volume = this.volume_locks.lock(volume).await;
        let _host = this.host_locks.lock(&host).await;
        if retry(|| record(&this, volume, &host)).await? {
            subsystems(&this).await?;
            let message = format!("took volume {volume} back from host {host}: no role grants it any more");
            this.events.add(Kind::VolumeUnpublished, volume, message).await;
        }
        Ok(())
    })
    .await
}

/// Whether there was anything to take back.
async fn record(app: &App, volume: Uuid, host: &str) -> Result<bool, ApiError> {
    let stored = app.state.get::<VolumeRecord>(&volume.to_string()).await?;
    let record = app.state.get::<HostRecord>(host).await?;
    let (Some(mut stored), Some(record)) = (stored, record) else { return Ok(false) };
    let published = stored.value.published_to.contains(host);
    if !published || is_granted(app, &stored.value, &record.value).await? {
        return Ok(false);
    }
    let hosts = [host.to_owned()];
    let (_, change) = withdraw(app, &mut stored.value, &hosts, |_| true).await?;
    let change = tasks::abort_migrations(&app.state, volume, &hosts, change).await?;
    app.state.commit(change.replace(&stored)).await?;
    Ok(true)
}
