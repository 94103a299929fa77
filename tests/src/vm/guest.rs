//! One running virtual machine and the scripts that run in it.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::KernelFiles;

/// What a machine boots from and where it keeps its files.
#[derive(Debug)]
pub struct GuestSpec<'a> {
    pub kernel: &'a KernelFiles,
    pub initramfs: &'a Path,
    /// Shared with the guest as `/share`; survives the machine.
    pub share: &'a Path,
}

/// A booted machine; dropping it pulls the plug.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    agent: Mutex<UnixStream>,
    reports: Arc<Reports>,
    share: PathBuf,
    next_job: Mutex<u32>,
}

/// How a script in the guest ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: i32,
    /// Its standard output and standard error.
    pub text: String,
}

/// A script that is running in the guest.
#[derive(Debug)]
#[must_use = "a job that nobody waits for hides its failure"]
pub struct Job<'a> {
    guest: &'a Guest,
    number: u32,
    script: String,
}

/// What the agent has said so far, filled by the thread that listens to it.
#[derive(Debug, Default)]
struct Reports {
    state: Mutex<ReportState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct ReportState {
    ready: bool,
    ended: HashMap<u32, i32>,
    /// The agent's connection is gone, and with it the machine.
    dead: bool,
}

impl Guest {
    /// Boots a machine and returns once its agent listens.
    pub fn boot(spec: &GuestSpec<'_>) -> Result<Self> {
        let jobs = spec.share.join("jobs");
        if jobs.exists() {
            fs::remove_dir_all(&jobs)?;
        }
        fs::create_dir_all(&jobs)?;
        let socket = spec.share.join("agent.sock");
        if socket.exists() {
            fs::remove_file(&socket)?;
        }
        let listener = UnixListener::bind(&socket).context("listening for the guest's agent")?;
        let mut qemu = start_qemu(spec, &socket)?;
        // QEMU connects before it runs the first guest instruction, or ends.
        let agent = match accept(&listener, &mut qemu) {
            Ok(agent) => agent,
            Err(error) => {
                let _gone = qemu.kill();
                return Err(error);
            }
        };
        let reports = Arc::new(Reports::default());
        let incoming = agent.try_clone()?;
        let heard = Arc::clone(&reports);
        thread::spawn(move || heard.listen(incoming));
        let guest = Self {
            qemu,
            agent: Mutex::new(agent),
            reports,
            share: spec.share.to_owned(),
            next_job: Mutex::new(1),
        };
        guest.wait_for("boot", |state| state.ready.then_some(()))?;
        Ok(guest)
    }

    /// Runs a shell script to its end. An exit status other than 0 is no error here.
    pub fn run(&self, script: &str) -> Result<Outcome> {
        self.start(script)?.wait()
    }

    /// Runs a shell script that has to succeed (`set -e` is on) and returns what it printed.
    pub fn check(&self, script: &str) -> Result<String> {
        self.start_checked(script)?.succeed()
    }

    /// Starts a script and leaves it running.
    pub fn start(&self, script: &str) -> Result<Job<'_>> {
        let number = {
            let mut next = lock(&self.next_job);
            *next += 1;
            *next
        };
        fs::write(self.share.join(format!("jobs/{number}.sh")), script)?;
        // In one write: a shell that a child's end interrupts between two pieces of a line forgets the first.
        let line = format!("{number}\n");
        lock(&self.agent).write_all(line.as_bytes()).context("telling the guest's agent")?;
        Ok(Job { guest: self, number, script: script.to_owned() })
    }

    /// Starts a script under `set -e`.
    pub fn start_checked(&self, script: &str) -> Result<Job<'_>> {
        self.start(&format!("set -e\n{script}"))
    }

    /// The guest's `/share` as this machine sees it.
    pub fn share(&self) -> &Path {
        &self.share
    }

    /// Cuts the power: nothing in the guest gets to finish anything.
    pub fn kill(mut self) -> Result<()> {
        self.qemu.kill().context("killing QEMU")?;
        self.qemu.wait().context("waiting for QEMU")?;
        Ok(())
    }

    /// Waits until `found` sees what it wants in the agent's reports.
    fn wait_for<T>(&self, what: &str, found: impl Fn(&ReportState) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + LIMIT;
        let mut state = lock(&self.reports.state);
        loop {
            if let Some(value) = found(&state) {
                return Ok(value);
            }
            ensure!(!state.dead, "the guest died during {what}; its console ends:\n{}", self.console_tail());
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{what} took longer than {LIMIT:?}; the console ends:\n{}", self.console_tail());
            }
            let waited = self.reports.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn console_tail(&self) -> String {
        let text = fs::read(self.share.join(CONSOLE)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only for a machine that is gone already.
        let _gone = self.qemu.kill();
        let _reaped = self.qemu.wait();
    }
}

impl Job<'_> {
    /// Waits for the end of the script.
    pub fn wait(self) -> Result<Outcome> {
        let status = self
            .guest
            .wait_for("a script", |state| state.ended.get(&self.number).copied())
            .with_context(|| format!("script:\n{}\nprinted so far:\n{}", self.script, self.text()))?;
        Ok(Outcome { status, text: self.text() })
    }

    /// Waits for the end of the script, which has to be a success, and returns what it printed.
    pub fn succeed(self) -> Result<String> {
        let script = self.script.clone();
        let outcome = self.wait()?;
        ensure!(
            outcome.status == 0,
            "in the guest, exit {}:\n{script}\nprinted:\n{}",
            outcome.status,
            outcome.text
        );
        Ok(outcome.text)
    }

    fn text(&self) -> String {
        let bytes = fs::read(self.guest.share.join(format!("jobs/{}.out", self.number))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Reports {
    /// Reads `ready RELEASE` and `JOB STATUS` lines until the machine is gone.
    fn listen(&self, incoming: UnixStream) {
        for line in BufReader::new(incoming).lines() {
            let Ok(line) = line else { break };
            let mut state = lock(&self.state);
            match line.split_once(' ') {
                Some(("ready", _release)) => state.ready = true,
                Some((job, status)) => {
                    if let (Ok(job), Ok(status)) = (job.parse(), status.parse()) {
                        state.ended.insert(job, status);
                    }
                }
                None => {}
            }
            self.changed.notify_all();
        }
        lock(&self.state).dead = true;
        self.changed.notify_all();
    }
}

fn start_qemu(spec: &GuestSpec<'_>, socket: &Path) -> Result<Child> {
    let errors = fs::File::create(spec.share.join("qemu.log"))?;
    Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2048"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .arg("-serial")
        .arg(format!("file:{}", spec.share.join(CONSOLE).display()))
        .arg("-kernel")
        .arg(&spec.kernel.image)
        .arg("-initrd")
        .arg(spec.initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .args(["-nic", "user,model=virtio-net-pci"])
        .arg("-virtfs")
        .arg(format!("local,path={},mount_tag=share,security_model=none", spec.share.display()))
        .args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent"])
        .arg("-chardev")
        .arg(format!("socket,id=agent,path={}", socket.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .context("starting qemu-system-x86_64")
}

fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + LIMIT;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("accepting the guest's agent"),
        }
        if let Some(status) = qemu.try_wait()? {
            bail!("QEMU ended with {status} before the guest started (its words are in qemu.log)");
        }
        ensure!(Instant::now() < deadline, "QEMU did not start within {LIMIT:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A listener that panicked leaves nothing half-changed behind, so a poisoned lock is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where the serial console is written, in the shared directory.
const CONSOLE: &str = "console.log";

/// For one boot or one script, on a machine that may be very busy; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(300);
