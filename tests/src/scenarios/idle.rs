//! A server with one connected host that does nothing.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Site, Stage};
use crate::{
    command::output_of,
    initiator::{ConnectOptions, Initiator},
};

/// Keep Alives every few seconds and nothing else: under 2 % of a core and under 150 MiB.
pub(super) fn run(stage: Stage<'_>) -> Result<()> {
    let mut site = Site::open(stage.lab, stage.directory)?;
    let host = Initiator::new(stage.guest, "idle");
    let volume = site.attach(&host, "idle", 4096, ConnectOptions::default())?;
    stage.guest.check(&format!("dd if={} of=/dev/null bs=64k count=64 iflag=direct", volume.device))?;
    let pid = site.server.pid();
    let hertz: f64 = output_of(std::process::Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
    // The measured span is itself the condition: idling has to last to be measured.
    let start = Instant::now();
    let ticks_before = processor_ticks(pid)?;
    thread::sleep(Duration::from_secs(10));
    let ticks = processor_ticks(pid)? - ticks_before;
    let share = ticks as f64 / hertz / start.elapsed().as_secs_f64();
    let resident_kib = resident_kib(pid)?;
    println!("idle: {:.2} % of a core, {} MiB resident", share * 100.0, resident_kib / 1024);
    ensure!(share < 0.02, "idle, the server used {:.2} % of a core", share * 100.0);
    ensure!(resident_kib < 150 * 1024, "idle, the server holds {resident_kib} KiB");
    ensure!(host.is_connected(&volume.nqn)?, "the host lost its controller meanwhile");
    site.server.stop()
}

/// User and system time of a process so far, in clock ticks (proc(5): fields 14 and 15 of stat).
fn processor_ticks(pid: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(") ").context("a stat line has a name in parentheses")?.1;
    let fields: Vec<&str> = after_name.split(' ').collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn resident_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a status file has VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
