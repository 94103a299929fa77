//! Commands that Linux has no use for itself, sent by nvme-cli, with what nvme-cli reports about them.

use anyhow::{Result, ensure};

use super::{Site, Stage};
use crate::{
    initiator::{ConnectOptions, Initiator},
    vm::Guest,
};

/// Compare, Verify, Copy, Write Zeroes and Dataset Management do what they say.
pub(super) fn data(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "commands");
    let volume = site.attach(&host, "commands", 4096, ConnectOptions::default())?;
    let (guest, device) = (stage.guest, &volume.device);
    guest.check(&format!(
        "cd /tmp; head -c 65536 /dev/urandom >old; head -c 65536 /dev/urandom >new; head -c 65536 /dev/zero >zeros
        nvme write {device} --start-block=0 --block-count=15 --data-size=65536 --data=old
        nvme compare {device} --start-block=0 --block-count=15 --data-size=65536 --data=old
        nvme verify {device} --start-block=0 --block-count=15"
    ))?;
    let differing =
        format!("nvme compare {device} --start-block=0 --block-count=15 --data-size=65536 --data=new");
    refused(guest, &differing, "compare")?;

    // The second half before the first: neither where it was nor in its order.
    guest.check(&format!(
        "cd /tmp; nvme copy {device} --sdlba=1000 --slbs=8,0 --blocks=7,7
        tail -c 32768 old >swapped; head -c 32768 old >>swapped
        nvme compare {device} --start-block=1000 --block-count=15 --data-size=65536 --data=swapped"
    ))?;
    // nvme-cli has no name for Overlapping I/O Range.
    refused(guest, &format!("nvme copy {device} --sdlba=4 --slbs=0 --blocks=7"), "4187")?;
    refused(guest, &format!("nvme copy {device} --sdlba=1000 --slbs=262144 --blocks=0"), "lba out of range")?;

    guest.check(&format!(
        "cd /tmp; nvme write-zeroes {device} --start-block=0 --block-count=15
        nvme compare {device} --start-block=0 --block-count=15 --data-size=65536 --data=zeros
        nvme dsm {device} --ad --slbs=1000 --blocks=16
        nvme compare {device} --start-block=1000 --block-count=15 --data-size=65536 --data=zeros"
    ))?;
    site.server.stop()
}

/// A command that fails with this text.
pub(super) fn refused(guest: &Guest, command: &str, text: &str) -> Result<()> {
    let outcome = guest.run(&format!("cd /tmp; {command}"))?;
    ensure!(outcome.status != 0, "`{command}` succeeded:\n{}", outcome.text);
    ensure!(outcome.text.to_lowercase().contains(text), "`{command}` printed:\n{}", outcome.text);
    Ok(())
}
