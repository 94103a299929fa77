//! Opening, formatting and closing one drive.

use std::sync::{Arc, Mutex, PoisonError};

use futures_channel::oneshot;
use uuid::Uuid;

use super::{
    DriveConfig, DriveInfo, DriveMedium, DriveState, StartError, TestFault, TornPolicy, evacuate::Emptying,
    identity,
};
use crate::{
    engine::{Drive, DriveOptions, Fault, FormatOptions, Probe},
    rt::{
        CoreId, RuntimeHandle,
        disk::{Disk, Lossy, OpenOptions},
    },
};

/// Size of a drive file that is made on demand and was given none.
const DEFAULT_SIZE_BYTES: u64 = 16 << 30;
/// Smaller ones would be all journal and reserve.
const SMALLEST_BYTES: u64 = 64 << 20;

/// A drive that serves, with what only its configuration knows.
#[derive(Debug)]
pub(super) struct OpenDrive {
    pub(super) drive: Drive,
    pub(super) name: String,
    /// The core that runs its journal and its structural changes.
    pub(super) home: CoreId,
    emptying: Mutex<Option<Arc<Emptying>>>,
}

impl OpenDrive {
    /// The last one, whether or not it has ended.
    pub(super) fn emptying(&self) -> Option<Arc<Emptying>> {
        self.emptying.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_emptying(&self, emptying: Arc<Emptying>) {
        *self.emptying.lock().unwrap_or_else(PoisonError::into_inner) = Some(emptying);
    }

    pub(super) fn state(&self) -> DriveState {
        match self.drive.state() {
            DriveState::Online if self.emptying().is_some_and(|emptying| emptying.is_under_way()) => {
                DriveState::Evacuating
            }
            state => state,
        }
    }

    pub(super) fn info(&self) -> DriveInfo {
        DriveInfo {
            uuid: self.drive.uuid(),
            name: self.name.clone(),
            state: self.state(),
            sequence: self.drive.sequence(),
            size_bytes: self.drive.size_bytes(),
            capacity_bytes: self.drive.capacity_bytes(),
            unreserved_bytes: self.drive.unreserved_bytes(),
            used_bytes: self.drive.used_bytes(),
            write_through: self.drive.is_write_through(),
            evacuation: self.emptying().map(|emptying| emptying.info()),
        }
    }
}

/// Opens one drive on its home core, formatting it if it is new or was named for that. Drives in `taken` are
/// refused before anything is changed on them.
pub(super) async fn open(
    handle: &RuntimeHandle,
    home: CoreId,
    config: DriveConfig,
    map_memory_bytes: u64,
    taken: Vec<Uuid>,
) -> Result<OpenDrive, StartError> {
    let name = name_of(&config.medium);
    let (disk, config) = on_a_thread(move || (open_medium(&config), config))
        .await
        .ok_or_else(|| StartError(format!("{name}: the system has no thread to open it")))?;
    let disk = disk?;
    let opening = handle
        .call_on(home, move || async move { open_engine(disk, &config, map_memory_bytes, &taken).await });
    let opened =
        opening.await.ok_or_else(|| StartError(format!("{name}: its core stopped while opening it")))?;
    Ok(OpenDrive { drive: opened?, name, home, emptying: Mutex::default() })
}

/// Runs what blocks away from the cores and from the caller's executor.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, wait) = oneshot::channel();
    let thread = std::thread::Builder::new().name("open-drive".to_owned()).spawn(move || {
        // The asker may be gone; then what was opened closes again.
        let _ = answer.send(work());
    });
    thread.ok()?;
    wait.await.ok()
}

/// Writes a checkpoint so that the next start replays nothing.
pub(super) async fn close(handle: &RuntimeHandle, drive: &OpenDrive) {
    let engine = drive.drive.clone();
    let closed = handle.call_on(drive.home, move || async move { engine.close().await }).await;
    if let Some(Err(error)) = closed {
        tracing::error!(drive = drive.name, %error, "closing the drive failed; the next start replays its journal");
    }
}

pub(super) fn name_of(medium: &DriveMedium) -> String {
    match medium {
        DriveMedium::Path(path) => path.display().to_string(),
        DriveMedium::Memory(name) => format!("mem:{name}"),
    }
}

fn open_medium(config: &DriveConfig) -> Result<Disk, StartError> {
    let name = name_of(&config.medium);
    let size_bytes = config.size_bytes.unwrap_or(DEFAULT_SIZE_BYTES);
    if size_bytes < SMALLEST_BYTES {
        return Err(StartError(format!(
            "{name}: size: {size_bytes} bytes is below the smallest drive of {SMALLEST_BYTES}"
        )));
    }
    match &config.medium {
        DriveMedium::Memory(_) => {
            Disk::memory(size_bytes).map_err(|error| StartError(format!("{name}: {error}")))
        }
        DriveMedium::Path(path) => {
            identity::check_presence(path, config)?;
            let no_flush = config.fault == Some(TestFault::NoFlush);
            let lossy = config.lossy.then_some(Lossy { no_flush });
            let options = OpenOptions { create_bytes: Some(size_bytes), lossy };
            Disk::open(path, options).map_err(|error| StartError(error.to_string()))
        }
    }
}

async fn open_engine(
    disk: Disk,
    config: &DriveConfig,
    map_memory_bytes: u64,
    taken: &[Uuid],
) -> Result<Drive, StartError> {
    let name = name_of(&config.medium);
    let failed = |error: &dyn std::fmt::Display| StartError(format!("{name}: {error}"));
    let torn = config.torn.or_else(|| default_torn(&disk, &name));
    let found = Drive::probe(&disk).await.map_err(|error| failed(&error))?;
    identity::check(&found, config, &name, taken)?;
    match found {
        Probe::Ours { .. } if !config.format => {}
        Probe::Foreign(reason) if !config.format => {
            return Err(StartError(format!(
                "{name} holds something else ({reason}): give another path, or name it with --format to \
                 overwrite it"
            )));
        }
        Probe::Blank | Probe::Ours { .. } | Probe::Foreign(_) => {
            let options = FormatOptions { overwrite: config.format };
            Drive::format(&disk, options).await.map_err(|error| failed(&error))?;
            tracing::info!(drive = name, size_bytes = disk.size_bytes(), "formatted");
        }
    }
    if disk.is_buffered() {
        tracing::warn!(drive = name, "the file system refuses O_DIRECT: writes go through the page cache");
    }
    let fault = (config.fault == Some(TestFault::EarlyAnswer)).then_some(Fault::EarlyAnswer);
    let options = DriveOptions { write_through: config.write_through, torn, map_memory_bytes, fault };
    Drive::open(disk, options).await.map_err(|error| failed(&error))
}

/// E8: a file's atomic unit is a guess, so its user's statement is assumed, with a warning.
fn default_torn(disk: &Disk, name: &str) -> Option<TornPolicy> {
    if disk.atomic_bytes() >= 4096 || !disk.is_file() {
        return None;
    }
    tracing::warn!(
        drive = name,
        atomic_bytes = disk.atomic_bytes(),
        "4 KiB writes to this file are assumed to be atomic over a power cut; torn-safe makes them so"
    );
    Some(TornPolicy::Assume4kAtomic)
}

/// Waits on a thread that is no core.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    use std::{
        pin::pin,
        task::{Context, Poll, Wake, Waker},
        thread::{self, Thread},
    };
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut cx) {
            return answer;
        }
        thread::park();
    }
}
