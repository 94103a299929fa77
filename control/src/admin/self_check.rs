//! What a new program does before it is taken: it reads a copy of the metadata.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{settings::AdminSettings, update::Releases};
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
        Ok::<_, StoreError>(())
    };
    read.await.map_err(|e| ControlError::bad_file(store, e))
}

/// The program of the release that an update made the active one, if it is newer than the one that asks.
pub fn newer_program(data_dir: &Path) -> Option<PathBuf> {
    Releases::of(data_dir).program().filter(|program| program.is_file())
}
