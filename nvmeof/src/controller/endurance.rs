//! The one endurance group: all drives under the subsystem's namespaces (Base §5.1.12.1.10).

use zerocopy::{FromZeros, IntoBytes};

use super::{Health, description::SPARE_THRESHOLD_PERCENT};
use crate::{Status, wire::log_page::EnduranceGroup};

/// Its identifier, which every namespace has.
pub(super) const ENDURANCE_GROUP: u16 = 1;

/// The Endurance Group Information log of group `id`. What drives do not tell stays zero, which says so.
pub(super) fn log(id: u16, health: &Health) -> Result<Vec<u8>, Status> {
    if id != ENDURANCE_GROUP {
        return Err(Status::INVALID_FIELD);
    }
    let number = |value: u64| u128::from(value).to_le_bytes();
    let billions = |bytes: u64| number(bytes.div_ceil(1_000_000_000));
    let mut page = EnduranceGroup::new_zeroed();
    page.critical_warning = health.critical_warning();
    page.available_spare = health.spare_percent.min(100);
    page.available_spare_threshold = SPARE_THRESHOLD_PERCENT;
    page.data_read = billions(health.bytes_read);
    page.data_written = billions(health.bytes_written);
    page.host_reads = number(health.host_reads);
    page.host_writes = number(health.host_writes);
    page.media_errors = number(health.media_errors);
    page.error_log_entries = number(health.error_log_entries);
    page.total_capacity = number(health.capacity_bytes);
    page.unallocated_capacity = number(health.unallocated_bytes);
    Ok(page.as_bytes().to_vec())
}
