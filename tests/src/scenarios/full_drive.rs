//! A thin volume that promises more than its drive holds.

use anyhow::{Result, ensure};

use super::{Site, Stage};
use crate::{
    initiator::{ConnectOptions, Initiator},
    server::{Server, ServerSpec},
};

/// The write that finds no room fails with Capacity Exceeded (ENOSPC in Linux). Reads, overwrites and a volume
/// with its own reserve go on; trimming makes room again.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut spec = ServerSpec::new(&stage.lab.binary, stage.directory)?;
    spec.drive_size = "3G";
    let mut site = Site { server: Server::start(spec)? };
    let api = site.server.api();
    let host = Initiator::new(stage.guest, "full-drive");
    // Small thin volumes are reserved whole (provisioner §5.1, D62).
    let reserved = site.attach(&host, "reserved", 4096, ConnectOptions::default())?;
    let large = api.create_volume("large", 8, 4096)?;
    api.publish(large, &host.identity)?;
    let large = site.connect(&host, large, ConnectOptions::default())?;

    // One 4 KiB write in each 64 KiB takes a whole extent.
    let fill = stage.guest.run(&format!(
        "fio --name=fill --filename={} --rw=write:60k --bs=4k --size=8G --ioengine=libaio --iodepth=64 --direct=1",
        large.device
    ))?;
    ensure!(fill.status != 0, "8 GiB fitted on a drive of 3 GiB");
    ensure!(
        fill.text.contains("No space left on device"),
        "filling the drive ended otherwise:\n{}",
        fill.text
    );

    stage.guest.check(&format!(
        "dd if=/dev/urandom of=/tmp/block bs=64k count=16
        dd if=/tmp/block of={large} bs=4k count=1 oflag=direct conv=notrunc
        dd if={large} of=/tmp/back bs=4k count=1 iflag=direct
        cmp -n 4096 /tmp/block /tmp/back
        dd if=/tmp/block of={reserved} bs=64k oflag=direct conv=notrunc,fsync
        dd if={reserved} of=/tmp/back bs=64k count=16 iflag=direct
        cmp /tmp/block /tmp/back
        blkdiscard -o 0 -l 268435456 {large}",
        large = large.device,
        reserved = reserved.device
    ))?;
    // Trimmed extents are free once their records are durable (E7): a write finds them after a flush at the latest.
    stage.guest.check(&format!(
        "sync {large}; until dd if=/tmp/block of={large} bs=64k oflag=direct conv=notrunc; do usleep 100000; done",
        large = large.device
    ))?;
    site.server.stop()
}
