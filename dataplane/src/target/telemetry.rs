//! What a host gets that asks for telemetry: one line of text about each thing that it may know of.

use std::fmt::Write;

use super::{Shared, association::Association, health::drives_under};

/// As things are now. The protocol side cuts it off where it is too long.
pub(super) fn snapshot(shared: &Shared, association: &Association) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = write(&mut text, shared, association);
    text
}

fn write(text: &mut String, shared: &Shared, association: &Association) -> std::fmt::Result {
    let (starts, unclean_starts, powered_seconds) = shared.usage.power();
    writeln!(text, "basalt {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(text, "node starts={starts} uncleanStarts={unclean_starts} poweredSeconds={powered_seconds}")?;
    writeln!(
        text,
        "controller cntlid={} host={} queues={} commands={}",
        association.cntlid,
        association.host.nqn,
        association.open_io_queues(),
        association.totals().commands
    )?;
    let usage = shared.usage_of(&association.subsystem);
    writeln!(
        text,
        "subsystem nqn={} reads={} writes={} bytesRead={} bytesWritten={} busyNanos={} mediaErrors={} errors={}",
        association.subsystem.nqn(),
        usage.reads,
        usage.writes,
        usage.bytes_read,
        usage.bytes_written,
        usage.busy_nanos,
        usage.media_errors,
        usage.errors
    )?;
    let exports = association.subsystem.exports();
    let namespaces = exports.visible_to(&association.host.nqn);
    for (uuid, drive) in drives_under(namespaces) {
        writeln!(
            text,
            "drive uuid={uuid} capacityBytes={} unreservedBytes={} usedBytes={}",
            drive.capacity_bytes, drive.unreserved_bytes, drive.used_bytes
        )?;
    }
    for namespace in namespaces {
        let volume = &namespace.volume;
        writeln!(
            text,
            "namespace nsid={} uuid={} sizeBytes={} usedBytes={} state={:?}",
            namespace.nsid,
            namespace.uuid,
            volume.size_bytes(),
            volume.used_bytes(),
            volume.state()
        )?;
    }
    Ok(())
}
