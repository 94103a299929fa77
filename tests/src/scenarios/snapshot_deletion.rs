//! Snapshots come under load and go in a random order, with volumes made of them or without: nobody else notices.

use anyhow::{Context, Result};
use dataplane::rt::sim::SimRng;
use uuid::Uuid;

use super::{
    Attached, Site, Stage, snapshots,
    verified_load::VerifiedLoad,
    writers::{self, Mount},
};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
    vm::Guest,
};

/// Of each volume.
const SNAPSHOTS: usize = 5;
/// Every third one, so that deletions meet both kinds.
const COPY_EVERY: usize = 3;

/// A writable volume that was made of a snapshot and outlives it.
struct SnapshotCopy {
    volume: Uuid,
    system: FileSystem,
}

/// `BASALT_SEED` replays an order.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let seed = match std::env::var("BASALT_SEED") {
        Ok(text) => text.parse().context("BASALT_SEED must be a number")?,
        Err(_) => Uuid::new_v4().as_u64_pair().0,
    };
    println!("the order of deletions comes from BASALT_SEED={seed}");
    let mut site = Site::open_for_snapshots(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "deletion");
    let (mut mounts, mut disks) = (Vec::new(), Vec::new());
    for (system, block_bytes) in FileSystem::ALL.into_iter().zip([4096, 512]) {
        let disk = site.attach(&host, &system.to_string(), block_bytes, ConnectOptions::default())?;
        mounts.push(Mount { device: disk.device.clone(), system });
        disks.push((disk, system));
    }
    writers::make_and_mount(stage.guest, &mounts)?;

    let load = VerifiedLoad::start(stage.guest, &mounts)?;
    let (snapshots, copies) = take_all(&site, &disks, &load)?;
    delete_all(&site, snapshots, SimRng::new(seed))?;
    // What was read back in it was written before, between and behind the deletions.
    load.await_passes(1)?;
    for SnapshotCopy { volume, system } in copies {
        recovers_clean(stage.guest, system, &site.reach(&host, volume)?.device)?;
    }
    load.stop()?;
    mounts.iter().try_for_each(|mount| snapshots::unmount_and_check(stage.guest, mount))?;
    site.server.api().check_drives()?;
    site.server.stop()
}

/// Snapshots of all the volumes in turn, while they change.
fn take_all(
    site: &Site,
    disks: &[(Attached, FileSystem)],
    load: &VerifiedLoad<'_>,
) -> Result<(Vec<Uuid>, Vec<SnapshotCopy>)> {
    let api = site.server.api();
    let (mut snapshots, mut copies) = (Vec::new(), Vec::new());
    for number in 0..SNAPSHOTS {
        for (disk, system) in disks {
            let snapshot = api.create_snapshot(disk.volume, &format!("{system}-{number}"))?;
            snapshots.push(snapshot);
            if number % COPY_EVERY == 0 {
                let alias = format!("{system}-{number}-copy");
                let volume = api.create_snapshot_volume(snapshot, &alias, true)?;
                copies.push(SnapshotCopy { volume, system: *system });
            }
        }
        if number == SNAPSHOTS / 2 {
            // So that those before hold blocks that those behind do not.
            load.await_passes(1)?;
        }
    }
    Ok((snapshots, copies))
}

fn delete_all(site: &Site, mut snapshots: Vec<Uuid>, mut rng: SimRng) -> Result<()> {
    let api = site.server.api();
    while !snapshots.is_empty() {
        let pick = rng.below(snapshots.len() as u64) as usize;
        api.delete_snapshot(snapshots.swap_remove(pick))?;
    }
    Ok(())
}

/// The file system replays its journal, as after a power cut, and its maker finds nothing wrong.
fn recovers_clean(guest: &Guest, system: FileSystem, device: &str) -> Result<()> {
    let (options, check) = (system.copy_options(), system.checker());
    guest
        .check(&format!(
            "mkdir -p /mnt/copy; mount -o {options} {device} /mnt/copy
            [ -s /mnt/copy/load ]
            umount /mnt/copy; {check} {device}"
        ))
        .map(drop)
}
