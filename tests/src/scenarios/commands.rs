//! Commands that Linux has no use for itself, sent by nvme-cli, with what nvme-cli reports about them.

use anyhow::{Result, ensure};

use super::{Site, Stage};
use crate::{
    initiator::{ConnectOptions, Initiator},
    vm::Guest,
};

/// Compare, Verify, Copy, Write Uncorrectable, Get LBA Status, Write Zeroes and Dataset Management do what they say.
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

    unreadable(guest, device)?;
    guest.check(&format!(
        "cd /tmp; nvme write-zeroes {device} --start-block=0 --block-count=15
        nvme compare {device} --start-block=0 --block-count=15 --data-size=65536 --data=zeros
        nvme dsm {device} --ad --slbs=1000 --blocks=16
        nvme compare {device} --start-block=1000 --block-count=15 --data-size=65536 --data=zeros"
    ))?;
    site.server.stop()
}

/// Blocks marked by Write Uncorrectable cannot be read and are listed, until they are written again.
fn unreadable(guest: &Guest, device: &str) -> Result<()> {
    guest.check(&format!("nvme write-uncor {device} --start-block=4 --block-count=1"))?;
    // Unrecovered Read Error, not to be retried.
    refused(guest, &format!("nvme verify {device} --start-block=0 --block-count=15"), "4281")?;
    refused(
        guest,
        &format!("dd if={device} of=/dev/null bs=4096 skip=5 count=1 iflag=direct"),
        "no data available",
    )?;
    guest.check(&format!("nvme verify {device} --start-block=6 --block-count=9"))?;
    // `nvme get-lba-status` of nvme-cli 2.3 has no room for the answer. NLSD and CMPC of it are shown.
    let list = || {
        guest.check(&format!(
            "nsid=$(nvme get-ns-id {device} | grep -o '[0-9]*$')
            nvme admin-passthru {device} --opcode=0x86 --namespace-id=$nsid --cdw12=63 --cdw13=0x11000000 \
                --data-len=256 --read --raw-binary | od -An -tu1 -N8"
        ))
    };
    let numbers = |text: String| -> Vec<u8> {
        text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    let marked = numbers(list()?);
    ensure!(matches!(marked[..], [1, 0, 0, 0, 2, ..]), "Get LBA Status shows {marked:?}");
    guest.check(&format!(
        "cd /tmp; nvme write {device} --start-block=0 --block-count=15 --data-size=65536 --data=old
        nvme compare {device} --start-block=0 --block-count=15 --data-size=65536 --data=old"
    ))?;
    let marked = numbers(list()?);
    ensure!(matches!(marked[..], [0, 0, 0, 0, 2, ..]), "Get LBA Status shows {marked:?}");
    Ok(())
}

/// A command that fails with this text.
pub(super) fn refused(guest: &Guest, command: &str, text: &str) -> Result<()> {
    let outcome = guest.run(&format!("cd /tmp; {command}"))?;
    ensure!(outcome.status != 0, "`{command}` succeeded:\n{}", outcome.text);
    ensure!(outcome.text.to_lowercase().contains(text), "`{command}` printed:\n{}", outcome.text);
    Ok(())
}
