//! The harness against the kernel's own target: what fails here is not Basalt's fault.

use anyhow::{Result, bail, ensure};
use uuid::Uuid;

use super::{
    Stage,
    fio::fio_command,
    writers::{self, Mount, Promise, Verdict, Writers},
};
use crate::{file_system::FileSystem, initiator::Initiator};

const NQN: &str = "nqn.2026-11.io.basalt:harness";

/// fio verifies, workers write, the judge finds their files whole, and finds one that was changed.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let host = Initiator::new(stage.guest, "harness");
    let namespaces = [Uuid::new_v4(), Uuid::new_v4()];
    export(stage, &namespaces)?;
    stage.guest.check(&format!(
        "nvme connect -t tcp -a 127.0.0.1 -s 4420 -n {NQN} --hostnqn={} --hostid={}",
        host.identity.nqn, host.identity.id
    ))?;
    let mut mounts = Vec::new();
    for (system, namespace) in FileSystem::ALL.into_iter().zip(namespaces) {
        let device = host.device(namespace)?;
        stage.guest.check(&fio_command(&device, 4096))?;
        mounts.push(Mount { device, system });
    }

    writers::make_and_mount(stage.guest, &mounts)?;
    let workers = Writers::start(stage.guest, &mounts, 1)?;
    workers.await_files(&mounts, Promise::Synced, 3)?;
    workers.stop()?.expect_whole()?;
    writers::judge(stage.guest, &mounts, &Promise::ALL)?.expect_whole()?;
    stage.guest.check("printf x | dd of=/mnt/xfs/synced-1/2 bs=1 seek=4000 conv=notrunc")?;
    match writers::judge(stage.guest, &mounts, &Promise::ALL)? {
        Verdict::Damaged(text) => ensure!(text.contains("/mnt/xfs/synced-1/2: FAILED"), "{text}"),
        Verdict::Whole => bail!("the judge did not see a changed file"),
    }

    stage.guest.check(&format!(
        "umount /mnt/ext4; umount /mnt/xfs
        nvme disconnect -n {NQN}
        rm /sys/kernel/config/nvmet/ports/1/subsystems/{NQN}"
    ))?;
    Ok(())
}

/// Exports a loop device in the guest's memory for each namespace.
fn export(stage: Stage<'_>, namespaces: &[Uuid]) -> Result<()> {
    stage.guest.check(&format!(
        "modprobe loop; modprobe nvmet-tcp
        grep -q ' /sys/kernel/config ' /proc/mounts || mount -t configfs none /sys/kernel/config
        cd /sys/kernel/config/nvmet
        mkdir subsystems/{NQN} ports/1
        echo 1 >subsystems/{NQN}/attr_allow_any_host
        cd ports/1
        echo tcp >addr_trtype; echo ipv4 >addr_adrfam; echo 127.0.0.1 >addr_traddr; echo 4420 >addr_trsvcid
        ln -s ../../subsystems/{NQN} subsystems/"
    ))?;
    for (index, uuid) in namespaces.iter().enumerate() {
        stage.guest.check(&format!(
            "truncate -s 512M /tmp/disk{index}; losetup /dev/loop{index} /tmp/disk{index}
            mkdir /sys/kernel/config/nvmet/subsystems/{NQN}/namespaces/{nsid}
            cd /sys/kernel/config/nvmet/subsystems/{NQN}/namespaces/{nsid}
            echo /dev/loop{index} >device_path; echo {uuid} >device_uuid; echo 1 >enable",
            nsid = index + 1
        ))?;
    }
    Ok(())
}
