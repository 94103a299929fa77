//! The same process becomes the program of the active release, or its own once more: supervisors see no end. A release that
//! never served is started beside this one first (`trial`).

use std::{
    env, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
    time::Duration,
};

use control::NextProgram;

use super::{
    ServeError,
    data_dir::DataDir,
    trial::{self, Ended},
};

/// Tells the program that takes over not to look for another one: it could only be itself.
const HANDED_OVER: &str = "BASALT_HANDED_OVER";

/// Where an update made a newer release the active one, that one serves: returns how it ended. `None`: this program is to
/// serve. `limit`: how long a release that never served may take until it is ready.
pub(super) fn hand_over(data_dir: &Path, limit: Duration) -> Result<Option<ExitCode>, ServeError> {
    trial::end_with_parent()?;
    if env::var_os(HANDED_OVER).is_some() || !data_dir.join("releases").is_dir() {
        return Ok(None);
    }
    loop {
        // A server that runs here, or is being tried, says by itself what comes next.
        let (_alone, one_trial) = (DataDir::lock(data_dir)?, DataDir::lock(&data_dir.join("releases"))?);
        match control::next_program(data_dir)? {
            None => return Ok(None),
            Some(NextProgram::Proven(program)) => {
                let error = taking_over(&program).exec();
                eprintln!(
                    "basalt: {} cannot be started: {error}; this program serves instead",
                    program.display()
                );
                return Ok(None);
            }
            Some(NextProgram::OnTrial(release)) => {
                drop(_alone);
                match trial::run(&release, taking_over(release.program()), one_trial, limit)? {
                    Ended::Itself(code) => return Ok(Some(code)),
                    // Once more, for the release before it.
                    Ended::RolledBack => {}
                }
            }
        }
    }
}

/// With the arguments of now; it decides anew what is to serve. Returns only if it fails.
pub(super) fn restart() -> io::Error {
    match env::current_exe() {
        Ok(program) => with_our_arguments(&program).env_remove(HANDED_OVER).exec(),
        Err(error) => error,
    }
}

fn taking_over(program: &Path) -> Command {
    let mut command = with_our_arguments(program);
    command.env(HANDED_OVER, "1");
    command
}

/// Whatever this process has open closes with it.
fn with_our_arguments(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1));
    command
}
