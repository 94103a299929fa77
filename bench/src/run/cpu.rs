//! Processor time of the target and of ourselves, from /proc.

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;

/// Seconds of user and system time of all threads, since each process began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuSeconds {
    pub(crate) target: Option<f64>,
    pub(crate) own: f64,
}

impl CpuSeconds {
    pub(crate) fn now(target: Option<u32>) -> Result<Self> {
        Ok(Self { target: target.map(seconds_of).transpose()?, own: seconds_of(std::process::id())? })
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        let target = self.target.zip(earlier.target).map(|(now, earlier)| now - earlier);
        Self { target, own: self.own - earlier.own }
    }
}

fn seconds_of(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("--pid {pid}: {path}"))?;
    let ticks =
        ticks(&stat).with_context(|| format!("--pid {pid}: {path} has another form than proc(5) says"))?;
    Ok(ticks as f64 / clock_ticks_per_second() as f64)
}

/// utime + stime, fields 14 and 15. The name in field 2 may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1 2 3";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn our_own_time_is_there() {
        assert!(seconds_of(std::process::id()).is_ok());
    }
}
