//! `basalt node …`

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    client::Client,
    error::CliError,
    report::{Report, table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List storage nodes
    List,
    /// Print an invite, with which one node can join within a day:
    /// basalt serve --role node --provisioner URL --invite INVITE
    Invite,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(rename = "persistentID")]
    persistent_id: String,
    name: String,
    address: Option<String>,
    available: bool,
    in_use: bool,
    zone: Option<String>,
    rack: Option<String>,
}

pub(crate) async fn run(client: &mut Client, command: NodeCommand) -> Result<Report, CliError> {
    match command {
        NodeCommand::List => {
            let json: Value = client.get("/basalt/v1/nodes").await?;
            let nodes: Vec<Node> = client.parse(json.clone())?;
            let rows = nodes.into_iter().map(|node| {
                let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
                let state = if node.available { "Available" } else { "Unavailable" };
                let place = if node.in_use { "yes" } else { "no" };
                [
                    node.name,
                    state.to_owned(),
                    place.to_owned(),
                    or_dash(node.zone),
                    or_dash(node.rack),
                    node.address.unwrap_or_else(|| "in the server".to_owned()),
                    node.persistent_id,
                ]
            });
            let head = ["NODE", "STATE", "TAKES VOLUMES", "ZONE", "RACK", "ADDRESS", "ID"];
            Ok(Report::new(table(head, rows), json))
        }
        NodeCommand::Invite => {
            let json = client.call(Method::POST, "/basalt/v1/invites", None).await?;
            let text = json["invite"].as_str().unwrap_or_default().to_owned();
            Ok(Report::new(text, json))
        }
    }
}
