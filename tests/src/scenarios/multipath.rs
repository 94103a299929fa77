//! Two paths to one volume, taken out of use and cut while a host verifies what it writes.

use anyhow::{Context, Result, ensure};

use super::{Site, Stage, snapshots, verified_load::VerifiedLoad, writers, writers::Mount};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
    link::Link,
    server::{Server, ServerSpec, free_port},
    vm::Guest,
};

/// In Linux' words. Not among them: a path that is lost for good.
const ROUND: [&str; 6] =
    ["non-optimized", "change", "inaccessible", "optimized", "inaccessible", "non-optimized"];

/// Native multipath over two portals: nobody sees an error, whatever the state of the paths is meanwhile.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let second = free_port()?;
    let spec = ServerSpec { more_nvme: vec![second], ..ServerSpec::new(&stage.lab.binary, stage.directory)? };
    let mut site = Site { server: Server::start(spec)? };
    let (api, guest) = (site.server.api(), stage.guest);
    let host = Initiator::new(guest, "multipath");
    let disk = site.attach(&host, "paths", 4096, ConnectOptions::default())?;
    host.connect(second, &disk.nqn, ConnectOptions::default())?;
    await_state(guest, &disk.nqn, "optimized")?;

    let mounts = [Mount { device: disk.device.clone(), system: FileSystem::Ext4 }];
    writers::make_and_mount(guest, &mounts)?;
    let load = VerifiedLoad::start(guest, &mounts)?;
    for state in ROUND.into_iter().chain(ROUND) {
        api.set_path_state(disk.volume, state)?;
        await_state(guest, &disk.nqn, state)?;
    }
    api.set_path_state(disk.volume, "optimized")?;
    load.await_passes(2)?;
    load.stop()?;
    snapshots::unmount_and_check(guest, &mounts[0])?;
    site.server.stop()
}

/// Six I/O queues: for reading, writing and polling on each of two processors.
const QUEUES: &str = "--nr-write-queues=2 --nr-poll-queues=2";

/// Each path is cut again and again in the midst of what it carries: the host connects anew and nobody sees an error.
pub(super) fn cuts(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "cuts");
    let volume = site.publish(&host, "cuts", 4096)?;
    let nqn = site.server.api().target_nqn(volume, &host.identity)?;
    let portal = site.server.portal();
    let links = [Link::to(portal)?, Link::to(portal)?];
    for link in &links {
        let outcome = host.try_connect_with(link.address, &nqn, ConnectOptions::default(), QUEUES)?;
        ensure!(outcome.status == 0, "nvme connect {QUEUES}: {}", outcome.text);
    }
    let device = host.device(site.server.api().namespace_uuid(volume)?)?;
    let mounts = [Mount { device, system: FileSystem::Ext4 }];
    writers::make_and_mount(stage.guest, &mounts)?;
    let load = VerifiedLoad::start(stage.guest, &mounts)?;
    let mut dropped = 0;
    for link in links.iter().cycle() {
        await_live(stage.guest, &nqn)?;
        dropped += link.cut();
        if dropped > 100 {
            break;
        }
    }
    await_live(stage.guest, &nqn)?;
    load.await_passes(2)?;
    load.stop()?;
    snapshots::unmount_and_check(stage.guest, &mounts[0])?;
    host.disconnect(&nqn)?;
    site.server.stop()
}

/// Waits until both controllers are live. One that is cut while it connects is not tried again for a minute: Linux then
/// waits for an answer to its Connect.
fn await_live(guest: &Guest, nqn: &str) -> Result<()> {
    let script = format!(
        "tries=0
        until [ $(cd /sys/class/nvme; for c in nvme*; do
            if grep -qsx {nqn} $c/subsysnqn && grep -qsx live $c/state; then echo $c; fi
        done | wc -l) = 2 ]; do
            tries=$((tries + 1)); [ $tries -lt 2400 ]; usleep 50000
        done"
    );
    guest.check(&script).map(drop).context("both controllers become live")
}

/// Waits until both paths have the state, as the kernel sees it, and looks at the log that says so.
fn await_state(guest: &Guest, nqn: &str, state: &str) -> Result<()> {
    guest
        .check(&format!(
            "controllers=$(for c in /sys/class/nvme/nvme*; do
                if grep -qsx {nqn} $c/subsysnqn; then echo ${{c##*/}}; fi
            done)
            [ $(echo \"$controllers\" | wc -l) = 2 ]
            for c in $controllers; do
                tries=0
                until cat /sys/class/nvme/$c/nvme*c*n*/ana_state | grep -qx {state}; do
                    tries=$((tries + 1)); [ $tries -lt 1200 ]; usleep 50000
                done
                nvme ana-log /dev/$c | grep -q 'state.*[^a-z-]{state}$'
            done"
        ))
        .map(drop)
        .with_context(|| format!("both paths become {state}"))
}
