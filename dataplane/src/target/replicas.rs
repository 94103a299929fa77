//! The internal subsystem, to which only other nodes may connect: their commands go to replicas, not to namespaces.

use std::sync::Arc;

use nvmeof::{
    Nqn, Status,
    auth::Requirement,
    command::{DataPointer, ReplicaCommand},
    controller::AnaState,
    wire::Sqe,
};
use uuid::Uuid;

use super::{
    Shared, Target,
    association::Association,
    description,
    io_command::Caller,
    queue::Answer,
    subsystem::{Exports, TargetSubsystem},
};
use crate::{
    mirror::{self, Cluster, Mirrors},
    node::{NodeError, SubsystemUsage},
    rt::Buf,
};

impl Target {
    pub(crate) fn mirrors(&self) -> &Arc<Mirrors> {
        &self.0.mirrors
    }

    /// From now on this node is that one of these, and lets the others in.
    pub(crate) fn set_cluster(&self, cluster: Cluster) {
        let shared = &self.0;
        let nqn = shared.mirrors.subsystem_nqn(cluster.me);
        let nodes = cluster.peers.iter().map(|peer| shared.mirrors.host_nqn(peer.node)).collect();
        // Who they are before they are let in.
        shared.mirrors.set_cluster(cluster);
        let exports = Exports::of_replicas(nodes);
        let mut subsystems = shared.subsystems();
        match subsystems.get(&nqn) {
            Some(subsystem) => subsystem.set(exports),
            None => {
                let new = TargetSubsystem::new(description(nqn.clone()), exports, SubsystemUsage::default());
                subsystems.insert(nqn, Arc::new(new));
            }
        }
    }

    /// Whether hosts find a replicated volume here. Once this has returned after a loss, no command is under way that
    /// would still be answered (M8).
    pub(crate) async fn set_leading(&self, volume: Uuid, leads: bool) {
        let state = if leads { AnaState::Optimized } else { AnaState::Inaccessible };
        let set: Result<(), NodeError> = self.set_ana_state(volume, state).await;
        if let Err(error) = set {
            tracing::warn!(%volume, %error, "the path of a replicated volume stays as it is");
        }
    }
}

impl Shared {
    /// The internal subsystem is for nodes alone.
    pub(super) fn check_is_for_hosts(&self, nqn: &Nqn) -> Result<(), NodeError> {
        match self.subsystems().get(nqn) {
            Some(subsystem) if subsystem.exports().serves_replicas => {
                Err(NodeError::Invalid(format!("nqn: {nqn} is the nodes' own subsystem")))
            }
            _ => Ok(()),
        }
    }

    /// What a node has to prove before it is let in.
    pub(super) fn requirement_of_node(&self, host: &Nqn) -> Option<Arc<Requirement>> {
        self.mirrors.requirement_of(host)
    }
}

/// Where the data is that comes with a node's command.
pub(super) fn data_of(command: &ReplicaCommand) -> DataPointer {
    command.data_from_host().unwrap_or(DataPointer::Transport { len: 0 })
}

/// Parses a node's command.
pub(super) fn parse(sqe: &Sqe) -> Result<(u32, ReplicaCommand), Status> {
    Ok((sqe.nsid.get(), ReplicaCommand::parse(sqe)?))
}

/// Executes one.
pub(super) async fn execute(
    caller: &Caller<'_>,
    number: u32,
    command: ReplicaCommand,
    data: Option<Buf>,
) -> Answer {
    let association: &Association = caller.association;
    let mirrors = &caller.shared.mirrors;
    // It may have been taken out of the cluster since it connected.
    let Some(from) = mirrors.node_of(&association.host.nqn) else {
        return Answer::status(Status::INVALID_FIELD);
    };
    let answer = mirror::execute(mirrors, from, &association.mailbox, number, command, data).await;
    Answer { status: answer.status, result: 0, data: answer.data }
}
