//! `bench target`: our data plane with one published volume, in a process of its own, so that its CPU seconds are
//! nobody else's and an older build can be measured beside a newer one.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use anyhow::{Context, Result};
use dataplane::node::{
    BlockSize, DriveConfig, DriveMedium, NamespaceSpec, Node, NodeConfig, PortalConfig, SubsystemSpec,
    VolumeSpec,
};
use uuid::Uuid;

use crate::{
    run::{HOST_NQN, Target},
    size::Size,
};

const NQN: &str = "nqn.2026-11.io.basalt:bench";
/// The drive is larger than its volume by what the engine needs for itself.
const DRIVE_PER_VOLUME: u64 = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// `mem`, or a file that is created
    #[arg(long, default_value = "mem")]
    drive: Medium,
    /// Size of the volume
    #[arg(long, default_value = "1G")]
    volume: Size,
    /// Threads of the data plane
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    cores: u16,
}

/// Where the volume's bytes lie.
#[derive(Debug, Clone)]
pub(crate) enum Medium {
    Memory,
    File(PathBuf),
}

impl FromStr for Medium {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("write mem, or the path of a file".to_owned()),
            "mem" => Ok(Self::Memory),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl fmt::Display for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("mem"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Serves until standard input ends. Prints one line: the address.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Whoever asks the node waits on this; the node has threads of its own.
    let caller = tokio::runtime::Builder::new_current_thread().build()?;
    let node = caller.block_on(start(options))?;
    let address = node.portals().first().copied().context("the node has no portal")?;
    println!("{address}");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    caller.block_on(node.shutdown());
    Ok(())
}

/// What to load at the address that [`run`] printed.
pub(crate) fn at(address: SocketAddr, pid: u32) -> Target {
    Target { addr: address, nqn: NQN.to_owned(), hostnqn: HOST_NQN.to_owned(), nsid: None, pid: Some(pid) }
}

async fn start(options: &Options) -> Result<Node> {
    let volume_bytes = options.volume.0;
    let medium = match &options.drive {
        Medium::Memory => DriveMedium::Memory("bench".to_owned()),
        Medium::File(path) => DriveMedium::Path(path.clone()),
    };
    let size_bytes = Some(volume_bytes * DRIVE_PER_VOLUME);
    let config = NodeConfig {
        cores: options.cores.into(),
        drives: vec![DriveConfig { size_bytes, ..DriveConfig::new(medium) }],
        portals: vec![PortalConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), advertise: None }],
        ..NodeConfig::new("02:00:00:00:00:01")
    };
    let node = Node::start(config)?;
    let volume = Uuid::from_u128(7);
    let spec = VolumeSpec {
        uuid: volume,
        size_bytes: volume_bytes,
        block_size: BlockSize::B4096,
        reserved_bytes: volume_bytes,
        drives: Vec::new(),
    };
    node.create_volume(spec).await?;
    let subsystem = SubsystemSpec {
        nqn: NQN.to_owned(),
        allowed_hosts: vec![HOST_NQN.to_owned()],
        namespaces: vec![NamespaceSpec { nsid: 1, volume, uuid: volume }],
    };
    node.set_subsystem(subsystem).await?;
    Ok(node)
}
