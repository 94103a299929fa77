//! The least that any supported kernel has to manage.

use anyhow::{Result, ensure};

use super::{Site, Stage, fio::fio_command};
use crate::initiator::{ConnectOptions, Initiator};

pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "smoke");
    let volume = site.attach(&host, "smoke", 4096, ConnectOptions::default())?;
    let device = &volume.device;
    ensure!(host.discover(site.server.portal())?.len() == 1, "discovery should show one subsystem");
    stage.guest.check(&fio_command(device, 4096))?;
    stage.guest.check(&format!(
        "mkfs.ext4 -q -F {device}; mount {device} /mnt
        head -c 1048576 /dev/urandom >/mnt/file; sum=$(sha256sum </mnt/file)
        umount /mnt; e2fsck -fn {device}
        mount {device} /mnt; [ \"$(sha256sum </mnt/file)\" = \"$sum\" ]; umount /mnt"
    ))?;
    host.disconnect(&volume.nqn)?;
    site.server.stop()
}
