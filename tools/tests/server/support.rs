//! A `basalt serve` process of our own, and the command line beside it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Slow machines are fine, hanging forever is not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn basalt() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_basalt"));
    // A developer's own settings must not lead the tests to another server.
    for variable in ["BASALT_URL", "BASALT_TOKEN", "BASALT_CA", "BASALT_TEST_FAULT"] {
        command.env_remove(variable);
    }
    command
}

/// Where one server's state is; it outlives the processes that serve from it.
pub(crate) struct Place {
    directory: TempDir,
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    process: Child,
    data_dir: PathBuf,
    /// What it had printed when it was ready.
    pub(crate) ready: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// `serve` with any free ports; `arguments` come after.
    pub(crate) fn serve_command(&self, arguments: &[&str]) -> Command {
        let mut command = basalt();
        command.arg("serve").arg("--data-dir").arg(self.data_dir()).args(arguments);
        for (flag, value) in
            [("--api", "127.0.0.1:0"), ("--nvme", "127.0.0.1:0"), ("--cores", "1"), ("--log", "warn")]
        {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command
    }

    /// Starts a server and waits until it says that it is ready.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(self.serve_command(arguments), self.data_dir())
    }

    /// A server on a file drive of 4 GiB.
    pub(crate) fn serve_file(&self) -> Server {
        let drive = self.file_drive();
        self.serve(&["--drive", &drive])
    }

    pub(crate) fn file_drive(&self) -> String {
        format!("{},size=4G", self.path("drive.img").display())
    }

    /// Runs `serve` with arguments that must make it end by itself.
    pub(crate) fn serve_fails(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = self.serve_command(arguments);
        let mut process =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("basalt starts");
        let status = wait_for_end(&mut process);
        let mut text = String::new();
        process.stderr.take().expect("piped").read_to_string(&mut text).expect("UTF-8");
        (status.code().expect("it exits by itself"), text)
    }

    /// Runs a command against this place's server.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = basalt();
        command.arg("--data-dir").arg(self.data_dir()).args(arguments);
        Outcome::of(command.output().expect("basalt starts"))
    }

    /// As [`Self::run`], with something to read on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Outcome {
        let mut command = basalt();
        command.arg("--data-dir").arg(self.data_dir()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("basalt starts");
        let mut pipe = process.stdin.take().expect("piped");
        pipe.write_all(input.as_bytes()).expect("it reads");
        drop(pipe);
        Outcome::of(process.wait_with_output().expect("our child"))
    }

    /// As [`Self::run`], for commands that must succeed; answers their text.
    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {}", outcome.stderr);
        outcome.stdout
    }

    /// As [`Self::text`], with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).expect("--json prints JSON")
    }

    pub(crate) fn credential(&self, name: &str) -> PathBuf {
        self.data_dir().join("credentials").join(name)
    }

    pub(crate) fn url(&self) -> String {
        let path = self.data_dir().join("api-url");
        std::fs::read_to_string(path).expect("a ready server has written it").trim().to_owned()
    }
}

impl Server {
    pub(crate) fn start(command: Command, data_dir: PathBuf) -> Self {
        Self::start_until(command, data_dir, LAST_READY_LINE)
    }

    /// Waits until it has printed `last`.
    pub(crate) fn start_until(mut command: Command, data_dir: PathBuf, last: &str) -> Self {
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("basalt starts");
        let lines = lines_of(process.stdout.take().expect("piped"));
        let errors = lines_of(process.stderr.take().expect("piped"));
        let mut ready = String::new();
        let deadline = Instant::now() + PATIENCE;
        while !ready.contains(last) {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => ready += &line,
                Err(error) => {
                    // The process is gone or stuck: whatever it said helps.
                    drop(process.kill());
                    let said: String = errors.iter().collect();
                    panic!("no ready server ({error}); it said:\n{ready}{said}");
                }
            }
        }
        Self { process, data_dir, ready }
    }

    /// The port behind the address in the ready line with this title.
    pub(crate) fn port(&self, title: &str) -> u16 {
        let line = self.ready.lines().find(|line| line.trim_start().starts_with(title));
        let address = line.and_then(|line| line.split_whitespace().nth(1)).expect(title);
        address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("ADDRESS:PORT")
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The power button of a process: no handler runs.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it is our child");
    }

    /// SIGTERM; answers how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        wait_for_end(&mut self.process)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended in most tests.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// How a command ended.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("commands exit by themselves"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// Waits as long as a slow machine may need.
pub(crate) fn wait_for_end(process: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.try_wait().expect("our child") {
            return status;
        }
        if Instant::now() > deadline {
            drop(process.kill());
            panic!("the process does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Reads on in the background, so that the process never blocks on a full pipe.
fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            // Nobody listens any more once the server is ready.
            drop(sender.send(line + "\n"));
        }
    });
    receiver
}

/// The last thing that `serve` prints about itself.
const LAST_READY_LINE: &str = "prints the nvme connect line";
