//! What the SMART log says of a subsystem: what its hosts did, and how its drives are.

use std::collections::BTreeMap;

use nvmeof::controller::Health;

use super::association::Association;
use crate::{node::VolumeState, rt};

/// As the association's host may know it.
pub(super) fn of(association: &Association) -> Health {
    const NANOS_PER_MINUTE: u64 = 60_000_000_000;
    let totals = association.totals();
    let exports = association.subsystem.exports();
    let namespaces = exports.visible_to(&association.host.nqn);
    let mut free_percent = BTreeMap::new();
    for part in namespaces.iter().flat_map(|namespace| namespace.volume.parts()) {
        free_percent.entry(part.drive_uuid()).or_insert_with(|| part.drive_free_percent());
    }
    Health {
        // A read-only snapshot is as it shall be; this is about what should take writes and cannot.
        read_only: namespaces.iter().any(|ns| matches!(ns.volume.state(), VolumeState::ReadOnly(_))),
        temperature_kelvins: 0,
        spare_percent: free_percent.into_values().min().unwrap_or(100),
        bytes_read: totals.bytes_read,
        bytes_written: totals.bytes_written,
        host_reads: totals.reads,
        host_writes: totals.writes,
        busy_minutes: totals.busy_nanos / NANOS_PER_MINUTE,
        power_cycles: 1,
        power_on_hours: rt::now().0 / (60 * NANOS_PER_MINUTE),
        unsafe_shutdowns: 0,
        media_errors: totals.media_errors,
        error_log_entries: totals.errors,
    }
}
