//! `--role`: which parts of a system this process is, and which flags are for which.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::ValueEnum;
use control::{Invite, Join, Location, NodeRole};
use serde::Deserialize;

use super::{flags::ServeFlags, settings::Settings};
use crate::cli::server::{ServerAddress, parse_url};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RoleFlag {
    /// A node and its provisioner in one process; more nodes may join
    Both,
    /// A node of another process' provisioner
    Node,
    /// The provisioner of nodes in other processes
    Provisioner,
}

/// What this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Both,
    Node(NodeSettings),
    Provisioner,
}

/// What a node alone is told besides its data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeSettings {
    listen: SocketAddr,
    join: Option<(ServerAddress, Invite)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoleError {
    #[error("--{0} is for --role node")]
    NodeOnly(&'static str),
    #[error("--{0} is for the provisioner: a node alone has no REST API")]
    NotOfNodes(&'static str),
    #[error("--{0} is for nodes: a provisioner alone stores nothing for hosts")]
    NotOfProvisioners(&'static str),
    #[error("--invite and --provisioner belong together: who has invited this node?")]
    HalfAJoin,
    #[error("--provisioner {0}: write https://ADDRESS:PORT")]
    Provisioner(String),
    #[error("--invite {0}")]
    Invite(#[from] control::NoInvite),
    /// Its text is a secret, so it is not repeated.
    #[error("--invite: it is no invite, and no file that can be read: {0}")]
    InviteFile(String),
}

impl Role {
    pub(crate) fn resolve(flags: &ServeFlags) -> Result<Self, RoleError> {
        let role = flags.role.unwrap_or(RoleFlag::Both);
        match role {
            RoleFlag::Node => refuse(&of_provisioners(flags), RoleError::NotOfNodes)?,
            RoleFlag::Provisioner => refuse(&of_nodes(flags), RoleError::NotOfProvisioners)?,
            RoleFlag::Both => {}
        }
        if role != RoleFlag::Node {
            refuse(&of_nodes_alone(flags), RoleError::NodeOnly)?;
        }
        Ok(match role {
            RoleFlag::Both => Self::Both,
            RoleFlag::Provisioner => Self::Provisioner,
            RoleFlag::Node => Self::Node(NodeSettings::resolve(flags)?),
        })
    }
}

type Given = (&'static str, bool);

fn refuse(flags: &[Given], refusal: fn(&'static str) -> RoleError) -> Result<(), RoleError> {
    flags.iter().find(|(_, is_given)| *is_given).map_or(Ok(()), |(name, _)| Err(refusal(name)))
}

fn of_nodes_alone(flags: &ServeFlags) -> [Given; 3] {
    [
        ("provisioner", flags.provisioner.is_some()),
        ("invite", flags.invite.is_some()),
        ("node-api", flags.node_api.is_some()),
    ]
}

fn of_nodes(flags: &ServeFlags) -> [Given; 13] {
    [
        ("drive", !flags.drive.is_empty()),
        ("format", flags.format.is_some()),
        ("accept-drive", !flags.accept_drive.is_empty()),
        ("nvme", !flags.nvme.is_empty()),
        ("discovery", !flags.discovery.is_empty()),
        ("referral", !flags.referral.is_empty()),
        ("controller-ids", flags.controller_ids.is_some()),
        ("connections-per-address", flags.connections_per_address.is_some()),
        ("cores", flags.cores.is_some()),
        ("map-memory", flags.map_memory.is_some()),
        ("zone", flags.zone.is_some()),
        ("rack", flags.rack.is_some()),
        ("region", flags.region.is_some()),
    ]
}

fn of_provisioners(flags: &ServeFlags) -> [Given; 10] {
    [
        ("api", !flags.api.is_empty()),
        ("server-name", !flags.server_name.is_empty()),
        ("require", flags.require.is_some()),
        ("open-info", flags.open_info.is_some()),
        ("open-metrics", flags.open_metrics.is_some()),
        ("syslog", !flags.syslog.is_empty()),
        ("trust-ca", flags.trust_ca.is_some()),
        ("license-key", flags.license_key.is_some()),
        ("reserve-floor-gib", flags.reserve_floor_gib.is_some()),
        ("default-replication", flags.default_replication.is_some()),
    ]
}

impl NodeSettings {
    fn resolve(flags: &ServeFlags) -> Result<Self, RoleError> {
        let join = match (&flags.provisioner, &flags.invite) {
            (Some(url), Some(invite)) => {
                let address = parse_url(url).map_err(|_| RoleError::Provisioner(url.clone()))?;
                Some((address, read_invite(invite)?))
            }
            // A node that has joined may be started as before, without the invite that is used up.
            (_, None) => None,
            (None, Some(_)) => return Err(RoleError::HalfAJoin),
        };
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_NODE_PORT);
        Ok(Self { listen: flags.node_api.unwrap_or(default), join })
    }

    pub(crate) fn role(&self, settings: &Settings) -> NodeRole {
        let join = self.join.clone().map(|(ServerAddress { host, port }, invite)| Join {
            host,
            port,
            invite,
            name: settings.node_name.clone(),
            location: settings.location.clone(),
        });
        NodeRole { data_dir: settings.data_dir.clone(), listen: self.listen, join }
    }
}

/// The flags that say where a node stands.
pub(crate) fn location(flags: &ServeFlags) -> Location {
    Location { zone: flags.zone.clone(), rack: flags.rack.clone(), region: flags.region.clone() }
}

/// The invite itself, or the name of a file that holds it: a command line is there for everybody to see.
fn read_invite(given: &str) -> Result<Invite, RoleError> {
    if let Ok(invite) = given.parse() {
        return Ok(invite);
    }
    let text = std::fs::read_to_string(given).map_err(|error| RoleError::InviteFile(error.to_string()))?;
    Ok(text.parse()?)
}

const DEFAULT_NODE_PORT: u16 = 30101;
