//! The same process becomes the program of the active release, or its own once more: supervisors see no end.

use std::{
    env, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Tells the program that takes over not to look for another one: it could only be itself.
const HANDED_OVER: &str = "BASALT_HANDED_OVER";

/// Where an update made a newer release the active one, that one serves. Returns if there is none, or it cannot start.
pub(super) fn hand_over(data_dir: &Path) {
    if env::var_os(HANDED_OVER).is_some() {
        return;
    }
    if let Some(program) = control::newer_program(data_dir) {
        let error = become_program(&program);
        eprintln!("basalt: {} cannot be started: {error}; this program serves instead", program.display());
    }
}

/// With the arguments of now. Returns only if it fails.
pub(super) fn restart(data_dir: &Path) -> io::Error {
    let program: io::Result<PathBuf> = control::newer_program(data_dir).map_or_else(env::current_exe, Ok);
    match program {
        Ok(program) => become_program(&program),
        Err(error) => error,
    }
}

fn become_program(program: &Path) -> io::Error {
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env(HANDED_OVER, "1");
    // Whatever this process has open closes with it.
    command.exec()
}
