//! `basalt inventory …`

use clap::Subcommand;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    client::Client,
    error::CliError,
    report::{Report, table},
    timestamp::utc,
};

#[derive(Debug, Subcommand)]
pub(crate) enum InventoryCommand {
    /// Which storage nodes there were when, and what changed
    List,
    /// Forget what was; the next look begins anew
    Reset,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    inventory_samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    timestamp: u64,
    changes: Vec<Change>,
}

#[derive(Debug, Deserialize)]
struct Change {
    change: String,
    tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    name: String,
    value: Value,
}

impl Change {
    fn tag(&self, name: &str) -> String {
        match self.tags.iter().find(|tag| tag.name == name).map(|tag| &tag.value) {
            None => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

pub(crate) async fn run(client: &mut Client, command: InventoryCommand) -> Result<Report, CliError> {
    match command {
        InventoryCommand::List => {
            let json: Value = client.get("/inventory").await?;
            let inventory = client.parse(json.clone())?;
            Ok(Report::new(lines(&inventory), json))
        }
        InventoryCommand::Reset => {
            let json = client.call(Method::DELETE, "/reset_inventory", None).await?;
            Ok(Report::new("the inventory begins anew", json))
        }
    }
}

/// One line for each change, the oldest first.
fn lines(inventory: &Inventory) -> String {
    let changes = inventory.inventory_samples.iter().flat_map(|sample| {
        sample.changes.iter().map(|change| {
            let state = change.tag("state").to_lowercase();
            let (id, version, drives) = (change.tag("id"), change.tag("version"), change.tag("numSSDs"));
            [utc(sample.timestamp), change.change.to_lowercase(), id, state, version, drives]
        })
    });
    table(["TIME (UTC)", "CHANGE", "NODE", "STATE", "VERSION", "DRIVES"], changes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_change() {
        let tags = json!([{"name": "id", "value": "02:02"}, {"name": "version", "value": "1.0"},
            {"name": "state", "value": "AVAILABLE"}, {"name": "numSSDs", "value": 2}]);
        let inventory = json!({"inventorySamples": [
            {"timestamp": 0, "backends": [], "changes": [{"change": "NEW", "tags": tags}]}]});
        let expected = "TIME (UTC)           CHANGE  NODE   STATE      VERSION  DRIVES\n\
            1970-01-01 00:00:00  new     02:02  available  1.0      2\n";
        assert_eq!(lines(&serde_json::from_value(inventory).unwrap()), expected);
    }
}
