//! A drive in memory, for benchmarks and tests: shared by all cores, without a lock.
#![expect(unsafe_code, reason = "device memory that several cores copy into and out of at once")]

use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use super::DiskError;
use crate::rt::Buf;

/// An anonymous mapping treated as a device: never seen as a Rust slice, only copied into and out of. Two
/// commands that race on the same block get one's bytes or the other's, mixed, as on a real device; the engine's
/// claims (E1) keep writers of one block apart.
#[derive(Debug)]
pub(super) struct MemoryDisk {
    memory: NonNull<u8>,
    size_bytes: usize,
    boot_id: [u8; 16],
}

// SAFETY: the mapping is plain memory owned by this value until drop; all access is by raw copies within bounds.
unsafe impl Send for MemoryDisk {}
// SAFETY: as above; concurrent copies may tear, which a device's contract allows.
unsafe impl Sync for MemoryDisk {}

impl MemoryDisk {
    pub(super) fn new(size_bytes: u64) -> std::io::Result<Self> {
        let size = usize::try_from(size_bytes).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let memory =
            unsafe { mmap_anonymous(std::ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
        let memory = NonNull::new(memory.cast()).ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { memory, size_bytes: size, boot_id: *uuid::Uuid::new_v4().as_bytes() })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes as u64
    }

    pub(super) fn boot_id(&self) -> [u8; 16] {
        self.boot_id
    }

    fn at(&self, offset_bytes: u64, len: usize) -> Result<*mut u8, DiskError> {
        let offset = usize::try_from(offset_bytes).map_err(|_| DiskError::Short)?;
        if offset.checked_add(len).is_none_or(|end| end > self.size_bytes) {
            return Err(DiskError::Short);
        }
        // SAFETY: within the mapping, checked above.
        Ok(unsafe { self.memory.as_ptr().add(offset) })
    }

    pub(super) fn read(&self, mut buf: Buf, offset_bytes: u64) -> (Buf, Result<(), DiskError>) {
        let result = self.at(offset_bytes, buf.len()).map(|from| {
            // SAFETY: `from` has `buf.len()` bytes (checked by `at`); the buffer is outside the mapping.
            unsafe { std::ptr::copy_nonoverlapping(from, buf.as_mut_ptr(), buf.len()) }
        });
        (buf, result)
    }

    pub(super) fn write(&self, buf: Buf, offset_bytes: u64) -> (Buf, Result<(), DiskError>) {
        let result = self.at(offset_bytes, buf.len()).map(|to| {
            // SAFETY: `to` has `buf.len()` bytes (checked by `at`); the buffer is outside the mapping.
            unsafe { std::ptr::copy_nonoverlapping(buf.as_ptr(), to, buf.len()) }
        });
        (buf, result)
    }

    /// Gives whole pages back to the system; they read as zeros afterwards.
    pub(super) fn discard(&self, offset_bytes: u64, len_bytes: u64) -> Result<(), DiskError> {
        let len = usize::try_from(len_bytes).map_err(|_| DiskError::Short)?;
        let from = self.at(offset_bytes, len)?;
        if !offset_bytes.is_multiple_of(4096) || !len_bytes.is_multiple_of(4096) || len == 0 {
            return Ok(());
        }
        // SAFETY: whole pages of our own private mapping (checked by `at` and above).
        unsafe { madvise(from.cast(), len, Advice::LinuxDontNeed) }
            .map_err(|e| DiskError::Io(e.raw_os_error()))
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this size; operations hold the disk, so none is under way.
        let unmapped = unsafe { munmap(self.memory.as_ptr().cast(), self.size_bytes) };
        debug_assert!(unmapped.is_ok(), "unmapping our own mapping");
    }
}
