//! fio's verified random reads and writes on a file of each of several mounted file systems, until told to stop.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use super::writers::Mount;
use crate::vm::{Guest, Job};

/// A running load. A pass writes each file once over, in random order, and reads all of it back.
#[derive(Debug)]
pub(super) struct VerifiedLoad<'a> {
    guest: &'a Guest,
    job: Job<'a>,
}

impl<'a> VerifiedLoad<'a> {
    /// Starts it on all the mounts at once and returns when every file is being written.
    pub(super) fn start(guest: &'a Guest, mounts: &[Mount]) -> Result<Self> {
        let jobs: Vec<String> = mounts
            .iter()
            .map(|Mount { system, .. }| format!("--name={system} --filename=/mnt/{system}/load"))
            .collect();
        guest.check("rm -f /share/stop-load /share/passes; touch /share/passes")?;
        // One instance that takes both: on an emulated processor its start costs more than its work. Where a connection ends
        // while fio itself sends through it, Linux' initiator sends fio SIGPIPE, too: the write is done again all the same.
        let job = guest.start_checked(&format!(
            "trap '' PIPE
            while [ ! -e /share/stop-load ]; do
                fio --ioengine=libaio --iodepth=8 --direct=1 --rw=randrw --bsrange=4k-64k --blockalign=4k --size=6M \
                    --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse {} >/dev/null
                echo >>/share/passes
            done",
            jobs.join(" ")
        ))?;
        let load = Self { guest, job };
        load.await_passes(1)?;
        Ok(load)
    }

    /// Returns once so many more passes have ended well.
    pub(super) fn await_passes(&self, passes: usize) -> Result<()> {
        let goal = self.passes() + passes;
        let deadline = Instant::now() + LIMIT;
        while self.passes() < goal {
            ensure!(Instant::now() < deadline, "the verified load is stuck, or found a difference");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it after its present pass; an error of any pass is one here.
    pub(super) fn stop(self) -> Result<()> {
        fs::write(self.guest.share().join("stop-load"), "")?;
        self.job.succeed().map(drop)
    }

    fn passes(&self) -> usize {
        fs::read_to_string(self.guest.share().join("passes")).unwrap_or_default().lines().count()
    }
}

/// Until some passes have ended; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(300);
