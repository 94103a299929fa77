//! Everything that a node can be asked for: one table, from which the methods of [`NodeHandle`], the
//! requests of its client and the routes of a node's API are made.

use std::collections::BTreeSet;

use axum::{Json, Router, extract::State, routing::post};
use dataplane::node::{
    CheckReport, CloneSpec, ControllerInfo, DriveConfig, DriveInfo, NodeError, NodeUsage, RateLimits,
    SnapshotInfo, SnapshotSpec, SnapshotVolumeSpec, SubsystemSpec, VolumeInfo, VolumeSpec,
};
use uuid::Uuid;

use super::{
    NodeHandle, Observation, Process,
    wire::{WireAnaState, WireHostTls, WireRequirement},
};
use crate::node_api::reply;

/// `name(arguments) -> answer { what the node in this process does }`; `$node` is that node.
macro_rules! operations {
    ($node:ident; $($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty $local:block)*) => {
        impl NodeHandle {
            $($(#[$doc])*
            pub(crate) async fn $name(&self, $($argument: $type),*) -> Result<$answer, NodeError> {
                match self {
                    Self::Local($node) => $local,
                    Self::Remote(client) => client.call(stringify!($name), &($($argument,)*)).await,
                }
            })*
        }

        /// Each operation as `POST /node/v1/NAME`, its arguments as a list.
        pub(crate) fn routes() -> Router<NodeHandle> {
            Router::new()$(.route(
                concat!("/node/v1/", stringify!($name)),
                post(async |State(node): State<NodeHandle>, Json(($($argument,)*)): Json<($($type,)*)>| {
                    reply(node.$name($($argument),*).await)
                }),
            ))*
        }
    };
}

operations! { node;
    /// Whether it is there, and which process it is.
    process() -> Process { node.process().await }
    observe() -> Observation { Ok(node.observe().await) }

    drives() -> Vec<DriveInfo> { Ok(node.node.drives().await) }
    add_drive(config: DriveConfig) -> DriveInfo { node.add_drive(config).await }
    /// See `Node::grow_drive`.
    grow_drive(drive: Uuid, size_bytes: Option<u64>) -> DriveInfo { node.grow_drive(drive, size_bytes).await }
    /// Takes as long as there is metadata.
    check_drive(drive: Uuid) -> CheckReport { node.node.check_drive(drive).await }
    remove_drive(drive: Uuid) -> () { node.remove_drive(drive).await }
    /// The drive is removed once all that is on it has moved.
    begin_evacuation(drive: Uuid) -> () { node.begin_evacuation(drive).await }

    volumes() -> Vec<VolumeInfo> { Ok(node.node.volumes().await) }
    volume(volume: Uuid) -> VolumeInfo { node.node.volume(volume).await }
    create_volume(spec: VolumeSpec) -> VolumeInfo { node.node.create_volume(spec).await }
    clone_volume(spec: CloneSpec) -> VolumeInfo { node.node.clone_volume(spec).await }
    create_snapshot_volume(spec: SnapshotVolumeSpec) -> VolumeInfo {
        node.node.create_snapshot_volume(spec).await
    }
    /// Grows over `drives` where there is no room on its own.
    expand_volume(volume: Uuid, size_bytes: u64, reserved_bytes: u64, drives: Vec<Uuid>) -> () {
        node.node.expand_volume(volume, size_bytes, reserved_bytes, &drives).await.map(drop)
    }
    set_limits(volume: Uuid, limits: RateLimits) -> () { node.node.set_limits(volume, limits).await }
    delete_volume(volume: Uuid) -> () { node.node.delete_volume(volume).await }

    snapshot(snapshot: Uuid) -> SnapshotInfo { node.node.snapshot(snapshot).await }
    create_snapshots(specs: Vec<SnapshotSpec>) -> Vec<SnapshotInfo> { node.node.create_snapshots(specs).await }
    snapshot_unique_bytes(snapshot: Uuid) -> u64 { node.node.snapshot_unique_bytes(snapshot).await }
    delete_snapshot(snapshot: Uuid) -> () { node.node.delete_snapshot(snapshot).await }

    subsystems() -> Vec<SubsystemSpec> { Ok(node.node.subsystems().await) }
    set_subsystem(spec: SubsystemSpec) -> () { node.node.set_subsystem(spec).await }
    remove_subsystem(nqn: String) -> () {
        node.node.remove_subsystem(&nqn).await;
        Ok(())
    }
    usage() -> NodeUsage { Ok(node.node.usage().await) }
    /// NSIDs under which the subsystem's hosts have a namespace, or may still believe so (H2).
    known_nsids(nqn: String) -> BTreeSet<u32> { Ok(node.node.known_nsids(&nqn).await) }
    controllers() -> Vec<ControllerInfo> { Ok(node.node.controllers().await) }
    ana_state(volume: Uuid) -> WireAnaState { node.node.ana_state(volume).await.map(WireAnaState) }
    set_ana_state(volume: Uuid, state: WireAnaState) -> () { node.node.set_ana_state(volume, state.0).await }

    /// Of these hosts, by NQN; of others nothing changes.
    update_requirements(hosts: Vec<(String, Option<WireRequirement>)>) -> () {
        let hosts = hosts.into_iter().map(|(nqn, wire)| (nqn, wire.map(|wire| wire.0)));
        node.node.update_requirements(hosts.collect()).await;
        Ok(())
    }
    /// From now on of these hosts and no others.
    set_requirements(hosts: Vec<(String, WireRequirement)>) -> () {
        let hosts = hosts.into_iter().map(|(nqn, wire)| (nqn, wire.0));
        node.node.set_requirements(hosts.collect()).await;
        Ok(())
    }
    /// As `update_requirements`.
    update_host_tls(hosts: Vec<(String, Option<WireHostTls>)>) -> () {
        let hosts = hosts.into_iter().map(|(nqn, wire)| (nqn, wire.map(|wire| wire.0)));
        node.node.update_host_tls(hosts.collect()).await
    }
    /// As `set_requirements`.
    set_host_tls(hosts: Vec<(String, WireHostTls)>) -> () {
        let hosts = hosts.into_iter().map(|(nqn, wire)| (nqn, wire.0));
        node.node.set_host_tls(hosts.collect()).await
    }
    /// Identifiers of the controllers that it makes from now on, unless its operator gave it a range.
    assign_controller_ids(first: u16, last: u16) -> () {
        node.node.assign_controller_ids(first..=last);
        Ok(())
    }
    /// Lets hosts in from now on: what was published must be exported before.
    open_portals() -> () {
        node.node.open_portals();
        Ok(())
    }
}
