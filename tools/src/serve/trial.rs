//! A release that never served is started as a child of the program before it, which serves again if the child does not
//! become ready. If it does, this process stays and stands for it: signals go there, its end is this one's.

use std::{
    env, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use control::ReleaseTrial;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use super::{ServeError, Stop, data_dir::DataDir};

/// Holds the process id of the parent that stands for this process.
const PARENT: &str = "BASALT_PARENT";
const LOOK: Duration = Duration::from_millis(50);

/// How a trial came to its end.
pub(super) enum Ended {
    /// As a server that was told to, or failed after it was ready.
    Itself(ExitCode),
    /// It never became ready: the release before it is the active one.
    RolledBack,
}

/// Where a parent stands for this process, its death is this process's. Called by its first thread.
pub(super) fn end_with_parent() -> io::Result<()> {
    let Some(parent) = env::var_os(PARENT) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that; then nobody wants this process.
    match getppid().is_some_and(|pid| *pid.to_string() == *parent) {
        true => Ok(()),
        false => Err(io::Error::other("the program that started this release is gone")),
    }
}

/// Starts the release and watches it. `one`: no other trial begins meanwhile.
pub(super) fn run(
    release: &ReleaseTrial,
    mut command: Command,
    one: DataDir,
    limit: Duration,
) -> Result<Ended, ServeError> {
    eprintln!(
        "basalt: release {} is started; it has {} s to become ready",
        release.version(),
        limit.as_secs()
    );
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // The handlers come first: a signal shall not end this process alone.
    let stop = runtime.block_on(async { Stop::new() })?;
    release.start()?;
    // Not of this process's group: a terminal's Ctrl-C comes here, and goes there once.
    let child = command.env(PARENT, std::process::id().to_string()).process_group(0).spawn();
    match child {
        Ok(child) => runtime.block_on(Trial { release, child, stop, is_stopping: false }.watch(one, limit)),
        Err(error) => roll_back(release, &format!("its program cannot be started: {error}")),
    }
}

fn roll_back(release: &ReleaseTrial, why: &str) -> Result<Ended, ServeError> {
    eprintln!("basalt: release {} is rolled back: {why}", release.version());
    release.reject(why)?;
    Ok(Ended::RolledBack)
}

struct Trial<'a> {
    release: &'a ReleaseTrial,
    child: Child,
    stop: Stop,
    /// Somebody wants it to end.
    is_stopping: bool,
}

impl Trial<'_> {
    async fn watch(mut self, one: DataDir, limit: Duration) -> Result<Ended, ServeError> {
        let mut ended = signal(SignalKind::child())?;
        let began = Instant::now();
        loop {
            // In this order: one that was ready and ended has passed.
            let status = self.child.try_wait()?;
            if self.release.has_passed()? {
                eprintln!("basalt: release {} serves", self.release.version());
                break;
            }
            match status {
                Some(_) if self.is_stopping => {
                    self.release.put_off()?;
                    return Ok(Ended::Itself(ExitCode::SUCCESS));
                }
                Some(status) => return roll_back(self.release, &format!("its program ended with {status}")),
                None if began.elapsed() > limit && !self.is_stopping => {
                    self.child.kill()?;
                    self.child.wait()?;
                    let why = format!("it was not ready within {} s", limit.as_secs());
                    return roll_back(self.release, &why);
                }
                None => {}
            }
            tokio::select! {
                _ = ended.recv() => {}
                _ = self.stop.received() => self.pass_on()?,
                () = sleep(LOOK) => {}
            }
        }
        drop(one);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Ended::Itself(code(status)));
            }
            tokio::select! {
                _ = ended.recv() => {}
                _ = self.stop.received() => self.pass_on()?,
            }
        }
    }

    /// As a server takes it: the first signal asks for a clean end, the second one for an end.
    fn pass_on(&mut self) -> io::Result<()> {
        let signal = match self.is_stopping && !self.release.has_passed().unwrap_or(false) {
            // It may never have learnt to listen.
            true => Signal::KILL,
            false => Signal::TERM,
        };
        self.is_stopping = true;
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

/// As shells say it.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
