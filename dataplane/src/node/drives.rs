//! A node's drives: they come, grow and go while it serves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::{
    DriveConfig, DriveInfo, DriveState, Node, NodeError, NodeObject, StartError,
    open_drive::{self, OpenDrive},
};
use crate::{
    engine::{self, CheckReport},
    rt::{CoreId, RuntimeHandle},
};

/// Every drive that the node was given, in the order in which they came.
#[derive(Debug)]
pub(super) struct Drives {
    places: Mutex<Vec<Place>>,
    /// Memory for resident map pages of each drive.
    map_memory_bytes: u64,
}

#[derive(Debug, Clone)]
enum Place {
    Open(Arc<OpenDrive>),
    /// One that could not be opened.
    Absent(DriveInfo),
}

impl Place {
    fn info(&self) -> DriveInfo {
        match self {
            Self::Open(drive) => drive.info(),
            Self::Absent(info) => info.clone(),
        }
    }
}

impl Drives {
    /// Opens all of them. One that is optional may fail, which is remembered.
    pub(super) fn open_all(
        handle: &RuntimeHandle,
        configs: Vec<DriveConfig>,
        map_memory_bytes: u64,
    ) -> Result<Self, StartError> {
        let drives = Self { places: Mutex::default(), map_memory_bytes };
        for config in configs {
            match open_drive::block_on(drives.open(handle, config.clone())) {
                Ok(drive) => drives.places().push(Place::Open(drive)),
                Err(StartError(reason)) if config.optional => {
                    tracing::error!(reason, "a drive cannot be opened; the others are served");
                    drives.places().push(Place::Absent(absent(&config, reason)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(drives)
    }

    /// Opens one on the next core; it is not among the others yet.
    async fn open(&self, handle: &RuntimeHandle, config: DriveConfig) -> Result<Arc<OpenDrive>, StartError> {
        let open = self.all();
        let home = core_of(open.len(), handle.cores());
        let taken = open.iter().map(|drive| drive.drive.uuid()).collect();
        open_drive::open(handle, home, config, self.map_memory_bytes, taken).await.map(Arc::new)
    }

    /// The drives that are open.
    pub(super) fn all(&self) -> Vec<Arc<OpenDrive>> {
        let open = |place: &Place| match place {
            Place::Open(drive) => Some(drive.clone()),
            Place::Absent(_) => None,
        };
        self.places().iter().filter_map(open).collect()
    }

    /// The open drive of that name.
    pub(super) fn get(&self, uuid: Uuid) -> Result<Arc<OpenDrive>, NodeError> {
        self.all()
            .into_iter()
            .find(|drive| drive.drive.uuid() == uuid)
            .ok_or(NodeError::NotFound(NodeObject::Drive))
    }

    fn infos(&self) -> Vec<DriveInfo> {
        self.places().iter().map(Place::info).collect()
    }

    /// Adds one, in the place of an absent one of that name. False if another copy of it came first.
    fn put(&self, drive: &Arc<OpenDrive>) -> bool {
        let mut places = self.places();
        let is_open = |place: &Place| matches!(place, Place::Open(_));
        if places.iter().any(|place| is_open(place) && place.info().uuid == drive.drive.uuid()) {
            return false;
        }
        places.retain(|place| is_open(place) || place.info().name != drive.name);
        places.push(Place::Open(drive.clone()));
        true
    }

    fn forget(&self, uuid: Uuid) {
        self.places().retain(|place| place.info().uuid != uuid);
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    /// The drives in the order in which they came, those that could not be opened included.
    pub async fn drives(&self) -> Vec<DriveInfo> {
        self.inner.drives.infos()
    }

    /// Takes a drive in while the node serves: opens it, or formats it if it is blank or was named for that. What is
    /// in use, a copy of another drive, and foreign content are refused unchanged.
    pub async fn add_drive(&self, config: DriveConfig) -> Result<DriveInfo, NodeError> {
        let name = open_drive::name_of(&config.medium);
        if self.inner.drives.all().iter().any(|drive| drive.name == name) {
            return Err(NodeError::AlreadyExists(NodeObject::Drive));
        }
        let opened = self.inner.drives.open(&self.inner.handle, config).await;
        let drive = opened.map_err(|StartError(reason)| NodeError::Invalid(reason))?;
        if !self.inner.drives.put(&drive) {
            open_drive::close(&self.inner.handle, &drive).await;
            return Err(NodeError::AlreadyExists(NodeObject::Drive));
        }
        self.settle_moves().await;
        self.remove_left_behind().await;
        Ok(drive.info())
    }

    /// Makes a drive larger: to `size_bytes`, or as large as its medium has become. Asking again is no error.
    pub async fn grow_drive(&self, uuid: Uuid, size_bytes: Option<u64>) -> Result<DriveInfo, NodeError> {
        let drive = self.inner.drives.get(uuid)?;
        let engine = drive.drive.clone();
        self.on_home(&drive, move || async move { engine.grow(size_bytes).await }).await?;
        Ok(drive.info())
    }

    /// Proves that every extent of a drive has one owner and that all counters and checksums are right, while it
    /// serves.
    pub async fn check_drive(&self, uuid: Uuid) -> Result<CheckReport, NodeError> {
        let drive = self.inner.drives.get(uuid)?;
        let engine = drive.drive.clone();
        self.on_home(&drive, move || async move { engine::check(&engine).await }).await
    }

    /// Closes a drive that holds no volume and no snapshot, and forgets it. Its file stays. One that could not be
    /// opened is forgotten.
    pub async fn remove_drive(&self, uuid: Uuid) -> Result<(), NodeError> {
        let drive = match self.inner.drives.get(uuid) {
            Ok(drive) => drive,
            Err(error) => {
                let known = self.inner.drives.infos().iter().any(|info| info.uuid == uuid);
                self.inner.drives.forget(uuid);
                return if known { Ok(()) } else { Err(error) };
            }
        };
        let engine = drive.drive.clone();
        if !self.on_home(&drive, move || async move { Ok(engine.retire().await) }).await? {
            let volumes = drive.drive.volumes().iter().map(|volume| volume.uuid()).collect();
            let snapshots = drive.drive.snapshots().iter().map(|snapshot| snapshot.uuid()).collect();
            return Err(NodeError::NotEmpty { volumes, snapshots });
        }
        self.inner.drives.forget(uuid);
        open_drive::close(&self.inner.handle, &drive).await;
        Ok(())
    }
}

/// What is known of a drive that is not there.
fn absent(config: &DriveConfig, reason: String) -> DriveInfo {
    DriveInfo {
        uuid: config.identity.map_or(Uuid::nil(), |identity| identity.uuid),
        name: open_drive::name_of(&config.medium),
        state: DriveState::Failed(reason),
        sequence: 0,
        size_bytes: 0,
        capacity_bytes: 0,
        unreserved_bytes: 0,
        used_bytes: 0,
        write_through: false,
        evacuation: None,
    }
}

/// Home cores go round: each drive's journal and checkpoints run on one core.
fn core_of(index: usize, cores: usize) -> CoreId {
    CoreId(u16::try_from(index % cores).expect("limits::CORES fits"))
}
