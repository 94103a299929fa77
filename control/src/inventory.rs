//! Keeping the inventory: looked at whenever the drives are, and whenever it is asked for.

use dataplane::node::DriveInfo;

use crate::{
    api::backends::backends,
    app::{App, now_ms, retry},
    envelope::ApiError,
    model::{
        backend::BackendRecord,
        inventory::{Inventory, Sighting},
    },
    state::{Change, Stored},
    store::StoreError,
};

/// There is one.
pub(crate) const KEY: &str = "history";

async fn stored(app: &App) -> Result<Option<Stored<Inventory>>, StoreError> {
    app.state.get(KEY).await
}

async fn put(app: &App, stored: Option<Stored<Inventory>>, value: Inventory) -> Result<(), StoreError> {
    match stored {
        Some(mut stored) => {
            stored.value = value;
            app.state.update(stored).await.map(drop)
        }
        None => app.state.create(value, Change::default()).await.map(drop),
    }
}

/// Takes a sample if something has changed, and returns the inventory. `drives`: of the node in this process.
pub(crate) async fn look(app: &App, drives: &[DriveInfo]) -> Result<Inventory, ApiError> {
    retry(async || {
        let sighting = |backend: Stored<_>| sighting(app, backend, drives);
        let seen = backends(app).await?.into_iter().map(sighting).collect();
        let stored = stored(app).await?;
        let mut inventory = stored.as_ref().map(|s| s.value.clone()).unwrap_or_default();
        if inventory.see(seen, now_ms()) {
            put(app, stored, inventory.clone()).await?;
        }
        Ok(inventory)
    })
    .await
}

fn sighting(app: &App, backend: Stored<BackendRecord>, drives: &[DriveInfo]) -> Sighting {
    Sighting {
        persistent_id: backend.value.persistent_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        available: app.liveness.is_alive(),
        drives: drives.len(),
    }
}

/// Forgets all samples; returns the number of this reset.
pub(crate) async fn reset(app: &App) -> Result<u64, ApiError> {
    retry(async || {
        let stored = stored(app).await?;
        let mut inventory = stored.as_ref().map(|s| s.value.clone()).unwrap_or_default();
        let number = inventory.reset();
        put(app, stored, inventory).await?;
        Ok(number)
    })
    .await
}
