//! Which processor a thread runs on.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Binds the calling thread to processors, and with it the threads and processes that it starts afterwards.
pub(crate) fn pin(cpus: impl IntoIterator<Item = usize>) -> Result<()> {
    let mut set = CpuSet::new();
    let mut list = Vec::new();
    for cpu in cpus {
        set.set(cpu);
        list.push(cpu.to_string());
    }
    sched_setaffinity(None, &set).with_context(|| format!("no processor {} here", list.join(", ")))
}
