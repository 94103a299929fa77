//! `basalt drive …`

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Subcommand;
use dataplane::node::{DriveMedium, TornPolicy};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::Client,
    drive_inspect,
    error::CliError,
    model::{Drive, Evacuation},
    report::{Report, table},
    resolve,
};
use crate::{serve::DriveFlag, size::ByteSize};

#[derive(Debug, Subcommand)]
pub(crate) enum DriveCommand {
    /// List drives and their room
    List,
    /// Take a drive in while the server runs, at every later start too
    Add {
        /// As `serve --drive` has it: a file or block device of the server, or mem:NAME
        #[arg(value_name = "PATH[,size=SIZE][,OPTION]…")]
        drive: DriveFlag,
        /// Format it, whatever is on it: everything there is lost
        #[arg(long)]
        format: bool,
        /// Whose drive it becomes, by name or ID; may be left out on the node itself, or if there is only one
        #[arg(long)]
        node: Option<String>,
    },
    /// Make a drive larger while it serves
    Grow {
        /// Path as listed, UUID or the beginning of a UUID
        drive: String,
        /// What a file shall have then, as in 20G [default: what the block device has become]
        size: Option<ByteSize>,
    },
    /// Prove that every extent has one owner and every counter and checksum is right; exits 1 if not
    Check {
        /// Path as listed, UUID or the beginning of a UUID; with --offline, a path on this machine
        drive: String,
        /// A drive that no server has open; nothing is written to it
        #[arg(long)]
        offline: bool,
    },
    /// Show superblocks, journal and catalogue of a drive that no server has open; nothing is written to it
    Dump {
        /// A file or block device of this machine
        path: PathBuf,
        /// Also where the blocks of this volume or snapshot are
        #[arg(long, value_name = "UUID")]
        volume: Option<uuid::Uuid>,
    },
    /// Let go of a drive, once its volumes have moved to others; its file stays. Ctrl-C leaves them moving
    Remove {
        /// Path as listed, UUID or the beginning of a UUID
        drive: String,
    },
}

impl DriveCommand {
    /// Runs what needs no server; `None` for the rest.
    pub(crate) fn run_offline(&self) -> Option<Result<Report, CliError>> {
        match self {
            Self::Check { drive, offline: true } => Some(drive_inspect::check_offline(Path::new(drive))),
            Self::Dump { path, volume } => Some(drive_inspect::dump(path, *volume)),
            _ => None,
        }
    }
}

pub(crate) async fn run(client: &mut Client, command: DriveCommand) -> Result<Report, CliError> {
    match command {
        DriveCommand::List => list(client).await,
        DriveCommand::Add { drive, format, node } => add(client, drive, format, node).await,
        DriveCommand::Grow { drive, size } => grow(client, &drive, size).await,
        DriveCommand::Remove { drive } => remove(client, &drive).await,
        DriveCommand::Check { drive, .. } => drive_inspect::check_live(client, &drive).await,
        DriveCommand::Dump { path, volume } => drive_inspect::dump(&path, volume),
    }
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/basalt/v1/drives").await?;
    let drives: Vec<Drive> = client.parse(json.clone())?;
    let mut text = drive_table(&drives);
    for (drive, reason) in drives.iter().filter_map(|drive| Some((drive, drive.reason.as_ref()?))) {
        text += &format!("\n{} is {}: {reason}\n", drive.name, drive.state);
    }
    Ok(Report::new(text, json))
}

async fn add(
    client: &mut Client,
    drive: DriveFlag,
    format: bool,
    node: Option<String>,
) -> Result<Report, CliError> {
    if drive.lossy {
        return Err(CliError::Usage("`lossy` is for tests: only `basalt serve --drive` takes it".to_owned()));
    }
    let mut body = json!({
        "sizeBytes": drive.size.map(|size| size.0),
        "writeThrough": drive.write_through,
        "tornPolicy": drive.torn.map(|torn| match torn {
            TornPolicy::Assume4kAtomic => "assume-4k-atomic",
            TornPolicy::TornSafe => "torn-safe",
        }),
        "format": format,
        "node": node,
    });
    match &drive.medium {
        DriveMedium::Path(path) => {
            // Of this directory, not of the server's.
            let path = std::path::absolute(path)
                .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?;
            body["path"] = json!(path);
        }
        DriveMedium::Memory(name) => body["memory"] = json!(name),
    }
    let json = client.call(Method::POST, "/basalt/v1/drives", Some(body)).await?;
    let drive: Drive = client.parse(json.clone())?;
    let text = format!(
        "added drive {} with {} for volumes, {}",
        drive.name,
        ByteSize(drive.capacity_bytes),
        drive.id
    );
    Ok(Report::new(text, json))
}

async fn grow(client: &mut Client, text: &str, size: Option<ByteSize>) -> Result<Report, CliError> {
    let before = resolve::drive(client, text).await?;
    let path = format!("/basalt/v1/drives/{}:grow", before.id);
    let body = json!({ "sizeBytes": size.map(|size| size.0) });
    let json = client.call(Method::POST, &path, Some(body)).await?;
    let drive: Drive = client.parse(json.clone())?;
    let (name, size, room) = (&drive.name, ByteSize(drive.size_bytes), ByteSize(drive.capacity_bytes));
    let text = if drive.size_bytes == before.size_bytes {
        format!("{name} has {size} as before: no more was found there; name a size to extend a file")
    } else {
        format!("{name} has {size} now, {room} of them for volumes")
    };
    Ok(Report::new(text, json))
}

async fn remove(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let drive = resolve::drive(client, text).await?;
    let mut json = client.call(Method::DELETE, &format!("/basalt/v1/drives/{}", drive.id), None).await?;
    if json.get("removed").is_none() {
        wait_until_empty(client, &drive.id).await?;
        json = json!({ "removed": drive.id });
    }
    let text = format!(
        "removed drive {}; what is there stays. A `--drive` that names it would bring it back",
        drive.name
    );
    Ok(Report::new(text, json))
}

/// Shows how far the drive's volumes have moved, until it is gone.
async fn wait_until_empty(client: &mut Client, id: &str) -> Result<(), CliError> {
    let mut shown = None;
    loop {
        let drives: Vec<Drive> = client.get("/basalt/v1/drives").await?;
        let Some(drive) = drives.into_iter().find(|drive| drive.id == id) else { return Ok(()) };
        if let Some(Evacuation { moved_bytes, total_bytes, failure }) = drive.evacuation {
            if let Some(reason) = failure {
                return Err(CliError::Evacuation { name: drive.name, reason });
            }
            // To where progress goes: standard output is for the outcome.
            let percent = moved_bytes * 100 / total_bytes.max(1);
            if shown.replace(percent) != Some(percent) {
                eprintln!("{} of {} moved ({percent} %)", ByteSize(moved_bytes), ByteSize(total_bytes));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

const LOOK: Duration = Duration::from_millis(500);

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
