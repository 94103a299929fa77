//! File systems on a volume: their files, trimming, growing.

use anyhow::{Result, ensure};

use super::{Site, Stage};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
};

/// Files with checksums on ext4 and xfs, read again from the volume after all caches are gone.
pub(super) fn files(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "files");
    for (system, block_bytes) in FileSystem::ALL.into_iter().zip([4096, 512]) {
        let volume = site.attach(&host, &system.to_string(), block_bytes, ConnectOptions::default())?;
        let (device, make, check) = (volume.device, system.maker(), system.checker());
        stage.guest.check(&format!(
            "{make} {device}
            mount {device} /mnt
            mkdir /mnt/files
            cd /mnt/files
            for n in $(seq 40); do head -c $((n * 7919)) /dev/urandom >$n; done
            sha256sum * >/tmp/sums
            rm 7; cp 8 7
            cd /
            umount /mnt
            {check} {device}
            echo 3 >/proc/sys/vm/drop_caches
            mount {device} /mnt
            cd /mnt/files
            cmp 7 8
            grep -v '  7$' /tmp/sums | sha256sum -c -s
            cd /
            umount /mnt"
        ))?;
    }
    site.server.stop()
}

/// What `fstrim` gives back leaves the volume's used bytes.
pub(super) fn trim(stage: Stage<'_>) -> Result<()> {
    const FILE_BYTES: u64 = 48 << 20;
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "trim");
    let volume = site.attach(&host, "trim", 4096, ConnectOptions::default())?;
    let device = &volume.device;
    let api = site.server.api();
    stage.guest.check(&format!("mkfs.ext4 -q -F {device}; mount {device} /mnt; sync"))?;
    let empty = api.used_bytes(volume.volume)?;
    stage
        .guest
        .check(&format!("dd if=/dev/zero of=/mnt/file bs=1M count={} conv=fsync", FILE_BYTES >> 20))?;
    let full = api.used_bytes(volume.volume)?;
    ensure!(full >= empty + FILE_BYTES, "a file of {FILE_BYTES} bytes took {empty} to {full} used bytes");
    stage.guest.check("rm /mnt/file; sync; fstrim -v /mnt")?;
    let trimmed = api.used_bytes(volume.volume)?;
    // The file's first and last extent may be shared with something that stays.
    ensure!(trimmed + FILE_BYTES / 10 * 9 <= full, "fstrim: used bytes went from {full} to {trimmed}");
    stage.guest.check("umount /mnt")?;
    site.server.stop()
}

/// A volume grows under a mounted file system; the host sees it without reconnecting.
pub(super) fn expand(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "expand");
    let volume = site.attach(&host, "expand", 4096, ConnectOptions::default())?;
    let device = &volume.device;
    stage.guest.check(&format!(
        "mkfs.ext4 -q -F {device}; mount {device} /mnt
        head -c 1048576 /dev/urandom >/mnt/kept; sha256sum /mnt/kept >/tmp/kept"
    ))?;
    let connected_before = host.controllers(&volume.nqn)?;
    site.server.api().expand_volume(volume.volume, 2)?;
    stage.guest.check(&format!(
        "until [ $(blockdev --getsize64 {device}) -eq $((2 << 30)) ]; do usleep 50000; done
        resize2fs {device}
        dd if=/dev/zero of=/mnt/grown bs=1M count=64 conv=fsync
        [ $(df -m /mnt | awk 'END {{ print $2 }}') -gt 1800 ]
        sha256sum -c -s /tmp/kept
        umount /mnt
        e2fsck -fn {device}"
    ))?;
    let connected_after = host.controllers(&volume.nqn)?;
    ensure!(
        connected_before == connected_after,
        "the host reconnected: {connected_before} then {connected_after}"
    );
    site.server.stop()
}
