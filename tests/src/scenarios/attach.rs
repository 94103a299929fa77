//! Discovery, connection, and what nvme-cli reports about the controller and the namespace.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Site, Stage};
use crate::{
    initiator::{ConnectOptions, Initiator, seen_from_guest},
    vm::Guest,
};

pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "attach");
    let volume = site.attach(&host, "attach", 4096, ConnectOptions::default())?;

    let (address, port) = seen_from_guest(site.server.portal());
    let found = host.discover(site.server.portal())?;
    let expected = vec![(volume.nqn.clone(), format!("{address}:{port}"))];
    ensure!(found == expected, "discovery shows {found:?}, not {expected:?}");

    let list = stage.guest.check("nvme list")?;
    ensure!(list.contains(&volume.device), "nvme list does not show {}:\n{list}", volume.device);

    let controller = nvme_json(stage.guest, "id-ctrl", &volume.device)?;
    ensure!(controller["subnqn"] == volume.nqn, "id-ctrl: another subsystem than {}", volume.nqn);
    ensure!(number(&controller, "vwc")? & 1 == 1, "id-ctrl: no volatile write cache, so no host would flush");
    ensure!(number(&controller, "mdts")? > 0, "id-ctrl: no limit on a transfer");
    let commands = number(&controller, "oncs")?;
    ensure!(commands & ONCS_NEEDED == ONCS_NEEDED, "id-ctrl: oncs is {commands:#x}");
    ensure!(number(&controller, "cmic")? & CMIC_MULTI_PATH != 0, "id-ctrl: no multi-path");
    ensure!(number(&controller, "oaes")? & OAES_NAMESPACE_NOTICES != 0, "id-ctrl: no namespace notices");

    let namespace = nvme_json(stage.guest, "id-ns", &volume.device)?;
    ensure!(number(&namespace, "nsze")? == GIB / 4096, "id-ns: not 1 GiB of 4 KiB blocks");
    ensure!(number(&namespace, "nmic")? & 1 == 1, "id-ns: not shareable");

    for question in
        ["ana-log", "effects-log", "error-log", "fw-log", "changed-ns-list-log", "list-ns", "ns-descs"]
    {
        stage.guest.check(&format!("nvme {question} {}", volume.device))?;
    }

    let before = number(&nvme_json(stage.guest, "smart-log", &volume.device)?, "host_write_commands")?;
    stage.guest.check(&format!("dd if=/dev/zero of={} bs=4k count=8 oflag=direct", volume.device))?;
    let after = number(&nvme_json(stage.guest, "smart-log", &volume.device)?, "host_write_commands")?;
    ensure!(after >= before + 8, "smart-log: {before} write commands before and {after} after 8 writes");

    host.disconnect(&volume.nqn)?;
    site.server.stop()
}

fn nvme_json(guest: &Guest, command: &str, device: &str) -> Result<Value> {
    let printed = guest.check(&format!("nvme {command} {device} -o json"))?;
    serde_json::from_str(&printed).with_context(|| format!("nvme {command} printed {printed}"))
}

/// nvme-cli prints 128-bit counters as strings or as numbers, depending on its age.
fn number(object: &Value, field: &str) -> Result<u64> {
    let value = &object[field];
    let parsed =
        value.as_u64().or_else(|| value.as_str().and_then(|text| text.replace(',', "").parse().ok()));
    parsed.with_context(|| format!("{field} is {value}"))
}

const GIB: u64 = 1 << 30;
/// Dataset Management and Write Zeroes.
const ONCS_NEEDED: u64 = (1 << 2) | (1 << 3);
const CMIC_MULTI_PATH: u64 = 1 << 1;
const OAES_NAMESPACE_NOTICES: u64 = 1 << 8;
