//! fio's verified random reads and writes, over each combination of digests, both block sizes, several I/O queues.

use anyhow::Result;

use super::{Site, Stage};
use crate::initiator::{ConnectOptions, Digests, Initiator};

pub(super) fn no_digests(stage: Stage<'_>) -> Result<()> {
    verify(stage, Digests { header: false, data: false })
}

pub(super) fn header_digest(stage: Stage<'_>) -> Result<()> {
    verify(stage, Digests { header: true, data: false })
}

pub(super) fn data_digest(stage: Stage<'_>) -> Result<()> {
    verify(stage, Digests { header: false, data: true })
}

pub(super) fn both_digests(stage: Stage<'_>) -> Result<()> {
    verify(stage, Digests { header: true, data: true })
}

fn verify(stage: Stage<'_>, digests: Digests) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "fio");
    let options = ConnectOptions { io_queues: 3, digests, ..ConnectOptions::default() };
    for block_bytes in [4096, 512] {
        let volume = site.attach(&host, &format!("fio-{block_bytes}"), block_bytes, options)?;
        // Two jobs on two parts: each verifies its own; sizes from one block to more than one R2T or C2HData.
        stage.guest.check(&fio_command(&volume.device, block_bytes))?;
    }
    site.server.stop()
}

/// Verified mixed reads and writes of `block_bytes` to 256 KiB at a depth of 16, from two processors.
pub(super) fn fio_command(device: &str, block_bytes: u32) -> String {
    format!(
        "fio --name=verify --filename={device} --numjobs=2 --size=6M --offset_increment=64M --rw=randrw \
         --bsrange={block_bytes}-256k --blockalign={block_bytes} --ioengine=libaio --iodepth=16 --direct=1 \
         --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting --output-format=terse"
    )
}
