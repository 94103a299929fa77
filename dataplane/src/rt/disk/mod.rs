//! Open drive media behind one enum: a file or block device through io_uring, memory, a lossy and a hollow test
//! medium, the simulator's.

mod file;
mod hollow;
mod lossy;
mod memory;
mod sim;

use std::{path::Path, sync::Arc};

pub use self::sim::{FaultyOperation, SimFault, SimMedia};
use self::{
    file::{Access, FileDisk},
    hollow::HollowDisk,
    lossy::LossyDisk,
    memory::MemoryDisk,
    sim::SimDisk,
};
use super::Buf;

/// How far a write must have gone when it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// In the drive, perhaps in its volatile cache.
    Cached,
    /// Safe from a power cut (FUA, DSYNC).
    Durable,
}

/// The disk failed. Never says anything about what a host or caller did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    #[error("the drive answered {}", std::io::Error::from_raw_os_error(*.0))]
    Io(i32),
    #[error("the file system under the drive is full")]
    NoSpace,
    #[error("the drive has gone")]
    Vanished,
    #[error("the drive ended early: it is shorter than it was")]
    Short,
}

/// Why a medium could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {source}")]
    Os { path: String, source: std::io::Error },
    #[error("{0} is in use by another process")]
    Locked(String),
    #[error("{0} does not exist and no size was given to create it with")]
    Missing(String),
    #[error("{0} is neither a file nor a block device")]
    WrongKind(String),
}

/// How to open a file or block device.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Create a sparse file of this size if nothing is there.
    pub create_bytes: Option<u64>,
    /// Test only, see [`Lossy`].
    pub lossy: Option<Lossy>,
}

/// The test medium: what is written stays in the process until a flush or a durable write, save for single
/// 512-byte sectors that reach the file early at random. Killing the process then is a power cut.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lossy {
    /// A flush does nothing: the test of the test.
    pub no_flush: bool,
}

/// An open medium; cheap to clone, usable from every core. Offsets and lengths are multiples of
/// [`block_bytes`](Self::block_bytes). An operation owns its buffer until it has completed.
#[derive(Debug, Clone)]
pub struct Disk(Kind);

#[derive(Debug, Clone)]
enum Kind {
    File(Arc<FileDisk>),
    Memory(Arc<MemoryDisk>),
    Lossy(Arc<LossyDisk>),
    Hollow(Arc<HollowDisk>),
    Sim(SimDisk),
}

impl Disk {
    /// Opens a file or block device and locks it against a second server. It waits a few seconds for a lock, so it
    /// is not for a core: io_uring lets go of a file that the core has used only while the core runs.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, OpenError> {
        let access = if options.lossy.is_some() { Access::Buffered } else { Access::Direct };
        let file = FileDisk::open(path, options.create_bytes, access)?;
        Ok(Self(match options.lossy {
            Some(lossy) => Kind::Lossy(Arc::new(LossyDisk::new(file, lossy))),
            None => Kind::File(Arc::new(file)),
        }))
    }

    /// Opens a file or block device to read it. It is locked as if to serve it, and cannot be written to.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Kind::File(Arc::new(FileDisk::open(path, None, Access::Read)?))))
    }

    /// A medium in memory, gone with the process; pages are taken as they are first written.
    pub fn memory(size_bytes: u64) -> std::io::Result<Self> {
        Ok(Self(Kind::Memory(Arc::new(MemoryDisk::new(size_bytes)?))))
    }

    /// For measurements only: a sparse file of that size, created if it is not there, whose data can be left out
    /// ([`keep_only`](Self::keep_only)) and which never takes space in advance.
    pub fn hollow(path: &Path, size_bytes: u64) -> Result<Self, OpenError> {
        let file = FileDisk::open(path, Some(size_bytes), Access::Direct)?;
        Ok(Self(Kind::Hollow(Arc::new(HollowDisk::new(file)))))
    }

    /// A hollow medium keeps nothing from that offset on: writes there vanish. Others are not changed.
    pub fn keep_only(&self, kept_bytes: u64) {
        if let Kind::Hollow(disk) = &self.0 {
            disk.keep_only(kept_bytes);
        }
    }

    pub fn size_bytes(&self) -> u64 {
        match &self.0 {
            Kind::File(disk) => disk.size_bytes(),
            Kind::Memory(disk) => disk.size_bytes(),
            Kind::Lossy(disk) => disk.file().size_bytes(),
            Kind::Hollow(disk) => disk.file().size_bytes(),
            Kind::Sim(disk) => disk.size_bytes(),
        }
    }

    /// Unit of reads and writes: 512 or 4096.
    pub fn block_bytes(&self) -> u32 {
        match &self.0 {
            Kind::File(disk) => disk.block_bytes(),
            Kind::Hollow(disk) => disk.file().block_bytes(),
            Kind::Memory(_) | Kind::Lossy(_) => 512,
            Kind::Sim(disk) => disk.block_bytes(),
        }
    }

    /// What a power cut never tears: the physical block or atomic write unit (E8).
    pub fn atomic_bytes(&self) -> u32 {
        match &self.0 {
            Kind::File(disk) => disk.atomic_bytes(),
            Kind::Hollow(disk) => disk.file().atomic_bytes(),
            Kind::Memory(_) => 4096,
            Kind::Lossy(_) => 512,
            Kind::Sim(disk) => disk.atomic_bytes(),
        }
    }

    /// Whether writes may sit in a cache that a power cut empties.
    pub fn is_volatile(&self) -> bool {
        match &self.0 {
            Kind::File(disk) => disk.is_volatile(),
            Kind::Hollow(disk) => disk.file().is_volatile(),
            Kind::Memory(_) => false,
            Kind::Lossy(_) => true,
            Kind::Sim(disk) => disk.is_volatile(),
        }
    }

    /// True for a regular file: its "atomic unit" is a guess (E8), and sparse parts can be allocated.
    pub fn is_file(&self) -> bool {
        match &self.0 {
            Kind::File(disk) => disk.is_file(),
            Kind::Lossy(_) | Kind::Hollow(_) => true,
            Kind::Memory(_) | Kind::Sim(_) => false,
        }
    }

    /// Whether O_DIRECT was refused, so that writes go through the page cache.
    pub fn is_buffered(&self) -> bool {
        match &self.0 {
            Kind::File(disk) => disk.is_buffered(),
            _ => false,
        }
    }

    /// Identifies the power-on period of what holds unflushed writes (E2): as long as it is the same, every
    /// completed write is still there.
    pub fn boot_id(&self) -> [u8; 16] {
        match &self.0 {
            Kind::File(disk) => disk.boot_id(),
            Kind::Memory(disk) => disk.boot_id(),
            Kind::Lossy(disk) => disk.boot_id(),
            Kind::Hollow(disk) => disk.file().boot_id(),
            Kind::Sim(disk) => disk.boot_id(),
        }
    }

    /// Fills `buf` from the medium.
    pub async fn read(&self, buf: Buf, offset_bytes: u64) -> (Buf, Result<(), DiskError>) {
        match &self.0 {
            Kind::File(disk) => disk.read(buf, offset_bytes).await,
            Kind::Memory(disk) => disk.read(buf, offset_bytes),
            Kind::Lossy(disk) => disk.read(buf, offset_bytes).await,
            Kind::Hollow(disk) => disk.read(buf, offset_bytes).await,
            Kind::Sim(disk) => disk.read(buf, offset_bytes).await,
        }
    }

    /// Writes all of `buf`.
    pub async fn write(
        &self,
        buf: Buf,
        offset_bytes: u64,
        durability: Durability,
    ) -> (Buf, Result<(), DiskError>) {
        match &self.0 {
            Kind::File(disk) => disk.write(buf, offset_bytes, durability).await,
            Kind::Memory(disk) => disk.write(buf, offset_bytes),
            Kind::Lossy(disk) => disk.write(buf, offset_bytes, durability).await,
            Kind::Hollow(disk) => disk.write(buf, offset_bytes, durability).await,
            Kind::Sim(disk) => disk.write(buf, offset_bytes, durability).await,
        }
    }

    /// Makes every write durable that completed before this began.
    pub async fn flush(&self) -> Result<(), DiskError> {
        match &self.0 {
            Kind::File(disk) => disk.flush().await,
            Kind::Memory(_) => Ok(()),
            Kind::Lossy(disk) => disk.flush().await,
            Kind::Hollow(disk) => disk.file().flush().await,
            Kind::Sim(disk) => disk.flush().await,
        }
    }

    /// Extends a file to `size_bytes` if that is more than it has; looks again how large a block device is. Answers
    /// the size found, which the next flush makes durable. Bytes gained read as zeros in a file.
    pub async fn grow(&self, size_bytes: Option<u64>) -> Result<u64, DiskError> {
        match &self.0 {
            Kind::File(disk) => disk.grow(size_bytes),
            Kind::Lossy(disk) => disk.file().grow(size_bytes),
            Kind::Hollow(disk) => disk.file().grow(size_bytes),
            Kind::Memory(disk) => Ok(disk.size_bytes()),
            Kind::Sim(disk) => Ok(disk.grow(size_bytes)),
        }
    }

    /// Makes sure that a sparse file has space for the range. Contents stay. Nothing to do on other media.
    pub async fn allocate(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), DiskError> {
        match &self.0 {
            Kind::File(disk) => disk.allocate(offset_bytes, len_bytes).await,
            Kind::Lossy(disk) => disk.file().allocate(offset_bytes, len_bytes).await,
            Kind::Memory(_) | Kind::Hollow(_) | Kind::Sim(_) => Ok(()),
        }
    }

    /// Tells the medium that the range's contents are not needed any more. They are undefined afterwards.
    pub async fn discard(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), DiskError> {
        match &self.0 {
            Kind::File(disk) => disk.discard(offset_bytes, len_bytes).await,
            Kind::Memory(disk) => disk.discard(offset_bytes, len_bytes),
            Kind::Lossy(_) | Kind::Hollow(_) | Kind::Sim(_) => Ok(()),
        }
    }
}
