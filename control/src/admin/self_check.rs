//! What a new program does before it is taken: it reads a copy of the metadata.

use std::{path::Path, sync::Arc};

use super::{
    settings::AdminSettings,
    storage::StorageRecord,
    update::{NextProgram, Releases},
};
use crate::{
    ControlError,
    accounts::Directory,
    model::{
        host::HostRecord, snapshot::SnapshotRecord, target::TargetRecord, tenant::TenantRecord,
        volume::VolumeRecord,
    },
    state::State,
    store::{RedbStore, StoreError},
};

/// Reads every record of a store that this program rests on.
///
/// # Errors
/// Names the record that it cannot read.
pub async fn self_check(store: &Path) -> Result<(), ControlError> {
    let state = State::new(Arc::new(RedbStore::open(store)?));
    let read = async {
        state.list::<VolumeRecord>().await?;
        state.list::<SnapshotRecord>().await?;
        state.list::<HostRecord>().await?;
        state.list::<TargetRecord>().await?;
        state.list::<TenantRecord>().await?;
        state.list::<Directory>().await?;
        state.list::<AdminSettings>().await?;
        state.list::<StorageRecord>().await?;
        Ok::<_, StoreError>(())
    };
    read.await.map_err(|e| ControlError::bad_file(store, e))
}

/// The program that is to serve `data_dir` instead of the one that asks, if an update installed a newer one.
///
/// # Errors
/// What is written down about releases cannot be read.
pub fn next_program(data_dir: &Path) -> Result<Option<NextProgram>, ControlError> {
    Releases::of(data_dir).next()
}

/// The program that asks serves `data_dir` now: if it is a release on trial, it has passed.
///
/// # Errors
/// It cannot be written down.
pub fn release_is_ready(data_dir: &Path) -> Result<(), ControlError> {
    Releases::of(data_dir).is_ready()
}
