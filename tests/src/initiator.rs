//! The host in the guest: nvme-cli and sysfs, used as an administrator would.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;
use uuid::Uuid;

use crate::vm::{Guest, HOST_ADDRESS, Outcome};

/// Who a host is, whichever machine it runs on.
#[derive(Debug, Clone)]
pub struct Identity {
    pub nqn: String,
    pub id: Uuid,
}

impl Identity {
    /// A new one; `name` makes it recognisable in logs.
    pub fn new(name: &str) -> Self {
        let id = Uuid::new_v4();
        Self { nqn: format!("nqn.2014-08.org.nvmexpress:uuid:{id}:{name}"), id }
    }
}

/// One NVMe host in a guest; a guest can play several.
#[derive(Debug, Clone)]
pub struct Initiator<'a> {
    pub guest: &'a Guest,
    pub identity: Identity,
    /// The program that connects.
    pub nvme: &'static str,
}

/// The two digests of an NVMe/TCP connection, each on or off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Digests {
    pub header: bool,
    pub data: bool,
}

/// Options of `nvme connect` beyond the address and the names.
#[derive(Debug, Clone, Copy)]
pub struct ConnectOptions {
    pub io_queues: u32,
    pub digests: Digests,
    /// How long the host keeps trying to get its controller back.
    pub loss_timeout_s: u32,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { io_queues: 2, digests: Digests::default(), loss_timeout_s: 600 }
    }
}

impl<'a> Initiator<'a> {
    /// A host that nobody knows yet.
    pub fn new(guest: &'a Guest, name: &str) -> Self {
        Self::on(guest, &Identity::new(name))
    }

    /// A known host, in a machine that may have booted again since.
    pub fn on(guest: &'a Guest, identity: &Identity) -> Self {
        Self { guest, identity: identity.clone(), nvme: "nvme" }
    }

    /// The subsystem NQNs and addresses in this host's discovery log.
    pub fn discover(&self, portal: SocketAddr) -> Result<Vec<(String, String)>> {
        let (address, port) = seen_from_guest(portal);
        let script = format!("nvme discover -t tcp -a {address} -s {port} {} -o json", self.names());
        let outcome = self.guest.run(&script)?;
        // nvme-cli says so in words when the log is empty.
        if outcome.text.contains("No discovery log entries") || outcome.text.contains("0 entries") {
            return Ok(Vec::new());
        }
        anyhow::ensure!(outcome.status == 0, "nvme discover: {}", outcome.text);
        let log: Value = serde_json::from_str(&outcome.text).with_context(|| outcome.text.clone())?;
        let records = log["records"].as_array().context("no records in the discovery log")?;
        let text = |record: &Value, field: &str| record[field].as_str().unwrap_or_default().to_owned();
        Ok(records
            .iter()
            // The discovery subsystem may list itself; it is no storage.
            .filter(|record| !text(record, "subtype").contains("discovery"))
            .map(|record| {
                (text(record, "subnqn"), format!("{}:{}", text(record, "traddr"), text(record, "trsvcid")))
            })
            .collect())
    }

    /// `nvme connect`; the caller judges the outcome.
    pub fn try_connect(&self, portal: SocketAddr, nqn: &str, options: ConnectOptions) -> Result<Outcome> {
        self.try_connect_with(portal, nqn, options, "")
    }

    /// The same with more `arguments`.
    pub fn try_connect_with(
        &self,
        portal: SocketAddr,
        nqn: &str,
        options: ConnectOptions,
        arguments: &str,
    ) -> Result<Outcome> {
        let (address, port) = seen_from_guest(portal);
        let digests = match (options.digests.header, options.digests.data) {
            (false, false) => "",
            (true, false) => "--hdr-digest",
            (false, true) => "--data-digest",
            (true, true) => "--hdr-digest --data-digest",
        };
        let ConnectOptions { io_queues, loss_timeout_s, .. } = options;
        self.guest.run(&format!(
            "{} connect -t tcp -a {address} -s {port} -n {nqn} {} --nr-io-queues={io_queues} \
             --reconnect-delay=1 --ctrl-loss-tmo={loss_timeout_s} --keep-alive-tmo=5 {digests} {arguments}",
            self.nvme,
            self.names()
        ))
    }

    /// `nvme connect` that has to succeed.
    pub fn connect(&self, portal: SocketAddr, nqn: &str, options: ConnectOptions) -> Result<()> {
        let outcome = self.try_connect(portal, nqn, options)?;
        anyhow::ensure!(outcome.status == 0, "nvme connect to {nqn}: {}", outcome.text);
        Ok(())
    }

    pub fn disconnect(&self, nqn: &str) -> Result<()> {
        self.guest.check(&format!("nvme disconnect -n {nqn}")).map(drop)
    }

    /// The block device of the namespace with this UUID, once it has appeared.
    pub fn device(&self, namespace: Uuid) -> Result<String> {
        let script = format!(
            "until device=$(find_namespace {namespace}) && [ -b \"$device\" ]; do usleep 50000; done; echo $device"
        );
        Ok(self.guest.check(&format!("{FIND_NAMESPACE}\n{script}"))?.trim().to_owned())
    }

    /// Returns once no block device has this UUID any more.
    pub fn await_removal(&self, namespace: Uuid) -> Result<()> {
        let script = format!("{FIND_NAMESPACE}\nwhile find_namespace {namespace}; do usleep 50000; done");
        self.guest.check(&script).map(drop)
    }

    /// This host's controllers of a subsystem, each as its device name and controller ID: equal before and
    /// after means that it did not reconnect.
    pub fn controllers(&self, nqn: &str) -> Result<String> {
        self.guest.check(&format!(
            "for c in /sys/class/nvme/nvme*; do
                [ \"$(cat $c/subsysnqn 2>/dev/null)\" = {nqn} ] || continue
                [ \"$(cat $c/hostnqn)\" = {} ] || continue
                echo ${{c##*/}} $(cat $c/cntlid)
            done",
            self.identity.nqn
        ))
    }

    pub fn is_connected(&self, nqn: &str) -> Result<bool> {
        Ok(!self.controllers(nqn)?.is_empty())
    }

    fn names(&self) -> String {
        format!("--hostnqn={} --hostid={}", self.identity.nqn, self.identity.id)
    }
}

/// A listener of this machine's 127.0.0.1 as the guest has to call it.
pub fn seen_from_guest(portal: SocketAddr) -> (String, u16) {
    (HOST_ADDRESS.to_owned(), portal.port())
}

/// Path devices (`nvme0c0n1`) carry the UUID too; only the multipath head is a disk.
const FIND_NAMESPACE: &str = r#"find_namespace() {
    for entry in /sys/block/nvme*; do
        case ${entry##*/} in *c*n*) continue ;; esac
        [ "$(cat "$entry/uuid" 2>/dev/null)" = "$1" ] && echo "/dev/${entry##*/}" && return
    done
    return 1
}"#;
