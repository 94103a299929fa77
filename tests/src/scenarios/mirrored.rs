//! A volume of two copies on two nodes, which the host itself keeps equal with md RAID1, as os-brick sets it up.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use uuid::Uuid;

use super::{
    Site, Stage, cinder, snapshots,
    verified_load::VerifiedLoad,
    writers::{self, Mount},
};
use crate::{
    api::Api,
    connection_info::{ConnectionInfo, Replica},
    file_system::FileSystem,
    initiator::Initiator,
    storage_node::StorageNode,
    vm::Guest,
};

const CAPACITY_GIB: u64 = 4;

/// A node dies under load and comes back: nobody sees an error, only what was written meanwhile is copied, and then the
/// copy that was away is as good as the other.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = cinder::open(stage)?;
    let mut node = StorageNode::join(&site.server, &stage.directory.join("second"), "8G")?;
    site.server.await_backends(2)?;
    let guest = stage.guest;
    let host = cinder::compute_host(guest, "mirror")?;
    let array = Array::create(&site, &host)?;
    let (away, stays) = array.copies(node.portal())?;

    let mounts = [Mount { device: array.device.clone(), system: FileSystem::Ext4 }];
    writers::make_and_mount(guest, &mounts)?;
    let load = VerifiedLoad::start(guest, &mounts)?;
    node.kill()?;
    array.await_degraded(1)?;
    load.await_passes(1)?;
    node.restart()?;
    let recovered_bytes = array.take_back(&host, away, stays)?;
    load.await_passes(1)?;
    load.stop()?;
    ensure!(
        recovered_bytes > 0 && recovered_bytes < (CAPACITY_GIB << 30) / 4,
        "{recovered_bytes} bytes of {CAPACITY_GIB} GiB were copied"
    );
    guest.check("sha256sum /mnt/ext4/load >/tmp/load.sum")?;
    snapshots::unmount_and_check(guest, &mounts[0])?;
    array.expect_whole_on(&host, away)?;

    for replica in &array.info.replicas {
        cinder::disconnect(&host, replica)?;
    }
    site.server.api().unpublish(array.volume, &host.identity)?;
    site.server.stop()
}

/// The host's array, and what it was made of.
#[derive(Debug)]
struct Array<'a> {
    guest: &'a Guest,
    api: Api,
    volume: Uuid,
    info: ConnectionInfo,
    /// `/dev/md/NAME`
    device: String,
    /// In the guest's sysfs.
    directory: String,
}

impl<'a> Array<'a> {
    fn create(site: &Site, host: &Initiator<'a>) -> Result<Self> {
        let (api, guest) = (site.server.api(), host.guest);
        let volume = api.create_copies("mirrored-by-its-host", CAPACITY_GIB, 2)?;
        api.add_host(&host.identity)?;
        api.publish(volume, &host.identity)?;
        let info = api.connection_info(volume, &host.identity)?;
        ensure!(info.replicas.len() == 2, "two copies expected: {info:?}");
        let mut legs = String::new();
        for replica in &info.replicas {
            legs += &format!(" {}", cinder::connect(host, replica)?);
            // As docs/cinder.md tells operators: what is sent to a copy that is away fails soon, and md goes on without it.
            // The other setting only makes the test shorter.
            let controller = cinder::controller(host, replica)?;
            guest.check(&format!(
                "cd /sys/class/nvme/{controller}; echo 1 >fast_io_fail_tmo; echo 1 >reconnect_delay"
            ))?;
        }
        let name = &info.alias;
        guest.check(&format!(
            "mdadm -C {name} -R -N {name} --level 1 --raid-devices=2 --bitmap=internal --homehost=any --failfast \
                --assume-clean {legs}"
        ))?;
        let device = format!("/dev/md/{name}");
        let node = guest.check(&format!("readlink -f {device}"))?;
        let directory = node.trim().replace("/dev/", "/sys/block/") + "/md";
        Ok(Self { guest, api, volume, info, device, directory })
    }

    fn await_degraded(&self, copies: u32) -> Result<()> {
        let condition = format!("[ $(cat {}/degraded) = {copies} ]", self.directory);
        await_in(self.guest, &condition).with_context(|| format!("{copies} copies are away"))
    }

    /// The copy at this portal, and the other one.
    fn copies(&self, portal: SocketAddr) -> Result<(&Replica, &Replica)> {
        let is_there = |replica: &&Replica| replica.portals.iter().any(|there| there.port == portal.port());
        let (there, elsewhere): (Vec<_>, Vec<_>) = self.info.replicas.iter().partition(is_there);
        let ([there], [elsewhere]) = (&there[..], &elsewhere[..]) else {
            bail!("not one copy at {portal}: {:?}", self.info);
        };
        Ok((there, elsewhere))
    }

    /// Puts a copy back into its place once its node answers, and waits until it is equal, as an agent would. Returns how
    /// many bytes it got beyond what both copies were written meanwhile.
    fn take_back(&self, host: &Initiator<'_>, replica: &Replica, other: &Replica) -> Result<u64> {
        let controller = cinder::controller(host, replica)?;
        await_in(self.guest, &format!("grep -qx live /sys/class/nvme/{controller}/state"))?;
        let leg = host.device(replica.uuid)?;
        self.guest.check(&format!("mdadm --manage {} --remove {leg}", self.device))?;
        let before = (written_bytes(host, replica)?, written_bytes(host, other)?);
        // As fast as it goes, whatever else is written.
        self.guest.check(&format!(
            "echo 1000000 >{}/sync_speed_min; mdadm --manage {} --re-add {leg}",
            self.directory, self.device
        ))?;
        self.api.report_copy(self.volume, replica.uuid, "Synchronizing")?;
        self.await_degraded(0)?;
        await_in(self.guest, &format!("grep -qx idle {}/sync_action", self.directory))?;
        self.api.report_copy(self.volume, replica.uuid, "Available")?;
        let after = (written_bytes(host, replica)?, written_bytes(host, other)?);
        Ok((after.0 - before.0).saturating_sub(after.1 - before.1))
    }

    /// The file system and the file are whole where this copy is all that there is.
    fn expect_whole_on(&self, host: &Initiator<'_>, replica: &Replica) -> Result<()> {
        let (device, leg) = (&self.device, host.device(replica.uuid)?);
        self.guest
            .check(&format!(
                "mdadm --stop {device}
                mdadm --assemble --run {device} {leg}
                e2fsck -fn {device}
                mount {device} /mnt/ext4; sha256sum -c -s /tmp/load.sum; umount /mnt/ext4
                mdadm --stop {device}"
            ))
            .map(drop)
    }
}

/// By the host, through the one path to the copy, since it was connected.
fn written_bytes(host: &Initiator<'_>, replica: &Replica) -> Result<u64> {
    let controller = cinder::controller(host, replica)?;
    let sectors =
        host.guest.check(&format!("awk '{{ print $7 }}' /sys/class/nvme/{controller}/nvme*c*n*/stat"))?;
    let sectors: u64 = sectors.trim().parse().with_context(|| format!("sectors written: {sectors}"))?;
    Ok(sectors * 512)
}

/// Returns once a shell condition holds in the guest. On a machine that may be very busy, minutes are not too long.
fn await_in(guest: &Guest, condition: &str) -> Result<()> {
    guest
        .check(&format!(
            "tries=0; until {condition}; do tries=$((tries + 1)); [ $tries -lt 4800 ]; usleep 50000; done"
        ))
        .map(drop)
}
