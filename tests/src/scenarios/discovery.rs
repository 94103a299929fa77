//! A host that stays connected to discovery while volumes come and go, and one that connects to all it finds.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Site, Stage};
use crate::initiator::{Initiator, seen_from_guest};

/// One persistent controller, its log read again and again.
pub(super) fn persistent(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let api = site.server.api();
    let host = Initiator::new(stage.guest, "stays");
    api.add_host(&host.identity)?;
    let volume = api.create_volume("comes-and-goes", 1, 4096)?;

    let arguments = arguments(&host, &site);
    stage.guest.check(&format!("nvme discover {arguments} --persistent --keep-alive-tmo=30"))?;
    let device = stage.guest.check(
        "for c in /sys/class/nvme/nvme*; do
            [ $(cat $c/cntrltype) = discovery ] && [ $(cat $c/state) = live ] && echo ${c##*/}
        done",
    )?;
    let device = device.trim();
    let log = || -> Result<(u64, usize)> {
        // On stderr it says that the device's own options hold.
        let question = format!("nvme discover {arguments} --device={device} -o json 2>/dev/null");
        let printed = stage.guest.check(&question)?;
        let log: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
        let records = log["records"].as_array().with_context(|| printed.clone())?;
        let storage = records.iter().filter(|record| record["subtype"] == "nvme subsystem").count();
        Ok((log["genctr"].as_u64().with_context(|| printed.clone())?, storage))
    };

    let (before, storage) = log()?;
    ensure!(storage == 0, "{storage} subsystems before anything was published");
    api.publish(volume, &host.identity)?;
    let (published, storage) = log()?;
    ensure!(
        storage == 1 && published > before,
        "published: {storage} subsystems, GENCTR {before} to {published}"
    );
    api.unpublish(volume, &host.identity)?;
    let (gone, storage) = log()?;
    ensure!(
        storage == 0 && gone > published,
        "unpublished: {storage} subsystems, GENCTR {published} to {gone}"
    );
    stage
        .guest
        .check(&format!("[ $(cat /sys/class/nvme/{device}/state) = live ]; nvme disconnect -d {device}"))?;
    site.server.stop()
}

/// `nvme connect-all` finds the volume behind the discovery subsystem, which names itself in its log, too.
pub(super) fn connect_all(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "connects-all");
    let volume = site.publish(&host, "found", 4096)?;
    stage.guest.check(&format!("nvme connect-all {}", arguments(&host, &site)))?;
    let device = host.device(site.server.api().namespace_uuid(volume)?)?;
    stage.guest.check(&format!("dd if={device} of=/dev/null bs=4k count=16 iflag=direct"))?;
    site.server.stop()
}

/// Where and as whom `nvme discover` and `connect-all` ask.
pub(super) fn arguments(host: &Initiator<'_>, site: &Site) -> String {
    let (address, port) = seen_from_guest(site.server.portal());
    let identity = &host.identity;
    format!("-t tcp -a {address} -s {port} --hostnqn={} --hostid={}", identity.nqn, identity.id)
}
