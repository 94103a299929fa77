//! Two paths to one volume, taken out of use and back while a host verifies what it writes.

use anyhow::{Context, Result};

use super::{Site, Stage, snapshots, verified_load::VerifiedLoad, writers, writers::Mount};
use crate::{
    file_system::FileSystem,
    initiator::{ConnectOptions, Initiator},
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
