//! The harness against the kernel's own target: what fails here is not Basalt's fault.

use anyhow::{Result, ensure};

use super::{Stage, fio::fio_command};
use crate::initiator::Initiator;

pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let host = Initiator::new(stage.guest, "harness").identity;
    let nqn = "nqn.2026-11.io.basalt:harness";
    stage.guest.check(&format!(
        "modprobe loop; modprobe nvmet-tcp
        mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
        truncate -s 512M /tmp/disk; losetup /dev/loop0 /tmp/disk
        cd /sys/kernel/config/nvmet
        mkdir subsystems/{nqn} subsystems/{nqn}/namespaces/1 ports/1
        echo 1 >subsystems/{nqn}/attr_allow_any_host
        echo /dev/loop0 >subsystems/{nqn}/namespaces/1/device_path
        echo {id} >subsystems/{nqn}/namespaces/1/device_uuid
        echo 1 >subsystems/{nqn}/namespaces/1/enable
        cd ports/1
        echo tcp >addr_trtype; echo ipv4 >addr_adrfam; echo 127.0.0.1 >addr_traddr; echo 4420 >addr_trsvcid
        ln -s ../../subsystems/{nqn} subsystems/
        nvme connect -t tcp -a 127.0.0.1 -s 4420 -n {nqn} --hostnqn={} --hostid={id}",
        host.nqn,
        id = host.id,
    ))?;
    let device = Initiator::on(stage.guest, &host).device(host.id)?;
    stage.guest.check(&fio_command(&device, 4096))?;
    let printed = stage.guest.check(&format!(
        "mkfs.xfs -q -f {device}; mount {device} /mnt; echo kept >/mnt/file; umount /mnt; xfs_repair -n {device}
        mkfs.ext4 -q -F {device}; mount {device} /mnt; echo kept >/mnt/file; umount /mnt; e2fsck -fn {device}
        mount {device} /mnt; cat /mnt/file; umount /mnt
        nvme disconnect -n {nqn}
        rm /sys/kernel/config/nvmet/ports/1/subsystems/{nqn}"
    ))?;
    ensure!(
        printed.ends_with("kept\nNQN:nqn.2026-11.io.basalt:harness disconnected 1 controller(s)\n"),
        "{printed}"
    );
    Ok(())
}
