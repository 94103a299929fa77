//! What a controller says about itself, read by nvme-cli, and what is left of it after the server's end; controller
//! resets under load.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Attached, Site, Stage, commands::refused, fio::fio_command};
use crate::{
    initiator::{ConnectOptions, Initiator},
    vm::Guest,
};

/// Errors, effects, features and telemetry are right; SMART data outlives the server.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "logs");
    let volume = site.attach(&host, "logs", 4096, ConnectOptions::default())?;
    errors(stage.guest, &volume.device)?;
    effects(stage.guest, &volume.device)?;
    features(&host, &volume)?;
    captures(stage.guest, &volume.device)?;
    smart_over_restarts(&mut site, stage.guest, &volume)?;
    site.server.stop()
}

/// What failed stands in the error log, the newest first, with the field that was wrong.
fn errors(guest: &Guest, device: &str) -> Result<()> {
    for lba in [262_144, 262_145] {
        let verify = format!("nvme verify {device} --start-block={lba} --block-count=0");
        refused(guest, &verify, "lba out of range")?;
    }
    let log = json(guest, &format!("nvme error-log {device} --log-entries=2 -o json"))?;
    let entries = log["errors"].as_array().with_context(|| log.to_string())?;
    for (entry, lba) in entries.iter().zip([262_145, 262_144]) {
        let is = |field: &str, value: u64| entry[field].as_u64() == Some(value);
        let wrong = is("lba", lba) && is("nsid", 1) && is("parm_error_location", 40);
        ensure!(wrong && !is("sqid", 0), "error-log shows {log}");
    }
    ensure!(entries.len() == 2, "error-log shows {log}");
    Ok(())
}

fn effects(guest: &Guest, device: &str) -> Result<()> {
    let effects = guest.check(&format!("nvme effects-log {device} --csi=0 --human-readable"))?.to_lowercase();
    for command in ["compare", "verify", "copy", "write zeroes", "dataset management", "abort"] {
        ensure!(effects.contains(command), "effects-log does not know {command}:\n{effects}");
    }
    for question in [
        "supported-log-pages",
        "fid-support-effects-log",
        "changed-ns-list-log",
        "id-ctrl",
        "nvm-id-ctrl",
        "id-ns",
    ] {
        guest.check(&format!("nvme {question} {device}"))?;
    }
    Ok(())
}

/// All features can be read, and the clock can be set.
fn features(host: &Initiator<'_>, volume: &Attached) -> Result<()> {
    let (guest, device) = (host.guest, &volume.device);
    // For a block device nvme-cli names its namespace, which the clock does not belong to.
    let controller = controller(host, volume)?;
    guest.check(&format!(
        "for feature in 1 2 4 5 6 7 0xa 0xb 0xe 0xf 0x19 0x82 0x83; do
            for select in 0 1 2 3; do
                nvme get-feature {device} --feature-id=$feature --sel=$select >/dev/null
            done
        done
        nvme get-feature {device} --feature-id=0x81 --cdw11=1 --data-len=16
        nvme set-feature {controller} --feature-id=0xe --value=1700000000000"
    ))?;
    let clock = guest.check(&format!("nvme get-feature {device} --feature-id=0xe --human-readable"))?;
    ensure!(clock.contains("17000000"), "the clock says\n{clock}");
    Ok(())
}

/// The endurance group and telemetry have content.
fn captures(guest: &Guest, device: &str) -> Result<()> {
    let group = guest.check(&format!("nvme endurance-log {device} --group-id=1"))?;
    ensure!(group.contains("100"), "nothing is spare:\n{group}");
    let text = guest.check(&format!(
        "cd /tmp; nvme telemetry-log {device} --output-file=telemetry >/dev/null
        tail -c +513 telemetry | tr -d '\\000'"
    ))?;
    ensure!(text.contains("namespace nsid=1 ") && text.contains("state=Online"), "telemetry says\n{text}");
    Ok(())
}

fn smart_over_restarts(site: &mut Site, guest: &Guest, volume: &Attached) -> Result<()> {
    let device = &volume.device;
    guest.check(&format!("dd if=/dev/zero of={device} bs=64k count=64 oflag=direct"))?;
    let at_first = smart(guest, device)?;
    let expected = [
        ("host_write_commands", 64),
        ("num_err_log_entries", 2),
        ("power_cycles", 1),
        ("unsafe_shutdowns", 0),
        ("critical_warning", 0),
    ];
    for (field, value) in expected {
        ensure!(number(&at_first, field) == value, "{field} is not {value}: {at_first}");
    }
    site.server.stop()?;
    site.server.restart()?;
    let restarted = smart(guest, device)?;
    let kept = ["host_write_commands", "data_units_written", "num_err_log_entries"];
    let is_kept = |field: &&str| number(&restarted, field) >= number(&at_first, field);
    ensure!(kept.iter().all(is_kept), "a restart made {restarted} of {at_first}");
    ensure!(number(&restarted, "power_cycles") == 2, "after a restart: {restarted}");
    site.server.kill()?;
    site.server.restart()?;
    let killed = smart(guest, device)?;
    let starts = (number(&killed, "power_cycles"), number(&killed, "unsafe_shutdowns"));
    ensure!(starts == (3, 1), "after a kill: {killed}");
    Ok(())
}

/// A field of SMART data; nvme-cli prints those of 128 bits as text.
fn number(smart: &Value, field: &str) -> u64 {
    let field = &smart[field];
    field.as_u64().or_else(|| field.as_str()?.parse().ok()).unwrap_or(u64::MAX)
}

/// SMART data, once the host is connected (again).
fn smart(guest: &Guest, device: &str) -> Result<Value> {
    // The block layer waits for the reconnect, nvme-cli does not.
    guest.check(&format!("dd if={device} of=/dev/null bs=4k count=1 iflag=direct"))?;
    json(guest, &format!("nvme smart-log {device} -o json"))
}

fn json(guest: &Guest, command: &str) -> Result<Value> {
    let text = guest.check(command)?;
    serde_json::from_str(&text).with_context(|| text.clone())
}

/// `/dev/nvmeX` of a connected volume.
fn controller(host: &Initiator<'_>, volume: &Attached) -> Result<String> {
    let controllers = host.controllers(&volume.nqn)?;
    let name = controllers.split_whitespace().next().context("no controller")?;
    Ok(format!("/dev/{name}"))
}

/// fio does not notice that its controller is reset again and again.
pub(super) fn reset(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "reset");
    let volume = site.attach(&host, "reset", 4096, ConnectOptions::default())?;
    let controller = controller(&host, &volume)?;
    let load = stage.guest.start_checked(&fio_command(&volume.device, 4096))?;
    // Each waits until the controller is live again.
    stage.guest.check(&format!("for round in 1 2 3; do nvme reset {controller}; done"))?;
    load.succeed()?;
    site.server.stop()
}
