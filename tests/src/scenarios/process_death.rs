//! The server dies, the drive keeps power, the host stays: nothing that was answered may be lost (E2).

use anyhow::Result;

use super::{
    Site, Stage,
    writers::{self, Mount, Promise, Verdict, Writers},
};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
    server::{Fault, Server, ServerSpec},
};

const ROUNDS: u32 = 5;

/// A file drive: what the process has written stays in the kernel.
pub(super) fn file(stage: Stage<'_>) -> Result<()> {
    let spec = ServerSpec::new(&stage.lab.binary, stage.directory)?;
    die_often(stage, spec, ROUNDS)?.expect_whole()
}

/// A drive that loses what is not durable when the process dies, made safe by `write-through`.
pub(super) fn lossy_write_through(stage: Stage<'_>) -> Result<()> {
    let mut spec = ServerSpec::new(&stage.lab.binary, stage.directory)?;
    spec.drive_options = ",lossy,write-through";
    die_often(stage, spec, ROUNDS)?.expect_whole()
}

/// The test of the test: a server that answers before its mapping records are written must be caught.
pub(super) fn late_records_are_noticed(stage: Stage<'_>) -> Result<()> {
    let mut spec = ServerSpec::new(&stage.lab.binary, stage.directory)?;
    spec.fault = Some(Fault::LateRecords);
    match die_often(stage, spec, ROUNDS)? {
        Verdict::Damaged(text) => {
            println!("noticed {text}");
            Ok(())
        }
        Verdict::Whole => anyhow::bail!("{ROUNDS} deaths of a server with late records went unnoticed"),
    }
}

/// Kills and restarts the server while workers write, and judges after each time.
fn die_often(stage: Stage<'_>, spec: ServerSpec, rounds: u32) -> Result<Verdict> {
    let mut site = Site { server: Server::start(spec)? };
    let host = Initiator::new(stage.guest, "process-death");
    let mut mounts = Vec::new();
    for (system, block_bytes) in FileSystem::ALL.into_iter().zip([4096, 512]) {
        let volume = site.attach(&host, &system.to_string(), block_bytes, ConnectOptions::default())?;
        mounts.push(Mount { device: volume.device, system });
    }
    writers::make_and_mount(stage.guest, &mounts)?;
    for round in 1..=rounds {
        let verdict = die_once(stage, &mut site, &mounts, round)?;
        if let Verdict::Damaged(text) = verdict {
            return Ok(Verdict::Damaged(format!("in round {round}: {text}")));
        }
    }
    for Mount { system, .. } in &mounts {
        stage.guest.check(&format!("umount /mnt/{system}"))?;
    }
    site.server.stop()?;
    Ok(Verdict::Whole)
}

/// Kills and restarts the server once; `round` keeps the files apart from those of other rounds.
pub(super) fn die_once(stage: Stage<'_>, site: &mut Site, mounts: &[Mount], round: u32) -> Result<Verdict> {
    let writers = Writers::start(stage.guest, mounts, round)?;
    writers.await_files(mounts, Promise::Synced, 3)?;
    // Another distance from the last flush in each round.
    writers.await_files(mounts, Promise::Answered, round as usize)?;
    site.server.kill()?;
    site.server.restart()?;
    // New synced files show that the host has reconnected by itself.
    writers.await_files(mounts, Promise::Synced, 3)?;
    let verdict = writers.stop()?;
    if let Verdict::Damaged(_) = verdict {
        return Ok(verdict);
    }
    writers::judge(stage.guest, mounts, &Promise::ALL)
}
