//! `basalt node …`

use clap::Subcommand;
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{
    client::Client,
    error::CliError,
    model::StorageNode,
    node_drain,
    report::{Report, table},
    resolve,
};

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List storage nodes
    List,
    /// Print an invite, with which one node can join within a day:
    /// basalt serve --role node --provisioner URL --invite INVITE
    Invite,
    /// Say where a node stands; "" clears
    Set {
        /// Name, ID or the beginning of an ID
        node: String,
        #[arg(long)]
        zone: Option<String>,
        #[arg(long)]
        rack: Option<String>,
        #[arg(long)]
        region: Option<String>,
        /// Id of the host that this machine is, too
        #[arg(long)]
        host_id: Option<String>,
        /// Whether new volumes may be placed there
        #[arg(long, value_name = "BOOL")]
        takes_volumes: Option<bool>,
    },
    /// Place no new volumes on a node, and list what is left there with how to get it away;
    /// `basalt node set NODE --takes-volumes true` takes it back
    Drain {
        /// Name, ID or the beginning of an ID
        node: String,
        /// Ask the hosts' agents to move the copies that can be moved
        #[arg(long)]
        migrate: bool,
    },
    /// Let go of a node without volumes
    Remove {
        /// Name, ID or the beginning of an ID
        node: String,
        /// Also one with volumes, if it does not answer: what has no other copy is lost
        #[arg(long)]
        force: bool,
    },
}

pub(crate) async fn run(client: &mut Client, command: NodeCommand) -> Result<Report, CliError> {
    match command {
        NodeCommand::List => list(client).await,
        NodeCommand::Invite => {
            let json = client.call(Method::POST, "/basalt/v1/invites", None).await?;
            let text = json["invite"].as_str().unwrap_or_default().to_owned();
            Ok(Report::new(text, json))
        }
        NodeCommand::Set { node, zone, rack, region, host_id, takes_volumes } => {
            let node = resolve::node(client, &node).await?;
            let given = [("zone", zone), ("rack", rack), ("region", region), ("hostId", host_id)];
            let given = given.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text?))));
            let mut body: Map<String, Value> = given.collect();
            body.extend(takes_volumes.map(|takes| ("inUse".to_owned(), json!(takes))));
            if body.is_empty() {
                return Err(CliError::Usage("say what shall be set: --zone, --rack, …".to_owned()));
            }
            let json = client.call(Method::PUT, &path(&node), Some(body.into())).await?;
            Ok(Report::new(format!("set node {}", node.name), json))
        }
        NodeCommand::Drain { node, migrate } => {
            let node = resolve::node(client, &node).await?;
            node_drain::run(client, &node, migrate).await
        }
        NodeCommand::Remove { node, force } => {
            let node = resolve::node(client, &node).await?;
            let path = format!("{}?force={force}", path(&node));
            let json = client.call(Method::DELETE, &path, None).await?;
            Ok(Report::new(format!("removed node {}", node.name), json))
        }
    }
}

fn path(node: &StorageNode) -> String {
    format!("/backends/{}", node.persistent_id)
}

async fn list(client: &mut Client) -> Result<Report, CliError> {
    let json: Value = client.get("/basalt/v1/nodes").await?;
    let nodes: Vec<StorageNode> = client.parse(json.clone())?;
    let rows = nodes.into_iter().map(|node| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let state = if node.available { "Available" } else { "Unavailable" };
        let place = match (node.directed, node.in_use) {
            (false, _) => "no: another make",
            (true, true) => "yes",
            (true, false) => "no",
        };
        [
            node.name,
            state.to_owned(),
            place.to_owned(),
            or_dash(node.zone),
            or_dash(node.rack),
            or_dash(node.region),
            node.address.unwrap_or_else(|| "in the server".to_owned()),
            node.persistent_id,
        ]
    });
    let head = ["NODE", "STATE", "TAKES VOLUMES", "ZONE", "RACK", "REGION", "ADDRESS", "ID"];
    Ok(Report::new(table(head, rows), json))
}
