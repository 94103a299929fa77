//! `basalt volume …`

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::{Client, encode},
    error::CliError,
    model::{Location, Snapshot, SubVolume, Target, Volume},
    replica::CopyArguments,
    report::{Report, table},
    resolve,
    volume_arguments::{VolumeArguments, whole_gib},
    volume_path::{self, StateArgument},
};
use crate::size::ByteSize;

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Create a volume; thin unless --thick
    Create(Box<CreateArguments>),
    /// List volumes
    List,
    /// Show one volume and the hosts it is published to
    Show {
        /// Name, UUID or the beginning of a UUID
        volume: String,
    },
    /// Make a volume larger; connected hosts see it at once
    Expand {
        /// Name, UUID or the beginning of a UUID
        volume: String,
        /// The new size, in whole GiB, as in 20G
        size: ByteSize,
    },
    /// Show whether hosts use a volume through this node, or take it out of use for maintenance
    Path {
        /// Name, UUID or the beginning of a UUID
        volume: String,
        /// The state that hosts shall see, until it is set again or the server restarts
        #[arg(long)]
        state: Option<StateArgument>,
        /// Of a volume of several copies: UUID of the copy, its beginning, or its node's ID
        #[arg(long, requires = "state")]
        copy: Option<String>,
    },
    /// Ask a volume's host to move one of its copies to another node
    Migrate {
        #[command(flatten)]
        copy: CopyArguments,
    },
    /// Delete a volume and everything on it
    Delete {
        /// Name, UUID or the beginning of a UUID
        volume: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArguments {
    /// A name that no other volume has
    name: String,
    #[command(flatten)]
    volume: VolumeArguments,
    /// The UUID it shall have [default: a random one]
    #[arg(long)]
    uuid: Option<uuid::Uuid>,
}

pub(crate) async fn run(client: &mut Client, command: VolumeCommand) -> Result<Report, CliError> {
    match command {
        VolumeCommand::Create(arguments) => create(client, *arguments).await,
        VolumeCommand::List => list(client).await,
        VolumeCommand::Show { volume } => show(client, &volume).await,
        VolumeCommand::Expand { volume, size } => expand(client, &volume, size).await,
        VolumeCommand::Path { volume, state, copy } => {
            volume_path::run(client, &volume, state, copy.as_deref()).await
        }
        VolumeCommand::Migrate { copy } => migrate(client, copy).await,
        VolumeCommand::Delete { volume } => delete(client, &volume).await,
    }
}

async fn create(client: &mut Client, arguments: CreateArguments) -> Result<Report, CliError> {
    // Made here, so that the volume is known by it whatever becomes of the answer.
    let uuid = arguments.uuid.unwrap_or_else(uuid::Uuid::new_v4).to_string();
    let mut body = arguments.volume.body()?;
    body["alias"] = arguments.name.into();
    body["uuid"] = uuid.clone().into();
    client.call(Method::POST, "/volumes", Some(body)).await?;
    let (volume, json) = read(client, &uuid).await?;
    let kind = if arguments.volume.thick { "thick" } else { "thin" };
    let text = format!(
        "created {kind} volume {} of {}, {uuid}\nnext: basalt publish {} HOST",
        volume.alias,
        ByteSize(volume.capacity),
        volume.alias
    );
    Ok(Report::new(text, json))
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/volumes").await?;
    let volumes: Vec<Volume> = client.parse(json.clone())?;
    if volumes.is_empty() {
        return Ok(Report::new("no volumes yet; make one: basalt volume create NAME SIZE", json));
    }
    let rows = volumes.iter().map(|volume| {
        [
            volume.alias.clone(),
            ByteSize(volume.capacity).to_string(),
            volume.used_bytes.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string()),
            volume.provisioning_type.to_lowercase(),
            volume.block_size.clone(),
            if volume.in_use { "yes" } else { "no" }.to_owned(),
            state(volume),
            volume.uuid.clone(),
        ]
    });
    let header = ["NAME", "SIZE", "USED", "TYPE", "BLOCK", "PUBLISHED", "STATE", "UUID"];
    Ok(Report::new(table(header, rows), json))
}

async fn show(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let uuid = resolve::volume(client, text).await?.uuid;
    let (volume, mut json) = read(client, &uuid).await?;
    let (targets, hosts) = hosts(client, &uuid).await?;
    json["targets"] = targets;
    let snapshots = snapshots(client, &uuid).await?;
    let size = |bytes: u64| format!("{} ({bytes} bytes)", ByteSize(bytes));
    let all = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let mut lines = vec![
        ("name", volume.alias.clone()),
        ("uuid", volume.uuid.clone()),
        ("size", size(volume.capacity)),
        ("type", volume.provisioning_type.to_lowercase()),
        ("block size", volume.block_size.clone()),
        ("state", state(&volume)),
        ("hosts", all(&hosts)),
        ("snapshots", all(&snapshots)),
        ("drives", drives(client, &uuid).await?),
    ];
    if volume.location.len() > 1 {
        lines.extend(volume.location.iter().map(|location| ("copy", copy(location))));
    }
    lines.extend(volume_path::remark(client, &uuid).await?.map(|state| ("path", state)));
    lines.extend(volume.trouble.map(|trouble| ("trouble", trouble)));
    lines.extend(volume.snapshot_id.map(|snapshot| ("shows", format!("snapshot {snapshot}"))));
    if !volume.writable {
        lines.push(("writable", "no".to_owned()));
    }
    let space =
        [("used", volume.used_bytes), ("shared", volume.shared_bytes), ("reserved", volume.reserved_space)];
    lines.extend(space.into_iter().filter_map(|(name, bytes)| Some((name, size(bytes?)))));
    let text: String = lines.iter().map(|(name, value)| format!("{name:<10}  {value}\n")).collect();
    Ok(Report::new(text, json))
}

/// A copy of several: which it is, where it lies and how it is.
pub(super) fn copy(location: &Location) -> String {
    let Location { uuid, backend, replica_state, in_use, .. } = location;
    let exported = if *in_use { ", exported" } else { "" };
    let backend = if backend.persistent_id.is_empty() { "a removed node" } else { &backend.persistent_id };
    format!("{uuid} on {backend}, {replica_state}{exported}")
}

/// Where it lies, and how much of it on each drive if there are several.
async fn drives(client: &mut Client, uuid: &str) -> Result<String, CliError> {
    let extended: Vec<Volume> = client.get(&format!("/volume_extended/{}", encode(uuid))).await?;
    let locations = extended.into_iter().flat_map(|volume| volume.location);
    let parts: Vec<_> = locations.flat_map(|location| location.sub_volumes).collect();
    Ok(match parts.as_slice() {
        [] => "none".to_owned(),
        [whole] => whole.ssd_name.clone(),
        parts => {
            let part = |part: &SubVolume| format!("{} on {}", ByteSize(part.capacity), part.ssd_name);
            parts.iter().map(part).collect::<Vec<_>>().join(", ")
        }
    })
}

/// The targets that export it, as they came, and the names of their hosts.
async fn hosts(client: &mut Client, uuid: &str) -> Result<(Value, Vec<String>), CliError> {
    let json: Value = client.get(&format!("/targets?volId={}", encode(uuid))).await?;
    let targets: Vec<Target> = client.parse(json.clone())?;
    Ok((json, targets.into_iter().map(|target| target.host_target_connected_to).collect()))
}

/// Names of the volume's snapshots, in order.
async fn snapshots(client: &mut Client, uuid: &str) -> Result<Vec<String>, CliError> {
    let path = format!("/snapshots_by_vol/{}?uniqueBytes=false", encode(uuid));
    let snapshots: Vec<Snapshot> = client.get(&path).await?;
    let mut names: Vec<String> = snapshots.into_iter().map(|snapshot| snapshot.alias).collect();
    names.sort_unstable();
    Ok(names)
}

async fn expand(client: &mut Client, text: &str, size: ByteSize) -> Result<Report, CliError> {
    let gib = whole_gib(size)?;
    let uuid = resolve::volume(client, text).await?.uuid;
    client.call(Method::PATCH, &format!("/volumes/{uuid}"), Some(json!({ "newCapacity": gib }))).await?;
    let (volume, json) = read(client, &uuid).await?;
    let text = format!("{} has {} now", volume.alias, ByteSize(volume.capacity));
    Ok(Report::new(text, json))
}

async fn migrate(client: &mut Client, copy: CopyArguments) -> Result<Report, CliError> {
    let (volume, copy) = copy.find(client).await?;
    let body = json!({ "volId": volume.uuid, "repId": copy.uuid });
    client.call(Method::POST, "/migrate_volume", Some(body)).await?;
    let text = format!(
        "the agent of {}'s host is asked to move copy {} elsewhere\nnext: basalt task list",
        volume.alias, copy.uuid
    );
    Ok(Report::new(text, json!({ "volume": volume.uuid, "replica": copy.uuid })))
}

async fn delete(client: &mut Client, text: &str) -> Result<Report, CliError> {
    let volume = resolve::volume(client, text).await?;
    match client.call(Method::DELETE, &format!("/volumes/{}", volume.uuid), None).await {
        Err(CliError::Refused { code, .. }) if code == "VolumeIsInUse" => {
            return Err(CliError::Refused { code, message: in_use(client, &volume).await? });
        }
        done => done?,
    };
    let json = json!({ "deleted": volume.uuid, "alias": volume.alias });
    Ok(Report::new(format!("deleted volume {}, {}", volume.alias, volume.uuid), json))
}

/// What stands against a deletion, and what to do.
async fn in_use(client: &mut Client, volume: &Volume) -> Result<String, CliError> {
    let (_, hosts) = hosts(client, &volume.uuid).await?;
    let snapshots = snapshots(client, &volume.uuid).await?;
    let mut text = format!("{} cannot be deleted:", volume.alias);
    if !hosts.is_empty() {
        let step = format!("basalt unpublish {} --all", volume.alias);
        text += &format!("\n  it is published to {}; take it back: {step}", hosts.join(", "));
    }
    if !snapshots.is_empty() {
        let step = format!("basalt snapshot delete {}@NAME", volume.alias);
        text += &format!("\n  it has snapshots: {}; delete them first: {step}", snapshots.join(", "));
    }
    Ok(text)
}

/// The volume as the server has it, as a value and as it came.
pub(super) async fn read(client: &mut Client, uuid: &str) -> Result<(Volume, Value), CliError> {
    let list: Value = client.get(&format!("/volumes/{uuid}")).await?;
    let json = list.get(0).cloned().ok_or_else(|| CliError::NotFound {
        what: "volume",
        name: uuid.to_owned(),
        hint: " any more".to_owned(),
    })?;
    Ok((client.parse(json.clone())?, json))
}

/// The first state that is not good, of all copies; most volumes have one.
fn state(volume: &Volume) -> String {
    let is_good = |state: &&String| matches!(state.as_str(), "Available" | "Unknown");
    let states = || volume.location.iter().map(|location| &location.replica_state);
    let state = states().find(|state| !is_good(state)).or_else(|| states().next());
    state.cloned().unwrap_or_else(|| "Missing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_words() {
        let copy_of = |backend: &str, exported: bool| {
            let json = json!({"uuid": "u", "replicaState": "Missing", "inUse": exported,
                "backend": {"persistentID": backend}});
            copy(&serde_json::from_value(json).unwrap())
        };
        assert_eq!(copy_of("02:00:00:00:00:01", true), "u on 02:00:00:00:00:01, Missing, exported");
        assert_eq!(copy_of("", false), "u on a removed node, Missing");
    }
}
