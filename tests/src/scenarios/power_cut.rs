//! Server and host lose power together: everything flushed is there afterwards (invariant 8).

use std::path::Path;

use anyhow::{Result, bail};
use uuid::Uuid;

use super::{
    Site,
    writers::{self, Mount, Promise, Verdict, Writers},
};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Identity, Initiator},
    lab::{Bootable, Lab},
    server::{Fault, Server, ServerSpec},
};

const ROUNDS: u32 = 2;

/// A drive that forgets everything unflushed, torn at its sectors.
pub(super) fn run(lab: &Lab, bootable: &Bootable, directory: &Path) -> Result<()> {
    let mut spec = ServerSpec::new(&lab.binary, directory)?;
    spec.drive_options = ",lossy";
    lose_power(lab, bootable, spec, ROUNDS)?.expect_whole()
}

/// The test of the test: a drive whose flush does nothing must be caught.
pub(super) fn no_flush_is_noticed(lab: &Lab, bootable: &Bootable, directory: &Path) -> Result<()> {
    let mut spec = ServerSpec::new(&lab.binary, directory)?;
    spec.drive_options = ",lossy";
    spec.fault = Some(Fault::NoFlush);
    match lose_power(lab, bootable, spec, 1)? {
        Verdict::Damaged(text) => {
            println!("noticed {text}");
            Ok(())
        }
        Verdict::Whole => bail!("a power cut of a drive without flush went unnoticed"),
    }
}

/// Writes, cuts the power of guest and server, starts both again and judges; several times over.
fn lose_power(lab: &Lab, bootable: &Bootable, spec: ServerSpec, rounds: u32) -> Result<Verdict> {
    let share = spec.directory.join("share");
    // A drive that is damaged before the power cut would prove nothing: the fault begins after the set-up.
    let fault = spec.fault;
    let mut site = Site { server: Server::start(ServerSpec { fault: None, ..spec })? };
    let mut guest = lab.boot(bootable, &share)?;
    let identity = Identity::new("power-cut");
    let volumes = set_up(&site, &Initiator::on(&guest, &identity))?;
    let mut mounts = connect(&site, &Initiator::on(&guest, &identity), &volumes)?;
    writers::make_and_mount(&guest, &mounts)?;
    if fault.is_some() {
        site.server.stop()?;
        site.server.spec.fault = fault;
        site.server.restart()?;
    }
    for round in 1..=rounds {
        let writers = Writers::start(&guest, &mounts, round)?;
        writers.await_files(&mounts, Promise::Synced, 5)?;
        site.server.kill()?;
        // The workers die with their machine: nobody waits for them.
        drop(writers);
        guest.kill()?;
        site.server.spec.fault = None;
        site.server.restart()?;
        guest = lab.boot(bootable, &share)?;
        mounts = connect(&site, &Initiator::on(&guest, &identity), &volumes)?;
        if let Verdict::Damaged(text) = writers::judge(&guest, &mounts, &[Promise::Synced])? {
            return Ok(Verdict::Damaged(format!("in round {round}: {text}")));
        }
    }
    Ok(Verdict::Whole)
}

/// A volume for each file system, published to the host.
fn set_up(site: &Site, host: &Initiator<'_>) -> Result<Vec<(Uuid, FileSystem)>> {
    FileSystem::ALL
        .into_iter()
        .zip([4096, 512])
        .map(|(system, block_bytes)| Ok((site.publish(host, &system.to_string(), block_bytes)?, system)))
        .collect()
}

/// Connects a freshly booted host to its volumes.
fn connect(site: &Site, host: &Initiator<'_>, volumes: &[(Uuid, FileSystem)]) -> Result<Vec<Mount>> {
    volumes
        .iter()
        .map(|(volume, system)| {
            Ok(Mount {
                device: site.connect(host, *volume, ConnectOptions::default())?.device,
                system: *system,
            })
        })
        .collect()
}
