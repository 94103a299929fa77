//! `basalt replica …`: the copies of a volume that its host mirrors, one by one.

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    client::Client,
    error::CliError,
    model::{Location, Volume},
    report::Report,
    resolve, volume,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicaCommand {
    /// Make one more copy; publish the volume again to give it to its host
    Add(AddArguments),
    /// Take a copy away in two steps: mark it, let its host drop it, then --finish
    Remove {
        #[command(flatten)]
        copy: CopyArguments,
        /// Delete the copy, which is marked and which its host has dropped
        #[arg(long)]
        finish: bool,
    },
    /// Say of a copy what its host's agent would say
    Set {
        #[command(flatten)]
        copy: CopyArguments,
        state: StateArgument,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct AddArguments {
    /// Name, UUID or the beginning of a UUID
    volume: String,
    /// It may be in the rack of another copy
    #[arg(long)]
    same_rack: bool,
    /// Only in these racks [default: as the volume was made]
    #[arg(long, value_name = "RACKS", value_delimiter = ',')]
    racks: Vec<String>,
    /// Only in these zones [default: as the volume was made]
    #[arg(long, value_name = "ZONES", value_delimiter = ',')]
    zones: Vec<String>,
    /// Only in these regions [default: as the volume was made]
    #[arg(long, value_name = "REGIONS", value_delimiter = ',')]
    regions: Vec<String>,
}

/// One copy of a volume.
#[derive(Debug, clap::Args)]
pub(crate) struct CopyArguments {
    /// Name, UUID or the beginning of a UUID
    volume: String,
    /// UUID of the copy or its beginning, as `basalt volume show` tells it
    copy: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArgument {
    Available,
    Missing,
    Synchronizing,
}

impl CopyArguments {
    /// The volume and its copy.
    pub(super) async fn find(&self, client: &mut Client) -> Result<(Volume, Location), CliError> {
        let volume = resolve::volume(client, &self.volume).await?;
        let copy = resolve::copy(&volume, &self.copy)?;
        Ok((volume, copy))
    }
}

pub(super) fn path(volume: &Volume, copy: &Location) -> String {
    format!("/replica/{}/{}", volume.uuid, copy.uuid)
}

pub(crate) async fn run(client: &mut Client, command: ReplicaCommand) -> Result<Report, CliError> {
    match command {
        ReplicaCommand::Add(arguments) => add(client, arguments).await,
        ReplicaCommand::Remove { copy, finish } => remove(client, copy, finish).await,
        ReplicaCommand::Set { copy, state } => set(client, copy, state).await,
    }
}

async fn add(client: &mut Client, arguments: AddArguments) -> Result<Report, CliError> {
    let before = resolve::volume(client, &arguments.volume).await?;
    let body = json!({
        "sameRackAllowed": arguments.same_rack,
        "racks": arguments.racks,
        "zones": arguments.zones,
        "regions": arguments.regions,
    });
    client.call(Method::POST, &format!("/replica/{}", before.uuid), Some(body)).await?;
    let (volume, json) = volume::read(client, &before.uuid).await?;
    let is_new = |copy: &&Location| before.location.iter().all(|old| old.uuid != copy.uuid);
    let made: Vec<String> = volume.location.iter().filter(is_new).map(volume::copy).collect();
    let text = format!(
        "{} has {} copies now; new: {}\nnext: basalt publish {} HOST, again",
        volume.alias,
        volume.location.len(),
        made.join(", "),
        volume.alias
    );
    Ok(Report::new(text, json))
}

async fn remove(client: &mut Client, copy: CopyArguments, finish: bool) -> Result<Report, CliError> {
    let (volume, copy) = copy.find(client).await?;
    let method = if finish { Method::DELETE } else { Method::PATCH };
    client.call(method, &path(&volume, &copy), None).await?;
    let (name, uuid) = (&volume.alias, &copy.uuid);
    let text = match finish {
        true => format!("removed copy {uuid} of {name}"),
        false => format!(
            "copy {uuid} of {name} is about to go: let the host drop it from its mirror\n\
             next: basalt replica remove {name} {uuid} --finish"
        ),
    };
    Ok(Report::new(text, outcome(&volume, &copy, if finish { "Removed" } else { "Terminating" })))
}

async fn set(client: &mut Client, copy: CopyArguments, state: StateArgument) -> Result<Report, CliError> {
    let (volume, copy) = copy.find(client).await?;
    client.call(Method::PATCH, &format!("{}/{state:?}", path(&volume, &copy)), None).await?;
    let text = format!("copy {} of {} is {state:?}", copy.uuid, volume.alias);
    Ok(Report::new(text, outcome(&volume, &copy, &format!("{state:?}"))))
}

fn outcome(volume: &Volume, copy: &Location, state: &str) -> Value {
    json!({ "volume": volume.uuid, "replica": copy.uuid, "state": state })
}
