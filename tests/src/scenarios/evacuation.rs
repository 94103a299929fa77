//! A drive goes away while hosts use what is on it: everything moves to another one first, and nobody notices.

use anyhow::Result;

use super::{Site, Stage, snapshots, verified_load::VerifiedLoad, writers, writers::Mount};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
};

pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "evacuation");
    let api = site.server.api();
    let [first] = api.drives()?.try_into().expect("a server begins with one drive");
    let mut mounts = Vec::new();
    for (system, block_bytes) in FileSystem::ALL.into_iter().zip([4096, 512]) {
        let disk = site.attach(&host, &system.to_string(), block_bytes, ConnectOptions::default())?;
        api.create_snapshot(disk.volume, &format!("{system}-empty"))?;
        mounts.push(Mount { device: disk.device, system });
    }
    writers::make_and_mount(stage.guest, &mounts)?;

    let load = VerifiedLoad::start(stage.guest, &mounts)?;
    api.add_drive(&stage.directory.join("second"), 8)?;
    api.remove_drive(first)?;
    // One that began before the drive went and one that began behind it.
    load.await_passes(2)?;
    load.stop()?;
    mounts.iter().try_for_each(|mount| snapshots::unmount_and_check(stage.guest, mount))?;
    api.check_drives()?;
    site.server.stop()
}
