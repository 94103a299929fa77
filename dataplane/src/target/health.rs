//! What the SMART log says of a subsystem: what its hosts did, and how its drives are.

use std::collections::BTreeMap;

use nvmeof::controller::Health;
use uuid::Uuid;

use super::{Shared, association::Association, subsystem::TargetNamespace};
use crate::{engine::DriveSpace, node::VolumeState};

/// As the association's host may know it.
pub(super) fn of(shared: &Shared, association: &Association) -> Health {
    const NANOS_PER_MINUTE: u64 = 60_000_000_000;
    let exports = association.subsystem.exports();
    let namespaces = exports.visible_to(&association.host.nqn);
    let drives = drives_under(namespaces);
    let usage = shared.usage_of(&association.subsystem);
    let (starts, unclean_starts, powered_seconds) = shared.usage.power();
    Health {
        // A read-only snapshot is as it shall be; this is about what should take writes and cannot.
        read_only: namespaces.iter().any(|ns| matches!(ns.volume.state(), VolumeState::ReadOnly(_))),
        temperature_kelvins: 0,
        spare_percent: drives.values().map(DriveSpace::free_percent).min().unwrap_or(100),
        capacity_bytes: drives.values().map(|drive| drive.capacity_bytes).sum(),
        unallocated_bytes: drives.values().map(|drive| drive.unreserved_bytes).sum(),
        bytes_read: usage.bytes_read,
        bytes_written: usage.bytes_written,
        host_reads: usage.reads,
        host_writes: usage.writes,
        // Queues count for themselves: together they may say more than the time that passed.
        busy_minutes: (usage.busy_nanos / NANOS_PER_MINUTE).min(powered_seconds / 60),
        power_cycles: starts,
        power_on_hours: powered_seconds / 3600,
        unsafe_shutdowns: unclean_starts,
        media_errors: usage.media_errors,
        error_log_entries: usage.errors,
    }
}

/// The drives that hold these namespaces, by their UUID.
pub(super) fn drives_under(namespaces: &[TargetNamespace]) -> BTreeMap<Uuid, DriveSpace> {
    let mut drives = BTreeMap::new();
    for part in namespaces.iter().flat_map(|namespace| namespace.volume.parts()) {
        drives.entry(part.drive_uuid()).or_insert_with(|| part.drive_space());
    }
    drives
}
