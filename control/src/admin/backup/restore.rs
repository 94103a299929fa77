//! Restoring a backup: everything is checked first, then the store is replaced in one transaction.

use std::{collections::BTreeSet, fs::File, path::Path};

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{BackupError, BadBackup, RestoredRecord, Saved, is_saved, make};
use crate::{
    accounts::Directory,
    admin::{
        settings::{AdminSettings, take_effect},
        storage::StorageRecord,
    },
    app::{App, SharedApp},
    crash_point::crash_point,
    model::{
        host::HostRecord,
        snapshot::{SnapshotPhase, SnapshotRecord},
        target::TargetRecord,
        tenant::TenantRecord,
        volume::{Phase, VolumeRecord},
    },
    reconcile,
    state::{Record, State},
    store::{Check, Op, StoreError},
};

/// Why nothing was restored; everything is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Bad(#[from] BadBackup),
    #[error("archive is of the node {0}, this one is {1}")]
    OtherSystem(String, String),
    #[error("archive: {0} is damaged: {1}")]
    Record(String, String),
    #[error("archive has no users")]
    NoUsers,
    #[error("archive has the {0} {1}, which no drive of this node has")]
    NotThere(&'static str, Uuid),
    #[error("archive has the volume {0} with another size than it has now")]
    OtherSize(Uuid),
    #[error("the volume {0} is not in archive, and a host is connected to it")]
    Connected(Uuid),
    #[error("metadata was changed meanwhile: try again")]
    Raced,
    #[error("the state before could not be kept: {0}")]
    NotKept(#[from] BackupError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The records of a kind that a backup has.
fn records<T: Record + DeserializeOwned>(saved: &Saved) -> Result<Vec<T>, RestoreError> {
    let ours = saved.records.iter().filter(|(key, _)| key.starts_with(T::PREFIX));
    let parse = |(key, value): (&String, &String)| {
        serde_json::from_str(value).map_err(|e| RestoreError::Record(key.clone(), e.to_string()))
    };
    ours.map(parse).collect()
}

/// Takes the place of everything that is saved. Volumes that are there before and after are served on.
pub(crate) async fn restore(app: &SharedApp, archive: &Path) -> Result<(), RestoreError> {
    let path = archive.to_owned();
    let saved = tokio::task::spawn_blocking(move || Saved::from_tar(File::open(path)?));
    let saved = saved.await.map_err(|_| BackupError::GivenUp)??;
    if saved.system != app.node_id {
        return Err(RestoreError::OtherSystem(saved.system, app.node_id.clone()));
    }
    let before = make::save(app).await?;
    let kept = app.backups().join("before-restore.tar");
    let keep = tokio::task::spawn_blocking(move || make::write(&before, &kept));
    keep.await.map_err(|_| BackupError::GivenUp)??;
    {
        let _no_changes = app.pause_changes().await.ok_or(BackupError::GivenUp)?;
        check(app, &saved).await?;
        replace(app, saved).await?;
    }
    reload(app).await
}

async fn check(app: &App, saved: &Saved) -> Result<(), RestoreError> {
    records::<HostRecord>(saved)?;
    records::<TenantRecord>(saved)?;
    records::<TargetRecord>(saved)?;
    records::<AdminSettings>(saved)?;
    records::<StorageRecord>(saved)?;
    if records::<Directory>(saved)?.is_empty() {
        return Err(RestoreError::NoUsers);
    }
    let (volumes, snapshots) = (records::<VolumeRecord>(saved)?, records::<SnapshotRecord>(saved)?);
    let observed = app.observe().await;
    for volume in volumes.iter().filter(|volume| volume.phase == Phase::Ready) {
        for replica in &volume.replicas {
            let there = observed.volumes.get(&replica.uuid);
            let there = there.ok_or(RestoreError::NotThere("volume", volume.uuid))?;
            if there.size_bytes != volume.size.capacity_bytes() {
                return Err(RestoreError::OtherSize(volume.uuid));
            }
        }
    }
    let missing = snapshots.iter().find(|snapshot| {
        snapshot.phase == SnapshotPhase::Ready && !observed.snapshots.contains_key(&snapshot.uuid)
    });
    match missing {
        Some(snapshot) => Err(RestoreError::NotThere("snapshot", snapshot.uuid)),
        None => check_connected(app, &volumes.iter().map(|volume| volume.uuid).collect()).await,
    }
}

/// A volume that a host is connected to must not vanish under it.
async fn check_connected(app: &App, volumes: &BTreeSet<Uuid>) -> Result<(), RestoreError> {
    let controllers = app.controllers().await;
    let connected: BTreeSet<&str> = controllers.iter().map(|c| c.subsystem_nqn.as_str()).collect();
    for target in app.state.list::<TargetRecord>().await? {
        let vanishes = target.value.volumes().find(|volume| !volumes.contains(volume));
        if let Some(volume) = vanishes.filter(|_| connected.contains(target.value.nqn.as_str())) {
            return Err(RestoreError::Connected(volume));
        }
    }
    Ok(())
}

/// One transaction, which fails if any record is no longer as it was read.
async fn replace(app: &App, mut saved: Saved) -> Result<(), RestoreError> {
    let (mut checks, mut ops) = (Vec::new(), Vec::new());
    for entry in app.state.export().await?.into_iter().filter(|entry| is_saved(&entry.key)) {
        checks.push(Check::At(entry.key.clone(), entry.revision));
        match saved.records.remove(&entry.key) {
            Some(value) if value.as_bytes() == entry.value => {}
            Some(value) => ops.push(Op::Put { key: entry.key, value: value.into_bytes() }),
            None => ops.push(Op::Delete { key: entry.key }),
        }
    }
    for (key, value) in saved.records {
        checks.push(Check::Absent(key.clone()));
        ops.push(Op::Put { key, value: value.into_bytes() });
    }
    let restored = RestoredRecord { id: Uuid::new_v4() };
    let value = serde_json::to_vec(&restored).expect("it has no failing parts");
    ops.push(Op::Put { key: restored.key(), value });
    crash_point();
    app.state.replace(checks, ops).await.map_err(|error| match error {
        StoreError::Conflict { .. } => RestoreError::Raced,
        error => error.into(),
    })?;
    crash_point();
    Ok(())
}

/// The mark of what a restore changes.
pub(crate) async fn restore_mark(state: &State) -> Result<String, StoreError> {
    let last = state.get::<RestoredRecord>(RestoredRecord::KEY).await?;
    Ok(last.map_or_else(String::new, |last| last.value.id.to_string()))
}

/// What is kept in memory of the store, and what the node was told, follow it.
async fn reload(app: &SharedApp) -> Result<(), RestoreError> {
    app.auth.oidc.reload(&app.seal).await?;
    match app.state.get::<AdminSettings>(AdminSettings::KEY).await? {
        Some(settings) => take_effect(app, &settings.value),
        None => {
            app.set_node_name(&app.config.node_name);
            app.names.ask([]);
        }
    }
    for problem in reconcile::storage(app).await? {
        tracing::warn!("{problem}");
    }
    for ((nqn, node), error) in reconcile::subsystems(app).await? {
        tracing::warn!(nqn, node, %error, "what was published is not exported again yet");
    }
    Ok(())
}
