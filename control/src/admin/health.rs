//! How full this machine is (admin.md §5.5).

use std::{fs, io, path::Path};

use serde::Serialize;
use utoipa::ToSchema;

use super::clock::Clock;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// The file system of the data directory.
    disk: Used,
    /// Of this machine.
    memory: Used,
    cpu: Cpu,
    /// Compared with that of the settings' ntpserver, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<Clock>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Used {
    /// A number and a unit: K, M, G or T.
    #[schema(example = "3.4G")]
    used: String,
    #[schema(example = "234.0G")]
    total: String,
    percentage: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Cpu {
    num: usize,
    /// Averages over 1, 5 and 15 minutes.
    #[schema(example = "0.66, 0.28, 0.14")]
    load: String,
    /// The average over 5 minutes, rounded down.
    cpu5min: u64,
}

impl Health {
    /// Reads it from the kernel; blocks.
    pub(crate) fn read(data_dir: &Path, clock: Option<Clock>) -> io::Result<Self> {
        let disk = rustix::fs::statvfs(data_dir)?;
        let unit = disk.f_frsize;
        // As df: what only root may use counts for nobody.
        let used = (disk.f_blocks - disk.f_bfree) * unit;
        let (total_memory, free_memory) = memory(&fs::read_to_string("/proc/meminfo")?)?;
        Ok(Self {
            disk: Used::new(used, used + disk.f_bavail * unit),
            memory: Used::new(total_memory.saturating_sub(free_memory), total_memory),
            cpu: Cpu::new(&fs::read_to_string("/proc/loadavg")?)?,
            clock,
        })
    }
}

impl Used {
    fn new(used: u64, total: u64) -> Self {
        // Up, as df: a disk that is not empty is not 0 % full.
        let percentage = (used * 100).div_ceil(total.max(1));
        Self { used: human(used), total: human(total), percentage }
    }
}

impl Cpu {
    fn new(loadavg: &str) -> io::Result<Self> {
        let mut words = loadavg.split_whitespace();
        let [Some(one), Some(five), Some(fifteen)] = [words.next(), words.next(), words.next()] else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let whole = five.split('.').next().and_then(|whole| whole.parse().ok());
        Ok(Self {
            num: std::thread::available_parallelism()?.get(),
            load: format!("{one}, {five}, {fifteen}"),
            cpu5min: whole.ok_or(io::ErrorKind::InvalidData)?,
        })
    }
}

/// Total and available, in bytes.
fn memory(meminfo: &str) -> io::Result<(u64, u64)> {
    let kib = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let (total, available) = kib("MemTotal").zip(kib("MemAvailable")).ok_or(io::ErrorKind::InvalidData)?;
    Ok((total << 10, available << 10))
}

/// A number and one letter, in powers of 1024.
pub(crate) fn human(bytes: u64) -> String {
    let mut number = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G"] {
        if number < 1023.95 {
            return format!("{number:.1}{unit}");
        }
        number /= 1024.0;
    }
    format!("{number:.1}T")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_letter() {
        for (bytes, text) in [
            (0, "0.0K"),
            (131_072, "128.0K"),
            (1_048_575, "1.0M"),
            (3_650_722_202, "3.4G"),
            (1 << 50, "1024.0T"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn what_the_kernel_says_is_understood() {
        let meminfo = "MemTotal:    1000 kB\nMemFree:  1 kB\nMemAvailable:  740 kB\n";
        assert_eq!(memory(meminfo).unwrap(), (1_024_000, 757_760));
        assert!(memory("MemTotal: 1 kB").is_err());
        let cpu = Cpu::new("2.50 1.99 0.14 1/234 5\n").unwrap();
        assert_eq!((cpu.load.as_str(), cpu.cpu5min), ("2.50, 1.99, 0.14", 1));
        assert!(Cpu::new("").is_err());
        assert_eq!(Used::new(1, 1000).percentage, 1);
    }
}
