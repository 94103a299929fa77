//! Who may see a volume: hosts it is published to, for as long as it is.

use anyhow::{Result, ensure};

use super::{Site, Stage};
use crate::initiator::{ConnectOptions, Initiator};

/// A host that nothing was published to finds nothing and is refused, though it knows the NQN.
pub(super) fn stranger(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "guest");
    let volume = site.attach(&host, "private", 4096, ConnectOptions::default())?;
    let stranger = Initiator::new(stage.guest, "stranger");
    let known_stranger = Initiator::new(stage.guest, "known-stranger");
    site.server.api().add_host(&known_stranger.identity)?;
    for other in [&stranger, &known_stranger] {
        let found = other.discover(site.server.portal())?;
        ensure!(found.is_empty(), "{} discovers {found:?}", other.identity.nqn);
        let outcome = other.try_connect(site.server.portal(), &volume.nqn, ConnectOptions::default())?;
        ensure!(outcome.status != 0, "{} was let in", other.identity.nqn);
        ensure!(!other.is_connected(&volume.nqn)?, "{} has a controller", other.identity.nqn);
    }
    // The rightful host never noticed.
    stage.guest.check(&format!("dd if={} of=/dev/null bs=4k count=16 iflag=direct", volume.device))?;
    site.server.stop()
}

/// Of two volumes, one is unpublished: its disk goes, the other goes on; publishing again brings it back.
pub(super) fn unpublish(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let api = site.server.api();
    let host = Initiator::new(stage.guest, "unpublish");
    let stays = site.attach(&host, "stays", 4096, ConnectOptions::default())?;
    let goes = site.attach(&host, "goes", 4096, ConnectOptions::default())?;
    let namespace = api.namespace_uuid(goes.volume)?;
    stage.guest.check(&format!(
        "echo written once | dd of={} bs=4k conv=sync,fsync; dd if={} of=/dev/null bs=4k count=1 iflag=direct",
        goes.device, stays.device
    ))?;
    api.unpublish(goes.volume, &host.identity)?;
    host.await_removal(namespace)?;
    stage.guest.check(&format!("dd if={} of=/dev/null bs=4k count=16 iflag=direct", stays.device))?;
    api.publish(goes.volume, &host.identity)?;
    let device = host.device(namespace)?;
    let read = stage.guest.check(&format!("head -c 12 {device}"))?;
    ensure!(read == "written once", "after publishing again the volume begins with {read:?}");
    site.server.stop()
}
