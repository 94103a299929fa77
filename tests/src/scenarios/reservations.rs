//! Reservations by nvme-cli: one host takes a volume and keeps it over the server's death, another takes it away.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Site, Stage, commands::refused};
use crate::{
    initiator::{ConnectOptions, Initiator},
    vm::Guest,
};

/// Both hosts are this guest, one after the other: Linux takes a namespace through one subsystem at a time.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let guest = stage.guest;
    let (first, second) = (Initiator::new(guest, "first"), Initiator::new(guest, "second"));
    let mine = site.attach(&first, "reserved", 4096, ConnectOptions::default())?;
    let device = &mine.device;
    guest.check(&format!(
        "nvme resv-register {device} --nrkey=0xA1 --rrega=0 --cptpl=3
        nvme resv-acquire {device} --crkey=0xA1 --rtype=2 --racqa=0
        nvme get-feature {device} --feature-id=0x83 | grep -q 'value:0x0*1$'
        dd if=/dev/urandom of={device} bs=4k count=16 oflag=direct"
    ))?;
    // What the other host cannot be told by this kernel: the wrong key, and the wrong type.
    refused(guest, &format!("nvme resv-release {device} --crkey=0xA2 --rtype=2"), "conflict")?;
    refused(guest, &format!("nvme resv-release {device} --crkey=0xA1 --rtype=1"), "invalid field")?;

    site.server.kill()?;
    site.server.restart()?;
    // The block layer waits for the reconnect, nvme-cli does not.
    guest.check(&format!("dd if={device} of=/dev/null bs=4k count=1 iflag=direct"))?;
    let report = report(guest, device)?;
    ensure!(report["rtype"] == 2 && report["ptpls"] == 1, "after the server's death: {report}");
    first.disconnect(&mine.nqn)?;

    site.server.api().add_host(&second.identity)?;
    site.server.api().publish(mine.volume, &second.identity)?;
    let theirs = site.connect(&second, mine.volume, ConnectOptions::default())?;
    let device = &theirs.device;
    for transfer in [format!("if={device} of=/dev/null iflag"), format!("if=/dev/zero of={device} oflag")] {
        refused(guest, &format!("dd {transfer}=direct bs=4k count=1"), "invalid exchange")?;
    }
    refused(guest, &format!("nvme verify {device} --start-block=0 --block-count=0"), "conflict")?;
    guest.check(&format!(
        "nvme resv-register {device} --nrkey=0xB2 --rrega=0
        nvme resv-acquire {device} --crkey=0xB2 --prkey=0xA1 --rtype=3 --racqa=2
        dd if=/dev/urandom of={device} bs=4k count=16 oflag=direct"
    ))?;
    let report = self::report(guest, device)?;
    ensure!(report["rtype"] == 3 && registrants(&report) == 1, "after the preemption: {report}");
    guest.check(&format!("nvme resv-release {device} --crkey=0xB2 --rtype=3 --rrela=1"))?;
    let report = self::report(guest, device)?;
    ensure!(report["rtype"] == 0 && registrants(&report) == 0, "after the clearing: {report}");
    site.server.stop()
}

fn report(guest: &Guest, device: &str) -> Result<Value> {
    let printed = guest.check(&format!("nvme resv-report {device} --eds -o json"))?;
    serde_json::from_str(&printed).with_context(|| printed.clone())
}

/// nvme-cli has renamed the field with the specification.
fn registrants(report: &Value) -> u64 {
    ["regctl", "regstrnt"].iter().find_map(|name| report[name].as_u64()).unwrap_or(u64::MAX)
}
