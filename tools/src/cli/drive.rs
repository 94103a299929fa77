//! `basalt drive list`.

use clap::Subcommand;
use serde_json::Value;

use super::{
    client::Client,
    error::CliError,
    model::Drive,
    report::{Report, table},
};
use crate::size::ByteSize;

#[derive(Debug, Subcommand)]
pub(crate) enum DriveCommand {
    /// List drives and their room
    List,
}

pub(crate) async fn run(client: &mut Client, command: DriveCommand) -> Result<Report, CliError> {
    let DriveCommand::List = command;
    let json: Value = client.get("/basalt/v1/drives").await?;
    let drives: Vec<Drive> = client.parse(json.clone())?;
    Ok(Report::new(drive_table(&drives), json))
}

/// Also part of `basalt status`.
pub(super) fn drive_table(drives: &[Drive]) -> String {
    let rows = drives.iter().map(|drive| {
        let size = |bytes| ByteSize(bytes).to_string();
        let mode = if drive.write_through { "write-through" } else { "write-back" };
        [
            drive.name.clone(),
            drive.state.clone(),
            size(drive.capacity_bytes),
            size(drive.used_bytes),
            size(drive.unreserved_bytes),
            mode.to_owned(),
            drive.id.clone(),
        ]
    });
    table(["DRIVE", "STATE", "CAPACITY", "USED", "UNRESERVED", "MODE", "ID"], rows)
}
