//! A volume as OpenStack's compute hosts attach it: found by what Cinder's driver says of it alone, with the commands of
//! os-brick's connector.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};

use super::{Site, Stage};
use crate::{
    connection_info::Replica,
    initiator::Initiator,
    server::{Server, ServerSpec},
    vm::Guest,
};

/// Attached, used, detached, and attached again: what was written is there.
pub(super) fn attach(stage: Stage<'_>) -> Result<()> {
    let mut site = open(stage)?;
    let (api, guest) = (site.server.api(), stage.guest);
    let host = compute_host(guest, "compute")?;
    let volume = site.publish(&host, "volume-of-cinder", 4096)?;
    let info = api.connection_info(volume, &host.identity)?;
    let replica = only(&info.replicas)?;

    let device = connect(&host, replica)?;
    let name = device.rsplit('/').next().context("a device has a name")?;
    let nguid = guest.check(&format!("cat /sys/block/{name}/nguid"))?;
    ensure!(nguid.trim() == replica.uuid.to_string(), "the NGUID is {nguid}, the UUID {}", replica.uuid);
    guest.check(&format!(
        "mkfs.ext4 -q -F {device}; mount {device} /mnt
        head -c 5000000 /dev/urandom >/mnt/file; sha256sum /mnt/file >/tmp/file.sum
        umount /mnt; blockdev --flushbufs {device}"
    ))?;
    disconnect(&host, replica)?;
    let device = connect(&host, replica)?;
    guest.check(&format!(
        "mount {device} /mnt; sha256sum -c -s /tmp/file.sum; umount /mnt; e2fsck -fn {device}"
    ))?;
    disconnect(&host, replica)?;

    api.unpublish(volume, &host.identity)?;
    let outcome = guest.run(&connect_command(replica)?)?;
    ensure!(outcome.status != 0, "a host that the volume was taken from was let in");
    site.server.stop()
}

/// A server as docs/cinder.md tells operators to start it.
pub(super) fn open(stage: Stage<'_>) -> Result<Site> {
    let arguments = ["--default-replication", "host"].map(Into::into).into();
    let spec =
        ServerSpec { arguments, drive_size: "8G", ..ServerSpec::new(&stage.lab.binary, stage.directory)? };
    Ok(Site { server: Server::start(spec)? })
}

/// The host whose names lie where nvme-cli looks for them when it is told none, as os-brick calls it.
pub(super) fn compute_host<'a>(guest: &'a Guest, name: &str) -> Result<Initiator<'a>> {
    let host = Initiator::new(guest, name);
    let (nqn, id) = (&host.identity.nqn, host.identity.id);
    guest.check(&format!("echo {nqn} >/etc/nvme/hostnqn; echo {id} >/etc/nvme/hostid"))?;
    Ok(host)
}

/// Connects one copy and returns its block device.
pub(super) fn connect(host: &Initiator<'_>, replica: &Replica) -> Result<String> {
    host.guest.check(&connect_command(replica)?)?;
    host.device(replica.uuid)
}

/// Of os-brick 7.1: 128 commands in a queue, and a controller that is never given up.
fn connect_command(replica: &Replica) -> Result<String> {
    let portal = only(&replica.portals)?;
    Ok(format!(
        "nvme connect -a {} -s {} -t tcp -n {} -Q 128 -l -1",
        portal.address, portal.port, replica.target_nqn
    ))
}

/// Each controller by itself, as os-brick does.
pub(super) fn disconnect(host: &Initiator<'_>, replica: &Replica) -> Result<()> {
    let controller = controller(host, replica)?;
    host.guest.check(&format!("nvme disconnect -d /dev/{controller}"))?;
    host.await_removal(replica.uuid)
}

/// The device name of the controller of a copy that is connected.
pub(super) fn controller(host: &Initiator<'_>, replica: &Replica) -> Result<String> {
    let controllers = host.controllers(&replica.target_nqn)?;
    let name = controllers.split_whitespace().next().context("no controller")?;
    Ok(name.to_owned())
}

fn only<T: Debug>(all: &[T]) -> Result<&T> {
    let [one] = all else { bail!("one expected: {all:?}") };
    Ok(one)
}
