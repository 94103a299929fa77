//! The administration API starts the server again, and updates it, while a host verifies what it writes: nobody sees an
//! error, and whoever started the server sees no end of it.

use anyhow::{Result, ensure};

use super::{
    Site, Stage, snapshots,
    verified_load::VerifiedLoad,
    writers::{self, Mount},
};
use crate::{
    admin::Admin,
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
    release::Release,
    server::{Server, ServerSpec},
};

pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let release = Release::of(&stage.lab.binary, stage.directory)?;
    let mut site = Site { server: Server::start(spec(stage, &release)?)? };
    let host = Initiator::new(stage.guest, "restart");
    let mut mounts = Vec::new();
    for (system, block_bytes) in FileSystem::ALL.into_iter().zip([4096, 512]) {
        let disk = site.attach(&host, &system.to_string(), block_bytes, ConnectOptions::default())?;
        mounts.push(Mount { device: disk.device, system });
    }
    writers::make_and_mount(stage.guest, &mounts)?;
    let load = VerifiedLoad::start(stage.guest, &mounts)?;

    let admin = Admin::set_up(&site.server)?;
    admin.reboot()?;
    site.server.await_starts(2)?;
    // The one that the restart met, and one behind it.
    load.await_passes(2)?;

    admin.update(&release.package)?;
    ensure!(
        admin.release()? == (Release::VERSION.to_owned(), true),
        "the release serves before it is started"
    );
    admin.reboot()?;
    site.server.await_starts(3)?;
    ensure!(admin.release()? == (Release::VERSION.to_owned(), false), "the release was not started");
    load.await_passes(2)?;

    load.stop()?;
    mounts.iter().try_for_each(|mount| snapshots::unmount_and_check(stage.guest, mount))?;
    site.server.api().check_drives()?;
    site.server.stop()
}

fn spec(stage: Stage<'_>, release: &Release) -> Result<ServerSpec> {
    let arguments = vec![
        "--admin-first-run".into(),
        "false".into(),
        "--update-key".into(),
        release.update_key.clone().into(),
        "--release-key".into(),
        release.release_key.clone().into(),
    ];
    Ok(ServerSpec { arguments, ..ServerSpec::new(&stage.lab.binary, stage.directory)? })
}
