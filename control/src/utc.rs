//! Times as people and other programs read them.

use time::{OffsetDateTime, formatting::Formattable};

/// Milliseconds since the epoch as a time in UTC; `None` if the format has no such year.
pub(crate) fn text(epoch_ms: impl Into<i128>, format: &(impl Formattable + ?Sized)) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(epoch_ms.into().checked_mul(1_000_000)?);
    time.ok()?.format(format).ok()
}
