//! Files that a command is given to send.

use std::{fs, path::Path};

use super::error::CliError;

/// The whole text of a file.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}
