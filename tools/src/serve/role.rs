//! `--role node`: the data plane here, everything else at the provisioner.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::ValueEnum;
use control::{Invite, Join, NodeRole};
use serde::Deserialize;

use super::{flags::ServeFlags, settings::Settings};
use crate::cli::server::{ServerAddress, parse_url};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RoleFlag {
    /// The node and its provisioner in one process
    Both,
    /// A node of another process' provisioner
    Node,
}

/// What a node is told besides its data plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeSettings {
    pub(crate) listen: SocketAddr,
    join: Option<(ServerAddress, Invite)>,
    zone: Option<String>,
    rack: Option<String>,
    region: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoleError {
    #[error("--{0} is for --role node")]
    NodeOnly(&'static str),
    #[error("--invite and --provisioner belong together: who has invited this node?")]
    HalfAJoin,
    #[error("--provisioner {0}: write https://ADDRESS:PORT")]
    Provisioner(String),
    #[error("--invite {0}")]
    Invite(#[from] control::NoInvite),
    /// Its text is a secret, so only what looks like a file is named.
    #[error("--invite: it is no invite, and there is no such file: {0}")]
    InviteFile(String),
}

impl NodeSettings {
    /// `None` for a process that is both.
    pub(crate) fn resolve(flags: &ServeFlags) -> Result<Option<Self>, RoleError> {
        if flags.role != Some(RoleFlag::Node) {
            let given = [
                ("provisioner", flags.provisioner.is_some()),
                ("invite", flags.invite.is_some()),
                ("node-api", flags.node_api.is_some()),
                ("zone", flags.zone.is_some()),
                ("rack", flags.rack.is_some()),
                ("region", flags.region.is_some()),
            ];
            return match given.iter().find(|(_, is_given)| *is_given) {
                Some((name, _)) => Err(RoleError::NodeOnly(name)),
                None => Ok(None),
            };
        }
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
        Ok(Some(Self {
            listen: flags.node_api.unwrap_or(default),
            join,
            zone: flags.zone.clone(),
            rack: flags.rack.clone(),
            region: flags.region.clone(),
        }))
    }

    pub(crate) fn role(&self, settings: &Settings) -> NodeRole {
        let join = self.join.clone().map(|(ServerAddress { host, port }, invite)| Join {
            host,
            port,
            invite,
            name: settings.node_name.clone(),
            zone: self.zone.clone(),
            rack: self.rack.clone(),
            region: self.region.clone(),
        });
        NodeRole { data_dir: settings.data_dir.clone(), listen: self.listen, join }
    }
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
