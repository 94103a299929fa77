//! Programs that the server starts and waits for, for a bounded time.

use std::{
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

const LOOK: Duration = Duration::from_millis(20);

/// Runs it to its end in a group of its own, with nothing in its environment but what the caller put there. `input` is
/// what it reads: few enough bytes for a pipe. The error says what is wrong with it, for people.
pub(super) fn run(mut command: Command, input: &[u8], limit: Duration) -> Result<(), String> {
    command.stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let began = Instant::now();
    let mut child = start(&mut command, began + limit).map_err(|e| format!("does not start: {e}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        // One that does not read it says by its status whether it needed it.
        drop(pipe.write_all(input));
    }
    let ended = wait(&mut child, began + limit);
    // Whatever it started ends with it.
    if !matches!(ended, Ok(Some(_))) {
        end(&mut child).map_err(|e| format!("cannot be ended: {e}"))?;
    }
    match ended.map_err(|e| format!("cannot be waited for: {e}"))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("ended with {status}")),
        None => Err(format!("did not end within {} s", limit.as_secs())),
    }
}

fn start(command: &mut Command, until: Instant) -> io::Result<Child> {
    loop {
        match command.spawn() {
            // A process that was just forked elsewhere still has the file open that we wrote.
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy && Instant::now() < until => {
                thread::sleep(LOOK);
            }
            done => return done,
        }
    }
}

/// `None`: it still runs.
fn wait(child: &mut Child, until: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(LOOK),
            done => return Ok(done),
        }
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    kill_process_group(Pid::from_child(child), Signal::KILL)?;
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str, limit: Duration) -> Result<(), String> {
        let mut command = Command::new("/bin/sh");
        command.stdout(Stdio::null());
        run(command, text.as_bytes(), limit)
    }

    #[test]
    fn it_is_waited_for_and_not_for_ever() {
        let long = Duration::from_secs(120);
        assert_eq!(shell("test -z \"$HOME\" || true\n", long), Ok(()));
        assert!(shell("exit 3\n", long).unwrap_err().contains("ended with exit status: 3"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("alive");
        // What it started must not go on: it would write when the pipe, which only it holds, is closed.
        let text = format!("(sleep 1000; echo x > {}) & sleep 1000\n", file.display());
        let error = shell(&text, Duration::from_millis(200)).unwrap_err();
        assert!(error.contains("did not end within") && !file.exists(), "{error}");
        assert!(run(Command::new("/nonexistent/x"), b"", long).unwrap_err().contains("does not start"));
    }
}
