//! GET metrics: the contract's ten gauges (provisioner §4.9, D48) and our own, as Prometheus text 0.0.4.

mod own;
mod text;

use std::collections::{BTreeMap, HashMap};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use self::text::Family;
use super::{backends::backends, volumes::replica_state};
use crate::{
    app::{App, Observed, SharedApp, now_ms},
    envelope::ApiError,
    model::{
        backend::{BackendRecord, Figures},
        host::HostRecord,
        replica::{Replica, ReplicaState},
        target::TargetRecord,
        volume::{Protocol, Provisioning, VolumeRecord},
    },
    nodes::names,
};

/// `repUUIDX`, `nodeIDX` and `nodeNameX` are always there for X = 1..4.
const REPLICA_LABELS: [[&str; 3]; 4] = [
    ["repUUID1", "nodeID1", "nodeName1"],
    ["repUUID2", "nodeID2", "nodeName2"],
    ["repUUID3", "nodeID3", "nodeName3"],
    ["repUUID4", "nodeID4", "nodeName4"],
];

/// Op 45. `docs/metrics.md` says what each means.
#[utoipa::path(get, path = "/metrics", tag = "About", summary = "Prometheus metrics",
    responses((status = 200, body = String, content_type = "text/plain", description = "text format 0.0.4")))]
pub(crate) async fn metrics(State(app): State<SharedApp>) -> Result<Response, ApiError> {
    let scrape = Scrape::read(&app).await?;
    let families =
        [vec![scrape.capacities()], scrape.connections(), scrape.nodes(), own::families(&scrape).await]
            .concat();
    let text: String = families.iter().map(Family::text).collect();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Everything that one scrape shows, read once.
struct Scrape<'a> {
    app: &'a App,
    observed: Observed,
    backends: Vec<BackendRecord>,
    volumes: Vec<VolumeRecord>,
    hosts: HashMap<String, HostRecord>,
    targets: Vec<TargetRecord>,
    names: BTreeMap<String, String>,
}

impl<'a> Scrape<'a> {
    async fn read(app: &'a App) -> Result<Self, ApiError> {
        let hosts = app.state.list::<HostRecord>().await?.into_iter();
        let volumes = app.state.list::<VolumeRecord>().await?.into_iter().map(|v| v.value);
        Ok(Self {
            app,
            observed: app.observe().await,
            backends: backends(app).await?.into_iter().map(|b| b.value).collect(),
            volumes: volumes.filter(VolumeRecord::exists).collect(),
            hosts: hosts.map(|h| (h.value.id.clone(), h.value)).collect(),
            targets: app.state.list::<TargetRecord>().await?.into_iter().map(|t| t.value).collect(),
            names: names(app).await?,
        })
    }

    fn name_of(&self, backend: &str) -> String {
        self.names.get(backend).cloned().unwrap_or_default()
    }

    fn capacities(&self) -> Family {
        let mut family = Family::new("ks_vol_capacity_bytes", "Capacity of a volume in bytes.");
        for volume in &self.volumes {
            let mut labels = vec![
                ("uuid", volume.uuid.to_string()),
                ("alias", volume.alias.clone()),
                ("numReplicas", volume.shown_replicas().count().to_string()),
                ("tenantID", volume.tenant_id.clone()),
                ("storageClassName", volume.class.name.clone().unwrap_or_else(|| "unknown".to_owned())),
                (
                    "provisioningType",
                    match volume.provisioning {
                        Provisioning::Thick => "Thick".to_owned(),
                        Provisioning::Thin => "Thin".to_owned(),
                        Provisioning::Other => "Snapshot/Clone".to_owned(),
                    },
                ),
                (
                    "protocol",
                    match volume.protocol {
                        Protocol::Nvmeof => "NVMeoF".to_owned(),
                        Protocol::Local => "Local".to_owned(),
                    },
                ),
            ];
            for (i, [rep_uuid, node_id, node_name]) in REPLICA_LABELS.into_iter().enumerate() {
                let replica = volume.shown_replicas().nth(i);
                // A simple volume's only copy bears the volume's own UUID, which is no replica UUID.
                let own = replica.filter(|r| r.uuid != volume.uuid).map(|r| r.uuid.to_string());
                labels.push((rep_uuid, own.unwrap_or_default()));
                labels.push((node_id, replica.map(|r| r.backend.clone()).unwrap_or_default()));
                labels.push((node_name, replica.map(|r| self.name_of(&r.backend)).unwrap_or_default()));
            }
            family.sample(labels, volume.size.capacity_bytes());
        }
        family
    }

    /// One series per published NVMe-oF volume, or replica, and host.
    fn connections(&self) -> Vec<Family> {
        let mut volumes = Family::new(
            "ks_connected_volumes_state",
            "State of a published volume: 0 Available, 1 UnAvailable.",
        );
        let mut replicas = Family::new(
            "ks_connected_replica_state",
            "State of a published replica: 0 Available, 1 Terminating, 2 Missing, 3 Unknown, 4 Synchronizing.",
        );
        for volume in self.volumes.iter().filter(|v| v.protocol == Protocol::Nvmeof) {
            for host in volume.published_to.iter().filter_map(|id| self.hosts.get(id)) {
                let targets = || self.targets.iter().filter(|t| t.host_id == host.id);
                let state = |replica| replica_state(self.app, volume, replica, &self.observed);
                let states: Vec<ReplicaState> = volume.shown_replicas().map(state).collect();
                let copies = || volume.shown_replicas().zip(&states);
                let about_host = |with: Vec<(&'static str, String)>, target: Option<&TargetRecord>| {
                    let nqn = target.map(|t| t.nqn.clone()).unwrap_or_default();
                    let host = [("hostId", host.id.clone()), ("hostname", host.name.clone()), ("nqn", nqn)];
                    with.into_iter().chain(host).collect::<Vec<_>>()
                };
                let about_volume =
                    || vec![("uuid", volume.uuid.to_string()), ("alias", volume.alias.clone())];
                let mut labels = about_host(about_volume(), targets().find(|t| t.has(volume.uuid)));
                labels.push(("version", host.version.clone()));
                volumes.sample(labels, u64::from(!copies().any(|(r, s)| self.is_usable(r, *s))));
                for (replica, state) in copies() {
                    let mut labels = about_volume();
                    labels.push(("repUUID", replica.uuid.to_string()));
                    let target = targets().find(|t| t.exports(replica.uuid));
                    replicas.sample(about_host(labels, target), state_number(*state));
                }
            }
        }
        vec![volumes, replicas]
    }

    /// Nobody reports simple volumes in `host` mode, and not every host of several copies has an agent: an Available
    /// backend is enough (D48).
    fn is_usable(&self, replica: &Replica, state: ReplicaState) -> bool {
        match state {
            ReplicaState::Available => true,
            ReplicaState::Unknown => self.observed.is_available(&replica.backend),
            ReplicaState::Missing | ReplicaState::Synchronizing | ReplicaState::Terminating => false,
        }
    }

    /// Free and used bytes, IOPS and bytes per second of a node.
    fn figures(&self, node: &BackendRecord) -> [u64; 6] {
        let Figures { space, iops, bytes_per_second: rate, .. } =
            Figures::of(node, &self.observed, self.volumes.iter(), &self.app.config);
        let used_bytes = space.total_bytes - space.available_bytes;
        [space.available_bytes, used_bytes, iops.free(), iops.used, rate.free(), rate.used]
    }

    fn nodes(&self) -> Vec<Family> {
        let name = |node: &BackendRecord| {
            vec![("node", node.persistent_id.clone()), ("name", self.name_of(&node.persistent_id))]
        };
        let mut families = [
            ("ks_node_free_capacity_bytes", "Free bytes of a node."),
            ("ks_node_used_capacity_bytes", "Used bytes of a node."),
            ("ks_node_free_iops", "IOPS not reserved."),
            ("ks_node_used_iops", "IOPS reserved."),
            ("ks_node_free_bw_bytes_per_sec", "Bandwidth not reserved, in bytes per second."),
            ("ks_node_used_bw_bytes_per_sec", "Bandwidth reserved, in bytes per second."),
        ]
        .map(|(metric, help)| Family::new(metric, help));
        for node in &self.backends {
            for (family, value) in families.iter_mut().zip(self.figures(node)) {
                family.sample(name(node), value);
            }
        }
        let mut families = families.to_vec();
        let mut states = Family::new("ks_node_state", "State of a node: 1 Available, 2 Unavailable.");
        for node in &self.backends {
            let mut labels = name(node);
            for (label, value) in [("rack", &node.rack), ("zone", &node.zone), ("region", &node.region)] {
                labels.push((label, value.clone().unwrap_or_else(|| "null".to_owned())));
            }
            states.sample(labels, if node.is_available(&self.observed, now_ms()) { 1 } else { 2 });
        }
        families.push(states);
        families
    }
}

fn state_number(state: ReplicaState) -> u64 {
    match state {
        ReplicaState::Available => 0,
        ReplicaState::Terminating => 1,
        ReplicaState::Missing => 2,
        ReplicaState::Unknown => 3,
        ReplicaState::Synchronizing => 4,
    }
}
