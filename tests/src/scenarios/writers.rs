//! Workers in the guest that write files all the time, the record of what each was promised, and the
//! judgement of what is left after a failure.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    file_system::FileSystem,
    vm::{Guest, Job},
};

/// How a worker writes each of its files; it records the file only afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// fsync has returned.
    Synced,
    /// The device has answered every write (O_DIRECT), but no flush was asked for.
    Answered,
    /// The page cache has it.
    Cached,
}

impl Promise {
    pub(super) const ALL: [Self; 3] = [Self::Synced, Self::Answered, Self::Cached];

    fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Answered => "answered",
            Self::Cached => "cached",
        }
    }

    fn dd_options(self) -> &'static str {
        match self {
            Self::Synced => "conv=fsync",
            Self::Answered => "oflag=direct",
            Self::Cached => "",
        }
    }
}

/// A file system that workers write to.
#[derive(Debug, Clone)]
pub(super) struct Mount {
    pub(super) device: String,
    /// Also names its directory under `/mnt`.
    pub(super) system: FileSystem,
}

/// What was found after a failure.
#[derive(Debug)]
pub(super) enum Verdict {
    Whole,
    /// A promise was broken; the text shows which.
    Damaged(String),
}

impl Verdict {
    pub(super) fn expect_whole(self) -> Result<()> {
        match self {
            Self::Whole => Ok(()),
            Self::Damaged(text) => bail!("{text}"),
        }
    }
}

/// Running workers, one per promise and file system.
#[derive(Debug)]
pub(super) struct Writers<'a> {
    guest: &'a Guest,
    job: Job<'a>,
}

/// Makes and mounts a file system on each device, and starts an empty record.
pub(super) fn make_and_mount(guest: &Guest, mounts: &[Mount]) -> Result<()> {
    for Mount { device, system } in mounts {
        let make = system.maker();
        guest.check(&format!(
            "{make} {device}; mkdir -p /mnt/{system}; mount {device} /mnt/{system}
            rm -rf /share/records; mkdir /share/records"
        ))?;
    }
    Ok(())
}

impl<'a> Writers<'a> {
    /// Starts the workers; `round` keeps their files apart from those of other rounds.
    pub(super) fn start(guest: &'a Guest, mounts: &[Mount], round: u32) -> Result<Self> {
        let mut script = String::from(WORKER);
        for Mount { system, .. } in mounts {
            for promise in Promise::ALL {
                let (name, options) = (promise.name(), promise.dd_options());
                script += &format!("work {system} {name} {round} '{options}' & pids=\"$pids $!\"\n");
            }
        }
        script += "for pid in $pids; do wait $pid || exit 1; done\n";
        let stop = guest.share().join("stop");
        if stop.exists() {
            fs::remove_file(stop)?;
        }
        Ok(Self { guest, job: guest.start(&script)? })
    }

    /// Returns once `files` more files were recorded under `promise` on every file system.
    pub(super) fn await_files(&self, mounts: &[Mount], promise: Promise, files: usize) -> Result<()> {
        let goals: Vec<(PathBuf, usize)> = mounts
            .iter()
            .map(|mount| record_path(self.guest, mount, promise))
            .map(|path| (path.clone(), recorded(&path) + files))
            .collect();
        let deadline = Instant::now() + LIMIT;
        while goals.iter().any(|(path, goal)| recorded(path) < *goal) {
            ensure!(Instant::now() < deadline, "the workers are stuck, or the host did not reconnect");
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Lets every worker finish its file. A worker that met an error is damage.
    pub(super) fn stop(self) -> Result<Verdict> {
        fs::write(self.guest.share().join("stop"), "")?;
        let outcome = self.job.wait()?;
        if outcome.status == 0 {
            return Ok(Verdict::Whole);
        }
        Ok(Verdict::Damaged(format!("a worker failed: {}", outcome.text)))
    }
}

/// Mounts what is unmounted, and judges: each file system is clean by its own checker, and every file
/// recorded under one of `promises` has its checksum. Leaves everything mounted.
pub(super) fn judge(guest: &Guest, mounts: &[Mount], promises: &[Promise]) -> Result<Verdict> {
    for mount in mounts {
        let Mount { device, system } = mount;
        let checker = system.checker();
        let mut script = format!(
            "damaged() {{ echo \"$1\"; dmesg | tail -n 20; exit {DAMAGED}; }}
            mkdir -p /mnt/{system}
            if grep -q ' /mnt/{system} ' /proc/mounts; then sync; umount /mnt/{system} || damaged 'cannot unmount'; fi
            # The file system recovers its own journal first, as after any crash.
            mount {device} /mnt/{system} || damaged 'cannot mount {system}'
            umount /mnt/{system} || damaged 'cannot unmount'
            {checker} {device} || damaged '{checker} complains'
            echo 3 >/proc/sys/vm/drop_caches
            mount {device} /mnt/{system} || exit 1\n"
        );
        for promise in promises {
            let record = format!("/share/records/{system}-{}", promise.name());
            script += &format!(
                "if ! sha256sum -c {record} >/tmp/checked 2>&1; then
                    grep -v ': OK$' /tmp/checked | head -n 20; damaged 'files of {record} are not whole'
                fi\n"
            );
        }
        let outcome = guest.run(&script)?;
        match outcome.status {
            0 => {}
            DAMAGED => return Ok(Verdict::Damaged(outcome.text)),
            other => bail!("judging {system} ended with {other}: {}", outcome.text),
        }
    }
    Ok(Verdict::Whole)
}

fn record_path(guest: &Guest, mount: &Mount, promise: Promise) -> PathBuf {
    guest.share().join("records").join(format!("{}-{}", mount.system, promise.name()))
}

fn recorded(path: &PathBuf) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

/// Exit status of the judging script that means a broken promise, unlike any other failure.
const DAMAGED: i32 = 3;
/// Until the workers have written some files, a reconnection included; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(300);

/// `work SYSTEM PROMISE ROUND DD-OPTIONS`: writes files of 4 to 96 KiB until told to stop.
const WORKER: &str = r#"work() {
    directory=/mnt/$1/$2-$3 scratch=/tmp/$1-$2 number=0
    mkdir -p "$directory" || exit 1
    while [ ! -e /share/stop ]; do
        number=$((number + 1))
        head -c $((4096 * (1 + number % 24))) /dev/urandom >"$scratch"
        sum=$(sha256sum <"$scratch")
        dd if="$scratch" of="$directory/$number" bs=128k $4 2>"$scratch.err" || { cat "$scratch.err"; exit 1; }
        echo "${sum%% *}  $directory/$number" >>"/share/records/$1-$2"
    done
}
"#;
