//! What snapshots and clones of volumes in use show a host, and what they hide.

use anyhow::Result;

use super::{
    Site, Stage,
    verified_load::VerifiedLoad,
    writers::{self, Mount},
};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
    vm::Guest,
};

/// Snapshots taken under load hold the files of their instant, whatever became of them since.
pub(super) fn instant(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open_for_snapshots(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "snapshots");
    let (mut mounts, mut volumes) = (Vec::new(), Vec::new());
    for (system, block_bytes) in FileSystem::ALL.into_iter().zip([4096, 512]) {
        let disk = site.attach(&host, &system.to_string(), block_bytes, ConnectOptions::default())?;
        mounts.push(Mount { device: disk.device, system });
        volumes.push(disk.volume);
    }
    writers::make_and_mount(stage.guest, &mounts)?;
    mounts.iter().try_for_each(|mount| settle_files(stage.guest, mount))?;

    let load = VerifiedLoad::start(stage.guest, &mounts)?;
    let api = site.server.api();
    for (Mount { system, .. }, volume) in mounts.iter().zip(volumes) {
        note_files(stage.guest, *system)?;
        let snapshot = api.create_snapshot(volume, &format!("{system}-noted"))?;
        change_files(stage.guest, *system)?;
        let view = api.create_snapshot_volume(snapshot, &format!("{system}-view"), false)?;
        look_at_view(stage.guest, *system, &site.reach(&host, view)?.device)?;
        let copy = api.create_snapshot_volume(snapshot, &format!("{system}-copy"), true)?;
        look_at_copy(stage.guest, *system, &site.reach(&host, copy)?.device)?;
    }
    load.stop()?;
    mounts.iter().try_for_each(|mount| unmount_and_check(stage.guest, mount))?;
    api.check_drives()?;
    site.server.stop()
}

/// Files that stand in their place, not only in the file system's journal.
fn settle_files(guest: &Guest, Mount { device, system }: &Mount) -> Result<()> {
    guest
        .check(&format!(
            "mkdir /mnt/{system}/settled; cd /mnt/{system}/settled
            for n in $(seq 12); do head -c $((n * 7919)) /dev/urandom >$n; done
            sha256sum * >/tmp/settled-{system}
            cd /; umount /mnt/{system}; mount {device} /mnt/{system}"
        ))
        .map(drop)
}

/// Files that were synced just before the snapshot.
fn note_files(guest: &Guest, system: FileSystem) -> Result<()> {
    guest
        .check(&format!(
            "mkdir /mnt/{system}/noted; cd /mnt/{system}/noted
            for n in 1 2 3 4; do dd if=/dev/urandom of=$n bs=50000 count=4 conv=fsync; done
            sha256sum * >/tmp/noted-{system}"
        ))
        .map(drop)
}

/// Every kind of change to files that the snapshot holds, on the disk before this returns.
fn change_files(guest: &Guest, system: FileSystem) -> Result<()> {
    guest
        .check(&format!(
            "cd /mnt/{system}/noted
            dd if=/dev/urandom of=1 bs=50000 count=4 conv=notrunc,fsync
            dd if=/dev/urandom of=2 bs=4096 seek=7 count=1 conv=notrunc,fsync
            rm 3; : >4
            for n in 3 8; do dd if=/dev/urandom of=../settled/$n bs=4096 count=5 conv=notrunc,fsync; done
            rm ../settled/5
            sync
            if sha256sum -c -s /tmp/noted-{system}; then echo 'nothing was changed'; exit 1; fi"
        ))
        .map(drop)
}

/// It cannot be written to, so no journal is replayed: it shows what stood in its place.
fn look_at_view(guest: &Guest, system: FileSystem, device: &str) -> Result<()> {
    let options = system.read_only_options();
    guest
        .check(&format!(
            "if dd if=/dev/zero of={device} bs=4096 count=1 oflag=direct; then echo 'it was written to'; exit 1; fi
            mkdir -p /mnt/view; mount -o {options} {device} /mnt/view
            cd /mnt/view/settled; sha256sum -c -s /tmp/settled-{system}
            cd /; umount /mnt/view"
        ))
        .map(drop)
}

/// It can: it recovers as after a power cut, holds every file, and is a sound file system.
fn look_at_copy(guest: &Guest, system: FileSystem, device: &str) -> Result<()> {
    let (options, check) = (system.copy_options(), system.checker());
    guest
        .check(&format!(
            "mkdir -p /mnt/copy; mount -o {options} {device} /mnt/copy
            cd /mnt/copy/settled; sha256sum -c -s /tmp/settled-{system}
            cd ../noted; sha256sum -c -s /tmp/noted-{system}
            echo copy >../only-here; sync
            [ ! -e /mnt/{system}/only-here ]
            cd /; umount /mnt/copy; {check} {device}"
        ))
        .map(drop)
}

/// The end of a file system that was in use all the time.
pub(super) fn unmount_and_check(guest: &Guest, Mount { device, system }: &Mount) -> Result<()> {
    let check = system.checker();
    guest.check(&format!("umount /mnt/{system}; {check} {device}")).map(drop)
}

/// A volume and its clone, written to at the same time: each holds what both began with and its own, and no byte of
/// the other.
pub(super) fn clone(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open_for_snapshots(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "clone");
    let source = site.attach(&host, "source", 4096, ConnectOptions::default())?;
    stage.guest.check(&pattern_command(&source.device, COMMON, "--rw=write --bs=256k"))?;
    let api = site.server.api();
    let clone = site.reach(&host, api.clone_volume(source.volume, "clone", 1)?)?;
    let disks = [(&source.device, OF_SOURCE), (&clone.device, OF_CLONE)];
    let jobs: Vec<_> = disks
        .iter()
        .map(|(device, byte)| pattern_command(device, *byte, "--rw=randwrite --bs=4k --io_size=3M"))
        .map(|command| stage.guest.start_checked(&command))
        .collect::<Result<_>>()?;
    jobs.into_iter().try_for_each(|job| job.succeed().map(drop))?;
    for (device, own) in disks {
        stage.guest.check(&format!(
            "dd if={device} bs=1M count={AREA_MIB} iflag=direct of=/tmp/area
            [ $(tr -d '\\{COMMON:03o}\\{own:03o}' </tmp/area | wc -c) -eq 0 ]
            [ $(tr -d '\\{COMMON:03o}' </tmp/area | wc -c) -gt {OWN_BYTES_MIN} ]
            rm /tmp/area"
        ))?;
    }
    api.check_drives()?;
    site.server.stop()
}

/// Fills blocks of the area with one byte, and reads them back.
fn pattern_command(device: &str, byte: u8, access: &str) -> String {
    format!(
        "fio --name=pattern --filename={device} --size={AREA_MIB}M {access} --ioengine=libaio --iodepth=16 --direct=1 \
         --verify=pattern --verify_pattern={byte:#04x} --verify_fatal=1 --do_verify=1 --output-format=terse >/dev/null"
    )
}

/// Bytes that tell who wrote them.
const COMMON: u8 = 0x11;
const OF_SOURCE: u8 = 0x22;
const OF_CLONE: u8 = 0x33;

/// What source and clone have in common at first; each then overwrites at most a part of it.
const AREA_MIB: u32 = 12;
const OWN_BYTES_MIN: u32 = 1 << 20;
