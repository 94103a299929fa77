//! Making volumes larger while they are in use.

use uuid::Uuid;

use super::{
    BlockSize, Node, NodeError, VolumeInfo,
    parts::{OnDrive, VolumeParts},
    replicas::check_grain,
    volumes::{count, hidden_bytes},
};
use crate::{engine, limits};

impl Node {
    /// Makes a volume larger; connected hosts are told. Its last part grows; if that part's drive has too little room,
    /// further parts on `drives` are added, if any are named.
    pub async fn expand_volume(
        &self,
        uuid: Uuid,
        size_bytes: u64,
        reserved_bytes: u64,
        drives: &[Uuid],
    ) -> Result<VolumeInfo, NodeError> {
        // One at a time: a handle's parts change one after the other.
        let _together = self.inner.together.take().await;
        let whole = self.volume_parts(uuid)?.checked()?;
        let hidden_bytes = hidden_bytes(&whole);
        if hidden_bytes > 0 {
            check_grain(size_bytes)?;
        }
        let (size_bytes, reserved_bytes) = (size_bytes + hidden_bytes, reserved_bytes + hidden_bytes);
        let handle = self.find(uuid)?;
        let now_bytes = handle.size_bytes();
        if size_bytes < now_bytes {
            return Err(NodeError::Invalid("a volume does not shrink".into()));
        }
        let more_bytes = size_bytes - now_bytes;
        match self.grow_parts(&whole, more_bytes, reserved_bytes).await {
            Err(NodeError::NoFreeSpace { .. }) if !drives.is_empty() && more_bytes > 0 => {
                self.add_parts(&whole, more_bytes, reserved_bytes, drives).await?;
                // Under the lock, as whoever moves a part does it.
                self.refresh(&self.handles(), uuid);
            }
            grown => grown?,
        }
        self.replica_expanded(uuid).await;
        self.inner.target.volume_changed(uuid);
        self.volume(uuid).await
    }

    /// The last part takes what is new, of the reserve as much as fits in it; the others the rest of the reserve.
    async fn grow_parts(
        &self,
        whole: &VolumeParts,
        more_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<(), NodeError> {
        let mut more_reserve = reserved_bytes.saturating_sub(reserve_of(whole));
        let mut shapes = Vec::new();
        for (place, OnDrive { drive, part }) in whole.parts.iter().enumerate().rev() {
            let is_last = place + 1 == whole.parts.len();
            let size = part.size_bytes() + if is_last { more_bytes } else { 0 };
            let reserve = part.reserved_bytes() + more_reserve.min(size - part.reserved_bytes().min(size));
            more_reserve -= reserve - part.reserved_bytes();
            if is_last || reserve > part.reserved_bytes() {
                shapes.push((drive, part, size, reserve));
            }
        }
        // The last part comes last: it makes the new size count.
        let mut changed: Vec<(_, &engine::Volume, u64)> = Vec::new();
        for (drive, part, size, reserve) in shapes.into_iter().rev() {
            let before = part.reserved_bytes();
            if let Err(error) = self.shape_part(drive, part, size, reserve).await {
                for (drive, part, reserve) in changed {
                    self.shape_part(drive, part, part.size_bytes(), reserve).await?;
                }
                return Err(error);
            }
            changed.push((drive, part, before));
        }
        Ok(())
    }

    async fn shape_part(
        &self,
        drive: &super::open_drive::OpenDrive,
        part: &engine::Volume,
        size_bytes: u64,
        reserved_bytes: u64,
    ) -> Result<(), NodeError> {
        let (engine, part) = (drive.drive.clone(), part.clone());
        self.on_home(
            drive,
            move || async move { engine.expand_volume(&part, size_bytes, reserved_bytes).await },
        )
        .await
    }

    /// Adds parts behind the last one; they count from the moment at which the first part's record says so.
    async fn add_parts(
        &self,
        whole: &VolumeParts,
        more_bytes: u64,
        reserved_bytes: u64,
        drives: &[Uuid],
    ) -> Result<(), NodeError> {
        let (first, uuid) = (&whole.parts[0], whole.parts[0].part.uuid());
        let more_reserve = reserved_bytes.saturating_sub(reserve_of(whole)).min(more_bytes);
        let parts = self.divide(drives, more_bytes, more_reserve)?;
        let (old, new) = (whole.parts.len(), whole.parts.len() + parts.len());
        if new > limits::VOLUME_PARTS {
            let problem = format!("a volume has at most {} parts on a node's drives", limits::VOLUME_PARTS);
            return Err(NodeError::Invalid(problem));
        }
        let block_size = BlockSize::of(first.part.block_bytes());
        let made = self.make_parts(uuid, block_size, parts, count(old)..count(new), count(new)).await?;
        let (engine, part) = (first.drive.drive.clone(), first.part.clone());
        let counted =
            self.on_home(&first.drive, move || async move { engine.set_parts(&part, count(new)).await });
        if let Err(error) = counted.await {
            self.delete_parts(made.into_iter()).await?;
            return Err(error);
        }
        Ok(())
    }
}

fn reserve_of(whole: &VolumeParts) -> u64 {
    whole.parts.iter().map(|one| one.part.reserved_bytes()).sum()
}
