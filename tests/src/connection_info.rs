//! What Cinder's driver hands to a compute host about a published volume. The host has nothing else to go by.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use uuid::Uuid;

use crate::{api::Api, initiator::Identity};

/// Made of the same answers as the driver makes it of (`initialize_connection`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// What the host calls the array of several copies.
    pub alias: String,
    /// One for each copy.
    pub replicas: Vec<Replica>,
}

/// Where the host finds one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The namespace's UUID.
    pub uuid: Uuid,
    pub target_nqn: String,
    pub portals: Vec<Portal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    pub address: String,
    pub port: u16,
}

impl Api {
    /// Of a volume that is published to the host.
    pub fn connection_info(&self, volume: Uuid, host: &Identity) -> Result<ConnectionInfo> {
        let record = self.volume(volume)?;
        let targets = self.get(&format!("/targets?hostId={}&volId={volume}", host.id))?;
        let targets = list(&targets)?;
        ensure!(!targets.is_empty(), "{volume} has no targets");
        let replicas = targets.iter().map(|target| self.replica(&record, target)).collect::<Result<_>>()?;
        Ok(ConnectionInfo { alias: text(&record["alias"])?.to_owned(), replicas })
    }

    fn replica(&self, volume: &Value, target: &Value) -> Result<Replica> {
        let id = text(&target["backend"]["persistentID"])?;
        let backends = self.get(&format!("/backends/{id}"))?;
        let portals = list(&backends[0]["portals"])?.iter().map(portal).collect::<Result<_>>()?;
        let location = list(&volume["location"])?
            .iter()
            .find(|location| location["backend"]["persistentID"] == id)
            .with_context(|| format!("no copy on {id} in {volume}"))?;
        Ok(Replica {
            uuid: text(&location["uuid"])?.parse()?,
            target_nqn: text(&target["targetName"])?.to_owned(),
            portals,
        })
    }
}

fn portal(record: &Value) -> Result<Portal> {
    ensure!(record["transport"] == "TCP_IP", "a host would not use TCP for {record}");
    let port = record["port"].as_u64().with_context(|| format!("no port in {record}"))?;
    Ok(Portal { address: text(&record["ip"])?.to_owned(), port: u16::try_from(port)? })
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("{value} is no list"))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is no text"))
}
