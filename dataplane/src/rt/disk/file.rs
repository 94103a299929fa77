//! A file or block device through io_uring, O_DIRECT where the file system allows it.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, StatxFlags};

use super::{DiskError, Durability, OpenError};
use crate::rt::{
    Buf,
    uring::{Op, Resource},
};

const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// What it is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Reads and writes past the page cache, where that is allowed.
    Direct,
    /// Reads and writes through the page cache.
    Buffered,
    /// Reads only.
    Read,
}

/// A locked, open file or block device.
#[derive(Debug)]
pub(super) struct FileDisk {
    fd: OwnedFd,
    size_bytes: AtomicU64,
    block_bytes: u32,
    atomic_bytes: u32,
    is_volatile: bool,
    is_file: bool,
    is_buffered: bool,
    boot_id: [u8; 16],
}

impl FileDisk {
    pub(super) fn open(path: &Path, create_bytes: Option<u64>, access: Access) -> Result<Self, OpenError> {
        let os = |source: io::Error| OpenError::Os { path: path.display().to_string(), source };
        let created = create_if_missing(path, create_bytes)?;
        let (fd, is_buffered) = open_for_io(path, access).map_err(os)?;
        if !lock_patiently(&fd).map_err(os)? {
            return Err(OpenError::Locked(path.display().to_string()));
        }
        if let (true, Some(size)) = (created, create_bytes) {
            rustix::fs::ftruncate(&fd, size).map_err(|e| os(e.into()))?;
        }
        let stat = rustix::fs::fstat(&fd).map_err(|e| os(e.into()))?;
        let (is_file, size_bytes) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => (true, u64::try_from(stat.st_size).unwrap_or(0)),
            FileType::BlockDevice => {
                (false, rustix::fs::seek(&fd, rustix::fs::SeekFrom::End(0)).map_err(|e| os(e.into()))?)
            }
            _ => return Err(OpenError::WrongKind(path.display().to_string())),
        };
        let device = if is_file { stat.st_dev } else { stat.st_rdev };
        let block_bytes = if is_buffered { 512 } else { direct_block_bytes(fd.as_fd(), is_file) };
        Ok(Self {
            size_bytes: AtomicU64::new(size_bytes),
            block_bytes,
            atomic_bytes: queue_attribute(device, "physical_block_size")
                .and_then(|text| text.parse().ok())
                .map_or(block_bytes, |bytes: u32| bytes.clamp(block_bytes, 4096)),
            // A file's own metadata is volatile until it is synced, whatever the device says.
            is_volatile: is_file
                || queue_attribute(device, "write_cache").is_none_or(|kind| kind != "write through"),
            is_file,
            is_buffered,
            boot_id: boot_id().map_err(os)?,
            fd,
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    /// A short system call, once in a drive's life: not worth a ring operation.
    pub(super) fn grow(&self, size_bytes: Option<u64>) -> Result<u64, DiskError> {
        let failed = |error: rustix::io::Errno| failure(error.raw_os_error());
        if let Some(wanted) = size_bytes.filter(|wanted| self.is_file && *wanted > self.size_bytes()) {
            rustix::fs::ftruncate(&self.fd, wanted).map_err(failed)?;
        }
        let found = rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::End(0)).map_err(failed)?;
        self.size_bytes.store(found, Ordering::Release);
        Ok(found)
    }

    pub(super) fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    pub(super) fn atomic_bytes(&self) -> u32 {
        self.atomic_bytes
    }

    pub(super) fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    pub(super) fn is_file(&self) -> bool {
        self.is_file
    }

    pub(super) fn is_buffered(&self) -> bool {
        self.is_buffered
    }

    pub(super) fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    pub(super) async fn read(&self, buf: Buf, offset: u64) -> (Buf, Result<(), DiskError>) {
        self.transfer(buf, |buf, done| Op::read(self.fd.as_fd(), buf, done, offset + done as u64)).await
    }

    pub(super) async fn write(
        &self,
        buf: Buf,
        offset: u64,
        durability: Durability,
    ) -> (Buf, Result<(), DiskError>) {
        let flags = if durability == Durability::Durable { libc::RWF_DSYNC } else { 0 };
        self.transfer(buf, |buf, done| Op::write(self.fd.as_fd(), buf, done, offset + done as u64, flags))
            .await
    }

    /// Starts operations until all of the buffer was moved: the kernel may stop short of it.
    async fn transfer<'fd>(
        &'fd self,
        mut buf: Buf,
        start: impl Fn(Buf, usize) -> Op<'fd>,
    ) -> (Buf, Result<(), DiskError>) {
        let mut done = 0;
        while done < buf.len() {
            let (back, result) = start(buf, done).await;
            buf = into_buf(back);
            match step(result) {
                Step::Moved(count) => done += count,
                Step::Again => {}
                Step::Failed(error) => return (buf, Err(error)),
            }
        }
        (buf, Ok(()))
    }

    pub(super) async fn flush(&self) -> Result<(), DiskError> {
        self.simple(Op::sync).await
    }

    pub(super) async fn allocate(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        if !self.is_file {
            return Ok(());
        }
        match self.simple(|fd| Op::allocate(fd, libc::FALLOC_FL_KEEP_SIZE, offset, len)).await {
            // Some file systems cannot: then the file fills as it is written, as sparse ones do.
            Err(DiskError::Io(libc::EOPNOTSUPP)) => Ok(()),
            other => other,
        }
    }

    pub(super) async fn discard(&self, offset: u64, len: u64) -> Result<(), DiskError> {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        match self.simple(|fd| Op::allocate(fd, mode, offset, len)).await {
            Err(DiskError::Io(libc::EOPNOTSUPP)) => Ok(()),
            other => other,
        }
    }

    async fn simple<'fd>(&'fd self, start: impl Fn(BorrowedFd<'fd>) -> Op<'fd>) -> Result<(), DiskError> {
        loop {
            let (_, result) = start(self.fd.as_fd()).await;
            match result {
                0.. => return Ok(()),
                error => match step(error) {
                    Step::Failed(error) => return Err(error),
                    Step::Again | Step::Moved(_) => {}
                },
            }
        }
    }
}

enum Step {
    Moved(usize),
    Again,
    Failed(DiskError),
}

fn step(result: i32) -> Step {
    match usize::try_from(result) {
        Ok(0) => Step::Failed(DiskError::Short),
        Ok(count) => Step::Moved(count),
        Err(_) => match -result {
            libc::EINTR | libc::EAGAIN => Step::Again,
            errno => Step::Failed(failure(errno)),
        },
    }
}

fn failure(errno: i32) -> DiskError {
    match errno {
        libc::ENOSPC | libc::EDQUOT => DiskError::NoSpace,
        libc::ENODEV | libc::ENXIO => DiskError::Vanished,
        errno => DiskError::Io(errno),
    }
}

fn into_buf(resource: Resource) -> Buf {
    match resource {
        Resource::Buf(buf) => buf,
        other => unreachable!("a read or write gives its buffer back, not {other:?}"),
    }
}

/// Locks the file against other openers; false if one holds on to it. The kernel ends a killed server's
/// io_uring requests, and with them its lock, some time after the process: a restart has to outwait that.
fn lock_patiently(fd: &OwnedFd) -> io::Result<bool> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes an empty file, readable by its owner only, where nothing is. True if it did.
fn create_if_missing(path: &Path, create_bytes: Option<u64>) -> Result<bool, OpenError> {
    match rustix::fs::stat(path) {
        Ok(_) => return Ok(false),
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(OpenError::Os { path: path.display().to_string(), source: error.into() }),
    }
    if create_bytes.is_none() {
        return Err(OpenError::Missing(path.display().to_string()));
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(true),
        Err(error) => Err(OpenError::Os { path: path.display().to_string(), source: error.into() }),
    }
}

/// Opens with O_DIRECT, or through the page cache where that is refused (the second value tells).
fn open_for_io(path: &Path, access: Access) -> io::Result<(OwnedFd, bool)> {
    let rights = if access == Access::Read { OFlags::RDONLY } else { OFlags::RDWR };
    let flags = rights | OFlags::CLOEXEC;
    if access != Access::Buffered {
        match rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()) {
            Ok(fd) => return Ok((fd, false)),
            Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((rustix::fs::open(path, flags, Mode::empty())?, true))
}

/// The alignment that direct I/O needs.
fn direct_block_bytes(fd: BorrowedFd<'_>, is_file: bool) -> u32 {
    let asked = if is_file {
        rustix::fs::statx(fd, c"", rustix::fs::AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)
            .ok()
            .filter(|stat| stat.stx_mask & StatxFlags::DIOALIGN.bits() != 0)
            .map(|stat| stat.stx_dio_offset_align)
    } else {
        rustix::fs::ioctl_blksszget(fd).ok()
    };
    // Kernels before 6.1 do not tell; 4096 is right on every file system.
    match asked {
        Some(bytes) if bytes > 0 && bytes <= 512 => 512,
        _ => 4096,
    }
}

/// An attribute of the request queue under a device or partition.
fn queue_attribute(device: u64, name: &str) -> Option<String> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let base = format!("/sys/dev/block/{major}:{minor}");
    let text = std::fs::read_to_string(format!("{base}/queue/{name}"))
        .or_else(|_| std::fs::read_to_string(format!("{base}/../queue/{name}")))
        .ok()?;
    Some(text.trim().to_owned())
}

/// The kernel's identifier of this boot.
fn boot_id() -> io::Result<[u8; 16]> {
    let text = io::read_to_string(File::open("/proc/sys/kernel/random/boot_id")?)?;
    let id = uuid::Uuid::try_parse(text.trim()).map_err(io::Error::other)?;
    Ok(*id.as_bytes())
}
