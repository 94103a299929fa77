//! Keeping the inventory: looked at whenever the drives are, and whenever it is asked for.

use crate::{
    api::backends::backends,
    app::{App, now_ms, retry},
    envelope::ApiError,
    model::{
        backend::BackendRecord,
        inventory::{Inventory, Sighting},
        task::TaskType,
    },
    state::{Change, Stored},
    store::StoreError,
    tasks,
};

/// There is one.
pub(crate) const KEY: &str = "history";

async fn stored(app: &App) -> Result<Option<Stored<Inventory>>, StoreError> {
    app.state.get(KEY).await
}

async fn put(app: &App, stored: Option<Stored<Inventory>>, value: &Inventory) -> Result<(), StoreError> {
    app.state.commit(Change::default().set(stored.as_ref(), value)).await
}

/// Takes a sample if something has changed, and returns the inventory.
pub(crate) async fn look(app: &App) -> Result<Inventory, ApiError> {
    retry(async || {
        let seen = backends(app).await?.into_iter().map(|backend| sighting(app, backend)).collect();
        let stored = stored(app).await?;
        let mut inventory = stored.as_ref().map(|s| s.value.clone()).unwrap_or_default();
        if inventory.see(seen, now_ms()) {
            put(app, stored, &inventory).await?;
        }
        Ok(inventory)
    })
    .await
}

fn sighting(app: &App, backend: Stored<BackendRecord>) -> Sighting {
    let persistent_id = backend.value.persistent_id;
    if let Some(probe) = backend.value.probe {
        let available = probe.is_available(now_ms());
        return Sighting { available, version: probe.version, drives: probe.drives, persistent_id };
    }
    let member = app.nodes.find(&persistent_id);
    let process = member.as_ref().and_then(|member| member.process());
    Sighting {
        version: process.map_or_else(String::new, |process| process.version),
        available: member.as_ref().is_some_and(|member| member.liveness.is_alive()),
        drives: member.map_or(0, |member| member.last_drives().len()),
        persistent_id,
    }
}

/// Forgets all samples, as an internal task; returns the number of this reset.
pub(crate) async fn reset(app: &App) -> Result<u64, ApiError> {
    retry(async || {
        let stored = stored(app).await?;
        let mut inventory = stored.as_ref().map(|s| s.value.clone()).unwrap_or_default();
        let number = inventory.reset();
        let change = Change::default().set(stored.as_ref(), &inventory);
        let done = "the inventory was reset";
        tasks::commit_done(&app.state, TaskType::ResetInventory, done, change).await?;
        Ok(number)
    })
    .await
}
