//! `basalt snapshot …`

use std::collections::HashMap;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::Client,
    error::CliError,
    model::{Snapshot, SnapshotGroup, Volume},
    report::{Report, table},
    resolve,
    timestamp::utc,
    volume::read,
    volume_arguments::whole_gib,
};
use crate::size::ByteSize;

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a snapshot of a volume, or of several at one instant
    #[command(allow_missing_positional = true)]
    Create(CreateArguments),
    /// List snapshots
    List {
        /// Only those of this volume
        #[arg(long)]
        volume: Option<String>,
    },
    /// Delete a snapshot; its volume keeps what it holds
    Delete {
        /// Name, VOLUME@NAME, UUID or the beginning of a UUID
        snapshot: String,
        /// Even if volumes show it: they live on as clones
        #[arg(long)]
        force: bool,
    },
    /// Make an independent volume of what another one holds now
    Clone {
        /// Name, UUID or the beginning of a UUID of the source
        volume: String,
        /// A name that no other volume has
        name: String,
        /// Its size, if it shall be larger than the source; whole GiB, as in 20G
        #[arg(long)]
        size: Option<ByteSize>,
        /// Reserve this percentage [default: 10, and at least the server's floor]
        #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
        reserve: Option<u8>,
    },
    /// Make a volume that shows a snapshot; read-only unless --writable
    Volume {
        /// Name, VOLUME@NAME, UUID or the beginning of a UUID
        snapshot: String,
        /// A name that no other volume has
        name: String,
        /// Let hosts write to it; the snapshot stays as it is
        #[arg(long)]
        writable: bool,
        /// Reserve this percentage for what is written [default: 10, and at least the server's floor]
        #[arg(
            long, value_name = "PERCENT", requires = "writable",
            value_parser = clap::value_parser!(u8).range(1..=100)
        )]
        reserve: Option<u8>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArguments {
    /// Name, UUID or the beginning of a UUID
    #[arg(required_unless_present = "volumes", conflicts_with = "volumes")]
    volume: Option<String>,
    /// A name for the snapshot
    name: String,
    /// Several volumes, all at one instant: VOLUME,VOLUME,…
    #[arg(long, value_name = "VOLUMES", value_delimiter = ',')]
    volumes: Vec<String>,
    /// Count this percentage against the tenant [default: 10, and at least the server's floor]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    reserve: Option<u8>,
}

pub(crate) async fn run(client: &mut Client, command: SnapshotCommand) -> Result<Report, CliError> {
    match command {
        SnapshotCommand::Create(arguments) => match &arguments.volume {
            Some(volume) => create(client, volume, &arguments).await,
            None => create_group(client, &arguments).await,
        },
        SnapshotCommand::List { volume } => list(client, volume.as_deref()).await,
        SnapshotCommand::Delete { snapshot, force } => delete(client, &snapshot, force).await,
        SnapshotCommand::Clone { volume, name, size, reserve } => {
            clone(client, &volume, &name, size, reserve).await
        }
        SnapshotCommand::Volume { snapshot, name, writable, reserve } => {
            show(client, &snapshot, &name, writable, reserve).await
        }
    }
}

async fn create(client: &mut Client, volume: &str, arguments: &CreateArguments) -> Result<Report, CliError> {
    let volume = resolve::volume(client, volume).await?;
    // Made here, so that the snapshot is known by it whatever becomes of the answer.
    let uuid = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "alias": arguments.name,
        "volumeID": volume.uuid,
        "snapshotID": uuid,
        "reservedSpacePercentage": arguments.reserve.unwrap_or(0),
    });
    client.call(Method::POST, "/snapshots", Some(body)).await?;
    let json: Value = client.get(&format!("/snapshots/{uuid}")).await?;
    let text = format!(
        "took snapshot {} of {}, {uuid}\nnext: basalt snapshot volume {} NAME",
        arguments.name,
        volume.alias,
        qualified(&volume.alias, &arguments.name)
    );
    Ok(Report::new(text, json[0].clone()))
}

async fn create_group(client: &mut Client, arguments: &CreateArguments) -> Result<Report, CliError> {
    let mut volumes: Vec<Volume> = Vec::new();
    for text in &arguments.volumes {
        volumes.push(resolve::volume(client, text).await?);
    }
    let body = json!({
        "alias": arguments.name,
        "volumes": volumes.iter().map(|volume| &volume.uuid).collect::<Vec<_>>(),
        "reservedSpacePercentage": arguments.reserve.unwrap_or(0),
        "tenantId": client.tenant(),
    });
    let json = client.call(Method::POST, "/basalt/v1/snapshot-groups", Some(body)).await?;
    let SnapshotGroup { snapshots } = client.parse(json.clone())?;
    // They come in the order of the request.
    let lines = volumes.iter().zip(&snapshots).map(|(volume, taken)| {
        format!("took snapshot {} of {}, {}\n", arguments.name, volume.alias, taken.snapshot_id)
    });
    Ok(Report::new(lines.collect::<String>(), json))
}

async fn list(client: &mut Client, volume: Option<&str>) -> Result<Report, CliError> {
    let volumes: Vec<Volume> = client.get("/volumes").await?;
    let path = match volume {
        Some(text) => format!("/snapshots_by_vol/{}", resolve::volume(client, text).await?.uuid),
        None => "/snapshots".to_owned(),
    };
    let json: Value = client.get(&path).await?;
    let mut snapshots: Vec<Snapshot> = client.parse(json.clone())?;
    if snapshots.is_empty() {
        return Ok(Report::new("no snapshots yet; take one: basalt snapshot create VOLUME NAME", json));
    }
    snapshots.sort_by_key(|snapshot| snapshot.timestamp);
    let names: HashMap<&str, &str> =
        volumes.iter().map(|volume| (volume.uuid.as_str(), volume.alias.as_str())).collect();
    let rows = snapshots.iter().map(|snapshot| {
        [
            snapshot.alias.clone(),
            names.get(snapshot.volume_id.as_str()).map_or("-", |name| *name).to_owned(),
            ByteSize(snapshot.capacity).to_string(),
            snapshot.unique_bytes.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string()),
            utc(snapshot.timestamp),
            snapshot.uuid.clone(),
        ]
    });
    Ok(Report::new(table(["NAME", "VOLUME", "SIZE", "FREED IF DELETED", "TAKEN (UTC)", "UUID"], rows), json))
}

async fn delete(client: &mut Client, text: &str, force: bool) -> Result<Report, CliError> {
    let snapshot = resolve::snapshot(client, text).await?;
    let path = format!("/snapshots/{}?force={force}", snapshot.uuid);
    match client.call(Method::DELETE, &path, None).await {
        Err(CliError::Refused { code, .. }) if code == "VolumeIsInUse" => {
            return Err(CliError::Refused { code, message: in_use(client, &snapshot).await? });
        }
        done => done?,
    };
    let json = json!({ "deleted": snapshot.uuid, "alias": snapshot.alias });
    Ok(Report::new(format!("deleted snapshot {}, {}", snapshot.alias, snapshot.uuid), json))
}

/// Which volumes stand against a deletion, and what to do.
async fn in_use(client: &mut Client, snapshot: &Snapshot) -> Result<String, CliError> {
    let volumes: Vec<Volume> = client.get("/volumes").await?;
    let shows = volumes.iter().filter(|volume| volume.snapshot_id.as_ref() == Some(&snapshot.uuid));
    let mut names: Vec<&str> = shows.map(|volume| volume.alias.as_str()).collect();
    names.sort_unstable();
    Ok(format!(
        "{} is shown by {}. Delete them first (basalt volume delete NAME), or let them live on as clones with \
         --force",
        snapshot.alias,
        names.join(", ")
    ))
}

async fn clone(
    client: &mut Client,
    volume: &str,
    name: &str,
    size: Option<ByteSize>,
    reserve: Option<u8>,
) -> Result<Report, CliError> {
    let capacity = size.map(whole_gib).transpose()?;
    let source = clone_source(client, volume).await?;
    let uuid = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "alias": name,
        "sourceVolumeId": source.uuid,
        "volumeId": uuid,
        "capacity": capacity,
        "reservedSpacePercentage": reserve.unwrap_or(0),
    });
    client.call(Method::POST, "/clone_volume", Some(body)).await?;
    made(client, &uuid, &format!("a clone of {}", source.alias)).await
}

/// The volume to clone. Who names a snapshot is told how a volume is made of one.
async fn clone_source(client: &mut Client, text: &str) -> Result<Volume, CliError> {
    let missing = match resolve::volume(client, text).await {
        Err(CliError::NotFound { what, name, hint }) => (what, name, hint),
        other => return other,
    };
    let (what, name, hint) = match resolve::snapshot(client, text).await {
        Err(CliError::NotFound { .. }) => missing,
        _ => {
            let step = format!("basalt snapshot volume {text} NAME --writable");
            (missing.0, missing.1, format!(", but a snapshot; make a volume of that: {step}"))
        }
    };
    Err(CliError::NotFound { what, name, hint })
}

async fn show(
    client: &mut Client,
    snapshot: &str,
    name: &str,
    writable: bool,
    reserve: Option<u8>,
) -> Result<Report, CliError> {
    let snapshot = resolve::snapshot(client, snapshot).await?;
    let uuid = uuid::Uuid::new_v4().to_string();
    let body = json!({
        "alias": name,
        "snapshotID": snapshot.uuid,
        "volumeID": uuid,
        "writable": writable,
        "reservedSpacePercentage": reserve.unwrap_or(0),
    });
    client.call(Method::POST, "/snapshot_volumes", Some(body)).await?;
    let kind = if writable { "writable, showing" } else { "read-only, showing" };
    made(client, &uuid, &format!("{kind} snapshot {}", snapshot.alias)).await
}

async fn made(client: &mut Client, uuid: &str, what: &str) -> Result<Report, CliError> {
    let (volume, json) = read(client, uuid).await?;
    let text = format!(
        "created volume {} of {}, {what}, {uuid}\nnext: basalt publish {} HOST",
        volume.alias,
        ByteSize(volume.capacity),
        volume.alias
    );
    Ok(Report::new(text, json))
}

/// Names of snapshots are unique in no way; with the volume's it is clear which one is meant.
fn qualified(volume: &str, snapshot: &str) -> String {
    format!("{volume}@{snapshot}")
}
