//! A host with one published volume, which it connects with the credentials that a scenario tries.

use anyhow::{Result, ensure};
use uuid::Uuid;

use super::{Site, Stage};
use crate::initiator::{ConnectOptions, Digests, Initiator};

const OPTIONS: ConnectOptions =
    ConnectOptions { io_queues: 1, digests: Digests { header: false, data: false }, loss_timeout_s: 600 };

#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) site: Site,
    pub(super) host: Initiator<'a>,
    pub(super) nqn: String,
    namespace: Uuid,
}

impl<'a> Scene<'a> {
    pub(super) fn open(stage: Stage<'a>, host: Initiator<'a>) -> Result<Self> {
        let site = Site::open(stage.lab, stage.directory)?;
        let volume = site.publish(&host, "secret", 4096)?;
        let nqn = site.server.api().target_nqn(volume, &host.identity)?;
        let namespace = site.server.api().namespace_uuid(volume)?;
        Ok(Self { site, host, nqn, namespace })
    }

    /// Connects with these arguments and reads; leaves it connected. Returns the block device.
    pub(super) fn connect(&self, arguments: &str) -> Result<String> {
        let portal = self.site.server.portal();
        let outcome = self.host.try_connect_with(portal, &self.nqn, OPTIONS, arguments)?;
        ensure!(outcome.status == 0, "nvme connect with {arguments}: {}", outcome.text);
        let device = self.host.device(self.namespace)?;
        self.read(&device)?;
        Ok(device)
    }

    pub(super) fn read(&self, device: &str) -> Result<()> {
        self.host.guest.check(&format!("dd if={device} of=/dev/null bs=4k count=16 iflag=direct")).map(drop)
    }

    pub(super) fn disconnect(&self) -> Result<()> {
        self.host.disconnect(&self.nqn)
    }

    pub(super) fn is_refused(&self, arguments: &str) -> Result<()> {
        let portal = self.site.server.portal();
        let outcome = self.host.try_connect_with(portal, &self.nqn, OPTIONS, arguments)?;
        ensure!(outcome.status != 0, "nvme connect with {arguments:?} was let in");
        ensure!(!self.host.is_connected(&self.nqn)?, "{arguments:?} left a controller");
        Ok(())
    }
}
