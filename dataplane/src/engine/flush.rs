//! Flush (E4): one drive flush and, if groups were written since the last mark, a mark. Many askers share one.

use std::sync::{Arc, atomic::Ordering};

use super::{drive::DriveShared, error::EngineError, journal::mark};

/// The service behind [`DriveShared::flush`], on the home core.
pub(super) async fn run(drive: Arc<DriveShared>) {
    loop {
        let round = drive.flushes.begin().await;
        if drive.check_writable().is_ok()
            && let Err(error) = drive.flush_and_mark().await
        {
            // What the drive lost cannot be known: a second flush that succeeds would lie.
            drive.fail_by("flush", &error);
        }
        drive.flushes.end(round);
    }
}

impl DriveShared {
    /// Makes every write that completed before durable, with its mapping.
    pub(super) async fn flush(&self) -> Result<(), EngineError> {
        self.check_writable()?;
        self.flushes.run().await;
        self.check_writable()
    }

    /// After a durable write: makes its mapping durable too, which it is already unless first writes were seen
    /// since the last flush.
    pub(super) async fn settle(&self) -> Result<(), EngineError> {
        if self.journal.is_unmarked() { self.flush().await } else { Ok(()) }
    }

    async fn flush_and_mark(&self) -> Result<(), EngineError> {
        // Named before the flush begins: groups written meanwhile may not be covered.
        let sequence = self.journal.written_sequence();
        self.disk.flush().await?;
        if sequence > self.journal.marked_sequence() {
            // The other slot keeps the mark before this one until this one is whole.
            let slot = self.mark_slot.fetch_xor(1, Ordering::Relaxed) ^ 1;
            mark::write(&self.disk, self.uuid, slot, sequence).await?;
            self.journal.set_marked(sequence);
            self.reusable.raise();
        }
        Ok(())
    }
}
